//! Agents: made, changed, stopped, deleted.

use std::sync::Arc;

use castari_common::agents::{Agent, AgentFilter, AgentList, AgentStatus, CreateAgent, UpdateAgent};
use castari_common::events::EventKind;
use castari_common::{Meta, Page};

use super::{Platform, PlatformError, slug};
use crate::objects::blocking;
use crate::store::{QueryResult, Read, agents, departed, deployments};

const DEFAULT_BRANCH: &str = "main";
const DEFAULT_MODEL: &str = "claude-sonnet-4-5";
const DEFAULT_MAX_TURNS: u32 = 50;
const DEFAULT_TIMEOUT_SECONDS: u32 = 120;

/// Nobody's slugs: `/agents/sandbox` would be such an agent's sandbox, and is an agent too.
const RESERVED: [&str; 4] = ["agents", "api-keys", "buckets", "files"];

impl Platform {
    /// A page of a user's agents.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn agents(&self, user_id: &str, filter: AgentFilter, page: Page) -> Result<AgentList, PlatformError> {
        let user_id = user_id.to_owned();
        let (agents, total) = self
            .store
            .read(move |read| agents::list(read, &user_id, &filter, page))
            .await?;
        let meta = Meta::new(total, page);
        Ok(AgentList { agents, meta })
    }

    /// A user's agent.
    ///
    /// # Errors
    /// When the store fails.
    pub fn agent(&self, user_id: &str, slug: &str) -> Result<Option<Agent>, PlatformError> {
        let key = format!("{user_id}/{slug}");
        let found = self.store.recall(&self.memory.agents, key, |read| {
            Ok(agents::by_slug(read, user_id, slug)?.map(Arc::new))
        });
        Ok(found?.map(Arc::unwrap_or_clone))
    }

    /// Makes an agent.
    ///
    /// # Errors
    /// `slug_taken`, or when the store fails.
    pub async fn create_agent(&self, user_id: &str, create: CreateAgent) -> Result<Agent, PlatformError> {
        let now = self.world.now();
        let mut agent = Agent {
            id: self.world.id("agt"),
            user_id: user_id.into(),
            slug: create.slug.clone().unwrap_or_default(),
            name: create.name,
            description: create.description,
            source_type: create.source_type.unwrap_or_default(),
            git_repo_url: create.git_repo_url,
            git_branch: create.git_branch.unwrap_or_else(|| DEFAULT_BRANCH.into()),
            source_hash: None,
            default_model: create.default_model.unwrap_or_else(|| DEFAULT_MODEL.into()),
            max_turns: create.max_turns.unwrap_or(DEFAULT_MAX_TURNS),
            timeout_seconds: create.timeout_seconds.unwrap_or(DEFAULT_TIMEOUT_SECONDS),
            status: AgentStatus::Draft,
            status_message: None,
            sandbox_id: None,
            created_at: now,
            updated_at: now,
        };
        let inserted = self.store.write(move |write| {
            if agent.slug.is_empty() {
                agent.slug = slug::free(&slug::of(&agent.name, "agent"), |slug| {
                    is_taken(write, &agent.user_id, slug)
                })?;
            } else if is_taken(write, &agent.user_id, &agent.slug)? {
                return Ok(Err(agent.slug));
            }
            agents::insert(write, &agent)?;
            Ok(Ok(agent))
        });
        let agent = inserted
            .await?
            .map_err(|slug| PlatformError::rejected("slug_taken", format!("The slug `{slug}` is taken")))?;
        self.tell_of(&agent);
        Ok(agent)
    }

    /// Changes an agent.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn update_agent(
        &self,
        user_id: &str,
        slug: &str,
        change: UpdateAgent,
    ) -> Result<Option<Agent>, PlatformError> {
        let (user_id, slug, now) = (user_id.to_owned(), slug.to_owned(), self.world.now());
        let updated = self.store.write(move |write| {
            let Some(agent) = agents::by_slug(write, &user_id, &slug)? else {
                return Ok(None);
            };
            agents::update(write, &agent.id, &change, now)?;
            agents::by_id(write, &agent.id)
        });
        let updated = updated.await?;
        if let Some(agent) = &updated {
            self.tell_of(agent);
        }
        Ok(updated)
    }

    /// Stops an agent: what runs for it ends, and it takes no invocations until it is deployed again.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn stop_agent(self: &Arc<Self>, user_id: &str, slug: &str) -> Result<Option<Agent>, PlatformError> {
        let (platform, user_id, slug) = (Arc::clone(self), user_id.to_owned(), slug.to_owned());
        self.see_through(async move { platform.stop(user_id, slug).await })
            .await
    }

    async fn stop(&self, user_id: String, slug: String) -> Result<Option<Agent>, PlatformError> {
        let now = self.world.now();
        let stopped = self.store.write(move |write| {
            let Some(agent) = agents::by_slug(write, &user_id, &slug)? else {
                return Ok(None);
            };
            agents::set_serving(write, &agent.id, None)?;
            agents::set_status(write, &agent.id, AgentStatus::Stopped, None, now)?;
            agents::by_id(write, &agent.id)
        });
        let stopped = stopped.await?;
        if let Some(agent) = &stopped {
            self.running.end(&agent.id);
            self.tell_of(agent);
            self.collect().await?;
        }
        Ok(stopped)
    }

    /// Deletes an agent and everything that belongs to it; answers whether there was one.
    ///
    /// # Errors
    /// When the store or the disk fails.
    pub async fn delete_agent(self: &Arc<Self>, user_id: &str, slug: &str) -> Result<bool, PlatformError> {
        let (platform, user_id, slug) = (Arc::clone(self), user_id.to_owned(), slug.to_owned());
        self.see_through(async move { platform.delete(user_id, slug).await })
            .await
    }

    async fn delete(self: &Arc<Self>, user_id: String, slug: String) -> Result<bool, PlatformError> {
        let deleted = self.store.write(move |write| {
            let Some(agent) = agents::by_slug(write, &user_id, &slug)? else {
                return Ok(None);
            };
            let logs = deployments::ids(write, &agent.id)?;
            agents::delete(write, &agent.id)?;
            departed::add(write, &agent.id, &agent.user_id)?;
            Ok(Some((agent, logs)))
        });
        let Some((agent, logs)) = deleted.await? else {
            return Ok(false);
        };
        self.running.end(&agent.id);
        // At the end of the server it is left to the next start.
        let _ = self.sweep_departed();
        for id in logs {
            self.objects.logs.remove(&id);
        }
        self.collect().await?;
        self.tell_of(&agent);
        Ok(true)
    }

    /// Removes archives and trees that no agent needs any more.
    pub(super) async fn collect(&self) -> Result<(), PlatformError> {
        let _keeping = self.keeping.lock().await;
        let used = self
            .store
            .read(|read| Ok((deployments::serving_code(read)?, agents::uploads(read)?)));
        let (code, uploads) = used.await?;
        let (trees, archives) = (self.objects.code.clone(), self.objects.uploads.clone());
        let removed = blocking(move || {
            trees.discard_all_but(&code)?;
            archives.sweep(&uploads)
        });
        Ok(removed.await?)
    }

    /// Tells of a change of an agent.
    pub(super) fn tell_of(&self, agent: &Agent) {
        self.events
            .tell(&agent.user_id, EventKind::Agent, Some(&agent.slug), &agent.id);
    }
}

/// Whether a slug is not to be had.
fn is_taken(read: &Read<'_>, user_id: &str, slug: &str) -> QueryResult<bool> {
    Ok(RESERVED.contains(&slug) || agents::by_slug(read, user_id, slug)?.is_some())
}
