//! Four nodes: bytes to all of them at once, kills and returns, the same sequence everywhere.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use dseq::node::process::ProcessId;
use dseq::node::process::running::Running;
use dseq::node::testnet::{Network, Node};
use rustix::process::Signal;

use crate::support::{Testnet, ask, processes, receipt, until};

/// Every transaction of the load is this long, so that the sequence can be cut into them again.
pub(crate) const TX_BYTES: usize = 12;

/// The `number`th transaction that is given to `node`.
fn tx(node: usize, number: u64) -> String {
    format!("n{node}-{number:08}.")
}

/// What became of a producer's transactions.
#[derive(Default)]
pub(crate) struct Sent {
    /// The node said that it takes these.
    pub(crate) accepted: Vec<String>,
    /// Committed, at these offsets.
    pub(crate) committed: Vec<(String, u64)>,
}

/// Sends to one node until told to stop: three of four with `broadcast_tx_sync`, the fourth waits for its commit.
pub(crate) fn produce(node: usize, port: u16, stop: &AtomicBool, total: &AtomicU64) -> Sent {
    let mut sent = Sent::default();
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        number += 1;
        let tx = tx(node, number);
        let method = if number % 4 == 0 { "broadcast_tx_commit" } else { "broadcast_tx_sync" };
        let Some(answer) = ask(port, &format!("{method}?tx=\"{tx}\"")) else {
            // The node is down. It may have taken the transaction, or not: nothing is known of it.
            std::thread::sleep(std::time::Duration::from_millis(20));
            continue;
        };
        let result = &answer["result"];
        if method == "broadcast_tx_sync" && result["code"] == 0 {
            sent.accepted.push(tx);
        } else if let Some(offset) = receipt_offset(result) {
            sent.committed.push((tx, offset));
        }
        total.fetch_add(1, Ordering::Relaxed);
    }
    sent
}

/// The offset in a `dseq.record` event, if the transaction was committed.
fn receipt_offset(result: &serde_json::Value) -> Option<u64> {
    let event =
        result["tx_result"]["events"].as_array()?.iter().find(|event| event["type"] == "dseq.record")?;
    let offset = event["attributes"].as_array()?.iter().find(|attribute| attribute["key"] == "offset")?;
    offset["value"].as_str()?.parse().ok()
}

/// Tells the producers to stop, also when the test fails half-way.
pub(crate) struct StopOnDrop<'a>(pub(crate) &'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Lets the producers get this many more answers.
pub(crate) fn more(total: &AtomicU64, answers: u64) {
    let goal = total.load(Ordering::Relaxed) + answers;
    until("progress of the producers", || (total.load(Ordering::Relaxed) >= goal).then_some(()));
}

#[test]
#[ignore = "needs CometBFT; run by make e2e"]
fn all_nodes_hold_every_committed_transaction_once_through_kills_and_returns() {
    let net = Testnet::new();
    let said = net.started();
    assert!(said.starts_with("Made a new network; all 4 nodes accept transactions."), "{said}");
    let (code, said) = net.start();
    assert_eq!((code, said.starts_with("The network of 4 nodes is running already.")), (0, true), "{said}");

    let nodes = net.nodes();
    let stop = AtomicBool::new(false);
    let total = AtomicU64::new(0);
    let sent: Vec<Sent> = std::thread::scope(|scope| {
        let producers: Vec<_> = (0..4)
            .map(|node| {
                let (port, stop, total) = (nodes[node].ports.rpc, &stop, &total);
                scope.spawn(move || produce(node, port, stop, total))
            })
            .collect();
        // A failure below must not leave the producers running, or the scope would wait for them for ever.
        let running = StopOnDrop(&stop);
        more(&total, 100);
        // All of one node at once: its supervisor, its app and CometBFT.
        for id in processes(&nodes[1].home) {
            id.signal(Signal::KILL).unwrap();
        }
        more(&total, 100);
        // Of another node only the app, which its supervisor brings back; now two of four may be away.
        let app = processes(&nodes[2].home)[1];
        app.signal(Signal::KILL).unwrap();
        let said = net.started();
        assert!(said.starts_with("Started node1; all 4 nodes accept transactions."), "{said}");
        assert!(!app.is_alive() && processes(&nodes[2].home)[1] != app);
        more(&total, 100);
        drop(running);
        producers.into_iter().map(|producer| producer.join().unwrap()).collect()
    });

    // Nodes 0 and 3 never went down: what they accepted is committed in the end.
    let times = until("commit of all that was accepted", || {
        let times = times_by_tx(&net.settled());
        let missing = [0, 3].iter().flat_map(|node| &sent[*node].accepted).any(|tx| !times.contains_key(tx));
        (!missing).then_some(times)
    });
    assert!(times.values().all(|count| *count == 1), "a transaction is in the sequence twice");
    let bytes = net.settled();
    for (node, Sent { accepted, committed }) in sent.iter().enumerate() {
        assert!(
            !accepted.is_empty() && !committed.is_empty(),
            "node{node} took nothing, so nothing was tested"
        );
        for (tx, offset) in committed {
            let start = usize::try_from(*offset).unwrap();
            assert_eq!(bytes.get(start..start + TX_BYTES), Some(tx.as_bytes()), "receipt of {tx}");
        }
    }
}

