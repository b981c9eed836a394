//! Counts and times what the service does, for metrics: a wrapper around its handler, and the observers of the pipeline and
//! the log.
//!
//! # Limits
//!
//! A CheckTx takes some microseconds and several threads run them at once: each is counted in the thread's own cache line,
//! and the clock is read for a sample of them only. See [`telemetry::metrics`](crate::telemetry::metrics).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tendermint_proto::v0_38::abci::{
    CheckTxType, RequestCheckTx, ResponseCheckTx, request::Value as Request, response::Value as Response,
};

use super::transport::Handler;
use crate::app::{CODESPACE, Code, CommittedBlock, MisbehaviorKind};
use crate::plugin::{self, CallObserver, Fault, Pipeline, Step};
use crate::sequence::{self, Log};
use crate::telemetry::metrics::{
    Block, CommitStep, Method, Metrics, Misbehaviour, Plugin, Reason, Sampled, Status, Verdict, due,
};
use crate::types::TxHash;

/// Maximum size of a transaction that is followed from its check to its block, for the stream's latency, in bytes.
const FOLLOWED_TX_BYTES_MAX: usize = 16 << 10;

/// A handler whose requests are counted and timed.
#[derive(Clone)]
pub struct Metered<H> {
    inner: H,
    metrics: Arc<Metrics>,
}

impl<H> Metered<H> {
    /// Counts and times this handler.
    #[must_use]
    pub fn new(inner: H, metrics: Arc<Metrics>) -> Self {
        Self { inner, metrics }
    }
}

impl<H: Handler> Handler for Metered<H> {
    type Error = H::Error;

    fn answer(&self, request: Request) -> Result<Response, H::Error> {
        let method = match request {
            Request::CheckTx(request) => return self.check_tx(request),
            // One comes with each synchronous request, and takes less time than reading the clock.
            Request::Flush(_) | Request::Echo(_) => return self.inner.answer(request),
            Request::Info(_) => Method::Info,
            Request::InitChain(_) => Method::InitChain,
            Request::Query(_) => Method::Query,
            Request::PrepareProposal(_) => Method::PrepareProposal,
            Request::ProcessProposal(_) => Method::ProcessProposal,
            Request::FinalizeBlock(_) => Method::FinalizeBlock,
            Request::Commit(_) => Method::Commit,
            Request::ExtendVote(_)
            | Request::VerifyVoteExtension(_)
            | Request::ListSnapshots(_)
            | Request::OfferSnapshot(_)
            | Request::LoadSnapshotChunk(_)
            | Request::ApplySnapshotChunk(_) => Method::Other,
        };
        let txs = if let Request::FinalizeBlock(block) = &request { block.txs.len() } else { 0 };
        let _reading = matches!(method, Method::Query).then(|| self.metrics.reading());
        let started = Instant::now();
        let answer = self.inner.answer(request)?;
        let took = started.elapsed();
        self.metrics.answered(method, took);
        self.metrics.finalized(txs, took);
        Ok(answer)
    }
}

impl<H: Handler> Metered<H> {
    fn check_tx(&self, request: RequestCheckTx) -> Result<Response, H::Error> {
        if !due(Sampled::Check) {
            let answer = self.inner.answer(Request::CheckTx(request))?;
            self.count_check(&answer);
            return Ok(answer);
        }
        let is_new = request.r#type == i32::from(CheckTxType::New);
        let tx = request.tx.clone();
        let started = Instant::now();
        let answer = self.inner.answer(Request::CheckTx(request))?;
        self.metrics.check_timed(started.elapsed());
        // Hashing a large one again would take as long as checking it.
        let is_small = tx.len() <= FOLLOWED_TX_BYTES_MAX;
        if self.count_check(&answer) == Some(Status::Accepted) && is_new && is_small {
            self.metrics.check_accepted(beginning(TxHash::of(&tx)), started);
        }
        Ok(answer)
    }

    fn count_check(&self, answer: &Response) -> Option<Status> {
        let Response::CheckTx(ResponseCheckTx { code, codespace, .. }) = answer else { return None };
        let status = status(*code, codespace);
        self.metrics.checked(status);
        if status == Status::Refused {
            self.metrics.refused(reason(*code));
        }
        Some(status)
    }
}

/// What a result's code and codespace say became of the transaction.
fn status(code: u32, codespace: &str) -> Status {
    match code {
        0 => Status::Accepted,
        _ if codespace == CODESPACE => Status::Refused,
        _ if code < Fault::Unreachable.code() => Status::Rejected,
        _ => Status::Faulted,
    }
}

fn reason(code: u32) -> Reason {
    let reasons = [
        (Code::EmptyTx, Reason::Empty),
        (Code::TxTooLarge, Reason::TooLarge),
        (Code::SequenceFull, Reason::SequenceFull),
        (Code::DiskLow, Reason::DiskLow),
        (Code::NoGenesis, Reason::NoGenesis),
        (Code::Overloaded, Reason::Overloaded),
    ];
    reasons.into_iter().find(|(known, _)| known.value() == code).map_or(Reason::Other, |(_, reason)| reason)
}

