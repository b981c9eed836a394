//! The ABCI socket server: answers CometBFT over a unix socket or TCP, for any [`Handler`].
//!
//! ```text
//! listener ── accept ──> one thread for each connection (CometBFT opens four)
//!                          frames ──> requests ──┬─ CheckTx in a row ──> checks (in parallel) ──────────┐
//!                                                └─ anything else, one after the other ────────────────┤
//!                          socket <── one write for all answers of what was buffered <── in order ─────┘
//! ```
//!
//! The handler is called from every connection at once, and for CheckTx from helping threads as well; it
//! owns its locking. Its transactions are slices of the read buffer: a handler that keeps one for long copies it.
//!
//! # Invariants
//!
//! - Each connection gets its answers in the order of its requests, and nothing in between.
//! - Answers are written as soon as what was received is answered; none waits for a request that has not arrived.
//! - A request that makes no sense ends its connection, after an exception that says why. It never ends the server.
//! - A handler that fails ends the server: its request gets no answer, no request is executed after it, and
//!   [`Server::run`] returns its error. A handler that panics does too; that is always a defect.
//! - After [`ShutdownHandle::shutdown`] every request that had arrived whole is answered before its connection
//!   closes, as far as the limits below allow.
//!
//! # Limits
//!
//! Frames by [`FRAME_BYTES_MAX`](limits::FRAME_BYTES_MAX), connections by
//! [`ABCI_CONNECTIONS_MAX`](limits::ABCI_CONNECTIONS_MAX). After a shutdown is requested, reading stops after five
//! seconds, and a client has five seconds to read an answer. A running handler is waited for without a limit.
use std::{
    any::Any,
    io::{self, PipeReader},
    os::fd::OwnedFd,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};

use crate::{limits, panics::panic_message, plugin::spawn_with_large_stack};

mod addr;
mod checks;
mod connection;
mod control;
mod dispatch;
mod frames;
mod handler;
mod listener;

pub use addr::{ListenAddr, ParseAddrError};
pub use handler::Handler;
pub use listener::{BindError, SOCKET_PATH_BYTES_MAX};

use checks::Checks;
use connection::Connection;
use control::{Control, Outcome, Refused, Registration};
use dispatch::{Cause, Failure};
use frames::Frames;
use listener::Listener;

/// A bound ABCI server. Clients can connect from here on; they are answered while [`run`](Self::run) runs.
pub struct Server {
    listener: Listener,
    control: Arc<Control>,
    /// Becomes readable when the server is to stop serving.
    wake: PipeReader,
    frame_bytes_max: u64,
    check_helpers: usize,
}

/// Why [`Server::run`] ended other than by a shutdown.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// A handler panicked. The process must end: CometBFT waits for an answer that must never be given.
    ///
    /// Report it, with the node's log.
    #[error("the handler of {method} panicked: {}", panic_message(&**payload))]
    HandlerPanicked {
        /// The ABCI method.
        method: &'static str,
        /// What it panicked with.
        payload: Box<dyn Any + Send>,
    },
    /// No further connection can be accepted.
    ///
    /// Fix the cause that follows the message; `dseq start` restarts the app by itself.
    #[error("cannot accept connections on {addr}")]
    Accept {
        /// Where the server listened.
        addr: ListenAddr,
        /// The system's reason.
        source: io::Error,
    },
    /// The threads that help checking transactions cannot be started.
    ///
    /// Let the node's user have more threads or memory (`TasksMax=` in a systemd unit); `dseq start` tries again by itself.
    #[error("cannot start the threads that check transactions")]
    Threads(#[source] io::Error),
}

/// Ends a [`Server`] from any thread.
#[derive(Clone)]
pub struct ShutdownHandle(Arc<Control>);

impl ShutdownHandle {
    /// Makes the server stop accepting, answer what has arrived, close its connections and return from
    /// [`run`](Server::run). Returns at once; calling it again does nothing.
    pub fn shutdown(&self) {
        self.0.drain();
    }
}

/// Counts a [`Server`]'s open connections from any thread.
#[derive(Clone)]
pub struct Connections(Arc<Control>);

impl Connections {
    /// How many connections are open now. CometBFT opens four.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.connections()
    }
}

impl Server {
    /// Listens on `addr`.
    ///
    /// A unix socket is readable and writable by its owner only. One that a dead server left behind is
    /// replaced; the file is removed when this server stops listening.
    ///
    /// # Errors
    ///
    /// The address cannot be listened on, above all because another server does.
    pub fn bind(addr: &ListenAddr) -> Result<Self, BindError> {
        let listener = Listener::bind(addr)?;
        let (control, wake) = Control::new().map_err(|source| BindError::Io {
            action: "open a pipe",
            addr: addr.clone(),
            source,
        })?;
        let check_helpers = thread::available_parallelism().map_or(0, |processors| processors.get() - 1);
        let frame_bytes_max = limits::FRAME_BYTES_MAX;
        Ok(Self { listener, control: Arc::new(control), wake, frame_bytes_max, check_helpers })
    }

