//! The listener, its runtime, and their end.
//!
//! # Invariants
//!
//! - All of it runs on a runtime of its own, on [`WORKERS`] threads of lower priority than those of consensus. The only lock that
//!   both take is the committed prefix's, held for the copy of a pointer.
//! - A defect here ends no node: a panic of the accept loop is logged, and the loop is started again.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use axum::Router;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};
use rustix::process::{Resource, Rlimit, getrlimit, setpriority_process, setrlimit};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;

use super::connections::{Connections, Permit};
use super::limits::{BACKLOG, DESCRIPTORS_RESERVED, REFUSALS_AT_ONCE};
use super::problem::Problem;
use super::{Limits, Stopping, connection};
use crate::panics::panic_message;

/// Threads that serve requests. What they do is mostly the kernel's work; on a machine with few cores, more of them would
/// only take turns with consensus.
const WORKERS: usize = 2;
/// Threads for what may block, such as reading files.
const BLOCKING_THREADS_MAX: usize = 8;
/// How much lower the priority of these threads is (nice(2)): under load they get about a third of what a thread of
/// consensus gets.
const NICE: i32 = 5;
/// Pause after `accept` failed for want of descriptors or memory, and before a failed loop is started again.
const PAUSE: Duration = Duration::from_millis(100);
/// Pause before an accept loop that failed is started again.
const RESTART_PAUSE: Duration = Duration::from_secs(1);
/// How long threads that block may take to end, after connections have been cut.
const BLOCKING_PATIENCE: Duration = Duration::from_secs(1);

/// Why HTTP cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Somebody else listens there.
    #[error(
        "cannot listen on {address} for HTTP: the port is taken; free it, or set another address with `http` in \
         dseq.toml (`off`: none)"
    )]
    Taken {
        /// The address.
        address: SocketAddr,
    },
    /// The system refused.
    ///
    /// Set `http` in dseq.toml to an address of this machine, with a port that the node's user may listen on.
    #[error("cannot listen on {address} for HTTP; see `http` in dseq.toml")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The system's reason.
        source: io::Error,
    },
    /// The threads cannot be started.
    ///
    /// Let the node's user have more threads or memory (`TasksMax=` in a systemd unit); `dseq start` tries again by itself.
    #[error("cannot start the threads that serve HTTP")]
    Threads(#[source] io::Error),
}

/// A bound HTTP server. Clients can connect from here on; they are answered once it has [started](Self::start).
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    limits: Limits,
    stopping: Stopping,
}

impl Server {
    /// Listens.
    ///
    /// # Errors
    ///
    /// The address cannot be listened on, above all because somebody else does.
    pub fn bind(address: SocketAddr, limits: Limits) -> Result<Self, BindError> {
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::AddrInUse => BindError::Taken { address },
            _ => BindError::Listen { address, source },
        };
        let listener = listen(address).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let limits = with_descriptors(limits);
        Ok(Self { listener, address, limits, stopping: Stopping::default() })
    }

    /// The address listened on. A port of 0 has become the port that the system chose.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The bounds in force: fewer connections than were asked for when the system allows fewer descriptors.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.limits.clone()
    }

    /// What announces the end of this server, for bodies that would go on for ever.
    #[must_use]
    pub fn stopping(&self) -> Stopping {
        self.stopping.clone()
    }

    /// Serves a router, on threads of its own, until [`Running::stop`].
    ///
    /// # Errors
    ///
    /// The threads cannot be started.
    pub fn start(self, router: Router) -> Result<Running, BindError> {
        let Self { listener, address, limits, stopping } = self;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(WORKERS)
            .max_blocking_threads(BLOCKING_THREADS_MAX)
            .thread_name("http")
            .on_thread_start(yield_to_consensus)
            .enable_all()
            .build()
            .map_err(BindError::Threads)?;
        let connections = Connections::default();
        let accepting = Accepting {
            listener,
            router,
            limits: Arc::new(limits),
            connections: connections.clone(),
            stopping: stopping.clone(),
        };
        let (handle, grace) = (runtime.handle().clone(), accepting.limits.grace);
        let serve = move || {
            yield_to_consensus();
            let stopping = accepting.stopping.clone();
            keep_running(&stopping, RESTART_PAUSE, || handle.block_on(accepting.run()));
        };
        let thread = thread::Builder::new().name("http-accept".to_owned()).spawn(serve);
        let thread = Some(thread.map_err(BindError::Threads)?);
        Ok(Running { address, connections, stopping, grace, thread, runtime: Some(runtime) })
    }
}

/// A server that serves. Dropping it cuts off its connections; [`stop`](Self::stop) lets them end.
#[derive(Debug)]
pub struct Running {
    address: SocketAddr,
    connections: Connections,
    stopping: Stopping,
    grace: Duration,
    thread: Option<JoinHandle<()>>,
    runtime: Option<Runtime>,
}

