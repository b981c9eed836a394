//! The end of the sequence, for any number of followers: one thread waits for commits and passes them on.
//!
//! ```text
//! Commit ── wakes ──> thread `tail` ── reads the new bytes once ──> ring of recent bytes ──┐
//!                          ├── watch: the newest prefix ── wakes ──> who waits for it      │
//!                          └── lanes ── wake, some at a time ──────> followers ── read ────┴── else from the file
//! ```
//!
//! # Invariants
//!
//! - Commit wakes one thread, whatever the number of followers. What followers look at afterwards is the watch's value,
//!   never the lock that Commit takes.
//! - The ring has what the newest prefix has been extended by, before followers hear of it.
//! - Who waits for one commit, as a submitter does, hears of it before followers do, and thousands of these are not woken at once: who
//!   then waits for the processor would wait for all of them.
//!
//! # Limits
//!
//! The ring is bounded by [`RECENT_BYTES_MAX`] and [`RECENT_CHUNKS_MAX`]. A follower that needs older bytes reads them from
//! the file.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::sequence::{ENTRIES_READ_MAX, ENTRY_BYTES, Entry, Prefix, ReadError, Reader};

/// Maximum size of the bytes that the ring keeps, and of the entries. It is what 10 MB/s bring in more than a second: a follower
/// that is further behind is not live any more, and reads from the file.
const RECENT_BYTES_MAX: u64 = 16 << 20;
/// Maximum number of chunks in the ring; each block brings one at least.
const RECENT_CHUNKS_MAX: usize = 4096;
/// Maximum size of a chunk, in bytes. A follower that stalls keeps one alive, though the ring has dropped it.
const CHUNK_BYTES_MAX: usize = 64 << 10;
/// The identity of a sequence without records.
pub(super) const EMPTY: &str = "empty";
/// Maximum time for one read of the log's files. A disk that takes longer hangs, and a response that waits for it is cut off.
const READ_TIME_MAX: Duration = Duration::from_secs(30);
/// Followers are in so many lanes; those of one are woken together.
const LANES: usize = 256;
/// So many followers are woken at once, or a few more; to serve that many takes a core one to three milliseconds.
const WOKEN_AT_ONCE: usize = 100;
/// How long after these the next are woken.
const WAKE_PAUSE: Duration = Duration::from_millis(1);
/// How soon the thread ends after the last follower and the server have gone.
const PATIENCE: Duration = Duration::from_secs(1);

/// The end of the sequence. Clones share one thread and one ring.
#[derive(Clone)]
pub struct Tail {
    newest: watch::Receiver<Tip>,
    recent: Arc<Recent>,
    lanes: Arc<Lanes>,
}

/// As [`Tail`], for one who stays.
#[derive(Clone, Debug)]
pub struct Follower {
    tail: Tail,
    /// Changes after what is committed.
    lane: watch::Receiver<()>,
}

/// Where followers hear that more is committed.
struct Lanes {
    all: Vec<watch::Receiver<()>>,
    next: AtomicUsize,
}

/// What is committed, and of which sequence.
#[derive(Clone, Debug)]
pub struct Tip {
    prefix: Prefix,
    identity: Arc<str>,
}

/// Why committed bytes cannot be passed on.
#[derive(Debug, thiserror::Error)]
pub enum TailError {
    /// The log could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The thread is gone, after a defect of this program.
    #[error("nothing waits for commits any more")]
    Ended,
    /// The thread that read is gone, after a defect of this program.
    #[error("the thread that read committed bytes ended early")]
    Reading,
    /// The disk does not answer.
    #[error("the disk did not give committed bytes within {} s", READ_TIME_MAX.as_secs())]
    Slow,
}

impl Tip {
    /// The committed prefix.
    #[must_use]
    pub fn prefix(&self) -> &Prefix {
        &self.prefix
    }

    /// Length of the sequence in bytes.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.prefix.length()
    }

    /// Number of records.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.prefix.count()
    }

    /// Sixteen hexadecimal digits that are the same on all nodes of a network and others on every other network, or `empty`
    /// as long as the sequence is.
    #[must_use]
    pub fn identity(&self) -> &str {
        &self.identity
    }
}

impl Tail {
    /// Starts to follow the log. `network` says which network it is of; asked once, when there is a record.
    ///
    /// # Errors
    ///
    /// The thread cannot be started.
    pub fn start(reader: Reader, network: impl Fn() -> Option<String> + Send + 'static) -> io::Result<Self> {
        let prefix = reader.prefix();
        let identity = identity(&prefix, &network);
        let recent = Arc::new(Recent::after(&prefix));
        let (sender, newest) = watch::channel(Tip { prefix, identity });
        let (senders, lanes) = (0..LANES).map(|_| watch::channel(())).unzip();
        let lanes = Arc::new(Lanes { all: lanes, next: AtomicUsize::new(0) });
        let thread = Follow { reader, network, sender, recent: Arc::clone(&recent), lanes: senders };
        thread::Builder::new().name("tail".to_owned()).spawn(move || thread.run())?;
        Ok(Self { newest, recent, lanes })
    }

