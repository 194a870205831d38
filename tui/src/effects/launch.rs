use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use castari_common::agents::{Agent, AgentStatus};
use castari_common::deployments::{Deployment, DeploymentStatus};
use castari_common::{Client, Page};
use futures::stream;
use reqwest::Body;
use tokio::io::AsyncReadExt;
use tokio::time::sleep;

use super::{folder, log, patiently};
use crate::message::{Answer, Failure, FailureKind, LaunchStep, LogPiece, Stage};

/// How much of an archive is read and sent at once.
const PIECE: usize = 64 * 1024;
/// The first and the longest wait between looks at a deployment whose end is not recorded yet.
const LOOK_AGAIN: (Duration, Duration) = (Duration::from_millis(300), Duration::from_secs(5));
/// How often to look for a deployment that was asked for before giving up on it.
const LOOKS: u32 = 8;

/// Where the code of a new agent comes from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Source {
    /// A folder on this machine.
    Folder(PathBuf),
    /// What the server has or fetches by itself: a repository, or the starter agent.
    Server,
}

/// Brings an agent into service and tells how far it is. Each stage can fail; what was reached stays.
pub async fn run(client: &Client, slug: &str, source: Source, send: &(impl Fn(LaunchStep) + Sync)) {
    if let Source::Folder(path) = source {
        let archive = match pack(path, send).await {
            Ok(archive) => archive,
            Err(failure) => return send(LaunchStep::Failed(Stage::Pack, failure)),
        };
        if let Err(failure) = upload(client, slug, archive, send).await {
            return send(LaunchStep::Failed(Stage::Upload, failure));
        }
        send(LaunchStep::Uploaded);
    }
    send(LaunchStep::Deploying);
    match deploy(client, slug, send).await {
        Ok(agent) => send(LaunchStep::Active(Box::new(agent))),
        Err(failure) => send(LaunchStep::Failed(Stage::Deploy, failure)),
    }
}

async fn pack(path: PathBuf, send: &(impl Fn(LaunchStep) + Sync)) -> Answer<folder::Archive> {
    let (tell, mut progress) = tokio::sync::mpsc::unbounded_channel();
    let packing = tokio::task::spawn_blocking(move || folder::pack(&path, &tell));
    // The channel closes when the packing ends, however it does.
    while let Some((files, bytes)) = progress.recv().await {
        send(LaunchStep::Packing(files, bytes));
    }
    match packing.await {
        Ok(Ok(archive)) => {
            send(LaunchStep::Packed(archive.files, archive.size));
            Ok(archive)
        }
        Ok(Err(problem)) => Err(Failure::local(problem)),
        Err(_) => Err(Failure::local("packing the folder broke; the log says where")),
    }
}

async fn upload(
    client: &Client,
    slug: &str,
    archive: folder::Archive,
    send: &(impl Fn(LaunchStep) + Sync),
) -> Answer<()> {
    let (tell, mut progress) = tokio::sync::mpsc::unbounded_channel();
    let size = archive.size;
    let file = tokio::fs::File::from_std(archive.file);
    let pieces = stream::try_unfold((file, 0, tell), move |(mut file, mut total, tell)| async move {
        let mut piece = vec![0; PIECE];
        let read = file.read(&mut piece).await?;
        if read == 0 {
            return Ok::<_, std::io::Error>(None);
        }
        piece.truncate(read);
        total += read as u64;
        let _ = tell.send(total);
        Ok(Some((Bytes::from(piece), (file, total, tell))))
    });
    let call = client.upload_code(slug, Body::wrap_stream(pieces), false);
    let mut call = std::pin::pin!(call);
    loop {
        tokio::select! {
            result = &mut call => return result.map(drop).map_err(Failure::from),
            Some(so_far) = progress.recv() => send(LaunchStep::Uploading(so_far, size)),
        }
    }
}

async fn deploy(client: &Client, slug: &str, send: &(impl Fn(LaunchStep) + Sync)) -> Answer<Agent> {
    let former = match newest(client, slug).await {
        Ok(deployment) => Some(deployment.map(|deployment| deployment.id)),
        // A server that keeps no list of deployments: then the agent's status alone tells how it ends.
        Err(failure) if failure.kind == FailureKind::Missing => None,
        Err(failure) => return Err(failure),
    };
    match patiently(client.deploy(slug, false)).await {
        Ok(_) => {}
        // Somebody else was faster: then theirs is the one to watch.
        Err(failure) if failure.has_code("deploy_in_progress") => {}
        Err(failure) => return Err(failure),
    }
    let Some(former) = former else {
        return ended(client, slug, None).await;
    };
    let Some(deployment) = appeared(client, slug, former.as_deref()).await? else {
        return Err(Failure::local("the server took the deploy but lists no deployment"));
    };
    log::read(client, slug, &deployment.id, true, &|piece| match piece {
        // The end of the log is not the end of the launch.
        LogPiece::End => {}
        piece => send(LaunchStep::Log(piece)),
    })
    .await;
    ended(client, slug, Some(&deployment.id)).await
}

async fn newest(client: &Client, slug: &str) -> Answer<Option<Deployment>> {
    let list = patiently(client.deployments(slug, Page { limit: 1, offset: 0 })).await?;
    Ok(list.deployments.into_iter().next())
}

/// The newest deployment, once it is another than the former.
async fn appeared(client: &Client, slug: &str, former: Option<&str>) -> Answer<Option<Deployment>> {
    let mut found = None;
    let mut wait = LOOK_AGAIN.0;
    for _ in 0..LOOKS {
        found = newest(client, slug).await?;
        if found.as_ref().is_some_and(|found| Some(found.id.as_str()) != former) {
            return Ok(found);
        }
        sleep(wait).await;
        wait = (wait * 2).min(LOOK_AGAIN.1);
    }
    Ok(found)
}

/// What became of a deployment whose log has ended. Waits as long as it takes, also for a server that is away.
async fn ended(client: &Client, slug: &str, id: Option<&str>) -> Answer<Agent> {
    let mut wait = LOOK_AGAIN.0;
    loop {
        let found = async {
            let agent = patiently(client.agent(slug)).await?;
            let newest = if id.is_some() {
                newest(client, slug).await?
            } else {
                None
            };
            Ok::<_, Failure>((newest.filter(|newest| Some(newest.id.as_str()) == id), agent))
        };
        match found.await {
            Ok((Some(deployment), _)) if deployment.status == DeploymentStatus::Failed => {
                let reason = deployment
                    .error
                    .unwrap_or_else(|| "the deployment failed without a reason".into());
                return Err(Failure::local(reason));
            }
            Ok((_, agent)) if agent.status == AgentStatus::Active => return Ok(agent),
            Ok((_, agent)) if agent.status == AgentStatus::Deploying => {}
            Ok((Some(deployment), _)) if deployment.status == DeploymentStatus::Running => {}
            Ok((_, agent)) => {
                let reason = agent
                    .status_message
                    .unwrap_or_else(|| "the agent did not become active".into());
                return Err(Failure::local(reason));
            }
            Err(failure) => match failure.kind {
                FailureKind::Unreachable => {}
                FailureKind::Limited(pause) => sleep(pause).await,
                _ => return Err(failure),
            },
        }
        sleep(wait).await;
        wait = (wait * 2).min(LOOK_AGAIN.1);
    }
}
