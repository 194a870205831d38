use castari_common::agents::{Agent, AgentStatus, SourceType};
use castari_common::invocations::InvocationFilter;
use castari_common::{MAX_PAGE, Page};
use rusqlite::Connection;

use super::*;
use crate::store::invocations::{self, NewInvocation, Outcome, Spent};
use crate::store::{Store, account, agents, departed, migrations};

const USERS: [&str; 2] = ["usr_0", "usr_1"];

/// A generator of numbers that look random, the same in each run.
struct Dice(u64);

impl Dice {
    /// A number below `end`.
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }

    fn pick<T: Clone>(&mut self, of: &[T]) -> T {
        of[usize::try_from(self.below(of.len() as u64)).unwrap()].clone()
    }
}

fn at(micros: u64) -> Timestamp {
    Timestamp::from_microsecond(i64::try_from(micros).unwrap()).unwrap()
}

fn agent(id: &str, user_id: &str) -> Agent {
    Agent {
        id: id.into(),
        user_id: user_id.into(),
        name: id.into(),
        slug: id.into(),
        description: None,
        source_type: SourceType::Git,
        git_repo_url: None,
        git_branch: "main".into(),
        source_hash: None,
        default_model: "model".into(),
        max_turns: 1,
        timeout_seconds: 1,
        status: AgentStatus::Active,
        status_message: None,
        sandbox_id: None,
        created_at: at(0),
        updated_at: at(0),
    }
}

fn outcome(dice: &mut Dice) -> Outcome {
    Outcome {
        status: dice.pick(&[InvocationStatus::Completed, InvocationStatus::Failed]),
        sandbox_id: None,
        error_message: None,
        response: "response".into(),
        log: String::new(),
        duration_ms: 1,
        spent: Spent {
            input_tokens: dice.below(1000),
            output_tokens: dice.below(1000),
            cost: Usd::from_picodollars(dice.below(1_000_000_000)),
        },
    }
}

async fn open(directory: &tempfile::TempDir) -> Store {
    let store = Store::open(&directory.path().join("castari.db")).unwrap();
    store
        .write(|write| {
            for user in USERS {
                account::insert(write, user, user, at(0))?;
            }
            Ok(())
        })
        .await
        .unwrap();
    store
}

async fn add_agent(store: &Store, id: &str, user_id: &str) {
    let agent = agent(id, user_id);
    store.write(move |write| agents::insert(write, &agent)).await.unwrap();
}

async fn start(store: &Store, id: String, agent_id: &str, user_id: &str, session_id: &str, now: Timestamp) {
    let new = NewInvocation {
        id,
        user_id: user_id.into(),
        agent_id: agent_id.into(),
        session_id: session_id.into(),
        prompt: "prompt".into(),
    };
    store
        .write(move |write| invocations::insert(write, &new, now))
        .await
        .unwrap();
}

/// Inserts and ends invocations of agents of its own, and deletes some of these: one of several that do so at once.
async fn live(store: &Store, number: u64) {
    let mut dice = Dice(number);
    let mut alive: Vec<(String, &str)> = Vec::new();
    let mut running: Vec<String> = Vec::new();
    for step in 0..150 {
        match dice.below(12) {
            0 => {
                let (id, user) = (format!("agt_{number}_{step}"), dice.pick(&USERS));
                add_agent(store, &id, user).await;
                alive.push((id, user));
            }
            1 if alive.len() > 2 => {
                let (id, user) = alive.remove(0);
                let gone = move |write: &crate::store::Write<'_>| {
                    agents::delete(write, &id)?;
                    departed::add(write, &id, user)
                };
                store.write(gone).await.unwrap();
            }
            2 => drop(store.write(departed::sweep).await.unwrap()),
            3..=6 if !running.is_empty() => {
                let (id, outcome) = (running.swap_remove(0), outcome(&mut dice));
                store
                    .write(move |write| invocations::finish(write, &id, &outcome))
                    .await
                    .unwrap();
            }
            _ if !alive.is_empty() => {
                let ((agent, user), id) = (dice.pick(&alive), format!("inv_{number}_{step}"));
                let now = at(dice.below(5 * 86_400_000_000));
                start(store, id.clone(), &agent, user, dice.pick(&["a", "b"]), now).await;
                running.push(id);
            }
            _ => {}
        }
    }
}

