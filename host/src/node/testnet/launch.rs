//! One `dseq start` for each node: started in the background, and ended again if the network does not come up.

use std::fs::OpenOptions;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use super::{Node, TestnetError, io_error};
use crate::node::config;
use crate::node::engine::cometbft::CometBft;
use crate::node::process::ProcessId;
use crate::node::process::running::Running;

/// A node's supervisor, which is our child until we end.
pub(super) struct Launched {
    pub(super) child: Child,
}

/// Starts a node that does not run.
pub(super) fn launch(cometbft: &CometBft, node: &Node) -> Result<Launched, TestnetError> {
    let path = node.home.app_log();
    let what = || io_error(format!("start {} with its output in {}", node.name, path.display()));
    let log = OpenOptions::new().append(true).create(true).open(&path).map_err(what())?;
    let log_too = log.try_clone().map_err(what())?;
    let mut command = Command::new("/proc/self/exe");
    command.arg0("dseq").arg("start").arg("--home").arg(node.home.root());
    command.arg("--by-testnet");
    if cometbft.named() {
        command.arg("--cometbft").arg(cometbft.path());
    }
    // What is one node's alone must not be the same for all of them.
    command.env_remove(config::ABCI.env).env_remove(config::HTTP.env).env_remove(config::HOME_ENV);
    let child = command.stdin(Stdio::null()).stdout(log).stderr(log_too).spawn().map_err(what())?;
    Ok(Launched { child })
}

/// Ends these nodes, which were started by this call.
pub(super) fn end_all(started: &mut [(&Node, &mut Launched)]) {
    // Best effort throughout: the failure that brought us here is what the user needs to hear.
    for (_, launched) in started.iter() {
        if let Some(id) = ProcessId::of(launched.child.id()) {
            let _ = id.signal(rustix::process::Signal::TERM);
        }
    }
    for (node, launched) in started {
        if let Some(id) = ProcessId::of(launched.child.id()) {
            // One that is asked before it could say who it is has no children yet.
            let alone =
                Running { by_testnet: true, supervisor: id, app: None, cometbft: None, restart: None };
            let said = Running::read(&node.home).filter(|running| running.supervisor == id);
            let _ = said.unwrap_or(alone).end();
        }
        let _ = launched.child.wait();
    }
}

/// The logs of a node, with what each is called.
pub(super) fn logs(node: &Node) -> [(&'static str, PathBuf); 2] {
    [("dseq.log", node.home.app_log()), ("cometbft.log", node.home.cometbft_log())]
}
