//! What CometBFT makes from a genesis, where its configuration has it: databases, its write-ahead log, and the record of
//! what this node's validator has signed.
//!
//! # Format
//!
//! The record of a chain that the node has left lies beside CometBFT's own and reads the same:
//! `priv_validator_state.<first ten hex digits of the SHA-256 of the chain id>.json`. It is never removed.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::config::EngineConfig;
use crate::atomic_file;
use crate::node::home::NodeHome;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// CometBFT's databases; the same as `cometbft reset-state` removes, with its log.
const DATABASES: &[&str] = &[BLOCK_STORE, STATE_STORE, "evidence.db", "tx_index.db"];

const BLOCK_STORE: &str = "blockstore.db";
const STATE_STORE: &str = "state.db";

/// The record of a validator that has signed nothing, as CometBFT writes it.
const NOTHING_SIGNED: &str = "{\n  \"height\": \"0\",\n  \"round\": 0,\n  \"step\": 0\n}";

/// A file or folder of CometBFT's that cannot be used.
///
/// Fix the cause that follows the message, usually a missing file, permissions or a full disk, and run the command again.
#[derive(Debug, thiserror::Error)]
#[error("cannot use {path}", path = path.display())]
pub struct DataError {
    /// The file or folder.
    pub path: PathBuf,
    /// Why not.
    pub source: io::Error,
}

impl DataError {
    fn of(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self { path, source }
    }
}

fn replace(path: &Path, bytes: &[u8]) -> Result<(), DataError> {
    atomic_file::replace(path, bytes).map_err(|err| DataError::of(path)(err.into()))
}

/// CometBFT's files that depend on genesis.
pub(crate) struct EngineData {
    databases: PathBuf,
    /// Newest file of the write-ahead log; the older ones are beside it, with numbers.
    wal: PathBuf,
    signed: PathBuf,
}

impl EngineData {
    /// Reads the configuration; what it does not say is as CometBFT has it by itself.
    pub(crate) fn of(home: &NodeHome) -> Self {
        let config = EngineConfig::of(home);
        let path = |key: &[&str], default: &str| home.root().join(config.text(key).unwrap_or(default));
        Self {
            databases: path(&["db_dir"], "data"),
            wal: path(&["consensus", "wal_file"], "data/cs.wal/wal"),
            signed: path(&["priv_validator_state_file"], "data/priv_validator_state.json"),
        }
    }

    /// The folder of its databases.
    pub(crate) fn databases(&self) -> &Path {
        &self.databases
    }

    /// The folder of its write-ahead log, which has files of no one else by default.
    pub(crate) fn wal_folder(&self) -> &Path {
        self.wal.parent().unwrap_or(&self.databases)
    }

