//! Sessions: made by the first invocation that names them, deleted by request, by a redeploy, or with their agent.

use castari_common::agents::Agent;
use castari_common::events::EventKind;
use castari_common::sessions::SessionList;
use castari_common::{Meta, Page};

use super::{Platform, PlatformError};
use crate::store::{agents, sessions};

impl Platform {
    /// A page of an agent's sessions.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn sessions(&self, user_id: &str, slug: &str, page: Page) -> Result<Option<SessionList>, PlatformError> {
        let (user_id, slug) = (user_id.to_owned(), slug.to_owned());
        let listed = self.store.read(move |read| {
            let agent = agents::by_slug(read, &user_id, &slug)?;
            agent.map(|agent| sessions::list(read, &agent.id, page)).transpose()
        });
        Ok(listed.await?.map(|(sessions, total)| SessionList {
            sessions,
            meta: Meta::new(total, page),
        }))
    }

    /// Deletes an agent's session and ends what runs in it; answers whether there was one.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn delete_session(&self, agent: &Agent, id: &str) -> Result<bool, PlatformError> {
        let (agent_id, session_id, turns) = (agent.id.clone(), id.to_owned(), self.turns.clone());
        let deleted = self.store.write(move |write| {
            let deleted = sessions::delete(write, &agent_id, &session_id)?;
            if deleted {
                // Here, where places are taken too: an invocation that makes the session anew is not ended.
                turns.end(&agent_id, &session_id);
            }
            Ok(deleted)
        });
        let deleted = deleted.await?;
        if deleted {
            self.tell_of_session(agent, id);
        }
        Ok(deleted)
    }

    /// Tells of a session that was made or deleted.
    pub(super) fn tell_of_session(&self, agent: &Agent, id: &str) {
        self.events
            .tell(&agent.user_id, EventKind::Session, Some(&agent.slug), id);
    }
}
