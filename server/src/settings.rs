//! The settings: one table that help, documentation and checks are made from.
//!
//! A setting is taken from the command line, else from its variable, else from the settings file, else from its
//! default. One that is wrong stops the start and says where it was found.

use std::env;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use castari_common::DEFAULT_ADDRESS;
use toml::de::{DeTable, DeValue};
use url::Url;

use crate::platform::tokens::KeySource;
use crate::platform::vault::MasterKey;
use crate::sandbox::egress::Exception;

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

/// A row of the table.
pub struct Setting {
    /// As on the command line: `--name`. Its variable is `CASTARI_NAME`, its key in the file `name`, both with `_`.
    pub name: &'static str,
    /// What stands for the value in help.
    pub value: &'static str,
    /// What it is for.
    pub help: &'static str,
    /// The value where nothing is said; `None` where it depends on the machine.
    pub default: Option<&'static str>,
    apply: fn(&mut Settings, &str) -> Result<(), String>,
}

/// Every setting.
pub const TABLE: &[Setting] = &[
    Setting {
        name: "data-dir",
        value: "DIR",
        help: "Where everything is kept [default: $XDG_DATA_HOME/castari]",
        default: None,
        apply: |settings, text| {
            settings.data_dir = non_empty(text)?.into();
            Ok(())
        },
    },
    Setting {
        name: "listen",
        value: "ADDRESS:PORT",
        help: "Where to listen; port 0 picks a free one",
        default: Some(DEFAULT_ADDRESS),
        apply: |settings, text| {
            let wrong = |_| format!("`{text}` is not an address and port, such as {DEFAULT_ADDRESS}");
            settings.listen = text.parse().map_err(wrong)?;
            Ok(())
        },
    },
    Setting {
        name: "rate-limit-crud",
        value: "N",
        help: "Requests a minute and user; 0 for no limit",
        default: Some("100"),
        apply: |settings, text| number(text).map(|number| settings.rate_limit_crud = number),
    },
    Setting {
        name: "rate-limit-invoke",
        value: "N",
        help: "Invocations a minute and user; 0 for no limit",
        default: Some("10"),
        apply: |settings, text| number(text).map(|number| settings.rate_limit_invoke = number),
    },
    Setting {
        name: "egress-allow",
        value: "LIST",
        help: "Addresses that agents may reach though they are not public: ADDRESS/PREFIX[:PORT], …",
        default: Some(""),
        apply: |settings, text| {
            let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
            let exceptions = parts.map(|part| part.parse().map_err(|error| format!("`{part}`: {error}")));
            settings.egress_allow = exceptions.collect::<Result<_, String>>()?;
            Ok(())
        },
    },
    Setting {
        name: "max-running-invocations",
        value: "N",
        help: "How many invocations run at once; further ones wait",
        default: Some("64"),
        apply: |settings, text| {
            settings.max_running_invocations = number::<u16>(text)?.max(1).into();
            Ok(())
        },
    },
    Setting {
        name: "max-upload-mib",
        value: "N",
        help: "How large an uploaded archive may be, in MiB",
        default: Some("100"),
        apply: |settings, text| {
            settings.max_upload_bytes = u64::from(number::<u32>(text)?) << 20;
            Ok(())
        },
    },
    Setting {
        name: "build-timeout-seconds",
        value: "N",
        help: "How long one step of a deploy, such as npm install, may take",
        default: Some("600"),
        apply: |settings, text| {
            settings.build_timeout = Duration::from_secs(number::<u32>(text)?.into());
            Ok(())
        },
    },
    Setting {
        name: "master-key-file",
        value: "FILE",
        help: "The key that secrets are encrypted with, unless CASTARI_MASTER_KEY holds it [default: DIR/master.key]",
        default: None,
        apply: |settings, text| {
            let path = std::path::absolute(non_empty(text)?).map_err(|error| error.to_string())?;
            settings.master_key = MasterKeySource::File(path);
            Ok(())
        },
    },
    Setting {
        name: "jwt-issuer",
        value: "ISSUER",
        help: "The OpenID Connect issuer whose tokens are taken beside API keys, exactly as their `iss` names it",
        default: Some(""),
        apply: |settings, text| {
            settings.jwt_issuer = given(text);
            Ok(())
        },
    },
    Setting {
        name: "jwt-jwks",
        value: "URL|FILE",
        help: "Where the issuer's keys are, a JSON Web Key Set",
        default: Some(""),
        apply: |settings, text| {
            settings.jwt_jwks = given(text).map(|text| text.parse()).transpose()?;
            Ok(())
        },
    },
    Setting {
        name: "jwt-audience",
        value: "AUDIENCE",
        help: "Whom the issuer's tokens have to be meant for, as their `aud` says; not checked where nothing is said",
        default: Some(""),
        apply: |settings, text| {
            settings.jwt_audience = given(text);
            Ok(())
        },
    },
    Setting {
        name: "files-limit-mib",
        value: "N",
        help: "How much a user's managed files may take together, in MiB",
        default: Some("10240"),
        apply: |settings, text| mib(text).map(|bytes| settings.files_limit_bytes = bytes),
    },
    Setting {
        name: "max-file-mib",
        value: "N",
        help: "How large one managed file may be, in MiB",
        default: Some("5120"),
        apply: |settings, text| mib(text).map(|bytes| settings.max_file_bytes = bytes),
    },
    Setting {
        name: "public-url",
        value: "URL",
        help: "Where clients reach the server, for addresses that it names [default: what the client calls it]",
        default: Some(""),
        apply: |settings, text| {
            settings.public_url = Some(text)
                .filter(|text| !text.is_empty())
                .map(web_address)
                .transpose()?;
            Ok(())
        },
    },
];

