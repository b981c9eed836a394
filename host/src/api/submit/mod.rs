//! Transactions on their way from an HTTP request into a committed block.
//!
//! ```text
//! request ── turn (how many wait, how many bytes) ──> hash ──> committed before? ──yes──> its receipt
//!                                                               │ no
//!            answer <── committed, refused, or time is over     pipeline (as CheckTx asks it) ──no──> rejected
//!               ▲                                               │ yes
//!               └──── receipts: our own Commit <── block <───── engine's mempool, once more after a while
//! ```
//!
//! What happens to a transaction does not depend on whoever waits for it: it goes on when the client is gone or its time
//! is over, so "pending" is true when it is said.
//!
//! # Invariants
//!
//! - Bytes that this node has committed are not handed to the engine again: a client may repeat a request of which it lost
//!   the answer, also after the engine has forgotten them. While the index of receipts is being opened or built and does not
//!   tell, the answer is 503 `index-building`.
//! - After the answer "committed", the record and its receipt can be read on this node.
//!
//! # Limits
//!
//! [`Bounds`].

pub mod batch;
mod intake;
pub mod params;
mod problems;
mod traces;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep, timeout_at};
use tracing::{Instrument as _, Span};

pub use intake::{Checked, Counted, HandedOver, Intake, Overload};
pub use problems::{index_building, overdue, rejected, too_long, too_long_in_batch, unknown, unreadable};

use self::params::{Patience, Wait};
use self::problems::{defect, mempool_full, not_ready, overloaded, too_many_requests, too_much_memory};
use super::{Problem, Stopping, TraceContext};
use crate::receipts::{Decided, Found, Known, Receipts, Waiting};
use crate::sequence::Place;
use crate::types::TxHash;

/// What a transaction on its way takes beside its bytes, about, in bytes.
const OVERHEAD_BYTES: u64 = 4096;

/// How much may be on its way at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Maximum number of requests that submit, or wait for a receipt. Each takes some 4 KiB and a connection. As many as
    /// connections from one loopback address may be open, which is what a proxy opens.
    ///
    /// A further one gets 503 `too-many-submissions`.
    pub requests_max: usize,
    /// Maximum size of the bodies that are being read, examined and handed over, together, in bytes: 127 of the largest with
    /// the default limit. A body counts as far as it has come; up to twice as much may be allocated for it. Each body, and each transaction of a batch that is on its way, counts
    /// 4 KiB more.
    ///
    /// A further one gets 503 `too-many-submissions`: before its body is read if what is announced does not fit, or as soon as the rest
    /// does not fit; a batch, also once its transactions are counted.
    pub body_bytes_max: usize,
    /// Maximum size of transactions that are kept to be handed over once more, in bytes. Beyond it a transaction is handed
    /// over once.
    pub kept_bytes_max: usize,
    /// After how long a transaction that is neither committed nor refused is handed to the engine once more.
    ///
    /// The engine answers before its own check of the transaction has ended, and drops it without a word if its mempool has
    /// filled up by then. Handing it over again is safe: it takes bytes that it has only once.
    pub again_after: Duration,
}

impl Bounds {
    /// Those of a node.
    pub const DEFAULT: Self = Self {
        requests_max: 12_288,
        body_bytes_max: 128 << 20,
        kept_bytes_max: 32 << 20,
        again_after: Duration::from_secs(3),
    };
}

/// Takes transactions, and answers what becomes of them; clones share one state.
#[derive(Clone)]
pub struct Submissions {
    /// Or why there is none.
    intake: Result<Arc<dyn Intake>, &'static str>,
    receipts: Receipts,
    stopping: Stopping,
    requests: Arc<Semaphore>,
    memory: Memory,
    kept_bytes: Arc<Semaphore>,
    bounds: Bounds,
}

/// The memory for bodies; clones share it.
#[derive(Clone)]
struct Memory {
    free: Arc<Semaphore>,
    bytes_max: u64,
}

impl Memory {
    fn reserve(&self, bytes: u64) -> Result<OwnedSemaphorePermit, Problem> {
        let permit = Arc::clone(&self.free).try_acquire_many_owned(permits(bytes));
        permit.map_err(|_| too_much_memory(self.bytes_max))
    }

