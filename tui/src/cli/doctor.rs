//! `castari doctor`

use std::io::{self, Write};
use std::process::ExitCode;

use castari_server::doctor::{Verdict, examine};
use color_eyre::eyre::Result;

pub(super) async fn run() -> Result<ExitCode> {
    let work_dir = std::env::temp_dir().join(format!("castari-doctor-{}", std::process::id()));
    let findings = examine(&super::program(), &work_dir).await;
    let _ = std::fs::remove_dir_all(&work_dir);
    let mut out = io::stdout().lock();
    for finding in &findings {
        let mark = match finding.verdict {
            Verdict::Good => "ok     ",
            Verdict::Limited => "limited",
            Verdict::Missing => "MISSING",
        };
        writeln!(out, "{mark}  {:<16} {}", finding.name, finding.found)?;
        if let Some(remedy) = &finding.remedy {
            writeln!(out, "{:26}→ {remedy}", "")?;
        }
    }
    let works = findings.iter().all(|finding| finding.verdict != Verdict::Missing);
    writeln!(
        out,
        "\n{}",
        if works {
            "Agents can run on this machine."
        } else {
            "Agents cannot run on this machine."
        }
    )?;
    Ok(if works { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
