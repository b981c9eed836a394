//! Where each transaction landed, by its hash, and the wake-up of those who wait for one.
//!
//! ```text
//! Commit ── block's results ──> channel ──> thread `receipts` ──> memory: newest records, refused ──> who waits is woken
//! who submits ── pending, refused ────────────────────────────────> memory
//! log's entries ── every few seconds ──> thread `receipts-index` ──> index by hash, a file beside the log
//! look-up <── memory, index, and the end of the log that neither has
//! ```
//!
//! All of it is derived from the log, follows behind Commit, and is no part of what is committed. What memory knew of pending
//! and refused transactions is gone when the process ends: such a transaction is unknown then, until it is committed. The engine
//! does not say when it loses a transaction, so none is pending for ever: after [`PENDING_AGE_MAX`] it is overdue.
//!
//! # Invariants
//!
//! - The index is only a way to find entries sooner: what it says is checked against the log, and a node runs without it.
//! - Commit puts a block's results into a channel and does nothing else here: no lock of this module is taken by Commit.
//! - Whoever registers to wait and looks the transaction up after that misses nothing: the thread makes a record known
//!   before it wakes, under one lock.

mod document;
mod index;
mod keep;
mod memory;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use tokio::sync::oneshot;

pub use self::document::{Document, State};
use self::index::Index;
use self::keep::{BATCH_RECORDS, Signal};
pub use self::memory::PENDING_AGE_MAX;
use self::memory::{Memory, Pending, Waking, Woken};
use crate::app::{CommittedBlock, Refusal, TxResult};
use crate::sequence::{ENTRIES_READ_MAX, Place, ReadError, Reader};
use crate::types::TxHash;

/// Places of one transaction that are answered, the earliest. CometBFT takes equal bytes again once it has forgotten them, so
/// there may be any number.
pub const PLACES_MAX: usize = 1000;

/// Records at the end of the log that a look-up reads through when neither memory nor the index has them: 5.5 MiB.
const SCANNED_MAX: u64 = 64 << 10;

/// Results of a block that are taken under one lock, so that nobody waits long for it.
const RESULTS_AT_ONCE: usize = 256;

/// What became of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decided {
    /// Its record is committed, here.
    Committed(Place),
    /// It was refused, for good.
    Refused(Refusal),
}

/// What is known of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Known {
    /// Its records, in order: at most [`PLACES_MAX`], and at least one.
    Committed(Vec<Place>),
    /// It was refused, for good.
    Refused(Refusal),
    /// It is on its way, as far as this node knows.
    Pending,
    /// It was handed to the engine longer ago than [`PENDING_AGE_MAX`]: the engine may have lost it, or still have it.
    Overdue,
    /// Nothing.
    Unknown,
}

/// The answer to a look-up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// What is known.
    pub known: Known,
    /// Whether the whole log was looked through. If not, the index is being built.
    pub complete: bool,
}

/// How far look-ups by hash can be relied on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coverage {
    /// Whether a look-up that finds nothing has looked through the whole log.
    pub complete: bool,
    /// Records that the index has: the first ones of the log.
    pub indexed: u64,
    /// Records that there are.
    pub count: u64,
    /// Why the index could not be kept the last time; none: it is kept, or being opened.
    pub trouble: Option<String>,
}

/// The receipts of one log; clones share one state.
#[derive(Clone)]
pub struct Receipts {
    shared: Arc<Shared>,
    blocks: Sender<Arc<[TxResult]>>,
}

struct Shared {
    reader: Reader,
    memory: Mutex<Memory>,
    /// `None` while there is none: it is being opened, or cannot be.
    index: Mutex<Option<Arc<Index>>>,
    /// Records below this one are in the index.
    indexed: AtomicU64,
    /// Why the index could not be kept the last time.
    trouble: Mutex<Option<String>>,
    /// To the thread that keeps the index.
    signal: Signal,
}

/// Waits for a transaction, from when it is made on.
pub struct Waiting {
    shared: Arc<Shared>,
    hash: TxHash,
    number: u64,
    woken: oneshot::Receiver<Decided>,
}

