//! `dseq start`: keeps the app and CometBFT running, ends both when either dies, and starts both again.
//!
//! # Invariants
//!
//! - CometBFT starts only when the app's socket takes connections, and is stopped before the app is.
//! - The app holds the other end of a pipe from here: when this process ends, however it ends, the app reads
//!   the end of its input and stops, and CometBFT stops itself when its app is gone.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use tokio::process::{Child, Command};
use tokio::signal::unix::{Signal as SignalStream, SignalKind, signal};

use super::cometbft::CometBft;
use super::home::{HomeError, NodeHome};
use super::process::ProcessId;
use super::running::{RunLock, Running};
use crate::abci::EXIT_REFUSED;
use crate::abci::transport::ListenAddr;

/// How long a process may take to end after SIGTERM.
pub const END_PATIENCE: Duration = Duration::from_secs(15);

const BACKOFF_FIRST: Duration = Duration::from_millis(250);
/// A node that ran this long was healthy: its next trouble is a new one.
const HEALTHY: Duration = Duration::from_secs(60);
const APP_POLL: Duration = Duration::from_millis(20);
/// After this long without a socket the log says what is being waited for.
const APP_SLOW: Duration = Duration::from_secs(10);
/// How much of CometBFT's last words is shown when it ends, in bytes.
const LAST_WORDS_BYTES: u64 = 2048;

/// What to run.
#[derive(Debug)]
pub struct Plan {
    /// The node's home.
    pub home: NodeHome,
    /// The consensus engine.
    pub cometbft: CometBft,
    /// Where the app is to listen.
    pub abci: ListenAddr,
    /// Further flags for the app.
    pub app_flags: Vec<OsString>,
    /// Longest pause between restarts.
    pub backoff_max: Duration,
    /// Whether `dseq testnet` started this.
    pub by_testnet: bool,
}

/// Why a node ended for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It was asked to.
    Asked,
    /// The app refuses to run, and has said why.
    Refused,
}

/// A node that cannot be supervised.
#[derive(Debug, thiserror::Error)]
pub enum SupervisorError {
    /// Another supervisor has this home.
    #[error("{home} is already running{who}")]
    AlreadyRunning {
        /// The home.
        home: String,
        /// Its pid, when it is known.
        who: String,
    },
    /// The home cannot be used.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// A process cannot be started or awaited.
    #[error("cannot {what}")]
    Io {
        /// What was tried.
        what: String,
        /// Why not.
        source: io::Error,
    },
}

fn io_error(what: impl Into<String>) -> impl FnOnce(io::Error) -> SupervisorError {
    let what = what.into();
    |source| SupervisorError::Io { what, source }
}

/// Runs a node until it is asked to stop or refuses to run.
///
/// # Errors
///
/// When somebody else runs this home, or a process cannot be started at all.
pub fn run(plan: &Plan) -> Result<End, SupervisorError> {
    plan.home.make_private_dirs()?;
    let lock = RunLock::take(&plan.home).map_err(io_error("lock the home"))?;
    let Some(_lock) = lock else {
        let who =
            Running::read(&plan.home).map_or_else(String::new, |r| format!(", by pid {}", r.supervisor.pid));
        return Err(SupervisorError::AlreadyRunning { home: plan.home.root().display().to_string(), who });
    };
    end_leftovers(&plan.home)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(io_error("start the supervisor"))?.block_on(supervise(plan))
}

/// A supervisor that was killed leaves children that are about to end; their files must be free before we start.
fn end_leftovers(home: &NodeHome) -> Result<(), SupervisorError> {
    let Some(last) = Running::read(home) else { return Ok(()) };
    for (what, id) in last.alive() {
        if !id.wait_gone(END_PATIENCE) {
            tracing::warn!(pid = id.pid, "ending the {what} that an earlier supervisor left behind");
            id.end(END_PATIENCE).map_err(io_error(format!("end pid {}", id.pid)))?;
        }
    }
    Ok(())
}

async fn supervise(plan: &Plan) -> Result<End, SupervisorError> {
    let mut stop = StopSignals::new().map_err(io_error("listen for signals"))?;
    let mut backoff = Backoff::new(plan.backoff_max);
    loop {
        let started = Instant::now();
        let why = match round(plan, &mut stop).await? {
            Round::Stopped => return Ok(End::Asked),
            Round::Refused => {
                tracing::error!("the app refuses to run, for the reason given above; not restarting");
                return Ok(End::Refused);
            }
            Round::Died(why) => why,
        };
        let pause = backoff.next(started.elapsed());
        tracing::error!("{why}; restarting both in {:.1} s", pause.as_secs_f64());
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            name = stop.recv() => {
                tracing::info!("{name}: stopping");
                return Ok(End::Asked);
            }
        }
    }
}

