//! Faults of every kind, provoked in real nodes, and what `dseq health` says of each.
//!
//! The goal is that each is seen within 10 s. How long it took is printed; a busy machine fails no test by being slow.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use dseq::node::home::NodeHome;
use dseq::node::process::ProcessId;
use rustix::process::{Pid, Resource, Rlimit, Signal};
use serde_json::Value;

use crate::failures::{short_of_space, stop, submit};
use crate::one_node::{init, start_with};
use crate::support::{Testnet, ask, dseq, processes, receipt, run, until};

/// `dseq` that goes by the home's own address of HTTP.
fn dseq_with_http(args: &[&str]) -> Command {
    let mut command = dseq(args);
    command.env_remove("DSEQ_HTTP");
    command
}

/// Makes a home of one node that serves HTTP on a port of this test.
fn init_with_http(root: &Path) -> (NodeHome, u16) {
    let (home, rpc) = init(root);
    let settings = fs::read_to_string(home.config_file()).unwrap();
    fs::write(home.config_file(), format!("http = \"127.0.0.1:{}\"\n{settings}", rpc + 1)).unwrap();
    (home, rpc)
}

/// What `dseq health` says of a home: its exit code, and its report.
fn health(home: &NodeHome) -> (i32, Value) {
    let mut command = dseq_with_http(&["health", "--json", "--home", home.root().to_str().unwrap()]);
    let (code, said) = run(&mut command);
    let mut nodes: Value = serde_json::from_str(&said).unwrap_or_else(|_| panic!("{said}"));
    (code, nodes[0].take())
}

/// State and reason of one check.
fn check(report: &Value, name: &str) -> Option<(String, String)> {
    let check = report["checks"].as_array()?.iter().find(|check| check["name"] == name)?;
    let text = |key: &str| check[key].as_str().unwrap_or_default().to_owned();
    Some((text("state"), text("reason")))
}

/// Waits until a check of a node finds this, with these words in its reason; says how long that took.
fn seen(home: &NodeHome, name: &str, state: &str, words: &str) -> String {
    let began = Instant::now();
    let mut last = Value::Null;
    let reason = until(&format!("{name} {state}: {words}"), || {
        let (code, report) = health(home);
        let found = check(&report, name);
        last = report;
        let (found_state, reason) = found?;
        let is_it = found_state == state && reason.contains(words);
        is_it.then(|| {
            assert_eq!(code, i32::from(state == "failed" || state == "warning"), "{last}");
            reason
        })
    });
    eprintln!("{name} {state} after {:.1} s: {reason}", began.elapsed().as_secs_f64());
    reason
}

/// Waits until nothing is wrong with a node, and every check could be made.
fn well(home: &NodeHome) {
    until("healthy node", || {
        let (code, report) = health(home);
        let all_ok = report["checks"].as_array()?.iter().all(|check| check["state"] == "ok");
        (code == 0 && all_ok && report["healthy"] == true).then_some(())
    });
}

#[test]
#[ignore = "needs CometBFT; run by make e2e"]
fn a_stopped_engine_a_lost_quorum_and_a_disk_below_its_mark_are_seen_with_their_reasons() {
    let net = Testnet::new();
    net.started();
    let nodes = net.nodes();
    nodes.iter().for_each(|node| well(&node.home));
    let (code, said) =
        run(&mut dseq_with_http(&["health", "--home", nodes[0].home.root().to_str().unwrap()]));
    assert!(code == 0 && said.ends_with(": healthy\n"), "{said}");

    // A process that a signal stopped keeps its connections and answers nothing.
    let engine = processes(&nodes[0].home)[2];
    engine.signal(Signal::STOP).unwrap();
    let pid = engine.pid;
    seen(
        &nodes[0].home,
        "engine",
        "failed",
        &format!("CometBFT is stopped by a signal; continue it with `kill -CONT {pid}`"),
    );
    engine.signal(Signal::CONT).unwrap();
    well(&nodes[0].home);

    let app = processes(&nodes[0].home)[1];
    app.signal(Signal::STOP).unwrap();
    seen(&nodes[0].home, "runs", "failed", "the app is stopped by a signal");
    app.signal(Signal::CONT).unwrap();
    well(&nodes[0].home);

    // Two of four hang: they keep their connections, and decide nothing.
    let engines: Vec<ProcessId> = [2, 3].map(|node| processes(&nodes[node].home)[2]).into();
    engines.iter().for_each(|engine| _ = engine.signal(Signal::STOP).unwrap());
    let reason = seen(&nodes[0].home, "peers", "failed", "it reaches voting power 20 of 40");
    assert!(
        reason.contains("node2 (") && reason.contains("node3 (") && reason.contains("no answer from "),
        "{reason}"
    );
    engines.iter().for_each(|engine| _ = engine.signal(Signal::CONT).unwrap());
    nodes.iter().for_each(|node| well(&node.home));

    // CometBFT sends a transaction of the first two heights to a peer that still syncs, which ignores it, and never sends it
    // again (mempool/reactor.go: WaitSync, and the peer's height): the two that come back below would wait for it for ever.
    for tx in ["one", "two"] {
        let committed = ask(nodes[0].ports.rpc, &format!("broadcast_tx_commit?tx=\"{tx}\"")).unwrap();
        assert!(receipt(&committed).is_some(), "{committed}");
    }

    // Two of four are gone; with work, no block comes.
    for node in [2, 3] {
        processes(&nodes[node].home).iter().for_each(|id| _ = id.signal(Signal::KILL).unwrap());
    }
    seen(
        &nodes[0].home,
        "peers",
        "failed",
        "it reaches voting power 20 of 40; a block takes more than two thirds",
    );
    seen(&nodes[2].home, "runs", "failed", "the node does not run");
    ask(nodes[0].ports.rpc, "broadcast_tx_async?tx=\"waits\"").unwrap();
    seen(&nodes[0].home, "progress", "failed", "transactions wait, and no block came in ");
    net.started();
    nodes.iter().for_each(|node| well(&node.home));

    assert_eq!(net.stop().0, 0);
    let settings = nodes[1].home.config_file();
    let before = fs::read_to_string(&settings).unwrap();
    fs::write(&settings, format!("disk_free_bytes_low = {}\n{before}", i64::MAX)).unwrap();
    let (code, said) = net.start();
    assert!(code == 1 && said.contains("\nnode1: "), "{said}");
    seen(&nodes[1].home, "disk", "failed", "(disk_free_bytes_low): it takes no transactions");
    let answer = ask_http(&nodes[1].http_url().unwrap(), "/readyz");
    assert!(answer.contains(" 503 ") && answer.contains("\n[-]disk failed: "), "{answer}");
    let answer = ask_http(&nodes[0].http_url().unwrap(), "/readyz?verbose");
    assert!(answer.contains(" 200 ") && answer.contains("\n[+]engine ok\n"), "{answer}");
}