    /// For one who stays, and so is woken after those who wait for one commit.
    #[must_use]
    pub fn follower(&self) -> Follower {
        let next = self.lanes.next.fetch_add(1, Ordering::Relaxed) % LANES;
        Follower { tail: self.clone(), lane: self.lanes.all[next].clone() }
    }

    /// What is committed, as far as the followers have heard.
    #[must_use]
    pub fn now(&self) -> Tip {
        self.newest.borrow().clone()
    }

    /// Waits until something is so of what is committed.
    ///
    /// # Errors
    ///
    /// [`TailError::Ended`].
    pub async fn wait_until(&mut self, is_so: impl Fn(&Tip) -> bool) -> Result<Tip, TailError> {
        let tip = self.newest.wait_for(|tip| is_so(tip)).await.map_err(|_| TailError::Ended)?;
        Ok(tip.clone())
    }

    /// Some committed bytes from the start of `range` on: at least one if it is not empty, and `bytes_max` at most.
    ///
    /// # Errors
    ///
    /// When they are not in the ring and the file cannot be read, or the range does not begin before the end of what is committed.
    pub async fn bytes(&self, range: Range<u64>, bytes_max: usize) -> Result<Bytes, TailError> {
        let wanted =
            usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(bytes_max).min(bytes_max);
        if let Some(bytes) = self.recent.bytes().get(range.start, wanted) {
            return Ok(bytes);
        }
        let prefix = self.now().prefix;
        read(move || {
            let mut bytes = vec![0; wanted];
            let count = prefix.read(range.start, &mut bytes)?;
            bytes.truncate(count);
            Ok(Bytes::from(bytes))
        })
        .await
    }

    /// Entries of the records in `range`: at least one if it is not empty, and `count_max` at most.
    ///
    /// # Errors
    ///
    /// As [`Self::bytes`].
    pub async fn entries(&self, range: Range<u64>, count_max: usize) -> Result<Vec<Entry>, TailError> {
        let wanted =
            usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(count_max).min(count_max);
        let size = wanted.saturating_mul(Entry::buffer().len());
        if let Some(encoded) = self.recent.entries().get(Entry::place(range.start), size) {
            return Ok(encoded.as_chunks().0.iter().map(Entry::decode).collect());
        }
        let prefix = self.now().prefix;
        let end = range.start.saturating_add(wanted as u64);
        read(move || prefix.entries(range.start..end)).await
    }
}

/// Reads the log's files on a thread that may wait for the disk.
async fn read<T: Send + 'static>(
    read: impl FnOnce() -> Result<T, ReadError> + Send + 'static,
) -> Result<T, TailError> {
    match timeout(READ_TIME_MAX, spawn_blocking(read)).await {
        Ok(Ok(read)) => Ok(read?),
        Ok(Err(_)) => Err(TailError::Reading),
        Err(_) => Err(TailError::Slow),
    }
}

impl Follower {
    /// What it follows.
    #[must_use]
    pub fn tail(&self) -> &Tail {
        &self.tail
    }

    /// Waits until something is so of what is committed.
    ///
    /// # Errors
    ///
    /// [`TailError::Ended`].
    pub async fn wait_until(&mut self, is_so: impl Fn(&Tip) -> bool) -> Result<Tip, TailError> {
        loop {
            self.lane.mark_unchanged();
            let tip = self.tail.now();
            if is_so(&tip) {
                return Ok(tip);
            }
            self.lane.changed().await.map_err(|_| TailError::Ended)?;
        }
    }
}

impl fmt::Debug for Tail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tail").field("newest", &*self.newest.borrow()).finish_non_exhaustive()
    }
}

/// What the thread works with.
struct Follow<F> {
    reader: Reader,
    network: F,
    sender: watch::Sender<Tip>,
    recent: Arc<Recent>,
    lanes: Vec<watch::Sender<()>>,
}

