//! What is not well is never said to be: permission denied, nothing to compare, a node that does not answer.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use dseq::node::engine::cometbft::VERSION;
use dseq::plugin::{Limits, PipelineSpec, engine_id};
use dseq::sequence::{Chain, HashedRecord, Log, Staging};
use dseq::types::{AppHash, Height, PipelineId, TxHash};
use serde_json::{Value, json};

use super::played::{Played, Says};
use super::supervisor::{Supervisor, children, stand_in, stop};
use super::{config_with, dseq, fill, run, text};

/// `dseq` without the right to go past permissions, also where the tests run as root.
fn without_privileges(args: &[&str]) -> Command {
    if !rustix::process::geteuid().is_root() {
        return dseq(args);
    }
    let mut command = Command::new("setpriv");
    command.args(["--inh-caps=-all", "--bounding-set=-all", env!("CARGO_BIN_EXE_dseq")]).args(args);
    command
}

/// Says all that a command says, without the right to look into a folder.
fn with_hidden(hidden: &Path, args: &[&str]) -> (i32, String) {
    let mode = |mode| fs::set_permissions(hidden, fs::Permissions::from_mode(mode)).unwrap();
    mode(0);
    let (code, stdout, stderr) = run(&mut without_privileges(args));
    mode(0o700);
    (code, stdout + &stderr)
}

/// The files of a network of two nodes that never ran, as far as they are looked at.
fn network(dir: &Path) {
    fs::write(dir.join("network.json"), json!({ "nodes": 2, "base_port": 29_100 }).to_string()).unwrap();
    for node in ["node0", "node1"] {
        fill(&dir.join(node));
        fs::create_dir_all(dir.join(node).join("run")).unwrap();
    }
}

/// The status of four nodes of which CometBFT says this; the second one by IPv6, where there is that.
fn status_of(base_port: u16, change: impl Fn(usize, &mut Says)) -> (i32, String) {
    let has_ipv6 = TcpListener::bind("[::1]:0").is_ok();
    let dir = tempfile::tempdir().unwrap();
    let shape = json!({ "nodes": 4, "base_port": base_port }).to_string();
    fs::write(dir.path().join("network.json"), shape).unwrap();
    let cometbft = stand_in(dir.path(), VERSION, "exec sleep 1000");
    let mut supervisors = Vec::new();
    for node in 0..4 {
        let home = dir.path().join(format!("node{node}"));
        fill(&home);
        let mut says = Says::one_of_four(node);
        change(node, &mut says);
        let host = if node == 1 && has_ipv6 { "::1" } else { "127.0.0.1" };
        let port = base_port + [1, 4, 6, 8][node];
        Played::on(TcpListener::bind((host, port)).unwrap(), says);
        supervisors.push(Supervisor::start(&home, &cometbft));
        children(&home, &[]);
        if host.contains(':') {
            // Only now: the supervisor refuses an address that somebody listens on.
            let rpc = format!("laddr = \"tcp://[{host}]:{port}\"\n");
            fs::write(home.join("config/config.toml"), config_with(&rpc)).unwrap();
        }
    }
    let (code, said, _) = run(&mut dseq(&["testnet", "status", "--dir", text(dir.path())]));
    supervisors.into_iter().for_each(stop);
    (code, said)
}

/// Gives a home the sequence of a chain, one record for each block.
fn commit(home: &Path, chain_id: &str, records: &[&[u8]]) {
    let pipeline = PipelineSpec { engine: engine_id(), limits: Limits::default(), plugins: Vec::new() };
    let mut log = Log::open(&home.join("sequence")).unwrap();
    log.init_chain(Chain { chain_id: chain_id.to_owned(), initial_height: Height(1), pipeline }).unwrap();
    for (height, record) in (1..).zip(records) {
        let mut staging = Staging::begin(log.head(), Height(height));
        staging.push(TxHash::of(record), &HashedRecord::of(record.to_vec())).unwrap();
        log.commit(&staging.finish(), AppHash::default(), PipelineId::default()).unwrap();
    }
}

