//! What is said of a network that is not well, and what goes on all the same.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use rustix::process::Signal;
use serde_json::Value;

use crate::support::{Testnet, ask, dseq, plugin, processes, run, until, workspace_file};

/// What `dseq testnet status` says: its exit code, and each node's state in order.
fn status(net: &Testnet) -> (i32, Vec<String>, Value) {
    let (code, said) = run(&mut dseq(&["testnet", "status", "--json", "--dir", net.dir()]));
    let nodes: Value = serde_json::from_str(&said).unwrap_or_else(|_| panic!("{said}"));
    let state = |node: &Value| node["state"].as_str().unwrap().to_owned();
    (code, nodes.as_array().unwrap().iter().map(state).collect(), nodes)
}

fn commit(port: u16, tx: &str) {
    let answer = ask(port, &format!("broadcast_tx_commit?tx=\"{tx}\"")).unwrap();
    assert_eq!(answer["result"]["tx_result"]["data"].as_str().map(str::len), Some(44), "{answer}");
}

/// A running network of four.
fn started() -> Testnet {
    let net = Testnet::new();
    net.started();
    net
}

#[test]
#[ignore = "needs CometBFT; run by make e2e"]
fn without_a_quorum_the_status_fails_and_says_so() {
    let net = started();
    assert_eq!(status(&net).0, 0);
    let nodes = net.nodes();
    let kill = |node: usize| {
        for id in processes(&nodes[node].home) {
            id.signal(Signal::KILL).unwrap();
        }
    };
    kill(3);
    until("three running nodes", || {
        (status(&net).1 == ["running", "running", "running", "stopped"]).then_some(())
    });
    assert_eq!(status(&net).0, 1);
    commit(nodes[0].ports.rpc, "three");

    kill(2);
    let lost = ["no-quorum", "no-quorum", "stopped", "stopped"];
    until("loss of the quorum", || (status(&net).1 == lost).then_some(()));
    let (code, said) = run(&mut dseq(&["testnet", "status", "--dir", net.dir()]));
    assert_eq!(code, 1, "{said}");
    let why = "node0: it reaches voting power 20 of 40; a block takes more than two thirds";
    assert!(said.contains(why) && said.ends_with("None of the 4 nodes accepts transactions.\n"), "{said}");
}

#[test]
#[ignore = "needs CometBFT; run by make e2e"]
fn a_node_that_hangs_is_no_part_of_a_quorum() {
    let net = started();
    let nodes = net.nodes();
    let stopped: Vec<_> = [2, 3].iter().map(|node| processes(&nodes[*node].home)[2]).collect();
    stopped.iter().for_each(|id| assert!(id.signal(Signal::STOP).unwrap()));
    let (code, states, nodes) = status(&net);
    stopped.iter().for_each(|id| assert!(id.signal(Signal::CONT).unwrap()));
    assert_eq!(
        (code, states),
        (1, ["no-quorum", "no-quorum", "no-answer", "no-answer"].map(String::from).to_vec()),
        "{nodes}"
    );
}

#[test]
#[ignore = "needs CometBFT; run by make e2e"]
fn a_node_whose_disk_is_nearly_full_does_not_accept_transactions_and_no_one_says_it_does() {
    let net = started();
    assert_eq!(net.stop().0, 0);
    let nodes = net.nodes();
    let settings = nodes[1].home.config_file();
    let before = fs::read_to_string(&settings).unwrap();
    fs::write(&settings, format!("disk_free_bytes_low = {}\n{before}", i64::MAX)).unwrap();
    let (code, said) = net.start();
    assert_eq!(code, 1, "{said}");
    assert!(said.starts_with("3 of 4 nodes accept transactions.\n"), "{said}");
    assert!(said.contains("\nnode1: this node's disk is nearly full: "), "{said}");
    let answer = ask(nodes[1].ports.rpc, "broadcast_tx_sync?tx=\"x\"").unwrap();
    assert_eq!((&answer["result"]["code"], &answer["result"]["codespace"]), (&4.into(), &"dseq".into()));
    let (code, states, _) = status(&net);
    assert_eq!(
        (code, states),
        (1, ["running", "not-ready", "running", "running"].map(String::from).to_vec())
    );

    // It is up for its peers all the same.
    commit(nodes[0].ports.rpc, "hello");
    assert_eq!(net.settled(), b"hello");
}

#[test]
#[ignore = "needs CometBFT; run by make e2e"]
fn a_taken_port_stops_one_node_and_not_the_network_which_can_move() {
    let net = started();
    let nodes = net.nodes();
    commit(nodes[0].ports.rpc, "first.");
    net.settled();
    assert_eq!(net.stop().0, 0);
    let port = nodes[3].ports.rpc;
    let holder = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let (code, said) = net.start();
    assert_eq!(code, 1, "{said}");
    assert!(said.starts_with("3 of 4 nodes accept transactions.\n"), "{said}");
    let held = format!("\nnode3: port {port} is held by pid {}: ", std::process::id());
    assert!(said.contains(&held) && said.contains("--move-ports --base-port PORT"), "{said}");
    assert_eq!(status(&net).1, ["running", "running", "running", "stopped"]);
    commit(nodes[0].ports.rpc, "second.");

    // Ports well away from those of other tests, as theirs are from ours.
    let base = net.base_port + 9_000;
    let move_to = |base: u16| {
        let base = base.to_string();
        run(&mut dseq(&["testnet", "start", "--dir", net.dir(), "--move-ports", "--base-port", &base]))
    };
    let (code, said) = move_to(base);
    assert!(code == 1 && said.contains("ports are moved only while no node runs"), "{code} {said}");
    assert_eq!(net.stop().0, 0);
    let taken = TcpListener::bind(("127.0.0.1", base + 1)).unwrap();
    let (code, said) = move_to(base);
    assert!(code == 1 && said.contains("nothing was changed"), "{code} {said}");
    drop(taken);
    let (code, said) = move_to(base);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains(&format!("http://localhost:{}", base + 8)), "{said}");
    let moved = net.nodes();
    assert_eq!(
        moved.iter().map(|node| node.ports.rpc).collect::<Vec<_>>(),
        [1, 4, 6, 8].map(|above| base + above)
    );
    commit(moved[3].ports.rpc, "third");
    assert_eq!(net.settled(), b"first.second.third");
    assert_eq!(status(&net).0, 0);
    drop(holder);
}