type Row = (String, i64, [i64; 6]);

/// What a table or a recount says of each owner's days.
async fn sums(store: &Store, sql: String) -> Vec<Row> {
    let row = |row: &rusqlite::Row<'_>| {
        let mut values = [0; 6];
        for (index, value) in values.iter_mut().enumerate() {
            *value = row.get(index + 2)?;
        }
        Ok((row.get(0)?, row.get(1)?, values))
    };
    store.read(move |read| read.all(&sql, [], row)).await.unwrap()
}

async fn assert_sums_hold(store: &Store) {
    for (table, column) in [("user_days", "user_id"), ("agent_days", "agent_id")] {
        let kept = format!(
            "SELECT {column}, day, running, completed, failed, input_tokens, output_tokens, cost_picodollars FROM {table}
            ORDER BY 1, 2"
        );
        let counted = format!(
            "SELECT invocations.{column}, invocations.created_at / 86400000000, sum(invocations.status = 'running'),
                sum(invocations.status = 'completed'), sum(invocations.status = 'failed'), sum(input_tokens),
                sum(output_tokens), sum(cost_picodollars)
            FROM invocations JOIN agents ON agents.id = agent_id GROUP BY 1, 2 ORDER BY 1, 2"
        );
        let kept = sums(store, kept).await;
        assert!(!kept.is_empty());
        assert_eq!(kept, sums(store, counted).await, "{table}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sums_are_those_of_the_rows_whatever_happens() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory).await;
    futures::future::join_all((1..9).map(|number| live(&store, number))).await;
    assert_sums_hold(&store).await;
    assert_lists_hold(&store).await;
    while store.write(departed::sweep).await.unwrap() {}
    assert_sums_hold(&store).await;
    assert_lists_hold(&store).await;
    let left = "SELECT count(*) FROM invocation_texts WHERE NOT EXISTS
        (SELECT 1 FROM invocations JOIN agents ON agents.id = agent_id WHERE invocations.id = invocation_id)";
    let left: u64 = store.read(|read| read.one(left, [], |row| row.get(0))).await.unwrap();
    assert_eq!(left, 0, "nothing stays of those that went");
    let failed = store
        .write(|write| invocations::fail_interrupted(write, "interrupted"))
        .await
        .unwrap();
    assert!(failed > 0);
    assert_sums_hold(&store).await;
}

/// Each page of each list holds what a plain query finds.
async fn assert_lists_hold(store: &Store) {
    let ids = "SELECT DISTINCT agent_id FROM agent_days";
    let agents: Vec<String> = store.read(|read| read.all(ids, [], |row| row.get(0))).await.unwrap();
    let mut owners: Vec<Owner> = agents.into_iter().map(Owner::Agent).collect();
    owners.extend(USERS.map(|user| Owner::User(user.into())));
    let statuses = [
        None,
        Some(InvocationStatus::Running),
        Some(InvocationStatus::Completed),
        Some(InvocationStatus::Failed),
    ];
    for owner in owners {
        for status in statuses {
            for session_id in [None, Some("a".to_owned())] {
                let filter = InvocationFilter {
                    status,
                    session_id,
                    ..InvocationFilter::default()
                };
                assert_list_holds(store, owner.clone(), filter).await;
            }
        }
    }
}

async fn assert_list_holds(store: &Store, owner: Owner, filter: InvocationFilter) {
    let what = format!("{owner:?} {filter:?}");
    let compare = move |read: &Read<'_>| {
        let column = match &owner {
            Owner::User(_) => "user_id",
            Owner::Agent(_) => "agent_id",
        };
        let sql = format!(
            "SELECT invocations.id FROM invocations JOIN agents ON agents.id = agent_id
            WHERE invocations.{column} = ?1 AND (?2 IS NULL OR invocations.status = ?2)
                AND (?3 IS NULL OR session_id = ?3)
            ORDER BY invocations.created_at DESC, invocations.id DESC"
        );
        let status = filter.status.as_ref().map(text::name).transpose()?;
        let params = params![owner.id(), status, filter.session_id];
        let expected: Vec<String> = read.all(&sql, params, |row| row.get(0))?;
        let mut found = Vec::new();
        for limit in [7, MAX_PAGE] {
            found.clear();
            for offset in (0..=expected.len()).step_by(limit as usize) {
                let page = Page {
                    limit,
                    offset: offset as u64,
                };
                let (rows, total) = invocations::list(read, &owner, &filter, page)?;
                assert_eq!(total, expected.len() as u64);
                found.extend(rows.into_iter().map(|row| row.id));
            }
            assert_eq!(found, expected);
        }
        let (beyond, _) = invocations::list(
            read,
            &owner,
            &filter,
            Page {
                limit: 1,
                offset: u64::MAX,
            },
        )?;
        Ok(beyond.len())
    };
    assert_eq!(
        store
            .read(compare)
            .await
            .unwrap_or_else(|error| panic!("{what}: {error}")),
        0
    );
}

#[tokio::test]
async fn a_deleted_agent_s_invocations_are_gone_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory).await;
    for id in ["agt_1", "agt_2"] {
        add_agent(&store, id, "usr_0").await;
        for number in 0..3 {
            start(&store, format!("inv_{id}_{number}"), id, "usr_0", "a", at(number)).await;
        }
    }
    let delete = |write: &crate::store::Write<'_>| {
        agents::delete(write, "agt_1")?;
        departed::add(write, "agt_1", "usr_0")
    };
    store.write(delete).await.unwrap();
    let look = |read: &Read<'_>| {
        let owner = Owner::User("usr_0".into());
        let (rows, total) = invocations::list(read, &owner, &InvocationFilter::default(), Page::default())?;
        assert_eq!((rows.len(), total), (3, 3));
        assert!(rows.iter().all(|row| row.agent_id == "agt_2"));
        assert!(invocations::by_id(read, "usr_0", "inv_agt_1_0")?.is_none());
        assert!(invocations::log(read, "usr_0", "inv_agt_1_0")?.is_none());
        let days = by_day(read, &owner, Day(0), Day(0))?;
        assert_eq!(days[0].1.invocations, 3);
        Ok(())
    };
    store.read(look).await.unwrap();
    // One that ends now counts nowhere.
    let outcome = outcome(&mut Dice(1));
    store
        .write(move |write| invocations::finish(write, "inv_agt_1_0", &outcome))
        .await
        .unwrap();
    assert_sums_hold(&store).await;
}

