//! Why a home must not start as it is.

use std::io;
use std::path::PathBuf;

use crate::node::engine::data::DataError;
use crate::node::home::machine::MachineError;
use crate::node::shell;

/// A home that must not start as it is.
#[derive(Debug, thiserror::Error)]
pub enum PreflightError {
    /// Its keys are elsewhere now.
    #[error(
        "the keys of {home} were moved away on {at} (`dseq keys move`): start the home that they were restored into. If the \
         archive was never restored anywhere, take them back: dseq keys restore ARCHIVE --home {quoted}",
        home = home.display(), quoted = shell::word(home)
    )]
    MovedAway {
        /// The home.
        home: PathBuf,
        /// When.
        at: String,
    },
    /// It may vote only after it has caught up.
    #[error("{home} must catch up before it votes ({why}): dseq recover --home {quoted}", home = home.display(), quoted = shell::word(home))]
    Recovering {
        /// The home.
        home: PathBuf,
        /// Why.
        why: String,
    },
    /// It may be a copy.
    #[error("{0}")]
    Machine(#[from] MachineError),
    /// The validator key is gone, but not what it signed: CometBFT would make another one.
    #[error(
        "{path} is missing, but this validator has signed up to height {height}; restore it from a backup. To go on as a full \
         node with another key instead, remove {record}",
        path = path.display(), record = record.display()
    )]
    NoKey {
        /// The key file.
        path: PathBuf,
        /// Height of the last signature.
        height: u64,
        /// The record of what was signed.
        record: PathBuf,
    },
    /// The record of what was signed is gone.
    #[error(
        "{path} is missing, so nobody knows what this validator has signed, and it must not sign that again: \
         dseq recover --home {quoted}",
        path = path.display(), quoted = shell::word(home)
    )]
    NoRecord {
        /// The record.
        path: PathBuf,
        /// The home.
        home: PathBuf,
    },
    /// CometBFT's blocks are gone, the sequence is not.
    #[error(
        "{sequence} ends with block {height}, but {data} has no blocks: CometBFT's data was lost or replaced. Put it back from \
         the moment at which the sequence was copied too, or get all of it from the peers: dseq recover --home {quoted}",
        sequence = sequence.display(), data = data.display(), quoted = shell::word(home)
    )]
    NoBlocks {
        /// The home.
        home: PathBuf,
        /// The sequence's folder.
        sequence: PathBuf,
        /// Its last block.
        height: u64,
        /// The folder of CometBFT's databases.
        data: PathBuf,
    },
    /// CometBFT has blocks, and lost what it knows of them.
    #[error(
        "{data} has blocks, but no state.db: part of CometBFT's data was lost. Get it from the peers: \
         dseq recover --home {quoted}",
        data = data.display(), quoted = shell::word(home)
    )]
    NoState {
        /// The home.
        home: PathBuf,
        /// The folder of CometBFT's databases.
        data: PathBuf,
    },
    /// The file system refused.
    ///
    /// Fix the cause that follows the message, usually a missing file, permissions or a full disk, and run the command again.
    #[error("cannot use {path}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl From<DataError> for PreflightError {
    fn from(DataError { path, source }: DataError) -> Self {
        Self::Io { path, source }
    }
}

impl PreflightError {
    /// Whether trying again cannot help.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::Io { .. } => false,
            Self::Machine(err) => err.is_refusal(),
            _ => true,
        }
    }
}
