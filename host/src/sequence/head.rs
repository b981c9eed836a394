//! The head of the log (its length, both roots, and how to go on from there) and the staging of one block on it.

use bytes::Bytes;
use dseq_format::bytes_root::BytesFrontier;
use dseq_format::entry::{ENTRY_BYTES, Entry};
use dseq_format::receipt::Receipt;
use dseq_format::records_root::RecordsFrontier;
use serde::{Deserialize, Serialize};

use crate::limits;
use crate::types::{Height, Offset, RecordHash, RecordsRoot, SequenceRoot, TxHash};

/// The state of the log after a block: everything an app hash needs, and nothing that grows with the sequence.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    pub(super) height: Height,
    pub(super) bytes: BytesFrontier,
    pub(super) records: RecordsFrontier,
}

impl Head {
    /// The last block; 0 before the first one.
    #[must_use]
    pub fn height(&self) -> Height {
        self.height
    }

    /// Length of the sequence, in bytes.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.bytes.length()
    }

    /// Number of records.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.records.count()
    }

    /// BLAKE3 of the whole sequence.
    #[must_use]
    pub fn sequence_root(&self) -> SequenceRoot {
        self.bytes.root()
    }

    /// RFC 6962 Merkle root over the records.
    #[must_use]
    pub fn records_root(&self) -> RecordsRoot {
        self.records.root()
    }
}

/// The sequence has no room for a record: its end would pass [`limits::SEQUENCE_BYTES_MAX`].
///
/// Start a new network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the sequence is {length} bytes long; a record of {record} bytes would pass its limit of {max}", max = limits::SEQUENCE_BYTES_MAX)]
pub struct SequenceFull {
    /// Length of the sequence before the record.
    pub length: u64,
    /// Length of the record.
    pub record: u64,
}

/// A record with its hash, which only hashing gives it: that can be done on any thread before the record is staged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HashedRecord {
    hash: RecordHash,
    bytes: Bytes,
}

impl HashedRecord {
    /// Hashes a record.
    #[must_use]
    pub fn of(record: impl Into<Bytes>) -> Self {
        let bytes = record.into();
        Self { hash: RecordHash::of(&bytes), bytes }
    }
}

/// A block in the making: records on top of a head, in memory only.
#[derive(Debug)]
pub struct Staging {
    base: Head,
    height: Height,
    records: RecordsFrontier,
    bytes: Vec<u8>,
    entries: Vec<u8>,
}

/// One block's records and the head they lead to, in memory only.
#[derive(Debug)]
pub struct Staged {
    /// The log before the block.
    pub(super) base: Head,
    /// The log after the block.
    pub(super) head: Head,
    /// The records' bytes, one after the other.
    pub(super) bytes: Vec<u8>,
    /// The records' entries, encoded.
    pub(super) entries: Vec<u8>,
}

impl Staging {
    /// Begins the block at `height` on top of `base`.
    #[must_use]
    pub fn begin(base: &Head, height: Height) -> Self {
        Self {
            base: base.clone(),
            height,
            records: base.records.clone(),
            bytes: Vec::new(),
            entries: Vec::new(),
        }
    }

    /// Adds one record.
    ///
    /// # Errors
    ///
    /// [`SequenceFull`] when the record does not fit; nothing is added then.
    pub fn push(&mut self, tx_hash: TxHash, record: &HashedRecord) -> Result<Receipt, SequenceFull> {
        let offset = self.base.length().saturating_add(self.bytes.len() as u64);
        let (length, record_hash) = (record.bytes.len() as u64, record.hash);
        if offset.saturating_add(length) > limits::SEQUENCE_BYTES_MAX {
            return Err(SequenceFull { length: offset, record: length });
        }
        let index = self.records.count();
        let (height, offset) = (self.height, Offset(offset));
        let entry = Entry { offset, length, height, tx_hash, record_hash }.encode();
        self.records.append(&entry);
        self.entries.extend_from_slice(&entry);
        self.bytes.extend_from_slice(&record.bytes);
        Ok(Receipt { height, index, offset, length })
    }

    /// Hashes the block's bytes in one go (BLAKE3 is several times faster so) and closes it.
    #[must_use]
    pub fn finish(self) -> Staged {
        let mut bytes_frontier = self.base.bytes.clone();
        bytes_frontier.append(&self.bytes);
        let head = Head { height: self.height, bytes: bytes_frontier, records: self.records };
        Staged { base: self.base, head, bytes: self.bytes, entries: self.entries }
    }
}

impl Staged {
    /// The log as it is after this block.
    #[must_use]
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// Number of records in this block.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.entries.len() as u64 / ENTRY_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sequence_ends_where_a_file_does_and_a_record_that_does_not_fit_changes_nothing() {
        let length = limits::SEQUENCE_BYTES_MAX - 10;
        let stored = postcard::to_stdvec(&(length, Vec::<[u8; 32]>::new())).unwrap();
        let base = Head { bytes: postcard::from_bytes(&stored).unwrap(), ..Head::default() };
        let mut staging = Staging::begin(&base, Height(1));
        let full = staging.push(TxHash::default(), &HashedRecord::of(vec![0; 11])).unwrap_err();
        assert_eq!(full, SequenceFull { length, record: 11 });
        assert!(full.to_string().ends_with("would pass its limit of 9223372036854775807"), "{full}");
        let receipt = staging.push(TxHash::default(), &HashedRecord::of(vec![0; 10])).unwrap();
        assert_eq!((receipt.offset.0, receipt.index), (length, 0));
        assert!(staging.push(TxHash::default(), &HashedRecord::of(vec![0])).is_err());
    }
}