fn checksum(dir: &Path) -> (i32, String, Value) {
    let (code, stdout, stderr) = run(&mut dseq(&["checksum", "--dir", text(dir)]));
    let (json_code, json, _) = run(&mut dseq(&["checksum", "--json", "--dir", text(dir)]));
    assert_eq!(code, json_code);
    (code, stdout + &stderr, serde_json::from_str(&json).unwrap())
}

#[test]
fn nodes_without_a_common_byte_have_nothing_to_compare() {
    let dir = tempfile::tempdir().unwrap();
    network(dir.path());
    commit(&dir.path().join("node0"), "one", &[b"hello"]);
    commit(&dir.path().join("node1"), "one", &[]);
    let (code, said, json) = checksum(dir.path());
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("NOTHING TO COMPARE: node1 has not committed a byte yet"), "{said}");
    assert_eq!((&json["identical"], &json["verdict"]), (&false.into(), &"nothing-in-common".into()));
}

#[test]
fn nodes_of_several_chains_have_nothing_to_compare_even_with_equal_bytes() {
    let dir = tempfile::tempdir().unwrap();
    network(dir.path());
    commit(&dir.path().join("node0"), "one", &[b"hello"]);
    commit(&dir.path().join("node1"), "two", &[b"hello"]);
    let (code, said, json) = checksum(dir.path());
    assert_eq!(code, 1, "{said}");
    let expected = "NOTHING TO COMPARE: these nodes are of several networks.\n\
                    node0 is of the chain \"one\"\nnode1 is of the chain \"two\"\n";
    assert!(said.ends_with(expected), "{said}");
    assert_eq!((&json["identical"], &json["verdict"]), (&false.into(), &"other-chains".into()));
}

#[test]
fn a_chain_is_known_by_its_genesis_file_where_the_sequence_does_not_tell() {
    let dir = tempfile::tempdir().unwrap();
    network(dir.path());
    for (node, chain_id) in [("node0", "one"), ("node1", "two")] {
        let home = dir.path().join(node);
        commit(&home, "one", &[b"hello"]);
        fs::remove_file(home.join("sequence/chain")).unwrap();
        let genesis = json!({ "chain_id": chain_id }).to_string();
        fs::write(home.join("config/genesis.json"), genesis).unwrap();
    }
    assert_eq!(checksum(dir.path()).2["verdict"], "other-chains");
}

#[test]
fn a_node_that_is_behind_is_named_with_how_far() {
    let dir = tempfile::tempdir().unwrap();
    network(dir.path());
    commit(&dir.path().join("node0"), "one", &[b"hello", b"world!"]);
    commit(&dir.path().join("node1"), "one", &[b"hello"]);
    let (code, said, json) = checksum(dir.path());
    assert_eq!((code, &json["verdict"]), (0, &"identical".into()), "{said}");
    assert!(said.ends_with("\nnode1 is 6 bytes behind\n"), "{said}");
}

#[test]
fn permission_denied_is_said_and_never_absent_or_stopped() {
    let dir = tempfile::tempdir().unwrap();
    network(dir.path());
    for node in ["node0", "node1"] {
        commit(&dir.path().join(node), "one", &[b"hello"]);
        fs::write(dir.path().join(node).join("dseq.log"), "a line\n").unwrap();
    }
    let home = dir.path().join("node1");
    let at = text(dir.path());
    let denied = |hidden: &Path, args: &[&str], words: &str| {
        let (code, said) = with_hidden(hidden, args);
        assert!(code != 0 && said.contains(words), "{args:?}: {code} {said}");
        for lie in ["no node home", "node1  was stopped", "no local network", "IDENTICAL"] {
            assert!(!said.contains(lie), "{args:?}: {said}");
        }
        code
    };
    let node1 = "node1: permission denied: ";
    // The whole home, and a home of which only what its owner keeps private is hidden.
    for hidden in [home.clone(), home.join("run")] {
        assert_eq!(denied(&hidden, &["testnet", "status", "--dir", at], node1), 1);
        assert_eq!(denied(&hidden, &["testnet", "stop", "--dir", at], node1), 1);
    }
    denied(&home, &["checksum", "--dir", at], node1);
    denied(&home, &["testnet", "logs", "--dir", at], "permission denied: ");
    let other = dir.path().join("node0");
    for args in [&["serve", "--home", text(&home)][..], &["start", "--home", text(&home)]] {
        denied(&home, args, "ermission denied");
    }
    denied(&home, &["checksum", "--home", text(&home), text(&other)], "ermission denied");
    for subcommand in ["status", "stop", "logs"] {
        denied(dir.path(), &["testnet", subcommand, "--dir", at], "ermission denied");
    }
    denied(dir.path(), &["checksum", "--dir", at], "ermission denied");

    // What may be looked at is told as it is.
    let (code, said, _) = run(&mut without_privileges(&["testnet", "status", "--dir", at]));
    assert_eq!((code, said.matches("  stopped").count()), (1, 2), "{said}");
    assert!(said.ends_with("\nThe network is stopped.\n"), "{said}");
}

