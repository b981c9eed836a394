//! `dseq network`: the file with which several machines begin one network, and a home's part in it.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::{Value, json};

use super::init::PipelineArgs;
use super::{HomeArg, say, table};
use crate::node::config;
use crate::node::engine::cometbft::CometBft;
use crate::node::genesis::{self, NetworkSpec};
use crate::node::health::quorum;
use crate::node::home::NodeHome;
use crate::node::network::{self, Draft, Expected, Joined, Member, NetworkError, NetworkFile, Profile, Role};
use crate::node::shell;
use crate::plugin::engine_id;

pub(super) const EXAMPLES: &str = "Examples:
  dseq network create --chain-id audit-1 --plugin json=json.wasm alice.json bob.json carol.json dave.json
  dseq network show network.json
  dseq network join --home node network.json --expect able-able-able-able-able-able-able-able-able-able-able";

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Make a network's file from its members' files
    ///
    /// It holds the genesis with the plugins, and who takes part; nothing in it is secret. Send it to every member, who compare its
    /// fingerprint before they join.
    Create(CreateArgs),
    /// Show what a network's file says, and its fingerprint
    Show(ShowArgs),
    /// Put a home into a network, if the file is the one that is expected
    ///
    /// Checks that the home's key is in it, or that it is to be a full node, and that this dseq can run its plugins. A home that
    /// has begun another network is refused.
    Join(JoinArgs),
}

