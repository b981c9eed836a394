//! The ABCI application: four connections on one side, the state machine and the log on the other.
//!
//! # Invariants
//!
//! CheckTx, PrepareProposal and ProcessProposal need only the rules, Query only the committed prefix: none of them
//! waits for a block being finalized or committed. FinalizeBlock and Commit share one lock, and only Commit writes
//! blocks to disk.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use bytes::Bytes;
use tendermint_abci::Application;
use tendermint_proto::v0_38::abci::{
    CheckTxType, Misbehavior, RequestApplySnapshotChunk, RequestCheckTx, RequestFinalizeBlock, RequestInfo,
    RequestInitChain, RequestLoadSnapshotChunk, RequestOfferSnapshot, RequestPrepareProposal,
    RequestProcessProposal, RequestQuery, ResponseApplySnapshotChunk, ResponseCheckTx, ResponseCommit,
    ResponseFinalizeBlock, ResponseInfo, ResponseInitChain, ResponseListSnapshots, ResponseLoadSnapshotChunk,
    ResponseOfferSnapshot, ResponsePrepareProposal, ResponseProcessProposal, ResponseQuery,
    response_apply_snapshot_chunk, response_offer_snapshot, response_process_proposal::ProposalStatus,
};
use tendermint_proto::v0_38::types::{ConsensusParams, VersionParams};

use super::bounds::{BoundsError, EngineBounds};
use super::convert::{
    check_refused, check_response, height_from_wire, height_to_wire, proposal_bytes, tx_result,
};
use super::halt::Halt;
use super::{misbehavior, query};
use crate::app::{self, App, Code, GenesisRules, Refusal, Rules, SequencingError, app_hash, parse_genesis};
use crate::plugin::{Limits, Pipeline, PipelineSpec, PluginDir};
use crate::sequence::{Chain, Log, Reader};
use crate::types::{AppHash, Height};

/// Version of the application's protocol, in every block header; another one is consensus-breaking.
const APP_VERSION: u64 = 1;

/// CheckTx asks the file system for its free space once in this many transactions.
const CHECKS_PER_DISK_CHECK: u64 = 64;

/// Where a node keeps its state, and what it watches.
#[derive(Clone, Debug)]
pub struct ServiceOptions {
    /// The folder of the log.
    pub sequence_dir: PathBuf,
    /// The folder of the plugins' `.wasm` files.
    pub plugins_dir: PathBuf,
    /// Free space on the log's file system below which CheckTx refuses, in bytes.
    pub disk_free_bytes_low: u64,
}

/// The application CometBFT talks to; clones share one state.
#[derive(Clone)]
pub struct Service {
    shared: Arc<State>,
}

struct State {
    core: Mutex<Core>,
    /// The rules in force, apart from the core so that checks never wait for a block. `None` before InitChain.
    pipeline: RwLock<Option<Arc<Pipeline>>>,
    reader: Reader,
    plugins: PluginDir,
    disk: Disk,
}

struct Core {
    app: App,
    log: Log,
    /// What the decided block says of validators; told once it is committed.
    misbehavior: Vec<Misbehavior>,
}

/// Whether the log's disk is nearly full.
struct Disk {
    free_bytes_low: u64,
    is_low: AtomicBool,
    checks: AtomicU64,
}

