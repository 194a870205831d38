//! The table of settings.

use std::time::Duration;

use castari_common::DEFAULT_ADDRESS;
use url::Url;

use super::{MasterKeySource, Settings};

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
    pub(super) apply: fn(&mut Settings, &str) -> Result<(), String>,
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
