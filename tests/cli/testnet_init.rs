//! Homes for nodes on hosts of their own, as far as they need no CometBFT.

use std::fs;

use dseq::node::engine::cometbft::VERSION;

use super::supervisor::stand_in;
use super::{dseq, run, text};

#[test]
fn hosts_that_cannot_be_are_refused_as_usage_and_nothing_is_made() {
    let dir = tempfile::tempdir().unwrap();
    let cometbft = stand_in(dir.path(), VERSION, "exit 1");
    let before = fs::read_dir(dir.path()).unwrap().count();
    let net = dir.path().join("deep/net");
    for (hosts, words) in [
        (
            vec!["--host", "node0", "--host", "node 1"],
            "error: --host \"node 1\" is no host name or IPv4 address",
        ),
        (vec!["--host", "node0", "--host", "node0"], "error: --host \"node0\" is there twice"),
        (vec![], "--host <HOST>"),
    ] {
        let mut command = dseq(&["testnet", "init", "--dir", text(&net), "--cometbft", text(&cometbft)]);
        let (code, _, stderr) = run(command.args(hosts));
        assert_eq!((code, stderr.contains(words)), (2, true), "{stderr}");
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), before);
}

#[test]
fn a_cometbft_that_fails_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let cometbft = stand_in(dir.path(), VERSION, "exit 1");
    let net = dir.path().join("deep/net");
    let args = ["testnet", "init", "--dir", text(&net), "--cometbft", text(&cometbft), "--host", "node0"];
    let (code, _, stderr) = run(&mut dseq(&args));
    assert_eq!((code, stderr.contains("` failed: ")), (1, true), "{stderr}");
    assert!(!dir.path().join("deep").exists());
}
