//! The settings: one table that help, documentation and checks are made from.
//!
//! A setting is taken from the command line, else from its variable, else from the settings file, else from its
//! default. One that is wrong stops the start and says where it was found.

mod file;
mod table;

use std::env;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use url::Url;

use crate::platform::tokens::KeySource;
use crate::platform::vault::MasterKey;
use crate::sandbox::egress::Exception;
pub use table::{Setting, TABLE};

/// What the server runs under.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where everything is kept.
    pub data_dir: PathBuf,
    /// Where to listen; port 0 picks a free one.
    pub listen: SocketAddr,
    /// Requests a minute and user; 0 for no limit.
    pub rate_limit_crud: u32,
    /// Invocations a minute and user; 0 for no limit.
    pub rate_limit_invoke: u32,
    /// Addresses that sandboxes may reach though they are not public.
    pub egress_allow: Vec<Exception>,
    /// How many invocations run at once; further ones wait.
    pub max_running_invocations: usize,
    /// How large an uploaded archive may be.
    pub max_upload_bytes: u64,
    /// How long one step of a build may take.
    pub build_timeout: Duration,
    /// Where the key comes from that secrets are encrypted with.
    pub master_key: MasterKeySource,
    /// Whose tokens are taken; `None` where only API keys are.
    pub jwt_issuer: Option<String>,
    /// Where the keys of that issuer are. There exactly where an issuer is.
    pub jwt_jwks: Option<KeySource>,
    /// Whom those tokens have to be meant for; `None` where that is not asked.
    pub jwt_audience: Option<String>,
    /// How much a user's managed files may take together.
    pub files_limit_bytes: u64,
    /// How large one managed file may be.
    pub max_file_bytes: u64,
    /// Where clients reach the server, where they do not reach it at what they call it.
    pub public_url: Option<Url>,
}

/// The variable that may hold the master key itself. It is no setting: a flag would stand in the process list.
pub const MASTER_KEY_VARIABLE: &str = "CASTARI_MASTER_KEY";

/// Where the master key comes from.
#[derive(Clone)]
pub enum MasterKeySource {
    /// The environment.
    Given(MasterKey),
    /// A file, which the first start makes.
    File(PathBuf),
}

impl MasterKeySource {
    /// What people know it by.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Given(_) => MASTER_KEY_VARIABLE.into(),
            Self::File(path) => path.display().to_string(),
        }
    }
}

impl std::fmt::Debug for MasterKeySource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name())
    }
}
/// Where the settings file is: `$XDG_CONFIG_HOME/castari/config.toml`.
#[must_use]
pub fn default_file() -> PathBuf {
    user_dir("XDG_CONFIG_HOME", ".config").join("config.toml")
}

fn default_data_dir() -> PathBuf {
    user_dir("XDG_DATA_HOME", ".local/share")
}

/// A directory of the XDG Base Directory Specification, which wants relative values ignored.
fn user_dir(variable: &str, below_home: &str) -> PathBuf {
    let named = env::var_os(variable)
        .map(PathBuf::from)
        .filter(|path| path.is_absolute());
    let home = || env::home_dir().unwrap_or_else(|| "/".into()).join(below_home);
    named.unwrap_or_else(home).join("castari")
}

impl Settings {
    /// Gathers the settings. `flag` gives what the command line says of one, by its name; `file` may be missing unless
    /// `is_file_needed`.
    ///
    /// # Errors
    /// What is wrong and where it stands.
    pub fn gather(flag: impl Fn(&str) -> Option<String>, file: &Path, is_file_needed: bool) -> Result<Self, String> {
        let mut settings = Self {
            data_dir: default_data_dir(),
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            rate_limit_crud: 0,
            rate_limit_invoke: 0,
            egress_allow: Vec::new(),
            max_running_invocations: 0,
            max_upload_bytes: 0,
            build_timeout: Duration::ZERO,
            master_key: MasterKeySource::File(PathBuf::new()),
            jwt_issuer: None,
            jwt_jwks: None,
            jwt_audience: None,
            files_limit_bytes: 0,
            max_file_bytes: 0,
            public_url: None,
        };
        let in_file = file::read(file, is_file_needed)?;
        for setting in TABLE {
            let found = [
                flag(setting.name).map(|text| (text, format!("--{}", setting.name))),
                env::var(setting.variable()).ok().map(|text| (text, setting.variable())),
                in_file.iter().find(|entry| entry.key == setting.key()).map(|entry| {
                    (
                        entry.text.clone(),
                        format!("{}:{}: {}", file.display(), entry.line, entry.key),
                    )
                }),
                setting.default.map(|text| (text.to_owned(), String::new())),
            ];
            if let Some((text, place)) = found.into_iter().flatten().next() {
                (setting.apply)(&mut settings, &text).map_err(|fault| format!("{place}: {fault}"))?;
            }
        }
        settings.data_dir = std::path::absolute(&settings.data_dir).map_err(|error| format!("data-dir: {error}"))?;
        settings.master_key = master_key(settings.master_key, &settings.data_dir)?;
        settings.check_tokens()?;
        Ok(settings)
    }

