//! A validator that lost the record of what it signed, with its disk or by going back to an older copy: it comes back from its
//! peers as a full node, and votes again only where it cannot have voted before.
//!
//! # Why this is safe
//!
//! Let `s` be the last height that the lost node signed for. The validator must neither sign for a height up to `s` again nor
//! forget a lock that it had there, so it is enough that it signs only above `s`. [`watch`] finds a height that is at least `s`:
//!
//! 1. Meanwhile CometBFT runs with a key that is thrown away ([`crate::node::engine::throwaway`]): nothing votes.
//! 2. Having signed for `s`, the lost node had seen that more than two thirds precommitted block `s - 1`.
//! 3. The watch waits for a block `c` whose time is later than the beginning of the recovery, by more than clocks may differ.
//!    A block's time is the median of its validators' clocks when they precommitted the block before, so honest validators
//!    handled `c` after the recovery began, which is after the lost node ended.
//! 4. Block `c` has the precommits of more than two thirds, and this validator's is not among them. The two sets share more than
//!    a third, so an honest validator other than this one: it precommitted `s - 1` before the recovery began and `c` after
//!    that. Heights only grow, so `s - 1 <= c`.
//! 5. The record then says that everything up to `c + 1` is signed, or more. [`run`] stops CometBFT before it writes that.
//!
//! If block `c` does carry this validator's precommit, its key votes somewhere else at this moment: that is an error, and the
//! record stays as it was.
//!
//! # Limits
//!
//! - Fewer than a third of the votes are dishonest, and clocks differ by less than [`watch::CLOCKS_DIFFER_MAX`].
//! - The others make blocks without this validator. Where they have no quorum without it, nobody can know what was signed.
//! - An idle network makes no blocks: somebody has to submit a transaction.

pub mod run;
pub mod watch;

use std::io;
use std::path::{Path, PathBuf};

use crate::node::engine::data::{self, DataError, EngineData};
use crate::node::engine::key_files::{self, KeyError};
use crate::node::genesis::RulesError;
use crate::node::genesis::file::GenesisFile;
use crate::node::genesis::membership::Part;
use crate::node::health::quorum;
use crate::node::home::machine::{self, MachineError, MachineId};
use crate::node::home::{HomeError, NodeHome, permissions};
use crate::node::keys::carry::{self, CarryError};
use crate::node::preflight::{self, Hold, Lost, PreflightError};