impl Receipts {
    /// Follows a log from what is committed now on, with an index in the file `index`. Without one, only the newest
    /// records are found by their hash.
    ///
    /// # Errors
    ///
    /// The system gives no thread.
    pub fn open(reader: Reader, index: Option<PathBuf>) -> std::io::Result<Self> {
        let memory = Mutex::new(Memory::new(reader.committed().head.count()));
        let shared = Shared {
            reader,
            memory,
            index: Mutex::default(),
            indexed: AtomicU64::new(0),
            trouble: Mutex::default(),
            signal: Signal::default(),
        };
        let shared = Arc::new(shared);
        if let Some(path) = index {
            let keeping = Arc::clone(&shared);
            let keep = move || keep::keep(&keeping, &path);
            thread::Builder::new().name("receipts-index".to_owned()).spawn(keep)?;
        }
        let (blocks, taken) = mpsc::channel();
        let following = Arc::clone(&shared);
        thread::Builder::new().name("receipts".to_owned()).spawn(move || follow(&following, &taken))?;
        Ok(Self { shared, blocks })
    }

    /// Takes a committed block: called by Commit.
    pub fn take(&self, block: &CommittedBlock) {
        // The thread ends with the last of us.
        let _ = self.blocks.send(Arc::clone(&block.results));
    }

    /// What is known of a transaction. Reads files.
    ///
    /// # Errors
    ///
    /// When the log cannot be read.
    pub fn find(&self, hash: TxHash) -> Result<Found, ReadError> {
        let memory = self.shared.memory();
        let (newest, first, end) = (memory.indexes(hash, PLACES_MAX), memory.first(), memory.end());
        let (refusal, pending) = (memory.refusal(hash), memory.pending(hash, Instant::now()));
        drop(memory);
        let (mut indexes, complete) = self.shared.older(hash, first)?;
        indexes.extend(newest);
        // The newest block may not have been taken yet.
        let count = self.shared.reader.committed().head.count();
        indexes.extend(self.shared.scan(hash, end.max(count.saturating_sub(SCANNED_MAX)), count)?);
        indexes.truncate(PLACES_MAX);
        let place = |index| Ok(Place::of(index, &self.shared.reader.entry(index)?));
        let places: Vec<Place> = indexes.into_iter().map(place).collect::<Result<_, ReadError>>()?;
        let known = match (refusal, pending) {
            _ if !places.is_empty() => Known::Committed(places),
            (Some(refusal), _) => Known::Refused(refusal),
            (None, Some(Pending::Overdue)) => Known::Overdue,
            (None, Some(Pending::Trying | Pending::Taken)) => Known::Pending,
            (None, None) => Known::Unknown,
        };
        Ok(Found { known, complete })
    }

    /// How many records the index has: the first ones of the log.
    #[must_use]
    pub fn indexed(&self) -> u64 {
        self.shared.indexed.load(Ordering::Relaxed)
    }

    /// How far look-ups can be relied on now. Reads no file.
    #[must_use]
    pub fn coverage(&self) -> Coverage {
        let shared = &self.shared;
        let trouble = shared.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let has_index = shared.index.lock().unwrap_or_else(PoisonError::into_inner).is_some();
        let indexed = if has_index { self.indexed() } else { 0 };
        let first = shared.memory().first();
        Coverage {
            complete: first.saturating_sub(SCANNED_MAX) <= indexed,
            indexed,
            count: shared.reader.committed().head.count(),
            trouble,
        }
    }

    /// Waits for a transaction from now on.
    #[must_use]
    pub fn wait_for(&self, hash: TxHash) -> Waiting {
        let (waking, woken) = oneshot::channel();
        let number = self.shared.memory().wait(hash, waking);
        Waiting { shared: Arc::clone(&self.shared), hash, number, woken }
    }

    /// Notes that a transaction is on its way to the engine, unless more is known of it.
    pub fn trying(&self, hash: TxHash) {
        let (mut memory, now) = (self.shared.memory(), Instant::now());
        if matches!(memory.pending(hash, now), None | Some(Pending::Overdue)) {
            memory.set_pending(hash, Pending::Trying, now);
        }
    }

    /// Notes that the engine took a transaction.
    pub fn taken(&self, hash: TxHash) {
        self.shared.memory().set_pending(hash, Pending::Taken, Instant::now());
    }

    /// Notes that the engine did not take a transaction. Returns whether it had taken the same bytes before.
    pub fn not_taken(&self, hash: TxHash) -> bool {
        let mut memory = self.shared.memory();
        let was_taken = memory.pending(hash, Instant::now()) == Some(Pending::Taken);
        if !was_taken {
            memory.forget_pending(hash);
        }
        was_taken
    }

    /// Notes that a transaction is refused, for good, and wakes those who wait for it.
    pub fn refuse(&self, hash: TxHash, refusal: &Refusal) {
        let waiting = self.shared.memory().refuse(hash, refusal.clone());
        wake(waiting, &Decided::Refused(refusal.clone()));
    }
}