    /// Takes frames up to this many bytes instead of [`FRAME_BYTES_MAX`](limits::FRAME_BYTES_MAX).
    #[must_use]
    pub fn with_frame_bytes_max(self, frame_bytes_max: u64) -> Self {
        Self { frame_bytes_max, ..self }
    }

    /// Checks transactions on this many threads besides the connection's own, instead of one for each
    /// further processor.
    #[must_use]
    pub fn with_check_helpers(self, check_helpers: usize) -> Self {
        Self { check_helpers, ..self }
    }

    /// The address listened on. A TCP port of 0 has become the port that the system chose.
    #[must_use]
    pub fn addr(&self) -> &ListenAddr {
        self.listener.addr()
    }

    /// A handle that ends this server.
    #[must_use]
    pub fn shutdown_handle(&self) -> ShutdownHandle {
        ShutdownHandle(Arc::clone(&self.control))
    }

    /// A handle that counts this server's open connections.
    #[must_use]
    pub fn connections(&self) -> Connections {
        Connections(Arc::clone(&self.control))
    }

    /// Serves with `handler` until [`ShutdownHandle::shutdown`].
    ///
    /// When it returns `Ok`, every clone of `handler` that the server made has been dropped. After a failure it
    /// returns at once, whatever the other connections' handlers are still busy with.
    ///
    /// # Errors
    ///
    /// The handler's first error; or it panicked, or the system refuses further connections or threads.
    pub fn run<H: Handler>(self, handler: H) -> Result<(), H::Error> {
        let Self { listener, control, wake, frame_bytes_max, check_helpers } = self;
        let addr = listener.addr().clone();
        let (checks, helpers) =
            checks::start(check_helpers, &handler, &control).map_err(ServeError::Threads)?;
        let checks = Arc::new(checks);
        tracing::info!(listen = %addr, check_helpers, "ABCI server listening");
        let accepted = accept_until_stopped(&listener, &control, &wake, |registration| {
            start_connection(registration, handler.clone(), Arc::clone(&checks), frame_bytes_max);
        });
        // The file of a unix socket goes first: a client that comes now is better off finding nothing.
        drop(listener);
        drop(handler);
        control.drain();
        if let Outcome::Failed(failure) = control.wait() {
            return Err(failure.into_error::<H>());
        }
        drop(checks);
        helpers.join();
        tracing::info!(listen = %addr, "ABCI server stopped");
        Ok(accepted.map_err(|source| ServeError::Accept { addr, source })?)
    }
}

/// Hands every new connection to `start`, until the server is shut down or fails.
fn accept_until_stopped(
    listener: &Listener,
    control: &Arc<Control>,
    wake: &PipeReader,
    start: impl Fn(Registration),
) -> io::Result<()> {
    while control.is_serving() {
        let mut ready = [PollFd::new(wake, PollFlags::IN), PollFd::new(listener, PollFlags::IN)];
        match poll(&mut ready, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        match listener.accept() {
            Ok(Some(socket)) => admit(control, socket, &start),
            Ok(None) => {}
            Err(error) if is_passing(&error) => {
                tracing::warn!(%error, "cannot accept an ABCI connection now; trying again");
                // The waiting connection keeps the listener ready, so only the pipe is waited for.
                let pause = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
                let _ = poll(&mut [PollFd::new(wake, PollFlags::IN)], Some(&pause));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Whether `accept` failed for want of something that other connections or processes give back.
fn is_passing(error: &io::Error) -> bool {
    let passing = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
    Errno::from_io_error(error).is_some_and(|errno| passing.contains(&errno))
}

fn admit(control: &Arc<Control>, socket: OwnedFd, start: &impl Fn(Registration)) {
    match control.register(socket) {
        Ok(registration) => start(registration),
        Err(Refused::ShuttingDown) => {}
        Err(Refused::TooMany) => tracing::warn!(
            connections_max = limits::ABCI_CONNECTIONS_MAX,
            "refusing an ABCI connection: too many are open"
        ),
    }
}

fn start_connection<H: Handler>(
    registration: Registration,
    handler: H,
    checks: Arc<Checks>,
    frame_bytes_max: u64,
) {
    let id = registration.id;
    let serve = move || {
        // Dropped last, when `handler` and `checks` are gone: `run` waits for that.
        let registration = registration;
        let (handler, checks) = (handler, checks);
        let _span = tracing::info_span!("abci", connection = id).entered();
        tracing::debug!("connection open");
        let connection = Connection {
            handler: &handler,
            socket: &registration.socket,
            control: &registration.control,
            checks: &checks,
            frames: Frames::new(frame_bytes_max),
            unchecked: Vec::new(),
            answers: Vec::new(),
        };
        // Handlers are guarded one by one. What is caught here is a defect of the transport, and as fatal.
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| connection.serve())) {
            registration.control.fail(Failure { method: "the transport", cause: Cause::Panic(payload) });
        }
    };
    if let Err(error) = spawn_with_large_stack(format!("abci-{id}"), serve) {
        tracing::error!(%error, "cannot start a thread for an ABCI connection; closing it");
    }
}
