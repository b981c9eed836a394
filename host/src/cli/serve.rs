//! `dseq serve`: the app alone.

use std::io::Read;
use std::process::ExitCode;
use std::sync::mpsc::{self, Sender};
use std::thread;

use anyhow::Context;
use clap::ArgMatches;

use super::HomeArg;
use crate::abci::ServiceOptions;
use crate::node::app::{self, HttpOptions, RunOptions};
use crate::node::genesis::file::GenesisFile;
use crate::node::home::NodeHome;
use crate::node::process::running::{END_PATIENCE, Running};
use crate::node::process::signals;
use crate::node::process::{Ending, ProcessId};
use crate::node::supervisor;
use crate::printable;
use crate::telemetry;

pub(super) const EXAMPLES: &str = "Examples:
  dseq serve --home node
  dseq serve --home node --abci tcp://127.0.0.1:26658";

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    home: HomeArg,
    /// Say on standard output when the app listens, and stop when standard input ends: how `dseq start` knows when
    /// it may go on, and makes sure that no app outlives it
    #[arg(long, hide = true)]
    supervised: bool,
    /// How often the supervisor has restarted the node; for metrics
    #[arg(long, hide = true, default_value_t = 0)]
    restarts: u64,
    #[command(flatten)]
    settings: super::settings::AppArgs,
}

pub(super) fn run(args: &Args, matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    let home = NodeHome::open(&args.home.home)?;
    let settings = super::settings::load(Some(&home), matches)?;
    let log = super::settings::log(&settings, &home);
    let source = telemetry::Source { network: network_id(&home), node: log.node.clone() };
    let _guard = telemetry::init(log, Some(&source));
    home.make_run_dir()?;
    let (stop, shutdown) = mpsc::channel();
    signals::forward(stop.clone()).context("cannot listen for signals")?;
    if args.supervised {
        stop_at_end_of_input(home.clone(), stop);
    } else {
        super::settings::warn_of_unknown_variables();
    }
    let options = RunOptions {
        listen: match settings.abci.value {
            Some(address) => address,
            None => home.abci_address()?,
        },
        sequence_dir: home.sequence_dir(),
        service: ServiceOptions {
            plugins_dir: home.plugins_dir(),
            disk_free_bytes_low: settings.disk_free_bytes_low.value,
        },
        engine_restarts: args.restarts,
        http: settings
            .http
            .value
            .map(|listen| HttpOptions { listen, cors_origins: settings.http_cors_origins.value.clone() }),
        home: Some(home.clone()),
        supervised: args.supervised,
    };
    app::run(&options, |server| {
        if args.supervised {
            // A supervisor that is gone does not hear it, and then the end of our input stops us.
            let _ = super::say(supervisor::READY_LINE);
        }
        thread::spawn(move || {
            let reason = shutdown.recv().unwrap_or("nobody is left to ask");
            tracing::info!("{reason}: draining");
            server.shutdown();
        });
    })
    .map_err(|err| {
        let text = super::with_causes(anyhow::Chain::new(&err), ": ");
        if args.supervised {
            let _ = super::say(format!("{}{}", supervisor::HALT_LINE, printable::line(&text)));
        }
        Halted { text, code: err.exit_code() }
    })?;
    tracing::info!("drained");
    Ok(ExitCode::SUCCESS)
}

/// The network's id, if there is a genesis; what is wrong with it is said where it is refused.
fn network_id(home: &NodeHome) -> Option<String> {
    Some(GenesisFile::read(&home.genesis_file()).ok()?.network_id().to_string())
}

/// Why the app ended, in a form that may cross threads.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub(super) struct Halted {
    text: String,
    /// The process's exit code.
    pub(super) code: u8,
}

fn stop_at_end_of_input(home: NodeHome, stop: Sender<&'static str>) {
    thread::spawn(move || {
        let mut input = std::io::stdin().lock();
        let mut bytes = [0; 64];
        while input.read(&mut bytes).is_ok_and(|count| count > 0) {}
        end_cometbft(&home);
        let _ = stop.send("the supervisor is gone");
    });
}

/// Ends the CometBFT that the supervisor left, while we still answer it.
///
/// By itself it would try, but not always get there: a call that its consensus makes of an app that has just gone is
/// never answered, and its end waits for its consensus.
fn end_cometbft(home: &NodeHome) {
    let Some(running) = Running::read(home) else { return };
    // Else somebody else runs the home by now.
    if running.app != ProcessId::of(std::process::id()) {
        return;
    }
    match running.cometbft.map(|cometbft| cometbft.end(END_PATIENCE)) {
        None | Some(Ok(Ending::Ended | Ending::WasGone)) => {}
        Some(Ok(Ending::Killed)) => tracing::warn!("CometBFT did not end when asked, and was killed"),
        Some(Err(err)) => tracing::error!("cannot end CometBFT: {err}"),
    }
}
