//! What became of each request, and the counters and histograms of all of them.
//!
//! # Invariants
//!
//! - A request's outcome changes from pending once, and then at most from unknown to committed.
//! - A transaction counts as committed only when a block's results have its receipt. That a node said it would take it
//!   (`broadcast_tx_sync`, code 0) is no promise.
//!
//! # Limits
//!
//! Each request takes one [`Slot`] until the end of the run, 72 bytes.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::Serialize;
use tokio::sync::OwnedSemaphorePermit;

use crate::sequence::Receipt;

/// A latency that is not known.
const NONE: u32 = u32::MAX;
/// Maximum number of different reasons that are told apart; what follows is counted under one of them.
const REASONS_MAX: u16 = 64;
/// Two significant digits more than anybody reads: a value is off by less than 0.1 %.
const SIGNIFICANT_DIGITS: u8 = 3;
/// A request that leaves its generator more than this after it was due is late.
pub(super) const LATE: Duration = Duration::from_millis(10);

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Not decided yet.
    Pending,
    /// It is in a block, which accepted it.
    Committed {
        receipt: Receipt,
        /// Whether that was only learned after its time was over.
        late: bool,
    },
    /// The app rejected it, in CheckTx or in a block.
    Rejected(u16),
    /// It never got into the network.
    Failed(u16),
    /// It may be committed or not.
    Unknown(u16),
}

/// One request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot {
    /// When it was due, in microseconds from the beginning of the run.
    pub(super) due: u64,
    /// How much later it was sent.
    lag: u32,
    /// How much later than due the node answered.
    answered: u32,
    /// How much later than due it was committed.
    committed: u32,
    /// Size of the transaction in bytes.
    pub(super) size: u32,
    /// The node it was sent to.
    pub(super) node: u16,
    pub(super) outcome: Outcome,
}

const _: () = assert!(size_of::<Slot>() <= 72, "the documentation says so");

impl Slot {
    /// Microseconds from due to sent.
    pub(super) fn lag(&self) -> Option<u64> {
        known(self.lag)
    }

    /// Microseconds from due to the node's answer.
    pub(super) fn answered(&self) -> Option<u64> {
        known(self.answered)
    }

    /// Microseconds from due to committed.
    pub(super) fn committed(&self) -> Option<u64> {
        known(self.committed)
    }
}

fn known(micros: u32) -> Option<u64> {
    (micros != NONE).then(|| micros.into())
}

/// Why requests were rejected, failed or are unknown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// The code of a rejection, and its codespace.
    pub code: Option<(String, u32)>,
    /// In words; of a rejection, the first message that came with the code.
    pub words: String,
}

/// Counts by outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Handed to the network, or tried to.
    pub offered: u64,
    /// Committed in time.
    pub committed: u64,
    /// Rejected by the app.
    pub rejected: u64,
    /// Never got into the network.
    pub failed: u64,
    /// May be committed or not.
    pub unknown: u64,
}

/// How the run goes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Live {
    /// Time since the beginning.
    pub elapsed: Duration,
    /// Counts by outcome.
    pub counts: Counts,
    /// Offered and not decided.
    pub in_flight: u64,
    /// The 99th percentile of the latencies since the last look; none: nothing was committed.
    pub p99: Option<Duration>,
    /// The requests that the run will have; none: it goes by time.
    pub requests: Option<u64>,
    /// How long it will take; none: it goes by requests.
    pub duration: Option<Duration>,
}

struct Flight {
    /// After this the transaction counts as unknown.
    deadline: Instant,
    /// Lets another request start when it is dropped.
    _permit: OwnedSemaphorePermit,
}

struct Inner {
    slots: Vec<Slot>,
    flights: BTreeMap<u32, Flight>,
    /// Of these flights, those to each node.
    pending: Vec<u64>,
    reasons: Vec<Reason>,
    counts: Counts,
    /// Latencies to commit, in microseconds.
    latencies: Histogram<u64>,
    /// The same since the last look.
    recent: Histogram<u64>,
    /// When the last transaction was committed, in microseconds from the beginning on.
    last_commit: u64,
}

/// All requests of a run.
pub(super) struct Ledger {
    started: Instant,
    timeout: Duration,
    inner: Mutex<Inner>,
}

