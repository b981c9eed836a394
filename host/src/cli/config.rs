//! `dseq config show`: every setting, its value, and where that came from.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::ArgMatches;
use serde_json::json;

use super::{say, table};
use crate::node::config as node_config;
use crate::node::home::NodeHome;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Show every setting, its value and its origin
    Show(ShowArgs),
}

#[derive(Debug, clap::Args)]
pub(super) struct ShowArgs {
    /// Node's home; without one, only flags, environment and defaults count
    #[arg(long, value_name = "DIR", env = node_config::HOME_ENV)]
    home: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: super::settings::NodeArgs,
}

pub(super) fn run(command: Command, matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    let Command::Show(args) = command;
    let home = args.home.as_deref().map(NodeHome::open).transpose()?;
    let rows = super::settings::load(home.as_ref(), matches)?.rows();
    if args.json {
        let entries: Vec<_> = rows
            .into_iter()
            .map(|(key, value, origin)| json!({ "key": key.name, "value": value, "origin": origin.to_string() }))
            .collect();
        say(serde_json::to_string_pretty(&entries)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut lines = vec![["key", "value", "from"].map(str::to_owned).to_vec()];
    for (key, value, origin) in rows {
        let value = if value.is_empty() { "\"\"".to_owned() } else { value };
        lines.push(vec![key.name.to_owned(), value, origin.to_string()]);
    }
    say(table(&lines))?;
    Ok(ExitCode::SUCCESS)
}
