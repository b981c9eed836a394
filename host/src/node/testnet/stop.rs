//! Stopping what `dseq testnet` started, and nothing else.

use std::time::Duration;

use super::{Network, TestnetError, io_error, lock};
use crate::node::process::Ending;
use crate::node::running::Running;
use crate::node::supervisor::END_PATIENCE;

/// A supervisor ends its two children one after the other, each with its own patience.
const SUPERVISOR_PATIENCE: Duration = END_PATIENCE.saturating_mul(2).saturating_add(Duration::from_secs(5));

/// What became of one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// It did not run.
    WasStopped,
    /// It ended in order.
    Ended,
    /// It had to be killed; it will recover when it starts again.
    Killed,
    /// Somebody else started it, under this pid: left alone.
    NotOurs(u32),
}

/// Stops a network; its data stays.
///
/// # Errors
///
/// When there is no network, or a process cannot be signalled.
pub fn stop(network: &Network) -> Result<Vec<(String, Stopped)>, TestnetError> {
    let _lock = lock(&network.dir)?;
    let nodes = network.nodes()?;
    let alive = |running: &Running| !running.alive().is_empty();
    let running: Vec<_> = nodes.iter().map(|node| Running::read(&node.home).filter(alive)).collect();
    // All are told first, so that they end at the same time.
    for (node, running) in nodes.iter().zip(&running) {
        if let Some(running) = running.as_ref().filter(|running| running.by_testnet) {
            let what = format!("stop {} (pid {})", node.name, running.supervisor.pid);
            running.supervisor.signal(rustix::process::Signal::TERM).map_err(io_error(what))?;
        }
    }
    let mut outcomes = Vec::new();
    for (node, running) in nodes.iter().zip(running) {
        let outcome = match running {
            Some(running) if !running.by_testnet => Stopped::NotOurs(running.supervisor.pid),
            None => Stopped::WasStopped,
            Some(running) => {
                let ending =
                    running.end(SUPERVISOR_PATIENCE).map_err(io_error(format!("stop {}", node.name)))?;
                if ending == Ending::Killed { Stopped::Killed } else { Stopped::Ended }
            }
        };
        outcomes.push((node.name.clone(), outcome));
    }
    Ok(outcomes)
}
