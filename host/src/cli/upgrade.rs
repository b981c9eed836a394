//! `dseq upgrade check`: may another program take this one's place?

use std::path::PathBuf;
use std::process::ExitCode;

use super::{EXIT_FAILED, say};
use crate::node::build_info::{self, BuildInfo};
use crate::node::config;
use crate::node::genesis::file::GenesisFile;
use crate::node::home::NodeHome;

pub(super) const EXAMPLES: &str = "Examples:
  dseq upgrade check ./dseq-new --home node";

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Check whether a new program computes the same results and reads the same files
    ///
    /// With --home the new program also checks that home's genesis, plugins and settings, without changing anything. Exits with
    /// 0 only if it fits.
    Check(CheckArgs),
}

#[derive(Debug, clap::Args)]
pub(super) struct CheckArgs {
    /// The new program
    #[arg(value_name = "NEW_DSEQ")]
    program: PathBuf,
    /// A node's home that it is to run
    #[arg(long, value_name = "DIR", env = config::HOME_ENV)]
    home: Option<PathBuf>,
}

pub(super) fn run(command: Command) -> anyhow::Result<ExitCode> {
    let Command::Check(args) = command;
    // A bare name would be looked for on PATH.
    let program = std::path::absolute(&args.program)?;
    let home = args.home.as_deref().map(NodeHome::open).transpose()?;
    let (new, ours) = (BuildInfo::of(&program)?, BuildInfo::own());
    let pinned = match &home {
        Some(home) => GenesisFile::read(&home.genesis_file())?.engine(),
        None => None,
    };
    let mut misfits = new.misfits(&ours, pinned.as_deref().unwrap_or(&ours.engine));
    if let Some(home) = home.as_ref().filter(|_| misfits.is_empty()) {
        let root = home.root().to_str().unwrap_or_default();
        for check in [["genesis", "verify"], ["config", "check"]] {
            let (status, said) = build_info::run(&program, &[check[0], check[1], "--home", root])?;
            if !status.success() {
                misfits.push(format!("its `{}` refuses {root}: {}", check.join(" "), said.trim()));
            }
        }
    }
    let from = format!("dseq {} to {}", ours.dseq, new.dseq);
    if !misfits.is_empty() {
        say(format!("{from}: does not fit\n  {}", misfits.join("\n  ")))?;
        return Ok(ExitCode::from(EXIT_FAILED));
    }
    let cometbft = if new.cometbft == ours.cometbft {
        format!("CometBFT {} stays", ours.cometbft)
    } else {
        format!("install CometBFT {} with it, which replaces {}", new.cometbft, ours.cometbft)
    };
    say(format!("{from}: fits; same engine, same formats; {cometbft}"))?;
    Ok(ExitCode::SUCCESS)
}
