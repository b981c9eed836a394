//! One node in bad company: a failing CometBFT, another node's environment, a copy of its home, an odd folder.

use std::fs;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use dseq::node::home::NodeHome;
use dseq::node::process::ProcessId;
use rustix::process::Signal;

use crate::one_node::{init, listen_elsewhere, start_with};
use crate::support::{Testnet, ask, dseq, plugin, processes, run, until, workspace_file};

pub(crate) fn stop(home: &NodeHome, mut child: Child) {
    ProcessId::of(child.id()).unwrap().signal(Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0), "{}", fs::read_to_string(home.app_log()).unwrap());
}

pub(crate) fn submit(rpc: u16, text: &str) {
    let answer = ask(rpc, &format!("broadcast_tx_commit?tx=\"{text}\"")).unwrap();
    assert_eq!(answer["result"]["tx_result"]["code"], 0, "{answer}");
}

/// The real CometBFT, which can write no file beyond some 400 KB in its first run.
pub(crate) fn short_of_space(dir: &Path) -> std::path::PathBuf {
    let path = dir.join("cometbft");
    let script = "#!/bin/sh\ncase \"$*\" in *' start '*) if rm \"$0.limit\" 2>/dev/null; then ulimit -f 800; fi;; esac\n";
    fs::write(&path, format!("{script}exec {} \"$@\"\n", workspace_file("build/cometbft").display()))
        .unwrap();
    assert!(Command::new("chmod").arg("755").arg(&path).status().unwrap().success());
    fs::write(dir.join("cometbft.limit"), "").unwrap();
    path
}

#[test]
#[ignore = "needs CometBFT; run by make e2e"]
fn a_node_whose_consensus_panicked_says_why_and_goes_on_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let (home, rpc) = init(&dir.path().join("node"));
    let mut command = dseq(&["start", "--cometbft"]);
    let child = start_with(&home, rpc, command.arg(short_of_space(dir.path())));
    let first = processes(&home);
    // Its consensus panics when it writes this to its WAL. The process stays, and answers RPC.
    let sent = ask(rpc, &format!("broadcast_tx_sync?tx=\"{}\"", "x".repeat(900_000))).unwrap();
    assert_eq!(sent["result"]["code"], 0, "{sent}");
    let second = until("another CometBFT", || {
        let now = processes(&home);
        (now.len() == 3 && now[2] != first[2] && ask(rpc, "status").is_some()).then_some(now)
    });
    assert_eq!(second[0], first[0]);
    let said = fs::read_to_string(home.app_log()).unwrap();
    let reason = said.lines().find(|line| line.contains("CometBFT's consensus failed")).expect(&said);
    assert!(reason.contains("file too large") && reason.contains("restarting both in "), "{reason}");
    submit(rpc, "after");
    stop(&home, child);
    assert!(fs::read(home.sequence_dir().join("sequence.bin")).unwrap().ends_with(b"after"));
}

#[test]
#[ignore = "needs CometBFT; run by make e2e"]
fn cometbft_is_restarted_when_it_connects_to_nobody_though_a_peer_can_be_reached() {
    let net = Testnet::new();
    net.started();
    let mut nodes = net.nodes();
    // Of nodes that miss each other, the one with the least id restarts first.
    nodes.sort_by_key(|node| ask(node.ports.rpc, "status").unwrap()["result"]["node_info"]["id"].to_string());
    assert_eq!(net.stop().0, 0);
    // It begins a handshake as CometBFT does, and does not go on. It ends with the test.
    let peer = TcpListener::bind(("127.0.0.1", nodes[1].ports.p2p)).unwrap();
    let peers_end = Arc::new(AtomicBool::new(false));
    let peer = std::thread::spawn({
        let end = Arc::clone(&peers_end);
        move || {
            let mut open = Vec::new();
            for stream in peer.incoming().flatten().take_while(|_| !end.load(Ordering::SeqCst)) {
                let _ = (&stream).write_all(&[0x22, 0x0a, 0x20]);
                open.push(stream);
            }
        }
    });
    let log = nodes[0].home.root().join("alone.log");
    let http = format!("127.0.0.1:{}", nodes[0].ports.http);
    let mut command = dseq(&["start", "--home", nodes[0].home.root().to_str().unwrap(), "--http", &http]);
    let child = command.stdin(Stdio::null()).stderr(fs::File::create(&log).unwrap()).spawn().unwrap();
    let said = until("restart", || {
        let said = fs::read_to_string(&log).unwrap();
        said.contains("restarting both in ").then_some(said)
    });
    let who = format!("(127.0.0.1:{})", nodes[1].ports.p2p);
    let reason = said.lines().find(|line| line.contains("CometBFT has too few peers")).expect(&said);
    assert!(reason.contains(&who) && reason.contains(", reachable for "), "{reason}");
    // With its peers back, it goes on.
    peers_end.store(true, Ordering::SeqCst);
    let _ = TcpStream::connect(("127.0.0.1", nodes[1].ports.p2p));
    peer.join().unwrap();
    net.started();
    submit(nodes[0].ports.rpc, "after");
    stop(&nodes[0].home, child);
}