impl Service {
    /// Opens the log and, after a restart, the pipeline it was made under.
    ///
    /// # Errors
    ///
    /// When the log cannot be opened, or a plugin is missing, changed or not admitted any more.
    pub fn open(options: &ServiceOptions) -> Result<Self, Halt> {
        let log = Log::open(&options.sequence_dir)?;
        let plugins = PluginDir::new(options.plugins_dir.clone());
        // Before the first block InitChain comes again, with a genesis that may have been mended since.
        let rules = match log.chain() {
            Some(chain) if log.head().height() > Height(0) => Some(restore_rules(&log, chain, &plugins)?),
            _ => None,
        };
        let pipeline = rules.as_ref().map(|rules| Arc::clone(&rules.pipeline));
        let app = App::new(log.head().clone(), rules);
        let head = log.head();
        let chain_id = log.chain().map(|chain| chain.chain_id.as_str());
        tracing::info!(
            chain_id,
            height = head.height().0,
            length = head.length(),
            records = head.count(),
            "log open"
        );
        let state = State {
            reader: log.reader(),
            core: Mutex::new(Core { app, log, misbehavior: Vec::new() }),
            pipeline: RwLock::new(pipeline),
            plugins,
            disk: Disk::new(options.disk_free_bytes_low),
        };
        state.disk.refresh(&state.reader);
        Ok(Self { shared: Arc::new(state) })
    }

    /// A view of the committed prefix.
    #[must_use]
    pub fn reader(&self) -> Reader {
        self.shared.reader.clone()
    }

