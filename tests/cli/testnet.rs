//! Local networks as far as they need no CometBFT.

use std::fs;
use std::path::Path;

use dseq::node::engine::cometbft::VERSION;
use serde_json::json;

use super::plugins::{moody, moody_genesis};
use super::supervisor::{Supervisor, children, stand_in, stop};
use super::{dseq, fill, run, text};

/// The files of a network of one node whose genesis pins no plugin.
fn network(dir: &Path) {
    fs::write(dir.join("network.json"), json!({ "nodes": 1, "base_port": 29_000 }).to_string()).unwrap();
    fill(&dir.join("node0"));
}

#[test]
fn a_network_that_is_not_there_is_nothing_to_stop_but_has_no_status() {
    let dir = tempfile::tempdir().unwrap();
    let (code, stdout, _) = run(&mut dseq(&["testnet", "stop", "--dir", text(dir.path())]));
    assert_eq!((code, stdout.starts_with("Nothing to stop: ")), (0, true), "{stdout}");
    let (code, _, stderr) = run(&mut dseq(&["testnet", "status", "--dir", text(dir.path())]));
    assert_eq!((code, stderr.starts_with("error: no local network in ")), (1, true), "{stderr}");
}

#[test]
fn a_node_that_the_network_did_not_start_is_left_alone_and_said() {
    let dir = tempfile::tempdir().unwrap();
    network(dir.path());
    let home = dir.path().join("node0");
    let supervisor = Supervisor::start(&home, &stand_in(dir.path(), VERSION, "exec sleep 1000"));
    let both = children(&home, &[]);
    let (code, _, stderr) = run(&mut dseq(&["testnet", "stop", "--dir", text(dir.path())]));
    let expected = format!(
        "error: left alone, because `dseq testnet` did not start it: node0 (pid {}); stop it as it was started\n",
        supervisor.child.id()
    );
    assert_eq!((code, stderr), (1, expected));
    assert!(both.iter().all(|id| id.is_alive()));
    stop(supervisor);
}

#[test]
fn a_damaged_network_is_said_and_can_be_stopped_all_the_same() {
    let dir = tempfile::tempdir().unwrap();
    network(dir.path());
    fs::write(dir.path().join("network.json"), "").unwrap();
    let (code, _, stderr) = run(&mut dseq(&["testnet", "status", "--dir", text(dir.path())]));
    assert_eq!(code, 1);
    let stop = format!("`dseq testnet stop --dir {}` still stops the nodes", text(dir.path()));
    assert!(stderr.contains("network.json is damaged: ") && stderr.contains(&stop), "{stderr}");
    let (code, stdout, _) = run(&mut dseq(&["testnet", "stop", "--dir", text(dir.path())]));
    assert_eq!((code, stdout.as_str()), (0, "The network was stopped already.\n"));
}

#[test]
fn a_network_keeps_its_pipeline_and_another_one_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    network(dir.path());
    let genesis = serde_json::json!({ "app_state": moody_genesis() });
    fs::write(dir.path().join("node0/config/genesis.json"), genesis.to_string()).unwrap();
    let wasm = dir.path().join("x.wasm");
    fs::write(&wasm, moody()).unwrap();
    let cometbft = stand_in(dir.path(), VERSION, "exec sleep 1000");
    let named = |name: &str| format!("{name}={}", text(&wasm));
    for args in [
        vec!["--plugin".to_owned(), named("x")],
        vec!["--plugin".to_owned(), named("moody"), "--params".to_owned(), "moody=[1]".to_owned()],
    ] {
        let mut command =
            dseq(&["testnet", "start", "--dir", text(dir.path()), "--cometbft", text(&cometbft)]);
        let (code, _, stderr) = run(command.args(args));
        assert_eq!(code, 2, "{stderr}");
        assert!(stderr.contains("holds a network with another pipeline, moody ("), "{stderr}");
        assert!(!dir.path().join("node0/run").exists(), "something was started");
    }
}