fn given(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn number<N: std::str::FromStr>(text: &str) -> Result<N, String> {
    text.trim()
        .parse()
        .map_err(|_| format!("`{text}` is not a whole number in range"))
}

fn mib(text: &str) -> Result<u64, String> {
    Ok(u64::from(number::<u32>(text)?) << 20)
}

fn web_address(text: &str) -> Result<Url, String> {
    let is_fit = |url: &Url| {
        let has_more = url.query().is_some() || url.fragment().is_some();
        matches!(url.scheme(), "http" | "https") && url.has_host() && !has_more
    };
    let url = Url::parse(text).ok().filter(is_fit);
    url.ok_or_else(|| format!("`{text}` is not an address such as https://castari.example.com"))
}

fn non_empty(text: &str) -> Result<&str, String> {
    if text.is_empty() {
        Err("must not be empty".into())
    } else {
        Ok(text)
    }
}

impl Setting {
    /// The variable that sets it.
    #[must_use]
    pub fn variable(&self) -> String {
        format!("CASTARI_{}", self.key().to_uppercase())
    }

    /// Its key in the settings file.
    #[must_use]
    pub fn key(&self) -> String {
        self.name.replace('-', "_")
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
        let in_file = read_file(file, is_file_needed)?;
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

/// A line of the settings file.
struct Entry {
    key: String,
    text: String,
    line: usize,
}

fn read_file(file: &Path, is_needed: bool) -> Result<Vec<Entry>, String> {
    let source = match fs::read_to_string(file) {
        Ok(source) => source,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !is_needed => return Ok(Vec::new()),
        Err(error) => return Err(format!("{}: {error}", file.display())),
    };
    let line_of = |offset: usize| source[..offset.min(source.len())].matches('\n').count() + 1;
    let at = |offset: usize, fault: &str| format!("{}:{}: {fault}", file.display(), line_of(offset));
    let table =
        DeTable::parse(&source).map_err(|error| at(error.span().map_or(0, |span| span.start), error.message()))?;
    let mut entries = Vec::new();
    for (key, value) in table.get_ref() {
        let offset = key.span().start;
        if !TABLE.iter().any(|setting| setting.key() == key.get_ref().as_ref()) {
            return Err(at(offset, &format!("there is no setting `{}`", key.get_ref())));
        }
        let text =
            text_of(value.get_ref()).ok_or_else(|| at(offset, "must be a string, a number, or a list of strings"))?;
        let (key, line) = (key.get_ref().to_string(), line_of(offset));
        entries.push(Entry { key, text, line });
    }
    Ok(entries)
}

fn text_of(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) => Some(number.as_str().replace('_', "")),
        DeValue::Array(items) => {
            let texts: Option<Vec<String>> = items.iter().map(|item| text_of(item.get_ref())).collect();
            Some(texts?.join(","))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
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