/// A ledger whose run is over.
pub(super) struct Closed {
    pub(super) slots: Vec<Slot>,
    pub(super) reasons: Vec<Reason>,
    pub(super) counts: Counts,
    pub(super) latencies: Histogram<u64>,
    pub(super) last_commit: u64,
}

/// A histogram of microseconds that holds every latency that a slot does.
pub(super) fn histogram() -> Histogram<u64> {
    Histogram::new_with_max(NONE.into(), SIGNIFICANT_DIGITS).expect("three digits are allowed")
}

impl Ledger {
    /// A ledger for a run against so many nodes that begins now.
    pub(super) fn new(nodes: usize, timeout: Duration) -> Self {
        let inner = Inner {
            slots: Vec::new(),
            flights: BTreeMap::new(),
            pending: vec![0; nodes],
            reasons: Vec::new(),
            counts: Counts::default(),
            latencies: histogram(),
            recent: histogram(),
            last_commit: 0,
        };
        Self { started: Instant::now(), timeout, inner: Mutex::new(inner) }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When the run began.
    pub(super) fn started(&self) -> Instant {
        self.started
    }

    /// Whether a transaction was sent to this node.
    pub(super) fn is_of(&self, number: u32, node: u16) -> bool {
        self.inner().slots.get(number as usize).is_some_and(|slot| slot.node == node)
    }

    /// Registers a request to a node, which was due so long after the beginning. Returns its number, from which `size` tells
    /// its size in bytes.
    pub(super) fn begin(
        &self,
        node: u16,
        due: Duration,
        permit: OwnedSemaphorePermit,
        size: impl FnOnce(u32) -> u64,
    ) -> u32 {
        let mut inner = self.inner();
        let number = u32::try_from(inner.slots.len()).expect("there are at most REQUESTS_MAX");
        let size = u32::try_from(size(number)).unwrap_or(u32::MAX);
        let due = u64::try_from(due.as_micros()).unwrap_or(u64::MAX);
        let outcome = Outcome::Pending;
        inner.slots.push(Slot { due, lag: NONE, answered: NONE, committed: NONE, size, node, outcome });
        let deadline = Instant::now() + self.timeout;
        inner.flights.insert(number, Flight { deadline, _permit: permit });
        inner.pending[usize::from(node)] += 1;
        inner.counts.offered += 1;
        number
    }

    /// The request leaves the generator.
    pub(super) fn sent(&self, number: u32, at: Instant) {
        let (started, mut inner) = (self.started, self.inner());
        if let Some(slot) = inner.slots.get_mut(number as usize) {
            slot.lag = since(slot, started, at);
        }
    }

    /// The node has answered: it took the transaction.
    pub(super) fn answered(&self, number: u32, at: Instant) {
        let (started, mut inner) = (self.started, self.inner());
        if let Some(slot) = inner.slots.get_mut(number as usize) {
            slot.answered = since(slot, started, at);
        }
    }

    /// The app rejected it.
    pub(super) fn rejected(&self, number: u32, codespace: &str, code: u32, words: &str) {
        self.inner().end(number, Some((codespace.to_owned(), code)), words, Outcome::Rejected);
    }

    /// It never got into the network.
    pub(super) fn failed(&self, number: u32, words: &str) {
        self.inner().end(number, None, words, Outcome::Failed);
    }

    /// It may be committed or not.
    pub(super) fn unknown(&self, number: u32, words: &str) {
        self.inner().end(number, None, words, Outcome::Unknown);
    }

    /// A block with it is committed at the node it was sent to.
    pub(super) fn committed(&self, number: u32, receipt: Receipt, at: Instant) {
        let (started, mut inner) = (self.started, self.inner());
        let Some(slot) = inner.slots.get_mut(number as usize) else { return };
        match slot.outcome {
            Outcome::Pending => {
                let latency = since(slot, started, at);
                let done = slot.due.saturating_add(latency.into());
                slot.committed = latency;
                slot.outcome = Outcome::Committed { receipt, late: false };
                inner.counts.committed += 1;
                inner.last_commit = inner.last_commit.max(done);
                inner.latencies.saturating_record(latency.max(1).into());
                inner.recent.saturating_record(latency.max(1).into());
                inner.land(number);
            }
            Outcome::Unknown(_) => slot.outcome = Outcome::Committed { receipt, late: true },
            // Of what was not to be in the sequence, the verification says so.
            Outcome::Committed { .. } | Outcome::Rejected(_) | Outcome::Failed(_) => {}
        }
    }

    /// Gives up waiting for what has had its time.
    pub(super) fn expire(&self, now: Instant) {
        let mut inner = self.inner();
        let over: Vec<u32> = inner
            .flights
            .iter()
            // Later requests have later deadlines.
            .take_while(|(_, flight)| flight.deadline <= now)
            .map(|(number, _)| *number)
            .collect();
        let words = format!("no block with it within {} s", self.timeout.as_secs_f64());
        for number in over {
            inner.end(number, None, &words, Outcome::Unknown);
        }
    }

    /// Gives up waiting for all.
    pub(super) fn give_up(&self, words: &str) {
        let mut inner = self.inner();
        while let Some((number, _)) = inner.flights.first_key_value() {
            let number = *number;
            inner.end(number, None, words, Outcome::Unknown);
        }
    }

    /// How many requests are not decided yet.
    pub(super) fn in_flight(&self) -> u64 {
        self.inner().flights.len() as u64
    }

    /// Of these, those to one node.
    pub(super) fn pending(&self, node: u16) -> u64 {
        self.inner().pending[usize::from(node)]
    }

    /// How the run goes.
    pub(super) fn live(&self) -> Live {
        let mut inner = self.inner();
        let p99 =
            (!inner.recent.is_empty()).then(|| Duration::from_micros(inner.recent.value_at_quantile(0.99)));
        inner.recent.reset();
        Live {
            elapsed: self.started.elapsed(),
            counts: inner.counts,
            in_flight: inner.flights.len() as u64,
            p99,
            requests: None,
            duration: None,
        }
    }

    /// Takes everything out, when nothing is written any more.
    pub(super) fn close(&self) -> Closed {
        let mut inner = self.inner();
        Closed {
            slots: std::mem::take(&mut inner.slots),
            reasons: std::mem::take(&mut inner.reasons),
            counts: inner.counts,
            latencies: inner.latencies.clone(),
            last_commit: inner.last_commit,
        }
    }
}

fn since(slot: &Slot, started: Instant, at: Instant) -> u32 {
    let at = u64::try_from(at.saturating_duration_since(started).as_micros()).unwrap_or(u64::MAX);
    u32::try_from(at.saturating_sub(slot.due)).unwrap_or(NONE).min(NONE - 1)
}

impl Inner {
    /// Ends a pending request without a commit.
    fn end(
        &mut self,
        number: u32,
        code: Option<(String, u32)>,
        words: &str,
        outcome: impl FnOnce(u16) -> Outcome,
    ) {
        if self.slots.get(number as usize).is_none_or(|slot| slot.outcome != Outcome::Pending) {
            return;
        }
        let outcome = outcome(self.reason(code, words));
        self.slots[number as usize].outcome = outcome;
        match outcome {
            Outcome::Rejected(_) => self.counts.rejected += 1,
            Outcome::Failed(_) => self.counts.failed += 1,
            Outcome::Unknown(_) => self.counts.unknown += 1,
            Outcome::Pending | Outcome::Committed { .. } => {}
        }
        self.land(number);
    }

