//! `dseq plugin`: for those who write plugins: what a module is, and what it makes of transactions, without a network.
//!
//! One file for each subcommand. They share `pipeline`, which plugins a command is about; `transactions`, what is
//! handed to them (`subject` is both); and `judged`, what became of one. `test` reads `goldens`, and `rewriting` updates them.

mod bench;
mod build;
mod check;
mod goldens;
mod hash;
mod inspect;
mod new;
mod pipeline;
mod render;
mod replay;
mod report;
mod rewriting;
mod run;
mod subject;
mod test;
mod transactions;

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, bail};

use super::{EXIT_FAILED, say, table};

/// Largest file that is looked at, in bytes: several times what a plugin may have, because people want to know what is
/// in one that is too large.
const FILE_BYTES_MAX: u64 = 64 << 20;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Make a project for a new plugin
    New(new::Args),
    /// Build a plugin so that its sources give the same bytes everywhere
    Build(build::Args),
    /// Say whether a network would take a plugin, and how much of each limit it uses
    Check(check::Args),
    /// Show what is in a module, admitted or not
    Inspect(inspect::Args),
    /// Hand transactions to a plugin or to several in a row, as a node would
    Run(run::Args),
    /// Hold a plugin against its golden files
    Test(test::Args),
    /// Measure what a plugin costs, beside passthrough in the same run
    Bench(bench::Args),
    /// Print the SHA-256 of plugins, as genesis pins it
    Hash(hash::Args),
    /// Say what other plugins would have made of the transactions that a node has
    Replay(replay::Args),
}

pub(super) fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::New(args) => new::run(&args),
        Command::Build(args) => build::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Inspect(args) => inspect::run(&args),
        Command::Run(args) => run::run(&args),
        Command::Test(args) => test::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Hash(args) => hash::run(&args),
        Command::Replay(args) => replay::run(&args),
    }
}

/// A command line that is wrong in a way its parser cannot know.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Usage(String);

/// Refuses a command line.
fn usage<T>(words: impl Into<String>) -> anyhow::Result<T> {
    Err(Usage(words.into()).into())
}

fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(file)
        .and_then(|open| open.take(FILE_BYTES_MAX.saturating_add(1)).read_to_end(&mut bytes))
        .with_context(|| format!("cannot read {}", file.display()))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        bail!("{} has more than {FILE_BYTES_MAX} bytes, the most that is looked at", file.display());
    }
    Ok(bytes)
}

/// The beginning of some bytes, so that every one of them can be seen.
fn shown(bytes: &[u8]) -> String {
    const SHOWN_BYTES: usize = 256;
    let more = if bytes.len() > SHOWN_BYTES { " ..." } else { "" };
    format!("\"{}\"{more}", bytes[..bytes.len().min(SHOWN_BYTES)].escape_ascii())
}
