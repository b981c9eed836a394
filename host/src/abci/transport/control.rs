//! What the server's threads share: whether it still serves, which connections are open, and how both end.
//!
//! # Invariants
//!
//! The phase only moves forward: serving, then draining, then failed (draining may be left out). The first
//! failure is kept, later ones are logged.
use std::{
    collections::BTreeMap,
    io::{self, PipeReader, PipeWriter, Write},
    os::fd::OwnedFd,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use rustix::net::Shutdown;

use super::dispatch::Failure;
use crate::limits;

/// How long a client may take to read an answer once the server is shutting down, and for how long after
/// shutdown requests that had arrived before it are still taken up.
pub(super) const DRAIN_MAX: Duration = Duration::from_secs(5);

enum Phase {
    Serving,
    Draining(Instant),
    /// The handler of this method gave no answer.
    Failed(&'static str),
}

pub(super) struct Control {
    state: Mutex<State>,
    /// Signalled when the phase moves and when a connection closes.
    changed: Condvar,
    /// Mirrors `Phase::Failed`, so that every request can ask without taking the lock.
    failed: AtomicBool,
    /// A byte written here wakes the thread that accepts connections.
    waker: PipeWriter,
}

struct State {
    phase: Phase,
    /// The first failure, until [`Control::wait`] takes it.
    failure: Option<Failure>,
    connections: BTreeMap<u64, Arc<OwnedFd>>,
    connections_seen: u64,
}

/// Why a new connection is not taken.
pub(super) enum Refused {
    ShuttingDown,
    TooMany,
}

/// How serving came to its end.
pub(super) enum Outcome {
    Drained,
    Failed(Failure),
}

impl Control {
    /// The control of a new server, and the reader that becomes readable when it stops serving.
    pub(super) fn new() -> io::Result<(Self, PipeReader)> {
        let (wake, waker) = io::pipe()?;
        let state =
            State { phase: Phase::Serving, failure: None, connections: BTreeMap::new(), connections_seen: 0 };
        let failed = AtomicBool::new(false);
        Ok((Self { state: Mutex::new(state), changed: Condvar::new(), failed, waker }, wake))
    }

    /// Stops accepting and lets every connection answer what it has received. Idempotent.
    pub(super) fn drain(&self) {
        let mut state = self.lock();
        if !matches!(state.phase, Phase::Serving) {
            return;
        }
        state.phase = Phase::Draining(Instant::now());
        // The connections' threads sleep in `read`; after this they read what has already arrived, then the end.
        state.shutdown_connections(Shutdown::Read);
        self.announce();
    }

    /// Stops the server at once because a handler gave no answer; nothing is answered any more.
    pub(super) fn fail(&self, failure: Failure) {
        let mut state = self.lock();
        if let Phase::Failed(first) = state.phase {
            tracing::error!(method = failure.method, message = %failure.cause, after = first, "another handler failed");
            return;
        }
        self.failed.store(true, Ordering::Release);
        state.phase = Phase::Failed(failure.method);
        state.failure = Some(failure);
        state.shutdown_connections(Shutdown::Both);
        self.announce();
    }

    fn announce(&self) {
        self.changed.notify_all();
        // The pipe holds far more than the two bytes that can ever be written to it; without a reader the
        // server is gone and there is nobody to wake.
        let _ = (&self.waker).write(&[1]);
    }

    pub(super) fn is_serving(&self) -> bool {
        matches!(self.lock().phase, Phase::Serving)
    }

    /// Whether a handler failed, so that no request may be executed and no answer given any more.
    pub(super) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    /// When the server began to drain, if it did.
    pub(super) fn draining_since(&self) -> Option<Instant> {
        match self.lock().phase {
            Phase::Draining(since) => Some(since),
            Phase::Serving | Phase::Failed(_) => None,
        }
    }

    /// Takes note of a new connection until the guard is dropped.
    pub(super) fn register(self: &Arc<Self>, socket: OwnedFd) -> Result<Registration, Refused> {
        let mut state = self.lock();
        if !matches!(state.phase, Phase::Serving) {
            return Err(Refused::ShuttingDown);
        }
        if state.connections.len() >= limits::ABCI_CONNECTIONS_MAX {
            return Err(Refused::TooMany);
        }
        let socket = Arc::new(socket);
        let id = state.connections_seen;
        state.connections_seen += 1;
        state.connections.insert(id, Arc::clone(&socket));
        Ok(Registration { id, socket, control: Arc::clone(self) })
    }

    /// How many connections are open.
    pub(super) fn connections(&self) -> usize {
        self.lock().connections.len()
    }

    /// Waits until every connection has closed after [`drain`](Self::drain), or until a handler fails.
    pub(super) fn wait(&self) -> Outcome {
        let mut state = self.lock();
        loop {
            if let Some(failure) = state.failure.take() {
                return Outcome::Failed(failure);
            }
            if state.connections.is_empty() {
                return Outcome::Drained;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code panics while it holds this lock, and if it did, stopping the server would still be right.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn shutdown_connections(&self, how: Shutdown) {
        for socket in self.connections.values() {
            // It fails for a connection whose client has gone, which is as good as shut down.
            let _ = rustix::net::shutdown(socket, how);
        }
    }
}

/// An open connection's entry in the [`Control`].
pub(super) struct Registration {
    pub(super) id: u64,
    pub(super) socket: Arc<OwnedFd>,
    pub(super) control: Arc<Control>,
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.control.lock().connections.remove(&self.id);
        self.control.changed.notify_all();
    }
}