enum Round {
    Stopped,
    Refused,
    Died(String),
}

/// Starts both, waits until one of them ends or a signal comes, and ends what is left.
async fn round(plan: &Plan, stop: &mut StopSignals) -> Result<Round, SupervisorError> {
    let mut app = start_app(plan)?;
    // Waiting for a child closes its input, which tells the app to end; so we hold it ourselves.
    let _app_input = app.stdin.take();
    record(plan, &app, None)?;
    let early = tokio::select! {
        biased;
        status = app.wait() => Some(app_ended(status.map_err(io_error("wait for the app"))?)),
        name = stop.recv() => { tracing::info!("{name}: stopping"); Some(Round::Stopped) }
        () = app_takes_connections(&plan.abci) => None,
    };
    if let Some(round) = early {
        end(&mut app, "the app").await?;
        return Ok(round);
    }
    let log_start = log_length(&plan.home);
    let mut cometbft = start_cometbft(plan)?;
    record(plan, &app, Some(&cometbft))?;
    tracing::info!(app = app.id(), cometbft = cometbft.id(), "node runs");
    let round = tokio::select! {
        biased;
        name = stop.recv() => { tracing::info!("{name}: stopping"); Round::Stopped }
        status = app.wait() => app_ended(status.map_err(io_error("wait for the app"))?),
        status = cometbft.wait() => {
            let status = status.map_err(io_error("wait for CometBFT"))?;
            Round::Died(format!("CometBFT ended ({status}); its last words:\n{}", last_words(&plan.home, log_start)))
        }
    };
    end(&mut cometbft, "CometBFT").await?;
    let app_status = end(&mut app, "the app").await?;
    // CometBFT may be seen to go first although it was the app that went.
    if matches!(round, Round::Died(_)) && app_status.code() == Some(EXIT_REFUSED.into()) {
        return Ok(Round::Refused);
    }
    Ok(round)
}

fn app_ended(status: ExitStatus) -> Round {
    if status.code() == Some(EXIT_REFUSED.into()) {
        return Round::Refused;
    }
    Round::Died(format!("the app ended ({status})"))
}

fn start_app(plan: &Plan) -> Result<Child, SupervisorError> {
    // The link to this very program, so that replacing the file on disk does not mix two versions in one node.
    let mut command = std::process::Command::new("/proc/self/exe");
    command.arg0("dseq").arg("serve").arg("--home").arg(plan.home.root());
    command.arg("--abci").arg(plan.abci.to_string()).arg("--exit-with-parent").args(&plan.app_flags);
    // A process group of its own: Ctrl-C in a terminal must reach the supervisor alone, which keeps the order.
    command.process_group(0).stdin(Stdio::piped());
    Command::from(command).kill_on_drop(true).spawn().map_err(io_error("start the app"))
}

fn start_cometbft(plan: &Plan) -> Result<Child, SupervisorError> {
    let path = plan.home.cometbft_log();
    let what = || format!("start {} with its output in {}", plan.cometbft.path().display(), path.display());
    let log = OpenOptions::new().append(true).create(true).open(&path).map_err(io_error(what()))?;
    let log_too = log.try_clone().map_err(io_error(what()))?;
    let mut command = plan.cometbft.command(plan.home.root());
    command
        .args(["start", "--proxy_app", &plan.abci.to_string()])
        .process_group(0)
        .stdout(log)
        .stderr(log_too);
    Command::from(command).kill_on_drop(true).spawn().map_err(io_error(what()))
}

fn record(plan: &Plan, app: &Child, cometbft: Option<&Child>) -> Result<(), SupervisorError> {
    let id = |child: &Child| child.id().and_then(ProcessId::of);
    let write = || -> io::Result<()> {
        let supervisor = ProcessId::of(std::process::id()).ok_or(io::ErrorKind::NotFound)?;
        let cometbft = cometbft.and_then(id);
        Running { by_testnet: plan.by_testnet, supervisor, app: id(app), cometbft }.write(&plan.home)
    };
    write().map_err(io_error("record who runs the home"))
}

