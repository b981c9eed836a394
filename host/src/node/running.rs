//! Who runs a home: written by the supervisor, read by everyone who wants to stop or describe the node.

use std::fs::{self, File};
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::home::NodeHome;
use super::process::{Ending, ProcessId};

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
    /// Reads who was last said to run a home; none: nobody ever, or an unreadable record.
    #[must_use]
    pub fn read(home: &NodeHome) -> Option<Self> {
        serde_json::from_slice(&fs::read(record(home)).ok()?).ok()
    }

    /// Says who runs a home, at once or not at all.
    ///
    /// # Errors
    ///
    /// When the file system refuses.
    pub fn write(&self, home: &NodeHome) -> io::Result<()> {
        let path = record(home);
        let new = path.with_extension("new");
        fs::write(&new, serde_json::to_vec_pretty(self)?)?;
        fs::rename(&new, &path)
    }

    /// Those that are alive, with what they are, in the order in which they are to be ended.
    #[must_use]
    pub fn alive(&self) -> Vec<(&'static str, ProcessId)> {
        [("supervisor", Some(self.supervisor)), ("CometBFT", self.cometbft), ("app", self.app)]
            .into_iter()
            .filter_map(|(what, id)| Some((what, id?)))
            .filter(|(_, id)| id.is_alive())
            .collect()
    }

    /// Ends the supervisor, which ends its children; then what may have stayed behind.
    ///
    /// # Errors
    ///
    /// When a process cannot be signalled.
    pub fn end(&self, patience: Duration) -> io::Result<Ending> {
        let mut result = self.supervisor.end(patience)?;
        for child in [self.cometbft, self.app].into_iter().flatten() {
            // A child whose supervisor is gone is already on its way out.
            if !child.wait_gone(patience) && child.end(patience)? == Ending::Killed {
                result = Ending::Killed;
            }
        }
        Ok(result)
    }
}
