//! `dseq serve`: the app alone.

use std::error::Error;
use std::io::Read;
use std::process::ExitCode;
use std::sync::mpsc::{self, Sender};
use std::thread;

use anyhow::Context;
use clap::ArgMatches;

use super::HomeArg;
use crate::abci::{self, Halt, RunOptions, ServiceOptions};
use crate::node::home::NodeHome;
use crate::node::supervisor::StopSignals;
use crate::telemetry;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    home: HomeArg,
    /// Also stop when standard input ends: how `dseq start` makes sure that no app outlives it
    #[arg(long, hide = true)]
    exit_with_parent: bool,
    #[command(flatten)]
    settings: super::settings::SettingArgs,
}

pub(super) fn run(args: &Args, matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    let home = NodeHome::open(&args.home.home)?;
    let settings = super::settings::load(Some(&home), matches)?;
    telemetry::init(&settings);
    home.make_private_dirs()?;
    let (stop, shutdown) = mpsc::channel();
    stop_on_signals(stop.clone())?;
    if args.exit_with_parent {
        stop_at_end_of_input(stop);
    }
    let options = RunOptions {
        listen: settings.abci.value.unwrap_or_else(|| home.abci_address()),
        service: ServiceOptions {
            sequence_dir: home.sequence_dir(),
            plugins_dir: home.plugins_dir(),
            disk_free_bytes_low: settings.disk_free_bytes_low.value,
        },
    };
    abci::run(&options, |server| {
        thread::spawn(move || {
            let reason = shutdown.recv().unwrap_or("nobody is left to ask");
            tracing::info!("{reason}: draining");
            server.shutdown();
        });
    })
    .map_err(|halt| Halted { text: with_causes(&halt), code: halt.exit_code() })?;
    tracing::info!("drained");
    Ok(ExitCode::SUCCESS)
}

/// Why the app ended, in a form that may cross threads.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub(super) struct Halted {
    text: String,
    /// The process's exit code.
    pub(super) code: u8,
}

fn with_causes(halt: &Halt) -> String {
    let mut text = halt.to_string();
    let mut cause = halt.source();
    while let Some(err) = cause {
        let words = err.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        cause = err.source();
    }
    text
}

fn stop_on_signals(stop: Sender<&'static str>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("cannot listen for signals")?;
    // Registered before the thread starts: a signal that comes right now must not end us the hard way.
    let mut signals = runtime.block_on(async { StopSignals::new() }).context("cannot listen for signals")?;
    thread::spawn(move || {
        let name = runtime.block_on(signals.recv());
        // The app is gone already when nobody receives.
        let _ = stop.send(name);
        // Signals would end the process again if their receiver were dropped, and cut the draining short.
        runtime.block_on(std::future::pending::<()>());
    });
    Ok(())
}

fn stop_at_end_of_input(stop: Sender<&'static str>) {
    thread::spawn(move || {
        let mut input = std::io::stdin().lock();
        let mut bytes = [0; 64];
        while input.read(&mut bytes).is_ok_and(|count| count > 0) {}
        let _ = stop.send("the supervisor is gone");
    });
}