    fn has(&self, bytes: u64) -> bool {
        self.free.available_permits() as u64 >= bytes
    }
}

/// The permission for one request to wait.
pub struct Turn(
    #[expect(dead_code, reason = "it is held, and given back when it is dropped")] OwnedSemaphorePermit,
);

/// The permission for a body to be in memory, as far as it has come.
pub struct Reading {
    memory: Memory,
    permit: OwnedSemaphorePermit,
}

impl Reading {
    /// Reserves memory for the next part.
    ///
    /// # Errors
    ///
    /// The memory for bodies is exhausted.
    pub fn take(&mut self, bytes: u64) -> Result<(), Problem> {
        self.permit.merge(self.memory.reserve(bytes)?);
        Ok(())
    }

    /// Ends the reading; the reservation passes to what becomes of the body.
    #[must_use]
    pub fn end(self) -> Load {
        Load(vec![Arc::new(self.permit)])
    }
}

/// The permission for bytes to be in memory, until the last clone is dropped.
#[derive(Clone)]
pub struct Load(Vec<Arc<OwnedSemaphorePermit>>);

impl Load {
    /// The same, which holds this permit too: it is given back when the engine has the transaction, or does not take it.
    #[must_use]
    pub fn holding(mut self, permit: OwnedSemaphorePermit) -> Self {
        self.0.push(Arc::new(permit));
        self
    }
}

/// What became of a transaction, as far as its submitter waited for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Submitted {
    /// Its record is committed here.
    Committed {
        /// Where.
        place: Place,
        /// Whether it had been before.
        duplicate: bool,
    },
    /// It may still be committed.
    Pending,
    /// It was rejected, or not taken; or the node failed, which leaves it open.
    Failed(Problem),
}

/// A transaction to submit.
pub struct Submission {
    /// Its bytes.
    pub tx: Bytes,
    /// Their hash.
    pub hash: TxHash,
    /// Given back when the bytes are not needed any more.
    pub load: Load,
    /// What its submitter waits for, and how long.
    pub patience: Patience,
    /// When the waiting began.
    pub since: Instant,
}

/// A transaction to be handed to the engine, and what is held for it meanwhile.
struct Delivery {
    tx: Bytes,
    hash: TxHash,
    load: Load,
    counted: Box<dyn Counted>,
    /// Of the request, until the engine has it.
    span: Span,
}

/// How far a transaction got on its way to the engine.
enum Delivered {
    /// It was committed before, here.
    Before(Place),
    /// The engine has it, or may have it.
    Taken,
    /// It ends here.
    Failed(Problem),
}

impl Submissions {
    /// Submits by this intake; or says why there is none.
    #[must_use]
    pub fn new(
        intake: Result<Arc<dyn Intake>, &'static str>,
        receipts: Receipts,
        stopping: Stopping,
        bounds: Bounds,
    ) -> Self {
        let semaphore = |permits: usize| Arc::new(Semaphore::new(permits.min(Semaphore::MAX_PERMITS)));
        Self {
            intake,
            receipts,
            stopping,
            requests: semaphore(bounds.requests_max),
            memory: Memory {
                free: semaphore(bounds.body_bytes_max),
                bytes_max: bounds.body_bytes_max as u64,
            },
            kept_bytes: semaphore(bounds.kept_bytes_max),
            bounds,
        }
    }

    /// What finds receipts.
    #[must_use]
    pub fn receipts(&self) -> &Receipts {
        &self.receipts
    }

    /// The longest transaction that is taken.
    ///
    /// # Errors
    ///
    /// When none is.
    pub fn tx_bytes_max(&self) -> Result<u64, Problem> {
        let max = self.intake()?.tx_bytes_max();
        max.ok_or_else(|| not_ready("the node has no genesis yet; try again once it has started"))
    }

    fn intake(&self) -> Result<&Arc<dyn Intake>, Problem> {
        self.intake.as_ref().map_err(|why| not_ready(*why))
    }

