//! What can happen: the one kind of thing that is ever in the queue.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use castari_common::agents::{Agent, AgentList};
use castari_common::deployments::DeploymentList;
use castari_common::events::Event as Change;
use castari_common::invocations::{Invocation, InvocationFailure, InvocationList, InvocationResponse, Started};
use castari_common::{ClientError, Detail, Meta};
use crossterm::event::Event;

/// Names one asynchronous effect, so that its answers find who asked and so that it can be cancelled.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Task(pub u64);

/// What came of a call.
pub type Answer<T> = Result<T, Failure>;

/// Something that happened.
#[derive(Debug)]
pub enum Message {
    /// A key, a click, a paste, a new size.
    Terminal(Event),
    /// Time has passed that something on the screen depends on.
    Animate,
    /// The process was told to end.
    Terminate,
    /// The process was stopped and goes on.
    Resumed,
    /// The stream of changes came, went, or said something.
    Feed(Feed),
    /// What is shown may be stale: time to read it again.
    Refresh(Stale),
    /// A wait is over.
    Waited(Task),
    /// A page of agents.
    Agents(Task, Answer<AgentList>),
    /// An agent.
    Agent(Task, Answer<Agent>),
    /// An agent's deployments.
    Deployments(Task, Answer<DeploymentList>),
    /// More of a deployment's log.
    Log(Task, LogPiece),
    /// A page of invocations.
    Invocations(Task, Answer<InvocationList>),
    /// An invocation, and what it wrote to stderr.
    Invocation(Task, Answer<(Invocation, String)>),
    /// An agent was asked to stop, to deploy, or to go.
    Acted(Act, String, Answer<()>),
    /// What a folder holds that an agent is to be made of.
    Folder(Task, Result<Folder, String>),
    /// How a path that is being typed can go on.
    Completed(Task, Completion),
    /// An agent was made, or was not.
    Created(Task, Answer<Agent>),
    /// A launch got further.
    Launch(Task, LaunchStep),
    /// An invocation got further.
    Invoke(Task, InvokeStep),
    /// An effect broke. Never seen unless this program has a bug.
    Broken(String),
}

/// Why a call did not succeed, in the terms that the dashboard tells apart.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Failure {
    /// Which kind.
    pub kind: FailureKind,
    /// What to tell.
    pub text: String,
    /// Which fields of a form are wrong, and how.
    pub fields: Vec<(String, String)>,
}

/// The kinds of failure that are handled differently.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum FailureKind {
    /// No answer.
    Unreachable,
    /// The key is not accepted.
    Unauthorised,
    /// Too many requests; when to ask again.
    Limited(Duration),
    /// It is not there.
    Missing,
    /// Any other refusal, with its code.
    Refused(Option<String>),
    /// The server said something that is not in the contract.
    Garbled,
}

impl Failure {
    /// A failure of this machine rather than of the server.
    #[must_use]
    pub fn local(text: impl Into<String>) -> Self {
        Self {
            kind: FailureKind::Refused(None),
            text: text.into(),
            fields: Vec::new(),
        }
    }

    /// No answer within the time that an answer may take.
    #[must_use]
    pub fn timeout() -> Self {
        let text = "the server did not answer in time".into();
        Self {
            kind: FailureKind::Unreachable,
            text,
            fields: Vec::new(),
        }
    }

