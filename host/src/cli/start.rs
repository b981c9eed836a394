//! `dseq start`: a whole node.

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::ArgMatches;

use super::HomeArg;
use crate::abci::EXIT_REFUSED;
use crate::node::announce;
use crate::node::config::{self, Origin, Settings};
use crate::node::engine::cometbft::CometBft;
use crate::node::engine::environment;
use crate::node::engine::throwaway;
use crate::node::genesis::file::GenesisFile;
use crate::node::genesis::membership::{self, Part};
use crate::node::genesis::origin::OriginError;
use crate::node::home::NodeHome;
use crate::node::supervisor::{self, End, Plan};
use crate::telemetry;

pub(super) const EXAMPLES: &str = "Examples:
  dseq start --home node
  dseq start --home node --log-level debug";

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    home: HomeArg,
    /// Leave the terminal, and let `dseq testnet stop` end this node
    #[arg(long, hide = true)]
    by_testnet: bool,
    /// Get every block and do not vote: how `dseq recover` catches up
    #[arg(long, hide = true)]
    without_vote: bool,
    #[command(flatten)]
    settings: super::settings::NodeArgs,
}

pub(super) fn run(args: &Args, matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    if args.by_testnet {
        // It fails only when we lead a session already, and then there is no terminal to leave.
        let _ = rustix::process::setsid();
    }
    let home = NodeHome::open(&args.home.home)?;
    let settings = super::settings::load(Some(&home), matches)?;
    let _guard = telemetry::init(super::settings::log(&settings, &home), None);
    super::settings::warn_of_unknown_variables();
    let cometbft = CometBft::find(settings.cometbft.value.as_deref())?;
    for one in cometbft.passed_over() {
        tracing::warn!("not used: {one}");
    }
    tracing::info!("CometBFT is {}; its log is {}", cometbft.path().display(), home.cometbft_log().display());
    let genesis = GenesisFile::read(&home.genesis_file()).map_err(OriginError::from)?;
    let limits = genesis.rules().map_err(OriginError::from)?.pipeline.limits;
    log_network(&home, &genesis);
    let plan = Plan {
        engine_environment: environment::for_limits(&home, &limits)?,
        throwaway_key: if args.without_vote { throwaway::environment(&home)? } else { Vec::new() },
        genesis,
        abci: match settings.abci.value.clone() {
            Some(address) => address,
            None => home.abci_address()?,
        },
        http: settings.http.value,
        app_flags: flags_for_app(&settings),
        backoff_max: Duration::from_secs(settings.restart_backoff_seconds_max.value),
        by_testnet: args.by_testnet,
        home,
        cometbft,
    };
    if !args.by_testnet {
        announce::start(&plan.home, plan.http).context("cannot start a thread")?;
    }
    match supervisor::run(&plan)? {
        End::Asked => Ok(ExitCode::SUCCESS),
        End::Refused => Ok(ExitCode::from(EXIT_REFUSED)),
    }
}

/// Says which network this is and who decides in it: a node that decides alone, by mistake, must not look like others.
fn log_network(home: &NodeHome, genesis: &GenesisFile) {
    // What is wrong with it is said where it is refused.
    if let Ok(doc) = genesis.doc() {
        let validators = membership::describe(&doc, Some(Part::of(home, &doc)));
        tracing::info!(chain_id = doc.chain_id, network_id = %genesis.network_id(), "{validators}");
    }
}

/// What was given to us as flags goes on to the app; environment and file it reads itself, and the address is in
/// the plan.
fn flags_for_app(settings: &Settings) -> Vec<OsString> {
    let for_app = |(key, _, origin): &(&config::Key, String, Origin)| {
        matches!(origin, Origin::Flag(_)) && key.for_app && key.name != config::ABCI.name
    };
    settings
        .rows()
        .into_iter()
        .filter(for_app)
        .flat_map(|(key, value, _)| [OsString::from(key.flag), OsString::from(value)])
        .collect()
}
