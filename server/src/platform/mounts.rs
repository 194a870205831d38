//! Mounts: which bucket an agent sees as which directory.

use castari_common::agents::Agent;
use castari_common::mounts::{CreateMount, Mount, MountList, PermissionRule, UpdateMount};

use super::buckets::{MAX_KEY, NOT_FOUND as NO_BUCKET};
use super::{Platform, PlatformError};
use crate::store::{QueryResult, Read, agents, buckets, mounts};

const DEFAULT_CACHE_SECONDS: u32 = 60;

/// What sandboxes have of their own: nothing may be mounted over, inside or above it.
const SYSTEM: [&str; 18] = [
    "/bin",
    "/boot",
    "/dev",
    "/etc",
    "/files",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/opt/node",
    "/proc",
    "/root",
    "/run",
    "/sbin",
    "/sys",
    "/tmp",
    "/usr",
    "/var",
];

/// Directories of the agent: nothing may be mounted over or above them, but inside it may.
const OWN: [&str; 2] = ["/home/agent", "/workspace"];

/// Why a mount is not to be had.
enum Refusal {
    NoAgent,
    NoBucket,
    NoMount,
    /// By the mount at this path.
    Taken(String),
}

impl From<Refusal> for PlatformError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NoAgent => Self::NotFound {
                code: "agent_not_found",
                detail: "Agent not found",
            },
            Refusal::NoBucket => NO_BUCKET,
            Refusal::NoMount => NOT_FOUND,
            Refusal::Taken(path) => Self::rejected(
                "mount_path_taken",
                format!("The agent has a mount at {path}; mounts must not overlap"),
            ),
        }
    }
}

const NOT_FOUND: PlatformError = PlatformError::NotFound {
    code: "mount_not_found",
    detail: "Mount not found",
};

impl Platform {
    /// An agent's mounts.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn mounts(&self, agent: Agent) -> Result<MountList, PlatformError> {
        let mounts = self.store.read(move |read| mounts::list(read, &agent.id)).await?;
        Ok(MountList { mounts })
    }

    /// An agent's mount.
    ///
    /// # Errors
    /// When there is none, or the store fails.
    pub fn mount(&self, agent: &Agent, id: &str) -> Result<Mount, PlatformError> {
        let found = self.store.look_up(|read| mounts::by_id(read, &agent.id, id))?;
        found.ok_or(NOT_FOUND)
    }

    /// Mounts a bucket in an agent.
    ///
    /// # Errors
    /// When there is no such bucket, the path is not to be had, or the store fails.
    pub async fn create_mount(&self, agent: Agent, create: CreateMount) -> Result<Mount, PlatformError> {
        let mount_path = normal_path(create.mount_path)?;
        let source_prefix = create.source_prefix.unwrap_or_default();
        let permission_rules = create.permission_rules.unwrap_or_default();
        check_prefix(&source_prefix)?;
        check_rules(&permission_rules)?;
        let (id, now, owner) = (self.world.id("mnt"), self.world.now(), agent.clone());
        let created = self.store.write(move |write| {
            // In this transaction: the agent, or the bucket, may have gone meanwhile.
            if agents::by_id(write, &owner.id)?.is_none() {
                return Ok(Err(Refusal::NoAgent));
            }
            let Some(bucket) = buckets::by_slug(write, &owner.user_id, &create.bucket_slug)? else {
                return Ok(Err(Refusal::NoBucket));
            };
            let mount = Mount {
                id,
                bucket_id: bucket.id.clone(),
                agent_id: owner.id,
                bucket,
                mount_path,
                source_prefix,
                permission_rules,
                cache_enabled: create.cache_enabled.unwrap_or(true),
                cache_ttl_seconds: create.cache_ttl_seconds.unwrap_or(DEFAULT_CACHE_SECONDS),
                enabled: create.enabled.unwrap_or(true),
                created_at: now,
                updated_at: now,
            };
            if let Some(path) = overlapping(write, &mount)? {
                return Ok(Err(Refusal::Taken(path)));
            }
            mounts::put(write, &mount)?;
            Ok(Ok(mount))
        });
        let mount = created.await??;
        self.tell_of(&agent);
        Ok(mount)
    }

    /// Changes a mount.
    ///
    /// # Errors
    /// When there is none, its new path is not to be had, or the store fails.
    pub async fn update_mount(&self, agent: Agent, id: &str, change: UpdateMount) -> Result<Mount, PlatformError> {
        let mount_path = change.mount_path.map(normal_path).transpose()?;
        check_prefix(change.source_prefix.as_deref().unwrap_or_default())?;
        check_rules(change.permission_rules.as_deref().unwrap_or_default())?;
        let (id, now, agent_id) = (id.to_owned(), self.world.now(), agent.id.clone());
        let updated = self.store.write(move |write| {
            let Some(mut mount) = mounts::by_id(write, &agent_id, &id)? else {
                return Ok(Err(Refusal::NoMount));
            };
            mount.mount_path = mount_path.unwrap_or(mount.mount_path);
            mount.source_prefix = change.source_prefix.unwrap_or(mount.source_prefix);
            mount.permission_rules = change.permission_rules.unwrap_or(mount.permission_rules);
            mount.cache_enabled = change.cache_enabled.unwrap_or(mount.cache_enabled);
            mount.cache_ttl_seconds = change.cache_ttl_seconds.unwrap_or(mount.cache_ttl_seconds);
            mount.enabled = change.enabled.unwrap_or(mount.enabled);
            mount.updated_at = now;
            if let Some(path) = overlapping(write, &mount)? {
                return Ok(Err(Refusal::Taken(path)));
            }
            mounts::put(write, &mount)?;
            Ok(Ok(mount))
        });
        let mount = updated.await??;
        self.tell_of(&agent);
        Ok(mount)
    }

    /// Takes a mount away.
    ///
    /// # Errors
    /// When there is none, or the store fails.
    pub async fn delete_mount(&self, agent: Agent, id: &str) -> Result<(), PlatformError> {
        let (id, agent_id) = (id.to_owned(), agent.id.clone());
        let deleted = self.store.write(move |write| mounts::delete(write, &agent_id, &id));
        if !deleted.await? {
            return Err(NOT_FOUND);
        }
        self.tell_of(&agent);
        Ok(())
    }
}

