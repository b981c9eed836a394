//! How much this node proposes at a time, and how long its queue may get.
//!
//! ```text
//! budget   weight of a block that takes the target time, by the last blocks; this node's next proposal is as heavy, or up to
//!          STRETCH_MAX times as heavy if the queue is longer than QUEUE_LONG blocks, and now and then light
//! waiting  weight of what this node accepted and no block has brought yet
//! on way   weight of what HTTP took and has not handed to the engine yet
//! queue    (waiting + on way) / budget: how many blocks it takes, by a budget that shrinks slowly; checks count waiting alone
//! own      weight of what HTTP took and no block has brought yet, / the budget's part that the last blocks gave to such
//! wait     how long the transactions of the last block had been waiting at this node
//! checks   refuse none up to QUEUE_FREE blocks or a wait of WAIT_FREE, all at QUEUE_MAX, in proportion between
//! HTTP     refuses all while the queue is beyond QUEUE_SUBMIT blocks, or own is and the wait beyond WAIT_SUBMIT, long before checks do
//! ```
//!
//! The unit is [`weight`](crate::app::weight): a transaction's bytes and a constant.
//!
//! HTTP is where producers wait for receipts, and refusing there is cheap. Checks refuse only what is hopeless, because they meet
//! transactions of other nodes, too: nodes pass on what they accept, and nothing in a check says where a transaction comes from.
//!
//! Which ones a check refuses follows from their hashes. If each node refused by its own queue alone, some transactions
//! would stay on one node only; they wait for its turn to propose, and CometBFT does not start a round whose proposer has no
//! transaction. Nodes have much the same queue, so by hash they refuse the same ones.
//!
//! # Invariants
//!
//! Local to this node and never part of validity: no vote and no decided block depends on it, and nodes may differ.
//!
//! Nothing is refused until a block that was not slow has filled at least half the budget: until then it is not known what a
//! queue takes. Checks, which refuse what no producer may hear of, wait for as many blocks as the budget comes from: a flood slows
//! the first ones down.

mod budget;
mod own;
mod rate;
mod waiting;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use self::budget::{Budget, whole};
pub use self::own::Counted;
use self::own::{Own, Share};
use self::rate::{LIGHT_MAX, real};
use self::waiting::{Waiting, key};
use crate::app::{Code, Refusal};
use crate::types::TxHash;

/// Blocks that the queue may take before HTTP refuses transactions. With fewer, a moment in which the machine is busy with other
/// things is a reason too often.
const QUEUE_SUBMIT: f64 = 2.5;

/// Blocks for which the transactions of the last block must have waited for this node's own queue to be bounded, too. Under a load
/// that the network carries, most wait for less than one. Where gossip is late, nodes do not know of each other's queues, and each may
/// seem short; but how much of the blocks goes to what was handed in here, each node knows.
const WAIT_SUBMIT: f64 = 2.0;

/// Part of the blocks that a node's producers count on at least: whoever has none yet has to begin with something.
const SHARE_MIN: f64 = 0.1;

/// Transactions of a block that had waited here, of which there must be so many for its wait to count.
const WAITED_MIN: usize = 10;

/// Blocks that the queue may take before a check refuses any: 7.5 s at the target time. A burst is no reason.
const QUEUE_FREE: f64 = 50.0;

/// Blocks at which checks refuse all. Where blocks are quick, CometBFT's own bound, 50,000 transactions, comes before.
const QUEUE_MAX: f64 = 100.0;

/// A check refuses nothing if the transactions of the last block had waited for no more than this many blocks, as long as that block
/// is no older than they. A flood that has just begun takes processors from blocks, which are slow then for another reason
/// than their weight.
const WAIT_FREE: f64 = 15.0;

/// Parts of its weight of which a block of the queue loses one with each block, as HTTP and as checks see it, until it is the budget: a
/// moment in which the machine is busy with other things halves the budget, and is no reason to refuse.
const SUBMIT_FOLLOW: u64 = 16;
const CHECKS_FOLLOW: u64 = 64;

/// From how many blocks in the queue on proposals are larger than the budget: what waits that long gains more from fewer and
/// larger blocks, which cost less, than from a next one that comes sooner.
const QUEUE_LONG: f64 = 4.0;

/// How many times the budget a proposal is then, at most: once more for each block.
const STRETCH_MAX: f64 = 3.0;

/// After so many blocks this node's proposal is light, if it is its turn: only light blocks tell how long votes take, and under load
/// there would be none.
const LIGHT_EVERY: u64 = 32;

/// That new transactions would wait for too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overload {
    /// How long what waits already takes.
    pub wait: Duration,
    /// Beyond which producers had better wait.
    pub wait_max: Duration,
}

