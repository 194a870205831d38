//! Builds: source becomes a tree that node can run. Everything of the source's own (its repository, its packages, its
//! types) is handled inside sandboxes; outside, its files are only moved, listed and hashed.

mod archive;
mod install;
mod manifest;
mod repository;
mod starter;
mod tree;
mod types;
mod workshop;

use std::path::{Path, PathBuf};

use super::PlatformError;
use crate::objects::{ObjectError, Staging};
use crate::sandbox::SandboxError;
use crate::store::StoreError;
use manifest::Manifest;
use tree::Tree;
pub use types::{STRIP_ARGUMENT, strip_types};
pub use workshop::Workshop;

/// Where an agent's code comes from.
#[derive(Clone, Debug)]
pub enum Source {
    /// An uploaded `.tar.gz`.
    Archive(PathBuf),
    /// A branch of a git repository.
    Repository {
        /// Its address, over `https` or `http`.
        url: String,
        /// The branch.
        branch: String,
    },
    /// The bundled starter agent.
    Starter,
}

/// A finished build.
pub struct Built {
    /// The tree, ready to be kept.
    pub tree: Staging,
    /// The commit, where there is one, or the archive's SHA-256.
    pub source_hash: Option<String>,
    /// Node's arguments, from the tree's root.
    pub node_args: Vec<String>,
}

/// Why a build failed.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// For a reason that its owner can do something about.
    #[error("{0}")]
    Failed(String),
    /// Because nobody wants it any more.
    #[error("it was cancelled")]
    Cancelled,
    /// For a reason of the server's own.
    #[error(transparent)]
    Internal(PlatformError),
}

impl BuildError {
    /// A failure that the owner can do something about.
    fn failed(reason: impl Into<String>) -> Self {
        Self::Failed(reason.into())
    }
}

impl From<ObjectError> for BuildError {
    fn from(error: ObjectError) -> Self {
        match error {
            ObjectError::Unfit(reason) => Self::Failed(reason),
            error => Self::Internal(error.into()),
        }
    }
}

impl From<SandboxError> for BuildError {
    fn from(error: SandboxError) -> Self {
        Self::Internal(error.into())
    }
}

impl From<StoreError> for BuildError {
    fn from(error: StoreError) -> Self {
        Self::Internal(error.into())
    }
}

/// Checks that an archive unpacks to an agent. `into` is an empty directory to try it in.
///
/// # Errors
/// What is wrong with it.
pub fn check_archive(archive: &Path, into: &Path) -> Result<(), BuildError> {
    archive::unpack(archive, into)?;
    Manifest::read(&Tree::open(into)?).map(drop)
}
