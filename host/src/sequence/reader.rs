//! The committed prefix, for readers in this process, and the wake-up at each commit.
//!
//! # Waiting
//!
//! A commit replaces one value, wakes the threads that wait for it, and waits for none of them. Waking a thread costs
//! the commit a little. A server with many followers should therefore wait on one thread and pass the value on from there:
//! waking ten thousand tasks is then that thread's work, not Commit's.
//! Nothing wakes a waiting thread when the log is closed: wait with a timeout that a shutdown can bear.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use dseq_format::entry::Entry;

use super::commit_record::CommitRecord;
use super::files::{IoError, LogFile};
use super::head::Head;
use super::published::Published;
use crate::disk;
use crate::types::{AppHash, Height, PipelineId, RecordHash};

/// Maximum number of entries that are read at once: they are 352 KiB.
pub const ENTRIES_READ_MAX: usize = 4096;

/// What the last durable block left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// Length, count, height and both roots.
    pub head: Head,
    /// What consensus agreed on; all zero before the first block.
    pub app_hash: AppHash,
    /// The rules in force; all zero before the first block.
    pub pipeline: PipelineId,
}

impl Committed {
    pub(super) fn of(record: &CommitRecord) -> Self {
        Self { head: record.head.clone(), app_hash: record.app_hash, pipeline: record.pipeline }
    }
}

/// The data files and what of them is committed, shared by the log and its readers.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) sequence: LogFile,
    pub(super) records: LogFile,
    /// What readers may see: never ahead of what is durable.
    committed: Published<Committed>,
}

impl Shared {
    pub(super) fn new(sequence: LogFile, records: LogFile, committed: Committed) -> Self {
        Self { sequence, records, committed: Published::new(committed) }
    }

    pub(super) fn publish(&self, committed: Committed) {
        self.committed.publish(committed);
    }
}

/// Why something could not be read from the committed prefix.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file system refused.
    #[error(transparent)]
    Io(#[from] IoError),
    /// A record beyond the last one.
    ///
    /// Ask for one that is committed, or try again later.
    #[error("there is no record {index}; the log has {count} records, counted from 0")]
    NoSuchRecord {
        /// The index asked for.
        index: u64,
        /// Number of records committed.
        count: u64,
    },
    /// The disk does not hold any more what was committed.
    #[error(
        "record {index} is damaged on this node's disk: it does not have the hash in its entry; ask another node"
    )]
    Damaged {
        /// The record.
        index: u64,
    },
    /// A byte beyond the last one.
    ///
    /// Ask for one that is committed, or try again later.
    #[error("there is no byte at offset {offset}; the sequence is {length} bytes long, counted from 0")]
    NoSuchOffset {
        /// The offset asked for.
        offset: u64,
        /// Length of the committed sequence.
        length: u64,
    },
}

/// Reads the committed prefix; cheap to clone, and never in the way of a commit.
#[derive(Clone, Debug)]
pub struct Reader {
    shared: Arc<Shared>,
}

impl Reader {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// What is committed now.
    #[must_use]
    pub fn committed(&self) -> Arc<Committed> {
        self.shared.committed.now()
    }

    /// Waits until a block beyond this height is committed, for as long as `timeout` at most. Answers what is committed
    /// then, in either case.
    #[must_use]
    pub fn wait_beyond_height(&self, height: Height, timeout: Duration) -> Arc<Committed> {
        self.wait_while(timeout, |head| head.height() <= height)
    }

    /// Waits until the sequence is longer than this, for as long as `timeout` at most. Answers what is committed then,
    /// in either case.
    #[must_use]
    pub fn wait_beyond_length(&self, length: u64, timeout: Duration) -> Arc<Committed> {
        self.wait_while(timeout, |head| head.length() <= length)
    }

    fn wait_while(&self, timeout: Duration, is_behind: impl Fn(&Head) -> bool) -> Arc<Committed> {
        self.shared.committed.wait_while(timeout, |committed| is_behind(&committed.head))
    }

    /// The entry of the record with this index.
    ///
    /// # Errors
    ///
    /// [`ReadError::NoSuchRecord`] beyond the last record; [`ReadError::Io`] when the file cannot be read.
    pub fn entry(&self, index: u64) -> Result<Entry, ReadError> {
        let count = self.committed().head.count();
        if index >= count {
            return Err(ReadError::NoSuchRecord { index, count });
        }
        self.entry_unchecked(index)
    }

