//! Those who wait for more of the sequence, and are woken some at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::Notify;

/// Followers woken in one batch. To serve each takes 11 to 24 us of a core, so all of them take about a millisecond.
pub(super) const BATCH: usize = 50;

/// All followers of a log.
#[derive(Default)]
pub(super) struct Followers {
    waiting: AtomicUsize,
    /// Wakes them in the order in which they began to wait.
    more: Notify,
    ended: AtomicBool,
}

impl Followers {
    /// Waits until `look` finds something: it is called at first and whenever there is more. None: nobody wakes followers any
    /// more.
    pub(super) async fn wait_for<T>(&self, look: impl Fn() -> Option<T>) -> Option<T> {
        loop {
            let mut woken = std::pin::pin!(self.more.notified());
            // Before it looks, so that a commit that it does not see yet wakes it.
            let _waiting = Waiting::begin(&self.waiting);
            woken.as_mut().enable();
            if let Some(found) = look() {
                return Some(found);
            }
            if self.ended.load(Ordering::SeqCst) {
                return None;
            }
            woken.await;
        }
    }

    /// How many wait. Each of them is woken by as many calls of [`Self::wake`], whoever else begins to wait meanwhile.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::SeqCst)
    }

    /// Wakes those that have waited longest.
    pub(super) fn wake(&self, count: usize) {
        (0..count).for_each(|_| self.more.notify_one());
    }
}

/// One that waits, until this is dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn begin(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Dropping it tells all followers that nobody wakes them any more.
pub(super) struct LastWords(pub(super) Arc<Followers>);

impl Drop for LastWords {
    fn drop(&mut self) {
        self.0.ended.store(true, Ordering::SeqCst);
        self.0.more.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::atomic::AtomicU64;
    use std::task::Poll;

    use futures_util::future::{BoxFuture, poll_immediate};
    use futures_util::{FutureExt as _, poll};

    use super::*;

    /// Followers, each waiting until the length is at least what it wants.
    struct Waiters {
        all: Arc<Followers>,
        length: Arc<AtomicU64>,
    }

    impl Waiters {
        fn new() -> Self {
            Self { all: Arc::default(), length: Arc::default() }
        }

        fn wait(&self, wanted: u64) -> BoxFuture<'static, Option<u64>> {
            let (all, length) = (Arc::clone(&self.all), Arc::clone(&self.length));
            let found = move || Some(length.load(Ordering::SeqCst)).filter(|length| *length >= wanted);
            async move { all.wait_for(found).await }.boxed()
        }
    }

    async fn assert_all_wait(waiting: &mut [BoxFuture<'static, Option<u64>>]) {
        for one in waiting {
            assert!(poll!(one).is_pending());
        }
    }

    #[tokio::test]
    async fn as_many_are_woken_as_is_said_and_those_first_that_have_waited_longest() {
        let waiters = Waiters::new();
        let mut waiting: Vec<_> = (0..5).map(|_| waiters.wait(1)).collect();
        assert_all_wait(&mut waiting).await;
        waiters.length.store(1, Ordering::SeqCst);
        assert_eq!(waiters.all.waiting(), 5);
        waiters.all.wake(2);
        for (place, one) in waiting.iter_mut().enumerate() {
            assert_eq!(poll!(one), if place < 2 { Poll::Ready(Some(1)) } else { Poll::Pending }, "{place}");
        }
        assert_eq!(waiters.all.waiting(), 3);
        // One that is gone leaves its turn to the next.
        waiters.all.wake(1);
        drop(waiting.remove(2));
        assert_eq!(poll!(&mut waiting[2]), Poll::Ready(Some(1)));
    }

    #[tokio::test]
    async fn a_commit_between_two_batches_leaves_nobody_out() {
        let waiters = Waiters::new();
        let mut waiting: Vec<_> = (0..4).map(|_| waiters.wait(2)).collect();
        assert_all_wait(&mut waiting).await;
        waiters.length.store(1, Ordering::SeqCst);
        waiters.all.wake(2);
        // The first two looked, and wait again, behind the others.
        assert_all_wait(&mut waiting).await;
        waiters.length.store(2, Ordering::SeqCst);
        waiters.all.wake(waiters.all.waiting());
        for one in &mut waiting {
            assert_eq!(poll!(one), Poll::Ready(Some(2)));
        }
    }

    #[tokio::test]
    async fn nobody_waits_for_what_has_ended() {
        let waiters = Waiters::new();
        let mut waits = pin!(waiters.wait(1));
        assert_eq!(poll_immediate(&mut waits).await, None);
        drop(LastWords(Arc::clone(&waiters.all)));
        assert_eq!(waits.await, None);
        assert_eq!(waiters.wait(1).await, None);
    }
}