impl Running {
    /// The address listened on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections are open.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.open()
    }

    /// Asks the same at any later time.
    pub fn count_connections(&self) -> impl Fn() -> usize + Send + Sync + 'static {
        let connections = self.connections.clone();
        move || connections.open()
    }

    /// Stops accepting, ends live bodies, waits for requests in progress as long as [`Limits::grace`], and then cuts off
    /// what is left. Returns how many connections that were.
    pub fn stop(mut self) -> usize {
        self.stopping.announce();
        let left = self.connections.wait_until_none(self.grace);
        if left > 0 {
            let waited = self.grace.as_secs_f64();
            tracing::warn!(connections = left, "cut off HTTP requests that did not end within {waited} s");
        }
        self.end();
        left
    }

    fn end(&mut self) {
        self.stopping.announce();
        if let Some(thread) = self.thread.take() {
            // It catches its panics itself.
            let _ = thread.join();
        }
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(BLOCKING_PATIENCE);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

/// Lowers the priority of this thread to that of those which serve HTTP; it is always allowed.
pub(crate) fn yield_to_consensus() {
    let _ = setpriority_process(None, NICE);
}

/// Listens with a longer queue than std's, whose bursts of connections would wait a second for their second attempt.
fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    // Else the connections of a node that has just ended would keep its successor from listening for a minute.
    sockopt::set_socket_reuseaddr(&socket, true)?;
    rustix::net::bind(&socket, &address)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(socket.into())
}

/// Asks for all the descriptors that the system allows this process, and lowers the number of connections to what they
/// suffice for.
fn with_descriptors(limits: Limits) -> Limits {
    let wanted = (limits.connections_max as u64).saturating_add(DESCRIPTORS_RESERVED);
    let allowed = getrlimit(Resource::Nofile);
    let most = allowed.maximum.unwrap_or(u64::MAX);
    let mut now = allowed.current.unwrap_or(u64::MAX);
    if now < wanted {
        let raised = Rlimit { current: Some(most.min(wanted)), maximum: allowed.maximum };
        if setrlimit(Resource::Nofile, raised).is_ok() {
            now = most.min(wanted);
        }
    }
    if now >= wanted {
        return limits;
    }
    // At least some, whatever is left for the rest: a node without any could not say why.
    let connections_max = usize::try_from(now.saturating_sub(DESCRIPTORS_RESERVED)).unwrap_or(usize::MAX);
    // Some for other machines too, beside those that are kept for this one.
    let connections_max = connections_max.max(limits.connections_reserved_for_loopback.saturating_mul(2));
    tracing::warn!(
        connections_max,
        "the system allows this process {now} descriptors; {wanted} are needed for {} HTTP connections: raise it \
         (`ulimit -n`, LimitNOFILE=)",
        limits.connections_max
    );
    Limits { connections_max, ..limits }
}

/// Runs what must not end before `stopping` is announced, again and again if it does.
fn keep_running(stopping: &Stopping, pause: Duration, mut run: impl FnMut()) {
    loop {
        let ended = catch_unwind(AssertUnwindSafe(&mut run));
        if stopping.is_announced() {
            return;
        }
        let why = match &ended {
            Err(payload) => panic_message(&**payload),
            Ok(()) => "it ended",
        };
        tracing::error!("the HTTP server failed, and is started again in {} s: {why}", pause.as_secs_f64());
        thread::sleep(pause);
    }
}

/// What the accept loop works with.
struct Accepting {
    listener: TcpListener,
    router: Router,
    limits: Arc<Limits>,
    connections: Connections,
    stopping: Stopping,
}

impl Accepting {
    /// Takes connections until the end is announced.
    async fn run(&self) {
        let listener = match self.listener.try_clone().and_then(tokio::net::TcpListener::from_std) {
            Ok(listener) => listener,
            Err(err) => return tracing::error!("cannot wait for HTTP connections: {err}"),
        };
        let refusals = Arc::new(Semaphore::new(REFUSALS_AT_ONCE));
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = self.stopping.wait() => return,
            };
            match accepted {
                Ok((stream, client)) => match self.connections.admit(client.ip(), &self.limits) {
                    Ok(permit) => self.serve(stream, client, permit),
                    Err(problem) => {
                        // The log bounds how often it is repeated.
                        tracing::warn!(%client, "refused an HTTP connection: too many are open");
                        self.refuse(stream, problem, &refusals);
                    }
                },
                Err(err) if is_about_one_connection(&err) => {}
                Err(err) => {
                    tracing::warn!("cannot accept HTTP connections now, trying again: {err}");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    fn serve(&self, stream: TcpStream, client: SocketAddr, permit: Permit) {
        let (router, limits) = (self.router.clone(), Arc::clone(&self.limits));
        let stopping = self.stopping.clone();
        tokio::spawn(async move {
            let _permit = permit;
            connection::serve(stream, client, router, limits, stopping).await;
        });
    }

    /// Refusals are bounded too: what is beyond them is closed without an answer.
    fn refuse(&self, stream: TcpStream, problem: Problem, refusals: &Arc<Semaphore>) {
        let Ok(turn) = Arc::clone(refusals).try_acquire_owned() else { return };
        let linger = self.limits.linger;
        tokio::spawn(async move {
            let _turn = turn;
            connection::refuse(stream, problem, linger).await;
        });
    }
}

/// Whether `accept` reports the end of the connection that it would have answered with, and not a want of the system.
fn is_about_one_connection(err: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(err.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_that_panics_or_ends_is_run_again_until_the_end_is_announced() {
        let stopping = Stopping::default();
        let mut runs = 0;
        keep_running(&stopping, Duration::ZERO, || {
            runs += 1;
            match runs {
                1 => panic!("a defect"),
                2 => {}
                _ => stopping.announce(),
            }
        });
        assert_eq!(runs, 3);
    }
}