#[test]
#[ignore = "needs CometBFT; run by make e2e"]
fn a_node_runs_on_its_own_home_whatever_cometbfts_variables_say() {
    let dir = tempfile::tempdir().unwrap();
    let (other, other_rpc) = init(&dir.path().join("other"));
    let (home, rpc) = init(&dir.path().join("node"));
    let before = fs::read_dir(other.data_dir()).unwrap().count();
    let mut command = dseq(&["start"]);
    for prefix in ["CMT", "TM"] {
        command.env(format!("{prefix}HOME"), other.root()).env(format!("{prefix}_HOME"), other.root());
        for (name, value) in [
            ("GENESIS_FILE", other.genesis_file().display().to_string()),
            ("DB_DIR", other.data_dir().display().to_string()),
            (
                "PRIV_VALIDATOR_KEY_FILE",
                other.root().join("config/priv_validator_key.json").display().to_string(),
            ),
            ("NODE_KEY_FILE", other.root().join("config/node_key.json").display().to_string()),
            ("RPC_LADDR", format!("tcp://127.0.0.1:{other_rpc}")),
            ("PROXY_APP", "noop".to_owned()),
            ("MONIKER", "other".to_owned()),
        ] {
            command.env(format!("{prefix}_{name}"), value);
        }
    }
    let child = start_with(&home, rpc, &mut command);
    submit(rpc, "mine");
    let json = |path: &Path| serde_json::from_slice::<serde_json::Value>(&fs::read(path).unwrap()).unwrap();
    let status = ask(rpc, "status").unwrap();
    assert_eq!(status["result"]["node_info"]["network"], json(&home.genesis_file())["chain_id"]);
    assert_eq!(status["result"]["node_info"]["moniker"], "node");
    let key = json(&home.root().join("config/priv_validator_key.json"));
    assert_eq!(status["result"]["validator_info"]["address"], key["address"]);
    stop(&home, child);
    assert_eq!(fs::read(home.sequence_dir().join("sequence.bin")).unwrap(), b"mine");
    assert!(home.data_dir().join("blockstore.db").is_dir());
    assert_eq!(fs::read_dir(other.data_dir()).unwrap().count(), before);
}

#[test]
#[ignore = "needs CometBFT; run by make e2e"]
fn a_copy_of_a_running_home_does_not_start_and_the_original_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let (home, rpc) = init(&dir.path().join("node"));
    let child = start_with(&home, rpc, &mut dseq(&["start"]));
    let ids = processes(&home);
    let copy = dir.path().join("copy");
    assert!(Command::new("cp").arg("-a").args([home.root(), &copy]).status().unwrap().success());
    let (code, said) = run(dseq(&["start", "--home"]).arg(&copy));
    assert_eq!(code, 78, "{said}");
    let original = home.root().canonicalize().unwrap();
    let expected =
        format!("is a copy of {}, which is still there with the same validator key", original.display());
    assert!(said.contains(&expected), "{said}");
    assert!(ids.iter().all(|id| id.is_alive()));
    submit(rpc, "still-here");
    stop(&home, child);
}

#[test]
#[ignore = "needs CometBFT; run by make e2e"]
fn a_home_is_made_in_the_empty_folder_one_is_in_and_runs_whatever_that_is_called() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("n\u{153}ud 1\t");
    // As the root of a new file system.
    fs::create_dir_all(root.join("lost+found")).unwrap();
    let before = fs::metadata(&root).unwrap().ino();
    let mut command = dseq(&["init", "--solo", "--home", ".", "--plugin", &plugin()]);
    let (code, said) = run(command.current_dir(&root));
    assert_eq!(code, 0, "{said}");
    assert_eq!(fs::metadata(&root).unwrap().ino(), before);
    let mut names: Vec<_> = fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(
        names,
        ["config", "data", "dseq.toml", "lost+found", "member.json", "network.json", "plugins"]
    );
    let (home, rpc) = listen_elsewhere(&root);
    let child = start_with(&home, rpc, &mut dseq(&["start"]));
    assert_eq!(ask(rpc, "status").unwrap()["result"]["node_info"]["moniker"], "n-ud-1-");
    stop(&home, child);
}
