//! CometBFT ends at each of the points where its own tests end it: before, between and after what a block writes. The
//! node comes back by itself, with every block once.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use dseq::node::home::NodeHome;
use dseq::node::process::ProcessId;
use dseq::node::process::running::Running;
use rustix::process::Signal;

use crate::one_node::init;
use crate::support::{ask, dseq, until, workspace_file};

/// How many such points (`fail.Fail()`) one block passes, from the proposal's decision to the mempool's update.
const POINTS: usize = 10;

/// A CometBFT that ends at the point whose number it finds in a file, once.
fn ending_at(point: &Path) -> PathBuf {
    let path = point.with_file_name("cometbft");
    let (point, cometbft) = (point.display(), workspace_file("build/cometbft"));
    let script = format!(
        "#!/bin/sh\nif [ \"$3\" = start ] && [ -e '{point}' ]; then\n  \
         FAIL_TEST_INDEX=$(cat '{point}'); export FAIL_TEST_INDEX; rm '{point}'\nfi\n\
         exec '{}' \"$@\"\n",
        cometbft.display()
    );
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// A `dseq start` that ends with the test, however that ends.
struct Node(Child);

impl Node {
    fn end(&mut self) -> Option<i32> {
        ProcessId::of(self.0.id()).unwrap().signal(Signal::TERM).unwrap();
        self.0.wait().unwrap().code()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if self.0.try_wait().unwrap().is_none() {
            self.end();
        }
    }
}

/// The sequence, cut into its transactions.
fn transactions(home: &NodeHome) -> Vec<String> {
    let bytes = fs::read(home.sequence_dir().join("sequence.bin")).unwrap_or_default();
    String::from_utf8(bytes).unwrap().split_inclusive('.').map(ToOwned::to_owned).collect()
}

/// Hands in transactions of one name until the first of them is committed. Each is another one: what a node had not
/// yet decided when it ended may be lost or may come.
fn commit(home: &NodeHome, rpc: u16, name: &str) {
    let mut attempt = 0;
    until("commit", || {
        attempt += 1;
        ask(rpc, &format!("broadcast_tx_sync?tx=\"{name}-{attempt}.\""))?;
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(3) {
            if transactions(home).iter().any(|tx| tx.starts_with(&format!("{name}-"))) {
                return Some(());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        None
    });
}

#[test]
#[ignore = "needs CometBFT; run by make e2e"]
fn a_node_whose_cometbft_ends_anywhere_in_a_block_comes_back_with_every_block_once() {
    let dir = tempfile::tempdir().unwrap();
    let (home, rpc) = init(&dir.path().join("node"));
    let point = dir.path().join("point");
    let mut command = dseq(&["start", "--restart-backoff-seconds-max", "1"]);
    command.arg("--home").arg(home.root()).arg("--cometbft").arg(ending_at(&point));
    let log = fs::File::create(home.app_log()).unwrap();
    let mut node = Node(command.stdin(Stdio::null()).stderr(log).spawn().unwrap());
    commit(&home, rpc, "first");
    for number in 0..POINTS {
        fs::write(&point, number.to_string()).unwrap();
        let cometbft = Running::read(&home).unwrap().cometbft.unwrap();
        assert!(cometbft.signal(Signal::KILL).unwrap());
        until("next start of CometBFT", || (!point.exists()).then_some(()));
        let ends = format!("*** fail-test {number} ***");
        until("end of CometBFT", || {
            // Any block leads it to the point; without this one it would be idle.
            ask(rpc, &format!("broadcast_tx_async?tx=\"at{number}.\""));
            fs::read_to_string(home.cometbft_log()).unwrap().contains(&ends).then_some(())
        });
        commit(&home, rpc, &format!("after{number}"));
    }
    assert_eq!(node.end(), Some(0), "{}", fs::read_to_string(home.app_log()).unwrap());
    let all = transactions(&home);
    let mut once = all.clone();
    once.sort();
    once.dedup();
    assert_eq!(once.len(), all.len(), "a transaction is in the sequence twice: {all:?}");
    // What was seen to be committed is there still, in the order in which it came.
    let names = ["first".to_owned()].into_iter().chain((0..POINTS).map(|number| format!("after{number}")));
    let place = |name: &String| all.iter().position(|tx| tx.starts_with(&format!("{name}-")));
    let places: Vec<_> =
        names.map(|name| place(&name).unwrap_or_else(|| panic!("{name} is lost: {all:?}"))).collect();
    assert!(places.is_sorted(), "{places:?}");
}
