//! What runs for each agent, so that it can be ended with the agent.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use tokio_util::sync::CancellationToken;

/// A token for each agent that something runs for.
pub(super) struct Running {
    ending: CancellationToken,
    agents: Mutex<HashMap<String, CancellationToken>>,
}

impl Running {
    /// Nothing runs; all that will ends when `ending` is cancelled.
    pub fn new(ending: CancellationToken) -> Self {
        Self {
            ending,
            agents: Mutex::default(),
        }
    }

    /// A token that is cancelled when the agent or the server is ended. To be taken before it is decided that the work may start, so
    /// that an end in between is not missed.
    pub fn token(&self, agent_id: &str) -> CancellationToken {
        let mut agents = self.agents.lock().unwrap_or_else(PoisonError::into_inner);
        let agent = agents
            .entry(agent_id.into())
            .or_insert_with(|| self.ending.child_token());
        agent.child_token()
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
