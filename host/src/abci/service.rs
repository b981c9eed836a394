//! The ABCI application: CometBFT's requests on one side, the state machine and the log on the other.
//!
//! A method fails where any answer would be a guess that consensus then builds on; the node ends with the [`Halt`].
//!
//! # Invariants
//!
//! CheckTx, PrepareProposal and ProcessProposal need only the rules, Query only the committed prefix: none of them
//! waits for a block being finalized or committed. FinalizeBlock and Commit share one lock, and only Commit writes
//! blocks to disk.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, Weak};
use std::time::Instant;

use bytes::Bytes;
use tendermint_proto::v0_38::abci::{
    CheckTxType, RequestCheckTx, RequestFinalizeBlock, RequestInitChain, RequestPrepareProposal,
    RequestProcessProposal, RequestQuery, ResponseCheckTx, ResponseCommit, ResponseFinalizeBlock,
    ResponseInfo, ResponseInitChain, ResponsePrepareProposal, ResponseProcessProposal, ResponseQuery,
    response_process_proposal::ProposalStatus,
};
use tendermint_proto::v0_38::types::{ConsensusParams, VersionParams};
use tracing::field::Empty;

use super::convert::{
    check_refused, check_response, conduct, height_from_wire, height_to_wire, proposal_bytes, tx_result,
};
use super::disk::Disk;
use super::halt::Halt;
use super::own_votes::OwnVotes;
use super::pace::{Counted, Overload, Pace};
use super::prefix::Prefix;
use super::{metered, query, rules, traces};
use crate::app::{
    self, App, Code, CommittedBlock, Examined, ExaminedBlock, ProposalBounds, Refusal, RejectedProposal,
    Rules, SequencingError, Status, parse_genesis,
};
use crate::plugin::{Pipeline, PluginDir};
use crate::receipts::Receipts;
use crate::sequence::{Chain, Log, Reader};
use crate::telemetry::metrics::{Metrics, Now, Vote};
use crate::types::{AppHash, Height, TxHash};

/// Version of the application's protocol, in every block header; another one is consensus-breaking.
const APP_VERSION: u64 = 1;

/// Where a node keeps its state, and what it watches.
#[derive(Clone, Debug)]
pub struct ServiceOptions {
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

/// What is found out about a transaction before it enters the mempool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Check {
    /// No transaction is examined now, whatever its bytes.
    Unready(Refusal),
    /// What the rules say.
    Examined(Examined),
}

/// The pipeline in force, for readers.
#[derive(Clone)]
pub struct InForce(Arc<RwLock<Option<Rules>>>);

impl InForce {
    /// The pipeline; `None` before InitChain.
    #[must_use]
    pub fn pipeline(&self) -> Option<Arc<Pipeline>> {
        read(&self.0).map(|rules| rules.pipeline)
    }
}

fn read(rules: &RwLock<Option<Rules>>) -> Option<Rules> {
    rules.read().unwrap_or_else(PoisonError::into_inner).clone()
}

struct State {
    core: Mutex<Core>,
    /// The rules in force; `None` before InitChain. Outside the core, so that checks never wait for a block, but only
    /// changed while the core is locked, so that a block cannot run under other rules than the log holds.
    rules: Arc<RwLock<Option<Rules>>>,
    reader: Reader,
    plugins: PluginDir,
    disk: Disk,
    pace: Pace,
    metrics: Arc<Metrics>,
    on_commit: Box<dyn Fn(&CommittedBlock) + Send + Sync>,
    /// Where transactions landed, for queries; set once, if at all.
    receipts: OnceLock<Receipts>,
    /// Called with each proposal that this node rejects; set once, if at all.
    on_rejected_proposal: OnceLock<OnRejectedProposal>,
    /// Watches over the votes of this node's validator; set once, if at all.
    own_votes: OnceLock<OwnVotes>,
}

type OnRejectedProposal = Box<dyn Fn(&RejectedProposal) + Send + Sync>;

/// What InitChain, FinalizeBlock and Commit work on, one after the other.
struct Core {
    app: App,
    log: Log,
    /// Weight of the block that `app` has decided.
    block_weight: u64,
}

