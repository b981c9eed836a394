//! Genesis with the real CometBFT: its verdicts are ours, a mended file counts, and limits hold on every node alike.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use dseq::node::engine::cometbft::CometBft;
use dseq::node::genesis::rules::Plugin;
use dseq::node::home::NodeHome;
use dseq::node::network::{self, Founding, NewMember, Profile};
use dseq::node::process::ProcessId;
use dseq::node::testnet::Ports;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::genesis_table::{Verdict, cases};
use crate::support::{PATIENCE, ask, dseq, free_base_port, plugin, run, until, workspace_file};

fn read(home: &NodeHome) -> Value {
    serde_json::from_slice(&fs::read(home.genesis_file()).unwrap()).unwrap()
}

fn cometbft() -> CometBft {
    CometBft::find(Some(&workspace_file("build/cometbft"))).unwrap()
}

/// Whether CometBFT takes the genesis of a home, with an app that says nothing; and what it said.
fn cometbft_takes(root: &Path) -> (bool, String) {
    let log = root.join("cometbft.log");
    let output = fs::File::create(&log).unwrap();
    let mut command = cometbft().command(root);
    command.args(["start", "--proxy_app", "noop", "--log_level", "info"]);
    command.args(["--p2p.laddr", "tcp://127.0.0.1:0", "--rpc.laddr", "tcp://127.0.0.1:0", "--p2p.pex=false"]);
    let mut child = command.stdout(output.try_clone().unwrap()).stderr(output).spawn().unwrap();
    let started = Instant::now();
    let takes = loop {
        let ended = child.try_wait().unwrap().is_some();
        // It says so once the handshake, in which it hands over genesis, is done.
        let takes = fs::read_to_string(&log).unwrap().contains("Started node");
        if ended || takes {
            break takes && !ended;
        }
        assert!(started.elapsed() < PATIENCE, "neither started nor ended");
        std::thread::sleep(std::time::Duration::from_millis(20));
    };
    let _ = child.kill();
    child.wait().unwrap();
    (takes, fs::read_to_string(&log).unwrap())
}

#[test]
#[ignore = "needs CometBFT; run by make e2e"]
fn cometbft_and_dseq_agree_about_every_genesis_of_the_table() {
    let dir = tempfile::tempdir().unwrap();
    let home = NodeHome::new(&dir.path().join("it's a node"));
    let root = home.root().to_str().unwrap();
    let (code, said) = run(&mut dseq(&["init", "--solo", "--home", root, "--plugin", &plugin()]));
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("1 validator: this node decides alone"), "{said}");
    let (_, quoted) = said.lines().find_map(|line| line.split_once("dseq start --home ")).unwrap();
    let echo = Command::new("sh").args(["-c", &format!("printf %s {quoted}")]).output().unwrap();
    assert_eq!(String::from_utf8(echo.stdout).unwrap(), root, "a shell takes the printed command");
    let good = read(&home);
    let mut disagreements = Vec::new();
    for case in cases() {
        fs::write(home.genesis_file(), case.apply(&good).to_string()).unwrap();
        for database in ["state.db", "blockstore.db", "evidence.db", "tx_index.db", "cs.wal"] {
            let _ = fs::remove_dir_all(home.data_dir().join(database));
        }
        let (takes, log) = cometbft_takes(home.root());
        let (code, said) = run(&mut dseq(&["genesis", "verify", "--home", home.root().to_str().unwrap()]));
        let expected = match case.verdict {
            Verdict::Good => (true, 0),
            Verdict::Refused(_) => (false, 1),
            Verdict::Ours(_) => (true, 1),
        };
        if (takes, code) != expected {
            let last: Vec<&str> = log.lines().rev().take(3).collect();
            disagreements.push(format!("{}: CometBFT takes it: {takes}; {said}{last:?}", case.name));
        }
    }
    assert!(disagreements.is_empty(), "{}", disagreements.join("\n"));
}

/// A `dseq start` that ends with the test, however that ends.
struct Started(Child);

impl Started {
    fn new(home: &NodeHome) -> Self {
        let log = fs::File::create(home.app_log()).unwrap();
        let mut command = dseq(&["start", "--home", home.root().to_str().unwrap()]);
        Self(command.stdin(Stdio::null()).stderr(log).spawn().unwrap())
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        ProcessId::of(self.0.id()).map(|id| id.signal(Signal::TERM));
        let code = self.0.wait().unwrap().code();
        if !std::thread::panicking() {
            assert_eq!(code, Some(0));
        }
    }
}

/// Homes of one network on ports of this test, each with the port of its RPC.
fn network(dir: &Path, nodes: u16) -> Vec<(NodeHome, u16)> {
    let base = free_base_port();
    let member = |index: u16| {
        let name = format!("node{index}");
        let port = |n: u16| base + 4 * index + n;
        let ports = Ports { p2p: port(0), rpc: port(1), metrics: port(2), http: port(3) };
        (NodeHome::new(&dir.join(&name)), ports.member(&name))
    };
    let homes: Vec<(NodeHome, NewMember)> = (0..nodes).map(member).collect();
    let founding = Founding { chain_id: None, plugins: vec![Plugin::passthrough()], profile: Profile::Local };
    network::found(&cometbft(), founding, &homes).unwrap();
    homes.into_iter().map(|(home, member)| (home, member.listen.rpc.port)).collect()
}

