//! `dseq keys`: the keys of a home, shown, backed up, moved, restored.

use std::path::PathBuf;
use std::process::ExitCode;

use super::{HomeArg, say};
use crate::node::home::NodeHome;
use crate::node::home::machine::{self, MachineId};
use crate::node::keys::archive::Kind;
use crate::node::keys::carry::{self, Carried};
use crate::node::keys::{self, Shown};
use crate::node::shell;

pub(super) const EXAMPLES: &str = "Examples:
  dseq keys show --home node
  dseq keys backup --home node --to node-keys.json
  dseq keys move --home node --to node-move.json
  dseq keys restore node-keys.json --home node2";

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Print the node's id and its public keys
    Show(ShowArgs),
    /// Write the keys and what else makes this home again into one file, to be kept in a safe place
    ///
    /// The node may run meanwhile. The record of what the validator signed is not in it: that is old with the next block, and
    /// with an old one a validator signs twice. So a restored backup votes only after `dseq recover`.
    Backup(ToArgs),
    /// Write the keys and the record of what they signed into one file, and remove the keys from this home
    ///
    /// The node must not run, and does not start here any more. Restore the file on one machine only.
    Move(ToArgs),
    /// Make a home of such a file, or take moved keys back into their home
    Restore(RestoreArgs),
    /// Say that this home was moved to this machine, and never starts on the one before again
    ///
    /// Only if the other one was stopped before it was moved, and its data is the newest there is. For a copy or an older backup
    /// use `dseq recover`.
    Adopt(HomeArg),
}

#[derive(Debug, clap::Args)]
pub(super) struct ShowArgs {
    #[command(flatten)]
    home: HomeArg,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct ToArgs {
    #[command(flatten)]
    home: HomeArg,
    /// The file to write; must not exist. Whoever can read it can vote in this node's name
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(super) struct RestoreArgs {
    /// The file that `dseq keys backup` or `dseq keys move` wrote
    archive: PathBuf,
    #[command(flatten)]
    home: HomeArg,
}

pub(super) fn run(command: Command) -> anyhow::Result<ExitCode> {
    let here = MachineId::here();
    match command {
        Command::Show(args) => show(&args)?,
        Command::Backup(args) => {
            let home = NodeHome::open(&args.home.home)?;
            backed_up(&carry::backup(&home, &args.to)?, &args.to)?;
        }
        Command::Move(args) => {
            let home = NodeHome::open(&args.home.home)?;
            let carried = carry::move_away(&home, &args.to, here.as_ref())?;
            let to = shell::word(&args.to);
            say(format!(
                "wrote {to}, which only you can read:\n{}\n\nThe keys are no longer in {}, which does not start any more. \
                 Restore the file on one\nmachine only, with dseq keys restore {to} --home H, start the node there, and then \
                 remove the file:\nit is old with the next block.",
                listed(&carried),
                home.root().display()
            ))?;
        }
        Command::Restore(args) => {
            let carried = carry::restore(&args.archive, &args.home.home, here.as_ref())?;
            let home = shell::word(&args.home.home);
            let next = match carried.kind {
                Kind::Backup => format!("It must catch up before it votes: dseq recover --home {home}"),
                Kind::Move => format!("dseq start --home {home}"),
            };
            say(format!("restored {home}, of network {}\n{next}", carried.chain_id))?;
        }
        Command::Adopt(args) => {
            let home = NodeHome::open(&args.home)?;
            let _lock = carry::lock(&home)?;
            machine::mark(&home, here.as_ref())?;
            say(format!("{} is this machine's now", home.root().display()))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn backed_up(carried: &Carried, to: &std::path::Path) -> std::io::Result<()> {
    let to = shell::word(to);
    say(format!(
        "wrote {to}, which only you can read:\n{}\n\nWhoever has it can vote in this node's name. What the validator signed is \
         not in it: that changes with each\nblock. To come back from it: dseq keys restore {to} --home H, then dseq recover \
         --home H",
        listed(carried)
    ))
}

fn listed(carried: &Carried) -> String {
    carried.files.iter().map(|name| format!("  {name}")).collect::<Vec<_>>().join("\n")
}

fn show(args: &ShowArgs) -> anyhow::Result<()> {
    let home = NodeHome::open(&args.home.home)?;
    let shown = keys::show(&home)?;
    if args.json {
        say(serde_json::to_string_pretty(&shown)?)?;
        return Ok(());
    }
    let Shown { node_id, consensus_key, address, checkpoint_key, signed_height, chain_id, part } = shown;
    let none = || "none".to_owned();
    let rows = [
        ("node id", node_id),
        ("validator key", consensus_key),
        ("address", address),
        ("checkpoint key", checkpoint_key),
        ("signed up to", signed_height.map(|height| format!("block {height}"))),
        ("network", chain_id),
        ("part", part),
    ];
    let lines = rows.map(|(name, value)| format!("{name:<15} {}", value.unwrap_or_else(none)));
    say(lines.join("\n"))?;
    Ok(())
}
