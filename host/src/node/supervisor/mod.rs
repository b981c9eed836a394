//! `dseq start`: keeps the app and CometBFT running, ends both when either dies, and starts both again.
//!
//! # Invariants
//!
//! - CometBFT starts only when our own app has said that it listens, and is stopped before the app is. An
//!   open connection at the app's address does not count: it might be another network's app.
//! - The supervisor holds one end of a pipe to the app. When the supervisor dies, the app sees the pipe close, stops CometBFT
//!   while still answering it, and exits. CometBFT must not be left alone: without its app in the middle of a block, it hangs
//!   on shutdown.
//! - Supervision ends only when it is asked to, when the app or CometBFT refuses to run, or when the home was moved away. Any
//!   other failure is tried again, a full disk for one.

mod backoff;
mod connections;
mod progress;
mod watch;

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use backoff::Backoff;
use connections::Connections;
use progress::Progress;
use watch::Watch;

use crate::abci::EXIT_REFUSED;
use crate::abci::transport::ListenAddr;
use crate::node::address::Address;
use crate::node::config::HTTP;
use crate::node::engine::cometbft::CometBft;
use crate::node::engine::config;
use crate::node::engine::databases;
use crate::node::engine::environment::Variable;
use crate::node::engine::listen;
use crate::node::engine::log_ahead;
use crate::node::genesis::file::GenesisFile;
use crate::node::genesis::origin::{self, OriginError};
use crate::node::home::machine::{self, MachineId};
use crate::node::home::{HomeError, NodeHome, permissions};
use crate::node::preflight::{self, PreflightError};
use crate::node::process::ProcessId;
use crate::node::process::ports::{self, Unusable};
use crate::node::process::rotate;
use crate::node::process::running::{self, END_PATIENCE, Restart, RunLock, Running};
use crate::node::process::signals::StopSignals;
use crate::printable;

/// The line with which a supervised app says that it listens.
pub const READY_LINE: &str = "ready";
/// What begins the line with which a supervised app says why it ends.
pub const HALT_LINE: &str = "halt: ";
/// How much of that line is read, in bytes.
const HALT_BYTES_MAX: u64 = 4096;
/// How long that line is waited for when the app has ended: somebody else may hold its output.
const HALT_PATIENCE: Duration = Duration::from_secs(1);

/// A node that ran this long was healthy: its next trouble is a new one.
const HEALTHY: Duration = Duration::from_secs(60);
/// The same for a node whose CometBFT stopped working without ending, which takes longer to show.
const HEALTHY_BEFORE_STUCK: Duration = Duration::from_secs(2 * 3600);
/// After this long without the app listening the log says what is being waited for.
const APP_SLOW: Duration = Duration::from_secs(10);
/// From this many failures in a row on, the log says how many they are.
const FAILURES_MANY: u32 = 5;

/// What to run.
#[derive(Debug)]
pub struct Plan {
    /// The node's home.
    pub home: NodeHome,
    /// The consensus engine.
    pub cometbft: CometBft,
    /// Where the app is to listen.
    pub abci: ListenAddr,
    /// Where it is to answer HTTP; none: nowhere.
    pub http: Option<SocketAddr>,
    /// Further flags for the app.
    pub app_flags: Vec<OsString>,
    /// The network's genesis.
    pub genesis: GenesisFile,
    /// What CometBFT is given because of it.
    pub engine_environment: Vec<Variable>,
    /// With which CometBFT uses a key that is thrown away, and so cannot vote; empty: it uses the home's own.
    pub throwaway_key: Vec<(String, PathBuf)>,
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
    /// The node refuses to run, and has said why.
    Refused,
}