impl Waiting {
    /// What became of the transaction; `None` when it is committed and the log cannot be read.
    ///
    /// May be called again when it was cut short, and not after it answered.
    pub async fn decided(&mut self) -> Option<Decided> {
        (&mut self.woken).await.ok()
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.shared.memory().leave(self.hash, self.number);
    }
}

impl Shared {
    fn memory(&self) -> MutexGuard<'_, Memory> {
        // Nothing panics between two changes that belong together.
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_index(&self, index: Option<Arc<Index>>) {
        *self.index.lock().unwrap_or_else(PoisonError::into_inner) = index;
    }

    fn set_trouble(&self, trouble: Option<String>) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }

    /// Indexes of the transaction's records below `end`, and whether all of those records were looked at.
    fn older(&self, hash: TxHash, end: u64) -> Result<(Vec<u64>, bool), ReadError> {
        let (mut indexes, indexed) = self.indexed(hash, end)?;
        let start = indexed.max(end.saturating_sub(SCANNED_MAX));
        indexes.extend(self.scan(hash, start, end)?);
        Ok((indexes, start <= indexed))
    }

    /// The same among the records from `from` on and below `end`, all of which are read.
    fn scan(&self, hash: TxHash, mut from: u64, end: u64) -> Result<Vec<u64>, ReadError> {
        let mut indexes = Vec::new();
        while from < end {
            let entries = self.reader.entries(from..end.min(from.saturating_add(ENTRIES_READ_MAX as u64)))?;
            if entries.is_empty() {
                break;
            }
            let found = (from..).zip(&entries).filter(|(_, entry)| entry.tx_hash == hash);
            indexes.extend(found.map(|(index, _)| index));
            from = from.saturating_add(entries.len() as u64);
        }
        Ok(indexes)
    }

    /// The same as far as the index goes, and how far that is.
    fn indexed(&self, hash: TxHash, end: u64) -> Result<(Vec<u64>, u64), ReadError> {
        let index = self.index.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(index) = index else { return Ok((Vec::new(), 0)) };
        // redb may panic where a file is damaged.
        let hits = catch_unwind(AssertUnwindSafe(|| index.find(hash, PLACES_MAX)));
        let hits = match hits {
            Ok(Ok(hits)) => hits,
            failed => {
                if let Ok(Err(error)) = failed {
                    tracing::warn!(%error, "cannot look into the index of receipts");
                }
                self.signal.broken();
                return Ok((Vec::new(), 0));
            }
        };
        let mut indexes = Vec::new();
        for index in hits.candidates.into_iter().filter(|index| *index < end) {
            if self.reader.entry(index)?.tx_hash == hash {
                indexes.push(index);
            }
        }
        Ok((indexes, hits.count))
    }

    /// Takes some results of a block, and wakes those who wait for them.
    fn take(&self, results: &[TxResult]) {
        let mut memory = self.memory();
        let woken = memory.take(results);
        let indexed = self.indexed.load(Ordering::Relaxed);
        // Fewer are taken at once than are forgotten; what is left is forgotten with the next ones.
        let _ = memory.forget(indexed);
        let waiting = memory.end().saturating_sub(indexed);
        drop(memory);
        if waiting >= BATCH_RECORDS {
            self.signal.hurry();
        }
        for Woken { wakings, outcome } in woken {
            let decided = match outcome {
                Ok(index) => {
                    self.reader.entry(index).map(|entry| Decided::Committed(Place::of(index, &entry)))
                }
                Err(refusal) => Ok(Decided::Refused(refusal)),
            };
            match decided {
                Ok(decided) => wake(wakings, &decided),
                // They learn it from their own look-up, which fails in the same way.
                Err(error) => tracing::error!(%error, "cannot read the receipt of a committed transaction"),
            }
        }
    }
}

fn wake(waiting: Vec<Waking>, decided: &Decided) {
    for waking in waiting {
        // One that has just stopped waiting does not need it.
        let _ = waking.send(decided.clone());
    }
}

/// The thread: takes blocks until nobody is left who could give one.
fn follow(shared: &Shared, blocks: &Receiver<Arc<[TxResult]>>) {
    for results in blocks {
        for some in results.chunks(RESULTS_AT_ONCE) {
            // A defect here must not end what others wait for.
            if catch_unwind(AssertUnwindSafe(|| shared.take(some))).is_err() {
                tracing::error!("taking the results of a block into the receipts met a defect");
            }
        }
    }
    shared.signal.stop();
}

#[cfg(test)]
mod tests;
