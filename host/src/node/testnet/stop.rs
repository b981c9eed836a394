//! Stopping what `dseq testnet` started, and nothing else.

use std::fs;
use std::path::Path;

use super::{TestnetError, io_error, lock};
use crate::node::home::NodeHome;
use crate::node::process::Ending;
use crate::node::running::Running;

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

/// Stops the nodes whose homes are in a folder; their data stays.
///
/// Goes by the homes, not by `network.json`, so that a network that was half made or damaged can be stopped too.
///
/// # Errors
///
/// When there is no node, or a process cannot be ended.
pub fn stop(dir: &Path) -> Result<Vec<(String, Stopped)>, TestnetError> {
    let homes = homes(dir)?;
    if homes.is_empty() {
        return Err(TestnetError::NoNetwork { dir: dir.to_owned() });
    }
    let _lock = lock(dir)?;
    let read = |home: &NodeHome| Running::read(home).filter(Running::is_alive);
    let nodes: Vec<_> = homes.into_iter().map(|(name, home)| (name, read(&home))).collect();
    // All are told first, so that they end at the same time.
    for (name, running) in &nodes {
        if let Some(running) = running.as_ref().filter(|running| running.by_testnet) {
            let what = format!("stop {name} (pid {})", running.supervisor.pid);
            running.supervisor.signal(rustix::process::Signal::TERM).map_err(io_error(what))?;
        }
    }
    let mut outcomes = Vec::new();
    for (name, running) in nodes {
        let outcome = match running {
            Some(running) if !running.by_testnet => Stopped::NotOurs(running.supervisor.pid),
            None => Stopped::WasStopped,
            Some(running) => match running.end().map_err(io_error(format!("stop {name}")))? {
                Ending::Killed => Stopped::Killed,
                Ending::Ended | Ending::WasGone => Stopped::Ended,
            },
        };
        outcomes.push((name, outcome));
    }
    Ok(outcomes)
}

/// `node0` and so on, as far as they are in a folder, by their numbers.
fn homes(dir: &Path) -> Result<Vec<(String, NodeHome)>, TestnetError> {
    let Ok(dir) = dir.canonicalize() else { return Ok(Vec::new()) };
    let at = || format!("look into {}", dir.display());
    let mut found = Vec::new();
    for entry in fs::read_dir(&dir).map_err(io_error(at()))? {
        let name = entry.map_err(io_error(at()))?.file_name().to_string_lossy().into_owned();
        if let Some(number) = name.strip_prefix("node").and_then(|number| number.parse::<u16>().ok()) {
            found.push((number, NodeHome::new(&dir.join(name))));
        }
    }
    found.sort_by_key(|(number, _)| *number);
    Ok(found.into_iter().map(|(number, home)| (super::name(number.into()), home)).collect())
}