/// The first eight bytes of a transaction's hash.
fn beginning(hash: TxHash) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = hash.0;
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}

/// Counts a committed block.
pub fn count_block(metrics: &Metrics, block: &CommittedBlock) {
    let mut counted = Block::default();
    for result in &*block.results {
        let of = match &result.receipt {
            Ok(_) => &mut counted.accepted,
            Err(refusal) => match status(refusal.code, &refusal.codespace) {
                Status::Accepted => &mut counted.accepted,
                Status::Rejected => &mut counted.rejected,
                Status::Faulted => &mut counted.faulted,
                Status::Refused => &mut counted.refused,
            },
        };
        *of += 1;
    }
    let accepted = block.results.iter().filter(|result| result.receipt.is_ok());
    metrics.committed(&counted, accepted.map(|result| beginning(result.tx_hash)));
    for proven in &block.conduct.misbehavior {
        metrics.misbehaved(match proven.kind {
            MisbehaviorKind::DuplicateVote => Misbehaviour::DuplicateVote,
            MisbehaviorKind::LightClientAttack => Misbehaviour::LightClientAttack,
            MisbehaviorKind::Unknown => Misbehaviour::Unknown,
        });
    }
}

/// A pipeline whose calls are counted. It is the one in force from now on.
pub(super) fn pipeline(pipeline: Pipeline, metrics: &Metrics) -> Pipeline {
    let faults: Vec<String> = Fault::ALL.iter().map(|fault| snake_case(&format!("{fault:?}"))).collect();
    let plugins = pipeline.spec().plugins.iter();
    let plugins = plugins.map(|plugin| Arc::new(Plugin::new(&plugin.name.to_string(), &faults)));
    let plugins: Arc<[Arc<Plugin>]> = plugins.collect();
    metrics.run_plugins(Arc::clone(&plugins));
    pipeline.observed_by(Arc::new(Calls { plugins, epoch: Instant::now() }))
}

/// `OutOfFuel` as `out_of_fuel`.
fn snake_case(name: &str) -> String {
    let mut snake = String::new();
    for (place, one) in name.char_indices() {
        if one.is_ascii_uppercase() && place > 0 {
            snake.push('_');
        }
        snake.push(one.to_ascii_lowercase());
    }
    snake
}

/// The calls of a pipeline's plugins.
struct Calls {
    plugins: Arc<[Arc<Plugin>]>,
    /// What times are counted from.
    epoch: Instant,
}

impl Calls {
    /// Nanoseconds since the epoch, at least 1.
    fn nanos(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_nanos()).unwrap_or(u64::MAX).max(1)
    }
}

impl CallObserver for Calls {
    /// When the call began, if it is timed; else 0.
    fn before(&self, _plugin: usize) -> u64 {
        if due(Sampled::PluginCall) { self.nanos() } else { 0 }
    }

    fn after(&self, plugin: usize, before: u64, step: &Step) {
        let Some(plugin) = self.plugins.get(plugin) else { return };
        if before > 0 {
            plugin.timed(Duration::from_nanos(self.nanos().saturating_sub(before)));
        }
        let verdict = match &step.verdict {
            plugin::Verdict::Unchanged => Verdict::Unchanged,
            plugin::Verdict::Replaced(_) => Verdict::Replaced,
            plugin::Verdict::Rejected { .. } => Verdict::Rejected,
            plugin::Verdict::Faulted { fault, .. } => {
                plugin.faulted(Fault::ALL.iter().position(|one| one == fault).unwrap_or(usize::MAX));
                Verdict::Faulted
            }
        };
        plugin.called(verdict, step.fuel.0);
    }
}

