//! What the state asks the outside world for. Effects are data; a [`Runner`] makes each into a task, which answers
//! with messages.

mod events;
mod folder;
mod gate;
mod invoke;
mod launch;
mod log;

use std::collections::HashMap;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use castari_common::agents::{AgentFilter, CreateAgent};
use castari_common::invocations::InvocationFilter;
use castari_common::{Client, ClientError, Page};
use futures::FutureExt;
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::AbortHandle;

use crate::message::{Act, Answer, Failure, FailureKind, Message, Stale, Task};
use gate::Gate;
pub use launch::Source;

/// How long an answer to a read may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Something to do outside of the state.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Follow what changes on the server, for as long as the dashboard runs.
    Watch,
    /// Say [`Message::Refresh`] after a while.
    RefreshAfter(Duration, Stale),
    /// Say [`Message::Waited`] after a while.
    Wait(Task, Duration),
    /// Read a page of agents that contain a text.
    Agents(Task, String, Page),
    /// Read an agent.
    Agent(Task, String),
    /// Read a page of an agent's deployments.
    Deployments(Task, String, Page),
    /// Read the log of a deployment, and follow it if the deployment goes on.
    Log {
        /// Its name.
        task: Task,
        /// The agent.
        slug: String,
        /// The deployment's id.
        deployment: String,
        /// Whether more is to come.
        follow: bool,
    },
    /// Read a page of the invocations of one agent or of all.
    Invocations(Task, Option<String>, Page),
    /// Read an invocation and its log.
    Invocation(Task, String),
    /// Ask something of an agent.
    Act(Act, String),
    /// See what is in a folder.
    Inspect(Task, String),
    /// Complete a path.
    Complete(Task, String),
    /// Make an agent.
    Create(Task, CreateAgent),
    /// Bring an agent into service: pack and upload its folder if it has one, deploy, follow the log.
    Launch {
        /// Its name.
        task: Task,
        /// The agent.
        slug: String,
        /// Where its code is.
        source: Source,
    },
    /// Run an agent and follow its answer.
    Invoke {
        /// Its name.
        task: Task,
        /// The agent.
        slug: String,
        /// What it is asked.
        prompt: String,
    },
    /// Give up a task; what it holds open is closed.
    Cancel(Task),
}

/// Runs effects.
pub struct Runner {
    client: Client,
    queue: UnboundedSender<Message>,
    gate: Gate,
    running: HashMap<Task, AbortHandle>,
    watching: Option<AbortHandle>,
}

impl Runner {
    /// A runner whose tasks call through `client` and answer into `queue`.
    #[must_use]
    pub fn new(client: Client, queue: UnboundedSender<Message>) -> Self {
        let gate = Gate::default();
        Self {
            client,
            queue,
            gate,
            running: HashMap::new(),
            watching: None,
        }
    }

    /// Starts an effect.
    pub fn run(&mut self, effect: Effect) {
        self.running.retain(|_, task| !task.is_finished());
        let (client, queue) = (self.client.clone(), self.queue.clone());
        match effect {
            Effect::Watch => {
                let task = self.spawn(events::watch(client, queue));
                if let Some(former) = self.watching.replace(task) {
                    former.abort();
                }
            }
            Effect::RefreshAfter(wait, stale) => {
                self.spawn(async move {
                    tokio::time::sleep(wait).await;
                    tell(&queue, Message::Refresh(stale));
                });
            }
            Effect::Wait(task, wait) => self.keep(task, async move {
                tokio::time::sleep(wait).await;
                tell(&queue, Message::Waited(task));
            }),
            Effect::Log {
                task,
                slug,
                deployment,
                follow,
            } => {
                let gate = self.gate.clone();
                self.keep(task, async move {
                    gate.pass().await;
                    let send = |piece| tell(&queue, Message::Log(task, piece));
                    log::read(&client, &slug, &deployment, follow, &send).await;
                });
            }
            Effect::Act(act, slug) => {
                self.spawn(async move {
                    let result = perform(&client, act, &slug).await;
                    tell(&queue, Message::Acted(act, slug, result));
                });
            }
            Effect::Inspect(task, path) => self.keep(task, async move {
                let folder = folder::blocking(move || folder::inspect(&path)).await;
                tell(&queue, Message::Folder(task, folder.unwrap_or_else(Err)));
            }),
            Effect::Complete(task, path) => self.keep(task, async move {
                let completion = folder::blocking(move || folder::complete(&path)).await;
                tell(&queue, Message::Completed(task, completion.unwrap_or_default()));
            }),
            Effect::Create(task, agent) => self.keep(task, async move {
                let result = patiently(client.create_agent(&agent)).await;
                tell(&queue, Message::Created(task, result));
            }),
            Effect::Launch { task, slug, source } => {
                self.keep(task, async move {
                    let send = |step| tell(&queue, Message::Launch(task, step));
                    launch::run(&client, &slug, source, &send).await;
                });
            }
            Effect::Invoke { task, slug, prompt } => {
                self.keep(task, async move {
                    let send = |step| tell(&queue, Message::Invoke(task, step));
                    invoke::run(&client, &slug, prompt, &send).await;
                });
            }
            Effect::Cancel(task) => {
                if let Some(task) = self.running.remove(&task) {
                    task.abort();
                }
            }
            read => self.read(read),
        }
    }