/// What a node's HTTP answers, with its head.
fn ask_http(url: &str, path: &str) -> String {
    let address = url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// Passes on what a node's RPC answers, but claims that its app holds another sequence.
fn lie_for(node_rpc: &str, listen: &str) {
    let (listener, node_rpc) = (TcpListener::bind(listen).unwrap(), node_rpc.to_owned());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, node_rpc) = (stream.unwrap(), node_rpc.clone());
            std::thread::spawn(move || {
                let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
                while let Some(Ok(request)) = lines.next() {
                    while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
                    let path = request.split(' ').nth(1).unwrap();
                    let mut answer = ask_http(&node_rpc, path).split_once("\r\n\r\n").unwrap().1.to_owned();
                    if path.starts_with("/abci_query") {
                        let mut said: Value = serde_json::from_str(&answer).unwrap();
                        let value = &mut said["result"]["response"]["value"];
                        let bytes = data_encoding::BASE64.decode(value.as_str().unwrap().as_bytes()).unwrap();
                        let mut status: Value = serde_json::from_slice(&bytes).unwrap();
                        status["sequence_root"] = "ab".repeat(32).into();
                        *value = data_encoding::BASE64.encode(status.to_string().as_bytes()).into();
                        answer = said.to_string();
                    }
                    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", answer.len());
                    if stream.write_all((head + &answer).as_bytes()).is_err() {
                        return;
                    }
                }
            });
        }
    });
}

#[test]
#[ignore = "needs CometBFT; run by make e2e"]
fn a_peer_that_claims_other_bytes_is_named_with_both_roots() {
    let net = Testnet::new();
    net.started();
    let nodes = net.nodes();
    let committed = ask(nodes[0].ports.rpc, "broadcast_tx_commit?tx=\"hello\"").unwrap();
    assert!(receipt(&committed).is_some(), "{committed}");
    assert_eq!(net.stop().0, 0);
    // Its RPC moves to another address of this machine, and others ask for it where they are connected to.
    let port = nodes[3].ports.rpc;
    let config = fs::read_to_string(nodes[3].home.cometbft_config()).unwrap();
    let moved = config.replace(&format!("tcp://127.0.0.1:{port}"), &format!("tcp://127.0.0.2:{port}"));
    assert_ne!(moved, config);
    fs::write(nodes[3].home.cometbft_config(), moved).unwrap();
    net.started();
    nodes.iter().for_each(|node| well_but_for_agreement(&node.home));
    lie_for(&format!("http://127.0.0.2:{port}"), &format!("127.0.0.1:{port}"));
    for node in &nodes[..3] {
        let reason = seen(&node.home, "agreement", "warning", "other bytes than ");
        let root = blake3::hash(b"hello").to_string();
        let expected = format!("(127.0.0.1:{port}) at 1 records: sequence root {root} and ");
        assert!(reason.contains(&expected), "{reason}");
        assert!(reason.contains(&format!("sequence root {}", "ab".repeat(32))), "{reason}");
        let ready = ask_http(&node.http_url().unwrap(), "/readyz?verbose");
        assert!(ready.contains(" 200 ") && ready.contains("\n[!]agreement warning: "), "{ready}");
    }
}

