//! Connections for looking up single rows where they are asked for.
//!
//! A row that is found by its key is read in a few microseconds; handing the query to a thread of its own and waiting
//! for the answer takes ten times as long. Readers never wait for the writer, so that a look-up holds up its thread for
//! no longer than it takes.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use rusqlite::Connection;

use super::{QueryResult, Read, StoreError};

pub(super) struct Near {
    connections: Vec<Mutex<Connection>>,
    next: AtomicUsize,
}

impl Near {
    pub fn new(connections: Vec<Connection>) -> Self {
        Self {
            connections: connections.into_iter().map(Mutex::new).collect(),
            next: AtomicUsize::new(0),
        }
    }

    pub fn run<T>(&self, query: impl FnOnce(&Read<'_>) -> QueryResult<T>) -> Result<T, StoreError> {
        let first = self.next.fetch_add(1, Ordering::Relaxed) % self.connections.len();
        let (before, after) = self.connections.split_at(first);
        let free = after
            .iter()
            .chain(before)
            .find_map(|connection| connection.try_lock().ok());
        // Where all are in use, one will be free in microseconds.
        let connection = free.unwrap_or_else(|| self.connections[first].lock().unwrap_or_else(PoisonError::into_inner));
        let outcome = catch_unwind(AssertUnwindSafe(|| query(&Read::new(&connection))));
        Ok(outcome.map_err(|_| StoreError::Panicked)??)
    }
}
