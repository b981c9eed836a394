//! The end of the sequence, for any number of followers: one thread waits for commits and passes them on.
//!
//! ```text
//! Commit ── wakes ──> thread `tail` ── reads the new bytes once ──> ring of recent bytes ──┐
//!                          ├── watch: the newest prefix ── wakes ──> submitters            │
//!                          └── wakes some at a time ───────────────> followers ── read ────┴── else from the file
//! ```
//!
//! # Invariants
//!
//! - Commit wakes one thread, whatever the number of followers. What followers look at afterwards is the watch's value,
//!   never the lock that Commit takes.
//! - The ring has what the newest prefix has been extended by, before followers hear of it.
//! - Submitters hear of a commit before followers do, and these are woken in batches: else a submitter's answer would wait for the
//!   processor behind thousands of them.
//!
//! A follower that needs older bytes than the ring has reads them from the file.

mod followers;
mod recent;

use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use self::followers::{BATCH, Followers, LastWords};
use self::recent::Recent;
use crate::sequence::{Entry, Prefix, ReadError, Reader};

/// The identity of a sequence without records.
pub(super) const EMPTY: &str = "empty";
/// Maximum time for one read of the log's files. A disk that takes longer hangs, and a response that waits for it is cut off.
const READ_TIME_MAX: Duration = Duration::from_secs(30);
/// How long after a batch of followers the next one is woken.
const BATCH_PAUSE: Duration = Duration::from_millis(1);
/// How soon the thread ends after the last follower and the server have gone.
const PATIENCE: Duration = Duration::from_secs(1);

/// The end of the sequence. Clones share one thread and one ring.
#[derive(Clone)]
pub struct Tail {
    newest: watch::Receiver<Tip>,
    recent: Arc<Recent>,
    followers: Arc<Followers>,
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
    ///
    /// Restart the node, and report it, with its log.
    #[error("nothing waits for commits any more")]
    Ended,
    /// The thread that read is gone, after a defect of this program.
    ///
    /// Restart the node, and report it, with its log.
    #[error("the thread that read committed bytes ended early")]
    Reading,
    /// The disk does not answer.
    ///
    /// Check the node's disk, and read from another node meanwhile.
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
        let followers = Arc::new(Followers::default());
        let thread = TailThread {
            reader,
            network,
            sender,
            recent: Arc::clone(&recent),
            followers: Arc::clone(&followers),
        };
        thread::Builder::new().name("tail".to_owned()).spawn(move || thread.run())?;
        Ok(Self { newest, recent, followers })
    }

    /// What is committed, as far as the followers have heard.
    #[must_use]
    pub fn now(&self) -> Tip {
        self.newest.borrow().clone()
    }

    /// As [`Self::wait_until`], for one of many who go on waiting: it may be woken a third of a second later, with as many
    /// followers as connections can be open.
    ///
    /// # Errors
    ///
    /// [`TailError::Ended`].
    pub async fn follow_until(&self, is_so: impl Fn(&Tip) -> bool) -> Result<Tip, TailError> {
        let tip = self.followers.wait_for(|| Some(self.now()).filter(|tip| is_so(tip)));
        tip.await.ok_or(TailError::Ended)
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

impl fmt::Debug for Tail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tail").field("newest", &*self.newest.borrow()).finish_non_exhaustive()
    }
}

/// What the thread works with.
struct TailThread<F> {
    reader: Reader,
    network: F,
    sender: watch::Sender<Tip>,
    recent: Arc<Recent>,
    followers: Arc<Followers>,
}

impl<F: Fn() -> Option<String>> TailThread<F> {
    /// Passes on commits, until nobody is left to hear of them.
    fn run(self) {
        super::server::yield_to_consensus();
        let _last_words = LastWords(Arc::clone(&self.followers));
        // Followers that the newest commit still has to wake.
        let mut to_wake = 0_usize;
        while !self.sender.is_closed() {
            if self.publish_newest(if to_wake > 0 { BATCH_PAUSE } else { PATIENCE }) {
                to_wake = self.followers.waiting();
            }
            self.followers.wake(to_wake.min(BATCH));
            to_wake = to_wake.saturating_sub(BATCH);
        }
    }

    /// Waits for a commit, passes it on, and says whether there was one.
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

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::sequence::{HashedRecord, Log, Staging};
    use crate::types::{AppHash, Height, PipelineId, TxHash};

    const FOLLOWERS: usize = 10 * BATCH;

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
    async fn each_of_many_followers_hears_of_commits_that_come_faster_than_it() {
        let dir = tempfile::tempdir().unwrap();
        let (mut log, tail) = started(&dir);
        let mut followers = tokio::task::JoinSet::new();
        for _ in 0..FOLLOWERS {
            let follower = tail.clone();
            followers.spawn(async move {
                for count in 1..=20 {
                    follower.follow_until(|tip| tip.count() >= count).await.unwrap();
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
            let (follower, heard) = (tail.clone(), Arc::clone(&heard));
            waiting.spawn(async move {
                follower.follow_until(|tip| tip.count() == 1).await.unwrap();
                heard.lock().unwrap().push("follower");
            });
        }
        let order = Arc::clone(&heard);
        waiting.spawn(async move {
            tail.wait_until(|tip| tip.count() == 1).await.unwrap();
            order.lock().unwrap().push("submitter");
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
