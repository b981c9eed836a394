//! Looks at this node: its CometBFT, its disks, its store, its plugins.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::snapshot::{Disk, Engine, Learned, Pipeline};
use crate::abci::InForce;
use crate::disk;
use crate::node::engine::config::EngineConfig;
use crate::node::engine::data::EngineData;
use crate::node::engine::listen;
use crate::node::engine::rpc::{Rpc, RpcError, Status};
use crate::node::genesis::file::GenesisFile;
use crate::node::home::NodeHome;
use crate::node::network::NetworkFile;
use crate::node::process::ProcessId;
use crate::node::process::running::Running;
use crate::plugin::PluginDir;
use crate::sequence::Reader;

/// How long CometBFT may take for one answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long the last answer stands in for one that does not come: a machine with too much to do misses one now and then.
const SILENT_AFTER: Duration = Duration::from_secs(4);
/// How often the validators are asked for: they are fixed in genesis.
const VALIDATORS_EVERY: Duration = Duration::from_secs(60);
/// How often what is on disk is read back: some MiB at most.
const READ_BACK_EVERY: Duration = Duration::from_secs(10);
/// What CometBFT's write-ahead log takes at most: 1 GiB, and the file of up to 10 MiB that it is writing.
const WAL_BYTES_MAX: u64 = (1 << 30) + (10 << 20);

/// CometBFT as its home and its RPC show it.
#[derive(Debug)]
pub(super) struct EngineLook {
    home: NodeHome,
    rpc: Option<Rpc>,
    chain_id: Option<String>,
    last: Option<(Instant, Engine)>,
    validators: Option<(Instant, Arc<BTreeMap<String, u64>>)>,
    trusted: Arc<BTreeSet<String>>,
    members: Arc<BTreeMap<String, String>>,
    /// Its id among its peers.
    pub(super) id: String,
}

impl EngineLook {
    pub(super) fn new(home: &NodeHome) -> Self {
        let rpc = listen::rpc_url(home).map(|url| Rpc::at(url, PATIENCE));
        let genesis = GenesisFile::read(&home.genesis_file()).and_then(|file| file.doc());
        let chain_id = genesis.ok().map(|doc| doc.chain_id.clone());
        let trusted = Arc::new(persistent_peers(home));
        let members = Arc::new(members(home));
        let (home, id) = (home.clone(), String::new());
        Self { home, rpc, chain_id, last: None, validators: None, trusted, members, id }
    }

    /// Asks it.
    pub(super) fn look(&mut self) -> Learned<Engine> {
        let Some(rpc) = self.rpc.clone() else {
            let config = self.home.cometbft_config();
            return Learned::Unasked(format!("{} names no address of CometBFT's RPC", config.display()));
        };
        match self.ask(&rpc) {
            Ok((status, _)) if self.is_other_chain(&status) => {
                let (theirs, ours) =
                    (status.chain_id.unwrap_or_default(), self.chain_id.clone().unwrap_or_default());
                let config = self.home.cometbft_config();
                let why = format!(
                    "the RPC that {} names is of the chain {theirs:?}; this node's is {ours:?}",
                    config.display()
                );
                Learned::Silent(why)
            }
            Ok((status, engine)) => {
                self.id = status.id;
                self.last = Some((Instant::now(), engine.clone()));
                Learned::Known(engine)
            }
            Err(err) => self.silent(&err),
        }
    }

    fn is_other_chain(&self, status: &Status) -> bool {
        status.chain_id.as_ref().zip(self.chain_id.as_ref()).is_some_and(|(theirs, ours)| theirs != ours)
    }

    fn ask(&mut self, rpc: &Rpc) -> Result<(Status, Engine), RpcError> {
        let status = rpc.status()?;
        let (peers, waiting) = (rpc.neighbours()?, rpc.waiting()?);
        if self.validators.as_ref().is_none_or(|(asked, _)| asked.elapsed() >= VALIDATORS_EVERY)
            && let Ok(all) = rpc.validators()
        {
            let powers = all.into_iter().filter_map(|one| Some((one.address?, one.power))).collect();
            self.validators = Some((Instant::now(), Arc::new(powers)));
        }
        let engine = Engine {
            catching_up: status.catching_up,
            power: status.power,
            validators: self.validators.as_ref().map(|(_, powers)| Arc::clone(powers)),
            validator: status.validator.clone(),
            waiting,
            peers,
            trusted: Arc::clone(&self.trusted),
            members: Arc::clone(&self.members),
        };
        Ok((status, engine))
    }

    /// What to make of no answer.
    fn silent(&self, err: &RpcError) -> Learned<Engine> {
        let running = Running::read(&self.home);
        let is_supervised = running.as_ref().is_some_and(|one| one.app == ProcessId::of(std::process::id()));
        let cometbft = running.filter(|_| is_supervised).and_then(|one| one.cometbft);
        if let Some(why) = cometbft.and_then(|id| stopped("CometBFT", id)) {
            return Learned::Silent(why);
        }
        if let Some((at, engine)) = &self.last
            && at.elapsed() < SILENT_AFTER
        {
            return Learned::Known(engine.clone());
        }
        // Whoever runs CometBFT elsewhere may have left our file as it was made.
        let is_absent = matches!(err, RpcError::NoAnswer { listens: false, .. });
        if is_absent && !is_supervised && self.last.is_none() {
            return Learned::Unasked(format!(
                "{err}, the address in {}; CometBFT was not started by dseq and may run elsewhere",
                self.home.cometbft_config().display()
            ));
        }
        Learned::Silent(format!("CometBFT's RPC does not answer: {err}"))
    }
}