/// How often each transaction of the load is in the sequence; anything else in it fails the test.
pub(crate) fn times_by_tx(bytes: &[u8]) -> BTreeMap<String, u64> {
    let mut times = BTreeMap::new();
    for record in bytes.chunks(TX_BYTES) {
        let text = std::str::from_utf8(record).unwrap();
        let parts = text
            .strip_prefix('n')
            .and_then(|text| text.strip_suffix('.'))
            .and_then(|text| text.split_once('-'));
        let (node, number) = parts.unwrap_or_else(|| panic!("{text:?} was never sent"));
        assert_eq!(tx(node.parse().unwrap(), number.parse().unwrap()), text);
        *times.entry(text.to_owned()).or_insert(0) += 1;
    }
    times
}

#[test]
#[ignore = "needs CometBFT; run by make e2e"]
fn quotes_mean_text_and_no_quotes_mean_hexadecimal_and_stop_leaves_the_bytes_but_no_process() {
    let net = Testnet::new();
    net.started();
    let nodes = net.nodes();
    for (node, form) in [(0, "\"0xDEADBEEF\""), (1, "0xDEADBEEF"), (2, "\"hello\""), (3, "0x00")] {
        let answer = ask(nodes[node].ports.rpc, &format!("broadcast_tx_commit?tx={form}")).unwrap();
        assert!(receipt(&answer).is_some(), "{answer}");
    }
    let expected = b"0xDEADBEEF\xDE\xAD\xBE\xEFhello\x00";
    assert_eq!(net.settled(), expected);

    let (code, said) = run_status(&net);
    assert_eq!(code, 0, "{said}");
    let status: Vec<serde_json::Value> = serde_json::from_str(&said).unwrap();
    assert_eq!(status.len(), 4);
    for node in &status {
        assert_eq!((&node["state"], &node["peers"]), (&"running".into(), &3.into()), "{node}");
        assert_eq!(node["sequence_length"], expected.len());
    }

    let ids: Vec<_> = nodes.iter().flat_map(|node| processes(&node.home)).collect();
    assert_eq!(ids.iter().filter(|id| id.is_alive()).count(), 12);
    let (code, said) = net.stop();
    assert_eq!((code, said.matches("  stopped\n").count()), (0, 4), "{said}");
    assert_eq!(ids.iter().filter(|id| id.is_alive()).count(), 0);
    let (code, said) = net.stop();
    assert_eq!((code, said.as_str()), (0, "The network was stopped already.\n"));
    assert_eq!(net.settled(), expected);

    let said = net.started();
    assert!(said.starts_with("All 4 nodes accept transactions."), "{said}");
    assert_eq!(net.settled(), expected);
}

fn run_status(net: &Testnet) -> (i32, String) {
    crate::support::run(&mut crate::support::dseq(&["testnet", "status", "--json", "--dir", net.dir()]))
}

#[test]
#[ignore = "needs CometBFT; run by make e2e"]
fn a_port_in_use_is_named_with_its_holder_before_anything_is_made() {
    let net = Testnet::new();
    // Node 2's RPC.
    let port = net.base_port + 6;
    let holder = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let (code, said) = net.start();
    assert_eq!(code, 1);
    let expected = format!("error: port {port} is held by pid {}: ", std::process::id());
    assert!(said.starts_with(&expected), "{said}");
    assert!(Network::open(net.dir().as_ref()).is_err(), "something was made");
    drop(holder);
    net.started();
}

#[test]
#[ignore = "needs CometBFT; run by make e2e"]
fn an_interrupted_start_ends_what_it_started_and_can_be_repeated() {
    let net = Testnet::new();
    let mut command = net.start_command();
    // Nodes of one network never share an app, whatever the environment says.
    command.env("DSEQ_ABCI", "tcp://127.0.0.1:1").stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    let both = |node: &Node| Running::read(&node.home).filter(|running| running.cometbft.is_some());
    until("all nodes on their way", || {
        let nodes = Network::open(net.dir().as_ref()).ok()?.nodes().ok()?;
        nodes.iter().all(|node| both(node).is_some()).then_some(())
    });
    let ids: Vec<_> = net.nodes().iter().flat_map(|node| processes(&node.home)).collect();
    ProcessId::of(child.id()).unwrap().signal(Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.starts_with("error: SIGINT came before all nodes were up: "), "{said}");
    assert_eq!(ids.iter().filter(|id| id.is_alive()).count(), 0);
    let removed = said.ends_with(" and the network, which had no block yet, is removed\n");
    assert!(removed || said.ends_with(" and the data stays\n"), "{said}");
    assert_eq!(Network::open(net.dir().as_ref()).is_err(), removed);

    net.started();
}
