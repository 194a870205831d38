//! Secrets: set, listed, deleted, and handed to the agent that they are for.

use castari_common::agents::Agent;
use castari_common::secrets::{Secret, SecretList, SetSecret};

use super::vault::{Unopened, Vault};
use super::{Platform, PlatformError};
use crate::store::agents;
use crate::store::secrets::{self, Sealed};

/// How much an agent's secrets may hold together, in bytes: half of what Linux passes to a program at the least
/// (`ARG_MAX`, 2 MiB with the usual stack), so that the agent can be started with all of them.
const MAX_ALL_BYTES: usize = 1 << 20;

/// A secret's variable and value.
pub(super) type Variable = (String, String);

/// Where a secret belongs, for the vault.
pub(super) fn place(agent_id: &str, key: &str) -> String {
    format!("secret/{agent_id}/{key}")
}

/// Opens an agent's secrets.
pub(super) fn open(vault: &Vault, sealed: Vec<Sealed>) -> Result<Vec<Variable>, Unopened> {
    let open = |secret: Sealed| {
        let value = vault.open(&place(&secret.agent_id, &secret.key), &secret.sealed)?;
        Ok((secret.key, String::from_utf8(value).map_err(|_| Unopened)?))
    };
    sealed.into_iter().map(open).collect()
}

impl Platform {
    /// An agent's secrets, without their values.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn secrets(&self, agent: &Agent) -> Result<SecretList, PlatformError> {
        let id = agent.id.clone();
        let secrets = self.store.read(move |read| secrets::list(read, &id)).await?;
        Ok(SecretList { secrets })
    }

    /// Sets a secret of an agent, which counts from the next invocation; `None` where the agent has gone.
    ///
    /// # Errors
    /// `secrets_too_large`, or when the store fails.
    pub async fn set_secret(&self, agent: &Agent, secret: SetSecret) -> Result<Option<Secret>, PlatformError> {
        let SetSecret { key, value } = secret;
        let sealed = self.vault.seal(&self.world, &place(&agent.id, &key), value.as_bytes());
        let (agent_id, now) = (agent.id.clone(), self.world.now());
        let set = self.store.write(move |write| {
            if agents::by_id(write, &agent_id)?.is_none() {
                return Ok(Ok(None));
            }
            if secrets::bytes_beside(write, &agent_id, &key)? + key.len() + sealed.len() > MAX_ALL_BYTES {
                let detail = "The secrets of an agent may hold 1 MiB together; delete some first";
                return Ok(Err(PlatformError::rejected("secrets_too_large", detail)));
            }
            let secret = Sealed { agent_id, key, sealed };
            secrets::set(write, &secret, now)?;
            Ok(Ok(secrets::by_key(write, &secret.agent_id, &secret.key)?))
        });
        set.await?
    }

    /// Deletes a secret of an agent; answers whether there was one.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn delete_secret(&self, agent: &Agent, key: &str) -> Result<bool, PlatformError> {
        let (agent_id, key) = (agent.id.clone(), key.to_owned());
        Ok(self
            .store
            .write(move |write| secrets::delete(write, &agent_id, &key))
            .await?)
    }
}
