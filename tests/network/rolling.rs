//! A running network moves from the CometBFT before to the pinned one, node by node, while producers go on.
//!
//! Run by `make rolling`, which builds the version before (`networks/cometbft.previous`) beside the pinned one.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64};

use dseq::node::engine::cometbft::VERSION;
use dseq::node::testnet::Node;
use rustix::process::Signal;

use crate::four_nodes::{Sent, StopOnDrop, TX_BYTES, more, produce, times_by_tx};
use crate::support::{PATIENCE, Testnet, ask, processes, run, workspace_file};

const PREVIOUS: &str = include_str!("../../networks/cometbft.previous").trim_ascii();

/// CometBFT of the version before, under a name that says the pinned version when it is asked: `dseq` takes no other.
fn previous(dir: &Path) -> PathBuf {
    let engine = workspace_file(&format!("build/tools/cometbft-{PREVIOUS}/cometbft"));
    let path = dir.join("cometbft");
    let script = format!(
        "#!/bin/sh\n[ \"$1\" = version ] && exec echo {VERSION}\nexec '{}' \"$@\"\n",
        engine.display()
    );
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// Starts every node that does not run, on this CometBFT.
fn start(net: &Testnet, cometbft: &Path) -> String {
    let (code, said) = run(net.start_command().arg("--cometbft").arg(cometbft));
    assert_eq!(code, 0, "{said}");
    said
}

/// The version of CometBFT that answers for a node.
fn version(node: &Node) -> String {
    let status = ask(node.ports.rpc, "status").unwrap();
    status["result"]["node_info"]["version"].as_str().unwrap().to_owned()
}

/// Stops one node, lets the others go on without it, and starts it on another CometBFT.
fn change(net: &Testnet, node: &Node, to: (&Path, &str), total: &AtomicU64) {
    let ids = processes(&node.home);
    assert!(ids[0].signal(Signal::TERM).unwrap());
    assert!(ids.iter().all(|id| id.wait_gone(PATIENCE)));
    more(total, 60);
    let said = start(net, to.0);
    assert!(said.starts_with(&format!("Started {}; all 4 nodes accept transactions.", node.name)), "{said}");
    assert_eq!(version(node), to.1);
    more(total, 60);
}

#[test]
#[ignore = "needs CometBFT of the version before; run by make rolling"]
fn a_running_network_moves_to_the_pinned_cometbft_node_by_node_and_a_node_may_go_back() {
    let dir = tempfile::tempdir().unwrap();
    let (old, new) = (previous(dir.path()), workspace_file("build/cometbft"));
    let net = Testnet::new();
    start(&net, &old);
    let nodes = net.nodes();
    for node in &nodes {
        assert_eq!(version(node), PREVIOUS);
        let config = fs::read_to_string(node.home.cometbft_config()).unwrap();
        assert!(config.contains(&format!("version = \"{PREVIOUS}\"")), "another version made this home");
    }
    let stop = AtomicBool::new(false);
    let total = AtomicU64::new(0);
    let sent: Vec<Sent> = std::thread::scope(|scope| {
        let ports = nodes.iter().map(|node| node.ports.rpc).enumerate();
        let (stop, total) = (&stop, &total);
        let producers: Vec<_> =
            ports.map(|(node, port)| scope.spawn(move || produce(node, port, stop, total))).collect();
        // A failure below must not leave the producers running, or the scope would wait for them for ever.
        let running = StopOnDrop(stop);
        more(total, 100);
        for node in &nodes {
            change(&net, node, (&new, VERSION), total);
        }
        change(&net, &nodes[2], (&old, PREVIOUS), total);
        change(&net, &nodes[2], (&new, VERSION), total);
        drop(running);
        producers.into_iter().map(|producer| producer.join().unwrap()).collect()
    });

    let bytes = net.settled();
    assert!(times_by_tx(&bytes).values().all(|count| *count == 1), "a transaction is in the sequence twice");
    for (node, Sent { committed, .. }) in sent.iter().enumerate() {
        assert!(!committed.is_empty(), "node{node} committed nothing, so nothing was tested");
        for (tx, offset) in committed {
            let start = usize::try_from(*offset).unwrap();
            assert_eq!(bytes.get(start..start + TX_BYTES), Some(tx.as_bytes()), "receipt of {tx}");
        }
    }
}
