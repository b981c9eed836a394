//! Who runs a home: written by the supervisor, read by everyone who wants to stop or describe the node.
//!
//! # Invariants
//!
//! - A record of before this machine's last boot counts as none: its pids and start times mean nothing any more.
//! - Neither does a record that was written in another folder: a copy of a home never acts on the original's processes.
//!   A home that was moved while it ran is still the same folder, and its processes are still its own.

use std::fs::{self, File};
use std::io;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::atomic_file;
use crate::node::home::{FolderId, NodeHome};
use crate::node::process::{Ending, ProcessId};

/// How long one process may take to end after SIGTERM, before SIGKILL.
pub const END_PATIENCE: Duration = Duration::from_secs(15);
/// How long a supervisor may: it ends its two children one after the other, each with its own patience.
pub const SUPERVISOR_PATIENCE: Duration =
    END_PATIENCE.saturating_mul(2).saturating_add(Duration::from_secs(5));

/// The processes of one home, as `run/processes.json` names them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Running {
    /// Whether `dseq testnet` started it, and so may stop it.
    pub by_testnet: bool,
    /// `dseq start`.
    pub supervisor: ProcessId,
    /// `dseq serve`.
    pub app: Option<ProcessId>,
    /// CometBFT.
    pub cometbft: Option<ProcessId>,
    /// The last time that both were restarted, if they were.
    #[serde(default)]
    pub restart: Option<Restart>,
}

/// A restart of app and CometBFT.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restart {
    /// Why.
    pub why: String,
    /// How often in a row it was necessary.
    pub failures: u32,
    /// When, in seconds since 1970.
    pub at: u64,
}

impl Restart {
    /// A restart at this moment.
    #[must_use]
    pub fn now(why: String, failures: u32) -> Self {
        Self { why, failures, at: seconds_since_1970() }
    }

    /// How long ago it was; a clock that was set back makes that 0.
    #[must_use]
    pub fn age(&self) -> Duration {
        Duration::from_secs(seconds_since_1970().saturating_sub(self.at))
    }
}

fn seconds_since_1970() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// The record as it lies on disk.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    boot_id: String,
    /// Where the home was when this was written; for people, since homes can be moved.
    path: PathBuf,
    /// The home's folder, which a copy of the record does not lie in.
    folder: FolderId,
    #[serde(flatten)]
    running: Running,
}

impl Record {
    /// What lies in a home, wherever it was written, since this machine was booted.
    fn read(home: &NodeHome) -> Option<Self> {
        let found: Self = serde_json::from_slice(&fs::read(record(home)).ok()?).ok()?;
        (found.boot_id == boot_id().ok()?).then_some(found)
    }
}

/// What to say of a home that is a copy, made while the original ran, if that still runs.
#[must_use]
pub fn original_that_runs(home: &NodeHome) -> Option<String> {
    let found = Record::read(home)?;
    let is_copy = found.folder != home.id().ok()? && found.running.is_alive();
    is_copy.then(|| {
        format!(
            "{} is a copy of {}, which pid {} runs: both have the same keys, and a validator that runs twice signs twice; \
             never let both take part in a network",
            home.root().display(),
            found.path.display(),
            found.running.supervisor.pid
        )
    })
}

/// What names this boot of the machine.
fn boot_id() -> io::Result<String> {
    procfs::sys::kernel::random::boot_id().map_err(io::Error::other)
}

/// The right to run a home; held by one supervisor at a time, and given up by the kernel when that ends.
#[derive(Debug)]
pub struct RunLock {
    _file: File,
}

fn record(home: &NodeHome) -> PathBuf {
    home.run_dir().join("processes.json")
}

impl RunLock {
    /// Takes the lock of a home whose `run/` is there; none: somebody else has it.
    ///
    /// # Errors
    ///
    /// When the lock's file cannot be opened.
    pub fn take(home: &NodeHome) -> io::Result<Option<Self>> {
        let file = File::create(home.run_dir().join("lock"))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(fs::TryLockError::WouldBlock) => Ok(None),
            Err(fs::TryLockError::Error(err)) => Err(err),
        }
    }
}

