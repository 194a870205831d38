//! The connection that writes.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rusqlite::TransactionBehavior;
use tokio::sync::{mpsc, oneshot};
use tokio_rusqlite::Connection;

use super::{QueryResult, StoreError, Write};

/// How many writes may wait before those that ask wait too.
const QUEUE: usize = 1024;

/// How many writes are committed together at the most.
const BATCH: usize = 256;

/// The one way to write.
pub(super) struct Writer {
    jobs: mpsc::Sender<Box<dyn Job>>,
    commits: Arc<AtomicU64>,
}

/// A write and whoever waits for it.
trait Job: Send {
    /// Does the write, inside the batch's transaction; says whether it is to be kept.
    fn run(&mut self, write: &Write<'_>) -> bool;

    /// Tells who waits, once it is known whether the batch was committed.
    fn finish(self: Box<Self>, committed: Result<(), String>);
}

struct Waiting<T, F> {
    queries: Option<F>,
    result: Result<T, StoreError>,
    answer: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, F> Job for Waiting<T, F>
where
    T: Send,
    F: FnOnce(&Write<'_>) -> QueryResult<T> + Send,
{
    fn run(&mut self, write: &Write<'_>) -> bool {
        if let Some(queries) = self.queries.take() {
            self.result = match catch_unwind(AssertUnwindSafe(|| queries(write))) {
                Ok(result) => result.map_err(StoreError::from),
                Err(_) => Err(StoreError::Panicked),
            };
        }
        self.result.is_ok()
    }

    fn finish(self: Box<Self>, committed: Result<(), String>) {
        let result = match committed {
            Ok(()) => self.result,
            Err(reason) => self.result.and(Err(StoreError::Commit(reason))),
        };
        // Whoever asked may have gone: the write stands all the same.
        let _ = self.answer.send(result);
    }
}

impl Writer {
    pub fn start(connection: rusqlite::Connection) -> Self {
        let connection = Connection::from(connection);
        let (jobs, mut queue) = mpsc::channel::<Box<dyn Job>>(QUEUE);
        let commits = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&commits);
        tokio::spawn(async move {
            let mut batch = Vec::with_capacity(BATCH);
            while queue.recv_many(&mut batch, BATCH).await > 0 {
                let (jobs, counter) = (std::mem::take(&mut batch), Arc::clone(&counter));
                if connection
                    .call_raw(move |connection| commit(connection, jobs, &counter))
                    .await
                    .is_err()
                {
                    tracing::error!("the database connection is closed");
                    return;
                }
            }
        });
        Self { jobs, commits }
    }

    /// How many batches were committed so far. It rises before those are answered that wait for one.
    pub fn commits(&self) -> u64 {
        self.commits.load(Ordering::SeqCst)
    }

    pub async fn run<T, F>(&self, queries: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Write<'_>) -> QueryResult<T> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let job = Waiting {
            queries: Some(queries),
            result: Err(StoreError::Closed),
            answer,
        };
        self.jobs.send(Box::new(job)).await.map_err(|_| StoreError::Closed)?;
        answered.await.map_err(|_| StoreError::Closed)?
    }
}

/// Runs a batch in one transaction, each job in a savepoint of its own.
fn commit(connection: &mut rusqlite::Connection, mut jobs: Vec<Box<dyn Job>>, commits: &AtomicU64) {
    let committed = run_all(connection, &mut jobs).map_err(|error| error.to_string());
    // Also where it failed: whether it did on disk is not for this side to know.
    commits.fetch_add(1, Ordering::SeqCst);
    for job in jobs {
        job.finish(committed.clone());
    }
}

fn run_all(connection: &mut rusqlite::Connection, jobs: &mut [Box<dyn Job>]) -> QueryResult<()> {
    let mut transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for job in jobs {
        let savepoint = transaction.savepoint()?;
        if job.run(&Write::new(&savepoint)) {
            savepoint.commit()?;
        }
    }
    transaction.commit()
}
