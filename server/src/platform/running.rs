//! What runs for each agent, so that it can be ended with the agent.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use tokio_util::sync::CancellationToken;

/// A token for each agent that something runs for.
#[derive(Default)]
pub(super) struct Running {
    agents: Mutex<HashMap<String, CancellationToken>>,
}

impl Running {
    /// A token that is cancelled when the agent is ended. To be taken before it is decided that the work may start, so
    /// that an end in between is not missed.
    pub fn token(&self, agent_id: &str) -> CancellationToken {
        let mut agents = self.agents.lock().unwrap_or_else(PoisonError::into_inner);
        agents.entry(agent_id.into()).or_default().child_token()
    }

    /// Ends all that runs for an agent.
    pub fn end(&self, agent_id: &str) {
        if let Some(token) = self
            .agents
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(agent_id)
        {
            token.cancel();
        }
    }
}