    fn land(&mut self, number: u32) {
        let node = usize::from(self.slots[number as usize].node);
        if self.flights.remove(&number).is_some() {
            self.pending[node] -= 1;
        }
    }

    fn reason(&mut self, code: Option<(String, u32)>, words: &str) -> u16 {
        let same = |reason: &Reason| reason.code == code && (code.is_some() || reason.words == words);
        let found = self.reasons.iter().position(same).and_then(|at| u16::try_from(at).ok());
        found.unwrap_or_else(|| {
            let next = u16::try_from(self.reasons.len()).unwrap_or(REASONS_MAX);
            if next >= REASONS_MAX {
                return REASONS_MAX;
            }
            self.reasons.push(Reason { code, words: words.to_owned() });
            if next == REASONS_MAX - 1 {
                self.reasons.push(Reason { code: None, words: "for further reasons".to_owned() });
            }
            next
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::Semaphore;

    use super::*;
    use crate::types::{Height, Offset};

    const RECEIPT: Receipt = Receipt { height: Height(2), index: 3, offset: Offset(4), length: 5 };

    struct Run {
        ledger: Ledger,
        permits: Arc<Semaphore>,
    }

    impl Run {
        fn new() -> Self {
            let ledger = Ledger::new(2, Duration::from_secs(10));
            Self { ledger, permits: Arc::new(Semaphore::new(100)) }
        }

        fn begin(&self, due: u64) -> u32 {
            let permit = Arc::clone(&self.permits).try_acquire_owned().unwrap();
            self.ledger.begin(1, Duration::from_millis(due), permit, |_| 100)
        }

        fn at(&self, millis: u64) -> Instant {
            self.ledger.started() + Duration::from_millis(millis)
        }
    }

    #[test]
    fn latency_counts_from_when_a_request_was_due_not_from_when_it_was_sent() {
        let run = Run::new();
        let number = run.begin(1000);
        run.ledger.sent(number, run.at(1300));
        run.ledger.answered(number, run.at(1350));
        run.ledger.committed(number, RECEIPT, run.at(1500));
        let closed = run.ledger.close();
        let slot = closed.slots[0];
        assert_eq!(
            (slot.lag(), slot.answered(), slot.committed()),
            (Some(300_000), Some(350_000), Some(500_000))
        );
        assert_eq!((closed.latencies.len(), closed.last_commit), (1, 1_500_000));
        let p50 = closed.latencies.value_at_quantile(0.5);
        assert!(p50.abs_diff(500_000) <= 500, "{p50}");
    }

    #[test]
    fn only_commits_are_in_the_histogram_and_unknown_is_never_failed() {
        let run = Run::new();
        let numbers: Vec<u32> = (0..5).map(|_| run.begin(0)).collect();
        run.ledger.committed(numbers[0], RECEIPT, run.at(10));
        run.ledger.rejected(numbers[1], "plugin/json", 1, "byte 0");
        run.ledger.failed(numbers[2], "connection refused");
        run.ledger.unknown(numbers[3], "no answer");
        assert_eq!(
            (run.ledger.in_flight(), run.ledger.pending(1), run.permits.available_permits()),
            (1, 1, 99)
        );
        run.ledger.expire(Instant::now());
        assert_eq!(run.ledger.in_flight(), 1, "its time is not over");
        run.ledger.expire(Instant::now() + Duration::from_secs(11));
        let closed = run.ledger.close();
        let counts = Counts { offered: 5, committed: 1, rejected: 1, failed: 1, unknown: 2 };
        assert_eq!((closed.counts, closed.latencies.len()), (counts, 1));
        assert_eq!(run.permits.available_permits(), 100);
    }

    #[test]
    fn a_commit_before_the_answer_counts_and_one_after_the_time_is_late() {
        let run = Run::new();
        let (early, late) = (run.begin(0), run.begin(0));
        run.ledger.committed(early, RECEIPT, run.at(5));
        run.ledger.answered(early, run.at(6));
        run.ledger.unknown(early, "no answer");
        run.ledger.unknown(late, "no answer");
        run.ledger.committed(late, RECEIPT, run.at(9));
        let closed = run.ledger.close();
        assert_eq!(closed.slots[0].outcome, Outcome::Committed { receipt: RECEIPT, late: false });
        assert_eq!(closed.slots[1].outcome, Outcome::Committed { receipt: RECEIPT, late: true });
        assert_eq!((closed.counts.committed, closed.counts.unknown, closed.latencies.len()), (1, 1, 1));
    }

    #[test]
    fn codes_are_told_apart_and_reasons_are_bounded() {
        let run = Run::new();
        run.ledger.rejected(run.begin(0), "plugin/a", 1, "first words");
        run.ledger.rejected(run.begin(0), "plugin/a", 1, "other words");
        run.ledger.rejected(run.begin(0), "plugin/b", 1, "words");
        for reason in 0..90 {
            run.ledger.failed(run.begin(0), &format!("reason {reason}"));
        }
        let closed = run.ledger.close();
        assert_eq!(closed.reasons[0].words, "first words");
        assert_eq!(closed.reasons.len(), usize::from(REASONS_MAX) + 1);
        assert_eq!(closed.slots[1].outcome, Outcome::Rejected(0));
        assert_eq!(closed.slots[2].outcome, Outcome::Rejected(1));
        assert_eq!(closed.slots[92].outcome, Outcome::Failed(REASONS_MAX));
        assert_eq!(closed.counts.failed, 90);
    }
}
