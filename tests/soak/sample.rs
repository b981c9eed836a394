//! What the processes and the disks hold at one moment.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use dseq::node::process::ProcessId;
use dseq::node::process::running::Running;

use crate::network::Testnet;

/// The processes of a node, in the order of [`Sample::nodes`].
pub(crate) const PROCESSES: [&str; 3] = ["supervisor", "app", "cometbft"];

/// One look at everything.
pub(crate) struct Sample {
    pub(crate) at: Duration,
    /// Of each node its processes; none where it did not run.
    pub(crate) nodes: Vec<[Option<Process>; 3]>,
    /// Bytes on node0's disk, by part.
    pub(crate) disk: BTreeMap<String, u64>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Process {
    pub(crate) rss_bytes: u64,
    pub(crate) descriptors: u64,
}

impl Sample {
    pub(crate) fn take(network: &Testnet, begin: Instant) -> Self {
        let nodes = network.nodes.iter().map(|node| {
            let running = Running::read(&node.home);
            let all = running.map(|running| [Some(running.supervisor), running.app, running.cometbft]);
            all.unwrap_or_default().map(|process| process.and_then(look))
        });
        Self { at: begin.elapsed(), nodes: nodes.collect(), disk: disk(network.nodes[0].home.root()) }
    }
}

fn look(id: ProcessId) -> Option<Process> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", id.pid)).ok()?;
    let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = kib.trim().trim_end_matches(" kB").parse().ok()?;
    let descriptors = std::fs::read_dir(format!("/proc/{}/fd", id.pid)).ok()?.count() as u64;
    Some(Process { rss_bytes: kib << 10, descriptors })
}

/// Allocated bytes of a home's files: those of `sequence/` and `data/` by the name below, logs together.
fn disk(home: &Path) -> BTreeMap<String, u64> {
    let mut parts = BTreeMap::new();
    for folder in ["sequence", "data"] {
        for (name, path) in entries(&home.join(folder)) {
            *parts.entry(format!("{folder}/{name}")).or_default() += allocated(&path);
        }
    }
    for (name, path) in entries(home).into_iter().filter(|(name, _)| name.contains(".log")) {
        let log = name.split(".log").next().unwrap_or_default();
        *parts.entry(format!("{log}.log")).or_default() += allocated(&path);
    }
    parts
}

fn entries(folder: &Path) -> Vec<(String, std::path::PathBuf)> {
    let found = std::fs::read_dir(folder).into_iter().flatten().flatten();
    found.map(|entry| (entry.file_name().to_string_lossy().into_owned(), entry.path())).collect()
}

fn allocated(path: &Path) -> u64 {
    let Ok(data) = std::fs::symlink_metadata(path) else { return 0 };
    let below: u64 =
        if data.is_dir() { entries(path).iter().map(|(_, path)| allocated(path)).sum() } else { 0 };
    data.blocks() * 512 + below
}
