//! The platform: it decides. It knows no HTTP and no SQL; it is asked by `http` and has `store`, `objects` and `sandbox`
//! do the work.

pub mod account;
pub mod agents;
pub mod api_keys;
pub mod attachments;
pub mod buckets;
pub mod build;
mod departed;
pub mod deployments;
pub mod events;
pub mod files;
pub mod invocations;
mod mask;
pub mod master_key;
pub mod mounts;
mod output;
mod running;
pub mod secrets;
pub mod sessions;
mod slug;
pub mod tokens;
mod turns;
pub mod usage;
pub mod vault;
mod world;

use std::sync::Arc;

use castari_common::account::Me;
use castari_common::agents::Agent;
use castari_common::invocations::InvocationFailure;
use tokio::sync::{Mutex, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::objects::{ObjectError, Objects};
use crate::sandbox::{Launcher, SandboxError};
use crate::settings::Settings;
use crate::store::{self, Memo, Store, StoreError};
use api_keys::KeyHash;
use events::Events;
use files::Filing;
use running::Running;
use tokens::{KeysError, Tokens};
use turns::Turns;
use vault::{Unopened, Vault};
pub use world::World;

/// What is said of work that the end of the server cut off.
const INTERRUPTED: &str = "The server stopped while this was running";

/// How many builds run at once; further ones wait.
const BUILDS: usize = 2;

/// Why the platform did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum PlatformError {
    /// The request cannot be met as things are.
    #[error("{detail}")]
    Rejected {
        /// Why, for a program.
        code: &'static str,
        /// Why, for a person.
        detail: String,
    },
    /// A field is not as it has to be, which its schema alone could not tell.
    #[error("{field}: {fault}")]
    Invalid {
        /// The field.
        field: &'static str,
        /// What is wrong with it, for a person.
        fault: String,
    },
    /// A field that is needed here is left out.
    #[error("{0}: field required")]
    Missing(&'static str),
    /// Something that the request names is not there.
    #[error("{detail}")]
    NotFound {
        /// What, for a program.
        code: &'static str,
        /// What, for a person.
        detail: &'static str,
    },
    /// What was sent is larger than allowed.
    #[error("{0}")]
    TooLarge(String),
    /// The invocation was run and failed.
    #[error("{}", .0.detail)]
    InvocationFailed(Box<InvocationFailure>),
    /// The server is about to end.
    #[error("the server is shutting down")]
    ShuttingDown,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The disk failed.
    #[error(transparent)]
    Objects(#[from] ObjectError),
    /// Something secret cannot be opened.
    #[error(transparent)]
    Unopened(#[from] Unopened),
    /// The sandbox failed.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// The file that tokens are to be checked with cannot be used.
    #[error(transparent)]
    Keys(#[from] KeysError),
}

impl PlatformError {
    /// A request that cannot be met as things are.
    pub(crate) fn rejected(code: &'static str, detail: impl Into<String>) -> Self {
        Self::Rejected {
            code,
            detail: detail.into(),
        }
    }

    /// A field that is not as it has to be.
    pub(crate) fn invalid(field: &'static str, fault: impl Into<String>) -> Self {
        Self::Invalid {
            field,
            fault: fault.into(),
        }
    }
}

/// How much runs.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Invocations that run; those that wait do not count.
    pub invocations: i64,
    /// Builds that run.
    pub builds: i64,
}

/// What nearly every request asks for.
#[derive(Default)]
struct Memory {
    /// Accounts by the hashes of their keys.
    callers: Memo<KeyHash, Arc<Me>>,
    /// Agents by their user's id and their slug, with a slash in between.
    agents: Memo<String, Arc<Agent>>,
}

/// The platform.
pub struct Platform {
    /// The time and randomness.
    pub world: World,
    /// The changes, as they happen.
    pub events: Events,
    settings: Settings,
    store: Store,
    memory: Memory,
    vault: Vault,
    objects: Objects,
    launcher: Launcher,
    running: Running,
    turns: Turns,
    /// The tokens that are taken, where any are.
    tokens: Option<Tokens>,
    /// Held while it is decided which files are still needed, and while that changes.
    keeping: Mutex<()>,
    filing: Filing,
    builds: Semaphore,
    invocations: Semaphore,
    tasks: TaskTracker,
    ending: CancellationToken,
}

impl Platform {
    /// Puts the platform together, and settles what an earlier run left behind.
    ///
    /// # Errors
    /// When the store or the disk fails.
    pub async fn start(
        world: World,
        settings: Settings,
        store: Store,
        vault: Vault,
        objects: Objects,
        launcher: Launcher,
    ) -> Result<Arc<Self>, PlatformError> {
        let ending = CancellationToken::new();
        let platform = Arc::new(Self {
            events: Events::new(world.characters(8)),
            invocations: Semaphore::new(settings.max_running_invocations),
            builds: Semaphore::new(BUILDS),
            filing: Filing::new(&vault),
            tokens: Tokens::start(&settings).await?,
            world,
            settings,
            store,
            memory: Memory::default(),
            vault,
            objects,
            launcher,
            running: Running::new(ending.clone()),
            turns: Turns::default(),
            keeping: Mutex::default(),
            tasks: TaskTracker::new(),
            ending,
        });
        platform.settle_interrupted().await?;
        platform.sweep().await?;
        platform.sweep_departed()?;
        platform.expire_uploads_from_now_on();
        Ok(platform)
    }

    /// The settings that the platform runs under.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Checks that a write transaction works.
    ///
    /// # Errors
    /// When it does not.
    pub async fn check(&self) -> Result<(), PlatformError> {
        Ok(self.store.check().await?)
    }

    /// What runs now.
    #[must_use]
    pub fn load(&self) -> Load {
        let used = |most: usize, free: &Semaphore| {
            let used = most.saturating_sub(free.available_permits());
            i64::try_from(used).unwrap_or(i64::MAX)
        };
        Load {
            invocations: used(self.settings.max_running_invocations, &self.invocations),
            builds: used(BUILDS, &self.builds),
        }
    }

    /// Takes no more work and waits until what runs has ended. To be dropped where waiting is no longer wanted; then
    /// [`cancel`](Self::cancel).
    pub async fn drain(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Ends all that runs.
    pub fn cancel(&self) {
        self.ending.cancel();
    }

    /// Starts work that outlives the request that asked for it, and that the end of the server waits for.
    fn spawn<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<tokio::task::JoinHandle<T>, PlatformError> {
        if self.tasks.is_closed() {
            return Err(PlatformError::ShuttingDown);
        }
        Ok(self.tasks.spawn(work))
    }

    /// Does work to its end, also where whoever asked for it goes away meanwhile: what was changed in the database has
    /// consequences elsewhere.
    async fn see_through<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, PlatformError>> + Send + 'static,
    ) -> Result<T, PlatformError> {
        // It is aborted by nobody, and a panic's message went to stderr when it happened.
        self.spawn(work)?.await.map_err(|_| PlatformError::ShuttingDown)?
    }

    /// What ran when an earlier run ended is recorded as failed.
    async fn settle_interrupted(&self) -> Result<(), PlatformError> {
        let now = self.world.now();
        let settle = move |write: &store::Write<'_>| {
            store::invocations::fail_interrupted(write, INTERRUPTED)?;
            store::deployments::fail_interrupted(write, INTERRUPTED, now)?;
            store::agents::settle_interrupted(write, INTERRUPTED, now)
        };
        Ok(self.store.write(settle).await?)
    }

    /// Removes files that nothing refers to, as a crash between two steps leaves them.
    async fn sweep(self: &Arc<Self>) -> Result<(), PlatformError> {
        self.collect().await?;
        self.sweep_files().await?;
        let deployments = self.store.read(store::deployments::all_ids).await?;
        self.objects
            .logs
            .sweep(|id| deployments.iter().any(|known| known == id))?;
        Ok(())
    }
}
