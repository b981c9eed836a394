//! One committed prefix of the log, for those who read many parts of it and must not ask each time what is committed.
//!
//! # Invariants
//!
//! Bytes and entries before the end of a prefix never change, so a prefix stays readable after later commits. Nothing here
//! takes a lock.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use dseq_format::entry::Entry;

use super::reader::{Committed, ENTRIES_READ_MAX, ReadError, Reader};
use crate::types::Height;

/// What was committed at one moment. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Prefix {
    reader: Reader,
    committed: Arc<Committed>,
}

impl Reader {
    /// The prefix that is committed now.
    #[must_use]
    pub fn prefix(&self) -> Prefix {
        Prefix { reader: self.clone(), committed: self.committed() }
    }

    /// Waits until a block beyond this height is committed, for as long as `timeout` at most. Answers what is committed
    /// then, in either case.
    #[must_use]
    pub fn wait_for_prefix(&self, beyond: Height, timeout: Duration) -> Prefix {
        Prefix { reader: self.clone(), committed: self.wait_beyond_height(beyond, timeout) }
    }
}

impl Prefix {
    /// Its last block.
    #[must_use]
    pub fn height(&self) -> Height {
        self.committed.head.height()
    }

    /// Its length in bytes.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.committed.head.length()
    }

    /// Number of its records.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.committed.head.count()
    }

    /// The bytes from `offset` on, as many as fit in `bytes`; less at the end. Returns how many.
    ///
    /// # Errors
    ///
    /// [`ReadError::NoSuchOffset`] beyond the end (at the end is 0 bytes); [`ReadError::Io`] when the file cannot be read.
    pub fn read(&self, offset: u64, bytes: &mut [u8]) -> Result<usize, ReadError> {
        let length = self.length();
        let available = length.checked_sub(offset).ok_or(ReadError::NoSuchOffset { offset, length })?;
        let wanted = usize::try_from(available).map_or(bytes.len(), |available| available.min(bytes.len()));
        self.reader.read_unchecked(offset, &mut bytes[..wanted])?;
        Ok(wanted)
    }

    /// The entries of the records in `range`, in one read: at most [`ENTRIES_READ_MAX`], and less at the end.
    ///
    /// # Errors
    ///
    /// [`ReadError::NoSuchRecord`] if `range` starts beyond the end (at the end there are no entries);
    /// [`ReadError::Io`] when the file cannot be read.
    pub fn entries(&self, range: Range<u64>) -> Result<Vec<Entry>, ReadError> {
        let (start, count) = (range.start, self.count());
        let available = count.checked_sub(start).ok_or(ReadError::NoSuchRecord { index: start, count })?;
        let wanted = usize::try_from(range.end.saturating_sub(start).min(available));
        self.reader
            .entries_unchecked(start, wanted.map_or(ENTRIES_READ_MAX, |wanted| wanted.min(ENTRIES_READ_MAX)))
    }

    /// Indices of the records that came in the block of this height; empty if it brought none. Takes twice log2(records)
    /// reads.
    ///
    /// # Errors
    ///
    /// [`ReadError::Io`] when the file cannot be read.
    pub fn indices_at(&self, height: Height) -> Result<Range<u64>, ReadError> {
        let start = self.first_index(|entry| entry.height >= height)?;
        Ok(start..self.first_index(|entry| entry.height > height)?)
    }

    /// The first record for which this is so, if it is so for all that follow; the count if there is none.
    fn first_index(&self, is_so: impl Fn(&Entry) -> bool) -> Result<u64, ReadError> {
        let (mut low, mut high) = (0, self.count());
        while low < high {
            let middle = low.midpoint(high);
            let entry = self.reader.entry_unchecked(middle)?;
            if is_so(&entry) { high = middle } else { low = middle.saturating_add(1) }
        }
        Ok(low)
    }
}
