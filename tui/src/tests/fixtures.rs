//! Records as a server would answer them.

use castari_common::agents::{Agent, AgentStatus, SourceType};
use castari_common::deployments::{Deployment, DeploymentStatus};
use castari_common::invocations::{Invocation, InvocationResponse, InvocationStatus};
use jiff::{SignedDuration, Timestamp};

pub fn now() -> Timestamp {
    "2026-03-14T15:09:26Z".parse().unwrap()
}

pub fn ago(seconds: i64) -> Timestamp {
    now() - SignedDuration::from_secs(seconds)
}

pub fn agent(index: u32, name: &str, status: AgentStatus) -> Agent {
    let slug = name.to_lowercase().replace(' ', "-");
    Agent {
        id: format!("agt_{index:04}"),
        user_id: "usr_1".into(),
        name: name.into(),
        slug,
        description: None,
        source_type: SourceType::Local,
        git_repo_url: None,
        git_branch: "main".into(),
        source_hash: Some("3f2a91c04be1d7785aa0".into()),
        default_model: "claude-sonnet".into(),
        max_turns: 10,
        timeout_seconds: 120,
        status,
        status_message: None,
        sandbox_id: None,
        created_at: ago(864_000),
        updated_at: ago(100 * i64::from(index) * i64::from(index) + 20),
    }
}

pub fn agents() -> Vec<Agent> {
    let mut agents = vec![
        agent(1, "Release notes", AgentStatus::Active),
        agent(2, "Invoice reader", AgentStatus::Deploying),
        agent(3, "Support triage", AgentStatus::Active),
        agent(4, "Log summariser", AgentStatus::Error),
        agent(5, "翻訳 Translator", AgentStatus::Stopped),
        agent(6, "Starter", AgentStatus::Draft),
    ];
    agents[0].description = Some("Turns merged pull requests into notes for people".into());
    agents[0].status_message = Some("deployed in 4.1s".into());
    agents[1].source_type = SourceType::Git;
    agents[1].git_repo_url = Some("https://github.com/acme/invoice-reader.git".into());
    agents[1].status_message = Some("installing dependencies".into());
    agents[3].status_message = Some("npm install failed: no matching version found for left-pad@^9".into());
    agents[4].slug = "translator".into();
    agents[5].source_type = SourceType::Git;
    agents
}

pub fn deployments() -> Vec<Deployment> {
    let deployment = |id: &str, status, started: i64, took: Option<i64>, error: Option<&str>| Deployment {
        id: id.into(),
        status,
        source_hash: Some("3f2a91c04be1".into()),
        started_at: ago(started),
        finished_at: took.map(|took| ago(started - took)),
        error: error.map(str::to_owned),
    };
    vec![
        deployment("dep_3", DeploymentStatus::Running, 6, None, None),
        deployment(
            "dep_2",
            DeploymentStatus::Failed,
            4000,
            Some(12),
            Some("npm install failed: no such package"),
        ),
        deployment("dep_1", DeploymentStatus::Succeeded, 90_000, Some(4), None),
    ]
}

pub const LOG: &str = "unpacking 34 files, 12 kB\n\
    castari.json: name invoice-reader, entrypoint src/index.ts, runtime node\n\
    npm ci\n\
    added 57 packages, and audited 58 packages in 3s\n\
    12 packages are looking for funding\n\
    compiling src/index.ts\n";

pub fn invocation(index: u32, status: InvocationStatus, agent: &str, prompt: &str, answer: &str) -> Invocation {
    Invocation {
        id: format!("inv_{index:04}"),
        agent_id: "agt_0001".into(),
        agent_slug: agent.into(),
        session_id: format!("sess_{index:04}"),
        sandbox_id: Some(format!("sbx_{index:04}")),
        prompt: prompt.into(),
        response_content: answer.into(),
        status,
        error_message: (status == InvocationStatus::Failed).then(|| "Timeout exceeded after 120 seconds".into()),
        input_tokens: 1203,
        output_tokens: 418,
        total_cost_usd: 0.0214,
        duration_ms: if status == InvocationStatus::Running {
            0
        } else {
            740 * u64::from(index)
        },
        created_at: ago(i64::from(index) * 47),
    }
}

pub fn invocations() -> Vec<Invocation> {
    use InvocationStatus::{Completed, Failed, Running};
    vec![
        invocation(1, Running, "support-triage", "Sort the tickets of this morning", ""),
        invocation(
            2,
            Completed,
            "release-notes",
            "Notes for 2.4\nwith thanks to the authors",
            "# 2.4\n\n- Faster start\n- Fewer surprises\n",
        ),
        invocation(
            3,
            Failed,
            "support-triage",
            "Sort everything since 2019",
            "Reading 48,211 tickets…",
        ),
        invocation(44, Completed, "translator", "Übersetze: 今日は", "Guten Tag"),
    ]
}

pub fn response() -> InvocationResponse {
    InvocationResponse {
        invocation_id: "inv_0009".into(),
        session_id: "sess_0009".into(),
        sandbox_id: Some("sbx_0009".into()),
        response_content: String::new(),
        input_tokens: 1203,
        output_tokens: 418,
        total_cost_usd: 0.0214,
        duration_ms: 2310,
        status: InvocationStatus::Completed,
    }
}