    fn core(&self) -> MutexGuard<'_, Core> {
        // A handler that panicked holding the lock has already ended the transport; nothing is answered after it.
        self.shared.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pipeline(&self) -> Option<Arc<Pipeline>> {
        self.shared.pipeline.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn pipeline_for(&self, request: &'static str) -> Result<Arc<Pipeline>, Halt> {
        self.pipeline().ok_or(Halt::Sequencing(SequencingError::NoGenesis { request }))
    }

    fn try_init_chain(&self, request: &RequestInitChain) -> Result<ResponseInitChain, Halt> {
        self.core().app.may_init()?;
        let genesis = parse_genesis(&request.app_state_bytes)?;
        refuse_unmet_bounds(request, &genesis.pipeline.limits)?;
        // Compiling may take many seconds: nothing is locked meanwhile.
        let pipeline = Arc::new(self.admit(genesis)?);
        let mut core = self.core();
        core.app.may_init()?;
        // CometBFT counts from 1 where genesis names no initial height.
        let initial_height = height_from_wire(request.initial_height).max(Height(1));
        let chain_id = request.chain_id.clone();
        core.log.init_chain(Chain { chain_id, initial_height, pipeline: pipeline.spec().clone() })?;
        let app_hash = core.app.init(Rules { initial_height, pipeline: Arc::clone(&pipeline) })?;
        tracing::info!(chain_id = request.chain_id, pipeline = %pipeline.id(), %app_hash, "genesis accepted");
        *self.shared.pipeline.write().unwrap_or_else(PoisonError::into_inner) = Some(pipeline);
        // Info's version is in the headers, but CometBFT keeps only what it is told here, and `cometbft rollback` takes it
        // from there: without it the rolled back node would refuse its own blocks.
        let version = VersionParams { app: APP_VERSION };
        let consensus_params = Some(ConsensusParams { version: Some(version), ..Default::default() });
        Ok(ResponseInitChain { app_hash: wire_hash(app_hash), consensus_params, ..Default::default() })
    }

    /// Admits the pipeline of genesis. Wasm inlined there is kept as a file, because InitChain comes only once.
    fn admit(&self, genesis: GenesisRules) -> Result<Pipeline, Halt> {
        let plugins = &self.shared.plugins;
        for (plugin, wasm) in genesis.pipeline.plugins.iter().zip(&genesis.inline_wasm) {
            if let Some(wasm) = wasm {
                let stored = plugins.store(&plugin.name, wasm);
                stored.map_err(|source| Halt::PluginFile { name: plugin.name.to_string(), source })?;
            }
        }
        admit_from(plugins, genesis.pipeline)
    }

    fn try_finalize(&self, request: &RequestFinalizeBlock) -> Result<ResponseFinalizeBlock, Halt> {
        let height = height_from_wire(request.height);
        let mut core = self.core();
        let (results, app_hash) = core.app.finalize(height, &request.txs)?;
        core.misbehavior.clone_from(&request.misbehavior);
        drop(core);
        Ok(ResponseFinalizeBlock {
            tx_results: results.into_iter().map(tx_result).collect(),
            app_hash: wire_hash(app_hash),
            ..Default::default()
        })
    }

    fn try_commit(&self) -> Result<ResponseCommit, Halt> {
        let mut core = self.core();
        let Core { app, log, misbehavior } = &mut *core;
        let decided = app.decided()?;
        let pipeline = self.pipeline_for("Commit")?.id();
        log.commit(&decided.staged, decided.app_hash, pipeline)?;
        let (head, count) = (decided.staged.head(), decided.staged.count());
        tracing::debug!(height = head.height().0, length = head.length(), records = count, "block committed");
        misbehavior::log(head.height(), &std::mem::take(misbehavior));
        app.committed();
        drop(core);
        self.shared.disk.refresh(&self.shared.reader);
        // 0 keeps every block: a node that fell behind replays from them.
        Ok(ResponseCommit { retain_height: 0 })
    }

    fn try_check(&self, request: &RequestCheckTx) -> Result<ResponseCheckTx, Halt> {
        let Some(pipeline) = self.pipeline() else { return Ok(check_refused(no_genesis())) };
        // A transaction that is checked again has been taken before; a full disk is no reason to drop it.
        if request.r#type == i32::from(CheckTxType::New)
            && let Some(refusal) = self.shared.disk.refusal(&self.shared.reader)
        {
            return Ok(check_refused(refusal));
        }
        Ok(check_response(app::examine(&pipeline, &request.tx).map_err(SequencingError::from)?))
    }

    /// Why a new transaction would be refused now, whatever its bytes. Asks the file system each time.
    fn unready(&self) -> Option<Refusal> {
        match self.pipeline() {
            Some(_) => self.shared.disk.look(&self.shared.reader),
            None => Some(no_genesis()),
        }
    }

    fn try_prepare(&self, request: &RequestPrepareProposal) -> Result<ResponsePrepareProposal, Halt> {
        let pipeline = self.pipeline_for("PrepareProposal")?;
        let bytes_max = u64::try_from(request.max_tx_bytes).unwrap_or(0);
        let txs = app::prepare(&pipeline, &request.txs, bytes_max, proposal_bytes);
        let txs = txs.map_err(SequencingError::from)?;
        Ok(ResponsePrepareProposal { txs })
    }

    fn try_process(&self, request: &RequestProcessProposal) -> Result<ResponseProcessProposal, Halt> {
        let pipeline = self.pipeline_for("ProcessProposal")?;
        let accept = app::process(&pipeline, &request.txs).map_err(SequencingError::from)?;
        if !accept {
            let (height, txs) = (request.height, request.txs.len());
            tracing::warn!(
                height,
                txs,
                "voting no: the proposal holds what the pipeline rejects, or is too large"
            );
        }
        let status = if accept { ProposalStatus::Accept } else { ProposalStatus::Reject };
        Ok(ResponseProcessProposal { status: status.into() })
    }
}

impl Disk {
    fn new(free_bytes_low: u64) -> Self {
        Self { free_bytes_low, is_low: AtomicBool::new(false), checks: AtomicU64::new(0) }
    }

    fn is_low(&self) -> bool {
        self.is_low.load(Ordering::Relaxed)
    }

    /// Asks the file system. Where it cannot answer, Commit will find out; a check is no place to fail.
    fn refresh(&self, reader: &Reader) -> Option<u64> {
        let free_bytes = reader.free_bytes().ok()?;
        let is_low = free_bytes < self.free_bytes_low;
        if self.is_low.swap(is_low, Ordering::Relaxed) != is_low {
            let free_bytes_low = self.free_bytes_low;
            if is_low {
                tracing::error!(free_bytes, free_bytes_low, "disk nearly full: refusing transactions");
            } else {
                tracing::info!(free_bytes, free_bytes_low, "disk has room again: taking transactions");
            }
        }
        Some(free_bytes)
    }

