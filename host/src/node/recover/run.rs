//! Runs a node without its vote until it is known what its validator may have signed.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use super::watch::{Seen, Watch, WatchError};
use crate::node::config;
use crate::node::engine::listen;
use crate::node::engine::rpc::Rpc;
use crate::node::home::NodeHome;
use crate::node::process::ProcessId;
use crate::node::process::running::SUPERVISOR_PATIENCE;

/// How often the node is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How long it may take for one answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// A node that could not catch up.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// It ended.
    ///
    /// Fix what that log says, and run `dseq recover` again.
    #[error("the node ended ({status}) before it had caught up; {log} says why", log = log.display())]
    Ended {
        /// How.
        status: ExitStatus,
        /// Where it says why.
        log: PathBuf,
    },
    /// The recovery must not go on.
    #[error("{0}")]
    Watch(#[from] WatchError),
    /// CometBFT has no RPC to ask.
    ///
    /// Set `rpc.laddr` there, to `tcp://127.0.0.1:26657` for example, and run `dseq recover` again.
    #[error("{config} names no address of CometBFT's RPC (rpc.laddr), so the node cannot be watched", config = config.display())]
    NoRpc {
        /// CometBFT's file.
        config: PathBuf,
    },
    /// A process cannot be started or ended, or its log not written.
    ///
    /// Fix the cause that follows the message, usually a missing file, permissions or a full disk, and run the command again.
    #[error("cannot {what}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// Why not.
        source: io::Error,
    },
}

fn io_error(what: &'static str) -> impl FnOnce(io::Error) -> RunError {
    move |source| RunError::Io { what, source }
}

/// Where the node says what it does meanwhile.
#[must_use]
pub fn log(home: &NodeHome) -> PathBuf {
    home.root().join("recover.log")
}

/// Runs the node until it is known up to which height its validator may have signed, which is returned; none: a signal came
/// first. Each change is handed to `tell`.
///
/// # Errors
///
/// When the node ends, or the recovery must not go on. The node runs no more then.
pub fn until_known(
    home: &NodeHome,
    validator: &str,
    cometbft: Option<&Path>,
    stop: &Receiver<&'static str>,
    mut tell: impl FnMut(&Seen),
) -> Result<Option<u64>, RunError> {
    let url = listen::rpc_url(home).ok_or_else(|| RunError::NoRpc { config: home.cometbft_config() })?;
    let (rpc, watch) = (Rpc::at(url, PATIENCE), Watch::of(validator.to_owned()));
    let mut node = start(home, cometbft)?;
    let mut last = None;
    let found = loop {
        match node.try_wait() {
            Ok(None) => {}
            Ok(Some(status)) => return Err(RunError::Ended { status, log: log(home) }),
            Err(err) => break Err(io_error("watch the node")(err)),
        }
        match watch.look(&rpc) {
            Ok(Seen::Knows { signed_max }) => break Ok(Some(signed_max)),
            Ok(seen) => {
                if last.as_ref() != Some(&seen) {
                    tell(&seen);
                }
                last = Some(seen);
            }
            Err(err) => break Err(err.into()),
        }
        match stop.recv_timeout(LOOK_EVERY) {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(_) | Err(RecvTimeoutError::Disconnected) => break Ok(None),
        }
    };
    end(&mut node).map_err(io_error("end the node"))?;
    found
}

fn start(home: &NodeHome, cometbft: Option<&Path>) -> Result<Child, RunError> {
    let opened = OpenOptions::new().append(true).create(true).open(log(home));
    let output = opened.map_err(io_error("write recover.log"))?;
    // The link to this very program: the file may be replaced meanwhile.
    let mut command = Command::new("/proc/self/exe");
    command.arg0("dseq").arg("start").arg("--without-vote").arg("--home").arg(home.root());
    if let Some(path) = cometbft {
        command.env(config::COMETBFT.env, path);
    }
    // A process group of its own: a signal from the terminal is ours to pass on.
    command.process_group(0).stdin(Stdio::null()).stdout(Stdio::null()).stderr(output);
    command.spawn().map_err(io_error("start the node"))
}

fn end(node: &mut Child) -> io::Result<()> {
    if let Some(id) = ProcessId::of(node.id()) {
        id.signal(rustix::process::Signal::TERM)?;
        if !id.wait_gone(SUPERVISOR_PATIENCE) {
            node.kill()?;
        }
    }
    node.wait().map(|_| ())
}