    /// Lets one more transaction in: it costs the least to refuse one here, before anything of it is read.
    ///
    /// # Errors
    ///
    /// The network decides less than is submitted, and what waits already takes long.
    pub fn admit(&self) -> Result<(), Problem> {
        self.intake()?.overload().map_or(Ok(()), |overload| Err(overloaded(overload)))
    }

    /// Lets one more request wait.
    ///
    /// # Errors
    ///
    /// Too many do.
    pub fn turn(&self) -> Result<Turn, Problem> {
        let turn = Arc::clone(&self.requests).try_acquire_owned();
        turn.map(Turn).map_err(|_| too_many_requests(self.bounds.requests_max as u64))
    }

    /// Lets a body be read that is announced to have so many bytes. They count once they have arrived, so a client that only
    /// announces them takes nothing from others.
    ///
    /// # Errors
    ///
    /// The memory for bodies does not suffice now.
    pub fn reading(&self, announced: u64) -> Result<Reading, Problem> {
        if !self.memory.has(cost(announced)) {
            return Err(too_much_memory(self.memory.bytes_max));
        }
        let permit = self.memory.reserve(cost(0))?;
        Ok(Reading { memory: self.memory.clone(), permit })
    }

    /// Reserves memory for up to `at_once` transactions on their way, beside the body's bytes.
    ///
    /// # Errors
    ///
    /// The memory for bodies is exhausted.
    pub fn load_batch(&self, load: Load, at_once: usize) -> Result<Load, Problem> {
        let permit = self.memory.reserve((at_once as u64).saturating_mul(OVERHEAD_BYTES))?;
        Ok(load.holding(permit))
    }

    /// Submits a transaction, and waits as long as it is patient. `trace` is that of the request.
    pub async fn submit(&self, submission: Submission, trace: &TraceContext) -> Submitted {
        let span = traces::begin(submission.hash, submission.patience.wait, trace);
        let submitted = self.submit_here(submission).instrument(span.clone()).await;
        traces::end(&span, &submitted);
        submitted
    }

    async fn submit_here(&self, submission: Submission) -> Submitted {
        let Submission { tx, hash, load, patience, since } = submission;
        let intake = match self.intake() {
            Ok(intake) => Arc::clone(intake),
            Err(problem) => return Submitted::Failed(problem),
        };
        // Many may have been let in before any of them counted.
        let counted = match intake.count(&tx) {
            Ok(counted) => counted,
            Err(overload) => return Submitted::Failed(overloaded(overload)),
        };
        let deadline = since + patience.timeout;
        // Before anything is looked up, so that nothing is missed.
        let waiting = (patience.wait == Wait::Committed).then(|| self.receipts.wait_for(hash));
        self.receipts.trying(hash);
        let (tell, told) = oneshot::channel();
        let delivery = Delivery { tx, hash, load, counted, span: Span::current() };
        tokio::spawn(self.clone().deliver(intake, delivery, tell));
        let answer = async {
            if patience.wait == Wait::None {
                return Submitted::Pending;
            }
            match told.await {
                Ok(Delivered::Before(place)) => return Submitted::Committed { place, duplicate: true },
                Ok(Delivered::Failed(problem)) => return Submitted::Failed(problem),
                Ok(Delivered::Taken) => {}
                // It panicked, which the panic's own message told.
                Err(_) => return Submitted::Failed(defect()),
            }
            match waiting {
                None => Submitted::Pending,
                Some(waiting) => self.decided(hash, waiting).await,
            }
        };
        tokio::select! {
            answer = timeout_at(deadline, answer) => answer.unwrap_or(Submitted::Pending),
            () = self.stopping.wait() => Submitted::Pending,
        }
    }

    /// Waits for the end of a transaction.
    async fn decided(&self, hash: TxHash, mut waiting: Waiting) -> Submitted {
        match waiting.decided().await {
            Some(Decided::Committed(place)) => Submitted::Committed { place, duplicate: false },
            Some(Decided::Refused(refusal)) => Submitted::Failed(rejected(hash, &refusal)),
            None => Submitted::Failed(unreadable()),
        }
    }

