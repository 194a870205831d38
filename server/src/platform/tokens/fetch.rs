use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use reqwest::redirect::{Action, Attempt, Policy};
use tokio::io::AsyncReadExt;
use url::Url;

use super::keys::KeySet;

/// How long it may take to read the keys.
const PATIENCE: Duration = Duration::from_secs(5);

/// How many bytes of keys are read at the most.
const MAX_BYTES: usize = 1 << 20;

const MAX_REDIRECTS: usize = 3;

/// Where an issuer's keys are.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum KeySource {
    /// At an address.
    Url(Url),
    /// In a file on this machine.
    File(PathBuf),
}

/// Keys that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the token issuer's keys from {place}: {reason}")]
pub struct KeysError {
    place: String,
    reason: String,
}

impl FromStr for KeySource {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if !text.contains("://") {
            let path = std::path::absolute(text).map_err(|error| format!("`{text}`: {error}"))?;
            return Ok(Self::File(path));
        }
        let url = Url::parse(text).ok();
        let url = url.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        url.map(Self::Url)
            .ok_or_else(|| format!("`{text}` is neither an http:// or https:// address nor the path of a file"))
    }
}

/// As much of it as may stand in a log.
impl fmt::Display for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(url) => write!(f, "{}{}", url.origin().ascii_serialization(), url.path()),
            Self::File(path) => write!(f, "{}", path.display()),
        }
    }
}

/// Reads an issuer's keys.
pub(super) async fn key_set(source: &KeySource) -> Result<KeySet, KeysError> {
    let read = async {
        match source {
            KeySource::Url(url) => download(url).await,
            KeySource::File(path) => read(path).await,
        }
    };
    let read = tokio::time::timeout(PATIENCE, read).await;
    let json = read.unwrap_or_else(|_| Err(format!("it takes more than {} seconds", PATIENCE.as_secs())));
    json.and_then(|json| KeySet::parse(&json)).map_err(|reason| KeysError {
        place: source.to_string(),
        reason,
    })
}

async fn download(url: &Url) -> Result<Vec<u8>, String> {
    let client = castari_common::http_client()
        .redirect(Policy::custom(stay))
        .build()
        .map_err(causes)?;
    let request = client.get(url.clone()).header("Accept", "application/json");
    let mut answer = request.send().await.map_err(causes)?;
    if !answer.status().is_success() {
        return Err(format!("the answer is {}", answer.status()));
    }
    let mut json = Vec::new();
    while let Some(piece) = answer.chunk().await.map_err(causes)? {
        json.extend_from_slice(&piece);
        check_size(&json)?;
    }
    Ok(json)
}

/// Whom the settings name is trusted, and nobody whom that one names: redirections stay on the host.
fn stay(attempt: Attempt<'_>) -> Action {
    let stays = attempt.previous().last().is_some_and(|from| {
        let loses_tls = from.scheme() == "https" && attempt.url().scheme() != "https";
        from.host() == attempt.url().host() && !loses_tls
    });
    if stays && attempt.previous().len() <= MAX_REDIRECTS {
        attempt.follow()
    } else {
        attempt.stop()
    }
}

async fn read(path: &Path) -> Result<Vec<u8>, String> {
    let is_file = tokio::fs::metadata(path)
        .await
        .map_err(|error| error.to_string())?
        .is_file();
    if !is_file {
        return Err("not a file".into());
    }
    let file = tokio::fs::File::open(path).await.map_err(|error| error.to_string())?;
    let mut json = Vec::new();
    let mut file = file.take(MAX_BYTES as u64 + 1);
    file.read_to_end(&mut json).await.map_err(|error| error.to_string())?;
    check_size(&json)?;
    Ok(json)
}

fn check_size(json: &[u8]) -> Result<(), String> {
    match json.len() {
        0..=MAX_BYTES => Ok(()),
        _ => Err("more than 1 MiB".into()),
    }
}

/// An error with what caused it, without the address, which may hold a password.
fn causes(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut said = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        said = format!("{said}: {error}");
        cause = error.source();
    }
    said
}
