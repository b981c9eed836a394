//! `dseq version`: what this program is made for.

use std::process::ExitCode;

use super::say;
use crate::node::build_info::BuildInfo;

pub(super) const EXAMPLES: &str = "Examples:
  dseq version
  dseq version --json";

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let own = BuildInfo::own();
    if args.json {
        say(serde_json::to_string_pretty(&own)?)?;
    } else {
        let formats = own.formats.iter().map(|(name, version)| format!("{name:<13} {version}"));
        let head = format!(
            "{:<13} {}\n{:<13} {}\n{:<13} {}",
            "dseq", own.dseq, "CometBFT", own.cometbft, "engine", own.engine
        );
        say(format!("{head}\n{}", formats.collect::<Vec<_>>().join("\n")))?;
    }
    Ok(ExitCode::SUCCESS)
}
