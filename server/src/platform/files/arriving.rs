//! How much is arriving, so that many uploads at once cannot take more than one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How many bytes of each user are arriving and not in the store yet.
#[derive(Default)]
pub(super) struct Arriving(Mutex<HashMap<String, u64>>);

/// What one upload adds to that, for as long as it lives.
pub(super) struct Share {
    arriving: Arc<Arriving>,
    user_id: String,
    bytes: u64,
}

impl Arriving {
    pub fn share(self: &Arc<Self>, user_id: &str) -> Share {
        Share {
            arriving: Arc::clone(self),
            user_id: user_id.into(),
            bytes: 0,
        }
    }

    fn users(&self) -> MutexGuard<'_, HashMap<String, u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Share {
    /// Adds to the share; answers how much is arriving for the user in all.
    pub fn add(&mut self, bytes: u64) -> u64 {
        self.bytes += bytes;
        let mut users = self.arriving.users();
        let total = users.entry(self.user_id.clone()).or_default();
        *total += bytes;
        *total
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut users = self.arriving.users();
        if let Some(total) = users.get_mut(&self.user_id) {
            *total -= self.bytes;
            if *total == 0 {
                users.remove(&self.user_id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uploads_of_one_user_add_up_and_leave_nothing() {
        let arriving = Arc::<Arriving>::default();
        let (mut one, mut two, mut other) = (arriving.share("a"), arriving.share("a"), arriving.share("b"));
        assert_eq!((one.add(5), two.add(7), other.add(1)), (5, 12, 1));
        drop(one);
        assert_eq!(two.add(1), 8);
        drop((two, other));
        assert!(arriving.users().is_empty());
    }
}
