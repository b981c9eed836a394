//! One node by hand: `dseq init`, `dseq start`, and nothing left of it however it ends.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use dseq::node::home::NodeHome;
use dseq::node::process::ProcessId;
use rustix::process::Signal;

use crate::pages::block;
use crate::support::{ask, dseq, free_base_port, plugin, processes, receipt, run, until, workspace_file};

/// Makes a home whose CometBFT listens on ports of this test.
pub(crate) fn init(root: &Path) -> (NodeHome, u16) {
    let (code, said) =
        run(&mut dseq(&["init", "--solo", "--home", root.to_str().unwrap(), "--plugin", &plugin()]));
    assert_eq!(code, 0, "{said}");
    listen_elsewhere(root)
}

/// Moves a new home to ports of this test.
pub(crate) fn listen_elsewhere(root: &Path) -> (NodeHome, u16) {
    let home = NodeHome::new(root);
    let base = free_base_port();
    let config = fs::read_to_string(home.cometbft_config()).unwrap();
    let moved = config
        .replace("tcp://127.0.0.1:26657", &format!("tcp://127.0.0.1:{}", base + 1))
        .replace("tcp://0.0.0.0:26656", &format!("tcp://127.0.0.1:{base}"));
    fs::write(home.cometbft_config(), moved).unwrap();
    (home, base + 1)
}

/// A shell in a folder, as of somebody who has built `dseq`: in `build`, and on the path.
pub(crate) fn shell(dir: &Path, commands: &str) -> Command {
    let build = dir.join("build");
    fs::create_dir_all(&build).unwrap();
    if !build.join("dseq").exists() {
        symlink(env!("CARGO_BIN_EXE_dseq"), build.join("dseq")).unwrap();
    }
    let path = format!("{}:{}", build.display(), std::env::var("PATH").unwrap());
    let mut shell = Command::new("sh");
    shell.args(["-euc", commands]).current_dir(dir).env_clear().env("HOME", dir).env("PATH", path);
    shell.env("DSEQ_COMETBFT", workspace_file("build/cometbft")).env("DSEQ_HTTP", "off");
    shell
}

pub(crate) fn start(home: &NodeHome, rpc: u16) -> Child {
    start_with(home, rpc, &mut dseq(&["start"]))
}

/// Starts it by a command that has all but the home, and waits for its first block.
pub(crate) fn start_with(home: &NodeHome, rpc: u16, command: &mut Command) -> Child {
    first_block(home, rpc, command.arg("--home").arg(home.root()))
}

/// Starts it by a command, and waits for its first block.
pub(crate) fn first_block(home: &NodeHome, rpc: u16, command: &mut Command) -> Child {
    let log = fs::File::create(home.app_log()).unwrap();
    let child = command.stdin(Stdio::null()).stderr(log).spawn().unwrap();
    until("first block", || {
        let status = ask(rpc, "status")?;
        (status["result"]["sync_info"]["latest_block_height"].as_str()? != "0").then_some(())
    });
    child
}

#[test]
#[ignore = "needs CometBFT; run by make e2e"]
fn a_home_is_made_once_runs_and_ends_with_0_when_asked() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("a/node");
    let (home, rpc) = init(&root);
    let (code, said) =
        run(&mut dseq(&["init", "--solo", "--home", root.to_str().unwrap(), "--plugin", &plugin()]));
    assert_eq!(code, 1);
    assert!(
        said.contains("is there already, with \"config\", ") && said.contains("nothing was changed"),
        "{said}"
    );

    // As CometBFT leaves a database when it is killed while it makes it; by itself it does not get over that.
    let unfinished = home.data_dir().join("blockstore.db");
    fs::create_dir_all(&unfinished).unwrap();
    fs::write(unfinished.join("MANIFEST-000000"), "").unwrap();
    let mut child = start(&home, rpc);
    let answer = ask(rpc, "broadcast_tx_commit?tx=\"hello\"").unwrap();
    assert!(receipt(&answer).is_some(), "{answer}");
    let ids = processes(&home);
    ProcessId::of(child.id()).unwrap().signal(Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0), "{}", fs::read_to_string(home.app_log()).unwrap());
    assert_eq!(ids.iter().filter(|id| id.is_alive()).count(), 0);
    assert_eq!(fs::read(home.sequence_dir().join("sequence.bin")).unwrap(), b"hello");
}

#[test]
#[ignore = "needs CometBFT; run by make e2e"]
fn a_node_of_your_own_is_made_and_runs_by_the_commands_of_the_page() {
    let dir = tempfile::tempdir().unwrap();
    let page = block("docs/operating.md", "A node of your own", 1);
    let [init, start, show] = page.lines().collect::<Vec<_>>()[..] else { panic!("{page}") };
    let (code, said) = run(&mut shell(dir.path(), init));
    assert_eq!(code, 0, "{said}");
    let (home, rpc) = listen_elsewhere(&dir.path().join("mynode"));
    let mut child = first_block(&home, rpc, &mut shell(dir.path(), &format!("exec {start}")));
    let answer = ask(rpc, "broadcast_tx_commit?tx=\"hello\"").unwrap();
    assert!(receipt(&answer).is_some(), "{answer}");
    let (code, said) = run(&mut shell(dir.path(), show));
    assert!(code == 0 && said.contains("log_level"), "{said}");
    ProcessId::of(child.id()).unwrap().signal(Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0), "{}", fs::read_to_string(home.app_log()).unwrap());
}

#[test]
#[ignore = "needs CometBFT; run by make e2e"]
fn cometbft_does_not_outlive_a_supervisor_that_was_killed() {
    let dir = tempfile::tempdir().unwrap();
    let (home, rpc) = init(&dir.path().join("node"));
    // In the middle of blocks: left to itself there, CometBFT hangs in two of five times.
    for round in 0..5 {
        let mut child = start(&home, rpc);
        let ids = processes(&home);
        assert_eq!(ids.len(), 3);
        for number in 0..20 {
            ask(rpc, &format!("broadcast_tx_async?tx=\"{round}-{number}\""));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        until("end of the orphans", || ids.iter().all(|id| !id.is_alive()).then_some(()));
    }
}

#[test]
#[ignore = "needs CometBFT; run by make e2e"]
fn a_changed_plugin_refuses_the_node_with_78_and_says_what_it_expected() {
    let dir = tempfile::tempdir().unwrap();
    let (home, _) = init(&dir.path().join("node"));
    let file = home.plugins_dir().join("passthrough.wasm");
    let mut wasm = fs::read(&file).unwrap();
    *wasm.last_mut().unwrap() ^= 1;
    fs::write(&file, &wasm).unwrap();
    let (code, said) = run(&mut dseq(&["start", "--home", home.root().to_str().unwrap()]));
    assert_eq!(code, 78, "{said}");
    let genesis: serde_json::Value = serde_json::from_slice(&fs::read(home.genesis_file()).unwrap()).unwrap();
    let pinned = genesis["app_state"]["dseq"]["pipeline"][0]["sha256"].as_str().unwrap();
    assert!(said.contains(pinned), "{said}");
    assert!(said.contains(home.plugins_dir().to_str().unwrap()), "{said}");
}
