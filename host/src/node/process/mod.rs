//! Processes named so that a recycled pid is never mistaken for the one that was meant.

pub mod ports;
pub mod rotate;
pub mod running;
pub mod signals;
pub mod tail;

use std::io::{self, Read};
use std::time::{Duration, Instant};

use procfs::process::{Process, Stat};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};

/// How often a wait looks again.
const POLL: Duration = Duration::from_millis(20);

/// One process for as long as this machine is up: the kernel hands out pids again, but not with the same start time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessId {
    /// The pid.
    pub pid: u32,
    /// When it started, in clock ticks since boot.
    pub start_ticks: u64,
}

/// What became of a process that was asked to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// There was no such process any more.
    WasGone,
    /// It ended by itself after SIGTERM.
    Ended,
    /// It did not, and was killed.
    Killed,
}

impl ProcessId {
    /// The process that has this pid now.
    #[must_use]
    pub fn of(pid: u32) -> Option<Self> {
        Some(Self { pid, start_ticks: open(pid)?.stat().ok()?.starttime })
    }

    /// Whether it still runs. One that has ended but that nobody waited for (a zombie) does not.
    #[must_use]
    pub fn is_alive(self) -> bool {
        let Some(process) = open(self.pid) else { return false };
        let Ok(stat) = process.stat() else { return false };
        stat.starttime == self.start_ticks && !is_zombie(&process, &stat)
    }

    /// Whether a signal (SIGSTOP, or a terminal's) stopped it, or a debugger holds it.
    #[must_use]
    pub fn is_stopped(self) -> bool {
        let stat = open(self.pid).and_then(|process| process.stat().ok());
        stat.is_some_and(|stat| stat.starttime == self.start_ticks && matches!(stat.state, 'T' | 't'))
    }

    /// Sends a signal, if the process still is the one that was meant.
    ///
    /// Returns whether it was sent.
    ///
    /// # Errors
    ///
    /// When the kernel refuses, e.g. because the process belongs to another user.
    pub fn signal(self, signal: Signal) -> io::Result<bool> {
        let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) else { return Ok(false) };
        // The descriptor is taken before the start time is compared: it can't move on to another process.
        let handle = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(handle) => handle,
            Err(rustix::io::Errno::SRCH) => return Ok(false),
            Err(err) => return Err(err.into()),
        };
        if !self.is_alive() {
            return Ok(false);
        }
        match pidfd_send_signal(&handle, signal) {
            Ok(()) => Ok(true),
            Err(rustix::io::Errno::SRCH) => Ok(false),
            Err(err) => Err(err.into()),
        }
    }

    /// Waits until it has ended, at most this long. Returns whether it has.
    #[must_use]
    pub fn wait_gone(self, at_most: Duration) -> bool {
        let started = Instant::now();
        while self.is_alive() {
            if started.elapsed() >= at_most {
                return false;
            }
            std::thread::sleep(POLL);
        }
        true
    }

    /// SIGTERM, and SIGKILL when it takes longer than `patience`.
    ///
    /// # Errors
    ///
    /// When the kernel refuses to deliver a signal, or the process outlives even SIGKILL, as one does that hangs
    /// in a system call.
    pub fn end(self, patience: Duration) -> io::Result<Ending> {
        if !self.signal(Signal::TERM)? {
            return Ok(Ending::WasGone);
        }
        if self.wait_gone(patience) {
            return Ok(Ending::Ended);
        }
        self.signal(Signal::KILL)?;
        if self.wait_gone(patience) {
            return Ok(Ending::Killed);
        }
        let text = format!("pid {} is still there {} s after SIGKILL", self.pid, patience.as_secs());
        Err(io::Error::new(io::ErrorKind::TimedOut, text))
    }
}

/// The command line of a process, as far as this user may see it.
#[must_use]
pub fn command_of(pid: u32) -> Option<String> {
    command(&open(pid)?)
}

/// As [`command_of`]. Arguments need not be UTF-8, which `procfs` expects of them.
fn command(process: &Process) -> Option<String> {
    let mut raw = Vec::new();
    process.open_relative("cmdline").ok()?.read_to_end(&mut raw).ok()?;
    let words: Vec<_> =
        raw.split(|b| *b == 0).filter(|w| !w.is_empty()).map(String::from_utf8_lossy).collect();
    (!words.is_empty()).then(|| words.join(" "))
}

fn open(pid: u32) -> Option<Process> {
    Process::new(i32::try_from(pid).ok()?).ok()
}

/// Whether only the entry for the parent is left of a process.
///
/// Of a killed process the first thread may be gone while others still hold its sockets and locks.
fn is_zombie(process: &Process, stat: &Stat) -> bool {
    let threads = process.tasks().map_or(0, Iterator::count);
    stat.state == 'Z' && threads <= 1
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_recycled_pid_is_not_signalled() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let real = ProcessId::of(child.id()).unwrap();
        let earlier = ProcessId { start_ticks: real.start_ticks - 1, ..real };
        assert!(!earlier.signal(Signal::KILL).unwrap());
        assert!(!earlier.is_alive());
        assert!(real.is_alive());
        assert_eq!(real.end(Duration::from_secs(10)).unwrap(), Ending::Ended);
        assert_eq!(real.end(Duration::from_secs(10)).unwrap(), Ending::WasGone);
        child.wait().unwrap();
    }

    #[test]
    fn a_process_that_a_signal_stopped_is_known_until_it_continues() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let id = ProcessId::of(child.id()).unwrap();
        let becomes = |stopped: bool| {
            while id.is_stopped() != stopped {
                std::thread::sleep(POLL);
            }
        };
        assert!(!id.is_stopped());
        id.signal(Signal::STOP).unwrap();
        becomes(true);
        assert!(!ProcessId { start_ticks: id.start_ticks - 1, ..id }.is_stopped());
        id.signal(Signal::CONT).unwrap();
        becomes(false);
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn a_process_that_ignores_sigterm_is_killed() {
        // `exec` keeps the ignored signal; the word printed says that the trap is set.
        let mut child = Command::new("sh")
            .args(["-c", "trap '' TERM; echo ready; exec sleep 60"])
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut word = [0u8; 6];
        Read::read_exact(child.stdout.as_mut().unwrap(), &mut word).unwrap();
        let id = ProcessId::of(child.id()).unwrap();
        assert_eq!(id.end(Duration::from_millis(100)).unwrap(), Ending::Killed);
        child.wait().unwrap();
    }

    #[test]
    fn a_command_with_spaces_and_brackets_in_its_name_is_read_right() {
        let dir = tempfile::tempdir().unwrap();
        let odd = dir.path().join("a) b (c");
        // By another process: one that we had open for writing could not be run while a test beside this forks.
        assert!(Command::new("cp").arg("/bin/sleep").arg(&odd).status().unwrap().success());
        let mut child = Command::new(&odd).arg("60").spawn().unwrap();
        let id = ProcessId::of(child.id()).unwrap();
        assert!(id.is_alive());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!id.is_alive());
    }
}