    /// The entries of the records in `range`, in one read: at most [`ENTRIES_READ_MAX`], and less at the end of the log.
    ///
    /// # Errors
    ///
    /// [`ReadError::NoSuchRecord`] if `range` starts beyond the end (at the end there are no entries);
    /// [`ReadError::Io`] when the file cannot be read.
    pub fn entries(&self, range: Range<u64>) -> Result<Vec<Entry>, ReadError> {
        let (start, count) = (range.start, self.committed().head.count());
        let available = count.checked_sub(start).ok_or(ReadError::NoSuchRecord { index: start, count })?;
        let wanted = usize::try_from(range.end.saturating_sub(start).min(available));
        let wanted = wanted.map_or(ENTRIES_READ_MAX, |wanted| wanted.min(ENTRIES_READ_MAX));
        self.entries_unchecked(start, wanted)
    }

    /// Index and entry of the record that holds the byte at this offset. Takes log2(records) reads.
    ///
    /// # Errors
    ///
    /// [`ReadError::NoSuchOffset`] beyond the last byte; [`ReadError::Io`] when the file cannot be read.
    pub fn entry_at(&self, offset: u64) -> Result<(u64, Entry), ReadError> {
        let committed = self.committed();
        let length = committed.head.length();
        if offset >= length {
            return Err(ReadError::NoSuchOffset { offset, length });
        }
        // Records are not empty, so offsets strictly grow: the last entry that starts at or before the offset holds it.
        let (mut low, mut high) = (0_u64, committed.head.count());
        while let middle = low.midpoint(high)
            && middle > low
        {
            if self.entry_unchecked(middle)?.offset.0 <= offset { low = middle } else { high = middle }
        }
        Ok((low, self.entry_unchecked(low)?))
    }

    /// Index of the first record of a block at this height or above; the number of records if there is none. Takes
    /// log2(records) reads.
    ///
    /// # Errors
    ///
    /// [`ReadError::Io`] when the file cannot be read.
    pub fn first_at(&self, height: Height) -> Result<u64, ReadError> {
        // Heights never fall from one record to the next.
        let (mut low, mut high) = (0_u64, self.committed().head.count());
        while low < high {
            let middle = low.midpoint(high);
            if self.entry_unchecked(middle)?.height < height {
                low = middle.saturating_add(1);
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    /// The record with this index: its entry and its bytes, which have the hash in the entry.
    ///
    /// # Errors
    ///
    /// [`ReadError::NoSuchRecord`] beyond the last record; [`ReadError::Damaged`] when the disk does not hold any more
    /// what was committed; [`ReadError::Io`] when it cannot be read.
    pub fn record(&self, index: u64) -> Result<(Entry, Vec<u8>), ReadError> {
        let entry = self.entry(index)?;
        // The entry is only bytes on a disk: nothing is made as long as it says before it is seen to fit.
        let fits = entry.end().is_some_and(|end| end <= self.committed().head.length());
        let length = usize::try_from(entry.length).ok().filter(|_| fits);
        let mut bytes = vec![0; length.ok_or(ReadError::Damaged { index })?];
        self.shared.sequence.read_at(&mut bytes, entry.offset.0)?;
        if RecordHash::of(&bytes) != entry.record_hash {
            return Err(ReadError::Damaged { index });
        }
        Ok((entry, bytes))
    }

    /// The bytes from `offset` on, as many as fit in `bytes`; less at the end of the sequence. Returns how many.
    ///
    /// # Errors
    ///
    /// [`ReadError::NoSuchOffset`] beyond the end (at the end is 0 bytes); [`ReadError::Io`] when the file cannot
    /// be read.
    pub fn read(&self, offset: u64, bytes: &mut [u8]) -> Result<usize, ReadError> {
        let length = self.committed().head.length();
        let available = length.checked_sub(offset).ok_or(ReadError::NoSuchOffset { offset, length })?;
        let wanted = usize::try_from(available).map_or(bytes.len(), |available| available.min(bytes.len()));
        self.read_unchecked(offset, &mut bytes[..wanted])?;
        Ok(wanted)
    }

    /// Space left on the log's file system, in bytes.
    ///
    /// # Errors
    ///
    /// When the file system cannot be asked.
    pub fn free_bytes(&self) -> Result<u64, IoError> {
        let path = self.shared.sequence.path();
        disk::free_bytes(path).map_err(IoError::of("ask for the free space around", path))
    }

    pub(super) fn read_unchecked(&self, offset: u64, bytes: &mut [u8]) -> Result<(), ReadError> {
        Ok(self.shared.sequence.read_at(bytes, offset)?)
    }

    pub(super) fn entries_unchecked(&self, start: u64, count: usize) -> Result<Vec<Entry>, ReadError> {
        let mut encoded = vec![Entry::buffer(); count];
        self.shared.records.read_at(encoded.as_flattened_mut(), Entry::place(start))?;
        Ok(encoded.iter().map(Entry::decode).collect())
    }

    pub(super) fn entry_unchecked(&self, index: u64) -> Result<Entry, ReadError> {
        let mut bytes = Entry::buffer();
        self.shared.records.read_at(&mut bytes, Entry::place(index))?;
        Ok(Entry::decode(&bytes))
    }
}
