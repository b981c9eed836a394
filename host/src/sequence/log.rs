//! The open log: the one place that appends.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use dseq_format::entry::Entry;

use super::chain::{CHAIN_FILE, Chain};
use super::commit_record::{CommitRecord, Slot};
use super::files::{self, IoError};
use super::head::{Head, Staged};
use super::reader::{Committed, Reader, Shared};
use crate::types::{AppHash, PipelineId};

/// The sequence's files, open for writing by this process alone.
#[derive(Debug)]
pub struct Log {
    /// The folder, its name made durable at opening.
    pub(super) dir: PathBuf,
    /// The two slots; only [`Self::persist`] writes to it.
    pub(super) commit_file: files::LogFile,
    /// What the disk holds for certain: a commit replaces it only after its last sync.
    pub(super) record: CommitRecord,
    /// The slot that holds `record`; the next commit goes to the other one.
    pub(super) slot: Slot,
    /// The rules, `None` before InitChain; fixed once a block is committed.
    pub(super) chain: Option<Chain>,
    /// The data files, and what of them readers may see.
    pub(super) shared: Arc<Shared>,
    /// Set by the first failed write or sync, and never cleared: the files' state is unknown from then on.
    pub(super) poisoned: bool,
    /// Called at each step of a commit.
    pub(super) on_step: OnStep,
    /// Held until the log is dropped: the lock goes with the file.
    pub(super) _lock: std::fs::File,
}

/// How far a commit is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitStep {
    /// Nothing is written yet.
    Begun,
    /// The bytes and entries are written. A block without records has neither this step nor the next.
    Written,
    /// They are durable.
    Synced,
    /// The commit record is written.
    RecordWritten,
    /// It is durable.
    RecordSynced,
}

/// What is called at each step of a commit; most often nothing.
#[derive(Default)]
pub(super) struct OnStep(Option<Box<dyn Fn(CommitStep) + Send + Sync>>);

impl OnStep {
    fn reached(&self, step: CommitStep) {
        if let Some(call) = &self.0 {
            call(step);
        }
    }
}

impl fmt::Debug for OnStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OnStep").field(&self.0.is_some()).finish()
    }
}

/// Why a block could not be made durable. The node must stop and start again from what the disk holds.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// The file system refused.
    #[error(
        "{source}; what was being written does not count, and nothing committed before is lost; {remedy}",
        remedy = source.remedy()
    )]
    Io {
        /// What was refused.
        #[from]
        source: IoError,
    },
    /// An earlier operation of this process failed.
    #[error("an earlier write to the log failed, so it takes no more; restart the node")]
    Poisoned,
    /// The block was staged on another head than the log has now.
    ///
    /// Report it, with the node's log.
    #[error(
        "block {height} was staged on {staged_length} bytes and {staged_count} records, the log has {length} and {count}"
    )]
    StaleBase {
        /// The staged block.
        height: u64,
        /// Length of the sequence it was staged on.
        staged_length: u64,
        /// Number of records it was staged on.
        staged_count: u64,
        /// Length of the sequence in the log.
        length: u64,
        /// Number of records in the log.
        count: u64,
    },
}

impl Log {
    /// The log after the last durable block.
    #[must_use]
    pub fn head(&self) -> &Head {
        &self.record.head
    }

    /// The app hash committed with it; all zero before the first block.
    #[must_use]
    pub fn app_hash(&self) -> AppHash {
        self.record.app_hash
    }

    /// The rules this log was made under; `None` before InitChain.
    #[must_use]
    pub fn chain(&self) -> Option<&Chain> {
        self.chain.as_ref()
    }

    /// A view for readers; it sees each block once it is durable.
    #[must_use]
    pub fn reader(&self) -> Reader {
        Reader::new(Arc::clone(&self.shared))
    }

    /// Calls this at each step of a commit, on the committing thread: for metrics. There is no clock in this module.
    pub fn on_commit_step(&mut self, call: impl Fn(CommitStep) + Send + Sync + 'static) {
        self.on_step = OnStep(Some(Box::new(call)));
    }

    /// Keeps the rules InitChain gave. Called again before the first block, it replaces them.
    ///
    /// # Errors
    ///
    /// When the file cannot be written, or an earlier write failed.
    ///
    /// # Panics
    ///
    /// When blocks are already committed: their rules are fixed.
    pub fn init_chain(&mut self, chain: Chain) -> Result<(), CommitError> {
        assert_eq!(self.record.head.height().0, 0, "the rules are fixed once a block is committed");
        self.guarded(|log| files::replace(&log.dir.join(CHAIN_FILE), &chain.encode()))?;
        self.chain = Some(chain);
        Ok(())
    }

