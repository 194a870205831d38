//! Deployments: an agent's source becomes code that serves.

use std::sync::Arc;

use bytes::Bytes;
use castari_common::agents::{Agent, AgentStatus, SourceType, UploadedCode};
use castari_common::deployments::{Deployment, DeploymentList};
use castari_common::events::EventKind;
use castari_common::{Meta, Page};
use futures::{Stream, TryStreamExt};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::build::{self, BuildError, Source};
use super::{INTERRUPTED, Platform, PlatformError};
use crate::objects::{DeployLog, LogReader, blocking};
use crate::store::deployments::Build;
use crate::store::{agents, deployments, sessions};

/// A deployment that was accepted.
struct Accepted {
    agent: Agent,
    id: String,
    source: Source,
    token: CancellationToken,
}

impl Platform {
    /// A page of an agent's deployments.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn deployments(
        &self,
        user_id: &str,
        slug: &str,
        page: Page,
    ) -> Result<Option<DeploymentList>, PlatformError> {
        let (user_id, slug) = (user_id.to_owned(), slug.to_owned());
        let listed = self.store.read(move |read| {
            let agent = agents::by_slug(read, &user_id, &slug)?;
            agent.map(|agent| deployments::list(read, &agent.id, page)).transpose()
        });
        Ok(listed.await?.map(|(deployments, total)| DeploymentList {
            deployments,
            meta: Meta::new(total, page),
        }))
    }

    /// A deployment's log, from its start; with `follow`, until the deployment ends.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn deployment_log(
        &self,
        user_id: &str,
        slug: &str,
        id: &str,
        follow: bool,
    ) -> Result<Option<LogReader>, PlatformError> {
        let (user_id, slug, wanted) = (user_id.to_owned(), slug.to_owned(), id.to_owned());
        let found: Option<Deployment> = self
            .store
            .read(move |read| match agents::by_slug(read, &user_id, &slug)? {
                Some(agent) => deployments::by_id(read, &agent.id, &wanted),
                None => Ok(None),
            })
            .await?;
        Ok(found.map(|_| self.objects.logs.read(id, follow)))
    }

    /// Receives an archive as an agent's code from now on, and with `deploy` deploys it. What is no archive of an agent
    /// is refused and changes nothing.
    ///
    /// # Errors
    /// `archive_invalid`, `deploy_in_progress`, `deploy_failed`, or when the store, the disk or the sandbox fails.
    pub async fn upload_code(
        self: &Arc<Self>,
        agent: Agent,
        mut archive: impl Stream<Item = Result<Bytes, PlatformError>> + Unpin,
        deploy: bool,
    ) -> Result<UploadedCode, PlatformError> {
        if deploy && agent.status == AgentStatus::Deploying {
            return Err(in_progress());
        }
        let name = self.world.id("upload");
        let limit = self.settings.max_upload_bytes;
        let mut upload = self.objects.uploads.receive(&name).await?;
        while let Some(bytes) = archive.try_next().await? {
            upload.write(&bytes).await?;
            if upload.length() > limit {
                return Err(PlatformError::TooLarge(format!(
                    "The archive is larger than {} MiB",
                    limit >> 20
                )));
            }
        }
        let staging = self.objects.staging(&name)?;
        let path = upload.path().to_owned();
        upload.flush().await?;
        let checked = blocking(move || {
            let checked = build::check_archive(&path, staging.path());
            drop(staging);
            Ok(checked)
        });
        checked.await?.map_err(|error| refuse(error, "archive_invalid"))?;
        let source_hash = {
            let _keeping = self.keeping.lock().await;
            let hash = self.objects.uploads.keep(upload).await?;
            let (id, upload, now) = (agent.id.clone(), hash.clone(), self.world.now());
            self.store
                .write(move |write| agents::set_upload(write, &id, &upload, now))
                .await?;
            hash
        };
        self.collect().await?;
        let (agent, message) = if deploy {
            (self.deploy(agent, true).await?, "Code uploaded and deployed")
        } else {
            (self.reread(agent).await?, "Code uploaded")
        };
        Ok(UploadedCode {
            agent_id: agent.id,
            source_hash,
            status: agent.status,
            sandbox_id: agent.sandbox_id,
            message: message.into(),
        })
    }

    /// Deploys an agent from its latest code; with `wait`, answers when that has ended.
    ///
    /// # Errors
    /// `deploy_in_progress`, with `wait` also `deploy_failed`, or when the store or the disk fails.
    pub async fn deploy(self: &Arc<Self>, agent: Agent, wait: bool) -> Result<Agent, PlatformError> {
        let platform = Arc::clone(self);
        let (tell, told) = oneshot::channel();
        // Whoever asked may go away at any moment: what was recorded as started is to run all the same.
        let task = self.spawn(async move {
            match platform.accept(agent).await {
                Ok(accepted) => {
                    let _ = tell.send(Ok((accepted.agent.clone(), accepted.id.clone())));
                    platform.run(accepted).await;
                }
                Err(error) => drop(tell.send(Err(error))),
            }
        })?;
        let (agent, id) = told.await.map_err(|_| PlatformError::ShuttingDown)??;
        if !wait {
            return Ok(agent);
        }
        // A failure to record how it ended is in the log already.
        let _ = task.await;
        let agent_id = agent.id.clone();
        let ended = self
            .store
            .read(move |read| Ok(agents::by_id(read, &agent_id)?.zip(deployments::by_id(read, &agent_id, &id)?)));
        let failed = |reason: &str| PlatformError::rejected("deploy_failed", reason);
        match ended.await? {
            None => Err(failed("The agent was deleted")),
            Some((
                _,
                Deployment {
                    error: Some(reason), ..
                },
            )) => Err(failed(&reason)),
            Some((agent, _)) => Ok(agent),
        }
    }

    async fn reread(&self, agent: Agent) -> Result<Agent, PlatformError> {
        let id = agent.id.clone();
        Ok(self
            .store
            .read(move |read| agents::by_id(read, &id))
            .await?
            .unwrap_or(agent))
    }

    /// Records that a deployment starts, unless one runs.
    async fn accept(&self, agent: Agent) -> Result<Accepted, PlatformError> {
        let token = self.running.token(&agent.id);
        let (id, now) = (self.world.id("dep"), self.world.now());
        let (agent_id, deployment_id) = (agent.id.clone(), id.clone());
        let accepted = self.store.write(move |write| {
            let Some(agent) = agents::by_id(write, &agent_id)? else {
                return Ok(Err(PlatformError::rejected("agent_not_found", "The agent was deleted")));
            };
            if agent.status == AgentStatus::Deploying {
                return Ok(Err(in_progress()));
            }
            let archive = match agent.source_type {
                SourceType::Local => agents::upload(write, &agent.id)?,
                SourceType::Git => None,
            };
            deployments::insert(write, &agent.id, &deployment_id, archive.as_deref(), now)?;
            agents::set_deploying(write, &agent.id, &deployment_id, now)?;
            let deploying = agents::by_id(write, &agent.id)?.unwrap_or(agent);
            Ok(Ok((deploying, archive)))
        });
        let (agent, archive) = accepted.await??;
        let source = match (archive, &agent.git_repo_url) {
            (Some(hash), _) => Source::Archive(self.objects.uploads.path(&hash)),
            (None, Some(url)) => Source::Repository {
                url: url.clone(),
                branch: agent.git_branch.clone(),
            },
            (None, None) => Source::Starter,
        };
        self.tell_of(&agent);
        self.events
            .tell(&agent.user_id, EventKind::Deployment, Some(&agent.slug), &id);
        Ok(Accepted {
            agent,
            id,
            source,
            token,
        })
    }

    /// Builds, and records how it ended.
    async fn run(self: Arc<Self>, accepted: Accepted) {
        let Accepted { agent, id, .. } = &accepted;
        let outcome = match self.objects.logs.begin(id) {
            Ok(mut log) => self.build_and_serve(&accepted, &mut log).await,
            Err(error) => Err(error.into()),
        };
        let outcome = match outcome {
            Ok(()) => Ok(()),
            Err(error) => self.record_failure(&agent.id, id, error).await,
        };
        if let Err(error) = outcome {
            tracing::error!(deployment = id, %error, "cannot record how a deployment ended");
        }
        self.tell_of(agent);
        self.events
            .tell(&agent.user_id, EventKind::Deployment, Some(&agent.slug), id);
        if let Err(error) = self.tidy(&agent.id, id).await {
            tracing::error!(%error, "cannot remove what is no longer needed");
        }
    }

    /// Removes what a deployment made superfluous: code and archives, and its own log where its agent has gone.
    async fn tidy(&self, agent_id: &str, id: &str) -> Result<(), PlatformError> {
        let (agent_id, wanted) = (agent_id.to_owned(), id.to_owned());
        let found = self
            .store
            .read(move |read| deployments::by_id(read, &agent_id, &wanted))
            .await?;
        if found.is_none() {
            self.objects.logs.remove(id);
        }
        self.collect().await
    }

    async fn build_and_serve(&self, accepted: &Accepted, log: &mut DeployLog) -> Result<(), BuildError> {
        let outcome = match self.build(accepted, log).await {
            Ok(built) => self.serve(accepted, built).await,
            Err(error) => Err(error),
        };
        let outcome = outcome.map_err(|error| match error {
            BuildError::Cancelled if self.ending.is_cancelled() => BuildError::Failed(INTERRUPTED.into()),
            BuildError::Cancelled => BuildError::Failed("The agent was stopped".into()),
            error => error,
        });
        match &outcome {
            Ok(()) => log.say("Deployed"),
            Err(BuildError::Failed(reason)) => log.say(&format!("Failed: {reason}")),
            Err(_) => log.say("Failed"),
        }
        outcome
    }

    async fn build(&self, accepted: &Accepted, log: &mut DeployLog) -> Result<build::Built, BuildError> {
        let _permit = tokio::select! {
            permit = self.builds.acquire() => permit,
            () = accepted.token.cancelled() => return Err(BuildError::Cancelled),
        };
        let workshop = build::Workshop {
            objects: &self.objects,
            launcher: &self.launcher,
            world: &self.world,
            timeout: self.settings.build_timeout,
            cancel: &accepted.token,
        };
        workshop.build(&accepted.source, &accepted.id, log).await
    }

    /// Keeps what was built and makes it the code that serves, unless the agent was stopped meanwhile. That ends its sessions.
    async fn serve(&self, accepted: &Accepted, finished: build::Built) -> Result<(), BuildError> {
        let settled = self.objects.code.settle(finished.tree).await?;
        let _keeping = self.keeping.lock().await;
        let build = Build {
            code_hash: self.objects.code.keep(settled)?,
            source_hash: finished.source_hash,
            node_args: finished.node_args,
        };
        let (agent_id, id, now) = (accepted.agent.id.clone(), accepted.id.clone(), self.world.now());
        let turns = self.turns.clone();
        let served = self.store.write(move |write| {
            if !agents::is_deploying(write, &agent_id, &id)? {
                return Ok(None);
            }
            deployments::succeed(write, &id, &build, now)?;
            agents::set_serving(write, &agent_id, Some(&id))?;
            agents::set_status(write, &agent_id, AgentStatus::Active, None, now)?;
            // A session is one of the code that it began with.
            let ended = sessions::delete_all(write, &agent_id)?;
            turns.end_all(&agent_id);
            Ok(Some(ended))
        });
        let ended = served.await?.ok_or(BuildError::Cancelled)?;
        for session_id in ended {
            self.tell_of_session(&accepted.agent, &session_id);
        }
        Ok(())
    }

    /// Records why a deployment failed. What served before goes on serving.
    async fn record_failure(&self, agent_id: &str, id: &str, error: BuildError) -> Result<(), PlatformError> {
        let reason = match error {
            BuildError::Internal(error) => self.refuse_internal(&error),
            error => error.to_string(),
        };
        let (agent_id, id, now) = (agent_id.to_owned(), id.to_owned(), self.world.now());
        let recorded = self.store.write(move |write| {
            deployments::fail(write, &id, &reason, now)?;
            if agents::is_deploying(write, &agent_id, &id)? {
                let serves = agents::is_serving(write, &agent_id)?;
                let status = if serves {
                    AgentStatus::Active
                } else {
                    AgentStatus::Error
                };
                agents::set_status(write, &agent_id, status, Some(&reason), now)?;
            }
            Ok(())
        });
        Ok(recorded.await?)
    }

    /// Says of a failure of the platform's own what its owner may know, and logs the rest.
    fn refuse_internal(&self, error: &PlatformError) -> String {
        let id = self.world.id("err");
        tracing::error!(id, %error, "a deployment failed for a reason of the server's own");
        match error {
            PlatformError::Sandbox(error) => format!("The sandbox could not be made: {error}"),
            _ => format!("The server could not finish this; its log says why under {id}"),
        }
    }
}

/// A failure of a build as the answer to whoever asked for it.
fn refuse(error: BuildError, code: &'static str) -> PlatformError {
    match error {
        BuildError::Internal(error) => error,
        error => PlatformError::rejected(code, error.to_string()),
    }
}

fn in_progress() -> PlatformError {
    PlatformError::rejected("deploy_in_progress", "A deploy of this agent is running already")
}