/// The ids of the peers that the node's operator named.
fn persistent_peers(home: &NodeHome) -> BTreeSet<String> {
    let config = EngineConfig::of(home);
    let named = config.text(&["p2p", "persistent_peers"]).unwrap_or_default();
    let ids =
        named.split(',').filter_map(|peer| peer.trim().split_once('@')).map(|(id, _)| id.to_lowercase());
    ids.collect()
}

/// The validator address of each member of the network that the home joined, by its node id.
fn members(home: &NodeHome) -> BTreeMap<String, String> {
    let network = NetworkFile::read(&home.network_file()).ok();
    let members = network.iter().flat_map(NetworkFile::members);
    members.map(|member| (member.node_id.clone(), member.validator_address())).collect()
}

/// What to say of a process that a signal stopped, if that is so.
pub(super) fn stopped(what: &str, id: ProcessId) -> Option<String> {
    let pid = id.pid;
    id.is_stopped().then(|| format!("{what} is stopped by a signal; continue it with `kill -CONT {pid}`"))
}

/// The folders that the node writes to.
#[derive(Debug)]
pub(super) struct Disks {
    sequence: PathBuf,
    databases: PathBuf,
    /// The folder of CometBFT's write-ahead log; `None`: CometBFT does not run in this home.
    wal: Option<PathBuf>,
    low: u64,
}

impl Disks {
    /// Of a home whose node keeps so many bytes free.
    pub(super) fn new(home: &NodeHome, low: u64) -> Self {
        let data = EngineData::of(home);
        Self {
            sequence: home.sequence_dir(),
            databases: data.databases().to_owned(),
            wal: home.cometbft_config().exists().then(|| data.wal_folder().to_owned()),
            low,
        }
    }

    /// Asks each file system once.
    pub(super) fn look(&self) -> Vec<Disk> {
        let growth = |wal: &PathBuf| WAL_BYTES_MAX.saturating_sub(size_of(wal));
        let wal_growth = self.wal.as_ref().map_or(0, growth);
        let disk = |path: &Path, wal_growth| {
            let unknown = |err| format!("cannot ask for the free space of {}: {err}", path.display());
            let free = disk::free_bytes(path).map_err(unknown);
            Disk { path: path.display().to_string(), free, low: self.low, wal_growth }
        };
        let device = |path: &Path| fs::metadata(path).map(|found| found.dev()).ok();
        // Before the first start neither is there: then the folder counts that they will be made in.
        let [sequence, databases] = [&self.sequence, &self.databases].map(|path| existing(path));
        match (device(sequence), device(databases)) {
            (Some(one), Some(other)) if one != other => vec![disk(sequence, 0), disk(databases, wal_growth)],
            _ => vec![disk(sequence, wal_growth)],
        }
    }
}

/// The folder itself, or the nearest one above it that is there.
fn existing(path: &Path) -> &Path {
    path.ancestors().find(|above| above.exists()).unwrap_or(path)
}

/// The size of the files in a folder, in bytes; 0 if there is none.
fn size_of(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.metadata().ok()).map(|found| found.len()).sum()
}

/// What is read back from disk, more rarely than the rest.
#[derive(Debug)]
pub(super) struct ReadBack {
    plugins: PluginDir,
    last: Option<Instant>,
    store: Result<(), String>,
    missing: Option<String>,
}

impl ReadBack {
    pub(super) fn new(plugins_dir: PathBuf) -> Self {
        Self { plugins: PluginDir::new(plugins_dir), last: None, store: Ok(()), missing: None }
    }

    /// Whether the last record can be read back; and the pipeline.
    pub(super) fn look(&mut self, reader: &Reader, in_force: &InForce) -> (Result<(), String>, Pipeline) {
        let pipeline = in_force.pipeline();
        if self.last.is_none_or(|last| last.elapsed() >= READ_BACK_EVERY) {
            self.last = Some(Instant::now());
            self.store = read_back(reader);
            self.missing = pipeline.as_ref().and_then(|pipeline| {
                let hashes: BTreeSet<_> =
                    pipeline.spec().plugins.iter().map(|plugin| plugin.sha256).collect();
                hashes.iter().find_map(|hash| self.plugins.find(hash).err()).map(|err| err.to_string())
            });
        }
        let committed = reader.committed();
        let pipeline = pipeline.map_or(Pipeline::NoGenesis, |pipeline| Pipeline::Runs {
            id: pipeline.id().to_string(),
            committed: (committed.head.height().0 > 0).then(|| committed.pipeline.to_string()),
            missing: self.missing.clone(),
        });
        (self.store.clone(), pipeline)
    }
}

/// Reads the last committed record.
fn read_back(reader: &Reader) -> Result<(), String> {
    match reader.committed().head.count().checked_sub(1) {
        None => Ok(()),
        Some(last) => reader.record(last).map(|_| ()).map_err(|err| err.to_string()),
    }
}

/// The error of a thread that cannot be started.
pub(super) fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<()> {
    std::thread::Builder::new().name(name.to_owned()).spawn(run).map(|_| ())
}