/// The path of another mount of the agent that a mount is over, inside or above.
fn overlapping(read: &Read<'_>, mount: &Mount) -> QueryResult<Option<String>> {
    let others = mounts::list(read, &mount.agent_id)?.into_iter();
    let mut others = others
        .filter(|other| other.id != mount.id)
        .map(|other| other.mount_path);
    Ok(others.find(|other| is_within(other, &mount.mount_path) || is_within(&mount.mount_path, other)))
}

/// Whether a path is another one, or below it.
fn is_within(path: &str, other: &str) -> bool {
    path.strip_prefix(other)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// A path without a slash at its end, if something may be mounted there.
fn normal_path(path: String) -> Result<String, PlatformError> {
    let invalid = |detail: &str| PlatformError::rejected("mount_path_invalid", detail);
    let path = path.strip_suffix('/').map(str::to_owned).unwrap_or(path);
    if path.len() > MAX_KEY {
        return Err(PlatformError::invalid(
            "mount_path",
            format!("ensure this value has at most {MAX_KEY} bytes"),
        ));
    }
    if path.is_empty() {
        return Err(invalid("A bucket cannot be mounted over the whole file system"));
    }
    if path.split('/').skip(1).any(|part| matches!(part, "" | "." | "..")) {
        return Err(invalid(
            "The mount path must not have empty parts, nor parts that are `.` or `..`",
        ));
    }
    if let Some(system) = SYSTEM
        .iter()
        .find(|system| is_within(&path, system) || is_within(system, &path))
    {
        return Err(invalid(&format!(
            "The mount path must not be over, inside or above {system}"
        )));
    }
    if let Some(own) = OWN.iter().find(|own| is_within(own, &path)) {
        return Err(invalid(&format!(
            "The mount path must not be over or above {own}; inside it may be"
        )));
    }
    Ok(path)
}

/// A prefix is the beginning of keys, or empty.
fn check_prefix(prefix: &str) -> Result<(), PlatformError> {
    match prefix.strip_suffix('/').unwrap_or(prefix) {
        "" if prefix.is_empty() => Ok(()),
        stem => super::buckets::check_key("source_prefix", stem),
    }
}

fn check_rules(rules: &[PermissionRule]) -> Result<(), PlatformError> {
    let is_unfit = |rule: &PermissionRule| rule.path.split('/').any(|part| matches!(part, "." | ".."));
    if rules.iter().any(is_unfit) {
        let fault = "a rule's path must not have parts that are `.` or `..`";
        return Err(PlatformError::invalid("permission_rules", fault));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_free_or_refused() {
        for (path, normal) in [
            ("/data", "/data"),
            ("/data/", "/data"),
            ("/workspace/x", "/workspace/x"),
            ("/workspaces", "/workspaces"),
            ("/home/agent/notes", "/home/agent/notes"),
            ("/home/other", "/home/other"),
            ("/opt/tools", "/opt/tools"),
            ("/library", "/library"),
            ("/mnt/a b/ä", "/mnt/a b/ä"),
        ] {
            assert_eq!(normal_path(path.into()).unwrap(), normal);
        }
        for path in [
            "/",
            "//",
            "/data//",
            "/a//b",
            "/a/../b",
            "/..",
            "/.",
            "/a/.",
            "/usr",
            "/usr/",
            "/usr/local/x",
            "/lib64",
            "/etc/x",
            "/tmp",
            "/dev/shm",
            "/proc/1",
            "/home",
            "/home/agent",
            "/workspace",
            "/workspace/",
            "/files/agent",
            "/opt",
            "/opt/node/bin",
            "/run/x",
            "/boot",
        ] {
            assert!(normal_path(path.into()).is_err(), "{path}");
        }
    }
}
