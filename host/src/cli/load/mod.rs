//! `dseq load`: offer transactions to a network, measure, and verify.

mod progress;
mod text;

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::json;

use super::duration::duration;
use super::{EXIT_FAILED, say};
use crate::load::max::{Search, broken};
use crate::load::plan::{Arrival, End, Format, Pace, Plan, RATE_MAX, Sizes, Via};
use crate::load::{self, Finished};
use crate::node::address::Address;
use crate::node::testnet::{self, DEFAULT_DIR, Network};

use progress::Progress;

pub(super) const EXAMPLES: &str = "Examples:
  dseq load --requests 1000 --concurrency 30
  dseq load --rate 500 --arrival poisson --duration 1m --report load.html
  dseq load --node localhost:26657 --size 100..4096
  dseq load --find-max";

const SEED: u64 = 1;
/// The rate with which the search for the highest one begins, in transactions a second.
const SEARCH_RATE: f64 = 100.0;
/// How long each of its steps takes.
const SEARCH_STEP: Duration = Duration::from_secs(10);

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Nodes to send to in turn, by the address of their RPC, or of their HTTP with --via http [default: those of the local network
    /// that run]
    #[arg(long = "node", value_name = "HOST:PORT", value_delimiter = ',', value_parser = address)]
    nodes: Vec<Address>,
    /// Local network to send to, where no --node is given
    #[arg(long, value_name = "DIR", default_value = DEFAULT_DIR, conflicts_with = "nodes")]
    dir: PathBuf,
    /// How transactions get to the nodes: CometBFT's RPC, or dseq's HTTP
    #[arg(long, value_enum, default_value_t = ViaArg::Rpc)]
    via: ViaArg,
    /// Number of transactions [default: 100]
    #[arg(long, value_name = "N", conflicts_with = "duration")]
    requests: Option<u64>,
    /// Send for so long instead, e.g. 30s or 5m
    #[arg(long, value_name = "TIME", value_parser = duration)]
    duration: Option<Duration>,
    /// Maximum number of transactions that are sent and not yet committed [default: 10; 5000 with --rate]
    #[arg(long, value_name = "N")]
    concurrency: Option<u64>,
    /// Size of each transaction in bytes, or a range such as 100..4096
    #[arg(long, value_name = "BYTES", default_value = "256", value_parser = sizes)]
    size: Sizes,
    /// Open loop: send so many transactions a second, however fast they are committed
    #[arg(long, value_name = "TX/S")]
    rate: Option<f64>,
    /// How the transactions of an open loop are spread over time
    #[arg(long, value_enum, default_value_t = ArrivalArg::Constant, requires = "rate")]
    arrival: ArrivalArg,
    /// What transactions look like; json for pipelines that accept only that
    #[arg(long, value_enum, default_value_t = FormatArg::Text)]
    format: FormatArg,
    /// Time after which a transaction that is not committed counts as unknown
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    timeout: Duration,
    /// Seed of sizes, filler and arrivals; the transactions differ from those of every other run all the same
    #[arg(long, value_name = "NUMBER", default_value_t = SEED)]
    seed: u64,
    /// Find the highest rate: runs of --duration (10s) at rising rates, until one breaks a bound
    #[arg(long, conflicts_with_all = ["requests", "csv", "hgrm", "report"])]
    find_max: bool,
    /// With --find-max, the highest 99th percentile of latency that is acceptable
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = duration, requires = "find_max")]
    p99_max: Duration,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Write a row for each transaction
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Write the percentiles of latency, for HdrHistogram's tools
    #[arg(long, value_name = "FILE")]
    hgrm: Option<PathBuf>,
    /// Write a report with plots, one HTML file
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum ViaArg {
    /// CometBFT's RPC (`broadcast_tx_sync`)
    Rpc,
    /// dseq's HTTP (`POST /v1/submit`)
    Http,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum ArrivalArg {
    /// Evenly
    Constant,
    /// At random, as those of many independent producers
    Poisson,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum FormatArg {
    /// A line of printable ASCII
    Text,
    /// A JSON object
    Json,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let plan = plan(args)?;
    plan.check()?;
    if args.find_max { find_max(args, plan) } else { run_once(args, &plan) }
}

fn plan(args: &Args) -> anyhow::Result<Plan> {
    let rate = args.rate.or(args.find_max.then_some(SEARCH_RATE));
    let arrival = match args.arrival {
        ArrivalArg::Constant => Arrival::Constant,
        ArrivalArg::Poisson => Arrival::Poisson,
    };
    let duration = args.duration.or(args.find_max.then_some(SEARCH_STEP));
    Ok(Plan {
        nodes: if args.nodes.is_empty() { local_nodes(args)? } else { args.nodes.clone() },
        via: match args.via {
            ViaArg::Rpc => Via::Rpc,
            ViaArg::Http => Via::Http,
        },
        end: duration.map_or(End::Requests(args.requests.unwrap_or(100)), End::Duration),
        pace: rate.map_or(Pace::Closed, |rate| Pace::Open { rate, arrival }),
        concurrency: args.concurrency.unwrap_or(if rate.is_some() { 5000 } else { 10 }),
        sizes: args.size,
        format: match args.format {
            FormatArg::Text => Format::Text,
            FormatArg::Json => Format::Json,
        },
        timeout: args.timeout,
        seed: args.seed,
    })
}

/// The nodes of the local network that run.
fn local_nodes(args: &Args) -> anyhow::Result<Vec<Address>> {
    let dir = &args.dir;
    let mut running = Vec::new();
    for node in Network::open(dir)?.nodes()? {
        if node.running()?.is_some() {
            let url = match args.via {
                ViaArg::Rpc => node.rpc_url(),
                ViaArg::Http => node.http_url().with_context(|| {
                    format!("{} has no HTTP: set `http` in its dseq.toml, or use --via rpc", node.name)
                })?,
            };
            let address = Address::parse(url.strip_prefix("http://").unwrap_or(&url));
            running.push(address.with_context(|| format!("{}: {url} is no address", node.name))?);
        }
    }
    if running.is_empty() {
        let start = testnet::command(dir, "start");
        bail!("no node of the network in {} runs; `{start}` starts them", dir.display());
    }
    Ok(running)
}

fn run_once(args: &Args, plan: &Plan) -> anyhow::Result<ExitCode> {
    // Better now than after an hour.
    let mut files = Vec::new();
    for path in [&args.csv, &args.hgrm, &args.report] {
        files.push(path.as_deref().map(create).transpose()?);
    }
    let mut progress = Progress::new();
    let finished = load::run(plan, &mut |stage| progress.show(stage))?;
    progress.end();
    let files = [&args.csv, &args.hgrm, &args.report].into_iter().zip(files);
    for ((path, file), write) in files.zip([write_csv, write_hgrm, write_report]) {
        if let (Some(path), Some(file)) = (path, file) {
            let mut out = BufWriter::new(file);
            let written = write(&finished, &mut out).and_then(|()| out.flush());
            written.with_context(|| format!("cannot write {}", path.display()))?;
        }
    }
    let good = finished.report.is_good();
    if args.json {
        let mut json = json!(finished.report);
        json["good"] = good.into();
        say(serde_json::to_string_pretty(&json)?)?;
    } else {
        say(text::summary(&finished.report))?;
        for path in [&args.csv, &args.hgrm, &args.report].into_iter().flatten() {
            say(format!("wrote {}", path.display()))?;
        }
    }
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::from(EXIT_FAILED) })
}

