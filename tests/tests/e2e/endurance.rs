//! What was acknowledged outlives a server that is killed while it writes, again and again.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use castari_common::agents::{AgentFilter, CreateAgent, UpdateAgent};
use castari_common::buckets::{BucketCredentials, CreateBucket, Provider, UpdateBucket};
use castari_common::files::{FileFilter, UpdateFile, Upload};
use castari_common::secrets::SetSecret;
use castari_common::{Client, ClientError, Page};
use castari_tests::{Castari, Options, run};
use tokio::sync::Notify;

const ROUNDS: usize = 100;
const WRITERS: usize = 8;

/// How many things each writer works on.
const THINGS: usize = 5;

/// The longest page of a list; all things of a kind fit on one.
const ALL: Page = Page { limit: 100, offset: 0 };

#[derive(Clone, Copy)]
enum Kind {
    Agent,
    Secret,
    File,
    Bucket,
}

/// What a thing may be: what its last acknowledged change made it, or what the change makes it that was not answered.
/// `None` is not there.
type States = Vec<Option<String>>;

struct Writer {
    number: usize,
    kind: Kind,
    step: usize,
    things: BTreeMap<String, States>,
    file_ids: BTreeMap<String, String>,
}

impl Writer {
    fn new(number: usize) -> Self {
        Self {
            number,
            kind: [Kind::Agent, Kind::Secret, Kind::File, Kind::Bucket][number % 4],
            step: 0,
            things: BTreeMap::new(),
            file_ids: BTreeMap::new(),
        }
    }

    /// Changes one thing after the other until the server does not answer.
    async fn write(
        mut self,
        client: Client,
        acknowledged: Arc<AtomicUsize>,
        enough: Arc<Notify>,
        limit: usize,
    ) -> Self {
        loop {
            self.step += 1;
            let name = format!("thing-{}-{}", self.number, self.step * 7 % THINGS);
            let states = self.things.get(&name).cloned().unwrap_or_else(|| vec![None]);
            let [now] = &states[..] else {
                panic!("{name} is {states:?}")
            };
            let next = match now {
                Some(_) if self.step.is_multiple_of(3) => None,
                _ => Some(format!("v{}", self.step)),
            };
            self.things.insert(name.clone(), vec![now.clone(), next.clone()]);
            match self.change(&client, &name, now.is_some(), next.as_deref()).await {
                Ok(()) => self.things.insert(name, vec![next]),
                Err(ClientError::Unreachable(_)) => return self,
                Err(error) => panic!("{name} from {now:?} to {next:?}: {error}"),
            };
            if acknowledged.fetch_add(1, Ordering::SeqCst) + 1 == limit {
                enough.notify_one();
            }
        }
    }

    async fn change(
        &mut self,
        client: &Client,
        name: &str,
        exists: bool,
        next: Option<&str>,
    ) -> Result<(), ClientError> {
        match self.kind {
            Kind::Agent => change_agent(client, name, exists, next).await,
            Kind::Secret => change_secret(client, &keeper(self.number), name, next).await,
            Kind::Bucket => change_bucket(client, name, exists, next).await,
            Kind::File => match next {
                Some(next) if !exists => {
                    let id = upload(client, name, next).await?;
                    self.file_ids.insert(name.into(), id);
                    Ok(())
                }
                Some(next) => {
                    let change = UpdateFile {
                        description: Some(Some(next.into())),
                        ..UpdateFile::default()
                    };
                    client.update_file(&self.file_ids[name], &change).await.map(drop)
                }
                None => client.delete_file(&self.file_ids[name]).await,
            },
        }
    }
}

/// The agent that a writer's secrets belong to.
fn keeper(number: usize) -> String {
    format!("keeper-{number}")
}

async fn change_agent(client: &Client, slug: &str, exists: bool, next: Option<&str>) -> Result<(), ClientError> {
    match next {
        Some(next) if !exists => {
            let create = CreateAgent {
                name: slug.into(),
                slug: Some(slug.into()),
                description: Some(next.into()),
                ..CreateAgent::default()
            };
            client.create_agent(&create).await.map(drop)
        }
        Some(next) => {
            let change = UpdateAgent {
                description: Some(Some(next.into())),
                ..UpdateAgent::default()
            };
            client.update_agent(slug, &change).await.map(drop)
        }
        None => client.delete_agent(slug).await,
    }
}

async fn change_secret(client: &Client, agent: &str, name: &str, next: Option<&str>) -> Result<(), ClientError> {
    let key = name.replace('-', "_");
    match next {
        Some(next) => {
            let value = next.into();
            client.set_secret(agent, &SetSecret { key, value }).await.map(drop)
        }
        None => client.delete_secret(agent, &key).await,
    }
}

async fn change_bucket(client: &Client, slug: &str, exists: bool, next: Option<&str>) -> Result<(), ClientError> {
    match next {
        Some(next) if !exists => {
            let create = CreateBucket {
                name: slug.into(),
                slug: Some(slug.into()),
                provider: Provider::S3,
                bucket_name: "some-bucket".into(),
                region: Some(next.into()),
                endpoint_url: None,
            };
            client.create_bucket(&create).await.map(drop)
        }
        Some(next) => {
            let credentials = BucketCredentials {
                access_key_id: Some("an-id".into()),
                secret_access_key: Some("a-secret-key".into()),
                service_account_json: None,
            };
            client.set_bucket_credentials(slug, &credentials).await?;
            let change = UpdateBucket {
                region: Some(Some(next.into())),
                ..UpdateBucket::default()
            };
            client.update_bucket(slug, &change).await.map(drop)
        }
        None => client.delete_bucket(slug).await,
    }
}