/// Times the steps of each commit.
pub(super) fn time_commits(log: &mut Log, metrics: Arc<Metrics>) {
    let epoch = Instant::now();
    let last = AtomicU64::new(0);
    log.on_commit_step(move |step| {
        let now = u64::try_from(epoch.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let took = Duration::from_nanos(now.saturating_sub(last.swap(now, Ordering::Relaxed)));
        let step = match step {
            sequence::CommitStep::Begun => return,
            sequence::CommitStep::Written => CommitStep::Write,
            sequence::CommitStep::Synced => CommitStep::Sync,
            sequence::CommitStep::RecordWritten => CommitStep::RecordWrite,
            sequence::CommitStep::RecordSynced => CommitStep::RecordSync,
        };
        metrics.commit_step(step, took);
    });
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use tendermint_proto::v0_38::abci::{RequestCommit, RequestFinalizeBlock, RequestInitChain};

    use super::super::{Service, ServiceOptions};
    use super::*;
    use crate::telemetry::metrics::Format;

    const PASSTHROUGH: &[u8] = include_bytes!("../../assets/passthrough.wasm");

    /// A service with the plugin `passthrough`, as a node serves it.
    fn served(dir: &std::path::Path) -> (Metered<Service>, Arc<Metrics>) {
        let metrics = Arc::new(Metrics::default());
        let log = Log::open(&dir.join("sequence")).unwrap();
        let options = ServiceOptions { plugins_dir: dir.join("plugins"), disk_free_bytes_low: 0 };
        let counting = Arc::clone(&metrics);
        let on_commit = move |block: &CommittedBlock| count_block(&counting, block);
        let service = Service::open(log, &options, Arc::clone(&metrics), on_commit).unwrap();
        let genesis = serde_json::json!({ "dseq": {
            "engine": plugin::engine_id().to_string(),
            "limits": plugin::Limits::default(),
            "pipeline": [{
                "name": "passthrough",
                "sha256": crate::types::PluginHash::of(PASSTHROUGH).to_string(),
                "params": {},
                "wasm": data_encoding::BASE64.encode(PASSTHROUGH),
            }],
        } });
        let app_state_bytes = Bytes::from(genesis.to_string());
        let handler = Metered::new(service, Arc::clone(&metrics));
        handler
            .answer(Request::InitChain(RequestInitChain { app_state_bytes, ..Default::default() }))
            .unwrap();
        (handler, metrics)
    }

    fn value(metrics: &Metrics, series: &str) -> f64 {
        let text = metrics.encode(Format::Text).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {series} in {text}")).parse().unwrap()
    }

    #[test]
    fn a_transactions_way_is_counted_at_each_station() {
        let dir = tempfile::tempdir().unwrap();
        let (handler, metrics) = served(dir.path());
        let txs = [Bytes::from_static(b"one"), Bytes::from_static(b"two")];
        for tx in txs.iter().cloned().chain([Bytes::new()]) {
            handler.answer(Request::CheckTx(RequestCheckTx { tx, ..Default::default() })).unwrap();
        }
        let block = RequestFinalizeBlock { txs: txs.to_vec(), height: 1, ..Default::default() };
        handler.answer(Request::FinalizeBlock(block)).unwrap();
        handler.answer(Request::Commit(RequestCommit {})).unwrap();
        let expected: &[(&str, f64)] = &[
            ("dseq_checks_total{status=\"accepted\"}", 2.0),
            ("dseq_checks_total{status=\"refused\"}", 1.0),
            ("dseq_check_refusals_total{reason=\"empty\"}", 1.0),
            ("dseq_plugin_calls_total{plugin=\"passthrough\",verdict=\"unchanged\"}", 2.0),
            ("dseq_memo_lookups_total{result=\"miss\"}", 2.0),
            ("dseq_memo_lookups_total{result=\"hit\"}", 2.0),
            ("dseq_transactions_total{status=\"accepted\"}", 2.0),
            ("dseq_transactions_total{status=\"refused\"}", 0.0),
            ("dseq_stream_entries_total", 2.0),
            ("dseq_block_height", 1.0),
            ("dseq_sequence_bytes", 6.0),
            ("dseq_sequence_records", 2.0),
            ("dseq_ready", 1.0),
            ("dseq_block_processing_duration_seconds_count", 1.0),
            ("dseq_abci_request_duration_seconds_count{method=\"init_chain\"}", 1.0),
            ("dseq_abci_request_duration_seconds_count{method=\"commit\"}", 1.0),
            ("dseq_block_staging_duration_seconds_count", 1.0),
            ("dseq_transaction_duration_seconds_count{method=\"finalize_block\"}", 1.0),
            ("dseq_commit_step_duration_seconds_count{step=\"sync\"}", 1.0),
            ("dseq_commit_step_duration_seconds_count{step=\"record_sync\"}", 1.0),
        ];
        for (series, expected) in expected {
            assert_eq!(value(&metrics, series).to_bits(), expected.to_bits(), "{series}");
        }
        // Which ones are timed depends on the clock, but the first is.
        assert!(value(&metrics, "dseq_transaction_duration_seconds_count{method=\"check_tx\"}") >= 1.0);
        assert!(value(&metrics, "dseq_stream_latency_seconds_count") >= 1.0);
        assert!(value(&metrics, "dseq_plugin_call_duration_seconds_count{plugin=\"passthrough\"}") >= 1.0);
        assert!(value(&metrics, "dseq_plugin_fuel_total{plugin=\"passthrough\"}") > 0.0);
    }

    #[test]
    fn a_scrape_keeps_nothing_alive_and_answers_when_the_service_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let (handler, metrics) = served(dir.path());
        drop(handler);
        assert_eq!(value(&metrics, "dseq_ready").to_bits(), 0.0_f64.to_bits());
        Log::open(&dir.path().join("sequence")).expect("the log is closed");
    }

    #[test]
    fn codes_and_faults_have_their_names() {
        let of_plugin = "plugin/p";
        let codes = [(0, ""), (1, CODESPACE), (1, of_plugin), (999, of_plugin), (1000, of_plugin)];
        assert_eq!(
            codes.map(|(code, space)| status(code, space)),
            [Status::Accepted, Status::Refused, Status::Rejected, Status::Rejected, Status::Faulted]
        );
        assert_eq!(
            [1, 2, 4, 6, 32].map(reason),
            [Reason::Empty, Reason::TooLarge, Reason::DiskLow, Reason::Overloaded, Reason::Other]
        );
        assert_eq!(snake_case("OutOfFuel"), "out_of_fuel");
    }
}
