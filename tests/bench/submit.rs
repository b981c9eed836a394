//! Benchmark of submitting on a running network: `POST /v1/submit` beside CometBFT's `broadcast_tx_commit`, and with
//! `wait=checked` beside `broadcast_tx_sync`.
//!
//! Both go to the same node by the same client, in turn, over connections that are kept.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use serde_json::{Value, json};

/// Producers that submit one transaction after the other, at once.
const PRODUCERS: u64 = 64;
/// Pause before a transaction of the idle network, so that it is rested.
const REST: Duration = Duration::from_millis(400);
/// Size of a transaction, in bytes.
const TX_BYTES: usize = 256;
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Parser)]
struct Options {
    /// Where the node answers HTTP.
    #[arg(long)]
    http: SocketAddr,
    /// Where its CometBFT answers RPC.
    #[arg(long)]
    rpc: SocketAddr,
    /// Where the figures go.
    #[arg(long)]
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
}

/// A way to submit.
#[derive(Clone, Copy)]
enum Way {
    Http(&'static str),
    Rpc(&'static str),
}

const COMMITTED: [Way; 2] = [Way::Http("committed"), Way::Rpc("broadcast_tx_commit")];
const CHECKED: [Way; 2] = [Way::Http("checked"), Way::Rpc("broadcast_tx_sync")];

fn main() -> Result<()> {
    let options = Options::parse();
    let rows = vec![
        compare("idle network: committed, p50", "ms", &options, COMMITTED, idle, "at_most", 1.2)?,
        compare("idle network: checked, p50", "ms", &options, CHECKED, idle, "", 0.0)?,
        compare("64 producers: committed", "tx/s", &options, COMMITTED, busy, "at_least", 3.0)?,
    ];
    let cpus = std::thread::available_parallelism()?;
    let taken = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs();
    let file = json!({ "program": "bench-submit", "taken_unix": taken, "cpus": cpus.get(), "rows": rows });
    std::fs::write(&options.out, serde_json::to_string_pretty(&file)? + "\n")
        .context("cannot keep the figures")
}

fn compare(
    what: &str,
    unit: &str,
    options: &Options,
    ways: [Way; 2],
    round: fn(&Options, Way) -> Result<f64>,
    kind: &str,
    factor: f64,
) -> Result<Value> {
    let [ours, theirs] = ways;
    let (mut of_ours, mut of_theirs) = (Vec::new(), Vec::new());
    // Every other round runs backwards, so that coming first or last favours neither.
    for turn in 0..options.rounds {
        if turn % 2 == 0 {
            of_ours.push(round(options, ours)?);
            of_theirs.push(round(options, theirs)?);
        } else {
            of_theirs.push(round(options, theirs)?);
            of_ours.push(round(options, ours)?);
        }
    }
    eprintln!("bench: {what}: {of_ours:.1?} beside {of_theirs:.1?} {unit}");
    Ok(json!({
        "what": what, "unit": unit,
        "ours": { "name": ours.name(), "rounds": of_ours },
        "theirs": { "name": theirs.name(), "rounds": of_theirs },
        "target": { "kind": kind, "factor": factor, "allowance": 0.0 },
    }))
}

/// The median time of a transaction that comes alone, in milliseconds.
fn idle(options: &Options, way: Way) -> Result<f64> {
    let mut connection = Connection::open(options, way)?;
    let mut times = Vec::new();
    for _ in 0..options.idle {
        std::thread::sleep(REST);
        let began = Instant::now();
        ensure!(connection.submit()?, "a transaction was not taken");
        times.push(began.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}

/// Transactions a second of all producers together. What is refused for want of room is tried again.
fn busy(options: &Options, way: Way) -> Result<f64> {
    let (taken, time) = (AtomicU64::new(0), Duration::from_secs(options.seconds));
    let began = Instant::now();
    std::thread::scope(|scope| {
        let produce = || -> Result<()> {
            let mut connection = Connection::open(options, way)?;
            while began.elapsed() < time {
                if connection.submit()? {
                    taken.fetch_add(1, Ordering::Relaxed);
                }
            }
            Ok(())
        };
        let producers: Vec<_> = (0..PRODUCERS).map(|_| scope.spawn(produce)).collect();
        producers.into_iter().try_for_each(|producer| producer.join().expect("a producer does not panic"))
    })?;
    #[expect(clippy::cast_precision_loss, reason = "no count here is that large")]
    Ok(taken.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64())
}

impl Way {
    fn name(self) -> String {
        match self {
            Self::Http(wait) => format!("POST /v1/submit?wait={wait}"),
            Self::Rpc(method) => method.to_owned(),
        }
    }
}

/// A connection to the node, kept.
struct Connection {
    way: Way,
    stream: BufReader<TcpStream>,
}

impl Connection {
    fn open(options: &Options, way: Way) -> Result<Self> {
        let address = match way {
            Way::Http(_) => options.http,
            Way::Rpc(_) => options.rpc,
        };
        let stream = TcpStream::connect(address).with_context(|| format!("nobody listens at {address}"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { way, stream: BufReader::new(stream) })
    }

    /// Submits a transaction that nobody has submitted before; whether it was taken.
    fn submit(&mut self) -> Result<bool> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_nanos();
        let tx = format!("{:<TX_BYTES$}", format!("{now} {number}"));
        match self.way {
            Way::Http(wait) => {
                let (status, _) = self.post(&format!("/v1/submit?wait={wait}"), tx.as_bytes())?;
                Ok(status == if wait == "committed" { 200 } else { 202 })
            }
            Way::Rpc(method) => {
                let params = json!({ "tx": data_encoding::BASE64.encode(tx.as_bytes()) });
                let call = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
                let (_, body) = self.post("/", call.to_string().as_bytes())?;
                let answer: Value = serde_json::from_slice(&body)?;
                let result = &answer["result"];
                Ok(result["code"] == 0 || result["tx_result"]["data"].is_string())
            }
        }
    }

    fn post(&mut self, target: &str, body: &[u8]) -> Result<(u16, Vec<u8>)> {
        let head = format!(
            "POST {target} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        self.stream.get_mut().write_all(&[head.as_bytes(), body].concat())?;
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        let status = line.split(' ').nth(1).context("no HTTP")?.parse()?;
        let mut length = 0;
        loop {
            line.clear();
            self.stream.read_line(&mut line)?;
            let Some((name, value)) = line.split_once(": ") else { break };
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse()?;
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        Ok((status, body))
    }
}
