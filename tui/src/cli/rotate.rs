//! `castari rotate-master-key`

use std::io::{self, Write};
use std::process::ExitCode;

use castari_server::platform::master_key::NEW_KEY_VARIABLE;
use castari_server::platform::vault::MasterKey;
use castari_server::rotate_master_key;
use castari_server::settings::{MasterKeySource, Settings};
use color_eyre::eyre::{Result, eyre};

pub(super) async fn run(settings: Settings) -> Result<ExitCode> {
    let new = match std::env::var(NEW_KEY_VARIABLE) {
        Ok(text) => Some(
            MasterKey::from_hex(&text)
                .ok_or_else(|| eyre!("{NEW_KEY_VARIABLE}: a master key has 64 hexadecimal digits"))?,
        ),
        Err(_) => None,
    };
    rotate_master_key(&settings, new).await?;
    let mut out = io::stdout();
    match &settings.master_key {
        MasterKeySource::File(path) => writeln!(out, "everything is sealed with the new key in {}", path.display())?,
        MasterKeySource::Given(_) => writeln!(
            out,
            "everything is sealed with the new key: start the server with it in {} from now on",
            settings.master_key.name()
        )?,
    }
    Ok(ExitCode::SUCCESS)
}
