//! Latency and throughput of both profiles over distances: four nodes of this machine, each behind a proxy that delays what its
//! peers send it and get from it. Run by `make bench-wide`; about five minutes.
//!
//! For each profile and round trip: a network made by `dseq init`, `network create` and `network join`; then one transaction of
//! 256 bytes after the other, sent to all nodes in turn over HTTP; then as many at once as the network takes. `dseq load`
//! measures both, and verifies each receipt on every node.
#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on ends")]

mod proxy;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use dseq::node::network::Profile;
use dseq::node::process::ProcessId;
use serde_json::{Value, json};
use tokio::net::TcpListener;

const NODES: u16 = 4;
/// Ports from here on, out of the range from which the kernel takes ports for connections.
const BASE_PORT: u16 = 21_000;
const ROUND_TRIPS: [u64; 3] = [20, 80, 200];
const ONE_BY_ONE: u32 = 20;
const AT_ONCE: u32 = 2_000;
const LOADED_FOR: &str = "10s";
/// How long a network may take to come up.
const PATIENCE: Duration = Duration::from_secs(60);

/// What one profile does at one distance.
struct Figures {
    profile: Profile,
    round_trip: u64,
    idle_p50: f64,
    idle_p90: f64,
    tx_per_second: f64,
    loaded_p50: f64,
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let mut all = Vec::new();
    for round_trip in ROUND_TRIPS {
        for profile in [Profile::Local, Profile::Wide] {
            let one = measure(&runtime, profile, round_trip);
            eprintln!("{}", row(&one));
            all.push(one);
        }
    }
    println!(
        "| round trip | profile | one write: p50 | p90 | many writes: tx/s | p50 |\n|---|---|---|---|---|---|"
    );
    all.iter().for_each(|one| println!("{}", row(one)));
    let figures: Vec<Value> = all.iter().map(as_json).collect();
    fs::create_dir_all("build/bench").unwrap();
    fs::write("build/bench/wide.json", format!("{:#}\n", Value::from(figures))).unwrap();
}

fn row(one: &Figures) -> String {
    let Figures { profile, round_trip, idle_p50, idle_p90, tx_per_second, loaded_p50 } = one;
    format!(
        "| {round_trip} ms | {profile} | {idle_p50:.0} ms | {idle_p90:.0} ms | {tx_per_second:.0} | {loaded_p50:.0} ms |"
    )
}

fn as_json(one: &Figures) -> Value {
    json!({
        "profile": one.profile, "round_trip_ms": one.round_trip, "idle_p50_ms": one.idle_p50, "idle_p90_ms": one.idle_p90,
        "tx_per_second": one.tx_per_second, "loaded_p50_ms": one.loaded_p50,
    })
}

fn measure(runtime: &tokio::runtime::Runtime, profile: Profile, round_trip: u64) -> Figures {
    let dir = tempfile::tempdir().unwrap();
    let one_way = Duration::from_millis(round_trip) / 2;
    let _context = runtime.enter();
    let proxies: Vec<_> = (0..NODES)
        .map(|node| {
            let at = SocketAddr::from(([127, 0, 0, 1], port(node, Port::Proxy)));
            let listener = std::net::TcpListener::bind(at).unwrap();
            listener.set_nonblocking(true).unwrap();
            let to = SocketAddr::from(([127, 0, 0, 1], port(node, Port::P2p)));
            runtime.spawn(proxy::serve(TcpListener::from_std(listener).unwrap(), to, one_way))
        })
        .collect();
    make(dir.path(), profile);
    let nodes: Vec<Node> = (0..NODES).map(|node| Node::start(dir.path(), node)).collect();
    nodes.iter().for_each(Node::wait);
    let http =
        (0..NODES).map(|node| format!("127.0.0.1:{}", port(node, Port::Http))).collect::<Vec<_>>().join(",");
    let idle = load(&[
        "--via",
        "http",
        "--node",
        &http,
        "--concurrency",
        "1",
        "--requests",
        &ONE_BY_ONE.to_string(),
    ]);
    let at_once = AT_ONCE.to_string();
    let loaded =
        load(&["--via", "http", "--node", &http, "--concurrency", &at_once, "--duration", LOADED_FOR]);
    drop(nodes);
    proxies.iter().for_each(tokio::task::JoinHandle::abort);
    let of = |report: &Value, what: &str| report["latency"][what].as_f64().unwrap();
    Figures {
        profile,
        round_trip,
        idle_p50: of(&idle, "p50"),
        idle_p90: of(&idle, "p90"),
        tx_per_second: loaded["tx_per_second"].as_f64().unwrap(),
        loaded_p50: of(&loaded, "p50"),
    }
}

