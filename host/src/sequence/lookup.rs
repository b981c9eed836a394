//! Finding one record, as of one committed block: by its index or by a byte of it.

use std::fmt::Display;

use serde::{Serialize, Serializer};

use super::reader::{Committed, ReadError, Reader};
use crate::types::{Height, Offset, RecordHash, TxHash};
use dseq_format::entry::Entry;

/// A record and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundRecord {
    /// Where it is, and what it is made of.
    pub place: Place,
    /// Its bytes, which have the hash in its entry.
    pub bytes: Vec<u8>,
}

/// What the log knows about one record. As JSON, hashes are hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Place {
    /// Its index in the whole log, from 0.
    pub index: u64,
    /// Offset of its first byte.
    pub offset: Offset,
    /// Its length in bytes.
    pub length: u64,
    /// The block it came in.
    pub height: Height,
    /// The transaction its producer submitted.
    #[serde(serialize_with = "as_text")]
    pub tx_hash: TxHash,
    /// BLAKE3 of its bytes.
    #[serde(serialize_with = "as_text")]
    pub blake3: RecordHash,
}

impl Place {
    /// The place of the record with this index and entry.
    #[must_use]
    pub fn of(index: u64, entry: &Entry) -> Self {
        let Entry { offset, length, height, tx_hash, record_hash } = *entry;
        Self { index, offset, length, height, tx_hash, blake3: record_hash }
    }
}

impl Reader {
    /// The record with this index, if `committed` has it. A later block may have come by now; the answer is of the
    /// one it was asked of.
    ///
    /// # Errors
    ///
    /// As [`Reader::record`].
    pub fn find_record(&self, committed: &Committed, index: u64) -> Result<FoundRecord, ReadError> {
        let count = committed.head.count();
        if index >= count {
            return Err(ReadError::NoSuchRecord { index, count });
        }
        let (entry, bytes) = self.record(index)?;
        Ok(FoundRecord { place: Place::of(index, &entry), bytes })
    }

    /// The record that holds the byte at this offset, if `committed` has it.
    ///
    /// # Errors
    ///
    /// As [`Reader::record`], and [`ReadError::NoSuchOffset`] beyond the last byte.
    pub fn find_offset(&self, committed: &Committed, offset: u64) -> Result<FoundRecord, ReadError> {
        let length = committed.head.length();
        if offset >= length {
            return Err(ReadError::NoSuchOffset { offset, length });
        }
        let (index, _) = self.entry_at(offset)?;
        self.find_record(committed, index)
    }
}

/// Serializes by [`Display`].
pub(crate) fn as_text<T: Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}
