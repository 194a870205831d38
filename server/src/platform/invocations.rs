//! Invocations: an agent runs.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use castari_common::agents::{Agent, AgentStatus};
use castari_common::events::EventKind;
use castari_common::invocations::{
    Invocation, InvocationEvent, InvocationFailure, InvocationFilter, InvocationList, InvocationResponse,
    InvocationStatus, Invoke, Started,
};
use castari_common::{Meta, Page};
use futures::FutureExt;
use nix::libc;
use tokio::io::AsyncWriteExt;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::mask::Mask;
use super::output::{Output, PATIENCE, Sink};
use super::secrets::{Variable, open};
use super::turns::Place;
use super::{INTERRUPTED, Platform, PlatformError};
use crate::objects::CodeLease;
use crate::sandbox::{Command, Ending, SandboxError, Spec, Streams, Workspace};
use crate::store::deployments::Build;
use crate::store::invocations::{self, NewInvocation, Outcome, Owner, Spent};
use crate::store::{agents, deployments, secrets, sessions};

/// What an agent may write to memory.
const SCRATCH_BYTES: u64 = 1 << 30;

/// How many pieces of output may wait for whoever follows an invocation; then the agent waits.
const FOLLOWED_PIECES: usize = 64;

/// An invocation that was accepted.
struct Accepted {
    agent: Agent,
    id: String,
    session_id: String,
    prompt: String,
    build: Build,
    code: CodeLease,
    secrets: Vec<Variable>,
    token: CancellationToken,
    /// The place in the session's line, where the caller named a session.
    place: Option<Place>,
    since: Instant,
}

impl Accepted {
    /// Waits until the session ends that the caller named; for ever where none was.
    async fn session_ended(&self) {
        match &self.place {
            Some(place) => place.ended().await,
            None => std::future::pending().await,
        }
    }
}

/// How an agent ended.
enum End {
    Completed,
    Failed { code: &'static str, reason: String },
}

impl End {
    fn failed(code: &'static str, reason: impl Into<String>) -> Self {
        let reason = reason.into();
        Self::Failed { code, reason }
    }
}

impl Platform {
    /// A page of the invocations of all of a user's agents, or of the one that `filter` names; `None` where there is no
    /// such agent.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn invocations(
        &self,
        user_id: &str,
        filter: InvocationFilter,
        page: Page,
    ) -> Result<Option<InvocationList>, PlatformError> {
        match &filter.agent {
            None => self.list(Owner::User(user_id.into()), filter, page).await.map(Some),
            Some(slug) => match self.agent(user_id, slug)? {
                Some(agent) => self.agent_invocations(&agent, filter, page).await.map(Some),
                None => Ok(None),
            },
        }
    }

