//! A `dseq testnet start` that cannot be: said with what helps, and nothing is left of it.

use std::fs;
use std::net::TcpListener;
use std::path::Path;

use dseq::node::engine::cometbft::VERSION;
use serde_json::json;

use super::plugins::moody;
use super::supervisor::stand_in;
use super::{dseq, run, text};

/// Starts a network in a folder that is not there; says how it went.
fn start(dir: &Path, args: &[&str]) -> (i32, String) {
    // It fails to make a home: nothing here may get that far and succeed.
    let cometbft = stand_in(dir, VERSION, "echo cannot >&2; exit 1");
    let wasm = dir.join("moody.wasm");
    fs::write(&wasm, moody()).unwrap();
    let plugin = format!("moody={}", text(&wasm));
    let net = dir.join("folders/for/net");
    let mut command = dseq(&["testnet", "start", "--dir", text(&net), "--cometbft", text(&cometbft)]);
    if !args.contains(&"--plugin") {
        command.args(["--plugin", &plugin]);
    }
    // A local network of whoever runs the tests may have the default ports.
    if !args.contains(&"--base-port") && !args.contains(&"--move-ports") {
        command.args(["--base-port", "29200"]);
    }
    let (code, _, stderr) = run(command.args(args));
    assert!(!dir.join("folders").exists(), "{args:?} left something");
    (code, stderr)
}

#[test]
fn what_makes_no_sense_is_refused_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let port =
        |port: &str| format!("error: base port {port} does not fit: 4 nodes from there on need ports up to ");
    for (args, code, words) in [
        (&["--base-port", "0"][..], 2, port("0").as_str()),
        (&["--base-port", "65530"], 2, &port("65530")),
        (&["--base-port", "65536"], 2, "65536 is not in 0..=65535"),
        (&["--nodes", "0"], 2, "error: a local network has 1 to 32 nodes, not 0\n"),
        (&["--nodes", "33"], 2, "error: a local network has 1 to 32 nodes, not 33\n"),
        (&["--timeout", "0"], 2, "0 is not in 1.."),
        (&["--move-ports"], 2, "--base-port"),
        (&["--move-ports", "--base-port", "29200"], 1, "error: no local network in "),
        (&["--params", "moody="], 2, "plugin moody: params is invalid JSON"),
        (&["--plugin", "x=/nowhere/x.wasm"], 1, "no file for plugin x at /nowhere/x.wasm"),
        (&["--plugin", "x=/dev/null"], 1, "error: plugin x: not a module"),
        (&["--base-port", "29200"], 1, "failed: cannot\n"),
    ] {
        let (found, said) = start(dir.path(), args);
        assert_eq!(found, code, "{args:?}: {said}");
        assert!(said.contains(words), "{args:?}: {said}");
    }
}

#[test]
fn params_that_a_plugin_refuses_are_refused_before_anything_is_made() {
    let dir = tempfile::tempdir().unwrap();
    let (code, said) = start(dir.path(), &["--params", r#"moody={"refuse":true}"#]);
    assert_eq!(code, 1, "{said}");
    assert!(said.starts_with("error: plugin moody: refuses its params"), "{said}");
}

#[test]
fn a_port_in_use_is_named_before_anything_is_made() {
    let dir = tempfile::tempdir().unwrap();
    let (holder, port) = (29_300..30_000)
        .find_map(|port| Some((TcpListener::bind(("127.0.0.1", port + 8)).ok()?, port)))
        .unwrap();
    let (code, said) = start(dir.path(), &["--base-port", &port.to_string()]);
    let expected = format!("error: port {} is held by pid {}: ", port + 8, std::process::id());
    assert!(code == 1 && said.contains(&expected), "{code} {said}");
    assert!(
        said.ends_with("\nnothing was changed; free them, or choose others with --base-port\n"),
        "{said}"
    );
    drop(holder);
}

#[test]
fn a_folder_that_was_there_stays_with_what_is_in_it() {
    let dir = tempfile::tempdir().unwrap();
    let net = dir.path().join("my net");
    for name in ["node1", "node0.bak", "node007", "node"] {
        fs::create_dir_all(net.join(name)).unwrap();
    }
    let cometbft = stand_in(dir.path(), VERSION, "exit 1");
    let mut command = dseq(&["testnet", "start", "--dir", text(&net), "--cometbft", text(&cometbft)]);
    let (code, _, stderr) = run(&mut command);
    assert_eq!(code, 1);
    let at = text(&net);
    let removal = format!(
        "remove it with `dseq testnet stop --dir '{at}' && rm -rf '{at}/node1' '{at}/network.json'`\n"
    );
    assert!(stderr.ends_with(&removal), "{stderr}");
    assert!(net.join("node1").exists());
}

#[test]
fn the_advice_for_a_network_that_is_another_one_is_for_its_own_folder() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("network.json"), json!({ "nodes": 1, "base_port": 29_000 }).to_string())
        .unwrap();
    let cometbft = stand_in(dir.path(), VERSION, "exit 1");
    let start = |args: &[&str]| {
        let mut command =
            dseq(&["testnet", "start", "--dir", text(dir.path()), "--cometbft", text(&cometbft)]);
        run(command.args(args))
    };
    let at = text(dir.path());
    let (code, _, stderr) = start(&["--nodes", "2"]);
    assert!(code == 2 && stderr.contains("holds a network of 1 nodes"), "{stderr}");
    assert!(
        stderr.contains(&format!("`dseq testnet stop --dir {at} && rm -rf {at}/network.json`")),
        "{stderr}"
    );
    let (code, _, stderr) = start(&["--base-port", "29400"]);
    assert!(code == 2 && stderr.contains("add --move-ports to move it to 29400"), "{stderr}");
}
