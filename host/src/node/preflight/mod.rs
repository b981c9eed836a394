//! What keeps a home from starting, looked at before anything in it runs: keys that were moved away, a recovery that is not
//! finished, a copy, and data that went missing.
//!
//! # Invariants
//!
//! - A validator votes only in a home that has the record of what it signed (`data/priv_validator_state.json`). Without the
//!   record nobody knows what it must not sign again, so the node refuses to start, and says what to do.
//! - CometBFT's `double_sign_check_height` is no help here, and stays 0: with it a validator refuses to start while one of the
//!   last blocks carries its own signature. After any ordinary restart one does. An idle network makes no further blocks, and
//!   when all nodes are restarted at once none of them would ever start again.

mod error;
mod hold;

use std::path::Path;

pub use self::error::PreflightError;
pub use self::hold::{Hold, Note};
use crate::node::engine::data::EngineData;
use crate::node::engine::key_files;
use crate::node::home::NodeHome;
use crate::node::home::machine::{self, MachineId};
use crate::sequence;

/// Refuses a home whose keys must not be used here. Changes nothing.
///
/// # Errors
///
/// See [`PreflightError`].
pub fn check_keys(home: &NodeHome, here: Option<&MachineId>) -> Result<(), PreflightError> {
    check_moved(home)?;
    if let Some(note) = hold(home, Hold::Recovering)? {
        return Err(PreflightError::Recovering { home: home.root().to_owned(), why: note.said });
    }
    Ok(machine::check(home, here)?)
}

/// Refuses a home whose keys are elsewhere.
///
/// # Errors
///
/// [`PreflightError::MovedAway`], or when the note cannot be read.
pub fn check_moved(home: &NodeHome) -> Result<(), PreflightError> {
    match hold(home, Hold::MovedAway)? {
        Some(note) => Err(PreflightError::MovedAway { home: home.root().to_owned(), at: note.said }),
        None => Ok(()),
    }
}

fn hold(home: &NodeHome, hold: Hold) -> Result<Option<Note>, PreflightError> {
    hold.read(home).map_err(|source| PreflightError::Io { path: hold.file(home), source })
}

/// Refuses a home that lost a part of its data with which CometBFT would not run, or would sign what it must not. Changes
/// nothing.
///
/// A sequence that is missing is no such part: the node rebuilds it from CometBFT's blocks.
///
/// # Errors
///
/// See [`PreflightError`].
pub fn check_data(home: &NodeHome) -> Result<(), PreflightError> {
    check_record(home)?;
    match lost(home)? {
        None => Ok(()),
        Some(Lost::Blocks { height }) => Err(PreflightError::NoBlocks {
            home: home.root().to_owned(),
            sequence: home.sequence_dir(),
            height,
            data: EngineData::of(home).databases().to_owned(),
        }),
        Some(Lost::State) => Err(PreflightError::NoState {
            home: home.root().to_owned(),
            data: EngineData::of(home).databases().to_owned(),
        }),
    }
}

/// What CometBFT lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// All blocks, although the sequence has some.
    Blocks {
        /// The sequence's last block.
        height: u64,
    },
    /// What it knows of its blocks.
    State,
}

/// What CometBFT lost, as far as the files say.
///
/// # Errors
///
/// When they cannot be looked at.
pub fn lost(home: &NodeHome) -> Result<Option<Lost>, PreflightError> {
    let data = EngineData::of(home);
    if data.lacks_state()? {
        return Ok(Some(Lost::State));
    }
    // A log that cannot be read is the app's to refuse, in its words.
    let height = sequence::committed_head(&home.sequence_dir()).map_or(0, |head| head.height().0);
    Ok((height > 0 && !data.has_blocks()?).then_some(Lost::Blocks { height }))
}

