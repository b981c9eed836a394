//! `dseq man`: manual pages.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap_mangen::Man;

use super::say;

pub(super) const EXAMPLES: &str = "Examples:
  dseq man | man -l -
  dseq man ~/.local/share/man/man1";

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Write a page for each command into this folder, which is created; without it, dseq's page is printed
    #[arg(value_name = "DIR")]
    dir: Option<PathBuf>,
}

pub(super) fn run(args: &Args, command: clap::Command) -> anyhow::Result<ExitCode> {
    let command = with_examples(command);
    let Some(dir) = &args.dir else {
        let mut page = Vec::new();
        Man::new(command).render(&mut page)?;
        say(String::from_utf8(page)?.trim_end())?;
        return Ok(ExitCode::SUCCESS);
    };
    let written = fs::create_dir_all(dir).and_then(|()| clap_mangen::generate_to(command, dir));
    written.with_context(|| format!("cannot write to {}", dir.display()))?;
    let pages = fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))?;
    let is_ours = |name: &str| name.starts_with("dseq") && name.ends_with(".1");
    let count = pages.flatten().filter(|page| page.file_name().to_str().is_some_and(is_ours)).count();
    say(format!("wrote {count} pages to {}", dir.display()))?;
    Ok(ExitCode::SUCCESS)
}

/// A manual page shows only what stands after the options; examples stand before them in the help.
fn with_examples(command: clap::Command) -> clap::Command {
    let parts = [command.get_before_help(), command.get_after_help()];
    let texts: Vec<String> = parts.into_iter().flatten().map(ToString::to_string).collect();
    let command = if texts.is_empty() { command } else { command.after_long_help(texts.join("\n\n")) };
    command.mut_subcommands(with_examples)
}
