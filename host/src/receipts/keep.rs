//! The thread that keeps the index: it follows the log, and builds the index anew when it has to.
//!
//! Nothing waits for it: what the index does not have yet, memory has, or the end of the log.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::setpriority_process;

use super::Shared;
use super::index::Index;
use crate::sequence::{ENTRIES_READ_MAX, Entry, ReadError};

/// How long records wait to be indexed, together: each batch is a sync of the disk that Commit uses too.
const PAUSE: Duration = Duration::from_secs(5);
/// This many are not let wait.
pub(super) const BATCH_RECORDS: u64 = 64 << 10;
/// Records that are indexed at once at most: sorting more saves pages, and takes memory (112 bytes each).
const BATCH_RECORDS_MAX: u64 = 256 << 10;
/// Pause after a failure, such as a full disk.
const FAILURE_PAUSE: Duration = Duration::from_secs(30);
/// How much lower the thread's priority is than that of consensus (nice(2)): it is in nobody's way when it builds an index.
const NICE: i32 = 10;
/// An index that took longer to catch up is mentioned.
const CATCH_UP_IS_LONG: Duration = Duration::from_secs(1);

/// Requests to the thread.
#[derive(Default)]
pub(super) struct Signal {
    told: Mutex<Told>,
    changed: Condvar,
}

#[derive(Default)]
struct Told {
    /// Many records wait.
    hurry: bool,
    /// A look-up found the index broken.
    broken: bool,
    /// Nobody needs the index any more.
    stop: bool,
}

impl Signal {
    /// Many records wait.
    pub(super) fn hurry(&self) {
        self.tell(|told| told.hurry = true);
    }

    /// The index does not answer as it should.
    pub(super) fn broken(&self) {
        self.tell(|told| told.broken = true);
    }

    /// It is over.
    pub(super) fn stop(&self) {
        self.tell(|told| told.stop = true);
    }

    fn tell(&self, tell: impl FnOnce(&mut Told)) {
        tell(&mut self.told.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_all();
    }

    fn stopped(&self) -> bool {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).stop
    }

    /// Waits for something of interest, and takes note of it.
    fn wait(&self, timeout: Duration, of_interest: impl Fn(&Told) -> bool) -> Told {
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_timeout_while(told, timeout, |told| !of_interest(told));
        let (mut told, _) = waited.unwrap_or_else(PoisonError::into_inner);
        // The end stays told.
        let left = Told { stop: told.stop, ..Told::default() };
        std::mem::replace(&mut *told, left)
    }
}

/// The thread: keeps the index at `path` until it is stopped.
pub(super) fn keep(shared: &Shared, path: &Path) {
    // It is always allowed.
    let _ = setpriority_process(None, NICE);
    let mut broke_before = false;
    loop {
        let mut pause = FAILURE_PAUSE;
        let kept = catch_unwind(AssertUnwindSafe(|| follow(shared, path)));
        shared.set_index(None);
        match kept {
            Ok(Ok(End::Stopped)) => return,
            Ok(Ok(End::Broken)) | Err(_) => {
                tracing::warn!("the index of receipts does not answer; building a new one");
                shared.set_trouble(Some("it does not answer, and is built anew".to_owned()));
                // What cannot be removed is damaged still when it is opened.
                let _ = std::fs::remove_file(path);
                if !std::mem::replace(&mut broke_before, true) {
                    pause = Duration::ZERO;
                }
            }
            Ok(Err(error)) => {
                tracing::warn!(
                    path = %path.display(), %error,
                    "cannot keep the index of receipts; trying again in {} s. Receipts of the newest records are found all the same",
                    FAILURE_PAUSE.as_secs()
                );
                shared.set_trouble(Some(format!("{}: {error}", path.display())));
            }
        }
        if shared.signal.wait(pause, |told| told.stop).stop {
            return;
        }
    }
}

/// Why the thread does not go on with an index.
enum End {
    Stopped,
    Broken,
}

fn follow(shared: &Shared, path: &Path) -> Result<End, Box<dyn std::error::Error + Send + Sync>> {
    let began = Instant::now();
    let index = Arc::new(Index::open(path, &shared.reader)?);
    let mut done = index.count()?;
    shared.indexed.store(done, Ordering::Relaxed);
    shared.set_index(Some(Arc::clone(&index)));
    // It is open: what kept an earlier one from it is over, and it is only incomplete.
    shared.set_trouble(None);
    let behind = shared.reader.committed().head.count().saturating_sub(done);
    let mut is_first = true;
    loop {
        while done < shared.reader.committed().head.count() {
            if shared.signal.stopped() {
                return Ok(End::Stopped);
            }
            let batch = batch(shared, done)?;
            index.add(done, &batch)?;
            done = done.saturating_add(batch.len() as u64);
            shared.indexed.store(done, Ordering::Relaxed);
            // Some at a time, so that nobody waits long for the lock.
            while shared.memory().forget(done) {
                thread::yield_now();
            }
        }
        if std::mem::take(&mut is_first) && began.elapsed() >= CATCH_UP_IS_LONG {
            let seconds = began.elapsed().as_secs_f64();
            tracing::info!(records = behind, seconds, "the index of receipts has caught up with the log");
        }
        let told = shared.signal.wait(PAUSE, |told| told.stop || told.broken || told.hurry);
        if told.broken {
            return Ok(End::Broken);
        }
        if told.stop {
            return Ok(End::Stopped);
        }
    }
}

/// The entries of the next records.
fn batch(shared: &Shared, from: u64) -> Result<Vec<Entry>, ReadError> {
    let mut entries = Vec::new();
    while (entries.len() as u64) < BATCH_RECORDS_MAX {
        let start = from.saturating_add(entries.len() as u64);
        let more = shared.reader.entries(start..start.saturating_add(ENTRIES_READ_MAX as u64))?;
        if more.is_empty() {
            break;
        }
        entries.extend(more);
    }
    Ok(entries)
}
