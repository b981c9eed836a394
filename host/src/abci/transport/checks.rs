//! Runs the CheckTx of one connection in parallel and keeps their answers in order.
//!
//! A batch is cut into chunks. The connection's own thread works through them, and helpers that are idle are
//! invited to take some. Nobody waits for a helper that has not come: one that wakes late finds nothing left.
//! A batch so cheap that waking somebody costs more than it saves is done without them; what its checks will
//! cost is taken from the checks before. The clock decides who works, never what is answered.
use std::{
    collections::VecDeque,
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc::{self, Receiver, Sender, SyncSender},
    },
    thread::JoinHandle,
    time::Instant,
};

use prost::Message;
use tendermint_proto::v0_38::abci::{RequestCheckTx, Response, request, response};

use super::{Handler, control::Control, dispatch};
use crate::plugin::spawn_with_large_stack;

/// Chunks for each thread that may work on a batch: several, so that a slow transaction does not leave the
/// other threads idle, and few, because each has a price.
const CHUNKS_PER_THREAD: usize = 8;

/// Helpers are invited to batches expected to take longer than this, in nanoseconds. A wake-up costs both
/// sides some microseconds, and a helper that wakes takes a processor from whoever had it.
const HELPED_NANOS_MIN: u64 = 100_000;

/// A handler failed; the [`Control`] knows how.
#[derive(Debug)]
pub(super) struct Failed;

/// A chunk's place in its batch, and its encoded answers.
type Answered = (usize, Result<Vec<u8>, Failed>);

/// CheckTx requests that are worked on together, and where their answers go.
struct Batch {
    chunks: Mutex<VecDeque<(usize, Vec<RequestCheckTx>)>>,
    answers: Sender<Answered>,
}

/// The way to the helpers, which all connections share.
pub(super) struct Checks {
    control: Arc<Control>,
    invitations: SyncSender<Arc<Batch>>,
    helpers: usize,
    /// What one check cost last, by the thread that ran the batch. Checks are dear until they are known.
    check_nanos: AtomicU64,
}

/// The helpers' threads. They end when the last [`Checks`] is dropped.
pub(super) struct Helpers(Vec<JoinHandle<()>>);

impl Helpers {
    /// Waits until every helper has dropped its handler.
    pub(super) fn join(self) {
        for helper in self.0 {
            // A helper reports what handlers do, and has nothing to say when it ends.
            let _ = helper.join();
        }
    }
}

/// Starts the helpers, each with its own clone of the handler.
///
/// # Errors
///
/// The system does not give a thread.
pub(super) fn start<H: Handler>(
    helpers: usize,
    handler: &H,
    control: &Arc<Control>,
) -> io::Result<(Checks, Helpers)> {
    // One invitation for each helper: more would only be read by helpers who come too late.
    let (invitations, invited) = mpsc::sync_channel(helpers);
    let invited = Arc::new(Mutex::new(invited));
    let threads = (0..helpers).map(|index| {
        let (handler, control, invited) = (handler.clone(), Arc::clone(control), Arc::clone(&invited));
        spawn_with_large_stack(format!("check-{index}"), move || help(&handler, &control, &invited))
    });
    let threads = threads.collect::<io::Result<_>>()?;
    let check_nanos = AtomicU64::new(HELPED_NANOS_MIN);
    Ok((Checks { control: Arc::clone(control), invitations, helpers, check_nanos }, Helpers(threads)))
}

fn help<H: Handler>(handler: &H, control: &Control, invited: &Mutex<Receiver<Arc<Batch>>>) {
    loop {
        // The lock is held while waiting: whoever has it waits for the invitation, the others for the lock.
        let invitation = invited.lock().unwrap_or_else(PoisonError::into_inner).recv();
        match invitation {
            Ok(batch) => {
                batch.work(handler, control, || ());
            }
            Err(_) => return,
        }
    }
}