impl<F: Fn() -> Option<String>> Follow<F> {
    /// Passes on commits, until nobody is left to hear of them.
    fn run(self) {
        super::server::yield_to_consensus();
        // How many of the lanes have not heard of the newest prefix; the next of them is the first.
        let mut waiting = 0;
        let mut lanes = self.lanes.iter().cycle();
        while !self.sender.is_closed() {
            let patience = if waiting > 0 { WAKE_PAUSE } else { PATIENCE };
            if self.publish_newest(patience) {
                waiting = self.lanes.len();
            }
            let mut woken = 0;
            while waiting > 0
                && woken < WOKEN_AT_ONCE
                && let Some(lane) = lanes.next()
            {
                lane.send_replace(());
                // One receiver is kept for further followers.
                woken = woken.saturating_add(lane.receiver_count().saturating_sub(1));
                waiting = waiting.saturating_sub(1);
            }
        }
    }

    /// Waits for a commit, and says whether there was one.
    fn publish_newest(&self, patience: Duration) -> bool {
        let before = self.sender.borrow().clone();
        let prefix = self.reader.wait_for_prefix(before.prefix.height(), patience);
        if prefix.height() <= before.prefix.height() {
            return false;
        }
        if let Err(error) = self.recent.extend(&before.prefix, &prefix) {
            // Followers read from the file instead, and say themselves if that fails.
            tracing::warn!(%error, "cannot read what has just been committed");
            self.recent.clear(&prefix);
        }
        let identity = match before.count() {
            0 => identity(&prefix, &self.network),
            _ => before.identity,
        };
        self.sender.send_replace(Tip { prefix, identity });
        true
    }
}

/// What tells this sequence from those of other networks: a hash over the network's name and its first record.
fn identity(prefix: &Prefix, network: &impl Fn() -> Option<String>) -> Arc<str> {
    if prefix.count() == 0 {
        return EMPTY.into();
    }
    let first = prefix.entries(0..1).ok().and_then(|entries| entries.first().map(Entry::encode));
    let digest = match (first, network()) {
        (Some(first), Some(network)) => {
            let mut hasher = blake3::Hasher::new_derive_key("dseq 2026-11 identity of a sequence");
            hasher.update(&first).update(network.as_bytes());
            hasher.finalize()
        }
        // It can't be told from other sequences: so it is like none, and nothing that clients kept of it is believed.
        _ => blake3::hash(&super::trace_context::random_id().to_le_bytes()),
    };
    data_encoding::HEXLOWER.encode(&digest.as_bytes()[..8]).into()
}

/// The newest bytes and entries.
struct Recent {
    bytes: Mutex<Ring>,
    entries: Mutex<Ring>,
}

impl Recent {
    fn after(prefix: &Prefix) -> Self {
        let ring = |end| Mutex::new(Ring { end, ..Ring::default() });
        Self { bytes: ring(prefix.length()), entries: ring(Entry::place(prefix.count())) }
    }

    fn bytes(&self) -> MutexGuard<'_, Ring> {
        // A poisoned ring may have lost a chunk, which `get` notices: chunks are found by where they start.
        self.bytes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn entries(&self) -> MutexGuard<'_, Ring> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn clear(&self, prefix: &Prefix) {
        *self.bytes() = Ring { end: prefix.length(), ..Ring::default() };
        *self.entries() = Ring { end: Entry::place(prefix.count()), ..Ring::default() };
    }

    /// Reads what `after` has more than `before`, or the end of it.
    fn extend(&self, before: &Prefix, after: &Prefix) -> Result<(), ReadError> {
        let mut start = before.length().max(after.length().saturating_sub(RECENT_BYTES_MAX));
        while start < after.length() {
            let size = usize::try_from(after.length().saturating_sub(start)).unwrap_or(CHUNK_BYTES_MAX);
            let mut bytes = vec![0; size.min(CHUNK_BYTES_MAX)];
            after.read(start, &mut bytes)?;
            let end = start.saturating_add(bytes.len() as u64);
            self.bytes().push(start, bytes.into());
            start = end;
        }
        let most = RECENT_BYTES_MAX / ENTRY_BYTES;
        let mut index = before.count().max(after.count().saturating_sub(most));
        while index < after.count() {
            let entries =
                after.entries(index..after.count().min(index.saturating_add(ENTRIES_READ_MAX as u64)))?;
            let encoded: Vec<[u8; _]> = entries.iter().map(Entry::encode).collect();
            for (at, chunk) in encoded.chunks(CHUNK_BYTES_MAX / Entry::buffer().len()).enumerate() {
                let before = at.saturating_mul(CHUNK_BYTES_MAX / Entry::buffer().len()) as u64;
                let place = Entry::place(index.saturating_add(before));
                self.entries().push(place, Bytes::copy_from_slice(chunk.as_flattened()));
            }
            index = index.saturating_add(entries.len() as u64);
        }
        Ok(())
    }
}