    /// A page of an agent's invocations.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn agent_invocations(
        &self,
        agent: &Agent,
        filter: InvocationFilter,
        page: Page,
    ) -> Result<InvocationList, PlatformError> {
        self.list(Owner::Agent(agent.id.clone()), filter, page).await
    }

    async fn list(&self, owner: Owner, filter: InvocationFilter, page: Page) -> Result<InvocationList, PlatformError> {
        let listed = self
            .store
            .read(move |read| invocations::list(read, &owner, &filter, page));
        let (invocations, total) = listed.await?;
        let meta = Meta::new(total, page);
        Ok(InvocationList { invocations, meta })
    }

    /// A user's invocation, whole.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn invocation(&self, user_id: &str, id: &str) -> Result<Option<Invocation>, PlatformError> {
        let (user_id, id) = (user_id.to_owned(), id.to_owned());
        Ok(self
            .store
            .read(move |read| invocations::by_id(read, &user_id, &id))
            .await?)
    }

    /// What a user's invocation wrote to stderr.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn invocation_log(&self, user_id: &str, id: &str) -> Result<Option<String>, PlatformError> {
        let (user_id, id) = (user_id.to_owned(), id.to_owned());
        Ok(self
            .store
            .read(move |read| invocations::log(read, &user_id, &id))
            .await?)
    }

    /// Runs an agent. The invocation goes on when the caller goes away.
    ///
    /// # Errors
    /// `agent_not_active`, [`PlatformError::InvocationFailed`], or when the store or the disk fails.
    pub async fn invoke(self: &Arc<Self>, agent: Agent, invoke: Invoke) -> Result<InvocationResponse, PlatformError> {
        let platform = Arc::clone(self);
        // Whoever asked may go away at any moment: what was recorded as started is to run all the same.
        self.see_through(async move {
            let accepted = platform.begin(agent, invoke).await?;
            platform.run_invocation(accepted, None).await
        })
        .await
    }

    /// Runs an agent and yields what it writes, as it does. Dropping the receiver ends the invocation.
    ///
    /// # Errors
    /// `agent_not_active`, or when the store or the disk fails before the agent starts.
    pub async fn stream(
        self: &Arc<Self>,
        agent: Agent,
        invoke: Invoke,
    ) -> Result<mpsc::Receiver<InvocationEvent>, PlatformError> {
        let (follower, events) = mpsc::channel(FOLLOWED_PIECES);
        let platform = Arc::clone(self);
        let (tell, told) = oneshot::channel();
        self.spawn(async move {
            let accepted = match platform.begin(agent, invoke).await {
                Ok(accepted) => accepted,
                Err(error) => return drop(tell.send(Err(error))),
            };
            let _ = tell.send(Ok(()));
            let last = match platform.run_invocation(accepted, Some(follower.clone())).await {
                Ok(response) => InvocationEvent::Done(response),
                Err(PlatformError::InvocationFailed(failure)) => InvocationEvent::Error(*failure),
                Err(error) => {
                    tracing::error!(%error, "an invocation could not be recorded");
                    return;
                }
            };
            // Whoever followed may have gone: the invocation is recorded all the same.
            let _ = follower.send_timeout(last, PATIENCE).await;
        })?;
        told.await.map_err(|_| PlatformError::ShuttingDown)??;
        Ok(events)
    }

    /// Records that an invocation starts, where the agent serves.
    async fn begin(&self, agent: Agent, invoke: Invoke) -> Result<Accepted, PlatformError> {
        let since = Instant::now();
        let token = self.running.token(&agent.id);
        let named = invoke.session_id.clone();
        let session_id = invoke.session_id.unwrap_or_else(|| self.world.id("sess"));
        let (id, now) = (self.world.id("inv"), self.world.now());
        let new = NewInvocation {
            id: id.clone(),
            user_id: agent.user_id.clone(),
            agent_id: agent.id.clone(),
            session_id: session_id.clone(),
            prompt: invoke.prompt.clone(),
        };
        let inactive = || PlatformError::rejected("agent_not_active", "Agent not active");
        let (build, code) = self.lease(&agent.id).await?.ok_or_else(inactive)?;
        let sealed = self.store.look_up(|read| secrets::sealed_of(read, &agent.id))?;
        let secrets = open(&self.vault, sealed)?;
        let turns = self.turns.clone();
        let begun = self.store.write(move |write| {
            let status = agents::by_id(write, &new.agent_id)?.map(|agent| agent.status);
            if !matches!(status, Some(AgentStatus::Active | AgentStatus::Deploying)) {
                return Ok(None);
            }
            invocations::insert(write, &new, now)?;
            let Some(session_id) = named else {
                return Ok(Some(None));
            };
            let is_new = sessions::touch(write, &new.agent_id, &session_id, now)?;
            // Here, so that turns come in the order in which invocations are recorded.
            let place = turns.join(&new.agent_id, &session_id);
            Ok(Some(Some((place, is_new))))
        });
        let session = begun.await?.ok_or_else(inactive)?;
        let place = session.map(|(place, is_new)| {
            if is_new {
                self.tell_of_session(&agent, &session_id);
            }
            place
        });
        self.events
            .tell(&agent.user_id, EventKind::Invocation, Some(&agent.slug), &id);
        Ok(Accepted {
            agent,
            id,
            session_id,
            prompt: invoke.prompt,
            build,
            code,
            secrets,
            token,
            place,
            since,
        })
    }

    /// The build that serves, and a lease on its code; `None` where none serves.
    async fn lease(&self, agent_id: &str) -> Result<Option<(Build, CodeLease)>, PlatformError> {
        let mut missing = None;
        loop {
            let id = agent_id.to_owned();
            let serving = self.store.read(move |read| deployments::serving(read, &id)).await?;
            let Some(build) = serving else {
                return Ok(None);
            };
            if let Some(code) = self.objects.code.lease(&build.code_hash) {
                return Ok(Some((build, code)));
            }
            // Where a deploy replaced it since it was read, the next look finds what serves instead.
            if missing.as_ref() == Some(&build.code_hash) {
                let detail = "The agent's code is gone from the data directory; deploy it again";
                return Err(PlatformError::rejected("code_missing", detail));
            }
            missing = Some(build.code_hash);
        }
    }

    /// Runs the agent in a sandbox of its own, and records how it ended.
    async fn run_invocation(
        &self,
        accepted: Accepted,
        follower: Option<mpsc::Sender<InvocationEvent>>,
    ) -> Result<InvocationResponse, PlatformError> {
        let mask = Mask::new(accepted.secrets.iter().map(|(_, value)| value.as_str()));
        let mut sink = Sink::new(follower, &mask);
        let abandoned = sink.abandoned();
        let end = tokio::select! {
            end = AssertUnwindSafe(self.run_in_sandbox(&accepted, &mut sink)).catch_unwind() => match end {
                Ok(Ok(end)) => end,
                Ok(Err(error)) => {
                    tracing::error!(invocation = accepted.id, %error, "a sandbox failed");
                    End::failed("sandbox_failed", format!("Agent execution failed: {error}"))
                }
                // The panic's message went to stderr when it happened.
                Err(_) => End::failed("internal_error", "Agent execution failed: internal server error"),
            },
            () = accepted.token.cancelled() => if self.ending.is_cancelled() {
                End::failed("interrupted", INTERRUPTED)
            } else {
                End::failed("stopped", "Agent execution failed: the agent was stopped")
            },
            () = accepted.session_ended() => {
                End::failed("stopped", "Agent execution failed: the session was deleted")
            }
            () = abandoned => End::failed("cancelled", "Cancelled: the stream was closed by its client"),
        };
        // No gateway counts what models take yet.
        let spent = Spent::default();
        self.record(accepted, sink.sandbox_id(), sink.finish(), end, spent)
            .await
    }

    async fn run_in_sandbox(&self, accepted: &Accepted, sink: &mut Sink) -> Result<End, SandboxError> {
        // Who waits for a turn holds up nobody else.
        if let Some(place) = &accepted.place {
            place.turn().await;
        }
        let _permit = self.invocations.acquire().await;
        let spec = Spec {
            id: self.world.id("sbx"),
            workspace: Workspace::Overlay(self.objects.relative(&accepted.code.path())),
            binds: Vec::new(),
            scratch_bytes: SCRATCH_BYTES,
        };
        let sandbox = self.launcher.sandbox(spec).await?;
        sink.start(Started {
            invocation_id: accepted.id.clone(),
            session_id: accepted.session_id.clone(),
            sandbox_id: Some(sandbox.id().into()),
        });
        let deadline = Duration::from_secs(accepted.agent.timeout_seconds.into());
        let (process, streams) = sandbox.start(self.command(accepted)).await?;
        let Streams {
            stdin,
            mut stdout,
            mut stderr,
        } = streams;
        let feed = async {
            if let Some(mut stdin) = stdin {
                // An agent need not read its prompt.
                let _ = stdin.write_all(accepted.prompt.as_bytes()).await;
            }
        };
        let (ending, (), ()) = tokio::join!(
            process.finish(tokio::time::sleep(deadline)),
            sink.take(&mut stdout, &mut stderr),
            feed
        );
        Ok(match ending? {
            None => End::failed(
                "timeout",
                format!("Timeout exceeded after {} seconds", deadline.as_secs()),
            ),
            Some(ending) => judge(ending, sink.output()),
        })
    }

    /// What runs the agent.
    fn command(&self, accepted: &Accepted) -> Command {
        let host = self.launcher.host();
        let own = [
            ("CASTARI_AGENT", &accepted.agent.slug),
            ("CASTARI_INVOCATION_ID", &accepted.id),
            ("CASTARI_SESSION_ID", &accepted.session_id),
            ("CASTARI_MODEL", &accepted.agent.default_model),
            ("CASTARI_MAX_TURNS", &accepted.agent.max_turns.to_string()),
        ];
        let own = own.map(|(key, value)| (key.to_owned(), value.clone()));
        Command {
            argv: std::iter::once(&host.node)
                .chain(&accepted.build.node_args)
                .cloned()
                .collect(),
            env: environment([host.env.clone(), accepted.secrets.clone(), own.into()]),
            cwd: Path::new("/workspace").into(),
        }
    }

    /// Records how an invocation ended and makes the caller's answer of it.
    async fn record(
        &self,
        accepted: Accepted,
        sandbox_id: Option<String>,
        output: Output,
        end: End,
        spent: Spent,
    ) -> Result<InvocationResponse, PlatformError> {
        let duration_ms = u64::try_from(accepted.since.elapsed().as_millis()).unwrap_or(u64::MAX);
        let failure = match end {
            End::Completed => None,
            End::Failed { code, reason } => Some((code, reason)),
        };
        let status = if failure.is_some() {
            InvocationStatus::Failed
        } else {
            InvocationStatus::Completed
        };
        let response = InvocationResponse {
            invocation_id: accepted.id.clone(),
            session_id: accepted.session_id,
            sandbox_id: sandbox_id.clone(),
            response_content: output.stdout.clone(),
            input_tokens: spent.input_tokens,
            output_tokens: spent.output_tokens,
            total_cost_usd: spent.cost.to_f64(),
            duration_ms,
            status,
        };
        let id = accepted.id.clone();
        let outcome = Outcome {
            status,
            sandbox_id,
            error_message: failure.as_ref().map(|(_, reason)| reason.clone()),
            response: output.stdout,
            log: output.stderr,
            duration_ms,
            spent,
        };
        self.store
            .write(move |write| invocations::finish(write, &id, &outcome))
            .await?;
        self.events.tell(
            &accepted.agent.user_id,
            EventKind::Invocation,
            Some(&accepted.agent.slug),
            &accepted.id,
        );
        match failure {
            None => Ok(response),
            Some((code, detail)) => Err(PlatformError::InvocationFailed(Box::new(InvocationFailure {
                detail,
                code: code.into(),
                response,
            }))),
        }
    }
}

