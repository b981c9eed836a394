//! Where each transaction landed, by its hash, and the wake-up of those who wait for one.
//!
//! ```text
//! Commit ── block's results ──> channel ──> thread `receipts` ──> memory: newest records, refused ──> who waits is woken
//! who submits ── pending, refused ────────────────────────────────> memory
//! look-up <── memory, then the log's entries
//! ```
//!
//! All of it is derived from the log, follows behind Commit, and is no part of what is committed. What memory knew of pending
//! and refused transactions is gone when the process ends: such a transaction is unknown then, until it is committed.
//!
//! # Invariants
//!
//! - Commit puts a block's results into a channel and does nothing else here: no lock of this module is taken by Commit.
//! - Whoever registers to wait and looks the transaction up after that misses nothing: the thread makes a record known
//!   before it wakes, under one lock.

mod memory;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use tokio::sync::oneshot;

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

/// The receipts of one log; clones share one state.
#[derive(Clone)]
pub struct Receipts {
    shared: Arc<Shared>,
    blocks: Sender<Arc<[TxResult]>>,
}

struct Shared {
    reader: Reader,
    memory: Mutex<Memory>,
}

/// Waits for a transaction, from when it is made on.
pub struct Waiting {
    shared: Arc<Shared>,
    hash: TxHash,
    number: u64,
    woken: oneshot::Receiver<Decided>,
}

impl Receipts {
    /// Follows a log from what is committed now on.
    ///
    /// # Errors
    ///
    /// The system gives no thread.
    pub fn open(reader: Reader) -> std::io::Result<Self> {
        let memory = Mutex::new(Memory::new(reader.committed().head.count()));
        let shared = Arc::new(Shared { reader, memory });
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
        let (newest, first) = (memory.indexes(hash, PLACES_MAX), memory.first());
        let (refusal, pending) = (memory.refusal(hash), memory.pending(hash));
        drop(memory);
        let (mut indexes, complete) = self.shared.older(hash, first)?;
        indexes.extend(newest);
        indexes.truncate(PLACES_MAX);
        let place = |index| Ok(Place::of(index, &self.shared.reader.entry(index)?));
        let places: Vec<Place> = indexes.into_iter().map(place).collect::<Result<_, ReadError>>()?;
        let known = match (refusal, pending) {
            _ if !places.is_empty() => Known::Committed(places),
            (Some(refusal), _) => Known::Refused(refusal),
            (None, Some(_)) => Known::Pending,
            (None, None) => Known::Unknown,
        };
        Ok(Found { known, complete })
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
        let mut memory = self.shared.memory();
        if memory.pending(hash).is_none() {
            memory.set_pending(hash, Pending::Trying);
        }
    }

    /// Notes that the engine took a transaction.
    pub fn taken(&self, hash: TxHash) {
        self.shared.memory().set_pending(hash, Pending::Taken);
    }

    /// Notes that the engine did not take a transaction. Returns whether it had taken the same bytes before.
    pub fn not_taken(&self, hash: TxHash) -> bool {
        let mut memory = self.shared.memory();
        let was_taken = memory.pending(hash) == Some(Pending::Taken);
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

    /// Indexes of the transaction's records below `end`, and whether all of those records were looked at.
    fn older(&self, hash: TxHash, end: u64) -> Result<(Vec<u64>, bool), ReadError> {
        let start = end.saturating_sub(SCANNED_MAX);
        let mut indexes = Vec::new();
        let mut from = start;
        while from < end {
            let entries = self.reader.entries(from..end.min(from.saturating_add(ENTRIES_READ_MAX as u64)))?;
            if entries.is_empty() {
                break;
            }
            let found = (from..).zip(&entries).filter(|(_, entry)| entry.tx_hash == hash);
            indexes.extend(found.map(|(index, _)| index));
            from = from.saturating_add(entries.len() as u64);
        }
        Ok((indexes, start == 0))
    }

    /// Takes some results of a block, and wakes those who wait for them.
    fn take(&self, results: &[TxResult]) {
        let mut memory = self.memory();
        let woken = memory.take(results);
        memory.forget(0);
        drop(memory);
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
}

#[cfg(test)]
mod tests;
