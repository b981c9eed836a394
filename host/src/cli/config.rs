//! `dseq config`: the settings, their defaults, and whether a node's are good.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::ArgMatches;
use serde_json::json;

use super::{EXIT_FAILED, say, table, with_causes};
use crate::node::config::{self as node_config, Origin, Settings};
use crate::node::engine::config::{EngineConfig, check_mempool};
use crate::node::home::{NodeHome, permissions};

pub(super) const EXAMPLES: &str = "Examples:
  dseq config show --home node
  dseq config default                # every setting with its default and reason, as a dseq.toml
  dseq config check --home node";

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Show every setting, its value and its origin
    Show(ShowArgs),
    /// Print a dseq.toml with every setting, its default and the reason for it
    Default,
    /// Check a node's settings, who may open its home, and CometBFT's file as far as dseq depends on it, without starting it
    ///
    /// Reports everything that is wrong, not only the first error, and exits with 1. What `dseq genesis verify` checks is not
    /// checked here.
    Check(CheckArgs),
}

#[derive(Debug, clap::Args)]
pub(super) struct CheckArgs {
    #[command(flatten)]
    home: super::HomeArg,
    #[command(flatten)]
    settings: super::settings::NodeArgs,
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
    match command {
        Command::Show(args) => show(&args, matches),
        Command::Default => {
            say(node_config::template().trim_end())?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Check(args) => check(&args, matches),
    }
}

fn check(args: &CheckArgs, matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    let home = NodeHome::open(&args.home.home)?;
    let (settings, errors) = Settings::gather(Some(&home), &super::settings::given(matches));
    let mut wrong: Vec<String> =
        errors.iter().map(|err| with_causes(anyhow::Chain::new(err), ": ")).collect();
    match EngineConfig::read(&home) {
        Ok(_) => wrong.extend(check_mempool(&home).err().map(|err| err.to_string())),
        Err(err) => wrong.push(with_causes(anyhow::Chain::new(&err), ": ")),
    }
    wrong.extend(permissions::check(&home).err().map(|err| err.to_string()));
    wrong.extend(super::settings::unknown_variables().into_iter().map(|said| format!("environment {said}")));
    if !wrong.is_empty() {
        say(wrong.join("\n"))?;
        return Ok(ExitCode::from(EXIT_FAILED));
    }
    let changed = settings.rows().iter().filter(|(.., origin)| *origin != Origin::Default).count();
    let file = home.config_file();
    let settings = if changed == 1 { "setting differs" } else { "settings differ" };
    say(format!("{} is good; {changed} {settings} from the defaults", file.display()))?;
    Ok(ExitCode::SUCCESS)
}

fn show(args: &ShowArgs, matches: &ArgMatches) -> anyhow::Result<ExitCode> {
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
