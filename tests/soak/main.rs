//! Four real nodes under a steady load, while their processes are killed, stopped and continued: does anything grow, slow
//! down, get lost or differ?
//!
//! ```text
//! warm_up   fills what CometBFT remembers of transactions
//! network   the nodes, as `dseq testnet` runs them, and their processes
//! load      producers at a steady rate, and when each transaction is in the sequence
//! faults    one node after the other is disturbed, at random, from a seed; node0 never is
//! sample    memory, descriptors and disk, by process and by part
//! report    the table, the JSON, and what fails the run
//! ```
//!
//! # Limits
//!
//! Faults hit one node at a time, so that the others make a quorum. node0 is left alone, because a process that is started
//! again takes little memory: growth shows only where nothing was.
#![allow(clippy::unwrap_used, reason = "a tool for developers, whose panics name the line")]

mod faults;
mod load;
mod network;
#[path = "../support/noise.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod noise;
mod report;
mod sample;
mod warm_up;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Parser;
use dseq::cli::duration::duration;

use self::network::{NetworkArgs, Testnet};

/// Defaults of the network's options.
const DIR: &str = "build/soak";
const BASE_PORT: u16 = 28_656;
/// The default plugin.
const PLUGIN: &str = "build/plugins/passthrough.wasm";

#[derive(Clone, Debug, Parser)]
struct Options {
    /// How long, such as 90s, 30m or 8h.
    #[arg(long, default_value = "30m", value_parser = duration)]
    duration: Duration,
    /// Seed of the faults; without it the time.
    #[arg(long)]
    seed: Option<u64>,
    /// Transactions for each second, from all producers together.
    #[arg(long, default_value_t = 100)]
    rate: u32,
    /// Bytes of a transaction; at least 16.
    #[arg(long, default_value_t = 256)]
    tx_bytes: usize,
    /// Longest rest between a node's return and the next fault, in seconds; 0: no faults.
    #[arg(long, default_value_t = 20)]
    rest_seconds_max: usize,
    /// Where the figures go.
    #[arg(long, default_value = "build/soak.json")]
    out: PathBuf,
    #[command(flatten)]
    network: NetworkArgs,
}

/// How often processes and disks are looked at.
fn sample_interval(duration: Duration) -> Duration {
    (duration / 360).clamp(Duration::from_secs(1), Duration::from_secs(30))
}

fn main() -> Result<ExitCode> {
    let options = Options::parse();
    if options.tx_bytes < load::HEADER_BYTES {
        bail!(
            "--tx-bytes is {}; a transaction of the load has at least {}",
            options.tx_bytes,
            load::HEADER_BYTES
        );
    }
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    let seed = options.seed.unwrap_or(now.as_secs());
    println!("soak: {} s at {} tx/s, seed {seed}", options.duration.as_secs(), options.rate);
    let network = Testnet::start(&options.network)?;
    let run = warm_up::fill(&network, options.tx_bytes).and_then(|()| soak(&options, seed, &network));
    // Before anything is stopped, or the nodes' ends would be part of it.
    let verdict = run.and_then(|run| report::judge(&options, seed, &network, &run));
    network.stop()?;
    let failed = verdict
        .with_context(|| format!("the nodes' homes and logs are in {}", options.network.dir.display()))?;
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// What a run leaves.
struct Run {
    begin: Instant,
    load: load::Load,
    faults: Vec<faults::Fault>,
    samples: Vec<sample::Sample>,
}

/// Tells threads to stop, also when one of them panics or ends with an error.
struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn soak(options: &Options, seed: u64, network: &Testnet) -> Result<Run> {
    let (begin, stop) = (Instant::now(), AtomicBool::new(false));
    let sequence = load::Followed::of(network, options.tx_bytes);
    std::thread::scope(|scope| {
        let (following, running) = (StopOnDrop(&sequence.done), StopOnDrop(&stop));
        let follower = scope.spawn(|| sequence.follow());
        let producers: Vec<_> = (0..network.nodes.len())
            .map(|node| {
                let stop = &stop;
                scope.spawn(move || load::produce(options, &network.nodes[node], node, begin, stop))
            })
            .collect();
        let disturber = scope.spawn(|| faults::disturb(options, seed, network, begin, &stop));
        let mut samples = Vec::new();
        while begin.elapsed() < options.duration && !disturber.is_finished() {
            samples.push(sample::Sample::take(network, begin));
            std::thread::sleep(sample_interval(options.duration));
        }
        drop(running);
        let faults = disturber.join().unwrap()?;
        let sent: Vec<_> = producers.into_iter().map(|producer| producer.join().unwrap()).collect();
        samples.push(sample::Sample::take(network, begin));
        sequence.wait_for(&sent);
        drop(following);
        let load = load::Load::of(sent, follower.join().unwrap());
        Ok(Run { begin, load, faults, samples })
    })
}
