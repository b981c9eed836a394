//! A `dseq testnet start` that cannot be: said with what helps, and nothing is left of it. And a network's move to other ports.

use std::fs;
use std::net::TcpListener;
use std::path::Path;

use dseq::node::engine::cometbft::VERSION;
use dseq::node::engine::config::EngineConfig;
use dseq::node::home::NodeHome;
use serde_json::{Value, json};

use super::network::{member, network, node_id};
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

/// The ports for P2P, RPC, metrics and HTTP of a node of two, counted from a base.
fn ports(node: u16, base: u16) -> [u16; 4] {
    [[0, 1, 14, 16], [3, 4, 15, 17]][usize::from(node)].map(|above| base + above)
}

/// What others know of a node of a local network.
fn local_member(node: u8, base: u16) -> Value {
    let mut member = member(node);
    let at = |port: u16| Value::from(format!("127.0.0.1:{port}"));
    let [p2p, rpc, _, http] = ports(node.into(), base);
    (member["address"], member["rpc"], member["http"]) = (at(p2p), at(rpc), at(http));
    member
}

/// The file of a local network of two nodes.
fn local_network(base: u16) -> Value {
    let mut file = network();
    file["members"] = [0, 1].map(|node| local_member(node, base)).into();
    file["genesis"]["validators"].as_array_mut().unwrap().truncate(2);
    file
}

/// Makes the home of a node as far as moving it looks at it: without a genesis, it does not start.
fn local_home(home: &NodeHome, node: u8, base: u16) {
    fs::create_dir_all(home.root().join("config")).unwrap();
    fs::write(home.root().join("id"), node_id(node)).unwrap();
    fs::write(home.member_file(), local_member(node, base).to_string()).unwrap();
    fs::write(home.network_file(), local_network(base).to_string()).unwrap();
    let [p2p, rpc, metrics, http] = ports(node.into(), base);
    let [other, ..] = ports(1 - u16::from(node), base);
    let peers = format!("{}@127.0.0.1:{other},{}@203.0.113.7:26656", node_id(1 - node), node_id(4));
    let config = format!(
        "[p2p]\nladdr = \"tcp://127.0.0.1:{p2p}\"\npersistent_peers = \"{peers}\"\n\
         [rpc]\nladdr = \"tcp://127.0.0.1:{rpc}\"\n[instrumentation]\nprometheus_listen_addr = \"127.0.0.1:{metrics}\"\n"
    );
    fs::write(home.cometbft_config(), config).unwrap();
    fs::write(home.config_file(), format!("http = \"127.0.0.1:{http}\"\n")).unwrap();
}

#[test]
fn a_network_is_moved_to_other_ports_with_all_that_names_them() {
    const FROM: u16 = 29_210;
    const TO: u16 = 29_240;
    let dir = tempfile::tempdir().unwrap();
    let homes = [0, 1].map(|node| NodeHome::new(&dir.path().join(format!("node{node}"))));
    (0..).zip(&homes).for_each(|(node, home)| local_home(home, node, FROM));
    let shape = dir.path().join("network.json");
    fs::write(&shape, json!({ "nodes": 2, "base_port": FROM }).to_string()).unwrap();
    let cometbft = stand_in(dir.path(), VERSION, "[ \"$3\" = show-node-id ] && exec cat \"$2/id\"; exit 1");
    let to = TO.to_string();
    let args = ["--move-ports", "--base-port", &to, "--timeout", "60"];
    let start = || {
        let place = ["testnet", "start", "--dir", text(dir.path()), "--cometbft", text(&cometbft)];
        run(dseq(&place).args(args))
    };

    // A port in use: nothing is moved.
    let holder = TcpListener::bind(("127.0.0.1", TO + 17)).unwrap();
    let (code, _, stderr) = start();
    assert!(code == 1 && stderr.contains(&format!("port {} is held by pid", TO + 17)), "{stderr}");
    assert_eq!(EngineConfig::of(&homes[0]).text(&["p2p", "laddr"]), Some("tcp://127.0.0.1:29210"));
    drop(holder);

    let json = |path: &Path| serde_json::from_slice::<Value>(&fs::read(path).unwrap()).unwrap();
    // The second time finds all moved already, as after a call that was cut off.
    for _ in 0..2 {
        let (code, stdout, stderr) = start();
        assert_eq!(code, 1, "{stdout}{stderr}");
        let said = stdout + &stderr;
        assert_eq!(
            said.matches("is in no network yet").count(),
            2,
            "it is moved, and then does not start: {said}"
        );
        assert_eq!(json(&shape), json!({ "nodes": 2, "base_port": TO }));
        for (node, home) in (0..).zip(&homes) {
            let [p2p, rpc, metrics, http] = ports(node.into(), TO);
            let config = EngineConfig::of(home);
            let at = |key: &[&str]| config.text(key).unwrap().to_owned();
            assert_eq!(at(&["p2p", "laddr"]), format!("tcp://127.0.0.1:{p2p}"));
            assert_eq!(at(&["rpc", "laddr"]), format!("tcp://127.0.0.1:{rpc}"));
            assert_eq!(at(&["instrumentation", "prometheus_listen_addr"]), format!("127.0.0.1:{metrics}"));
            let [other, ..] = ports(1 - u16::from(node), TO);
            let peers = format!("{}@127.0.0.1:{other},{}@203.0.113.7:26656", node_id(1 - node), node_id(4));
            assert_eq!(at(&["p2p", "persistent_peers"]), peers);
            assert_eq!(json(&home.member_file()), local_member(node, TO));
            assert_eq!(json(&home.network_file()), local_network(TO));
            assert_eq!(
                fs::read_to_string(home.config_file()).unwrap(),
                format!("http = \"127.0.0.1:{http}\"\n")
            );
        }
    }
}