/// A node that cannot be supervised.
#[derive(Debug, thiserror::Error)]
pub enum SupervisorError {
    /// Another supervisor has this home.
    ///
    /// Leave it running; to start it anew, stop it first.
    #[error("{home} is already running{who}")]
    AlreadyRunning {
        /// The home.
        home: String,
        /// Its pid, when it is known.
        who: String,
    },
    /// The home cannot be used.
    #[error("{0}")]
    Home(#[from] HomeError),
    /// The node cannot start with its genesis.
    #[error("{0}")]
    Origin(#[from] OriginError),
    /// The home must not start as it is.
    #[error("{0}")]
    Preflight(#[from] PreflightError),
    /// CometBFT or the app could not listen.
    #[error("{list}\nfree them, or choose others in {config}", list = ports.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Ports {
        /// Each address and who has it.
        ports: Vec<Unusable>,
        /// Where they are set.
        config: String,
    },
    /// A process cannot be started or awaited.
    ///
    /// Fix the cause that follows the message, usually a missing file, permissions or a full disk, and run the command again.
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
    permissions::check(&plan.home)?;
    plan.home.make_run_dir()?;
    let lock = RunLock::take(&plan.home).map_err(io_error("lock the home"))?;
    let last = Running::read(&plan.home);
    // A lock that is free although the supervisor is alive: somebody removed its file.
    if lock.is_none() || last.as_ref().is_some_and(|last| last.supervisor.is_alive()) {
        let who = last.map_or_else(String::new, |last| format!(", by pid {}", last.supervisor.pid));
        return Err(SupervisorError::AlreadyRunning { home: plan.home.root().display().to_string(), who });
    }
    if let Some(original) = running::original_that_runs(&plan.home) {
        tracing::warn!("{original}");
    }
    if let Some(last) = last {
        for (what, id) in last.end_orphans().map_err(io_error("end what ran here before"))? {
            tracing::warn!(pid = id.pid, "ended the {what} that an earlier supervisor left behind");
        }
    }
    config::check_mempool(&plan.home)?;
    prepare(plan)?;
    check_ports(plan)?;
    // Where `dseq` itself writes into the home, that log is kept in bounds too.
    let own_log = plan.by_testnet.then(|| plan.home.app_log());
    let logs = own_log.into_iter().chain([plan.home.cometbft_log()]);
    let _keeper = rotate::Keeper::of(logs).map_err(io_error("start to keep the logs in bounds"))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(io_error("start the supervisor"))?.block_on(supervise(plan))
}

/// Holds the home against what must not happen with its keys, and against its genesis.
fn prepare(plan: &Plan) -> Result<(), SupervisorError> {
    if !plan.throwaway_key.is_empty() {
        // `dseq recover` looks at the rest, and its node cannot vote.
        preflight::check_moved(&plan.home)?;
        return Ok(origin::settle(&plan.home, &plan.genesis)?);
    }
    let here = MachineId::here();
    preflight::check_keys(&plan.home, here.as_ref())?;
    origin::settle(&plan.home, &plan.genesis)?;
    preflight::check_data(&plan.home)?;
    Ok(machine::mark(&plan.home, here.as_ref()).map_err(PreflightError::from)?)
}

/// Refuses to start what could not listen.
fn check_ports(plan: &Plan) -> Result<(), SupervisorError> {
    let of_engine = ports::unusable(&listen::addresses(&plan.home));
    let http = plan.http.map(|http| Address::new(http.ip().to_string(), http.port()));
    let of_app = ports::unusable(http.as_slice());
    let engine_config = plan.home.cometbft_config().display().to_string();
    let app_config = format!("{} (`{}`)", plan.home.config_file().display(), HTTP.name);
    let config = match (of_engine.is_empty(), of_app.is_empty()) {
        (true, true) => return Ok(()),
        (false, true) => engine_config,
        (true, false) => app_config,
        (false, false) => format!("{engine_config} and {app_config}"),
    };
    Err(SupervisorError::Ports { ports: [of_engine, of_app].concat(), config })
}

async fn supervise(plan: &Plan) -> Result<End, SupervisorError> {
    let mut stop = StopSignals::new().map_err(io_error("listen for signals"))?;
    let mut backoff = Backoff::new(plan.backoff_max);
    let mut life = Life::default();
    let folder = plan.home.id().map_err(io_error("look at the home"))?;
    loop {
        // Another home may have taken this one's place, with another network's data.
        if plan.home.id().is_ok_and(|now| now != folder) || !plan.home.root().exists() {
            tracing::error!(
                "the home was moved away from {} while it ran; not restarting",
                plan.home.root().display()
            );
            return Ok(End::Refused);
        }
        let started = Instant::now();
        let (why, healthy) = match round(plan, &mut life, &mut stop).await {
            Round::Died(why) => (why, HEALTHY),
            Round::Stuck(why) => (why, HEALTHY_BEFORE_STUCK),
            Round::Stopped => return Ok(End::Asked),
            ended => {
                ended.log_refusal();
                return Ok(End::Refused);
            }
        };
        life.restarts += 1;
        let pause = backoff.next(started.elapsed(), healthy);
        let often = match backoff.failures {
            FAILURES_MANY.. => format!(" (failure {} in a row)", backoff.failures),
            _ => String::new(),
        };
        tracing::error!("{why}; restarting both in {:.1} s{often}", pause.as_secs_f64());
        life.restart = Some(Restart::now(why, backoff.failures));
        // Only for those who ask how the node is.
        let _ = record(plan, None, None, life.restart.as_ref());
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            name = stop.recv() => {
                tracing::info!("{name}: stopping");
                return Ok(End::Asked);
            }
        }
    }
}

/// What outlives a run of the two processes.
#[derive(Default)]
struct Life {
    progress: Progress,
    connections: Connections,
    restart: Option<Restart>,
    /// How many times the two were started again.
    restarts: u64,
}

/// How one run of the two processes ended.
enum Round {
    Stopped,
    /// The app refuses to run.
    Refused,
    /// CometBFT does, for this reason.
    CometBftRefused(String),
    /// One of them ended.
    Died(String),
    /// CometBFT stopped working, though its process goes on.
    Stuck(String),
}

impl Round {
    /// Says why neither is started again.
    fn log_refusal(&self) {
        match self {
            Self::Refused => {
                tracing::error!("the app refuses to run, for the reason given above; not restarting");
            }
            Self::CometBftRefused(why) => tracing::error!("CometBFT refuses to run: {why}; not restarting"),
            Self::Stopped | Self::Died(_) | Self::Stuck(_) => {}
        }
    }

