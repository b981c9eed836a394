//! Metrics of this process, in the formats that Prometheus reads.
//!
//! ```text
//! abci/metered, api, node/app ── add ──> Metrics <── read, at a scrape ── the committed head, the memo, the disk, /proc
//!                                      └── encode ──> /metrics
//! ```
//!
//! `table` has every name, type, label and meaning; `labels` the values of labels; `cells` the counters and histograms;
//! `sampling` what is timed of what happens too often.
//!
//! # Invariants
//!
//! - A scrape holds no lock that consensus takes, but for the copy of a pointer: what consensus counts is atomic, and what is
//!   read at a scrape comes from the committed prefix.
//! - Labels have few values, known beforehand, or bounded where they come from elsewhere: a plugin's name by genesis, an
//!   HTTP route by the router.
//! - All series of a counter are served from the start, at 0: Prometheus sees an increase only between two values. Those
//!   of plugins come with InitChain, those of HTTP with the first request.

mod cells;
mod exposition;
mod http;
mod labels;
mod latency;
mod plugins;
mod process;
mod sampling;
mod table;

use std::fmt;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

pub use exposition::Format;
pub use http::{Guard, Http};
pub use labels::{CommitStep, Method, Misbehaviour, Reason, Stage, Status, Verdict, Vote};
pub use plugins::Plugin;
pub use sampling::{Sampled, due};

use cells::{Counters, Histogram, Histograms, SHORT_SECONDS};
use latency::Waiting;
use plugins::{Of, Plugins, What};
use process::Usage;
use table::Row;

/// Upper bounds for what a block takes, in seconds.
const BLOCK_SECONDS: &[f64] =
    &[0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// Upper bounds from CheckTx to a readable record, in seconds.
const LATENCY_SECONDS: &[f64] =
    &[0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0];

/// What is read of the node at each scrape.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Height of the last committed block.
    pub height: u64,
    /// Length of the sequence.
    pub sequence_bytes: u64,
    /// Number of its records.
    pub records: u64,
    /// Whether a new transaction would be examined.
    pub ready: bool,
    /// Free space on the disk of the sequence; `None` if it cannot be asked.
    pub disk_free_bytes: Option<u64>,
    /// Free space below which transactions are refused.
    pub disk_free_bytes_low: u64,
    /// Transactions whose outcome was remembered.
    pub memo_hits: u64,
    /// Transactions that plugins ran on.
    pub memo_misses: u64,
    /// Instances of plugins made for a call.
    pub instances_started: u64,
}

/// What this process is.
#[derive(Clone, Debug, Default)]
pub struct Identity {
    /// Version of the program.
    pub version: String,
    /// Id of its wasm engine.
    pub engine: String,
    /// How often `dseq start` has restarted the app and CometBFT before this process.
    pub engine_restarts: u64,
}

/// What a committed block adds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Block {
    /// Its transactions by what became of them.
    pub accepted: u64,
    /// Rejected by a plugin.
    pub rejected: u64,
    /// Faulted in a plugin.
    pub faulted: u64,
    /// Refused by the node itself.
    pub refused: u64,
}

impl Block {
    fn transactions(&self) -> u64 {
        self.accepted + self.rejected + self.faulted + self.refused
    }
}

/// The metrics of this process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    shared: Arc<Shared>,
}

struct Shared {
    identity: Info<Vec<(&'static str, String)>>,
    engine_restarts: u64,
    started: f64,
    now: OnceLock<Box<dyn Fn() -> Now + Send + Sync>>,
    checks: Counters<Status>,
    refusals: Counters<Reason>,
    transactions: Counters<Status>,
    transaction_duration: Histograms<Stage>,
    stream_entries: AtomicU64,
    stream_latency: Histogram,
    waiting: Waiting,
    requests: Histograms<Method>,
    block_processing: Histogram,
    /// How long the last FinalizeBlock took, in nanoseconds; its Commit is still to come.
    finalize_nanos: AtomicU64,
    staging: Histogram,
    commit_steps: Histograms<CommitStep>,
    proposals: Counters<Vote>,
    misbehaviour: Counters<Misbehaviour>,
    plugins: Plugins,
    peer_disagreement: AtomicI64,
    silent_validators: AtomicU64,
    peer_violations: AtomicU64,
    readers: Gauge,
    http: Http,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new(Identity::default())
    }
}

