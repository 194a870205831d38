//! Rows that were looked up, remembered for as long as nothing is written.
//!
//! Every commit makes all that was remembered before it stale. So what is answered from memory is what the database
//! would answer, whoever wrote to it; and where little is written, nearly every request finds its caller and its agent
//! without a query.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{PoisonError, RwLock};

/// How many rows are remembered at the most.
const MOST: usize = 4096;

/// Remembered rows by their keys, each with the number of commits that had been made when it was looked up.
pub struct Memo<K, V> {
    rows: RwLock<HashMap<K, (u64, V)>>,
}

impl<K, V> Default for Memo<K, V> {
    fn default() -> Self {
        Self {
            rows: RwLock::default(),
        }
    }
}

impl<K: Eq + Hash, V: Clone> Memo<K, V> {
    /// The row, if it was looked up since the last of this many commits.
    pub(super) fn recall(&self, key: &K, commits: u64) -> Option<V> {
        let rows = self.rows.read().unwrap_or_else(PoisonError::into_inner);
        let (seen, row) = rows.get(key)?;
        (*seen == commits).then(|| row.clone())
    }

    /// Remembers a row that was looked up after this many commits.
    pub(super) fn keep(&self, key: K, commits: u64, row: V) {
        let mut rows = self.rows.write().unwrap_or_else(PoisonError::into_inner);
        if rows.len() >= MOST {
            rows.clear();
        }
        rows.insert(key, (commits, row));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_makes_everything_stale() {
        let memo = Memo::default();
        memo.keep("key", 7, "row");
        assert_eq!(memo.recall(&"key", 7), Some("row"));
        assert_eq!(memo.recall(&"key", 8), None);
        assert_eq!(memo.recall(&"other", 7), None);
    }

    #[test]
    fn no_more_is_remembered_than_there_is_room_for() {
        let memo = Memo::default();
        for key in 0..3 * MOST {
            memo.keep(key, 1, ());
        }
        assert!(memo.rows.read().unwrap().len() <= MOST);
    }
}