    /// Starts one of the effects that only read, which wait at the gate.
    fn read(&mut self, effect: Effect) {
        let (client, queue, gate) = (self.client.clone(), self.queue.clone(), self.gate.clone());
        match effect {
            Effect::Agents(task, search, page) => self.keep(task, async move {
                gate.pass().await;
                let search = Some(search).filter(|search| !search.is_empty());
                let filter = AgentFilter {
                    search,
                    ..AgentFilter::default()
                };
                tell(
                    &queue,
                    Message::Agents(task, patiently(client.agents(&filter, page)).await),
                );
            }),
            Effect::Agent(task, slug) => self.keep(task, async move {
                gate.pass().await;
                tell(&queue, Message::Agent(task, patiently(client.agent(&slug)).await));
            }),
            Effect::Deployments(task, slug, page) => self.keep(task, async move {
                gate.pass().await;
                tell(
                    &queue,
                    Message::Deployments(task, patiently(client.deployments(&slug, page)).await),
                );
            }),
            Effect::Invocations(task, agent, page) => self.keep(task, async move {
                gate.pass().await;
                let filter = InvocationFilter::default();
                let result = match agent {
                    Some(slug) => patiently(client.agent_invocations(&slug, &filter, page)).await,
                    None => patiently(client.invocations(&filter, page)).await,
                };
                tell(&queue, Message::Invocations(task, result));
            }),
            Effect::Invocation(task, id) => self.keep(task, async move {
                gate.pass().await;
                let both = async { futures::try_join!(client.invocation(&id), client.invocation_log(&id)) };
                tell(&queue, Message::Invocation(task, patiently(both).await));
            }),
            other => tracing::error!(?other, "no task is known for this effect"),
        }
    }

    /// Starts a task that can be cancelled.
    fn keep(&mut self, task: Task, work: impl Future<Output = ()> + Send + 'static) {
        let handle = self.spawn(work);
        self.running.insert(task, handle);
    }

    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
        let queue = self.queue.clone();
        let task = tokio::spawn(async move {
            if AssertUnwindSafe(work).catch_unwind().await.is_err() {
                tell(&queue, Message::Broken("an effect panicked; the log says where".into()));
            }
        });
        task.abort_handle()
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        for task in self.running.values().chain(&self.watching) {
            task.abort();
        }
    }
}

/// Puts a message into the queue. Where nobody reads it any more, the dashboard has ended and nothing is lost.
fn tell(queue: &UnboundedSender<Message>, message: Message) {
    let _ = queue.send(message);
}

/// Waits for an answer, for a bounded time.
async fn patiently<T>(call: impl Future<Output = Result<T, ClientError>>) -> Answer<T> {
    match tokio::time::timeout(PATIENCE, call).await {
        Ok(result) => result.map_err(Failure::from),
        Err(_) => Err(Failure::timeout()),
    }
}

async fn perform(client: &Client, act: Act, slug: &str) -> Answer<()> {
    match act {
        Act::Stop => patiently(client.stop_agent(slug)).await.map(drop),
        Act::Deploy => match patiently(client.redeploy(slug, false)).await {
            // Not every server of this API has the route; a deploy does the same there.
            Err(failure) if failure.kind == FailureKind::Missing => patiently(client.deploy(slug, false)).await,
            other => other,
        }
        .map(drop),
        Act::Delete => patiently(client.delete_agent(slug)).await,
    }
}