    /// An issuer without keys, or keys and an audience without an issuer, would quietly leave every token refused.
    fn check_tokens(&self) -> Result<(), String> {
        let missing = |set, missing, what| {
            Err(format!(
                "{set} is set, but {missing} is not: it says {what}, and tokens need both"
            ))
        };
        match (&self.jwt_issuer, &self.jwt_jwks, &self.jwt_audience) {
            (Some(_), None, _) => missing("jwt-issuer", "jwt-jwks", "where the issuer's keys are"),
            (None, Some(_), _) => missing("jwt-jwks", "jwt-issuer", "whose keys they are"),
            (None, None, Some(_)) => missing("jwt-audience", "jwt-issuer", "whose tokens are taken"),
            _ => Ok(()),
        }
    }
}

fn master_key(named: MasterKeySource, data_dir: &Path) -> Result<MasterKeySource, String> {
    if let Ok(text) = env::var(MASTER_KEY_VARIABLE) {
        let key = MasterKey::from_hex(&text);
        let wrong = || format!("{MASTER_KEY_VARIABLE}: a master key has 64 hexadecimal digits");
        return key.map(MasterKeySource::Given).ok_or_else(wrong);
    }
    match named {
        MasterKeySource::File(path) if path.as_os_str().is_empty() => {
            Ok(MasterKeySource::File(data_dir.join("master.key")))
        }
        named => Ok(named),
    }
}
#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn from_file(content: &str) -> Result<Settings, String> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("config.toml");
        fs::write(&file, content).unwrap();
        Settings::gather(|_| None, &file, true).map_err(|fault| fault.replace(&file.display().to_string(), "FILE"))
    }

    #[test]
    fn the_file_is_read() {
        let settings = from_file("# a comment\nlisten = \"127.0.0.1:9\"\nrate_limit_crud = 5\n").unwrap();
        assert_eq!(settings.listen.port(), 9);
        assert_eq!(settings.rate_limit_crud, 5);
    }

    #[test]
    fn a_fault_says_where_it_stands() {
        for (content, fault) in [
            (
                "\nlisten = \"nowhere\"",
                "FILE:2: listen: `nowhere` is not an address and port, such as 127.0.0.1:2278",
            ),
            (
                "listen = \"127.0.0.1:1\"\ntypo = 1",
                "FILE:2: there is no setting `typo`",
            ),
            (
                "rate_limit_crud = -1",
                "FILE:1: rate_limit_crud: `-1` is not a whole number in range",
            ),
            (
                "rate_limit_crud = true",
                "FILE:1: must be a string, a number, or a list of strings",
            ),
        ] {
            assert_eq!(from_file(content).unwrap_err(), fault);
        }
        assert!(from_file("a = = 1").unwrap_err().starts_with("FILE:1: "));
    }

    #[test]
    fn a_flag_comes_before_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("config.toml");
        fs::write(&file, "rate_limit_crud = 5").unwrap();
        let flag = |name: &str| (name == "rate-limit-crud").then(|| "7".to_owned());
        assert_eq!(Settings::gather(flag, &file, true).unwrap().rate_limit_crud, 7);
    }

    #[test]
    fn tokens_need_an_issuer_and_its_keys() {
        for (content, fault) in [
            (
                "jwt_issuer = \"https://id.example\"",
                "jwt-issuer is set, but jwt-jwks is not",
            ),
            ("jwt_jwks = \"/keys.json\"", "jwt-jwks is set, but jwt-issuer is not"),
            (
                "jwt_audience = \"castari\"",
                "jwt-audience is set, but jwt-issuer is not",
            ),
            (
                "jwt_jwks = \"ftp://id.example/keys\"",
                "FILE:1: jwt_jwks: `ftp://id.example/keys` is neither",
            ),
            ("jwt_jwks = \"https://\"", "FILE:1: jwt_jwks: `https://` is neither"),
        ] {
            let said = from_file(content).unwrap_err();
            assert!(said.starts_with(fault), "{said}");
        }
        let both = "jwt_issuer = \"https://id.example\"\njwt_jwks = \"https://id.example/keys\"";
        assert!(matches!(from_file(both).unwrap().jwt_jwks, Some(KeySource::Url(_))));
        from_file("jwt_issuer = \"\"\njwt_jwks = \"\"").unwrap();
    }

    #[test]
    fn every_default_is_valid() {
        Settings::gather(|_| None, Path::new("/nonexistent"), false).unwrap();
    }
}
