//! More transactions than four nodes decide: half of the rate that they sustain, then three times it, over HTTP.
//!
//! ```text
//! load     offers transactions at a rate, and notes the answer to each and when it is in the sequence
//! figures  what a rate came to, and the goals
//! ```
//!
//! The nodes run as `dseq testnet` runs them, and the load on the same processors. `docs/overload.md` has the goals.
#![allow(clippy::unwrap_used, reason = "a tool for developers, whose panics name the line")]

mod figures;
mod load;
#[path = "../../soak/network.rs"]
#[allow(dead_code, reason = "the soak test uses the rest")]
mod network;
#[path = "../../soak/sample.rs"]
#[allow(dead_code, reason = "the soak test uses the rest")]
mod sample;
#[path = "../../soak/warm_up.rs"]
mod warm_up;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use dseq::cli::duration::duration;
use serde_json::json;

use self::figures::Figures;
use self::load::{Load, Pace};
use self::network::{NetworkArgs, Testnet};

/// Defaults of the network's options.
const DIR: &str = "build/bench/overload";
const BASE_PORT: u16 = 28_656;
/// The default plugin.
const PLUGIN: &str = "build/plugins/passthrough.wasm";

#[derive(Clone, Debug, Parser)]
struct Options {
    /// How long each rate is held.
    #[arg(long, default_value = "60s", value_parser = duration)]
    duration: Duration,
    /// How long the rate that the nodes sustain is measured.
    #[arg(long, default_value = "20s", value_parser = duration)]
    search: Duration,
    /// The rate that the nodes sustain, instead of measuring it, in transactions a second.
    #[arg(long)]
    rate: Option<f64>,
    /// How many times that rate is offered in the end.
    #[arg(long, default_value_t = 3.0)]
    overload: f64,
    /// Bytes of a transaction, at least 16.
    #[arg(long, default_value_t = 256)]
    tx_bytes: usize,
    /// Transactions in a request: one by `/v1/submit`, more by `/v1/submit/batch`.
    #[arg(long, default_value_t = 8)]
    together: usize,
    /// Connections to each node. With fewer, all of them wait for answers under overload, and the load sends late.
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Transactions accepted and not yet committed while the sustained rate is measured.
    #[arg(long, default_value_t = 1_000)]
    window: usize,
    /// Where the figures go.
    #[arg(long, default_value = "build/bench/overload.json")]
    out: PathBuf,
    #[command(flatten)]
    network: NetworkArgs,
}

fn main() -> Result<ExitCode> {
    let options = Options::parse();
    ensure!(options.tx_bytes >= load::HEAD_BYTES, "--tx-bytes is at least {}", load::HEAD_BYTES);
    ensure!(options.together > 0, "--together is at least 1");
    let network = Testnet::start(&options.network)?;
    // Else the nodes, which fill all processors, would decide when the load is sent. Only root may.
    if let Err(err) = rustix::process::setpriority_process(None, -10) {
        eprintln!("the load runs at the nodes' own priority, and will be late: {err}");
    }
    let measured = warm_up::fill(&network, options.tx_bytes).and_then(|()| measure(&options, &network));
    // All nodes have the same bytes: `checksum` waits for those behind.
    let agreed = measured.and_then(|figures| network.checksum().map(|found| (figures, found)));
    network.stop()?;
    let (figures, found) = agreed
        .with_context(|| format!("the nodes' homes and logs are in {}", options.network.dir.display()))?;
    ensure!(found["identical"] == json!(true), "the nodes have different bytes: {found}");
    std::fs::write(&options.out, serde_json::to_string_pretty(&figures)?)?;
    let (half, over) = (&figures[figures.len() - 2], &figures[figures.len() - 1]);
    let missed = figures::missed(half, over);
    for goal in &missed {
        println!("missed: {goal}");
    }
    Ok(if missed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Holds one rate after the other; the last two are half of what is sustained, and too much.
fn measure(options: &Options, network: &Testnet) -> Result<Vec<Figures>> {
    let mut all = Vec::new();
    let rate = match options.rate {
        Some(rate) => rate,
        None => {
            let found = hold(options, network, Pace::Window(options.window), options.search)?;
            all.push(found);
            all[0].committed_per_second
        }
    };
    for rate in [rate / 2.0, rate * options.overload] {
        all.push(hold(options, network, Pace::Rate(rate), options.duration)?);
    }
    Ok(all)
}

fn hold(options: &Options, network: &Testnet, pace: Pace, duration: Duration) -> Result<Figures> {
    let (begin, mut memory) = (Instant::now(), Vec::new());
    let load = Load::run(options, network, pace, duration, || {
        let sample = sample::Sample::take(network, begin);
        let rss = sample.nodes.iter().flatten().flatten().map(|process| process.rss_bytes);
        memory.push(rss.sum::<u64>());
    })?;
    let figures = Figures::of(&load, pace, duration, &memory);
    println!("{figures}");
    Ok(figures)
}
