//! `dseq plugin hash`: prints the hash by which genesis pins a plugin.

use std::path::PathBuf;
use std::process::ExitCode;

use super::{read, say};
use crate::types::PluginHash;

#[derive(Debug, clap::Args)]
#[command(before_help = "Examples:
  dseq plugin hash notes.wasm lines.wasm")]
pub(in crate::cli) struct Args {
    /// The `.wasm` files
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    for file in &args.files {
        say(format!("{}  {}", PluginHash::of(&read(file)?), file.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}