/// Bounds what this node proposes and takes.
pub(super) struct Pace {
    /// Weight of the next proposal. This, and all before the locks, are what checks and proposals look at without one.
    proposal_weight: AtomicU64,
    /// Weight of a block of the queue, as HTTP and as checks see it; no queue is long before it is known.
    queue_block_weight: AtomicU64,
    checks_block_weight: AtomicU64,
    /// What such a block takes, in microseconds.
    block_micros: AtomicU64,
    /// Weight of what waits.
    waiting_weight: AtomicU64,
    /// What HTTP took.
    own: Arc<Own>,
    /// Weight of a block of the own queue.
    own_block_weight: AtomicU64,
    /// How long the transactions of the last block had waited here, in microseconds; 0 if it does not tell.
    wait_micros: AtomicU64,
    /// Until when checks refuse nothing, because the last transactions had waited little: microseconds since `begin`.
    free_until: AtomicU64,
    /// Blocks so far.
    blocks: AtomicU64,
    begin: Instant,
    waiting: Mutex<Waiting>,
    measured: Mutex<Measured>,
}

/// What comes from the last blocks.
#[derive(Default)]
struct Measured {
    budget: Budget,
    share: Share,
}

impl Pace {
    pub(super) fn new(now: Instant) -> Self {
        let measured = Measured::default();
        Self {
            proposal_weight: AtomicU64::new(measured.budget.weight()),
            queue_block_weight: AtomicU64::new(u64::MAX),
            checks_block_weight: AtomicU64::new(u64::MAX),
            block_micros: AtomicU64::new(0),
            waiting_weight: AtomicU64::new(0),
            own: Arc::default(),
            own_block_weight: AtomicU64::new(u64::MAX),
            wait_micros: AtomicU64::new(0),
            free_until: AtomicU64::new(0),
            blocks: AtomicU64::new(0),
            begin: now,
            waiting: Mutex::new(Waiting::new(now)),
            measured: Mutex::new(measured),
        }
    }

    /// What a proposal may weigh.
    pub(super) fn proposal_weight(&self) -> u64 {
        self.proposal_weight.load(Ordering::Relaxed)
    }

    /// How many blocks of this weight what waits takes, with so much more.
    fn queue_with(&self, more: u64, block_weight: &AtomicU64) -> f64 {
        let weight = self.waiting_weight.load(Ordering::Relaxed).saturating_add(more);
        real(weight) / real(block_weight.load(Ordering::Relaxed))
    }

    /// How many blocks the queue takes, as HTTP sees it.
    fn queue_of_submit(&self) -> f64 {
        self.queue_with(self.own.on_way(), &self.queue_block_weight)
    }

    /// How many blocks the own queue takes.
    fn own_queue(&self) -> f64 {
        real(self.own.waiting()) / real(self.own_block_weight.load(Ordering::Relaxed))
    }

    /// How many blocks the queue takes, as checks see it.
    fn queue_of_checks(&self) -> f64 {
        self.queue_with(0, &self.checks_block_weight)
    }

    /// How long so many blocks take.
    fn time_of(&self, blocks: f64) -> Duration {
        Duration::from_micros(self.block_micros.load(Ordering::Relaxed)).mul_f64(blocks.max(0.0))
    }

    /// The refusal of a new transaction, if the queue is too long for it. Hashes it and asks for the time only when there is
    /// a reason.
    pub(super) fn refusal(
        &self,
        hash: impl FnOnce() -> TxHash,
        now: impl FnOnce() -> Instant,
    ) -> Option<Refusal> {
        if self.queue_of_checks() <= QUEUE_FREE {
            return None;
        }
        let bound = QUEUE_FREE + (QUEUE_MAX - QUEUE_FREE) * real(key(&hash())) / real(u64::MAX);
        if self.queue_of_checks() <= bound {
            return None;
        }
        let now = now();
        if self.since_begin(now) < self.free_until.load(Ordering::Relaxed) {
            return None;
        }
        self.forget_old(now);
        let queue = self.queue_of_checks();
        (queue > bound).then(|| self.overloaded(queue))
    }

    /// That the queue is too long for producers that can wait.
    pub(super) fn overload(&self, now: impl FnOnce() -> Instant) -> Option<Overload> {
        let mut queue = self.queue_of_submit();
        if queue > QUEUE_SUBMIT {
            self.forget_old(now());
            queue = self.queue_of_submit();
        }
        let wait = Duration::from_micros(self.wait_micros.load(Ordering::Relaxed));
        let waits_long = wait > self.time_of(WAIT_SUBMIT);
        let longest = if waits_long { queue.max(self.own_queue()) } else { queue };
        (longest > QUEUE_SUBMIT)
            .then(|| Overload { wait: self.time_of(longest), wait_max: self.time_of(QUEUE_SUBMIT) })
    }