    /// Makes a block durable, then visible to readers.
    ///
    /// # Errors
    ///
    /// See [`CommitError`]; after [`CommitError::Io`] the log takes nothing more.
    pub fn commit(
        &mut self,
        staged: &Staged,
        app_hash: AppHash,
        pipeline: PipelineId,
    ) -> Result<(), CommitError> {
        let head = &self.record.head;
        if staged.base != *head {
            return Err(CommitError::StaleBase {
                height: staged.head.height().0,
                staged_length: staged.base.length(),
                staged_count: staged.base.count(),
                length: head.length(),
                count: head.count(),
            });
        }
        let tail_records = if staged.entries.is_empty() {
            self.record.tail_records.clone()
        } else {
            staged.base.records.clone()
        };
        let record = CommitRecord { head: staged.head.clone(), app_hash, pipeline, tail_records };
        self.guarded(|log| log.persist(staged, &record))?;
        self.slot = self.slot.other();
        self.shared.publish(Committed::of(&record));
        self.record = record;
        Ok(())
    }

    /// Writes the block's bytes, then (only once they are durable) the record that makes them count.
    fn persist(&self, staged: &Staged, record: &CommitRecord) -> Result<(), IoError> {
        self.on_step.reached(CommitStep::Begun);
        if !staged.entries.is_empty() {
            let (sequence, records) = (&self.shared.sequence, &self.shared.records);
            sequence.write_at(&staged.bytes, staged.base.length())?;
            records.write_at(&staged.entries, Entry::place(staged.base.count()))?;
            self.on_step.reached(CommitStep::Written);
            sequence.sync()?;
            records.sync()?;
            self.on_step.reached(CommitStep::Synced);
        }
        self.commit_file.write_at(&record.encode(), self.slot.other().offset())?;
        self.on_step.reached(CommitStep::RecordWritten);
        self.commit_file.sync()?;
        self.on_step.reached(CommitStep::RecordSynced);
        Ok(())
    }

    /// Runs a writing operation unless an earlier one failed; its failure poisons the log.
    fn guarded(&mut self, operation: impl FnOnce(&Self) -> Result<(), IoError>) -> Result<(), CommitError> {
        if self.poisoned {
            return Err(CommitError::Poisoned);
        }
        operation(self).map_err(|source| {
            self.poisoned = true;
            CommitError::Io { source }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::head::Staging;
    use super::*;
    use crate::sequence::HashedRecord;
    use crate::types::{Height, TxHash};

    #[test]
    fn a_commit_that_fails_is_seen_by_no_reader_and_poisons_the_log() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = Log::open(dir.path()).unwrap();
        let reader = log.reader();
        let mut staging = Staging::begin(log.head(), Height(1));
        staging.push(TxHash::of(b"abc"), &HashedRecord::of(&b"abc"[..])).unwrap();
        let staged = staging.finish();
        let on_disk = std::mem::replace(&mut log.commit_file, full_disk());

        let refused = log.commit(&staged, AppHash::default(), PipelineId::default()).unwrap_err();
        assert!(refused.to_string().contains("free some space"), "{refused}");
        assert_eq!((log.head().length(), reader.committed().head.length()), (0, 0));

        log.commit_file = on_disk;
        let refused = log.commit(&staged, AppHash::default(), PipelineId::default()).unwrap_err();
        assert!(matches!(refused, CommitError::Poisoned), "{refused}");
        assert_eq!(reader.committed().head.length(), 0);
    }

    #[test]
    fn a_commit_tells_each_step_and_a_block_without_records_has_no_data_to_sync() {
        use CommitStep::*;
        let dir = tempfile::tempdir().unwrap();
        let mut log = Log::open(dir.path()).unwrap();
        let (send, steps) = std::sync::mpsc::channel();
        log.on_commit_step(move |step| send.send(step).unwrap());
        let mut staging = Staging::begin(log.head(), Height(1));
        staging.push(TxHash::of(b"abc"), &HashedRecord::of(&b"abc"[..])).unwrap();
        log.commit(&staging.finish(), AppHash::default(), PipelineId::default()).unwrap();
        assert_eq!(
            steps.try_iter().collect::<Vec<_>>(),
            [Begun, Written, Synced, RecordWritten, RecordSynced]
        );
        let staged = Staging::begin(log.head(), Height(2)).finish();
        log.commit(&staged, AppHash::default(), PipelineId::default()).unwrap();
        assert_eq!(steps.try_iter().collect::<Vec<_>>(), [Begun, RecordWritten, RecordSynced]);
    }

    /// A file every write to which fails with ENOSPC.
    fn full_disk() -> files::LogFile {
        files::LogFile::open(PathBuf::from("/dev/full"), false).unwrap()
    }
}