#[test]
fn the_status_of_a_denied_node_is_unknown() {
    let dir = tempfile::tempdir().unwrap();
    network(dir.path());
    let hidden = dir.path().join("node1");
    let (code, said) = with_hidden(&hidden, &["testnet", "status", "--json", "--dir", text(dir.path())]);
    let status: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((code, &status[0]["state"], &status[1]["state"]), (1, &"stopped".into(), &"unknown".into()));
    let (_, said) = with_hidden(&hidden, &["testnet", "status", "--dir", text(dir.path())]);
    assert!(said.ends_with("\n0 of 2 nodes are known to accept transactions.\n"), "{said}");
}

#[test]
fn a_node_that_runs_but_does_not_answer_is_no_running_node() {
    let dir = tempfile::tempdir().unwrap();
    network(dir.path());
    let home = dir.path().join("node0");
    let supervisor = Supervisor::start(&home, &stand_in(dir.path(), VERSION, "exec sleep 1000"));
    children(&home, &[]);
    let (code, said, _) = run(&mut dseq(&["testnet", "status", "--dir", text(dir.path())]));
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("\nnode0  no answer  ") && said.contains("\nnode1  stopped "), "{said}");
    assert!(said.contains("\nnode0: no answer from http://127.0.0.1:29101/status: "), "{said}");
    assert!(said.ends_with("\nNone of the 2 nodes accepts transactions.\n"), "{said}");
    stop(supervisor);
}

#[test]
fn nodes_that_accept_transactions_run_and_the_command_succeeds() {
    let (code, said) = status_of(29_120, |_, _| {});
    assert_eq!((code, said.matches("  running  9       3  ").count()), (0, 4), "{said}");
    assert!(said.ends_with("\nAll 4 nodes accept transactions.\n"), "{said}");
}

#[test]
fn each_trouble_of_a_node_has_its_name_and_reason() {
    let (code, said) = status_of(29_140, |node, says| match node {
        0 => {}
        1 => says.height = 7,
        2 => says.catching_up = true,
        _ => says.reason = Some("its disk is full"),
    });
    assert_eq!(code, 1, "{said}");
    for (node, state, reason) in [
        (1, "behind     ", "it is 2 blocks behind"),
        (2, "catching up", "it fetches blocks from its peers"),
        (3, "not ready  ", "its disk is full"),
    ] {
        assert!(said.contains(&format!("\nnode{node}  {state}  ")), "{said}");
        assert!(said.contains(&format!("\nnode{node}: {reason}\n")), "{said}");
    }
    assert!(said.contains("\nnode0  running      9 "), "{said}");
    assert!(said.ends_with("\n1 of 4 nodes accepts transactions.\n"), "{said}");
}

#[test]
fn work_that_waits_without_a_block_is_said() {
    let (code, said) = status_of(29_160, |_, says| says.waiting = 3);
    assert_eq!((code, said.matches("  stalled  9 ").count()), (1, 4), "{said}");
    assert!(said.contains("\nnode0: transactions wait, and no block came in 8 s\n"), "{said}");
}
