//! `dseq start` with the real app and a stand-in for CometBFT that does nothing but run.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use dseq::node::cometbft::VERSION;
use dseq::node::home::NodeHome;
use dseq::node::process::ProcessId;
use dseq::node::running::Running;
use rustix::process::Signal;

use super::{dseq, home, run, text};

/// Generous: it only decides how long a broken build takes to fail.
const PATIENCE: Duration = Duration::from_secs(60);

/// A program that says it is CometBFT of the given version, and then does `start` for its start.
fn stand_in(dir: &Path, version: &str, start: &str) -> PathBuf {
    let path = dir.join("cometbft");
    let script = format!("#!/bin/sh\nif [ \"$1\" = version ]; then echo {version}; exit; fi\n{start}\n");
    // Written by another process: while we had it open, a test beside this one might fork, and the kernel does
    // not run a file that anybody has open for writing.
    let mut shell = Command::new("sh");
    shell.args(["-c", "printf %s \"$1\" > \"$2\" && chmod 755 \"$2\"", "sh", &script, text(&path)]);
    assert!(shell.status().unwrap().success());
    path
}

fn start(home: &Path, cometbft: &Path) -> Child {
    let log = fs::File::create(home.join("said")).unwrap();
    let args =
        ["start", "--home", text(home), "--cometbft", text(cometbft), "--restart-backoff-seconds-max", "1"];
    dseq(&args).stdin(Stdio::null()).stderr(log).spawn().unwrap()
}

fn said(home: &Path) -> String {
    fs::read_to_string(home.join("said")).unwrap()
}

fn until<T>(home: &Path, what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(started.elapsed() < PATIENCE, "no {what}; it said:\n{}", said(home));
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The two children, once both run and neither is one of `earlier`.
fn children(home: &Path, earlier: &[ProcessId]) -> [ProcessId; 2] {
    until(home, "two new children", || {
        let running = Running::read(&NodeHome::new(home))?;
        let both = [running.app?, running.cometbft?];
        both.iter().all(|id| id.is_alive() && !earlier.contains(id)).then_some(both)
    })
}

fn stop(home: &Path, mut supervisor: Child) {
    let both = children(home, &[]);
    ProcessId::of(supervisor.id()).unwrap().signal(Signal::TERM).unwrap();
    assert_eq!(supervisor.wait().unwrap().code(), Some(0), "{}", said(home));
    assert!(both.iter().all(|id| !id.is_alive()), "a child outlived its supervisor");
}

#[test]
fn when_either_dies_both_are_ended_and_started_again() {
    let home = home();
    let supervisor = start(home.path(), &stand_in(home.path(), VERSION, "exec sleep 1000"));
    let first = children(home.path(), &[]);
    first[0].signal(Signal::KILL).unwrap();
    let second = children(home.path(), &first);
    assert!(first.iter().all(|id| !id.is_alive()), "the old CometBFT must go with its app");
    assert!(said(home.path()).contains("the app ended (signal: 9 (SIGKILL)); restarting both in 0.2 s"));

    second[1].signal(Signal::KILL).unwrap();
    children(home.path(), &second);
    assert!(second.iter().all(|id| !id.is_alive()), "the old app must go with its CometBFT");
    assert!(said(home.path()).contains("CometBFT ended (signal: 9 (SIGKILL))"), "{}", said(home.path()));
    stop(home.path(), supervisor);
}

#[test]
fn a_cometbft_that_keeps_ending_is_tried_again_and_its_last_words_are_shown() {
    let home = home();
    let script = format!("echo x >> {0}/starts; echo no genesis here; exit 3", text(home.path()));
    let mut supervisor = start(home.path(), &stand_in(home.path(), VERSION, &script));
    until(home.path(), "third start", || {
        fs::read_to_string(home.path().join("starts")).ok().filter(|starts| starts.lines().count() >= 3)
    });
    ProcessId::of(supervisor.id()).unwrap().signal(Signal::TERM).unwrap();
    assert_eq!(supervisor.wait().unwrap().code(), Some(0));
    let said = said(home.path());
    assert!(
        said.contains("CometBFT ended (exit status: 3); its last words:\n  no genesis here; restarting"),
        "{said}"
    );
}

#[test]
fn an_app_that_refuses_ends_the_node_with_78_and_is_not_tried_again() {
    let home = home();
    fs::create_dir(home.path().join("sequence")).unwrap();
    fs::write(home.path().join("sequence/sequence.bin"), "bytes nobody committed").unwrap();
    let mut supervisor = start(home.path(), &stand_in(home.path(), VERSION, "exec sleep 1000"));
    assert_eq!(supervisor.wait().unwrap().code(), Some(78));
    assert_eq!(said(home.path()).matches("no commit file beside it").count(), 1, "{}", said(home.path()));
}

#[test]
fn the_app_does_not_outlive_a_supervisor_that_was_killed_and_the_next_one_takes_over() {
    let home = home();
    // The real CometBFT ends when its app does; so does this one, which waits for it.
    let pid = "$(sed -n '/\"app\"/,/}/s/.*\"pid\": \\([0-9]*\\).*/\\1/p' \"$2/run/processes.json\")";
    let script = format!("app={pid}; while kill -0 $app; do sleep 0.1; done");
    let cometbft = stand_in(home.path(), VERSION, &script);
    let mut supervisor = start(home.path(), &cometbft);
    let first = children(home.path(), &[]);
    supervisor.kill().unwrap();
    supervisor.wait().unwrap();
    for id in first {
        until(home.path(), "end of the orphans", || (!id.is_alive()).then_some(()));
    }
    let next = start(home.path(), &cometbft);
    children(home.path(), &first);
    stop(home.path(), next);
}

#[test]
fn a_home_has_one_supervisor() {
    let home = home();
    let cometbft = stand_in(home.path(), VERSION, "exec sleep 1000");
    let supervisor = start(home.path(), &cometbft);
    children(home.path(), &[]);
    let (code, _, stderr) =
        run(&mut dseq(&["start", "--home", text(home.path()), "--cometbft", text(&cometbft)]));
    assert_eq!(code, 1);
    assert!(stderr.contains(&format!("is already running, by pid {}", supervisor.id())), "{stderr}");
    stop(home.path(), supervisor);
}

#[test]
fn another_version_of_cometbft_is_refused_by_name() {
    let home = home();
    let cometbft = stand_in(home.path(), "0.38.0-rc3", "exec sleep 1000");
    let (code, _, stderr) =
        run(&mut dseq(&["start", "--home", text(home.path()), "--cometbft", text(&cometbft)]));
    assert_eq!(code, 78);
    assert!(
        stderr.contains(&format!("{}: is version 0.38.0-rc3, not {VERSION}", text(&cometbft))),
        "{stderr}"
    );
}
