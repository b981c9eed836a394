//! A copy of a home, and a home that is moved, while a node runs in it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use dseq::node::engine::cometbft::VERSION;
use dseq::node::process::ProcessId;
use rustix::process::Signal;

use super::supervisor::{Supervisor, children, said, stand_in, stop, until};
use super::{dseq, fill, run, text};

/// The home of a network's only node, as far as the app needs one.
fn network(dir: &Path) -> PathBuf {
    let home = dir.join("node0");
    fill(&home);
    fs::write(dir.join("network.json"), "{ \"nodes\": 1, \"base_port\": 29000 }").unwrap();
    home
}

/// A network of one node, the place for a copy of it, and a stand-in for CometBFT that does nothing.
struct Places {
    dir: tempfile::TempDir,
    original: PathBuf,
    /// The node's home in the original.
    home: PathBuf,
    copied: PathBuf,
    /// The node's home in the copy.
    copied_home: PathBuf,
    cometbft: PathBuf,
}

impl Places {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (original, copied) = (dir.path().join("net"), dir.path().join("copy"));
        let home = network(&original);
        let copied_home = copied.join("node0");
        let cometbft = stand_in(dir.path(), VERSION, "exec sleep 1000");
        Self { dir, original, home, copied, copied_home, cometbft }
    }

    fn copy(&self) {
        let copied = Command::new("cp").arg("-a").args([&self.original, &self.copied]).status();
        assert!(copied.unwrap().success());
    }

    /// What is said of the copy while this supervisor runs the original.
    fn warning(&self, supervisor: &Supervisor) -> String {
        let (copied, home) = (text(&self.copied_home), text(&self.home));
        let id = supervisor.child.id();
        format!("{copied} is a copy of {home}, which pid {id} runs: both have the same keys")
    }
}

#[test]
fn neither_start_nor_stop_in_a_copy_touches_the_original() {
    let places = Places::new();
    let Places { home, copied_home, .. } = &places;
    let mut command = dseq(&["start", "--by-testnet"]);
    let supervisor = Supervisor::with(home, command.arg("--cometbft").arg(&places.cometbft));
    let first = children(home, &[]);
    places.copy();

    let (code, stdout, _) = run(&mut dseq(&["testnet", "stop", "--dir", text(&places.copied)]));
    assert_eq!((code, stdout.as_str()), (0, "The network was stopped already.\n"));

    let second = Supervisor::start(copied_home, &places.cometbft);
    let both = children(copied_home, &first);
    let warned = said(copied_home);
    assert!(warned.contains(&places.warning(&supervisor)), "{warned}");
    assert!(!warned.contains("left behind"), "{warned}");
    assert!(first.iter().all(|id| id.is_alive()), "{warned}");
    stop(second);
    assert!(both.iter().all(|id| !id.is_alive()));
    assert_eq!(children(home, &[]), first);
    stop(supervisor);
}

#[test]
fn testnet_start_runs_no_copy_beside_its_original_and_moves_its_ports_neither() {
    let places = Places::new();
    let Places { home, copied, cometbft, .. } = &places;
    let supervisor = Supervisor::start(home, cometbft);
    children(home, &[]);
    places.copy();
    let shape = || fs::read_to_string(copied.join("network.json")).unwrap();
    let before = shape();

    for moved in [&[][..], &["--move-ports", "--base-port", "29500"]] {
        let mut command = dseq(&["testnet", "start", "--dir", text(copied), "--cometbft", text(cometbft)]);
        let (code, _, stderr) = run(command.args(["--timeout", "1"]).args(moved));
        assert!(code == 1 && stderr.contains(&places.warning(&supervisor)), "{stderr}");
        assert!(!stderr.contains("--move-ports"), "{stderr}");
    }
    assert_eq!(shape(), before);
    assert!(children(home, &[]).iter().all(|id| id.is_alive()));
    stop(supervisor);
}

#[test]
fn an_orphan_of_the_original_is_none_of_the_copys_business() {
    let places = Places::new();
    let Places { home, copied_home, cometbft, .. } = &places;
    let mut supervisor = Supervisor::start(home, cometbft);
    let [app, orphan] = children(home, &[]);
    // Each of the two would end CometBFT once the other one is gone. The app is not the one to stop: the kernel wakes a
    // stopped process when its parent ends.
    let frozen = ProcessId::of(supervisor.child.id()).unwrap();
    frozen.signal(Signal::STOP).unwrap();
    app.signal(Signal::KILL).unwrap();
    supervisor.child.kill().unwrap();
    supervisor.child.wait().unwrap();
    places.copy();
    let second = Supervisor::start(copied_home, cometbft);
    children(copied_home, &[orphan]);
    assert!(orphan.is_alive());
    stop(second);
    orphan.signal(Signal::KILL).unwrap();
}

#[test]
fn a_moved_home_is_still_the_home_of_its_processes_and_its_node_does_not_go_on_elsewhere() {
    let Places { dir, original, home, cometbft, .. } = &Places::new();
    let moved = dir.path().join("moved");
    let mut supervisor = Supervisor::start(home, cometbft);
    let both = children(home, &[]);
    fs::rename(home, &moved).unwrap();
    let mut command = dseq(&["start", "--home", text(&moved), "--cometbft", text(cometbft)]);
    let (code, _, stderr) = run(&mut command);
    assert_eq!(code, 1, "{stderr}");
    assert!(stderr.contains(&format!("is already running, by pid {}", supervisor.child.id())), "{stderr}");

    // What takes its place is another home, in which its supervisor must start nothing.
    let other = network(original);
    both[0].signal(Signal::KILL).unwrap();
    let ended = until(&moved, "end of the supervisor", || supervisor.child.try_wait().unwrap());
    assert_eq!(ended.code(), Some(78), "{}", said(&moved));
    let expected = format!("the home was moved away from {} while it ran", text(&other));
    assert!(said(&moved).contains(&expected), "{}", said(&moved));
    assert!(both.iter().all(|id| !id.is_alive()));
    assert!(!other.join("run").exists());
}

#[test]
fn a_free_lock_does_not_let_a_second_supervisor_end_what_the_first_one_runs() {
    let Places { home, cometbft, .. } = &Places::new();
    let supervisor = Supervisor::start(home, cometbft);
    let both = children(home, &[]);
    // Another file of that name is another lock.
    fs::remove_file(home.join("run/lock")).unwrap();
    let mut second = Supervisor::start(home, cometbft);
    assert_eq!(second.exit_code(), Some(1), "{}", said(home));
    assert!(said(home).contains(&format!("is already running, by pid {}", supervisor.child.id())));
    assert!(both.iter().copied().all(ProcessId::is_alive));
    stop(supervisor);
}
