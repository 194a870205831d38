//! What invocations add up to.

use castari_common::Page;
use castari_common::invocations::InvocationFilter;
use castari_common::usage::UsageFilter;
use castari_tests::shape::shape;
use castari_tests::{Castari, eventually};
use serde_json::{Value, json};
use std::time::Duration;

const ECHO: &str = "process.stdin.pipe(process.stdout)";

const DAY: i64 = 86_400_000_000;

fn last(days: u16) -> UsageFilter {
    UsageFilter { days, agent: None }
}

fn database(castari: &Castari) -> rusqlite::Connection {
    rusqlite::Connection::open(castari.data_dir().join("castari.db")).unwrap()
}

/// Adds invocations of an agent, one each `step` microseconds back in time, to the database of a server that is stopped.
fn add(database: &mut rusqlite::Connection, slug: &str, count: u32, step: i64) {
    database.pragma_update(None, "foreign_keys", true).unwrap();
    let sql = "SELECT id, user_id FROM agents WHERE slug = ?1";
    let (agent, user): (String, String) = database
        .query_row(sql, [slug], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap();
    let transaction = database.transaction().unwrap();
    {
        let now = "CAST(unixepoch('subsec') * 1000000 AS INTEGER)";
        let mut insert = transaction
            .prepare(&format!(
                "INSERT INTO invocations (id, user_id, agent_id, session_id, status, prompt_start, input_tokens,
                    output_tokens, cost_picodollars, created_at)
                VALUES ('inv_' || ?2 || ?1, ?3, ?2, 's', iif(?1 % 3, 'completed', 'failed'), 'p', ?1, 2 * ?1, 21400000000,
                    {now} - ?1 * ?4)"
            ))
            .unwrap();
        let mut texts = transaction
            .prepare("INSERT INTO invocation_texts (invocation_id, prompt) VALUES ('inv_' || ?2 || ?1, 'prompt')")
            .unwrap();
        for number in 0..count {
            insert.execute(rusqlite::params![number, agent, user, step]).unwrap();
            texts.execute(rusqlite::params![number, agent]).unwrap();
        }
    }
    transaction.commit().unwrap();
}

#[tokio::test]
async fn nothing_is_nothing_on_every_day() {
    let castari = Castari::start().await;
    insta::assert_json_snapshot!("usage_of_nothing", shape(castari.get("/usage").await.json()));
    let daily = castari.get("/usage/daily").await.json();
    let days = daily["daily_usage"].as_array().unwrap();
    assert_eq!((days.len(), &daily["total_days"]), (30, &json!(30)));
    let mut first = days[0].clone();
    first["date"] = "[date]".into();
    insta::assert_json_snapshot!("day_of_nothing", first);
    let dates: Vec<&str> = days.iter().map(|day| day["date"].as_str().unwrap()).collect();
    assert!(
        dates.windows(2).all(|pair| pair[0] < pair[1]),
        "oldest first: {dates:?}"
    );
    let usage = castari.get("/usage").await.json();
    let [start, end] = ["period_start", "period_end"].map(|name| usage[name].as_str().unwrap().to_owned());
    assert_eq!(start, format!("{}T00:00:00Z", dates[0]));
    assert!(end.starts_with(dates[29]) && end.ends_with('Z'), "{end}");
}

#[tokio::test]
async fn what_is_asked_is_checked() {
    let castari = Castari::start().await;
    for path in ["/usage", "/usage/daily"] {
        for days in ["0", "366", "-1", "x", "1.5", ""] {
            let answer = castari.get(&format!("{path}?days={days}")).await;
            assert_eq!(answer.status, 422, "{path} {days}: {answer:?}");
            assert_eq!(answer.json()["detail"][0]["loc"], json!(["query", "days"]));
        }
        for agent in ["nobody", "", "no%00body"] {
            let answer = castari.get(&format!("{path}?agent={agent}")).await;
            assert_eq!(
                (answer.status, answer.code().as_str()),
                (404, "agent_not_found"),
                "{agent}"
            );
        }
        assert_eq!(castari.get(&format!("{path}?days=365")).await.status, 200);
    }
    let answer = castari.get("/invocations?agent=nobody").await;
    assert_eq!((answer.status, answer.code().as_str()), (404, "agent_not_found"));
}

#[tokio::test]
async fn an_invocation_counts_whatever_its_status() {
    let castari = Castari::start().await;
    castari.deploy_script("one", ECHO).await;
    castari.deploy_script("two", "process.exit(3)").await;
    castari.invoke("one", "hello").await;
    castari.invoke("one", "hello").await;
    castari.invoke_failing("two", "hello").await;
    let total = async |agent: Option<&str>| {
        let agent = agent.map(str::to_owned);
        let filter = UsageFilter { days: 1, agent };
        castari.client().usage(&filter).await.unwrap().total_invocations
    };
    assert_eq!(
        (total(None).await, total(Some("one")).await, total(Some("two")).await),
        (3, 2, 1)
    );
    castari.client().delete_agent("one").await.unwrap();
    assert_eq!((total(None).await, total(Some("two")).await), (1, 1));
}