/// Waits until a node is healthy, whether or not all of its peers can be asked.
fn well_but_for_agreement(home: &NodeHome) {
    until("healthy node", || (health(home).0 == 0).then_some(()));
}

/// The last restart that `dseq health` tells of.
fn restarted(home: &NodeHome, words: &str) -> String {
    let began = Instant::now();
    let said = until(&format!("restart: {words}"), || {
        let (_, report) = health(home);
        let (restarted, failed) = (report["restarted"].as_str(), check(&report, "runs"));
        let said = restarted.map(str::to_owned).or(failed.map(|(_, reason)| reason))?;
        said.contains(words).then_some(said)
    });
    eprintln!("after {:.1} s: {said}", began.elapsed().as_secs_f64());
    said
}

#[test]
#[ignore = "needs CometBFT; run by make e2e"]
fn a_halted_consensus_is_restarted_and_the_reason_stays_to_be_seen() {
    let dir = tempfile::tempdir().unwrap();
    let (home, rpc) = init_with_http(&dir.path().join("node"));
    let mut command = dseq_with_http(&["start", "--cometbft"]);
    let child = start_with(&home, rpc, command.arg(short_of_space(dir.path())));
    // Its consensus panics when it writes this to its WAL. The process stays, and answers RPC.
    let sent = ask(rpc, &format!("broadcast_tx_sync?tx=\"{}\"", "x".repeat(900_000))).unwrap();
    assert_eq!(sent["result"]["code"], 0, "{sent}");
    restarted(&home, "CometBFT's consensus failed, and its process goes on without it: ");
    well_but_for_agreement(&home);
    let log = fs::read_to_string(home.app_log()).unwrap();
    assert!(log.contains("CometBFT's consensus failed") && log.contains("restarting both in 0.2 s"), "{log}");
    stop(&home, child);
}

#[test]
#[ignore = "needs CometBFT; run by make e2e"]
fn a_store_that_cannot_be_written_says_so_ends_the_app_and_recovers() {
    let dir = tempfile::tempdir().unwrap();
    let (home, rpc) = init_with_http(&dir.path().join("node"));
    // Without its signal, a write beyond the limit on the length of files fails as one on a full disk does.
    let script = format!("trap '' XFSZ; exec '{}' start --home \"$0\"", env!("CARGO_BIN_EXE_dseq"));
    let mut shell = Command::new("sh");
    shell
        .args(["-c", &script])
        .arg(home.root())
        .env("DSEQ_COMETBFT", crate::support::workspace_file("build/cometbft"));
    let log = fs::File::create(home.app_log()).unwrap();
    let child = shell.stdin(Stdio::null()).stderr(log).spawn().unwrap();
    until("healthy node", || (health(&home).0 == 0).then_some(()));
    submit(rpc, "before");
    limit_files(processes(&home)[1], 6);
    ask(rpc, "broadcast_tx_async?tx=\"after\"").unwrap();
    let said = restarted(&home, "the app ended (exit status: 1): ");
    assert!(said.contains("sequence.bin") && said.contains("File too large"), "{said}");
    until("healthy node", || (health(&home).0 == 0).then_some(()));
    until("its record", || {
        (fs::read(home.sequence_dir().join("sequence.bin")).unwrap() == b"beforeafter").then_some(())
    });
    stop(&home, child);
}

/// Lets a process that runs write no file beyond so many bytes.
fn limit_files(process: ProcessId, bytes: u64) {
    let limit = Rlimit { current: Some(bytes), maximum: None };
    let pid = Pid::from_raw(i32::try_from(process.pid).unwrap());
    rustix::process::prlimit(pid, Resource::Fsize, limit).unwrap();
}

#[test]
#[ignore = "needs CometBFT; run by make e2e"]
fn a_node_that_is_damaged_or_lost_a_plugin_says_so_while_it_runs() {
    let dir = tempfile::tempdir().unwrap();
    let (home, rpc) = init_with_http(&dir.path().join("node"));
    let child = start_with(&home, rpc, &mut dseq_with_http(&["start"]));
    submit(rpc, "hello");
    well_but_for_agreement(&home);
    let sequence = home.sequence_dir().join("sequence.bin");
    flip_first_byte(&sequence);
    seen(&home, "store", "failed", "record 0 is damaged on this node's disk");
    flip_first_byte(&sequence);
    well_but_for_agreement(&home);
    let (plugin, aside) = (home.plugins_dir().join("passthrough.wasm"), dir.path().join("aside"));
    fs::rename(&plugin, &aside).unwrap();
    seen(&home, "pipeline", "warning", "would not start again: no file in ");
    fs::rename(&aside, &plugin).unwrap();
    well_but_for_agreement(&home);
    stop(&home, child);
}

fn flip_first_byte(path: &Path) {
    use std::os::unix::fs::FileExt;
    let file = fs::File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, 0).unwrap();
    file.write_all_at(&[byte[0] ^ 1], 0).unwrap();
}