fn create(path: &Path) -> anyhow::Result<File> {
    File::create(path).with_context(|| format!("cannot write {}", path.display()))
}

type Out = BufWriter<File>;

fn write_csv(finished: &Finished, out: &mut Out) -> std::io::Result<()> {
    load::write_csv(finished, out)
}

fn write_hgrm(finished: &Finished, out: &mut Out) -> std::io::Result<()> {
    load::write_hgrm(finished, out)
}

fn write_report(finished: &Finished, out: &mut Out) -> std::io::Result<()> {
    out.write_all(load::page(finished).as_bytes())
}

/// Runs at rising rates until one breaks a bound. Exits with 0 if a rate held and all was verified.
fn find_max(args: &Args, mut plan: Plan) -> anyhow::Result<ExitCode> {
    let Pace::Open { rate, arrival } = plan.pace else {
        bail!("the search was started without a rate: a defect of dseq; report it")
    };
    let mut search = Search::from(rate, RATE_MAX);
    let (mut steps, mut first_break, mut verified) = (Vec::new(), None, true);
    if !args.json {
        say(text::step_heading())?;
    }
    loop {
        plan.pace = Pace::Open { rate: search.rate(), arrival };
        let mut progress = Progress::new();
        let finished = load::run(&plan, &mut |stage| progress.show(stage))?;
        progress.end();
        let report = finished.report;
        let broke = broken(&report, args.p99_max);
        verified &= report.verification.as_ref().is_some_and(load::verify::Verification::is_good);
        if args.json {
            steps.push(json!({ "report": report, "broke": broke.as_ref().map(text::broke) }));
        } else {
            say(text::step(&report, broke.as_ref()))?;
        }
        let stopped = report.stopped_early;
        let more = !stopped && verified && search.tried(broke.is_none());
        if let Some(broke) = broke {
            first_break = Some((report.offered.rate.unwrap_or_default(), broke));
        }
        if !more {
            break;
        }
    }
    let held = search.held();
    let conclusion = text::conclusion(held, first_break.as_ref(), plan.sizes, verified);
    if args.json {
        let json = json!({ "rate": held, "conclusion": conclusion, "verified": verified, "steps": steps });
        say(serde_json::to_string_pretty(&json)?)?;
    } else {
        say(format!("\n{conclusion}"))?;
    }
    Ok(if held.is_some() && verified { ExitCode::SUCCESS } else { ExitCode::from(EXIT_FAILED) })
}

/// The address of a node's RPC, with or without `http://`.
pub(super) fn address(text: &str) -> Result<Address, String> {
    let plain = text.strip_prefix("http://").unwrap_or(text).trim_end_matches('/');
    let address = Address::parse(plain).filter(|address| address.port != 0 && !plain.starts_with(':'));
    address.ok_or_else(|| "expected HOST:PORT, such as localhost:26657".to_owned())
}

fn sizes(text: &str) -> Result<Sizes, String> {
    let number = |text: &str| text.parse::<u64>().ok();
    let sizes = match text.split_once("..") {
        Some((min, max)) => number(min).zip(number(max)),
        None => number(text).map(|size| (size, size)),
    };
    let (min, max) =
        sizes.ok_or_else(|| "expected a number of bytes, or a range such as 100..4096".to_owned())?;
    Ok(Sizes { min, max })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_a_number_or_a_range() {
        assert_eq!(sizes("256"), Ok(Sizes { min: 256, max: 256 }));
        assert_eq!(sizes("100..4096"), Ok(Sizes { min: 100, max: 4096 }));
        for bad in ["", "..", "1..", "a", "1-2"] {
            assert!(sizes(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn nodes_are_addresses_with_or_without_a_scheme() {
        for text in ["localhost:26657", "http://localhost:26657", "http://localhost:26657/"] {
            assert_eq!(address(text), Ok(Address::new("localhost", 26657)));
        }
        for bad in ["localhost", "localhost:0", ":26657", "https://a:1", "a:x"] {
            assert!(address(bad).is_err(), "{bad}");
        }
    }
}