impl Service {
    /// Takes the log and, after a restart, the pipeline it was made under.
    ///
    /// `on_commit` is called with each block that Commit makes durable, after readers see it and before the engine is
    /// answered: one block at a time, in the order of heights, without gaps. A finalized block that is never committed
    /// is not passed. After a restart, the blocks that the engine replays because the log lacks them are passed. Blocks
    /// that the log has are not passed again, even if the process ended before their call: what is derived from blocks
    /// must catch up from the log at the start. The call delays the answer to Commit, so slow work belongs on a thread.
    ///
    /// # Errors
    ///
    /// When a plugin is missing, changed or not admitted any more.
    pub fn open(
        mut log: Log,
        options: &ServiceOptions,
        metrics: Arc<Metrics>,
        on_commit: impl Fn(&CommittedBlock) + Send + Sync + 'static,
    ) -> Result<Self, Halt> {
        let plugins = PluginDir::new(options.plugins_dir.clone());
        // Before the first block InitChain comes again, with a genesis that may have been mended since.
        let rules = match log.chain() {
            Some(chain) if log.head().height() > Height(0) => {
                Some(rules::restore(&log, chain, &plugins, &metrics)?)
            }
            _ => None,
        };
        let head = log.head();
        let chain_id = log.chain().map(|chain| chain.chain_id.as_str());
        tracing::info!(
            chain_id,
            height = head.height().0,
            length = head.length(),
            records = head.count(),
            "log open"
        );
        metered::time_commits(&mut log, Arc::clone(&metrics));
        let state = State {
            reader: log.reader(),
            core: Mutex::new(Core { app: App::default(), log, block_weight: 0 }),
            rules: Arc::new(RwLock::new(rules)),
            plugins,
            disk: Disk::new(options.disk_free_bytes_low),
            pace: Pace::new(Instant::now()),
            metrics,
            on_commit: Box::new(on_commit),
            receipts: OnceLock::new(),
            on_rejected_proposal: OnceLock::new(),
            own_votes: OnceLock::new(),
        };
        state.disk.refresh(&state.reader);
        let service = Self { shared: Arc::new(state) };
        let state = Arc::downgrade(&service.shared);
        service.shared.metrics.read_from(move || Self::now(&state));
        Ok(service)
    }

    /// What a scrape reads. Takes no lock that a block is committed under.
    fn now(state: &Weak<State>) -> Now {
        let Some(shared) = state.upgrade() else { return Now::default() };
        let service = Self { shared };
        let committed = service.shared.reader.committed();
        let counts = service.rules().map(|rules| rules.pipeline.counts()).unwrap_or_default();
        Now {
            height: committed.head.height().0,
            sequence_bytes: committed.head.length(),
            records: committed.head.count(),
            ready: service.unready().is_none(),
            disk_free_bytes: service.shared.reader.free_bytes().ok(),
            disk_free_bytes_low: service.shared.disk.free_bytes_low(),
            memo_hits: counts.memo_hits,
            memo_misses: counts.memo_misses,
            instances_started: counts.instances_started,
        }
    }

    /// What counts and times this service.
    #[must_use]
    pub fn metrics(&self) -> Arc<Metrics> {
        Arc::clone(&self.shared.metrics)
    }

    /// A view of the committed prefix.
    #[must_use]
    pub fn reader(&self) -> Reader {
        self.shared.reader.clone()
    }

    /// What this node has committed, and whether it accepts transactions. Asks the file system each time.
    #[must_use]
    pub fn status(&self) -> Status {
        Status::of(&self.shared.reader.committed(), self.unready())
    }

    /// Answers queries for transactions from these receipts from now on.
    pub fn answer_from(&self, receipts: Receipts) {
        // Whoever set them before had the same log.
        let _ = self.shared.receipts.set(receipts);
    }

    /// Calls this with each proposal that this node rejects, from now on. The call delays the vote.
    pub fn on_rejected_proposal(&self, call: impl Fn(&RejectedProposal) + Send + Sync + 'static) {
        // Only the first counts, as with receipts.
        let _ = self.shared.on_rejected_proposal.set(Box::new(call));
    }

    /// Stops from now on at a block that shows that this node's validator key votes elsewhere.
    pub fn watch_over(&self, own_votes: OwnVotes) {
        // Whoever set it before had the same home.
        let _ = self.shared.own_votes.set(own_votes);
    }

    /// A view of the pipeline in force, which does not keep the log open.
    #[must_use]
    pub fn in_force(&self) -> InForce {
        InForce(Arc::clone(&self.shared.rules))
    }

