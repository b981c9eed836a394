//! Benchmark of submitting on a running network: `POST /v1/submit` beside CometBFT's `broadcast_tx_commit`, and with
//! `wait=checked` beside `broadcast_tx_sync`; and with a crowd of readers at the node beside without.
//!
//! Both sides go to the same node by the same client, in turn, over connections that are kept.

mod connection;
mod crowd;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use serde_json::{Value, json};

use self::connection::{Connection, Way};
use self::crowd::Crowd;

/// Producers that submit at once.
const PRODUCERS: usize = 64;
/// Requests of a producer that has several at a time, each on a connection of its own. With 16, four nodes on two processors
/// begin to refuse. There is no such row of `broadcast_tx_commit`: CometBFT lets 100 of its callers wait, and two of each
/// producer are more.
const IN_FLIGHT: usize = 12;
/// Pause before a transaction of the idle network, so that it is rested.
const REST: Duration = Duration::from_millis(400);

#[derive(Parser)]
struct Options {
    /// Where the node answers HTTP.
    #[arg(long)]
    http: SocketAddr,
    /// Where its CometBFT answers RPC.
    #[arg(long, default_value = "127.0.0.1:26657")]
    rpc: SocketAddr,
    /// Where the figures go.
    #[arg(long, default_value = "build/bench/submit.json")]
    out: PathBuf,
    /// Rounds of each comparison.
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// Transactions in a round on the idle network.
    #[arg(long, default_value_t = 12)]
    idle: u32,
    /// Seconds of a round with all producers.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Be the crowd of readers at `--http` until killed, and nothing else.
    #[arg(long)]
    crowd: bool,
}

/// One of two things that are compared: a name, and a round's figure.
struct Side<'a> {
    name: String,
    round: Box<dyn Fn() -> Result<f64> + 'a>,
}

impl<'a> Side<'a> {
    fn new(name: impl Into<String>, round: impl Fn() -> Result<f64> + 'a) -> Self {
        Self { name: name.into(), round: Box::new(round) }
    }
}

/// What the ratio of ours to theirs should be: `at_most` or `at_least` so much, or anything.
type Target = (&'static str, f64);
const ANY: Target = ("", 0.0);

fn main() -> Result<()> {
    let options = &Options::parse();
    if options.crowd {
        return crowd::run(options.http);
    }
    let alone = |way: Way| Side::new(way.name(), move || alone(options, way, REST));
    let back_to_back = |way: Way| Side::new(way.name(), move || self::alone(options, way, Duration::ZERO));
    let one_by_one = |way: Way| Side::new(way.name(), move || at_once(options, way, 1));
    let many = |way: Way| {
        Side::new(format!("{}, {IN_FLIGHT} at a time", way.name()), move || at_once(options, way, IN_FLIGHT))
    };
    let (committed, checked) = (Way::Http("committed"), Way::Http("checked"));
    let (commit, sync) = (Way::Rpc("broadcast_tx_commit"), Way::Rpc("broadcast_tx_sync"));
    let crowded = Side::new("with 5,000 followers and others", move || {
        let _crowd = Crowd::gather(options.http)?;
        self::alone(options, committed, REST)
    });
    let quiet = Side::new("without readers", move || self::alone(options, committed, REST));
    let rows = [
        compare(
            options,
            "idle network: committed, p50",
            "ms",
            [alone(committed), alone(commit)],
            ("at_most", 1.2),
        )?,
        compare(options, "idle network: checked, p50", "ms", [alone(checked), alone(sync)], ANY)?,
        compare(
            options,
            "each after the one before: committed, p50",
            "ms",
            [back_to_back(committed), back_to_back(commit)],
            ("at_most", 1.2),
        )?,
        compare(
            options,
            "64 producers: committed",
            "tx/s",
            [one_by_one(committed), one_by_one(commit)],
            ("at_least", 3.0),
        )?,
        compare(
            options,
            "64 producers: committed",
            "tx/s",
            [many(committed), one_by_one(commit)],
            ("at_least", 3.0),
        )?,
        compare(
            options,
            "64 producers: committed",
            "tx/s",
            [one_by_one(Way::Batch), one_by_one(commit)],
            ("at_least", 3.0),
        )?,
        compare(options, "readers: committed, p50", "ms", [crowded, quiet], ("at_most", 1.25))?,
    ];
    let cpus = std::thread::available_parallelism()?;
    let taken = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs();
    let file = json!({ "program": "bench-submit", "taken_unix": taken, "cpus": cpus.get(), "rows": rows });
    std::fs::write(&options.out, serde_json::to_string_pretty(&file)? + "\n")
        .context("cannot keep the figures")
}

fn compare(options: &Options, what: &str, unit: &str, sides: [Side; 2], target: Target) -> Result<Value> {
    let [ours, theirs] = sides;
    let (mut of_ours, mut of_theirs) = (Vec::new(), Vec::new());
    // Every other round runs backwards, so that coming first or last favours neither.
    for turn in 0..options.rounds {
        if turn % 2 == 0 {
            of_ours.push((ours.round)()?);
            of_theirs.push((theirs.round)()?);
        } else {
            of_theirs.push((theirs.round)()?);
            of_ours.push((ours.round)()?);
        }
    }
    eprintln!("bench: {what}: {of_ours:.1?} beside {of_theirs:.1?} {unit}");
    let (kind, factor) = target;
    Ok(json!({
        "what": what, "unit": unit,
        "ours": { "name": ours.name, "rounds": of_ours },
        "theirs": { "name": theirs.name, "rounds": of_theirs },
        "target": { "kind": kind, "factor": factor, "allowance": 0.0 },
    }))
}

/// The median time of a transaction that comes alone, so long after the one before is committed, in milliseconds.
fn alone(options: &Options, way: Way, after: Duration) -> Result<f64> {
    let mut connection = Connection::open(options, way)?;
    let mut times = Vec::new();
    for _ in 0..options.idle {
        std::thread::sleep(after);
        let began = Instant::now();
        ensure!(connection.submit()? == 1, "a transaction was not taken");
        times.push(began.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}

/// Transactions a second of all producers together, each with so many requests at a time, and the next as soon as one is
/// answered. What is refused for want of room is tried again.
fn at_once(options: &Options, way: Way, in_flight: usize) -> Result<f64> {
    let (taken, time) = (AtomicUsize::new(0), Duration::from_secs(options.seconds));
    let began = Instant::now();
    std::thread::scope(|scope| {
        let produce = || -> Result<()> {
            let mut connection = Connection::open(options, way)?;
            while began.elapsed() < time {
                taken.fetch_add(connection.submit()?, Ordering::Relaxed);
            }
            Ok(())
        };
        let requests: Vec<_> = (0..PRODUCERS * in_flight).map(|_| scope.spawn(produce)).collect();
        requests.into_iter().try_for_each(|request| request.join().expect("a producer does not panic"))
    })?;
    #[expect(clippy::cast_precision_loss, reason = "no count here is that large")]
    Ok(taken.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64())
}
