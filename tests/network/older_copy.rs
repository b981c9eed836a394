//! An older copy of a home in its original's place, as from a snapshot: only the blocks tell that its key signed more.

use std::fs;
use std::process::Command;

use dseq::node::keys;

use crate::run_pages::{rpc, stop, submit};
use crate::support::{Testnet, dseq, refusal, run, until};

#[test]
#[ignore = "needs CometBFT; run by make e2e"]
fn an_older_copy_stops_before_it_votes() {
    let net = Testnet::new();
    net.started();
    let nodes = net.nodes();
    let [first, .., node] = &nodes[..] else { panic!("four nodes") };
    submit(first, "one");
    stop(node);
    let copy = tempfile::tempdir().unwrap();
    let copied = Command::new("cp").arg("-a").arg(node.home.root()).arg(copy.path().join("home")).status();
    assert!(copied.unwrap().success());
    // A copy that is as new as the blocks starts.
    net.started();
    let address = keys::show(&node.home).unwrap().address.unwrap();
    let before = rpc(first).status().unwrap().height;
    let mut number = 0;
    until("a block that the node signs", || {
        number += 1;
        submit(first, &format!("two-{number}"));
        let height = rpc(first).status().unwrap().height;
        (before + 2..=height).find(|height| rpc(first).commit(*height).unwrap().is_signed_by(&address))
    });
    stop(node);
    fs::remove_dir_all(node.home.root()).unwrap();
    fs::rename(copy.path().join("home"), node.home.root()).unwrap();
    let said = refusal(&node.home);
    assert!(
        said.contains("has a signature of this node's validator key") && said.contains("dseq recover"),
        "{said}"
    );
    let (code, said) = run(&mut dseq(&["doctor", "--home", node.home.root().to_str().unwrap()]));
    assert!(code == 1 && said.contains("FAILED   key copies"), "{said}");
}
