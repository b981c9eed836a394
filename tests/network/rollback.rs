//! `cometbft rollback` on a node that is stopped for it: what the README says of its two forms.

use std::fs;
use std::process::Command;

use dseq::node::home::NodeHome;
use rustix::process::Signal;

use crate::support::{Testnet, ask, processes, receipt, refusal, run, until, workspace_file};

fn rollback(home: &NodeHome, flags: &[&str]) {
    let mut command = Command::new(workspace_file("build/cometbft"));
    command.args(["rollback", "--home", home.root().to_str().unwrap()]).args(flags);
    let (code, said) = run(&mut command);
    assert!(code == 0 && said.contains("Rolled back ") && said.contains(" to height "), "{said}");
}

fn stop(home: &NodeHome) {
    let ids = processes(home);
    ids[0].signal(Signal::TERM).unwrap();
    until("end of the node", || ids.iter().all(|id| !id.is_alive()).then_some(()));
}

fn submit(port: u16, text: &str) {
    let answer = ask(port, &format!("broadcast_tx_commit?tx=\"{text}\"")).unwrap();
    assert!(receipt(&answer).is_some(), "{answer}");
}

#[test]
#[ignore = "needs CometBFT; run by make e2e"]
fn a_node_whose_last_block_was_rolled_back_goes_on_and_after_hard_it_says_how() {
    let net = Testnet::new();
    net.started();
    let nodes = net.nodes();
    let home = &nodes[3].home;
    submit(nodes[0].ports.rpc, "one.");
    assert_eq!(net.settled(), b"one.");

    stop(home);
    rollback(home, &[]);
    net.started();
    submit(nodes[3].ports.rpc, "two.");
    assert_eq!(net.settled(), b"one.two.");

    // Its block is gone from CometBFT's store too, but not from the log, which never takes back what it has confirmed.
    stop(home);
    rollback(home, &["--hard"]);
    let said = refusal(home);
    let sequence = home.sequence_dir();
    assert!(
        said.contains("is ahead of CometBFT's blocks") && said.contains(sequence.to_str().unwrap()),
        "{said}"
    );

    // What it says to do.
    fs::rename(&sequence, home.root().join("sequence-old")).unwrap();
    net.started();
    submit(nodes[3].ports.rpc, "three");
    assert_eq!(net.settled(), b"one.two.three");
}
