//! What is left of agents that were deleted: very many invocations at times.

use std::sync::Arc;
use std::time::Duration;

use super::{Platform, PlatformError};
use crate::store::departed;

/// How long other writes have between two portions.
const PAUSE: Duration = Duration::from_millis(5);

impl Platform {
    /// Removes the invocations of agents that went, in portions, so that no other write waits for long. What the end of
    /// the server leaves is removed at the next start.
    pub(super) fn sweep_departed(self: &Arc<Self>) -> Result<(), PlatformError> {
        let platform = Arc::clone(self);
        self.spawn(async move {
            while !platform.tasks.is_closed() {
                match platform.store.write(departed::sweep).await {
                    Ok(true) => tokio::time::sleep(PAUSE).await,
                    Ok(false) => break,
                    Err(error) => {
                        tracing::error!(%error, "cannot remove the invocations of deleted agents; the next start tries again");
                        break;
                    }
                }
            }
        })
        .map(drop)
    }
}