impl Metrics {
    /// Metrics that are all zero.
    #[must_use]
    pub fn new(identity: Identity) -> Self {
        let Identity { version, engine, engine_restarts } = identity;
        let started = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64());
        let shared = Arc::new(Shared {
            identity: Info::new(vec![("version", version), ("engine", engine)]),
            engine_restarts,
            started,
            now: OnceLock::new(),
            checks: Counters::default(),
            refusals: Counters::default(),
            transactions: Counters::default(),
            transaction_duration: Histograms::new(SHORT_SECONDS),
            stream_entries: AtomicU64::new(0),
            stream_latency: Histogram::new(LATENCY_SECONDS),
            waiting: Waiting::default(),
            requests: Histograms::new(BLOCK_SECONDS),
            block_processing: Histogram::new(BLOCK_SECONDS),
            finalize_nanos: AtomicU64::new(0),
            staging: Histogram::new(BLOCK_SECONDS),
            commit_steps: Histograms::new(BLOCK_SECONDS),
            proposals: Counters::default(),
            misbehaviour: Counters::default(),
            plugins: Plugins::default(),
            peer_disagreement: AtomicI64::new(0),
            silent_validators: AtomicU64::new(0),
            peer_violations: AtomicU64::new(0),
            readers: Gauge::default(),
            http: Http::new(),
        });
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Arc::clone(&shared)));
        Self { registry, shared }
    }

    /// Says where to read what is read at each scrape. Only the first call counts.
    ///
    /// `now` may ask the file system, and holds no lock that consensus takes for longer than copying a pointer takes.
    pub fn read_from(&self, now: impl Fn() -> Now + Send + Sync + 'static) {
        let _ = self.shared.now.set(Box::new(now));
    }

    /// All metrics as text.
    ///
    /// # Errors
    ///
    /// Never, as long as a `String` can be written to.
    pub fn encode(&self, format: Format) -> Result<String, fmt::Error> {
        format.encode(&self.registry)
    }

    /// A CheckTx was answered.
    pub fn checked(&self, status: Status) {
        self.shared.checks.add(status, 1);
    }

    /// It was refused by the node itself, for this reason.
    pub fn refused(&self, reason: Reason) {
        self.shared.refusals.add(reason, 1);
    }

    /// A sampled CheckTx took this long.
    pub fn check_timed(&self, duration: Duration) {
        self.shared.transaction_duration.observe(Stage::CheckTx, duration);
    }

    /// A sampled transaction was accepted at `now`: its record is waited for. `tx` begins its hash.
    pub fn check_accepted(&self, tx: u64, now: Instant) {
        self.shared.waiting.checked(tx, now);
    }

    /// An ABCI request other than CheckTx was answered after this long.
    pub fn answered(&self, method: Method, duration: Duration) {
        self.shared.requests.observe(method, duration);
        let finalize = &self.shared.finalize_nanos;
        match method {
            Method::FinalizeBlock => {
                finalize.store(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
            }
            Method::Commit => {
                let finalized = Duration::from_nanos(finalize.swap(0, Ordering::Relaxed));
                self.shared.block_processing.observe(finalized.saturating_add(duration));
            }
            _ => {}
        }
    }

    /// FinalizeBlock of so many transactions took this long.
    pub fn finalized(&self, transactions: usize, duration: Duration) {
        if let Some(each) = u32::try_from(transactions).ok().and_then(|count| duration.checked_div(count)) {
            self.shared.transaction_duration.observe(Stage::FinalizeBlock, each);
        }
    }

    /// The records of a block were staged.
    pub fn staged(&self, duration: Duration) {
        self.shared.staging.observe(duration);
    }

    /// A step of Commit is done.
    pub fn commit_step(&self, step: CommitStep, duration: Duration) {
        self.shared.commit_steps.observe(step, duration);
    }

    /// A block is committed, and its records can be read; `accepted` are the beginnings of their transactions' hashes.
    pub fn committed(&self, block: &Block, accepted: impl Iterator<Item = u64>) {
        let shared = &self.shared;
        shared.transactions.add(Status::Accepted, block.accepted);
        shared.transactions.add(Status::Rejected, block.rejected);
        shared.transactions.add(Status::Faulted, block.faulted);
        shared.transactions.add(Status::Refused, block.refused);
        shared.stream_entries.fetch_add(block.accepted, Ordering::Relaxed);
        if block.transactions() > 0 {
            shared.waiting.readable(accepted, Instant::now(), &shared.stream_latency);
        }
    }

    /// This node voted on a proposal.
    pub fn voted(&self, vote: Vote) {
        self.shared.proposals.add(vote, 1);
    }

    /// A committed block proves that a validator broke the rules.
    pub fn misbehaved(&self, kind: Misbehaviour) {
        self.shared.misbehaviour.add(kind, 1);
    }

    /// These are the plugins of the pipeline from now on.
    pub fn run_plugins(&self, plugins: Arc<[Arc<Plugin>]>) {
        self.shared.plugins.replace(plugins);
    }

    /// Whether a persistent peer holds another sequence at an equal number of records.
    pub fn set_peer_disagreement(&self, disagrees: bool) {
        self.shared.peer_disagreement.store(disagrees.into(), Ordering::Relaxed);
    }

    /// How many validators are up and sign or propose nothing.
    pub fn set_silent_validators(&self, count: u64) {
        self.shared.silent_validators.store(count, Ordering::Relaxed);
    }

    /// The engine ended a connection because of what the peer sent.
    pub fn peer_violated(&self) {
        self.shared.peer_violations.fetch_add(1, Ordering::Relaxed);
    }

    /// A request is answered from the sequence until the guard is dropped.
    #[must_use]
    pub fn reading(&self) -> Guard {
        Guard::of(&self.shared.readers)
    }

    /// What HTTP counts.
    #[must_use]
    pub fn http(&self) -> &Http {
        &self.shared.http
    }
}