impl Checks {
    /// Checks every transaction and appends the encoded answers in the order of the requests. In a batch that takes
    /// its time, `between` is called now and then.
    pub(super) fn run<H: Handler>(
        &self,
        handler: &H,
        requests: Vec<RequestCheckTx>,
        answers: &mut Vec<u8>,
        between: impl FnMut(),
    ) -> Result<(), Failed> {
        let started = Instant::now();
        let count = requests.len();
        if !self.deserves_help(count) {
            check_chunk(handler, &self.control, requests, answers)?;
            self.learn(started, count);
            return Ok(());
        }
        let chunk_len = (count / (CHUNKS_PER_THREAD * (self.helpers + 1))).max(1);
        let chunks = chunked(requests, chunk_len);
        let chunk_count = chunks.len();
        let (answer, answered) = mpsc::channel();
        let batch = Arc::new(Batch { chunks: Mutex::new(chunks), answers: answer });
        for _ in 0..self.helpers.min(chunk_count - 1) {
            // Refused when the helpers have invitations enough, so they are busy.
            let _ = self.invitations.try_send(Arc::clone(&batch));
        }
        let checked = batch.work(handler, &self.control, between);
        self.learn(started, checked);
        // The answers end when the last helper at work on the batch is gone, which matters after a failure.
        drop(batch);
        append_in_order(&answered, chunk_count, answers)
    }

    fn deserves_help(&self, count: usize) -> bool {
        let nanos = self.check_nanos.load(Ordering::Relaxed).saturating_mul(count as u64);
        self.helpers > 0 && count > 1 && nanos > HELPED_NANOS_MIN
    }

    /// Remembers what the last checks of this thread cost each.
    fn learn(&self, started: Instant, count: usize) {
        let nanos = u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        if let Some(nanos) = nanos.checked_div(count as u64) {
            self.check_nanos.store(nanos, Ordering::Relaxed);
        }
    }
}

impl Batch {
    /// Takes chunks and answers them until none is left, with a call of `between` after each; returns how many checks
    /// that were.
    fn work<H: Handler>(&self, handler: &H, control: &Control, mut between: impl FnMut()) -> usize {
        let mut checked = 0;
        while let Some((index, requests)) = self.next_chunk(control) {
            checked += requests.len();
            let mut bytes = Vec::new();
            let result = check_chunk(handler, control, requests, &mut bytes).map(|()| bytes);
            // Nobody listens any more when another chunk of the batch has failed.
            let _ = self.answers.send((index, result));
            between();
        }
        checked
    }

    fn next_chunk(&self, control: &Control) -> Option<(usize, Vec<RequestCheckTx>)> {
        let mut chunks = self.chunks.lock().unwrap_or_else(PoisonError::into_inner);
        if control.has_failed() {
            chunks.clear();
        }
        chunks.pop_front()
    }
}

fn chunked(requests: Vec<RequestCheckTx>, chunk_len: usize) -> VecDeque<(usize, Vec<RequestCheckTx>)> {
    let mut requests = requests.into_iter();
    let mut chunks = VecDeque::new();
    while requests.len() > 0 {
        chunks.push_back((chunks.len(), requests.by_ref().take(chunk_len).collect()));
    }
    chunks
}

/// Checks one transaction after the other. A failure is reported at once, from whichever thread it came.
fn check_chunk<H: Handler>(
    handler: &H,
    control: &Control,
    requests: Vec<RequestCheckTx>,
    answers: &mut Vec<u8>,
) -> Result<(), Failed> {
    for request in requests {
        match dispatch::answer(handler, request::Value::CheckTx(request)) {
            Ok(answer) => encode(answer, answers),
            Err(failure) => {
                control.fail(failure);
                return Err(Failed);
            }
        }
    }
    Ok(())
}

/// Collects the answers of `count` chunks, which come in any order.
fn append_in_order(answered: &Receiver<Answered>, count: usize, answers: &mut Vec<u8>) -> Result<(), Failed> {
    let mut waiting = vec![None; count];
    let mut next = 0;
    while next < count {
        // Answers end early only when chunks were dropped because a handler failed.
        let (index, bytes) = answered.recv().map_err(|_| Failed)?;
        waiting[index] = Some(bytes?);
        while let Some(bytes) = waiting.get_mut(next).and_then(Option::take) {
            answers.extend_from_slice(&bytes);
            next += 1;
        }
    }
    Ok(())
}

/// Appends one answer as a frame.
pub(super) fn encode(value: response::Value, answers: &mut Vec<u8>) {
    Response { value: Some(value) }
        .encode_length_delimited(answers)
        .expect("a Vec grows, so that no message is too long for it");
}