#[test]
#[ignore = "needs CometBFT; run by make e2e"]
fn a_genesis_that_was_mended_after_a_refusal_is_used() {
    let dir = tempfile::tempdir().unwrap();
    let (home, rpc) = network(dir.path(), 1).remove(0);
    let root = home.root().to_str().unwrap();
    let mut genesis = read(&home);
    genesis["app_state"]["dseq"]["engine"] = "11".repeat(32).into();
    fs::write(home.genesis_file(), genesis.to_string()).unwrap();
    let (code, said) = run(&mut dseq(&["start", "--home", root]));
    assert!(code == 78 && said.contains("has engine"), "{said}");

    let (code, said) = run(&mut dseq(&["genesis", "set", "--home", root, "--limit", "record_bytes_max=2"]));
    assert_eq!(code, 0, "{said}");
    let node = Started::new(&home);
    let answer =
        until("answer", || ask(rpc, "broadcast_tx_commit?tx=\"hi\"").filter(|a| a["error"].is_null()));
    assert_eq!(answer["result"]["tx_result"]["code"], 0, "{answer}");
    let answer = ask(rpc, "broadcast_tx_sync?tx=\"long\"").unwrap();
    assert_ne!(answer["result"]["code"], 0, "the mended limit is in force: {answer}");
    drop(node);

    // Now that something is committed, the file no longer counts, and is not ignored either.
    let kept = fs::read_to_string(home.genesis_file()).unwrap();
    fs::write(home.genesis_file(), genesis.to_string()).unwrap();
    let (code, said) = run(&mut dseq(&["start", "--home", root]));
    assert!(code == 78 && said.contains("but this node began with network "), "{said}");
    fs::write(home.genesis_file(), kept).unwrap();
    let node = Started::new(&home);
    until("status", || ask(rpc, "status"));
    drop(node);
}

/// Sends a transaction of any length; what the node answers.
fn post(port: u16, tx: &[u8]) -> Option<Value> {
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "broadcast_tx_sync",
        "params": { "tx": data_encoding::BASE64.encode(tx) } });
    let body = body.to_string();
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    let head = "POST / HTTP/1.0\r\nHost: localhost\r\nContent-Type: application/json";
    write!(stream, "{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    serde_json::from_str(answer.split_once("\r\n\r\n")?.1).ok()
}

#[test]
#[ignore = "needs CometBFT; run by make e2e"]
fn a_transaction_of_4_mib_is_included_on_four_nodes_whatever_their_files_say() {
    const BYTES: usize = 4 << 20;
    let dir = tempfile::tempdir().unwrap();
    let (homes, ports): (Vec<NodeHome>, Vec<u16>) = network(dir.path(), 4).into_iter().unzip();
    let mut genesis = read(&homes[0]);
    genesis["app_state"]["dseq"]["limits"]["tx_bytes_max"] = json!(BYTES);
    genesis["consensus_params"]["block"]["max_bytes"] = json!((8 << 20).to_string());
    for (index, home) in homes.iter().enumerate() {
        fs::write(home.genesis_file(), genesis.to_string()).unwrap();
        if index % 2 == 1 {
            let config = fs::read_to_string(home.cometbft_config()).unwrap();
            let smaller = config.replace("max_tx_bytes = 2097152", "max_tx_bytes = 1048576");
            assert_ne!(config, smaller);
            fs::write(home.cometbft_config(), smaller).unwrap();
        }
    }
    let nodes: Vec<Started> = homes.iter().map(Started::new).collect();
    for port in &ports {
        until("three peers", || {
            ask(*port, "net_info").filter(|info| info["result"]["n_peers"] == "3").map(drop)
        });
    }
    for (node, port) in ports.iter().enumerate().take(2) {
        let tx = vec![b'a' + u8::try_from(node).unwrap(); BYTES];
        let answer = until("answer", || post(*port, &tx));
        assert_eq!(answer["result"]["code"], 0, "{}", answer["error"]);
        let length = u64::try_from((node + 1) * BYTES).unwrap();
        for home in &homes {
            let file = home.sequence_dir().join("sequence.bin");
            until("transaction in the sequence", || {
                fs::metadata(&file).ok().filter(|found| found.len() == length)
            });
        }
    }
    let answer = until("answer", || post(ports[3], &vec![b'x'; BYTES + 1]));
    assert_eq!(answer["result"]["codespace"], "dseq", "the app says that it is too large: {answer}");
    for port in &ports {
        let peers = &ask(*port, "net_info").unwrap()["result"]["n_peers"];
        assert_eq!(peers, "3", "nobody dropped a peer for a transaction that all take");
    }
    drop(nodes);
}