    fn failed(what: &str, err: &io::Error) -> Self {
        Self::Died(format!("cannot {what}: {err}"))
    }

    fn app_ended(status: io::Result<ExitStatus>) -> Self {
        match status {
            Ok(status) if status.code() == Some(EXIT_REFUSED.into()) => Self::Refused,
            Ok(status) => Self::Died(format!("the app ended ({status})")),
            Err(err) => Self::failed("wait for the app", &err),
        }
    }

    fn cometbft_ended(status: io::Result<ExitStatus>, watch: &mut Watch, home: &NodeHome) -> Self {
        let status = match status {
            Ok(status) => status,
            Err(err) => return Self::failed("wait for CometBFT", &err),
        };
        watch.read_log();
        if let Some(remedy) = log_ahead::remedy(watch.words.lines(), &home.sequence_dir()) {
            return Self::CometBftRefused(remedy);
        }
        match watch.words.refusal() {
            Some(why) if status.code().is_some_and(|code| code != 0) => Self::CometBftRefused(why),
            _ => Self::Died(format!("CometBFT ended ({status}){}", watch.words.at_its_end())),
        }
    }
}

/// The app, and our ends of its pipes: it stops when its input ends.
struct App {
    child: Child,
    _input: Option<ChildStdin>,
    output: Option<BufReader<ChildStdout>>,
}

/// Starts both, waits until one of them ends or a signal comes, and ends what is left.
async fn round(plan: &Plan, life: &mut Life, stop: &mut StopSignals) -> Round {
    let mut app = match start_app(plan, life.restarts) {
        Ok(app) => app,
        Err(err) => return Round::failed("start the app", &err),
    };
    let round = with_app(plan, life, stop, &mut app).await;
    let status = match end(&mut app.child, "the app").await {
        Ok(status) => status,
        Err(err) => {
            tracing::error!("cannot end the app: {err}");
            return round;
        }
    };
    // CometBFT may be seen to fail first although it was the app that refused, or failed.
    match round {
        Round::Stopped => round,
        _ if status.code() == Some(EXIT_REFUSED.into()) => Round::Refused,
        round => match halt_reason(&mut app.output).await {
            Some(why) => Round::Died(format!("the app ended ({status}): {why}")),
            None => round,
        },
    }
}

/// Why the app ended, if it said so.
async fn halt_reason(output: &mut Option<BufReader<ChildStdout>>) -> Option<String> {
    let mut lines = output.as_mut()?.take(HALT_BYTES_MAX).lines();
    let reason = async {
        while let Ok(Some(line)) = lines.next_line().await {
            if let Some(why) = line.strip_prefix(HALT_LINE) {
                return Some(printable::line(why).into_owned());
            }
        }
        None
    };
    tokio::time::timeout(HALT_PATIENCE, reason).await.ok().flatten()
}

/// Waits until the app listens, and runs CometBFT beside it; ends CometBFT, but not the app.
async fn with_app(plan: &Plan, life: &mut Life, stop: &mut StopSignals, app: &mut App) -> Round {
    let Life { progress, connections, restart, .. } = life;
    if let Err(err) = record(plan, Some(&app.child), None, restart.as_ref()) {
        return Round::failed("record who runs the home", &err);
    }
    tokio::select! {
        biased;
        status = app.child.wait() => return Round::app_ended(status),
        name = stop.recv() => { tracing::info!("{name}: stopping"); return Round::Stopped; }
        () = listens(&mut app.output, &plan.abci) => {}
    }
    // `dseq testnet logs` shows both logs of a node.
    let mut watch = Watch::new(&plan.home, !plan.by_testnet);
    let mut cometbft = match start_cometbft(plan) {
        Ok(cometbft) => cometbft,
        Err(err) => {
            let (path, log) = (plan.cometbft.path().display(), plan.home.cometbft_log());
            return Round::failed(&format!("start {path} with its output in {}", log.display()), &err);
        }
    };
    let round = match record(plan, Some(&app.child), Some(&cometbft), restart.as_ref()) {
        Err(err) => Round::failed("record who runs the home", &err),
        Ok(()) => {
            tracing::info!(app = app.child.id(), cometbft = cometbft.id(), "node runs");
            tokio::select! {
                biased;
                name = stop.recv() => { tracing::info!("{name}: stopping"); Round::Stopped }
                status = app.child.wait() => Round::app_ended(status),
                status = cometbft.wait() => Round::cometbft_ended(status, &mut watch, &plan.home),
                why = watch.until_stuck(progress, connections) => Round::Stuck(why),
            }
        }
    };
    if let Err(err) = end(&mut cometbft, "CometBFT").await {
        tracing::error!("cannot end CometBFT: {err}");
    }
    round
}

/// `restarts`: how many times it was started before, which it serves as a metric.
fn start_app(plan: &Plan, restarts: u64) -> io::Result<App> {
    // The link to this very program, so that replacing the file on disk does not mix two versions in one node.
    let mut command = std::process::Command::new("/proc/self/exe");
    command.arg0("dseq").arg("serve").arg("--home").arg(plan.home.root());
    command.arg("--abci").arg(plan.abci.to_string()).arg("--supervised");
    command.arg("--restarts").arg(restarts.to_string()).args(&plan.app_flags);
    // A process group of its own: Ctrl-C in a terminal must reach the supervisor alone, which keeps the order.
    command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = Command::from(command).kill_on_drop(true).spawn()?;
    // Waiting for a child closes its input, so we hold it ourselves.
    let (input, output) = (child.stdin.take(), child.stdout.take());
    Ok(App { child, _input: input, output: output.map(BufReader::new) })
}

fn start_cometbft(plan: &Plan) -> io::Result<Child> {
    for path in databases::remove_unfinished(&plan.home)? {
        tracing::warn!("CometBFT was stopped while it made {}; it makes it anew", path.display());
    }
    let log = OpenOptions::new().append(true).create(true).open(plan.home.cometbft_log())?;
    let log_too = log.try_clone()?;
    let mut command = plan.cometbft.command(plan.home.root());
    command
        .args(["start", "--proxy_app", &plan.abci.to_string()])
        .envs(plan.engine_environment.iter().map(|one| (one.name(), one.value.to_string())))
        .envs(plan.throwaway_key.iter().map(|(name, path)| (name, path)))
        .process_group(0)
        .stdout(log)
        .stderr(log_too);
    Command::from(command).kill_on_drop(true).spawn()
}

fn record(
    plan: &Plan,
    app: Option<&Child>,
    cometbft: Option<&Child>,
    restart: Option<&Restart>,
) -> io::Result<()> {
    let id = |child: &Child| child.id().and_then(ProcessId::of);
    let supervisor = ProcessId::of(std::process::id()).ok_or(io::ErrorKind::NotFound)?;
    let (app, cometbft) = (app.and_then(id), cometbft.and_then(id));
    let running =
        Running { by_testnet: plan.by_testnet, supervisor, app, cometbft, restart: restart.cloned() };
    running.write(&plan.home)
}

/// Waits until the app says that it listens; for ever, if it ends without having said so.
async fn listens(output: &mut Option<BufReader<ChildStdout>>, abci: &ListenAddr) {
    let heard = async {
        let mut line = String::new();
        if let Some(output) = output {
            let _ = output.read_line(&mut line).await;
        }
        if line.trim_end() != READY_LINE {
            std::future::pending::<()>().await;
        }
    };
    tokio::pin!(heard);
    tokio::select! {
        () = &mut heard => {}
        () = tokio::time::sleep(APP_SLOW) => {
            tracing::warn!("the app does not yet listen on {abci}; waiting for it");
            heard.await;
        }
    }
}

/// SIGTERM, and SIGKILL when it takes too long. One that has ended already just tells its status.
async fn end(child: &mut Child, what: &str) -> io::Result<ExitStatus> {
    if let Some(id) = child.id().and_then(ProcessId::of) {
        id.signal(rustix::process::Signal::TERM)?;
    }
    if let Ok(status) = tokio::time::timeout(END_PATIENCE, child.wait()).await {
        return status;
    }
    tracing::warn!("{what} did not end within {} s; killing it", END_PATIENCE.as_secs());
    child.kill().await?;
    child.wait().await
}
