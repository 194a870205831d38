//! The connections that read.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};

use tokio::sync::Semaphore;
use tokio_rusqlite::Connection;

use super::{QueryResult, Read, StoreError};

/// A few connections, each with at most one reader at a time.
pub(super) struct Readers {
    free: Semaphore,
    connections: Mutex<Vec<Connection>>,
}

impl Readers {
    pub fn new(connections: Vec<rusqlite::Connection>) -> Self {
        Self {
            free: Semaphore::new(connections.len()),
            connections: Mutex::new(connections.into_iter().map(Connection::from).collect()),
        }
    }

    pub async fn run<T, F>(&self, queries: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Read<'_>) -> QueryResult<T> + Send + 'static,
    {
        let _permit = self.free.acquire().await.map_err(|_| StoreError::Closed)?;
        let lease = Lease::take(self).ok_or(StoreError::Closed)?;
        let outcome = lease.connection.call_raw(move |connection| {
            // A panic would end the connection's thread for good.
            catch_unwind(AssertUnwindSafe(|| consistent(connection, queries)))
        });
        match outcome.await {
            Err(_) => Err(StoreError::Closed),
            Ok(Err(_)) => Err(StoreError::Panicked),
            Ok(Ok(result)) => Ok(result?),
        }
    }
}

/// Runs queries in one transaction, so that they see one state.
fn consistent<T>(
    connection: &mut rusqlite::Connection,
    queries: impl FnOnce(&Read<'_>) -> QueryResult<T>,
) -> QueryResult<T> {
    let transaction = connection.transaction()?;
    queries(&Read::new(&transaction))
}

/// A connection that goes back also when its reader is cancelled.
struct Lease<'a> {
    readers: &'a Readers,
    connection: Connection,
}

impl<'a> Lease<'a> {
    fn take(readers: &'a Readers) -> Option<Self> {
        let connection = readers
            .connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop()?;
        Some(Self { readers, connection })
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        let mut connections = self.readers.connections.lock().unwrap_or_else(PoisonError::into_inner);
        connections.push(self.connection.clone());
    }
}