impl Running {
    /// Reads who was last said to run a home; none: nobody since this machine was booted, or an unreadable record.
    #[must_use]
    pub fn read(home: &NodeHome) -> Option<Self> {
        let found = Record::read(home)?;
        (found.folder == home.id().ok()?).then_some(found.running)
    }

    /// Where the record of a home lies.
    #[must_use]
    pub fn file(home: &NodeHome) -> PathBuf {
        record(home)
    }

    /// Says who runs a home, at once or not at all.
    ///
    /// # Errors
    ///
    /// When the file system refuses.
    pub fn write(&self, home: &NodeHome) -> io::Result<()> {
        let path = record(home);
        let record = Record {
            boot_id: boot_id()?,
            path: home.root().to_owned(),
            folder: home.id()?,
            running: self.clone(),
        };
        Ok(atomic_file::replace(&path, &serde_json::to_vec_pretty(&record)?)?)
    }

    /// Whether any of its processes is alive.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        [Some(self.supervisor), self.cometbft, self.app].into_iter().flatten().any(ProcessId::is_alive)
    }

    /// Ends the supervisor, which ends its children; then what may have stayed behind.
    ///
    /// # Errors
    ///
    /// When a process cannot be ended.
    pub fn end(&self) -> io::Result<Ending> {
        let ending = self.supervisor.end(SUPERVISOR_PATIENCE)?;
        let forced = self.end_orphans()?;
        Ok(if forced.is_empty() { ending } else { Ending::Killed })
    }

    /// Waits for the children of a supervisor that is gone, which are on their way out, and ends those that stay.
    ///
    /// Returns those that had to be ended, with what they were.
    ///
    /// # Errors
    ///
    /// When a process cannot be ended.
    pub fn end_orphans(&self) -> io::Result<Vec<(&'static str, ProcessId)>> {
        let mut forced = Vec::new();
        for (what, child) in [("CometBFT", self.cometbft), ("app", self.app)] {
            let Some(child) = child else { continue };
            if !child.wait_gone(END_PATIENCE) && child.end(END_PATIENCE)? != Ending::WasGone {
                forced.push((what, child));
            }
        }
        Ok(forced)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_of_before_the_last_boot_counts_as_none() {
        let dir = tempfile::tempdir().unwrap();
        let home = NodeHome::new(dir.path());
        fs::create_dir(home.run_dir()).unwrap();
        let supervisor = ProcessId::of(std::process::id()).unwrap();
        let running = Running { by_testnet: true, supervisor, app: None, cometbft: None, restart: None };
        running.write(&home).unwrap();
        assert_eq!(Running::read(&home), Some(running));
        let path = record(&home);
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text.replace(&boot_id().unwrap(), "00000000-0000-0000-0000-000000000000")).unwrap();
        assert_eq!(Running::read(&home), None);
    }

    #[test]
    fn a_record_stays_with_a_folder_that_is_moved_and_not_with_a_copy() {
        let dir = tempfile::tempdir().unwrap();
        let (first, moved) = (dir.path().join("first"), dir.path().join("moved"));
        let home = NodeHome::new(&first);
        fs::create_dir_all(home.run_dir()).unwrap();
        let supervisor = ProcessId::of(std::process::id()).unwrap();
        let running = Running { by_testnet: true, supervisor, app: None, cometbft: None, restart: None };
        running.write(&home).unwrap();
        fs::rename(&first, &moved).unwrap();
        assert_eq!(Running::read(&NodeHome::new(&moved)), Some(running));
        assert_eq!(original_that_runs(&NodeHome::new(&moved)), None);
        // The copy has the very path at which the record was written.
        fs::create_dir_all(home.run_dir()).unwrap();
        fs::copy(record(&NodeHome::new(&moved)), record(&home)).unwrap();
        assert_eq!(Running::read(&home), None);
        assert!(original_that_runs(&home).unwrap().contains("is a copy of "));
    }
}