    /// Whether the contract's code of this failure is that one.
    #[must_use]
    pub fn has_code(&self, wanted: &str) -> bool {
        matches!(&self.kind, FailureKind::Refused(Some(code)) if code == wanted)
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let text = error.to_string();
        let fields = Vec::new();
        let refusal = match error {
            ClientError::Refused(refusal) => refusal,
            ClientError::Garbled(_) => {
                return Self {
                    kind: FailureKind::Garbled,
                    text,
                    fields,
                };
            }
            // The chain of causes is for a log: what a person needs is the last of them.
            ClientError::Unreachable(causes) => {
                let cause = causes.rsplit(": ").next().unwrap_or_default();
                let text = format!("cannot reach the server: {cause}");
                let kind = FailureKind::Unreachable;
                return Self { kind, text, fields };
            }
            ClientError::Unusable(text) => {
                let kind = FailureKind::Unreachable;
                return Self { kind, text, fields };
            }
        };
        let kind = match refusal.status {
            401 => FailureKind::Unauthorised,
            404 | 405 => FailureKind::Missing,
            429 => FailureKind::Limited(refusal.retry_after.unwrap_or(Duration::from_secs(30))),
            // What a proxy says in place of a server that is not there.
            502..=504 => FailureKind::Unreachable,
            _ => FailureKind::Refused(refusal.code.clone()),
        };
        let fields = match &refusal.detail {
            Detail::Sentence(_) => Vec::new(),
            Detail::Faults(faults) => faults
                .iter()
                .filter_map(|fault| Some((fault.loc.get(1)?.as_str()?.to_owned(), fault.msg.clone())))
                .collect(),
        };
        Self { kind, text, fields }
    }
}

/// What the stream of changes tells.
#[derive(Clone, Debug)]
pub enum Feed {
    /// It is open: changes will be told.
    Open,
    /// It is silent, but the server is there.
    Alive,
    /// The server has none: reading again from time to time has to do.
    Absent,
    /// Something changed.
    Changed(Change),
    /// It broke, or could not be opened; it is tried again.
    Failed(Failure),
}

/// Which kinds of things may have changed.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Stale {
    /// Agents.
    pub agents: bool,
    /// Deployments.
    pub deployments: bool,
    /// Invocations.
    pub invocations: bool,
}

impl Stale {
    /// All of them.
    pub const ALL: Self = Self {
        agents: true,
        deployments: true,
        invocations: true,
    };
}

/// What can be asked of an agent that exists.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Act {
    /// Take it out of service.
    Stop,
    /// Deploy it, from the latest code where there is any.
    Deploy,
    /// Remove it and all that belongs to it.
    Delete,
}

/// A piece of a log that is followed.
#[derive(Clone, Debug)]
pub enum LogPiece {
    /// It starts, or starts anew: forget what came before.
    Start,
    /// More of it.
    More(Bytes),
    /// That was all.
    End,
    /// It could not be read.
    Failed(Failure),
}

/// What a folder says of the agent in it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Folder {
    /// Where it is, absolute.
    pub path: PathBuf,
    /// The name in its `castari.json`.
    pub name: Option<String>,
}

/// How a path that is being typed can go on.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Completion {
    /// The path as far as it is certain.
    pub path: String,
    /// The folders that it could go on to, where there are several.
    pub candidates: Vec<String>,
}

/// The stages of a launch, in their order.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Stage {
    /// The folder becomes an archive.
    Pack,
    /// The archive goes to the server.
    Upload,
    /// The server builds and starts it.
    Deploy,
}

/// How far a launch is.
#[derive(Clone, Debug)]
pub enum LaunchStep {
    /// The archive grows: files, and their bytes.
    Packing(u64, u64),
    /// The archive is complete: files, and bytes compressed.
    Packed(u64, u64),
    /// That many of so many bytes were sent.
    Uploading(u64, u64),
    /// The code arrived.
    Uploaded,
    /// The server builds.
    Deploying,
    /// More of the deployment's log.
    Log(LogPiece),
    /// It is active.
    Active(Box<Agent>),
    /// It ended at that stage.
    Failed(Stage, Failure),
}

/// How far a streamed invocation is.
#[derive(Clone, Debug)]
pub enum InvokeStep {
    /// It has a sandbox.
    Started(Started),
    /// More of the answer.
    Output(String),
    /// More of stderr.
    Log(String),
    /// It completed.
    Done(Box<InvocationResponse>),
    /// The agent failed.
    Failed(Box<InvocationFailure>),
    /// The call failed.
    Broke(Failure),
}

/// A page of a list, whatever it is a list of.
#[derive(Clone, Debug)]
pub struct Rows<T> {
    /// The rows.
    pub rows: Vec<T>,
    /// Where in the list they are.
    pub meta: Meta,
}