/// Uploads a file whose content others have too.
async fn upload(client: &Client, filename: &str, description: &str) -> Result<String, ClientError> {
    let content = format!(
        "content {}\n",
        description.len() + description.bytes().map(usize::from).sum::<usize>() % 3
    );
    let upload = Upload {
        filename: filename.into(),
        content: content.repeat(1000).into(),
        content_type: None,
        description: Some(description.into()),
        tags: Vec::new(),
    };
    Ok(client.upload_file(upload).await?.file_id)
}

/// What is there of the things of all writers, and the hashes of all files.
struct Found {
    things: BTreeMap<String, String>,
    file_ids: BTreeMap<String, String>,
    hashes: BTreeSet<String>,
}

async fn look(client: &Client) -> Found {
    let mut things = BTreeMap::new();
    for agent in client.agents(&AgentFilter::default(), ALL).await.unwrap().agents {
        if agent.slug.starts_with("thing") {
            things.insert(agent.slug, agent.description.unwrap());
        } else {
            for secret in client.secrets(&agent.slug).await.unwrap().secrets {
                things.insert(secret.key.replace('_', "-"), "set".into());
            }
        }
    }
    for bucket in client.buckets(ALL).await.unwrap().buckets {
        things.insert(bucket.slug, bucket.region.unwrap());
    }
    let (mut file_ids, mut hashes) = (BTreeMap::new(), BTreeSet::new());
    for file in client.files(&FileFilter::default(), ALL).await.unwrap().files {
        let other = file_ids.insert(file.filename.clone(), file.id);
        assert_eq!(other, None, "{} is there twice", file.filename);
        things.insert(file.filename, file.description.unwrap());
        hashes.insert(file.sha256_hash);
    }
    Found {
        things,
        file_ids,
        hashes,
    }
}

/// Asserts that everything is in a state that it may be in, and settles on that.
fn settle(writer: &mut Writer, found: &mut Found) {
    for (name, states) in &mut writer.things {
        let is = found.things.remove(name);
        // Of a secret nobody is told more than that it is there.
        let may_be = match writer.kind {
            Kind::Secret => states.iter().any(|state| state.is_some() == is.is_some()),
            _ => states.contains(&is),
        };
        assert!(may_be, "{name} is {is:?} and has to be one of {states:?}");
        *states = vec![is];
        if let Some(id) = found.file_ids.get(name) {
            writer.file_ids.insert(name.clone(), id.clone());
        }
    }
}

/// Asserts that the database is whole, and that each file's content is there and nothing else is.
fn check_disk(castari: &Castari, hashes: &BTreeSet<String>) {
    let database = rusqlite::Connection::open(castari.data_dir().join("castari.db")).unwrap();
    let check: String = database
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(check, "ok");
    let broken = database
        .prepare("PRAGMA foreign_key_check")
        .unwrap()
        .exists([])
        .unwrap();
    assert!(!broken);
    let kept: BTreeSet<String> = fs::read_dir(castari.data_dir().join("files"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(&kept, hashes);
    assert_eq!(fs::read_dir(castari.data_dir().join("staging")).unwrap().count(), 0);
}

#[tokio::test]
async fn nothing_that_was_acknowledged_is_lost_when_the_server_is_killed() {
    let mut castari = Castari::start().await;
    let mut writers: Vec<Writer> = (0..WRITERS).map(Writer::new).collect();
    for writer in &writers {
        if matches!(writer.kind, Kind::Secret) {
            castari.create(&keeper(writer.number)).await;
        }
    }
    for round in 0..ROUNDS {
        let acknowledged = Arc::new(AtomicUsize::new(0));
        let enough = Arc::new(Notify::new());
        let limit = 1 + round * 13 % 60;
        let writing = writers.into_iter().map(|writer| {
            let (acknowledged, enough) = (Arc::clone(&acknowledged), Arc::clone(&enough));
            tokio::spawn(writer.write(castari.client().clone(), acknowledged, enough, limit))
        });
        let writing: Vec<_> = writing.collect();
        enough.notified().await;
        castari.kill();
        let written = futures::future::join_all(writing).await;
        writers = written.into_iter().map(Result::unwrap).collect();
        castari.restart().await;
        let mut found = look(castari.client()).await;
        for writer in &mut writers {
            settle(writer, &mut found);
        }
        assert!(found.things.is_empty(), "nobody made {:?}", found.things);
        check_disk(&castari, &found.hashes);
    }

    // Every sealed value still opens.
    castari.kill();
    let place = tempfile::tempdir().unwrap();
    let data_dir = castari.data_dir();
    let args = ["rotate-master-key", "--data-dir", data_dir.to_str().unwrap()];
    let rotated = run(place.path(), &Options::default(), &args);
    assert!(rotated.status.success(), "{rotated:?}");
}
