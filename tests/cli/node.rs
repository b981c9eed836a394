//! Homes, the app alone, and comparing nodes.

use std::io::Read;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use dseq::node::engine::cometbft::VERSION;
use dseq::sequence::{HashedRecord, Log, Staging};
use dseq::types::{AppHash, Height, PipelineId, TxHash};
use rustix::process::{Pid, Signal, kill_process};

use super::supervisor::stand_in;
use super::{dseq, home, run, text};

/// Generous: it only decides how long a broken build takes to fail.
const PATIENCE: Duration = Duration::from_secs(60);

fn wait_for_socket(path: &Path) {
    let started = Instant::now();
    while UnixStream::connect(path).is_err() {
        assert!(started.elapsed() < PATIENCE, "nobody listens on {path:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn serve(home: &Path, flags: &[&str]) -> Child {
    let mut command = dseq(&["serve", "--home", text(home)]);
    let child = command
        .args(flags)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait_for_socket(&home.join("run/abci.sock"));
    child
}

fn words(child: &mut Child) -> String {
    let mut words = String::new();
    child.stderr.take().unwrap().read_to_string(&mut words).unwrap();
    words
}

#[test]
fn the_app_ends_with_0_when_asked_by_a_signal() {
    for signal in [Signal::TERM, Signal::INT] {
        let home = home();
        let mut child = serve(home.path(), &[]);
        kill_process(Pid::from_child(&child), signal).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(0));
        let words = words(&mut child);
        assert!(words.contains(": draining") && words.contains("drained"), "{words}");
    }
}

#[test]
fn the_app_ends_with_its_supervisor_only_when_told_to() {
    let home = home();
    let mut child = serve(home.path(), &["--supervised"]);
    drop(child.stdin.take());
    assert_eq!(child.wait().unwrap().code(), Some(0), "{}", words(&mut child));

    let mut child = serve(home.path(), &[]);
    drop(child.stdin.take());
    // It still answers after its input has ended, and takes a signal.
    wait_for_socket(&home.path().join("run/abci.sock"));
    assert_eq!(child.try_wait().unwrap(), None);
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn no_home_is_a_refusal_that_says_how_to_make_one() {
    for subcommand in ["serve", "start"] {
        let (code, _, stderr) = run(&mut dseq(&[subcommand, "--home", "/nowhere/at/all"]));
        assert_eq!(code, 78);
        assert_eq!(
            stderr,
            "error: no node home at /nowhere/at/all; make one with `dseq init --home /nowhere/at/all`\n"
        );
    }
}

#[test]
fn the_app_says_why_it_refuses_and_exits_with_78() {
    let home = home();
    std::fs::create_dir(home.path().join("sequence")).unwrap();
    std::fs::write(home.path().join("sequence/sequence.bin"), "bytes nobody committed").unwrap();
    let (code, _, stderr) = run(&mut dseq(&["serve", "--home", text(home.path())]));
    assert_eq!(code, 78, "{stderr}");
    assert!(stderr.contains("error: ") && stderr.contains("no commit file beside it"), "{stderr}");
}

/// Gives a home a sequence of one record for each block.
fn commit(home: &Path, records: &[&[u8]]) {
    let mut log = Log::open(&home.join("sequence")).unwrap();
    for (height, record) in (1..).zip(records) {
        let mut staging = Staging::begin(log.head(), Height(height));
        staging.push(TxHash::of(record), &HashedRecord::of(record.to_vec())).unwrap();
        log.commit(&staging.finish(), AppHash::default(), PipelineId::default()).unwrap();
    }
}

fn checksum(homes: &[&Path]) -> (i32, String) {
    let mut command = dseq(&["checksum", "--home"]);
    let (code, stdout, stderr) = run(command.args(homes));
    (code, stdout + &stderr)
}

#[test]
fn nodes_with_the_same_bytes_are_identical_even_when_one_is_a_block_behind() {
    let (one, two) = (home(), home());
    commit(one.path(), &[b"hello ", b"world"]);
    commit(two.path(), &[b"hello ", b"world"]);
    let (code, said) = checksum(&[one.path(), two.path()]);
    assert_eq!(code, 0, "{said}");
    assert!(said.ends_with("IDENTICAL: 2 nodes, 11 bytes\n"), "{said}");
    // What `printf 'hello world' | sha256sum` prints.
    let sum = "b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9";
    assert_eq!(said.matches(sum).count(), 2, "{said}");

    let behind = home();
    commit(behind.path(), &[b"hello "]);
    let (code, said) = checksum(&[one.path(), behind.path()]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("IDENTICAL: 2 nodes, up to the 6 bytes that all of them have committed"), "{said}");
    assert!(said.ends_with(&format!("\n{} is 5 bytes behind\n", text(behind.path()))), "{said}");
}

#[test]
fn nodes_with_different_bytes_fail_with_the_first_differing_offset() {
    let (one, two) = (home(), home());
    commit(one.path(), &[b"hello ", b"world"]);
    commit(two.path(), &[b"hello ", b"wOrld and more"]);
    let (code, said) = checksum(&[one.path(), two.path()]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("DIFFERENT: first at offset 7, where "), "{said}");
    assert!(said.contains("has 0x6f") && said.contains("has 0x4f"), "{said}");
}

#[test]
fn a_home_without_a_sequence_cannot_be_compared() {
    let (one, two) = (home(), home());
    commit(one.path(), &[b"hello"]);
    let (code, said) = checksum(&[one.path(), two.path()]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains(text(two.path())) && said.contains("there is no log in"), "{said}");
}

#[test]
fn a_log_that_cannot_be_written_ends_nothing() {
    let home = home();
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let mut command = dseq(&["serve", "--home", text(home.path()), "--log-level", "debug"]);
    let mut child = command.stdin(Stdio::piped()).stderr(full).spawn().unwrap();
    wait_for_socket(&home.path().join("run/abci.sock"));
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_chain_id_that_cometbft_would_not_take_is_refused_before_anything_is_made() {
    let dir = tempfile::tempdir().unwrap();
    let cometbft = stand_in(dir.path(), VERSION, "exit 1");
    for (chain_id, bytes) in [("", 0), (&"x".repeat(51), 51)] {
        let root = dir.path().join("new");
        let mut command = dseq(&["init", "--solo", "--home", text(&root), "--chain-id", chain_id]);
        let (code, _, stderr) = run(command.arg("--cometbft").arg(&cometbft));
        let expected = format!("error: the chain id is {bytes} bytes long; it must have 1 to 50\n");
        assert_eq!((code, stderr), (2, expected));
        assert!(!root.exists());
    }
}