    /// The refusal of a check while the disk is nearly full. Looks again at each one then, so it ends by itself.
    fn refusal(&self, reader: &Reader) -> Option<Refusal> {
        let due = self.checks.fetch_add(1, Ordering::Relaxed).is_multiple_of(CHECKS_PER_DISK_CHECK);
        if due || self.is_low() { self.look(reader) } else { None }
    }

    /// The refusal of a check if the disk is nearly full at this moment.
    fn look(&self, reader: &Reader) -> Option<Refusal> {
        let free_bytes = self.refresh(reader)?;
        let low = self.free_bytes_low;
        (free_bytes < low).then(|| {
            let message = format!(
                "this node's disk is nearly full: {free_bytes} bytes are free, it keeps {low}; try another node"
            );
            Refusal::by_host(Code::DiskLow, message)
        })
    }
}

/// Refuses parameters under which the limits of genesis cannot be met. An engine that sends none has CometBFT's own.
fn refuse_unmet_bounds(request: &RequestInitChain, limits: &Limits) -> Result<(), BoundsError> {
    let Some(params) = request.consensus_params.as_ref() else { return Ok(()) };
    let Some(block) = params.block.as_ref() else { return Ok(()) };
    let bounds = EngineBounds {
        block_bytes_max: block.max_bytes,
        block_gas_max: block.max_gas,
        vote_extensions_height: params.abci.as_ref().map_or(0, |abci| abci.vote_extensions_enable_height),
        validators: request.validators.len() as u64,
    };
    bounds.check(limits)
}

fn no_genesis() -> Refusal {
    Refusal::by_host(Code::NoGenesis, "the node has no genesis yet; try again once it has started".to_owned())
}

fn wire_hash(hash: AppHash) -> Bytes {
    Bytes::copy_from_slice(&hash.0)
}

fn admit_from(plugins: &PluginDir, spec: PipelineSpec) -> Result<Pipeline, Halt> {
    let find = |plugin: &crate::plugin::PluginSpec| {
        let found = plugins.find(&plugin.sha256);
        found.map_err(|source| Halt::PluginFile { name: plugin.name.to_string(), source })
    };
    let modules = spec.plugins.iter().map(find).collect::<Result<Vec<_>, _>>()?;
    Ok(Pipeline::admit(spec, &modules)?)
}

/// The rules as they were when the log's last block was made, or the reason they are not to be had.
fn restore_rules(log: &Log, chain: &Chain, plugins: &PluginDir) -> Result<Rules, Halt> {
    let pipeline = admit_from(plugins, chain.pipeline.clone())?;
    let (stored, computed) = (log.app_hash(), app_hash(log.head(), pipeline.id()));
    if stored != computed {
        return Err(Halt::AppHash { stored, computed });
    }
    Ok(Rules { initial_height: chain.initial_height, pipeline: Arc::new(pipeline) })
}

impl Application for Service {
    fn info(&self, _request: RequestInfo) -> ResponseInfo {
        let committed = self.shared.reader.committed();
        let height = committed.head.height();
        let app_hash = if height == Height(0) { Bytes::new() } else { wire_hash(committed.app_hash) };
        ResponseInfo {
            data: "dseq".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            app_version: APP_VERSION,
            last_block_height: height_to_wire(height),
            last_block_app_hash: app_hash,
        }
    }

    fn init_chain(&self, request: RequestInitChain) -> ResponseInitChain {
        self.try_init_chain(&request).unwrap_or_else(|halt| halt.unwind())
    }

    fn query(&self, request: RequestQuery) -> ResponseQuery {
        query::answer(&self.shared.reader, &|| self.unready(), &request)
    }

    fn check_tx(&self, request: RequestCheckTx) -> ResponseCheckTx {
        self.try_check(&request).unwrap_or_else(|halt| halt.unwind())
    }

    fn prepare_proposal(&self, request: RequestPrepareProposal) -> ResponsePrepareProposal {
        self.try_prepare(&request).unwrap_or_else(|halt| halt.unwind())
    }

