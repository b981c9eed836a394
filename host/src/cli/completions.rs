//! `dseq completions`: what a shell needs to complete this program's commands.

use std::process::ExitCode;

use clap_complete::Shell;

use super::say;

pub(super) const EXAMPLES: &str = "Examples:
  dseq completions bash > ~/.local/share/bash-completion/completions/dseq
  dseq completions fish > ~/.config/fish/completions/dseq.fish";

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The shell
    shell: Shell,
}

pub(super) fn run(args: &Args, mut command: clap::Command) -> anyhow::Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "dseq", &mut script);
    say(String::from_utf8(script)?.trim_end())?;
    Ok(ExitCode::SUCCESS)
}