/// The end of something that only grows, in chunks.
#[derive(Default)]
struct Ring {
    /// Chunks by where they start, without gaps between them.
    chunks: VecDeque<(u64, Bytes)>,
    /// Where the last one ends.
    end: u64,
    /// Size of all of them.
    size: u64,
}

impl Ring {
    fn push(&mut self, start: u64, chunk: Bytes) {
        if start != self.end {
            self.chunks.clear();
            self.size = 0;
        }
        let size = chunk.len() as u64;
        self.end = start.saturating_add(size);
        self.size = self.size.saturating_add(size);
        self.chunks.push_back((start, chunk));
        while self.size > RECENT_BYTES_MAX || self.chunks.len() > RECENT_CHUNKS_MAX {
            let dropped = self.chunks.pop_front().map_or(0, |(_, chunk)| chunk.len() as u64);
            self.size = self.size.saturating_sub(dropped);
        }
    }

    /// Up to `wanted` bytes from `start` on, if those are still here, and a chunk's size at most. What one chunk has is not
    /// copied.
    fn get(&self, start: u64, wanted: usize) -> Option<Bytes> {
        let wanted = wanted.min(CHUNK_BYTES_MAX);
        let at = self.chunks.partition_point(|(begins, _)| *begins <= start).checked_sub(1)?;
        let (begins, chunk) = self.chunks.get(at)?;
        let within = usize::try_from(start.checked_sub(*begins)?).ok()?;
        let first = chunk.get(within..).filter(|rest| !rest.is_empty())?;
        let mut further = self.chunks.range(at.saturating_add(1)..);
        if first.len() >= wanted || further.len() == 0 {
            return Some(chunk.slice(within..within.saturating_add(wanted).min(chunk.len())));
        }
        let mut copied = Vec::with_capacity(wanted);
        copied.extend_from_slice(first);
        while copied.len() < wanted
            && let Some((_, chunk)) = further.next()
        {
            let room = wanted.saturating_sub(copied.len());
            copied.extend_from_slice(&chunk[..chunk.len().min(room)]);
        }
        Some(copied.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sequence::{HashedRecord, Log, Staging};
    use crate::types::{AppHash, Height, PipelineId, TxHash};

    const FOLLOWERS: usize = 10 * WOKEN_AT_ONCE;

    fn commit(log: &mut Log, height: u64) {
        let mut staging = Staging::begin(log.head(), Height(height));
        staging.push(TxHash::of(b"x"), &HashedRecord::of(&b"x"[..])).unwrap();
        log.commit(&staging.finish(), AppHash::default(), PipelineId::default()).unwrap();
    }

    fn started(dir: &tempfile::TempDir) -> (Log, Tail) {
        let log = Log::open(dir.path()).unwrap();
        let tail = Tail::start(log.reader(), || None).unwrap();
        (log, tail)
    }

    #[tokio::test]
    async fn each_of_many_followers_hears_of_every_commit() {
        let dir = tempfile::tempdir().unwrap();
        let (mut log, tail) = started(&dir);
        let mut followers = tokio::task::JoinSet::new();
        for _ in 0..FOLLOWERS {
            let mut follower = tail.follower();
            followers.spawn(async move {
                for count in 1..=20 {
                    follower.wait_until(|tip| tip.count() >= count).await.unwrap();
                }
            });
        }
        for height in 1..=20 {
            commit(&mut log, height);
            tokio::task::yield_now().await;
        }
        timeout(Duration::from_secs(60), followers.join_all()).await.expect("nobody waits for ever");
    }

    #[tokio::test]
    async fn who_waits_for_one_commit_hears_of_it_before_all_followers() {
        let dir = tempfile::tempdir().unwrap();
        let (mut log, mut tail) = started(&dir);
        let heard = Arc::new(Mutex::new(Vec::new()));
        let mut waiting = tokio::task::JoinSet::new();
        for _ in 0..FOLLOWERS {
            let (mut follower, heard) = (tail.follower(), Arc::clone(&heard));
            waiting.spawn(async move {
                follower.wait_until(|tip| tip.count() == 1).await.unwrap();
                heard.lock().unwrap().push("follower");
            });
        }
        let told = Arc::clone(&heard);
        waiting.spawn(async move {
            tail.wait_until(|tip| tip.count() == 1).await.unwrap();
            told.lock().unwrap().push("submitter");
        });
        // All of them wait by then: some dozens run between.
        for _ in 0..FOLLOWERS {
            tokio::task::yield_now().await;
        }
        commit(&mut log, 1);
        waiting.join_all().await;
        let heard = heard.lock().unwrap();
        assert_eq!((heard[0], heard.len()), ("submitter", FOLLOWERS + 1));
    }
}