    fn process_proposal(&self, request: RequestProcessProposal) -> ResponseProcessProposal {
        self.try_process(&request).unwrap_or_else(|halt| halt.unwind())
    }

    fn finalize_block(&self, request: RequestFinalizeBlock) -> ResponseFinalizeBlock {
        self.try_finalize(&request).unwrap_or_else(|halt| halt.unwind())
    }

    fn commit(&self) -> ResponseCommit {
        self.try_commit().unwrap_or_else(|halt| halt.unwind())
    }

    // A new node replays the chain. Until there are snapshots, each call says plainly that there are none.

    fn list_snapshots(&self) -> ResponseListSnapshots {
        ResponseListSnapshots { snapshots: Vec::new() }
    }

    fn offer_snapshot(&self, _request: RequestOfferSnapshot) -> ResponseOfferSnapshot {
        ResponseOfferSnapshot { result: response_offer_snapshot::Result::RejectFormat.into() }
    }

    fn load_snapshot_chunk(&self, _request: RequestLoadSnapshotChunk) -> ResponseLoadSnapshotChunk {
        ResponseLoadSnapshotChunk { chunk: Bytes::new() }
    }

    fn apply_snapshot_chunk(&self, _request: RequestApplySnapshotChunk) -> ResponseApplySnapshotChunk {
        ResponseApplySnapshotChunk {
            result: response_apply_snapshot_chunk::Result::Abort.into(),
            ..Default::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    fn service(dir: &std::path::Path) -> Service {
        let options = ServiceOptions {
            sequence_dir: dir.join("sequence"),
            plugins_dir: dir.join("plugins"),
            disk_free_bytes_low: 0,
        };
        let service = Service::open(&options).unwrap();
        let limits = Limits::default();
        let engine = crate::plugin::engine_id().to_string();
        let genesis = serde_json::json!({ "dseq": { "engine": engine, "limits": limits, "pipeline": [] } });
        let app_state_bytes = Bytes::from(genesis.to_string());
        service.init_chain(RequestInitChain { app_state_bytes, ..Default::default() });
        service
    }

    #[test]
    fn nothing_but_a_block_waits_for_a_block() {
        let dir = tempfile::tempdir().unwrap();
        let service = service(dir.path());
        let (done, is_done) = mpsc::channel();
        let held = service.core();
        let asking = service.clone();
        std::thread::spawn(move || {
            let txs = vec![Bytes::from_static(b"tx")];
            asking.check_tx(RequestCheckTx { tx: txs[0].clone(), ..Default::default() });
            let request =
                RequestPrepareProposal { txs: txs.clone(), max_tx_bytes: 100, ..Default::default() };
            asking.prepare_proposal(request);
            asking.process_proposal(RequestProcessProposal { txs, ..Default::default() });
            asking.query(RequestQuery { path: "/status".to_owned(), ..Default::default() });
            asking.info(RequestInfo::default());
            asking.list_snapshots();
            done.send(()).unwrap();
        });
        assert!(
            is_done.recv_timeout(Duration::from_secs(60)).is_ok(),
            "something waits for the lock of blocks"
        );
        drop(held);
    }

    #[test]
    fn a_disk_that_fills_up_is_noticed_and_room_on_it_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let reader = service(dir.path()).reader();
        let mut disk = Disk::new(0);
        let refused = |disk: &Disk| disk.refusal(&reader).is_some();
        assert!((0..CHECKS_PER_DISK_CHECK).all(|_| !refused(&disk)));
        disk.free_bytes_low = u64::MAX;
        assert!((0..CHECKS_PER_DISK_CHECK).any(|_| refused(&disk)), "it asks once in so many checks");
        assert!(refused(&disk) && disk.is_low());
        disk.free_bytes_low = 0;
        assert!(!refused(&disk) && !disk.is_low());
    }
}