async fn app_takes_connections(abci: &ListenAddr) {
    let started = Instant::now();
    let mut said = false;
    while !connects(abci) {
        if !said && started.elapsed() >= APP_SLOW {
            said = true;
            tracing::warn!("the app does not yet listen on {abci}; waiting for it");
        }
        tokio::time::sleep(APP_POLL).await;
    }
}

fn connects(abci: &ListenAddr) -> bool {
    match abci {
        ListenAddr::Unix(path) => UnixStream::connect(path).is_ok(),
        ListenAddr::Tcp { host, port } => (host.as_str(), *port).to_socket_addrs().is_ok_and(|mut found| {
            found.any(|address| TcpStream::connect_timeout(&address, APP_POLL).is_ok())
        }),
    }
}

/// SIGTERM, and SIGKILL when it takes too long. One that has ended already just tells its status.
async fn end(child: &mut Child, what: &str) -> Result<ExitStatus, SupervisorError> {
    if let Some(id) = child.id().and_then(ProcessId::of) {
        id.signal(rustix::process::Signal::TERM).map_err(io_error(format!("stop {what}")))?;
    }
    let wait = io_error(format!("wait for {what}"));
    match tokio::time::timeout(END_PATIENCE, child.wait()).await {
        Ok(status) => status.map_err(wait),
        Err(_) => {
            tracing::warn!("{what} did not end within {} s; killing it", END_PATIENCE.as_secs());
            child.kill().await.map_err(io_error(format!("kill {what}")))?;
            child.wait().await.map_err(wait)
        }
    }
}

fn log_length(home: &NodeHome) -> u64 {
    home.cometbft_log().metadata().map_or(0, |found| found.len())
}

/// The end of what CometBFT wrote since it was started.
fn last_words(home: &NodeHome, since: u64) -> String {
    let read = || -> io::Result<String> {
        let mut file = File::open(home.cometbft_log())?;
        let length = file.metadata()?.len();
        let from = since.max(length.saturating_sub(LAST_WORDS_BYTES));
        file.seek(SeekFrom::Start(from))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    let text = read().unwrap_or_default();
    let lines: Vec<_> = text.lines().rev().take(5).collect();
    let lines: Vec<_> = lines.into_iter().rev().map(|line| format!("  {line}")).collect();
    if lines.is_empty() { "  (none)".to_owned() } else { lines.join("\n") }
}

/// The signals that ask for a graceful end.
#[derive(Debug)]
pub struct StopSignals {
    term: SignalStream,
    int: SignalStream,
    hup: SignalStream,
}

impl StopSignals {
    /// Listens from now on.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
            hup: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for one, and names it.
    pub async fn recv(&mut self) -> &'static str {
        tokio::select! {
            _ = self.term.recv() => "SIGTERM",
            _ = self.int.recv() => "SIGINT",
            _ = self.hup.recv() => "SIGHUP",
        }
    }
}

/// Pauses that double up to a bound, and start over after a healthy minute.
#[derive(Debug)]
struct Backoff {
    pause: Duration,
    max: Duration,
}

impl Backoff {
    fn new(max: Duration) -> Self {
        Self { pause: BACKOFF_FIRST, max }
    }

    fn next(&mut self, lived: Duration) -> Duration {
        if lived >= HEALTHY {
            self.pause = BACKOFF_FIRST;
        }
        let pause = self.pause.min(self.max);
        self.pause = self.pause.saturating_mul(2).min(self.max);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_bound_and_start_over_after_a_healthy_minute() {
        let mut backoff = Backoff::new(Duration::from_secs(1));
        let brief = Duration::from_secs(59);
        let pauses: Vec<_> = (0..4).map(|_| backoff.next(brief).as_millis()).collect();
        assert_eq!(pauses, [250, 500, 1000, 1000]);
        assert_eq!(backoff.next(HEALTHY).as_millis(), 250);
        assert_eq!(backoff.next(brief).as_millis(), 500);
    }

    #[test]
    fn last_words_are_only_those_of_this_start() {
        let dir = tempfile::tempdir().unwrap();
        let home = NodeHome::new(dir.path());
        assert_eq!(last_words(&home, 0), "  (none)");
        std::fs::write(home.cometbft_log(), "old\n").unwrap();
        let since = log_length(&home);
        assert_eq!(last_words(&home, since), "  (none)");
        std::fs::write(home.cometbft_log(), "old\n1\n2\n3\n4\n5\n6\n").unwrap();
        assert_eq!(last_words(&home, since), "  2\n  3\n  4\n  5\n  6");
    }
}