#[test]
fn days_begin_and_end_at_midnight() {
    let midnight: Timestamp = "2026-03-01T00:00:00Z".parse().unwrap();
    let day = Day::of(midnight);
    assert_eq!(day.midnight(), midnight);
    assert_eq!(Day::of("2026-03-01T23:59:59.999999Z".parse().unwrap()), day);
    assert_eq!(Day::of("2026-02-28T23:59:59.999999Z".parse().unwrap()), day.plus(-1));
}

/// How SQLite would go about a query.
fn plan(connection: &Connection, sql: &str) -> Vec<String> {
    let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
    // What the query's parameters are makes no difference.
    let steps = statement.raw_query().mapped(|row| row.get("detail"));
    steps.map(Result::unwrap).collect()
}

#[test]
fn no_list_and_no_sum_scans_the_invocations() {
    let mut connection = Connection::open_in_memory().unwrap();
    migrations::run(&mut connection).unwrap();
    let owners = [Owner::User("usr_0".into()), Owner::Agent("agt_0".into())];
    let statuses = [None, Some(InvocationStatus::Failed)];
    let mut queries = Vec::new();
    for owner in &owners {
        queries.push((by_day_sql(owner), "USING PRIMARY KEY"));
        for status in statuses {
            queries.push((counts_sql(owner, status), "USING PRIMARY KEY"));
            queries.extend(invocations::list_sqls(owner, status));
        }
    }
    for (sql, step) in queries {
        let plan = plan(&connection, &sql);
        let scans = |step: &String| step.starts_with("SCAN") && step != "SCAN page";
        assert!(!plan.iter().any(scans), "{sql}\n{plan:#?}");
        assert!(plan.iter().any(|one| one.contains(step)), "{step}\n{sql}\n{plan:#?}");
    }
}