#[derive(Clone, Copy)]
enum Port {
    /// Where its peers reach a node.
    Proxy,
    P2p,
    Rpc,
    Http,
}

fn port(node: u16, port: Port) -> u16 {
    BASE_PORT + 4 * node + port as u16
}

fn home(dir: &Path, node: u16) -> PathBuf {
    dir.join(format!("node{node}"))
}

fn dseq(args: &[&str]) -> Command {
    let mut command = Command::new("build/dseq");
    command.args(args).stdin(Stdio::null());
    command
}

/// Runs it, which must succeed; answers what it printed.
fn run(mut command: Command) -> Vec<u8> {
    let output = command.output().unwrap_or_else(|err| panic!("build/dseq: {err}; run `make build` first"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// Makes a network as its members do.
fn make(dir: &Path, profile: Profile) {
    let at = |node, which| format!("127.0.0.1:{}", port(node, which));
    let mut create = dseq(&["network", "create", "--chain-id", "wide", "--profile", &profile.to_string()]);
    let file = dir.join("network.json");
    create.arg("-o").arg(&file);
    for node in 0..NODES {
        let mut init = dseq(&["init", "--name", &format!("node{node}"), "--address", &at(node, Port::Proxy)]);
        init.args([
            "--listen",
            &at(node, Port::P2p),
            "--rpc",
            &at(node, Port::Rpc),
            "--http",
            &at(node, Port::Http),
        ]);
        init.arg("--home").arg(home(dir, node));
        run(init);
        create.arg(home(dir, node).join("member.json"));
    }
    run(create);
    let mut show = dseq(&["network", "show", "--json"]);
    show.arg(&file);
    let shown: Value = serde_json::from_slice(&run(show)).unwrap();
    for node in 0..NODES {
        let mut join = dseq(&["network", "join", "--expect", shown["fingerprint"]["hex"].as_str().unwrap()]);
        join.arg(&file).arg("--home").arg(home(dir, node));
        run(join);
    }
}

/// A node that ends with the measurement.
struct Node {
    child: Child,
    home: PathBuf,
}

impl Node {
    fn start(dir: &Path, node: u16) -> Self {
        let home = home(dir, node);
        let log = fs::File::create(home.join("dseq.log")).unwrap();
        let mut command = dseq(&["start"]);
        let child = command.arg("--home").arg(&home).stderr(log).spawn().unwrap();
        Self { child, home }
    }

    /// Waits until it takes transactions.
    fn wait(&self) {
        let began = Instant::now();
        let log = self.home.join("dseq.log");
        while !fs::read_to_string(&log).unwrap().contains("takes transactions; 4 of 4 validators up") {
            assert!(began.elapsed() < PATIENCE, "{}", fs::read_to_string(&log).unwrap());
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(id) = ProcessId::of(self.child.id()) {
            let _ = id.signal(rustix::process::Signal::TERM);
        }
        let _ = self.child.wait();
    }
}

/// A load test, of which every receipt has to be true.
fn load(args: &[&str]) -> Value {
    let mut command = dseq(&["load", "--json", "--timeout", "60s"]);
    let report: Value = serde_json::from_slice(&run_any(command.args(args))).unwrap();
    assert!(report["good"] == true || report["verification"]["wrong"] == 0, "{report:#}");
    report
}

/// As [`run`], of a load test that may find its own generator too slow.
fn run_any(command: &mut Command) -> Vec<u8> {
    let output = command.stderr(Stdio::null()).output().unwrap();
    assert!(!output.stdout.is_empty(), "{command:?}: {}", output.status);
    output.stdout
}
