//! A `dseq start` for a test, with a stand-in for CometBFT.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use dseq::node::home::NodeHome;
use dseq::node::process::ProcessId;
use dseq::node::process::running::Running;
use rustix::process::Signal;

use super::{dseq, text};

/// Generous: it only decides how long a broken build takes to fail.
const PATIENCE: Duration = Duration::from_secs(60);

/// A program that says it is CometBFT of the given version, and then does `start` for its start.
pub(crate) fn stand_in(dir: &Path, version: &str, start: &str) -> PathBuf {
    let path = dir.join("cometbft");
    let script = format!("#!/bin/sh\nif [ \"$1\" = version ]; then echo {version}; exit; fi\n{start}\n");
    // Written by another process: while we had it open, a test beside this one might fork, and the kernel does
    // not run a file that anybody has open for writing.
    let mut shell = Command::new("sh");
    shell.args(["-c", "printf %s \"$1\" > \"$2\" && chmod 755 \"$2\"", "sh", &script, text(&path)]);
    assert!(shell.status().unwrap().success());
    path
}

/// A `dseq start` that ends with the test, however that ends.
pub(crate) struct Supervisor {
    pub(crate) child: Child,
    home: PathBuf,
}

impl Supervisor {
    pub(crate) fn start(home: &Path, cometbft: &Path) -> Self {
        Self::with(home, dseq(&["start"]).arg("--cometbft").arg(cometbft))
    }

    /// Starts it by a command that has all but the home and the log.
    pub(crate) fn with(home: &Path, command: &mut Command) -> Self {
        Self::by(home, command.args(["--restart-backoff-seconds-max", "1", "--home", text(home)]))
    }

    /// Starts it by a command that has all but the log.
    pub(crate) fn by(home: &Path, command: &mut Command) -> Self {
        let log = fs::File::create(home.join("said")).unwrap();
        let child = command.stdin(Stdio::null()).stderr(log).spawn().unwrap();
        Self { child, home: home.to_owned() }
    }

    pub(crate) fn exit_code(&mut self) -> Option<i32> {
        let home = self.home.clone();
        until(&home, "end of the supervisor", || self.child.try_wait().unwrap()).code()
    }

    pub(crate) fn asked_to_stop(&mut self) -> Option<i32> {
        ProcessId::of(self.child.id()).unwrap().signal(Signal::TERM).unwrap();
        self.exit_code()
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        // Gone already, unless the test failed.
        if let Some(id) = ProcessId::of(self.child.id()) {
            id.end(PATIENCE).unwrap();
        }
    }
}

pub(crate) fn said(home: &Path) -> String {
    fs::read_to_string(home.join("said")).unwrap()
}

pub(crate) fn until<T>(home: &Path, what: &str, mut found: impl FnMut() -> Option<T>) -> T {
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
pub(crate) fn children(home: &Path, earlier: &[ProcessId]) -> [ProcessId; 2] {
    until(home, "two new children", || {
        let running = Running::read(&NodeHome::new(home))?;
        let both = [running.app?, running.cometbft?];
        both.iter().all(|id| id.is_alive() && !earlier.contains(id)).then_some(both)
    })
}

pub(crate) fn stop(mut supervisor: Supervisor) {
    let both = children(&supervisor.home, &[]);
    assert_eq!(supervisor.asked_to_stop(), Some(0), "{}", said(&supervisor.home));
    assert!(both.iter().all(|id| !id.is_alive()), "a child outlived its supervisor");
}