    /// Whether CometBFT has stored a block, which it does before the app executes it.
    ///
    /// Nothing else is written to its block store. So a store of goleveldb holds none as long as it has no tables and its
    /// journals are empty. Another kind of database is taken to hold some: its genesis can only be refused too early then.
    pub(crate) fn has_blocks(&self) -> Result<bool, DataError> {
        let path = self.databases.join(BLOCK_STORE);
        let entries = match fs::read_dir(&path) {
            Ok(entries) => entries,
            Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(err) if err.kind() == io::ErrorKind::NotADirectory => return Ok(true),
            Err(err) => return Err(DataError::of(&path)(err)),
        };
        for entry in entries {
            let entry = entry.map_err(DataError::of(&path))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let is_bookkeeping = matches!(name.as_str(), "LOCK" | "LOG" | "LOG.old")
                || name.starts_with("CURRENT")
                || name.starts_with("MANIFEST-");
            if !is_bookkeeping && entry.metadata().map_err(DataError::of(&path))?.len() > 0 {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Moves databases and log into a new folder of that name beside them (or of the name with a number, if there is one
    /// already), so that CometBFT begins anew; returns that folder. There are two if the log is not where the databases are, and none if there was nothing to move.
    pub(crate) fn set_aside(&self, folder: &str) -> Result<Vec<PathBuf>, DataError> {
        let mut folders: BTreeMap<&Path, PathBuf> = BTreeMap::new();
        let all = self.made_from_genesis()?;
        for path in &all {
            let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { continue };
            if !folders.contains_key(parent) {
                folders.insert(parent, new_folder(parent, folder)?);
            }
            let to = folders[parent].join(name);
            rename(path, &to)?;
        }
        for folder in folders.values() {
            atomic_file::sync_folder_of(folder).map_err(DataError::of(folder))?;
        }
        Ok(folders.into_values().collect())
    }

    /// Databases and log, as far as they are there.
    fn made_from_genesis(&self) -> Result<Vec<PathBuf>, DataError> {
        let mut found: Vec<PathBuf> = DATABASES.iter().map(|name| self.databases.join(name)).collect();
        let (Some(dir), Some(head)) = (self.wal.parent(), self.wal.file_name()) else { return Ok(found) };
        if dir == self.databases.join("cs.wal") {
            found.push(dir.to_owned());
        } else if dir.try_exists().map_err(DataError::of(dir))? {
            let head = head.to_string_lossy();
            for entry in fs::read_dir(dir).map_err(DataError::of(dir))? {
                let path = entry.map_err(DataError::of(dir))?.path();
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                if name.strip_prefix(&*head).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')) {
                    found.push(path);
                }
            }
        }
        found.retain(|path| path.symlink_metadata().is_ok());
        Ok(found)
    }

    /// Whether CometBFT has stored blocks and has nothing to say about the state after them: it ends at once then.
    pub(crate) fn lacks_state(&self) -> Result<bool, DataError> {
        Ok(self.has_blocks()? && !self.databases.join(STATE_STORE).exists())
    }

    /// The record of what this validator has signed.
    pub(crate) fn signing_state(&self) -> &Path {
        &self.signed
    }

    /// Makes the record say that everything up to a height is signed, so that this validator signs only above it. One that
    /// says more already stays. Returns the height that it says then.
    pub(crate) fn sign_only_above(&self, height: u64) -> Result<u64, DataError> {
        if let Some((signed, _)) = read_signed(&self.signed)?.filter(|(signed, _)| *signed > height) {
            return Ok(signed);
        }
        // The last step of a round that is never reached: CometBFT refuses everything up to it.
        let last = format!("{{\n  \"height\": \"{height}\",\n  \"round\": {},\n  \"step\": 3\n}}", i32::MAX);
        self.write_signing_state(if height == 0 { NOTHING_SIGNED } else { &last })?;
        Ok(height)
    }

    /// Writes a record of what this validator has signed, for its owner alone.
    pub(crate) fn write_signing_state(&self, text: &str) -> Result<(), DataError> {
        if let Some(dir) = self.signed.parent() {
            fs::create_dir_all(dir).map_err(DataError::of(dir))?;
        }
        if self.signed.exists() {
            return replace(&self.signed, text.as_bytes());
        }
        let made = atomic_file::create_private(&self.signed, text.as_bytes());
        made.map_err(|err| DataError::of(&self.signed)(err.into()))
    }

    /// Height of this validator's last signature; 0 if there is none.
    pub(crate) fn signed_height(&self) -> Result<u64, DataError> {
        Ok(read_signed(&self.signed)?.map_or(0, |(height, _)| height))
    }

    /// The same as the record says it; none: there is no record, so that it is not known.
    pub(crate) fn recorded_height(&self) -> Result<Option<u64>, DataError> {
        Ok(read_signed(&self.signed)?.map(|(height, _)| height))
    }

    /// Keeps the record of what was signed under a chain id that is left, then gives CometBFT one that says nothing.
    ///
    /// The record is durable before the other is written: a crash between the two leaves both.
    pub(crate) fn leave_chain(&self, chain_id: &str) -> Result<(), DataError> {
        if let Some((_, text)) = read_signed(&self.signed)?.filter(|(height, _)| *height > 0) {
            let record = self.record(chain_id);
            replace(&record, &text)?;
            replace(&self.signed, NOTHING_SIGNED.as_bytes())?;
        }
        Ok(())
    }

    /// The record of a chain id that the node left after it had signed, and the height of its last signature.
    pub(crate) fn left_chain(&self, chain_id: &str) -> Result<Option<(PathBuf, u64)>, DataError> {
        let record = self.record(chain_id);
        Ok(read_signed(&record)?.map(|(height, _)| (record, height)))
    }

    fn record(&self, chain_id: &str) -> PathBuf {
        let digest = data_encoding::HEXLOWER.encode(&Sha256::digest(chain_id)[..5]);
        self.signed.with_extension(format!("{digest}.json"))
    }
}

/// A record of what a validator signed: the height of its last signature, and its text; none if it is not there.
fn read_signed(path: &Path) -> Result<Option<(u64, Vec<u8>)>, DataError> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(err) => return Err(DataError::of(path)(err)),
    };
    let invalid = |why: &str| DataError::of(path)(io::Error::new(io::ErrorKind::InvalidData, why));
    let state: Value = serde_json::from_slice(&text).map_err(|err| invalid(&err.to_string()))?;
    let height = state["height"].as_str().and_then(|height| height.parse().ok());
    Ok(Some((height.ok_or_else(|| invalid("no height"))?, text)))
}

/// Moves a folder to that name beside it, or to that name with a number, and returns where it is then.
pub(crate) fn move_aside(folder: &Path, name: &str) -> Result<PathBuf, DataError> {
    let to = new_folder(folder.parent().unwrap_or(folder), name)?;
    // In place of the empty one.
    rename(folder, &to)?;
    Ok(to)
}

fn rename(from: &Path, to: &Path) -> Result<(), DataError> {
    fs::rename(from, to).and_then(|()| atomic_file::sync_folder_of(to)).map_err(DataError::of(from))
}

/// Makes a folder of that name, or of that name with a number.
fn new_folder(parent: &Path, folder: &str) -> Result<PathBuf, DataError> {
    let mut path = parent.join(folder);
    for number in 2_u64.. {
        match fs::create_dir(&path) {
            Err(err) if err.kind() == io::ErrorKind::AlreadyExists => {
                path.set_file_name(format!("{folder}-{number}"));
            }
            made => return made.map(|()| path.clone()).map_err(DataError::of(&path)),
        }
    }
    Ok(path)
}
