//! `castari` without a command: the dashboard, on the server that there is.

use std::env;
use std::fs::{self, File};
use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use castari_common::{Client, ClientError};
use castari_server::platform::account::owner_key_path;
use castari_server::settings::Settings;
use castari_server::{Server, StartError};
use castari_tui::dashboard::{self, Attachment};
use color_eyre::eyre::{Result, WrapErr, bail, eyre};
use tokio::time::timeout;

use super::serve;

const URL_VARIABLE: &str = "CASTARI_API_URL";
const KEY_VARIABLE: &str = "CASTARI_API_KEY";

/// How long whoever listens on the address may take to say who it is.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) async fn run(settings: Settings) -> Result<ExitCode> {
    // Before anything is started, and before anything is written that only a terminal understands.
    if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
        bail!(
            "the dashboard needs a terminal, for what is typed and for what it shows; without one, run `castari serve`"
        );
    }
    if let Some(client) = named_server()? {
        return show(client, None).await;
    }
    let listen = settings.listen;
    let address = format!("http://{listen}");
    let stranger = || {
        eyre!(
            "something that is not castari listens on {listen}; choose another address with --listen, or name a \
             server with {URL_VARIABLE} and {KEY_VARIABLE}"
        )
    };
    let client = Client::new(&address, "")?.with_patience(Duration::ZERO);
    let answer = match listen.port() {
        0 => None,
        _ => Some(timeout(PATIENCE, client.health()).await.map_err(|_| stranger())?),
    };
    match answer {
        Some(Ok(health)) if health.service == "castari" => show(local_server(&settings, &address).await?, None).await,
        None | Some(Err(ClientError::Unreachable(_))) => bundled(settings).await.map_err(|error| {
            let taken = |source: &io::Error| source.kind() == io::ErrorKind::AddrInUse;
            match error.downcast_ref() {
                Some(StartError::Listen { source, .. }) if taken(source) => stranger(),
                _ => error,
            }
        }),
        Some(_) => Err(stranger()),
    }
}

/// The server that the environment names.
fn named_server() -> Result<Option<Client>> {
    let set = |variable| env::var(variable).ok().filter(|value| !value.is_empty());
    match (set(URL_VARIABLE), set(KEY_VARIABLE)) {
        (Some(url), Some(key)) => Ok(Some(Client::new(&url, &key)?)),
        (Some(_), None) => bail!("{URL_VARIABLE} is set, but {KEY_VARIABLE} is not: set it to one of your API keys"),
        (None, _) => Ok(None),
    }
}

/// The server that already runs on this machine, with the owner's key.
async fn local_server(settings: &Settings, address: &str) -> Result<Client> {
    let path = owner_key_path(&settings.data_dir);
    let hint = format!(
        "a castari server runs on {}; name its directory with --data-dir, or set {URL_VARIABLE} and {KEY_VARIABLE}",
        settings.listen
    );
    let key = fs::read_to_string(&path).map_err(|error| eyre!("cannot read {}: {error}: {hint}", path.display()))?;
    let client = Client::new(address, key.trim())?.with_patience(Duration::ZERO);
    match client.me().await {
        Err(error) if error.refusal().is_some_and(|refusal| refusal.status == 401) => {
            bail!("the server does not take the key in {}: {hint}", path.display())
        }
        // Anything else is for the dashboard to show.
        _ => Ok(client),
    }
}

/// A server in this process, for as long as the dashboard is open.
async fn bundled(settings: Settings) -> Result<ExitCode> {
    let data_dir = settings.data_dir.clone();
    let server = Server::start(settings, &super::program()).await?;
    let log = data_dir.join("server.log");
    serve::log_to(File::create(&log).wrap_err_with(|| format!("cannot make {}", log.display()))?);
    let key = fs::read_to_string(owner_key_path(&data_dir)).wrap_err("cannot read the owner's key")?;
    let client = Client::new(&format!("http://{}", server.address()), key.trim())?;
    let shown = show(client, Some(log)).await;
    server.stop(std::future::ready(())).await;
    shown
}

/// Shows the dashboard; `server_log` is given where the server is our own.
async fn show(client: Client, server_log: Option<PathBuf>) -> Result<ExitCode> {
    let bundled = server_log.is_some();
    dashboard::run(Attachment {
        client,
        bundled,
        server_log,
    })
    .await?;
    Ok(ExitCode::SUCCESS)
}