/// A home that cannot be recovered.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// It runs, or another command has it.
    #[error("{0}")]
    Carry(#[from] CarryError),
    /// Its keys are elsewhere, or its files cannot be read.
    #[error("{0}")]
    Preflight(#[from] PreflightError),
    /// Its keys.
    #[error("{0}")]
    Key(#[from] KeyError),
    /// Others may open it.
    #[error("{0}")]
    Home(#[from] HomeError),
    /// Its genesis.
    #[error("{0}")]
    Rules(#[from] RulesError),
    /// The mark of this machine.
    #[error("{0}")]
    Machine(#[from] MachineError),
    /// It has no key to vote with.
    #[error("{path} is missing; restore the keys first: dseq keys restore BACKUP", path = path.display())]
    NoKey {
        /// The key file.
        path: PathBuf,
    },
    /// A remote signer has the key.
    #[error(
        "a remote signer votes for this node and keeps its own record of what it signed: there is nothing to recover but blocks, and `dseq start` gets those"
    )]
    Remote,
    /// The others cannot make blocks.
    #[error(
        "the other validators have voting power {others} of {total}, and a block takes more than two thirds: while this node \
         does not vote they make none, so nobody can tell what it has signed. Its record cannot be recovered; restore \
         {record} from the disk, if anything is left of it",
        record = record.display()
    )]
    NoQuorum {
        /// The power of the others.
        others: u64,
        /// The power of all.
        total: u64,
        /// The record of what was signed.
        record: PathBuf,
    },
    /// The file system refused.
    ///
    /// Fix the cause that follows the message, usually a missing file, permissions or a full disk, and run the command again.
    #[error("cannot use {path}", path = path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl From<DataError> for RecoverError {
    fn from(DataError { path, source }: DataError) -> Self {
        Self::Io { path, source }
    }
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> RecoverError {
    let path = path.to_owned();
    move |source| RecoverError::Io { path, source }
}

/// A home that is ready to catch up.
#[derive(Debug)]
pub struct Prepared {
    /// The validator's address, in upper-case hexadecimal; none: the node has no vote, and needs not to catch up first.
    pub validator: Option<String>,
    /// Where to what was moved that no longer fits together; to be removed once the node has caught up.
    pub set_aside: Vec<PathBuf>,
}

/// Holds the home until its recovery is finished, and moves away what CometBFT would not run with.
///
/// # Errors
///
/// When the home runs, or cannot be recovered. It is as it was then, unless the file system refused.
pub fn prepare(home: &NodeHome) -> Result<Prepared, RecoverError> {
    let _lock = carry::lock(home)?;
    preflight::check_moved(home)?;
    if key_files::is_remote(home) {
        return Err(RecoverError::Remote);
    }
    permissions::check(home)?;
    let no_key = || RecoverError::NoKey { path: key_files::validator_path(home) };
    let key = key_files::validator(home)?.ok_or_else(no_key)?;
    let doc = GenesisFile::read(&home.genesis_file())?.doc()?;
    let validator = match Part::of(home, &doc) {
        Part::Validator(index) => {
            let total = u64::try_from(doc.total_power()).unwrap_or(0);
            let own = doc.validators.get(index).map_or(0, |one| u64::try_from(one.power).unwrap_or(0));
            let others = total.saturating_sub(own);
            if !quorum::decides(others, total) {
                let record = EngineData::of(home).signing_state().to_owned();
                return Err(RecoverError::NoQuorum { others, total, record });
            }
            key.address()
        }
        Part::FullNode | Part::Unknown => None,
    };
    let note = Hold::Recovering.file(home);
    if Hold::Recovering.read(home).map_err(io_error(&note))?.is_none() {
        Hold::Recovering.set(home, "`dseq recover` has not finished".to_owned()).map_err(io_error(&note))?;
    }
    Ok(Prepared { validator, set_aside: set_aside(home)? })
}

/// Moves databases and sequence away that do not fit together: the node gets all of it from its peers.
fn set_aside(home: &NodeHome) -> Result<Vec<PathBuf>, RecoverError> {
    let mut moved = Vec::new();
    match preflight::lost(home)? {
        None => return Ok(moved),
        Some(Lost::State) => moved.extend(EngineData::of(home).set_aside("before-recovery")?),
        Some(Lost::Blocks { .. }) => {}
    }
    let sequence = home.sequence_dir();
    if sequence.exists() {
        moved.push(data::move_aside(&sequence, "sequence-before-recovery")?);
    }
    Ok(moved)
}

/// Lets a home start again that has caught up: its validator signs only above this height.
///
/// Each step is durable before the next one, and only the last one lets the home start.
///
/// # Errors
///
/// When the file system refuses.
pub fn finish(home: &NodeHome, height: u64, here: Option<&MachineId>) -> Result<u64, RecoverError> {
    let _lock = carry::lock(home)?;
    let signs_above = EngineData::of(home).sign_only_above(height)?;
    machine::mark(home, here)?;
    let note = Hold::Recovering.file(home);
    Hold::Recovering.lift(home).map_err(io_error(&note))?;
    Ok(signs_above)
}

/// As [`finish`], for a node without a vote: it never signed anything. A record that is there stays.
///
/// # Errors
///
/// When the file system refuses.
pub fn finish_without_vote(home: &NodeHome, here: Option<&MachineId>) -> Result<(), RecoverError> {
    finish(home, 0, here).map(|_| ())
}