    /// Counts a transaction that HTTP takes. Its check comes a few milliseconds after the engine's answer, and in between it is not
    /// counted.
    ///
    /// # Errors
    ///
    /// The queue is too long without it.
    pub(super) fn count(&self, weight: u64, now: impl FnOnce() -> Instant) -> Result<Counted, Overload> {
        self.overload(now).map_or_else(|| Ok(self.own.count(weight)), Err)
    }

    fn overloaded(&self, queue: f64) -> Refusal {
        let wait = self.time_of(queue).as_secs_f64();
        let retry = self.time_of(queue - QUEUE_FREE).as_secs_f64().ceil().max(1.0);
        let message = format!(
            "this node is overloaded: the transactions before this one take {wait:.1} s; try again in {retry:.0} s"
        );
        Refusal::by_host(Code::Overloaded, message)
    }

    /// Counts a transaction that a check accepted. One that is waiting already is counted once.
    pub(super) fn accepted(&self, tx: &TxHash, weight: u64, now: Instant) {
        let mut waiting = self.waiting();
        waiting.insert(tx, weight, now);
        self.publish(&waiting);
    }

    /// Takes note of a durable block. CometBFT locks its mempool while it commits, and knows a block's transactions
    /// afterwards, so none of them is counted again.
    pub(super) fn committed(&self, now: Instant, weight: u64, txs: impl IntoIterator<Item = TxHash>) {
        let mut waiting = self.waiting();
        let waited = txs.into_iter().filter_map(|tx| waiting.remove(&tx));
        let waited = waited.map(|since| now.saturating_duration_since(since)).collect();
        waiting.forget_old(now);
        let left = self.publish(&waiting);
        drop(waiting);
        // Of a queue that is empty now, how long it was says nothing any more.
        let wait = if left == 0 { Some(Duration::ZERO) } else { usual(waited) };
        self.wait_micros.store(micros(wait.unwrap_or_default()), Ordering::Relaxed);

        let mut measured = self.measured.lock().unwrap_or_else(PoisonError::into_inner);
        let share = measured.share.note(&self.own, weight);
        let budget = &mut measured.budget;
        budget.note(now, weight, left > 0);
        let mut proposal_weight = budget.weight();
        if let Some(block_time) = budget.proven() {
            let beyond = real(left) / real(budget.weight()) - QUEUE_LONG;
            proposal_weight = whole(real(proposal_weight) * (1.0 + beyond).clamp(1.0, STRETCH_MAX));
            self.block_micros.store(micros(block_time), Ordering::Relaxed);
            let for_submit = follow(&self.queue_block_weight, budget.weight(), SUBMIT_FOLLOW);
            if budget.is_settled() {
                follow(&self.checks_block_weight, budget.weight(), CHECKS_FOLLOW);
            }
            let own = whole(real(for_submit) * share.max(SHARE_MIN));
            self.own_block_weight.store(own, Ordering::Relaxed);
        }
        if self.blocks.fetch_add(1, Ordering::Relaxed) % LIGHT_EVERY == LIGHT_EVERY - 1 {
            proposal_weight = proposal_weight.min(LIGHT_MAX);
        }
        self.proposal_weight.store(proposal_weight, Ordering::Relaxed);
        let wait_free = self.time_of(WAIT_FREE);
        let free = if wait.is_some_and(|wait| wait <= wait_free) { micros(wait_free) } else { 0 };
        self.free_until.store(self.since_begin(now).saturating_add(free), Ordering::Relaxed);
    }

    /// Microseconds.
    fn since_begin(&self, now: Instant) -> u64 {
        micros(now.saturating_duration_since(self.begin))
    }

    /// Without blocks, nothing else forgets what the engine has lost. Whoever else has the lock does as well.
    fn forget_old(&self, now: Instant) {
        if let Ok(mut waiting) = self.waiting.try_lock() {
            waiting.forget_old(now);
            self.publish(&waiting);
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shows what waits to those who look without the lock.
    fn publish(&self, waiting: &Waiting) -> u64 {
        let weight = waiting.weight();
        self.waiting_weight.store(weight, Ordering::Relaxed);
        weight
    }
}

/// Lets a block of the queue become as heavy as the budget: at once if that is more, in small steps if it is less.
fn follow(block_weight: &AtomicU64, budget: u64, parts: u64) -> u64 {
    let before = block_weight.load(Ordering::Relaxed);
    let less = if before == u64::MAX { 0 } else { before - before / parts };
    let now = less.max(budget);
    block_weight.store(now, Ordering::Relaxed);
    now
}

/// What nine in ten do not exceed; none of a few, of which one that was lost on the way and handed in once more says nothing.
fn usual(mut waited: Vec<Duration>) -> Option<Duration> {
    let at = waited.len().saturating_sub(1) * 9 / 10;
    (waited.len() >= WAITED_MIN).then(|| *waited.select_nth_unstable(at).1)
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