/// Variables put together, each once: of those with the same name, the last counts.
fn environment(parts: [Vec<Variable>; 3]) -> Vec<Variable> {
    let variables: BTreeMap<String, String> = parts.into_iter().flatten().collect();
    variables.into_iter().collect()
}

/// What an ending means.
fn judge(ending: Ending, output: &Output) -> End {
    const OUT_OF_MEMORY: &str = "Agent execution failed: out of memory";
    let aborted = matches!(
        ending,
        Ending::Killed(libc::SIGABRT | libc::SIGTRAP) | Ending::Exited(134)
    );
    match ending {
        Ending::Exited(0) => End::Completed,
        Ending::OutOfMemory => End::failed("out_of_memory", format!("{OUT_OF_MEMORY} (its sandbox may use 2 GiB)")),
        _ if aborted && output.stderr.contains("heap out of memory") => {
            End::failed("out_of_memory", format!("{OUT_OF_MEMORY} (node's heap is full)"))
        }
        Ending::Exited(status) => {
            let last = output
                .stderr
                .lines()
                .rev()
                .find(|line| !line.trim().is_empty())
                .unwrap_or_default();
            let last: String = last.chars().take(200).collect();
            let said = if last.is_empty() {
                String::new()
            } else {
                format!(": {last}")
            };
            End::failed(
                "agent_failed",
                format!("Agent execution failed: it ended with status {status}{said}"),
            )
        }
        Ending::Killed(signal) => {
            let name = nix::sys::signal::Signal::try_from(signal).map_or("a signal", |signal| signal.as_str());
            End::failed(
                "agent_killed",
                format!("Agent execution failed: it was killed by {name}"),
            )
        }
    }
}