/// A database of the first release with an agent's invocations.
const OLD: &str = "
    INSERT INTO users VALUES ('usr_0', 'a@b', 0);
    INSERT INTO agents (id, user_id, name, slug, source_type, git_branch, default_model, max_turns, timeout_seconds, status,
        created_at, updated_at) VALUES ('agt_0', 'usr_0', 'a', 'a', 'git', 'main', 'm', 1, 1, 'active', 0, 0);
    INSERT INTO invocations (id, user_id, agent_id, session_id, status, prompt_start, input_tokens, cost_usd, created_at)
    VALUES ('inv_0', 'usr_0', 'agt_0', 's', 'completed', 'p', 3, '0.0214', 5),
        ('inv_1', 'usr_0', 'agt_0', 's', 'failed', 'p', 4, '0', 86400000000),
        ('inv_2', 'usr_0', 'agt_0', 's', 'running', 'p', 5, '12.000000000001', 86400000001);
    INSERT INTO invocation_texts (invocation_id, prompt, log) SELECT id, 'prompt', 'log' FROM invocations;";

#[tokio::test]
async fn what_there_was_before_is_kept_and_summed_up() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("castari.db");
    let mut connection = Connection::open(&path).unwrap();
    connection.pragma_update(None, "foreign_keys", true).unwrap();
    migrations::run_first(&mut connection, 1);
    connection.execute_batch(OLD).unwrap();
    drop(connection);
    let store = Store::open(&path).unwrap();
    assert_sums_hold(&store).await;
    let look = |read: &Read<'_>| {
        let owner = Owner::User("usr_0".into());
        let days = by_day(read, &owner, Day(0), Day(1))?;
        let costs: Vec<String> = days.iter().map(|(_, sums)| sums.cost.to_string()).collect();
        assert_eq!(costs, ["0.0214", "12.000000000001"]);
        let (rows, total) = invocations::list(read, &owner, &InvocationFilter::default(), Page::default())?;
        let ids: Vec<&str> = rows.iter().map(|row| row.id.as_str()).collect();
        assert_eq!((ids.as_slice(), total), (["inv_2", "inv_1", "inv_0"].as_slice(), 3));
        let whole = invocations::by_id(read, "usr_0", "inv_0")?.unwrap();
        assert_eq!((whole.prompt.as_str(), whole.total_cost_usd), ("prompt", 0.0214));
        assert_eq!(invocations::log(read, "usr_0", "inv_2")?.as_deref(), Some("log"));
        Ok(())
    };
    store.read(look).await.unwrap();
    // What referred to the old tables refers to the new ones.
    let broken: u64 = store
        .read(|read| read.one("SELECT count(*) FROM pragma_foreign_key_check", [], |row| row.get(0)))
        .await
        .unwrap();
    assert_eq!(broken, 0);
    store
        .write(|write| {
            write.execute("DELETE FROM invocations WHERE id = 'inv_0'", [])?;
            let left = "SELECT count(*) FROM invocation_texts";
            assert_eq!(write.one(left, [], |row| row.get::<_, u64>(0))?, 2);
            Err::<(), _>(rusqlite::Error::InvalidQuery)
        })
        .await
        .unwrap_err();
}