#[derive(Debug, clap::Args)]
pub(super) struct CreateArgs {
    /// Member files; those of full nodes may be left out
    #[arg(required = true, value_name = "MEMBER.json")]
    members: Vec<PathBuf>,
    /// Name of the network; never one that a member's key was used with before
    #[arg(long)]
    chain_id: String,
    #[command(flatten)]
    pipeline: PipelineArgs,
    /// Limit: tx_bytes_max, record_bytes_max, fuel_max or memory_bytes_max
    #[arg(long = "limit", value_name = "NAME=NUMBER")]
    limits: Vec<String>,
    /// How far apart the machines are
    #[arg(long, value_enum, default_value_t = ProfileArg::Wide)]
    profile: ProfileArg,
    /// Where to write it
    #[arg(short, long, value_name = "FILE", default_value = "network.json")]
    output: PathBuf,
    /// CometBFT program
    #[arg(long, value_name = "FILE", env = config::COMETBFT.env)]
    cometbft: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum ProfileArg {
    /// On one machine, or up to 50 ms (round trip) apart
    Local,
    /// Up to 300 ms (round trip) apart
    Wide,
}

#[derive(Debug, clap::Args)]
pub(super) struct ShowArgs {
    /// The network's file
    #[arg(value_name = "NETWORK.json")]
    file: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct JoinArgs {
    #[command(flatten)]
    home: HomeArg,
    /// The network's file
    #[arg(value_name = "NETWORK.json")]
    file: PathBuf,
    /// Its fingerprint, words or digits, as the other members have it
    #[arg(long, value_name = "FINGERPRINT")]
    expect: Expected,
    /// Join as a full node, without a vote, also if the file does not name this home
    #[arg(long)]
    observer: bool,
}

pub(super) fn run(command: &Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Create(args) => create(args),
        Command::Show(args) => show(args),
        Command::Join(args) => join(args),
    }
}

fn create(args: &CreateArgs) -> anyhow::Result<ExitCode> {
    let cometbft = CometBft::find(args.cometbft.as_deref())?;
    let members = args.members.iter().map(|path| Member::read(path)).collect::<Result<Vec<_>, _>>()?;
    let count = members.iter().filter(|member| !member.observer).count();
    if count < 2 {
        return Err(NetworkError::TooFew { count }.into());
    }
    let plugins = args.pipeline.read()?;
    let (chain_id, limits) = (Some(args.chain_id.as_str()), args.limits.as_slice());
    let spec = NetworkSpec { chain_id, plugins: &plugins, limits, inline: true };
    genesis::check(&spec)?;
    let draft = Draft {
        chain_id: Some(args.chain_id.clone()),
        plugins,
        limits: args.limits.clone(),
        inline: true,
        members,
        profile: match args.profile {
            ProfileArg::Local => Profile::Local,
            ProfileArg::Wide => Profile::Wide,
        },
    };
    let folder = args.output.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."));
    let network = NetworkFile::create(&cometbft, &draft, folder)?;
    network.write_new(&args.output)?;
    say(format!(
        "{}\n\nWrote {file}. Send it to every member. Each compares the fingerprint with the others, by telephone for example, \
         and joins:\n  dseq network join --home DIR {file} --expect {}",
        described(&network)?,
        network.fingerprint().words(),
        file = shell::word(&args.output),
    ))?;
    Ok(ExitCode::SUCCESS)
}

fn show(args: &ShowArgs) -> anyhow::Result<ExitCode> {
    let network = NetworkFile::read(&args.file)?;
    say(if args.json { format!("{:#}", as_json(&network)?) } else { described(&network)? })?;
    Ok(ExitCode::SUCCESS)
}

fn join(args: &JoinArgs) -> anyhow::Result<ExitCode> {
    let home = NodeHome::open_made(&args.home.home)?;
    let network = NetworkFile::read(&args.file)?;
    let Joined { role, peers, before } = network::join(&home, &network, &args.expect, args.observer)?;
    let (chain_id, root, quoted) = (network.chain_id(), home.root().display(), shell::word(home.root()));
    let role = match role {
        Role::Validator => "a validator",
        Role::FullNode => "a full node, without a vote",
    };
    let s = if peers == 1 { "" } else { "s" };
    let done = if before {
        format!("{root} is in the network {chain_id} already, as {role}; nothing was changed.")
    } else {
        format!("{root} is in the network {chain_id}, as {role}, and dials {peers} member{s}.")
    };
    say(format!("{done}\n\n{}\n\nStart the node:\n  dseq start --home {quoted}", tolerance(&network)))?;
    Ok(ExitCode::SUCCESS)
}

/// What the file says, for people.
fn described(network: &NetworkFile) -> Result<String, NetworkError> {
    let rules = network.genesis().rules()?;
    let fingerprint = network.fingerprint();
    let (pinned, ours) = (rules.pipeline.engine, engine_id());
    let engine = if pinned == ours {
        format!("{pinned} (this dseq's)")
    } else {
        format!("{pinned} (this dseq is {ours}, and cannot run it)")
    };
    let limits = rules.pipeline.limits;
    Ok(format!(
        "network      {} (id {})\nfingerprint  {}\n             {fingerprint}\nprofile      {}\nengine       {engine}\nlimits       \
         tx_bytes_max {}, record_bytes_max {}, fuel_max {}, memory_bytes_max {}\n\n{}\n\n{}\n\n{}",
        network.chain_id(),
        network.genesis().network_id(),
        fingerprint.words(),
        network.profile(),
        limits.tx_bytes_max,
        limits.record_bytes_max,
        limits.fuel_max,
        limits.memory_bytes_max,
        plugins_table(&rules),
        members_table(network),
        tolerance(network),
    ))
}

fn plugins_table(rules: &crate::app::GenesisRules) -> String {
    if rules.pipeline.plugins.is_empty() {
        return "no plugins: every transaction is a record".to_owned();
    }
    let mut rows = vec![["plugin", "sha256", "params"].map(str::to_owned).to_vec()];
    for plugin in &rules.pipeline.plugins {
        rows.push(vec![
            plugin.name.to_string(),
            plugin.sha256.to_string(),
            plugin.params.as_str().to_owned(),
        ]);
    }
    table(&rows)
}

fn members_table(network: &NetworkFile) -> String {
    let mut rows = vec![["member", "vote", "address", "HTTP", "RPC", "node id"].map(str::to_owned).to_vec()];
    let private = |address: &Option<String>| address.clone().unwrap_or_else(|| "private".to_owned());
    for member in network.members() {
        let vote = network.power(member).map_or_else(|| "none".to_owned(), |power| power.to_string());
        rows.push(vec![
            member.name.clone(),
            vote,
            member.address.clone(),
            private(&member.http),
            private(&member.rpc),
            member.node_id.clone(),
        ]);
    }
    table(&rows)
}

/// How many of the validators a network can do without.
fn tolerance(network: &NetworkFile) -> String {
    let doc = network.doc();
    let mut powers: Vec<u64> =
        doc.validators.iter().map(|one| u64::try_from(one.power).unwrap_or_default()).collect();
    // The strongest may be those that are down.
    powers.sort_unstable();
    let of_all = powers.iter().sum();
    let decides = |count: &usize| quorum::decides(powers.iter().take(*count).sum(), of_all);
    let count = powers.len();
    let needed = (1..=count).find(decides).unwrap_or(count);
    match count.saturating_sub(needed) {
        0 if count == 1 => "1 validator decides alone.".to_owned(),
        0 => format!(
            "A block takes all {count} validators: while one of them is down, the network stands still."
        ),
        spare => format!(
            "A block takes {needed} of {count} validators: the network goes on while {spare} of them {} down.",
            if spare == 1 { "is" } else { "are" }
        ),
    }
}

fn as_json(network: &NetworkFile) -> Result<Value, NetworkError> {
    let rules = network.genesis().rules()?;
    let fingerprint = network.fingerprint();
    let plugins = rules.pipeline.plugins.iter().map(|plugin| {
        json!({
            "name": plugin.name.as_str(), "sha256": plugin.sha256.to_string(), "params": plugin.params.value(),
        })
    });
    Ok(json!({
        "chain_id": network.chain_id(),
        "network_id": network.genesis().network_id().to_string(),
        "fingerprint": { "hex": fingerprint.to_string(), "words": fingerprint.words() },
        "profile": network.profile(),
        "engine": rules.pipeline.engine.to_string(),
        "is_engine_of_this_build": rules.pipeline.engine == engine_id(),
        "limits": rules.pipeline.limits,
        "pipeline": plugins.collect::<Vec<_>>(),
        "members": network.members(),
    }))
}
