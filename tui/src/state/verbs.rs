//! What can be done with an agent, wherever one is selected.

use castari_common::agents::{Agent, AgentStatus};

use super::{Confirm, Context, Create, Invoke};
use crate::effects::Effect;
use crate::input::{Action, Command, keys};
use crate::message::Act;

/// The commands for the agent that is selected, if one is.
pub fn commands(agent: Option<&Agent>) -> [Command; 5] {
    let none = agent.is_none().then_some("no agent is selected");
    let status = agent.map(|agent| agent.status);
    let idle = match status {
        Some(AgentStatus::Active | AgentStatus::Deploying) | None => None,
        Some(AgentStatus::Draft) => Some("it was never deployed: press r first"),
        Some(AgentStatus::Stopped) => Some("it is stopped: press r to deploy it again"),
        Some(AgentStatus::Error) => Some("its deploy failed: see its log, then press r"),
    };
    let stopped = match status {
        Some(AgentStatus::Draft | AgentStatus::Stopped | AgentStatus::Error) => Some("it is not running"),
        _ => None,
    };
    let deploying = (status == Some(AgentStatus::Deploying)).then_some("a deploy is running already");
    let deploy = if status == Some(AgentStatus::Draft) {
        "deploy"
    } else {
        "redeploy"
    };
    [
        Command::new(
            keys::INVOKE,
            "invoke",
            Action::Invoke,
            "Give the agent a prompt and watch the answer",
        )
        .unless(none.or(idle)),
        Command::new(
            keys::REDEPLOY,
            deploy,
            Action::Redeploy,
            "Deploy the agent from its latest code",
        )
        .unless(none.or(deploying)),
        Command::new(
            keys::UPLOAD,
            "upload",
            Action::Upload,
            "Upload new code from a folder and deploy it",
        )
        .unless(none.or(deploying))
        .quiet(),
        Command::new(keys::STOP, "stop", Action::Stop, "Take the agent out of service").unless(none.or(stopped)),
        Command::new(
            keys::DELETE,
            "delete",
            Action::Delete,
            "Delete the agent and all its records",
        )
        .unless(none),
    ]
}

/// Does something with an agent; says whether the action is one of these.
pub fn perform(action: Action, agent: Option<&Agent>, cx: &mut Context<'_>) -> bool {
    if !matches!(
        action,
        Action::Invoke | Action::Redeploy | Action::Upload | Action::Stop | Action::Delete
    ) {
        return false;
    }
    let Some(agent) = agent else { return true };
    let slug = agent.slug.clone();
    match action {
        Action::Invoke => cx.open(Invoke::new(slug, agent.name.clone())),
        Action::Upload => cx.open(Create::code_for(agent.clone())),
        Action::Redeploy if agent.status == AgentStatus::Active => cx.open(Confirm::new(
            "Redeploy",
            &agent.name,
            "Builds its latest code again. If that fails, what serves now goes on serving.",
            Effect::Act(Act::Deploy, slug),
        )),
        Action::Redeploy => cx.run(Effect::Act(Act::Deploy, slug)),
        Action::Stop => cx.open(Confirm::new(
            "Stop",
            &agent.name,
            "Running invocations fail, new ones are refused until it is deployed again.",
            Effect::Act(Act::Stop, slug),
        )),
        _ => cx.open(Confirm::new(
            "Delete",
            &agent.name,
            "Its code, deployments and invocations are deleted with it. This cannot be undone.",
            Effect::Act(Act::Delete, slug),
        )),
    }
    true
}
