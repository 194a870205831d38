//! A million invocations: what their lists and their usage cost, over HTTP, and what it costs others to delete an agent
//! that has a hundred thousand of them.

use std::time::{Duration, Instant};

use castari_common::BASE_PATH;
use castari_tests::Castari;

use crate::load::{self, Connection};
use crate::seed::{self, DAYS, Dice, ROWS};

/// How often each subject is asked.
const ROUNDS: usize = 500;

/// Measures with few agents of many invocations, and with many of few.
pub async fn measure() {
    for agents in [10, 1000] {
        let start = Instant::now();
        let castari = seed::server(agents).await;
        println!(
            "\n{ROWS} invocations of {agents} agents in {DAYS} days (made in {:.0} s)",
            start.elapsed().as_secs_f64()
        );
        reads(&castari, agents as u64).await;
        if agents == 10 {
            deletion(&castari).await;
        }
    }
}

/// What is asked, and in which words each time.
type Subject = (&'static str, Box<dyn Fn(&mut Dice) -> String>);

fn subject(name: &'static str, path: impl Fn(&mut Dice) -> String + 'static) -> Subject {
    (name, Box::new(path))
}

async fn reads(castari: &Castari, agents: u64) {
    let per_agent = ROWS / agents;
    let subjects = [
        subject("invocations", |_| "/invocations".into()),
        subject("invocations, 100 of them", |_| "/invocations?limit=100".into()),
        subject("invocations?status=completed", |_| {
            "/invocations?status=completed".into()
        }),
        subject("invocations?status=failed", |_| "/invocations?status=failed".into()),
        subject("invocations?offset=(random)", |dice| {
            format!("/invocations?offset={}", dice.below(ROWS))
        }),
        subject("invocations?status&offset=(random)", |dice| {
            format!("/invocations?status=completed&offset={}", dice.below(ROWS * 95 / 100))
        }),
        subject("agents/(random)/invocations?offset", move |dice| {
            let (agent, offset) = (dice.below(agents), dice.below(per_agent));
            format!("/agents/agent-{agent}/invocations?offset={offset}")
        }),
        subject("invocations?session_id=(random)", |dice| {
            format!("/invocations?session_id=sess_{}", dice.below(5000))
        }),
        subject("usage?days=365", |_| "/usage?days=365".into()),
        subject("usage/daily?days=365", |_| "/usage/daily?days=365".into()),
        subject("usage?days=365&agent=(random)", move |dice| {
            format!("/usage?days=365&agent=agent-{}", dice.below(agents))
        }),
    ];
    let mut connection = Connection::open(castari.address()).await;
    let mut dice = Dice(2);
    let mut times = vec![Vec::new(); subjects.len()];
    for _ in 0..ROUNDS {
        for ((_, path), times) in subjects.iter().zip(&mut times) {
            let path = format!("{BASE_PATH}{}", path(&mut dice));
            let asked = load::request(castari.address(), &path, castari.key());
            times.push(connection.time(&asked.request).await);
        }
    }
    println!("{:<38} {:>9} {:>9} {:>9}", "GET", "p50 ms", "p99 ms", "most ms");
    for ((name, _), times) in subjects.iter().zip(times) {
        line(name, times);
    }
}

fn line(name: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let quantile = |per_cent: usize| times[(times.len() - 1) * per_cent / 100].as_secs_f64() * 1000.0;
    println!(
        "{name:<38} {:>9.2} {:>9.2} {:>9.2}",
        quantile(50),
        quantile(99),
        quantile(100)
    );
}

/// How long writes take while the invocations of a deleted agent are removed: `/readyz` makes one.
async fn deletion(castari: &Castari) {
    let mut connection = Connection::open(castari.address()).await;
    let asked = load::request(castari.address(), "/readyz", castari.key());
    let database = rusqlite::Connection::open(castari.data_dir().join("castari.db")).unwrap();
    let mut before = Vec::new();
    for _ in 0..ROUNDS {
        before.push(connection.time(&asked.request).await);
    }
    let start = Instant::now();
    castari.client().delete_agent("agent-3").await.unwrap();
    let answered = start.elapsed();
    let mut during = Vec::new();
    let left = || -> u32 {
        database
            .query_row("SELECT count(*) FROM departed", [], |row| row.get(0))
            .unwrap()
    };
    while left() > 0 {
        during.push(connection.time(&asked.request).await);
    }
    println!(
        "\nDELETE of an agent with {} invocations: answered after {:.1} ms, the last of them gone after {:.1} s",
        ROWS / 10,
        answered.as_secs_f64() * 1000.0,
        start.elapsed().as_secs_f64()
    );
    println!("{:<38} {:>9} {:>9} {:>9}", "GET", "p50 ms", "p99 ms", "most ms");
    line("readyz (a write), before", before);
    line("readyz (a write), meanwhile", during);
}
