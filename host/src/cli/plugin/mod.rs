//! `dseq plugin`: builds, validates, runs and tests plugins without a network.
//!
//! One file for each subcommand. `pipeline` reads the plugins and limits on the command line, `transactions` the input, and
//! `subject` combines both; `render` runs one transaction and renders its outcome. `test` reads `goldens`, and
//! `rewriting` updates them; `replay` prints a `report`.

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

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, bail};

use super::{EXIT_FAILED, say, table};

/// Maximum size of a file to read, in bytes: several times that of a plugin, because people want to inspect one that is
/// too large.
const FILE_BYTES_MAX: u64 = 64 << 20;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Create a project for a new plugin
    New(new::Args),
    /// Build a plugin reproducibly: the same sources give the same bytes on every machine
    Build(build::Args),
    /// Validate a plugin, and show how much of each limit it uses
    Check(check::Args),
    /// Show the contents of a WebAssembly module, valid plugin or not
    Inspect(inspect::Args),
    /// Run transactions through a plugin or pipeline
    Run(run::Args),
    /// Test a plugin against its golden files
    Test(test::Args),
    /// Benchmark a plugin against passthrough
    Bench(bench::Args),
    /// Print the SHA-256 of plugins, which genesis pins
    Hash(hash::Args),
    /// Replay a node's transactions through another pipeline, and show what would change
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

/// A usage error that the parser cannot detect.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Usage(String);

/// Fails with a usage error.
pub(super) fn usage<T>(words: impl Into<String>) -> anyhow::Result<T> {
    Err(Usage(words.into()).into())
}

fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(file)
        .and_then(|open| open.take(FILE_BYTES_MAX.saturating_add(1)).read_to_end(&mut bytes))
        .with_context(|| format!("cannot read {}", file.display()))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        bail!(
            "{} has more than {FILE_BYTES_MAX} bytes, the maximum; is it a module (.wasm)?",
            file.display()
        );
    }
    Ok(bytes)
}

/// The first bytes, quoted and escaped.
fn shown(bytes: &[u8]) -> String {
    const SHOWN_BYTES: usize = 256;
    let more = if bytes.len() > SHOWN_BYTES { " ..." } else { "" };
    format!("\"{}\"{more}", bytes[..bytes.len().min(SHOWN_BYTES)].escape_ascii())
}
