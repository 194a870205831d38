//! A database as a year leaves it.

use castari_tests::Castari;
use rusqlite::{Connection, params};

/// How many invocations there are.
pub const ROWS: u64 = 1_000_000;

/// How many days they are spread over.
pub const DAYS: u64 = 365;

const MICROS_A_DAY: u64 = 86_400_000_000;

/// As many characters as a list shows of a prompt and a response, at the most.
const TEXT: &str = "Please look at the pull request and say what is to be changed before it can be merged. ";

/// A generator of numbers that look random, the same in each run.
pub struct Dice(pub u64);

impl Dice {
    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

/// A server with this many agents, `agent-0` and so on, whose invocations are spread evenly over them and over the days.
pub async fn server(agents: usize) -> Castari {
    let mut castari = Castari::start().await;
    for number in 0..agents {
        castari.create(&format!("agent-{number}")).await;
    }
    castari.kill();
    fill(&castari);
    castari.restart().await;
    castari
}

/// Adds the invocations, while the server does not run. The triggers of the database add them up as ever.
fn fill(castari: &Castari) {
    let mut database = Connection::open(castari.data_dir().join("castari.db")).unwrap();
    database.pragma_update(None, "synchronous", "OFF").unwrap();
    database.pragma_update(None, "cache_size", -1_000_000).unwrap();
    let agents = agents(&database);
    let mut dice = Dice(1);
    // As random as those that the server makes, and in their order: inserted so, they need not be looked for.
    let mut ids: Vec<(u64, u64)> = (0..ROWS).map(|number| (dice.below(u64::MAX), number)).collect();
    ids.sort_unstable();
    let now: u64 = database
        .query_row("SELECT unixepoch() * 1000000", [], |row| row.get(0))
        .unwrap();
    let transaction = database.transaction().unwrap();
    {
        let mut insert = transaction
            .prepare(
                "INSERT INTO invocations (id, user_id, agent_id, session_id, status, prompt_start, response_start,
                    input_tokens, output_tokens, cost_picodollars, duration_ms, created_at)
                VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6, ?7, ?8, ?9, 1000, ?10)",
            )
            .unwrap();
        let mut texts = transaction
            .prepare("INSERT INTO invocation_texts (invocation_id, prompt, response) VALUES (?1, ?2, ?2)")
            .unwrap();
        for (id, number) in ids {
            let id = format!("inv_{id:012x}{number:08x}");
            let (agent, user) = &agents[usize::try_from(number).unwrap() % agents.len()];
            let status = if number % 20 == 0 { "failed" } else { "completed" };
            let text = TEXT.repeat(usize::try_from(1 + number % 5).unwrap());
            let created = now - number * (DAYS * MICROS_A_DAY / ROWS);
            let session = format!("sess_{}", number % 5000);
            let row = params![
                id,
                user,
                agent,
                session,
                status,
                text,
                number % 4000,
                number % 900,
                21_400_000_000_u64,
                created
            ];
            insert.execute(row).unwrap();
            texts.execute([&id, &text]).unwrap();
        }
    }
    transaction.commit().unwrap();
}

/// The agents, and whose they are.
fn agents(database: &Connection) -> Vec<(String, String)> {
    let mut statement = database.prepare("SELECT id, user_id FROM agents").unwrap();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    rows.map(Result::unwrap).collect()
}