/// Refuses a key without the record of what it signed, and the record without its key.
fn check_record(home: &NodeHome) -> Result<(), PreflightError> {
    if key_files::is_remote(home) {
        return Ok(());
    }
    let data = EngineData::of(home);
    let (key, record) = (key_files::validator_path(home), data.signing_state());
    let exists = |path: &Path| {
        path.try_exists().map_err(|source| PreflightError::Io { path: path.to_owned(), source })
    };
    if exists(&key)? {
        if !exists(record)? {
            return Err(PreflightError::NoRecord { path: record.to_owned(), home: home.root().to_owned() });
        }
        return Ok(());
    }
    match data.signed_height()? {
        0 => Ok(()),
        height => Err(PreflightError::NoKey { path: key, height, record: record.to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::node::engine::key_files::tests::write_keys;
    use crate::sequence::{HashedRecord, Log, Staging};
    use crate::types::{AppHash, Height, PipelineId, TxHash};

    fn home() -> (tempfile::TempDir, NodeHome) {
        let dir = tempfile::tempdir().unwrap();
        let home = NodeHome::new(dir.path());
        fs::create_dir_all(dir.path().join("config")).unwrap();
        (dir, home)
    }

    fn commit(home: &NodeHome) {
        let mut log = Log::open(&home.sequence_dir()).unwrap();
        let mut staging = Staging::begin(log.head(), Height(1));
        staging.push(TxHash::of(b"tx"), &HashedRecord::of(b"a".to_vec())).unwrap();
        log.commit(&staging.finish(), AppHash::default(), PipelineId::default()).unwrap();
    }

    fn store(home: &NodeHome, database: &str) {
        let path = home.data_dir().join(database);
        fs::create_dir_all(&path).unwrap();
        fs::write(path.join("000001.log"), "x").unwrap();
    }

    #[test]
    fn a_key_goes_with_the_record_of_what_it_signed() {
        let (_dir, home) = home();
        check_data(&home).unwrap();
        write_keys(&home, 1);
        assert!(matches!(check_data(&home), Err(PreflightError::NoRecord { .. })));
        EngineData::of(&home).sign_only_above(0).unwrap();
        check_data(&home).unwrap();
        fs::remove_file(key_files::validator_path(&home)).unwrap();
        check_data(&home).unwrap();
        EngineData::of(&home).sign_only_above(7).unwrap();
        let refused = check_data(&home).unwrap_err().to_string();
        assert!(refused.contains("signed up to height 7"), "{refused}");
    }

    #[test]
    fn lost_blocks_are_seen_and_a_lost_sequence_is_none_of_cometbfts_business() {
        let (_dir, home) = home();
        commit(&home);
        let refused = check_data(&home).unwrap_err().to_string();
        assert!(
            refused.contains("ends with block 1, but ") && refused.contains("dseq recover --home"),
            "{refused}"
        );
        store(&home, "blockstore.db");
        assert_eq!(lost(&home).unwrap(), Some(Lost::State));
        store(&home, "state.db");
        check_data(&home).unwrap();
        fs::remove_dir_all(home.sequence_dir()).unwrap();
        check_data(&home).unwrap();
    }

    #[test]
    fn a_note_holds_the_home_until_it_is_lifted() {
        let (_dir, home) = home();
        for (hold, words) in [(Hold::Recovering, "must catch up"), (Hold::MovedAway, "were moved away")] {
            check_keys(&home, None).unwrap();
            hold.set(&home, "a reason".to_owned()).unwrap();
            let refused = check_keys(&home, None).unwrap_err();
            assert!(refused.is_refusal() && refused.to_string().contains(words), "{refused}");
            fs::write(hold.file(&home), "not json").unwrap();
            check_keys(&home, None).unwrap_err();
            hold.lift(&home).unwrap();
            hold.lift(&home).unwrap();
        }
        check_keys(&home, None).unwrap();
    }

    #[test]
    fn a_record_only_grows() {
        let (_dir, home) = home();
        let data = EngineData::of(&home);
        assert_eq!(data.sign_only_above(5).unwrap(), 5);
        assert_eq!(data.sign_only_above(3).unwrap(), 5);
        assert_eq!(data.sign_only_above(5).unwrap(), 5);
        assert_eq!((data.sign_only_above(9).unwrap(), data.signed_height().unwrap()), (9, 9));
    }
}