    fn core(&self) -> MutexGuard<'_, Core> {
        // A handler that panicked holding the lock has already ended the transport; nothing is answered after it.
        self.shared.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn rules(&self) -> Option<Rules> {
        read(&self.shared.rules)
    }

    fn pipeline_for(&self, request: &'static str) -> Result<Arc<Pipeline>, SequencingError> {
        Ok(self.rules().ok_or(SequencingError::NoGenesis { request })?.pipeline)
    }

    /// Version, and the last committed block.
    #[must_use]
    pub fn info(&self) -> ResponseInfo {
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

    /// Takes genesis; again, as long as nothing is committed.
    ///
    /// # Errors
    ///
    /// When genesis or a plugin is refused, or the rules cannot be stored.
    pub fn init_chain(&self, request: &RequestInitChain) -> Result<ResponseInitChain, Halt> {
        app::may_init(self.core().log.head())?;
        let genesis = parse_genesis(&request.app_state_bytes)?;
        rules::refuse_unmet_bounds(request, &genesis.pipeline.limits)?;
        // Compiling may take many seconds: nothing is locked meanwhile.
        let pipeline = Arc::new(rules::admit(&self.shared.plugins, genesis, &self.shared.metrics)?);
        // CometBFT counts from 1 where genesis names no initial height.
        let initial_height = height_from_wire(request.initial_height).max(Height(1));
        let chain_id = request.chain_id.clone();
        let chain = Chain { chain_id, initial_height, pipeline: pipeline.spec().clone() };
        let rules = Rules { initial_height, pipeline };

        let mut core = self.core();
        let Core { app, log, .. } = &mut *core;
        let app_hash = app.init(log.head(), &rules)?;
        log.init_chain(chain)?;
        tracing::info!(chain_id = request.chain_id, pipeline = %rules.pipeline.id(), %app_hash, "genesis accepted");
        *self.shared.rules.write().unwrap_or_else(PoisonError::into_inner) = Some(rules);
        // Info's version is in the headers, but CometBFT keeps only what InitChain answers, and `cometbft rollback` takes it
        // from there: without it the rolled back node would refuse its own blocks.
        let version = VersionParams { app: APP_VERSION };
        let consensus_params = Some(ConsensusParams { version: Some(version), ..Default::default() });
        Ok(ResponseInitChain { app_hash: wire_hash(app_hash), consensus_params, ..Default::default() })
    }

    /// Whether a transaction may enter the mempool.
    ///
    /// # Errors
    ///
    /// When this host could not run the pipeline.
    pub fn check_tx(&self, request: &RequestCheckTx) -> Result<ResponseCheckTx, Halt> {
        let is_new = request.r#type == i32::from(CheckTxType::New);
        Ok(match self.examine(&request.tx, is_new)? {
            Check::Unready(refusal) => check_refused(refusal),
            Check::Examined(examined) => {
                // Only what CometBFT asks about may get to its mempool, and so to a block.
                if is_new && examined.record.is_ok() {
                    self.shared.pace.accepted(&examined.tx_hash, weight(&request.tx), Instant::now());
                }
                check_response(examined)
            }
        })
    }

    /// What CheckTx would find out about a new transaction. What the pipeline says is remembered for it.
    ///
    /// # Errors
    ///
    /// When this host could not run the pipeline.
    pub fn check(&self, tx: &Bytes) -> Result<Check, Halt> {
        self.examine(tx, true)
    }

    fn examine(&self, tx: &Bytes, is_new: bool) -> Result<Check, Halt> {
        let Some(rules) = self.rules() else { return Ok(Check::Unready(no_genesis())) };
        let State { disk, pace, reader, .. } = &*self.shared;
        // A transaction that is checked again has been taken before; neither a full disk nor a queue is a reason to drop it.
        let overloaded = || pace.refusal(|| TxHash::of(tx), Instant::now);
        if is_new && let Some(refusal) = disk.refusal(reader).or_else(overloaded) {
            return Ok(Check::Unready(refusal));
        }
        let traced = traces::CheckTx::begin();
        let examined = app::examine(&rules.pipeline, tx).map_err(SequencingError::from)?;
        traced.end(&examined);
        log_refusal(&examined, tx);
        Ok(Check::Examined(examined))
    }

    /// Picks the transactions of a proposal.
    ///
    /// # Errors
    ///
    /// Before InitChain, and when this host could not run the pipeline.
    pub fn prepare_proposal(
        &self,
        request: &RequestPrepareProposal,
    ) -> Result<ResponsePrepareProposal, Halt> {
        let pipeline = self.pipeline_for("PrepareProposal")?;
        let bytes_max = u64::try_from(request.max_tx_bytes).unwrap_or(0);
        let height = height_from_wire(request.height);
        let span =
            tracing::trace_span!(target: traces::TARGET, "PrepareProposal", height = height.0, txs = Empty);
        let _entered = span.enter();
        let bounds = ProposalBounds { bytes_max, weight_max: self.shared.pace.proposal_weight() };
        let txs = app::prepare(&pipeline, &request.txs, bounds, proposal_bytes);
        let txs = txs.map_err(SequencingError::from)?;
        span.record("txs", txs.len());
        traces::name_transactions(&txs);
        Ok(ResponsePrepareProposal { txs })
    }

    /// Votes on a proposal.
    ///
    /// # Errors
    ///
    /// As [`Self::prepare_proposal`].
    pub fn process_proposal(
        &self,
        request: &RequestProcessProposal,
    ) -> Result<ResponseProcessProposal, Halt> {
        let pipeline = self.pipeline_for("ProcessProposal")?;
        let (height, txs) = (height_from_wire(request.height), request.txs.len());
        let span = tracing::trace_span!(target: traces::TARGET, "ProcessProposal", height = height.0, txs, accept = Empty);
        let _entered = span.enter();
        let objection = app::process(&pipeline, &request.txs).map_err(SequencingError::from)?;
        span.record("accept", objection.is_none());
        traces::name_transactions(&request.txs);
        let (status, vote) = match objection {
            None => (ProposalStatus::Accept, Vote::Accept),
            Some(_) => (ProposalStatus::Reject, Vote::Reject),
        };
        self.shared.metrics.voted(vote);
        if let Some((objection, call)) = objection.zip(self.shared.on_rejected_proposal.get()) {
            let proposer = data_encoding::HEXUPPER.encode(&request.proposer_address);
            call(&RejectedProposal { height: height.0, proposer, objection });
        }
        Ok(ResponseProcessProposal { status: status.into() })
    }

    /// Runs a decided block and stages its records, in memory.
    ///
    /// # Errors
    ///
    /// When the block is out of order, or shows that this node's key votes elsewhere, or this host could not run the pipeline.
    pub fn finalize_block(&self, request: &RequestFinalizeBlock) -> Result<ResponseFinalizeBlock, Halt> {
        let rules = self.rules().ok_or(SequencingError::NoGenesis { request: "FinalizeBlock" })?;
        let height = height_from_wire(request.height);
        let txs = request.txs.len();
        let _span =
            tracing::trace_span!(target: traces::TARGET, "FinalizeBlock", height = height.0, txs).entered();
        if let Some(own_votes) = self.shared.own_votes.get() {
            own_votes.check(request)?;
        }
        // Outside the lock; the engine sends no InitChain meanwhile, which alone changes the rules.
        let block = ExaminedBlock::of(rules, &request.txs).map_err(SequencingError::from)?;
        let conduct = conduct(request);
        let block_weight = request.txs.iter().map(weight).sum();
        let mut core = self.core();
        core.block_weight = block_weight;
        let Core { app, log, .. } = &mut *core;
        let staging = Instant::now();
        let decided = app.finalize(log.head(), height, block, conduct)?;
        self.shared.metrics.staged(staging.elapsed());
        let (results, app_hash) = (Arc::clone(&decided.results), decided.app_hash);
        drop(core);
        traces::name_results(&results);
        Ok(ResponseFinalizeBlock {
            tx_results: results.iter().map(tx_result).collect(),
            app_hash: wire_hash(app_hash),
            ..Default::default()
        })
    }

    /// Makes the decided block durable.
    ///
    /// # Errors
    ///
    /// Without a decided block, and when the log does not take it.
    pub fn commit(&self) -> Result<ResponseCommit, Halt> {
        let mut core = self.core();
        let Core { app, log, block_weight } = &mut *core;
        let decided = app.take_decided()?;
        let height = decided.staged.head().height().0;
        let _span = tracing::trace_span!(target: traces::TARGET, "Commit", height).entered();
        log.commit(&decided.staged, decided.app_hash, decided.pipeline)?;
        let txs = decided.results.iter().map(|result| result.tx_hash);
        self.shared.pace.committed(Instant::now(), *block_weight, txs);
        traces::name_results(&decided.results);
        let block = CommittedBlock {
            committed: self.shared.reader.committed(),
            results: decided.results,
            conduct: decided.conduct,
        };
        // Called under the lock, which keeps blocks in order. Only InitChain, FinalizeBlock and Commit take the lock, and the
        // engine sends none of them before this Commit is answered.
        (self.shared.on_commit)(&block);
        drop(core);
        self.shared.disk.refresh(&self.shared.reader);
        // 0 keeps every block: a node that fell behind replays from them.
        Ok(ResponseCommit { retain_height: 0 })
    }

    /// Answers a query about the committed log or this node.
    #[must_use]
    pub fn query(&self, request: &RequestQuery) -> ResponseQuery {
        query::answer(&self.shared.reader, self.shared.receipts.get(), || self.unready(), request)
    }

    /// That producers had better wait, because their transactions would. Takes no lock that a block waits for.
    #[must_use]
    pub fn overload(&self) -> Option<Overload> {
        self.shared.pace.overload(Instant::now)
    }

    /// Counts a transaction that HTTP takes: as on its way until the engine has it, and as waiting until what is answered here is
    /// dropped.
    ///
    /// # Errors
    ///
    /// As [`Self::overload`].
    pub fn count(&self, tx: &Bytes) -> Result<Counted, Overload> {
        self.shared.pace.count(weight(tx), Instant::now)
    }

    /// Why a new transaction would be refused now, whatever its bytes. Asks the file system each time.
    fn unready(&self) -> Option<Refusal> {
        match self.rules() {
            Some(_) => self.shared.disk.look(&self.shared.reader),
            None => Some(no_genesis()),
        }
    }
}

/// Says why a transaction is not taken, to those who log that much.
fn log_refusal(examined: &Examined, tx: &[u8]) {
    if let Err(Refusal { code, codespace, message }) = &examined.record {
        let begins = Prefix(tx);
        tracing::debug!(tx = %examined.tx_hash, %begins, code, codespace, reason = message, "transaction refused");
    }
}

fn no_genesis() -> Refusal {
    Refusal::by_host(Code::NoGenesis, "the node has no genesis yet; try again once it has started".to_owned())
}

fn weight(tx: &Bytes) -> u64 {
    app::weight(proposal_bytes(tx))
}

fn wire_hash(hash: AppHash) -> Bytes {
    Bytes::copy_from_slice(&hash.0)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;
    use crate::plugin::Limits;

    fn service(dir: &std::path::Path) -> Service {
        let log = Log::open(&dir.join("sequence")).unwrap();
        let options = ServiceOptions { plugins_dir: dir.join("plugins"), disk_free_bytes_low: 0 };
        let service = Service::open(log, &options, Arc::default(), |_| ()).unwrap();
        let limits = Limits::default();
        let engine = crate::plugin::engine_id().to_string();
        let genesis = serde_json::json!({ "dseq": { "engine": engine, "limits": limits, "pipeline": [] } });
        let app_state_bytes = Bytes::from(genesis.to_string());
        service.init_chain(&RequestInitChain { app_state_bytes, ..Default::default() }).unwrap();
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
            asking.check_tx(&RequestCheckTx { tx: txs[0].clone(), ..Default::default() }).unwrap();
            let request =
                RequestPrepareProposal { txs: txs.clone(), max_tx_bytes: 100, ..Default::default() };
            asking.prepare_proposal(&request).unwrap();
            asking.process_proposal(&RequestProcessProposal { txs, ..Default::default() }).unwrap();
            let _ = asking.query(&RequestQuery { path: "/status".to_owned(), ..Default::default() });
            let _ = (asking.info(), asking.status());
            asking.metrics().encode(crate::telemetry::metrics::Format::Text).unwrap();
            done.send(()).unwrap();
        });
        assert!(
            is_done.recv_timeout(Duration::from_secs(60)).is_ok(),
            "something waits for the lock of blocks"
        );
        drop(held);
    }
}