/// A counter whose value is known.
struct Count<T>(T);

impl EncodeMetric for Count<u64> {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), fmt::Error> {
        encoder.encode_counter::<NoLabelSet, _, u64>(&self.0, None)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Counter
    }
}

impl EncodeMetric for Count<f64> {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), fmt::Error> {
        encoder.encode_counter::<NoLabelSet, _, u64>(&self.0, None)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Counter
    }
}

/// Hits and misses of the memo.
struct Lookups {
    hits: u64,
    misses: u64,
}

impl EncodeMetric for Lookups {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), fmt::Error> {
        for (result, count) in [("hit", self.hits), ("miss", self.misses)] {
            let labels = [("result", result)];
            encoder.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&count, None)?;
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Counter
    }
}

/// The metrics one after the other: each row of the table with its value.
struct Encoding<'a>(DescriptorEncoder<'a>);

impl Encoding<'_> {
    fn put(&mut self, row: &Row, metric: &dyn EncodeMetric) -> fmt::Result {
        debug_assert_eq!(row.kind, metric.metric_type(), "{}", row.name);
        metric.encode(self.0.encode_descriptor(row.name, row.help, None, row.kind)?)
    }

    fn gauge(&mut self, row: &Row, value: u64) -> fmt::Result {
        self.put(row, &ConstGauge::new(value))
    }
}

impl Collector for Shared {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let now = self.now.get().map(|now| now()).unwrap_or_default();
        let mut to = Encoding(encoder);
        self.encode_sequence(&mut to, &now)?;
        self.encode_plugins(&mut to, &now)?;
        self.encode_node(&mut to, &now)
    }
}

