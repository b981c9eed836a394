//! Four real nodes, whose processes are killed and stopped while clients submit and read: is there one sequence that explains
//! every answer?
//!
//! ```text
//! network   the nodes, as `dseq testnet` runs them (of tests/soak)
//! run       faults, clients, history, and its judgement
//! ```
//!
//! A violation names the rule and the operations involved. The seed decides what is done; what comes of it also depends on
//! the machine.
#![allow(clippy::unwrap_used, reason = "a tool for developers, whose panics name the line")]

#[path = "../soak/network.rs"]
#[allow(dead_code, reason = "the soak uses the rest")]
mod network;
#[path = "../support/noise.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod noise;
mod run;

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use dseq::cli::duration::duration;

use self::network::{NetworkArgs, Testnet};
use self::run::Plan;

/// Defaults of the network's options.
const DIR: &str = "build/consistency";
const BASE_PORT: u16 = 29_656;
/// The plugin `lines`, by which the clients know which transactions are rejected.
const PLUGIN: &str = "build/plugins/lines.wasm";

#[derive(Clone, Debug, Parser)]
struct Options {
    /// How long, such as 90s, 10m or 8h.
    #[arg(long, default_value = "10m", value_parser = duration)]
    duration: Duration,
    /// Seed of all that is random; without it the time.
    #[arg(long)]
    seed: Option<u64>,
    /// Clients that submit.
    #[arg(long, default_value_t = 8)]
    submitters: usize,
    /// Longest rest between a node's return and the next fault, in seconds.
    #[arg(long, default_value_t = 5)]
    rest_seconds_max: u64,
    /// Longest time for which nodes are stopped or away, in seconds.
    #[arg(long, default_value_t = 8)]
    away_seconds_max: u64,
    #[command(flatten)]
    network: NetworkArgs,
}

fn main() -> Result<()> {
    let options = Options::parse();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    let plan = Plan {
        seed: options.seed.unwrap_or(now.as_secs()),
        faults_max: usize::MAX,
        time_max: options.duration,
        submitters: options.submitters,
        rest_max: Duration::from_secs(options.rest_seconds_max),
        away_max: Duration::from_secs(options.away_seconds_max),
    };
    let network = Testnet::start(&options.network)?;
    let judged = run::run(plan, &network.nodes, &|| network.start_again()).and_then(|figures| {
        // The files, beside what HTTP says of them.
        let checksum = network.checksum()?;
        ensure!(checksum["identical"] == true, "the nodes' files differ: {checksum}");
        Ok(figures)
    });
    network.stop()?;
    let figures = judged
        .with_context(|| format!("the nodes' homes and logs are in {}", options.network.dir.display()))?;
    println!("{figures}\nno violation");
    Ok(())
}
