//! The server as a whole: its start and its end.

use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nix::fcntl::{Flock, FlockArg};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::http::{self, Api};
use crate::objects::{ObjectError, Objects, private_dir};
use crate::platform::master_key::{self, MasterKeyError};
use crate::platform::vault::MasterKey;
use crate::platform::{Platform, PlatformError, World};
use crate::sandbox::egress::Policy;
use crate::sandbox::host::Host;
use crate::sandbox::{Identity, Launcher, SandboxError};
use crate::settings::Settings;
use crate::store::{Store, StoreError};

/// How long what runs may go on after the first signal.
const GRACE: Duration = Duration::from_secs(30);

/// How long open connections may take to close once nothing runs any more.
const CLOSE: Duration = Duration::from_secs(2);

/// Why the server could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// Another server uses the data directory.
    #[error("{} is in use by another castari: stop that one, or choose another with --data-dir", .0.display())]
    InUse(PathBuf),
    /// The disk failed.
    #[error(transparent)]
    Objects(#[from] ObjectError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no master key to work with.
    #[error(transparent)]
    MasterKey(#[from] MasterKeyError),
    /// Sandboxes cannot be made.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// What an earlier run left could not be settled.
    #[error(transparent)]
    Platform(#[from] PlatformError),
}

/// A server that runs.
pub struct Server {
    address: SocketAddr,
    platform: Arc<Platform>,
    closing: CancellationToken,
    serving: JoinHandle<()>,
    /// Held for as long as the data directory is ours.
    _lock: Flock<File>,
}

impl Server {
    /// Starts a server. `program` is this program's own file, which the spawner is started from.
    ///
    /// # Errors
    /// Why it cannot be.
    pub async fn start(settings: Settings, program: &Path) -> Result<Self, StartError> {
        set_limits();
        let data_dir = settings.data_dir.clone();
        private_dir(&data_dir)?;
        let lock = lock(&data_dir)?;
        let listener = listen(settings.listen).await?;
        let address = listener.local_addr().unwrap_or(settings.listen);
        let identity = Identity::of_sandboxes();
        let objects = Objects::open(&data_dir, (identity.uid, identity.gid))?;
        let store = Store::open(&data_dir.join("castari.db"))?;
        let policy = Policy::new(settings.egress_allow.clone());
        let launcher = Launcher::start(program, &data_dir, Host::look()?, policy)?;
        let world = World::system();
        let vault = master_key::vault(&settings.master_key, &store, &world).await?;
        let platform = Platform::start(world, settings, store, vault, objects, launcher).await?;
        platform.ensure_owner().await?;
        let closing = CancellationToken::new();
        let router = Api::new(Arc::clone(&platform), closing.clone()).router();
        let serving = tokio::spawn(http::serve(listener, router, closing.clone()));
        Ok(Self {
            address,
            platform,
            closing,
            serving,
            _lock: lock,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends the server: takes no more requests, closes event streams, lets what runs end for a while, then ends it.
    /// When `hurry` is done, that is at once.
    pub async fn stop(self, hurry: impl Future<Output = ()>) {
        tokio::pin!(hurry);
        self.closing.cancel();
        tokio::select! {
            () = self.platform.drain() => {}
            () = tokio::time::sleep(GRACE) => {}
            () = &mut hurry => {}
        }
        self.platform.cancel();
        // Recording how things ended takes milliseconds; a client that does not read its answer, for ever.
        let _ = tokio::time::timeout(CLOSE, self.platform.drain()).await;
        let _ = tokio::time::timeout(CLOSE, self.serving).await;
    }
}

/// Seals everything in a data directory with a new master key: `new`, or where that is missing and the key is kept in a
/// file, one that is made. No server may use the data directory meanwhile.
///
/// # Errors
/// Why it cannot be; then the old key still is the one.
pub async fn rotate_master_key(settings: &Settings, new: Option<MasterKey>) -> Result<(), StartError> {
    private_dir(&settings.data_dir)?;
    let _lock = lock(&settings.data_dir)?;
    let store = Store::open(&settings.data_dir.join("castari.db"))?;
    Ok(master_key::rotate(&settings.master_key, new, &store, &World::system()).await?)
}

async fn listen(address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| StartError::Listen { address, source })
}

/// Lets this process open as many files as it may, as every sandbox and connection takes some, and leave no core dump:
/// its memory holds what its users keep secret.
fn set_limits() {
    if let Ok((_, most)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, most, most);
    }
    let _ = setrlimit(Resource::RLIMIT_CORE, 0, 0);
}

/// Makes sure that no other server uses a data directory.
fn lock(data_dir: &Path) -> Result<Flock<File>, StartError> {
    let path = data_dir.join("lock");
    let file = File::create(&path).map_err(ObjectError::file("make", &path))?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|_| StartError::InUse(data_dir.into()))
}
