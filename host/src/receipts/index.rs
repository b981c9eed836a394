//! The index by hash, in a file of its own: for each record the first bytes of its transaction's hash, and its index.
//!
//! # Format
//!
//! A database of redb with two tables:
//!
//! | table | key | value |
//! |---|---|---|
//! | `by_hash` | first 8 bytes of the transaction's hash, index of the record (u64, big-endian) | nothing |
//! | `position` | `1`, the version of this table | number of records indexed (u64, little-endian), then the last one's [`Entry`] |
//!
//! # Invariants
//!
//! - The position is written with the keys it counts: what it says is indexed is.
//! - A hit is only a candidate: whoever takes it compares the whole hash with the entry in the log.

use std::fs;
use std::path::Path;

use redb::{Builder, Database, Error, ReadableDatabase, TableDefinition};

use crate::sequence::{ENTRY_BYTES, Entry, ReadError, Reader};
use crate::types::TxHash;

const BY_HASH: TableDefinition<'_, &[u8; KEY_BYTES], ()> = TableDefinition::new("by_hash");
const POSITION: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("position");
/// The version of both tables.
const VERSION: u64 = 1;
const PREFIX_BYTES: usize = 8;
const KEY_BYTES: usize = PREFIX_BYTES + 8;
/// Memory that redb may take for pages, in bytes. What is not in it is most often in the system's cache.
const CACHE_BYTES: usize = 16 << 20;

/// An open index.
pub(super) struct Index {
    database: Database,
}

/// What an index knows of a hash.
pub(super) struct Hits {
    /// Indexes of the records that may be of this transaction, in order.
    pub(super) candidates: Vec<u64>,
    /// Records below this index have been looked at.
    pub(super) count: u64,
}

impl Index {
    /// Opens the index of this log, or begins a new one if there is none, or it is damaged, or of another log. Checks the
    /// whole file, so it takes a while.
    ///
    /// # Errors
    ///
    /// When the file system refuses, or somebody else has the index open.
    pub(super) fn open(path: &Path, reader: &Reader) -> Result<Self, Error> {
        match Self::open_as_it_is(path) {
            Ok(index) => match index.is_of(reader) {
                Ok(true) => return Ok(index),
                Ok(false) => tracing::warn!("the index of receipts is not of this log; building a new one"),
                Err(error) => tracing::warn!(%error, "the index of receipts is damaged; building a new one"),
            },
            Err(error) if is_of_the_system(&error) => return Err(error),
            Err(error) => tracing::warn!(%error, "the index of receipts is damaged; building a new one"),
        }
        fs::remove_file(path)?;
        Self::open_as_it_is(path)
    }

    /// Opens the file, or makes a new one aside and renames it: a process that ends meanwhile leaves nothing that looks damaged.
    fn open_as_it_is(path: &Path) -> Result<Self, Error> {
        if path.try_exists()? {
            return Self::open_file(path);
        }
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir)?;
        }
        let new = path.with_extension("new");
        match fs::remove_file(&new) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        let index = Self::open_file(&new)?;
        fs::rename(&new, path)?;
        Ok(index)
    }

    fn open_file(path: &Path) -> Result<Self, Error> {
        let mut builder = Builder::new();
        // Without a check, redb may panic on a damaged file, or miss what is there.
        builder.set_cache_size(CACHE_BYTES).set_check_integrity_on_open(true);
        let index = Self { database: builder.create(path)? };
        // So that a reader finds the tables.
        let write = index.database.begin_write()?;
        write.open_table(BY_HASH)?;
        write.open_table(POSITION)?;
        write.commit()?;
        Ok(index)
    }

    /// Whether what is indexed is the beginning of this log.
    fn is_of(&self, reader: &Reader) -> Result<bool, Error> {
        let Some((count, last)) = self.position()? else { return Ok(true) };
        let Some(index) = count.checked_sub(1) else { return Ok(true) };
        match reader.entry(index) {
            Ok(entry) => Ok(entry.encode()[..] == last[..]),
            Err(ReadError::NoSuchRecord { .. }) => Ok(false),
            Err(error) => Err(Error::Io(std::io::Error::other(error))),
        }
    }

    /// Number of records indexed, and the last one's entry; `None` before the first.
    fn position(&self) -> Result<Option<(u64, Vec<u8>)>, Error> {
        let read = self.database.begin_read()?;
        let position = read.open_table(POSITION)?.get(VERSION)?;
        position.map(|position| decode(position.value())).transpose()
    }

    /// Number of records indexed.
    pub(super) fn count(&self) -> Result<u64, Error> {
        Ok(self.position()?.map_or(0, |(count, _)| count))
    }

    /// Adds the records that follow those that are indexed; durable when it returns.
    pub(super) fn add(&self, from: u64, entries: &[Entry]) -> Result<(), Error> {
        let Some(last) = entries.last() else { return Ok(()) };
        let mut keys: Vec<_> =
            (from..).zip(entries).map(|(index, entry)| key(&entry.tx_hash, index)).collect();
        // Neighbours share a page.
        keys.sort_unstable();
        let count = from.saturating_add(entries.len() as u64);
        let position = [&count.to_le_bytes()[..], &last.encode()[..]].concat();
        let write = self.database.begin_write()?;
        let mut by_hash = write.open_table(BY_HASH)?;
        for key in &keys {
            by_hash.insert(key, ())?;
        }
        drop(by_hash);
        write.open_table(POSITION)?.insert(VERSION, position.as_slice())?;
        write.commit()?;
        Ok(())
    }

    /// Looks a hash up; `max` candidates at most, the earliest.
    pub(super) fn find(&self, hash: TxHash, max: usize) -> Result<Hits, Error> {
        let read = self.database.begin_read()?;
        let position = read.open_table(POSITION)?.get(VERSION)?;
        let count = position.map_or(Ok(0), |position| decode(position.value()).map(|(count, _)| count))?;
        let table = read.open_table(BY_HASH)?;
        let mut candidates = Vec::new();
        let (first, last) = (key(&hash, 0), key(&hash, u64::MAX));
        for found in table.range::<&[u8; KEY_BYTES]>(&first..=&last)?.take(max) {
            let (key, _) = found?;
            let index = key.value().last_chunk::<8>().copied().map_or(u64::MAX, u64::from_be_bytes);
            candidates.push(index);
        }
        Ok(Hits { candidates, count })
    }
}

fn key(hash: &TxHash, index: u64) -> [u8; KEY_BYTES] {
    let mut key = [0; KEY_BYTES];
    key[..PREFIX_BYTES].copy_from_slice(&hash.0[..PREFIX_BYTES]);
    key[PREFIX_BYTES..].copy_from_slice(&index.to_be_bytes());
    key
}

fn decode(position: &[u8]) -> Result<(u64, Vec<u8>), Error> {
    let fits = position.len() as u64 == 8 + ENTRY_BYTES;
    let split = position.split_first_chunk::<8>().filter(|_| fits);
    let (count, last) = split.ok_or_else(|| Error::Corrupted("a position of another length".to_owned()))?;
    Ok((u64::from_le_bytes(*count), last.to_vec()))
}

/// Whether the system refused, so that the file may be as it should be.
fn is_of_the_system(error: &Error) -> bool {
    match error {
        // What redb itself finds wrong with a file has no number of the system.
        Error::Io(error) => error.raw_os_error().is_some(),
        Error::DatabaseAlreadyOpen | Error::LockProtocolMismatch | Error::PreviousIo => true,
        _ => false,
    }
}