#[tokio::test]
async fn days_money_and_totals_agree() {
    let mut castari = Castari::start().await;
    castari.create("one").await;
    castari.create("two").await;
    castari.kill();
    let mut open = database(&castari);
    add(&mut open, "one", 40, DAY);
    add(&mut open, "two", 10, DAY);
    drop(open);
    castari.restart().await;
    let client = castari.client();
    for (days, agent, expected) in [
        (1, None, (2, 0, "0.0428")),
        (30, None, (40, 480, "0.856")),
        (30, Some("one"), (30, 435, "0.642")),
        (365, Some("two"), (10, 45, "0.214")),
        (365, None, (50, 825, "1.07")),
    ] {
        let filter = UsageFilter {
            days,
            agent: agent.map(str::to_owned),
        };
        let usage = client.usage(&filter).await.unwrap();
        let cost = usage.total_cost_usd.to_string();
        assert_eq!(
            (usage.total_invocations, usage.total_input_tokens, cost.as_str()),
            expected,
            "{filter:?}"
        );
        assert_eq!(usage.total_output_tokens, 2 * usage.total_input_tokens);
        let daily = client.daily_usage(&filter).await.unwrap();
        let rows = &daily.daily_usage;
        assert_eq!((rows.len(), daily.total_days), (usize::from(days), days));
        assert_eq!(
            rows.iter().map(|day| day.invocation_count).sum::<u64>(),
            usage.total_invocations
        );
        assert_eq!(
            rows.iter().map(|day| day.input_tokens).sum::<u64>(),
            usage.total_input_tokens
        );
        assert_eq!(
            rows.iter().map(|day| day.cost_usd).sum::<castari_common::Usd>(),
            usage.total_cost_usd
        );
    }
    let listed = castari.get("/invocations?limit=1").await.json();
    assert_eq!(listed["invocations"][0]["total_cost_usd"], json!(0.0214));
    let daily = castari.get("/usage/daily?days=1").await.json();
    assert_eq!(daily["daily_usage"][0]["cost_usd"], json!("0.0428"));
}

#[tokio::test]
async fn pages_are_right_however_deep() {
    let mut castari = Castari::start().await;
    castari.create("one").await;
    castari.kill();
    add(&mut database(&castari), "one", 500, DAY / 7);
    castari.restart().await;
    for (query, total) in [
        ("", 500),
        ("&status=failed", 167),
        ("&status=completed", 333),
        ("&status=running", 0),
    ] {
        for path in ["/invocations", "/agents/one/invocations"] {
            let mut ids: Vec<String> = Vec::new();
            for offset in (0..=total).step_by(30) {
                let page = castari
                    .get(&format!("{path}?limit=30&offset={offset}{query}"))
                    .await
                    .json();
                assert_eq!(page["meta"]["total"], json!(total));
                assert_eq!(page["meta"]["has_more"], json!(offset + 30 < total));
                ids.extend(page["invocations"].as_array().unwrap().iter().map(number));
            }
            let numbers: Vec<u64> = ids.iter().map(|id| id.parse().unwrap()).collect();
            assert_eq!(numbers.len(), total, "{path} {query}");
            assert!(numbers.is_sorted(), "newest first: {numbers:?}");
        }
    }
    let page = castari.get("/invocations?offset=9223372036854775807").await.json();
    assert_eq!(
        (&page["meta"]["total"], &page["invocations"]),
        (&json!(500), &json!([]))
    );
}

/// The number that an invocation was added with, which its agent's id stands before.
fn number(invocation: &Value) -> String {
    let prefix = format!("inv_{}", invocation["agent_id"].as_str().unwrap());
    invocation["id"].as_str().unwrap().strip_prefix(&prefix).unwrap().into()
}

#[tokio::test]
async fn an_agent_with_many_invocations_goes_at_once_and_they_follow() {
    let mut castari = Castari::start().await;
    for slug in ["one", "two"] {
        castari.create(slug).await;
    }
    castari.kill();
    let mut open = database(&castari);
    add(&mut open, "one", 3000, DAY / 100);
    add(&mut open, "two", 300, DAY / 10);
    drop(open);
    castari.restart().await;
    castari.client().delete_agent("one").await.unwrap();
    let assert_gone = async |castari: &Castari| {
        let list = castari
            .client()
            .invocations(&InvocationFilter::default(), Page::default())
            .await
            .unwrap();
        assert_eq!((list.meta.total, list.invocations.len()), (300, 20));
        assert!(list.invocations.iter().all(|row| row.agent_slug == "two"));
        assert_eq!(castari.client().usage(&last(365)).await.unwrap().total_invocations, 300);
    };
    assert_gone(&castari).await;
    // Also when the server ends in between.
    castari.restart().await;
    assert_gone(&castari).await;
    let open = database(&castari);
    open.busy_timeout(Duration::from_secs(10)).unwrap();
    for (table, left) in [("invocations", 300), ("invocation_texts", 300), ("departed", 0)] {
        let count = format!("SELECT count(*) FROM {table}");
        eventually("nothing is left of it", Duration::from_secs(30), || {
            open.query_row(&count, [], |row| row.get::<_, u32>(0)).unwrap() == left
        })
        .await;
    }
    assert_gone(&castari).await;
}