#[test]
#[ignore = "needs CometBFT; run by make e2e"]
fn nodes_without_a_quorum_are_not_said_to_accept_transactions() {
    let net = started();
    assert_eq!(net.stop().0, 0);
    let nodes = net.nodes();
    let hold = |node: usize| TcpListener::bind(("127.0.0.1", nodes[node].ports.rpc)).unwrap();
    let holders = [hold(2), hold(3)];
    let (code, said) = net.start();
    assert_eq!(code, 1, "{said}");
    assert!(said.starts_with("error: no node accepts transactions\nnode0: it has "), "{said}");
    for node in [0, 1] {
        assert!(said.contains(&format!("\nnode{node}: it has ")), "{said}");
    }
    assert_eq!(said.matches(" of 2 peers; it waits for the others\n").count(), 2, "{said}");
    assert!(said.contains("\nnode2: port ") && said.contains("\nnode3: port "), "{said}");
    assert_eq!(status(&net).1, ["no-quorum", "no-quorum", "stopped", "stopped"]);
    drop(holders);
    let (code, said) = net.start();
    assert!(code == 0 && said.starts_with("Started node2, node3; all 4 nodes accept"), "{said}");
}

#[test]
#[ignore = "needs CometBFT; run by make e2e"]
fn the_node_that_keeps_ending_is_blamed_and_none_of_its_old_words_are_shown() {
    let net = started();
    assert_eq!(net.stop().0, 0);
    let home = &net.nodes()[3].home;
    for log in [home.app_log(), home.cometbft_log()] {
        let before = fs::read_to_string(&log).unwrap();
        fs::write(&log, before + "words of another day\n").unwrap();
    }
    fs::write(home.root().join("config/node_key.json"), "{").unwrap();
    let (code, said) = net.start();
    assert_eq!(code, 1, "{said}");
    assert!(said.starts_with("3 of 4 nodes accept transactions.\n"), "{said}");
    assert!(said.contains("error: 1 of 4 nodes does not accept transactions\nnode3: "), "{said}");
    assert!(said.contains("its dseq.log") && said.contains("node_key"), "{said}");
    assert!(!said.contains("words of another day") && !said.contains("\nnode0: "), "{said}");
    commit(net.nodes()[0].ports.rpc, "hello");
}

/// A CometBFT that makes homes, and ends as soon as it is to run.
fn broken_cometbft(dir: &Path) -> String {
    let path = dir.join("cometbft");
    let real = workspace_file("build/cometbft");
    let script = format!(
        "#!/bin/sh\ncase \" $* \" in *' start '*) echo this cannot run; exit 1; esac\nexec '{}' \"$@\"\n",
        real.display()
    );
    let path = path.to_str().unwrap();
    // Written by another process: the kernel does not run a file that is open for writing in a fork of ours.
    let mut shell = Command::new("sh");
    shell.args(["-c", "printf %s \"$1\" > \"$2\" && chmod 755 \"$2\"", "sh", &script, path]);
    assert!(shell.status().unwrap().success());
    path.to_owned()
}

#[test]
#[ignore = "needs CometBFT; run by make e2e"]
fn a_new_network_that_does_not_come_up_is_removed_and_the_corrected_command_works() {
    let net = Testnet::new();
    let beside = Path::new(net.dir()).join("notes.txt");
    fs::write(&beside, "mine").unwrap();
    let programs = tempfile::tempdir().unwrap();
    let (code, said) = run(net.start_command().args(["--cometbft", &broken_cometbft(programs.path())]));
    assert_eq!(code, 1, "{said}");
    assert!(said.starts_with("error: the network did not come up, and is removed again"), "{said}");
    for node in 0..4 {
        assert!(said.contains(&format!("\nnode{node}: ")), "{said}");
    }
    assert!(said.contains("this cannot run"), "{said}");
    let left: Vec<_> = fs::read_dir(net.dir()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| name == "notes.txt" || name == ".lock"), "{left:?}");

    let base_port = net.base_port.to_string();
    let mut corrected = dseq(&["testnet", "start", "--dir", net.dir(), "--base-port", &base_port]);
    let (code, said) = run(corrected.args(["--nodes", "1", "--plugin", &plugin()]));
    assert_eq!(
        (code, said.starts_with("Made a new network; the node accepts transactions.\n")),
        (0, true),
        "{said}"
    );
    assert_eq!(status(&net).0, 0);
}
