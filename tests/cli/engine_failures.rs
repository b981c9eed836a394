//! What `dseq start` makes of a CometBFT that fails, by a stand-in that says what the real one says.

use std::fs;
use std::path::Path;

use dseq::node::engine::cometbft::VERSION;
use dseq::node::process::rotate::{LOG_BYTES_MAX, rotated};

use super::supervisor::{Supervisor, children, said, stand_in, stop, until};
use super::{home, text};

/// A stand-in that says these lines and then does something.
fn saying(home: &Path, lines: &str, then: &str) -> std::path::PathBuf {
    fs::write(home.join("lines"), lines).unwrap();
    stand_in(home, VERSION, &format!("cat {}; {then}", text(&home.join("lines"))))
}

#[test]
fn a_cometbft_whose_consensus_failed_while_its_process_goes_on_is_restarted_and_said() {
    let home = home();
    let failure = "E[2026-11-26|15:01:13.752] CONSENSUS FAILURE!!!  module=consensus \
                   err=\"failed to write to consensus WAL: file too large\" stack=\"goroutine 49 [running]:\\nmain\"\n";
    let supervisor = Supervisor::start(home.path(), &saying(home.path(), failure, "exec sleep 1000"));
    let first = children(home.path(), &[]);
    let second = children(home.path(), &first);
    assert!(first.iter().all(|id| !id.is_alive()));
    let words = said(home.path());
    let expected = "CometBFT's consensus failed, and its process goes on without it: failed to write to consensus WAL: \
                    file too large; restarting both in 0.2 s";
    assert!(words.contains(expected), "{words}");
    // From the fifth on it is said that this one is not the first.
    until(home.path(), "fifth failure", || said(home.path()).contains("(failure 5 in a row)").then_some(()));
    children(home.path(), &second);
    stop(supervisor);
}

#[test]
fn the_reason_of_a_panic_is_told_and_not_its_stack() {
    let home = home();
    let panic = "I[x] starting\npanic: the reason\n\ngoroutine 1 [running]:\na\n\t/a.go:1\nb\n\t/b.go:2\nc\n\t/c.go:3\n";
    let supervisor = Supervisor::start(home.path(), &saying(home.path(), panic, "exit 2"));
    until(home.path(), "second failure", || {
        (said(home.path()).matches("restarting").count() >= 2).then_some(())
    });
    drop(supervisor);
    let words = said(home.path());
    assert!(words.contains("CometBFT ended (exit status: 2): panic: the reason; restarting both"), "{words}");
    assert!(!words.contains("goroutine") && !words.contains("/c.go"), "{words}");
}

#[test]
fn what_only_a_mended_file_helps_ends_the_node_with_78_and_its_reason() {
    let home = home();
    let error = "error in config file: error in [p2p] section: max_num_inbound_peers can't be negative";
    let lines = format!("ERROR: {error}\n");
    let mut supervisor = Supervisor::start(home.path(), &saying(home.path(), &lines, "exit 1"));
    assert_eq!(supervisor.exit_code(), Some(78));
    let expected = format!("CometBFT refuses to run: {error}; not restarting");
    assert_eq!(said(home.path()).matches(&expected).count(), 1, "{}", said(home.path()));
}

#[test]
fn a_log_that_grows_is_kept_in_bounds_while_cometbft_writes_on() {
    let home = home();
    let bytes = LOG_BYTES_MAX + (1 << 20);
    let script = format!("yes a line of a log | head -c {bytes}; while :; do echo later; sleep 0.1; done");
    let supervisor = Supervisor::start(home.path(), &stand_in(home.path(), VERSION, &script));
    let log = home.path().join("cometbft.log");
    until(home.path(), "rotation", || {
        let kept = fs::metadata(rotated(&log, 1)).ok()?.len();
        let now = fs::metadata(&log).ok()?.len();
        (kept > LOG_BYTES_MAX && (1..LOG_BYTES_MAX).contains(&now)).then_some(())
    });
    until(home.path(), "later line", || fs::read_to_string(&log).ok()?.contains("later").then_some(()));
    stop(supervisor);
}
