//! A server with an application whose CheckTx and Query do what a test says, and the ways to run it.
use std::{
    any::Any,
    sync::{Arc, Condvar, Mutex},
    thread::{self, JoinHandle},
    time::Duration,
};

use dseq::abci::transport::{ListenAddr, ServeError, Server, ShutdownHandle};
use tempfile::TempDir;
use tendermint_proto::v0_38::abci::*;

use crate::client::Client;

/// How long a test waits for something that must happen. It only turns a hang into a failure.
pub(crate) const WATCHDOG: Duration = Duration::from_secs(30);

type Hook = Arc<dyn Fn(&[u8]) + Send + Sync>;

/// Answers CheckTx with the transaction as `data` and Query with the request's data as `value`, after the
/// test's hook ran. Everything else is the trait's default.
#[derive(Clone)]
pub(crate) struct App {
    on_check: Hook,
    on_query: Hook,
}

impl App {
    pub(crate) fn new() -> Self {
        Self { on_check: Arc::new(|_| {}), on_query: Arc::new(|_| {}) }
    }

    /// Calls `hook` with the transaction of each CheckTx, on the thread that answers it.
    pub(crate) fn on_check(self, hook: impl Fn(&[u8]) + Send + Sync + 'static) -> Self {
        Self { on_check: Arc::new(hook), ..self }
    }

    /// Calls `hook` with the data of each Query, on the thread that answers it.
    pub(crate) fn on_query(self, hook: impl Fn(&[u8]) + Send + Sync + 'static) -> Self {
        Self { on_query: Arc::new(hook), ..self }
    }
}

impl tendermint_abci::Application for App {
    fn check_tx(&self, request: RequestCheckTx) -> ResponseCheckTx {
        (self.on_check)(&request.tx);
        ResponseCheckTx { data: request.tx, ..Default::default() }
    }

    fn query(&self, request: RequestQuery) -> ResponseQuery {
        (self.on_query)(&request.data);
        ResponseQuery { value: request.data, ..Default::default() }
    }

    fn finalize_block(&self, request: RequestFinalizeBlock) -> ResponseFinalizeBlock {
        let tx_results = request.txs.into_iter().map(|data| ExecTxResult { data, ..Default::default() });
        ResponseFinalizeBlock { tx_results: tx_results.collect(), ..Default::default() }
    }
}

/// A server at work in a thread of this process.
pub(crate) struct Running {
    pub(crate) addr: ListenAddr,
    pub(crate) handle: ShutdownHandle,
    thread: JoinHandle<Result<(), ServeError>>,
    /// Holds the unix socket.
    _dir: TempDir,
}

impl Running {
    pub(crate) fn client(&self) -> Client {
        Client::connect(&self.addr)
    }

    /// Waits for the server's end; for tests that made it end.
    pub(crate) fn ended(self) -> Result<(), ServeError> {
        wait_until("the server to end", || self.thread.is_finished());
        self.thread.join().expect("`run` does not panic")
    }

    /// Shuts the server down and expects it to end well.
    pub(crate) fn stop(self) {
        self.handle.shutdown();
        self.ended().expect("a shutdown is no error");
    }

    /// Waits for the server's end by a panic; returns the method's name and the payload.
    pub(crate) fn panicked(self) -> (&'static str, Box<dyn Any + Send>) {
        match self.ended() {
            Err(ServeError::HandlerPanicked { method, payload }) => (method, payload),
            other => panic!("the server ended with {other:?}"),
        }
    }
}

/// The two kinds of socket.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Socket {
    Unix,
    Tcp,
}

/// Runs `test` on a unix socket and on TCP.
pub(crate) fn on_both(test: impl Fn(Socket)) {
    for socket in [Socket::Unix, Socket::Tcp] {
        eprintln!("over {socket:?}");
        test(socket);
    }
}

/// Starts a server for `app`.
pub(crate) fn start(socket: Socket, app: App) -> Running {
    start_with(socket, app, |server| server)
}

/// Starts a server for `app` that `configure` has changed.
pub(crate) fn start_with(socket: Socket, app: App, configure: impl FnOnce(Server) -> Server) -> Running {
    let dir = TempDir::new().expect("a temporary folder");
    let addr = match socket {
        Socket::Unix => ListenAddr::Unix(dir.path().join("abci.sock")),
        Socket::Tcp => ListenAddr::Tcp { host: "127.0.0.1".to_owned(), port: 0 },
    };
    let server = configure(Server::bind(&addr).expect("the address is free"));
    let (addr, handle) = (server.addr().clone(), server.shutdown_handle());
    Running { addr, handle, thread: thread::spawn(move || server.run(app)), _dir: dir }
}

/// Keeps the processor busy for some microseconds, other ones for other transactions, so that checks are worth
/// sharing and end out of order.
pub(crate) fn work_on(tx: &[u8]) {
    let rounds = 20 + tx.iter().map(|byte| u64::from(*byte)).sum::<u64>() % 16;
    (0..rounds).for_each(|round| {
        std::hint::black_box(blake3::hash(&round.to_le_bytes()));
    });
}

/// Waits for a condition that nothing signals. How long it takes decides nothing.
pub(crate) fn wait_until(what: &str, condition: impl Fn() -> bool) {
    for _ in 0..WATCHDOG.as_millis() {
        if condition() {
            return;
        }
        thread::sleep(Duration::from_millis(1));
    }
    panic!("waited in vain for {what}");
}

/// A set of names that threads can add to and wait for.
#[derive(Clone, Default)]
pub(crate) struct Board(Arc<(Mutex<Vec<String>>, Condvar)>);

impl Board {
    /// Adds a name.
    pub(crate) fn put(&self, name: &str) {
        self.0.0.lock().expect("no test panics in here").push(name.to_owned());
        self.0.1.notify_all();
    }

    /// Waits until `name` is there.
    pub(crate) fn wait_for(&self, name: &str) {
        self.wait(name, |names| names.iter().any(|there| there == name));
    }

    /// Waits until there are `count` names, counting repetitions.
    pub(crate) fn wait_for_count(&self, count: usize) {
        self.wait("enough names", |names| names.len() >= count);
    }

    /// Every name so far, in the order of `put`.
    pub(crate) fn names(&self) -> Vec<String> {
        self.0.0.lock().expect("no test panics in here").clone()
    }

    fn wait(&self, what: &str, there: impl Fn(&[String]) -> bool) {
        let names = self.0.0.lock().expect("no test panics in here");
        let (names, timeout) = self
            .0
            .1
            .wait_timeout_while(names, WATCHDOG, |names| !there(names))
            .expect("no test panics in here");
        // Let go first: a panic that poisons the lock would hide this one.
        drop(names);
        assert!(!timeout.timed_out(), "waited in vain for {what}");
    }
}
