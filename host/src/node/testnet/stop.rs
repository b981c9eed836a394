//! Stopping what `dseq testnet` started, and nothing else.

use std::fs;
use std::io;
use std::path::Path;

use super::{TestnetError, io_error, lock, running};
use crate::node::home::NodeHome;
use crate::node::process::Ending;

/// What became of one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// It did not run.
    WasStopped,
    /// It ended in order.
    Ended,
    /// It had to be killed; it will recover when it starts again.
    Killed,
    /// Somebody else started it, under this pid: left alone.
    NotOurs(u32),
    /// This user may not know whether it runs, or may not end it: left alone.
    Denied(String),
}

/// Stops the nodes whose homes are in a folder; their data stays.
///
/// Goes by the homes, not by `network.json`, so that a network that was half made or damaged can be stopped too.
///
/// # Errors
///
/// When there is no node, the folder cannot be read, or a process cannot be ended.
pub fn stop(dir: &Path) -> Result<Vec<(String, Stopped)>, TestnetError> {
    let homes = homes(dir)?;
    if homes.is_empty() {
        return Err(TestnetError::NoNetwork { dir: dir.to_owned() });
    }
    let _lock = lock(dir)?;
    let nodes: Vec<_> = homes.into_iter().map(|(name, home)| (name, running(&home))).collect();
    // All are signalled first, so that they end at the same time.
    for (_, running) in &nodes {
        if let Ok(Some(running)) = running
            && running.by_testnet
        {
            // What goes wrong is reported below, where it is waited for.
            let _ = running.supervisor.signal(rustix::process::Signal::TERM);
        }
    }
    let mut outcomes = Vec::new();
    for (name, running) in nodes {
        let outcome = match running {
            Err(denied) => Stopped::Denied(denied.to_string()),
            Ok(Some(running)) if !running.by_testnet => Stopped::NotOurs(running.supervisor.pid),
            Ok(None) => Stopped::WasStopped,
            Ok(Some(running)) => match running.end() {
                Ok(Ending::Killed) => Stopped::Killed,
                Ok(Ending::Ended | Ending::WasGone) => Stopped::Ended,
                Err(err) if err.kind() == io::ErrorKind::PermissionDenied => Stopped::Denied(format!(
                    "permission denied: pid {} cannot be stopped",
                    running.supervisor.pid
                )),
                Err(err) => return Err(io_error(format!("stop {name}"))(err)),
            },
        };
        outcomes.push((name, outcome));
    }
    Ok(outcomes)
}

/// `node0` and so on, as far as they are in a folder, by their numbers.
pub(super) fn homes(dir: &Path) -> Result<Vec<(String, NodeHome)>, TestnetError> {
    let dir = match dir.canonicalize() {
        Ok(dir) => dir,
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(err) => return Err(io_error(format!("find {}", dir.display()))(err)),
    };
    let at = || format!("look into {}", dir.display());
    let mut found = Vec::new();
    for entry in fs::read_dir(&dir).map_err(io_error(at()))? {
        let name = entry.map_err(io_error(at()))?.file_name().to_string_lossy().into_owned();
        let number = name.strip_prefix("node").and_then(|number| number.parse::<u16>().ok());
        // `node007` and `node+7` are somebody else's.
        if let Some(number) = number.filter(|number| super::name((*number).into()) == name) {
            found.push((number, NodeHome::new(&dir.join(name))));
        }
    }
    found.sort_by_key(|(number, _)| *number);
    Ok(found.into_iter().map(|(number, home)| (super::name(number.into()), home)).collect())
}