    /// Takes a transaction to the engine, and says how far it got as soon as that is clear.
    async fn deliver(self, intake: Arc<dyn Intake>, delivery: Delivery, tell: oneshot::Sender<Delivered>) {
        let Delivery { tx, hash, load, mut counted, span } = delivery;
        let mut waiting = self.receipts.wait_for(hash);
        let delivered = self.take_to_engine(&*intake, &tx, hash).instrument(span).await;
        if !matches!(delivered, Delivered::Taken) {
            drop(counted);
            if matches!(delivered, Delivered::Failed(_)) {
                self.receipts.not_taken(hash);
            }
            // Whoever asked is gone.
            let _ = tell.send(delivered);
            return;
        }
        counted.handed_over();
        let _ = tell.send(delivered);
        let kept = permits(cost(tx.len() as u64));
        let kept = Arc::clone(&self.kept_bytes).try_acquire_many_owned(kept).ok();
        let again = kept.map(|kept| (tx, kept));
        drop(load);
        tokio::select! {
            decided = waiting.decided() => {
                if matches!(decided, Some(Decided::Committed(_))) {
                    counted.decided();
                }
            }
            () = self.stopping.wait() => {}
            () = sleep(self.bounds.again_after) => {
                drop((waiting, counted));
                let Some((tx, _kept)) = again else { return };
                // The answer changes nothing: the engine may have taken it the first time.
                let answer = intake.hand_over(tx).await;
                tracing::debug!(tx = %hash, ?answer, "neither committed nor refused: handed to the engine once more");
            }
        }
    }

    async fn take_to_engine(&self, intake: &dyn Intake, tx: &Bytes, hash: TxHash) -> Delivered {
        // Concurrently, because each of the two costs a change of threads. The memo keeps a result that was not needed.
        let (found, checked) = tokio::join!(self.look_up(hash), intake.check(tx.clone()));
        let Found { known, complete } = match found {
            Ok(found) => found,
            Err(problem) => return Delivered::Failed(problem),
        };
        match known {
            Known::Committed(places) => {
                if let Some(place) = places.into_iter().next() {
                    return Delivered::Before(place);
                }
            }
            Known::Refused(refusal) => return Delivered::Failed(rejected(hash, &refusal)),
            Known::Pending | Known::Overdue | Known::Unknown => {}
        }
        match checked {
            Checked::Accepted => {}
            Checked::Refused(refusal) => {
                self.receipts.refuse(hash, &refusal);
                return Delivered::Failed(rejected(hash, &refusal));
            }
            Checked::NotReady(why) => return Delivered::Failed(not_ready(why)),
            Checked::Failed => return Delivered::Failed(defect()),
        }
        let why = if complete {
            match intake.hand_over(tx.clone()).await {
                // Without an answer it may have it: that it is on its way is all that can be said.
                HandedOver::Taken | HandedOver::AlreadyKnown | HandedOver::NoAnswer(_) => {
                    self.receipts.taken(hash);
                    return Delivered::Taken;
                }
                HandedOver::Full => mempool_full(),
                HandedOver::NotTaken(why) => not_ready(why),
            }
        } else {
            // It may have been committed long ago.
            index_building()
        };
        // The engine may have these bytes all the same, from an earlier request: a full mempool looks at its size first.
        if self.receipts.not_taken(hash) { Delivered::Taken } else { Delivered::Failed(why) }
    }

    async fn look_up(&self, hash: TxHash) -> Result<Found, Problem> {
        let receipts = self.receipts.clone();
        match spawn_blocking(move || receipts.find(hash)).await {
            Ok(Ok(found)) => Ok(found),
            Ok(Err(error)) => {
                tracing::error!(%error, "cannot look a transaction up");
                Err(unreadable())
            }
            // It panicked, which the panic's own message told.
            Err(_) => Err(defect()),
        }
    }
}

/// What a transaction of this length takes, in bytes.
fn cost(bytes: u64) -> u64 {
    bytes.saturating_add(OVERHEAD_BYTES)
}

/// Permits for so many bytes; more than there are for what no memory has.
fn permits(bytes: u64) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}