impl Shared {
    fn encode_sequence(&self, to: &mut Encoding<'_>, now: &Now) -> fmt::Result {
        to.gauge(&table::BLOCK_HEIGHT, now.height)?;
        to.gauge(&table::SEQUENCE_BYTES, now.sequence_bytes)?;
        to.gauge(&table::SEQUENCE_RECORDS, now.records)?;
        to.put(&table::STREAM_ENTRIES, &Count(self.stream_entries.load(Ordering::Relaxed)))?;
        to.put(&table::STREAM_LATENCY, &self.stream_latency)?;
        to.put(&table::CHECKS, &self.checks)?;
        to.put(&table::REFUSALS, &self.refusals)?;
        to.put(&table::TRANSACTIONS, &self.transactions)?;
        to.put(&table::TRANSACTION_DURATION, &self.transaction_duration)?;
        to.put(&table::BLOCK_PROCESSING, &self.block_processing)?;
        to.put(&table::ABCI_REQUESTS, &self.requests)?;
        to.put(&table::STAGING, &self.staging)?;
        to.put(&table::COMMIT_STEPS, &self.commit_steps)?;
        to.put(&table::PROPOSALS, &self.proposals)?;
        to.put(&table::MISBEHAVIOUR, &self.misbehaviour)
    }

    fn encode_plugins(&self, to: &mut Encoding<'_>, now: &Now) -> fmt::Result {
        let plugins = &*self.plugins.each();
        let of = |what| Of { plugins, what };
        to.put(&table::PLUGIN_CALLS, &of(What::Calls))?;
        to.put(&table::PLUGIN_FAULTS, &of(What::Faults))?;
        to.put(&table::PLUGIN_FUEL, &of(What::Fuel))?;
        to.put(&table::PLUGIN_DURATION, &of(What::Duration))?;
        to.put(&table::PLUGIN_INSTANCES, &Count(now.instances_started))?;
        to.put(&table::MEMO, &Lookups { hits: now.memo_hits, misses: now.memo_misses })
    }

    fn encode_node(&self, to: &mut Encoding<'_>, now: &Now) -> fmt::Result {
        let usage = Usage::now();
        to.gauge(&table::READY, now.ready.into())?;
        if let Some(free) = now.disk_free_bytes {
            to.gauge(&table::DISK_FREE, free)?;
        }
        to.gauge(&table::DISK_LOW, now.disk_free_bytes_low)?;
        to.put(&table::PEER_DISAGREEMENT, &ConstGauge::new(self.peer_disagreement.load(Ordering::Relaxed)))?;
        to.gauge(&table::SILENT_VALIDATORS, self.silent_validators.load(Ordering::Relaxed))?;
        to.put(&table::PEER_VIOLATIONS, &Count(self.peer_violations.load(Ordering::Relaxed)))?;
        to.put(&table::ENGINE_RESTARTS, &Count(self.engine_restarts))?;
        to.gauge(&table::MEMORY_USAGE, usage.memory_bytes)?;
        to.put(&table::READERS, &self.readers)?;
        to.gauge(&table::HTTP_CONNECTIONS, self.http.connections())?;
        to.put(&table::HTTP_REQUESTS, &self.http.requests)?;
        to.put(&table::HTTP_DURATION, &self.http.duration)?;
        to.put(&table::BUILD, &self.identity)?;
        to.put(&table::PROCESS_CPU, &Count(usage.cpu_seconds))?;
        to.gauge(&table::PROCESS_OPEN_FDS, usage.open_fds)?;
        to.gauge(&table::PROCESS_MAX_FDS, usage.max_fds)?;
        to.gauge(&table::PROCESS_THREADS, usage.threads)?;
        to.put(&table::PROCESS_START, &ConstGauge::new(self.started))
    }
}

#[cfg(test)]
mod tests;
