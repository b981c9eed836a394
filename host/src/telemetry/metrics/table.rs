//! Every metric of this process: name, type, labels and meaning, once.
//!
//! `docs/metrics.md` has the same table, and a test compares them. Dashboards, alerts and other people's queries go by
//! these names: renaming one breaks them without an error, so it belongs in the CHANGELOG.

use prometheus_client::metrics::MetricType;

/// One metric.
#[derive(Debug)]
pub(super) struct Row {
    /// Without the suffix that the format adds.
    pub(super) name: &'static str,
    pub(super) kind: MetricType,
    /// Names of its labels.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "what encodes a metric knows them; the tests hold it to these")
    )]
    pub(super) labels: &'static [&'static str],
    /// What it means, as a sentence.
    pub(super) help: &'static str,
}

impl Row {
    /// The name to query it by, in either format.
    #[cfg(test)]
    pub(super) fn exposed_name(&self) -> String {
        let suffix = match self.kind {
            MetricType::Counter => "_total",
            MetricType::Info => "_info",
            _ => "",
        };
        format!("{}{suffix}", self.name)
    }
}

macro_rules! table {
    ($($id:ident = $kind:ident $name:literal [$($label:literal),*] $help:literal;)*) => {
        $(pub(super) const $id: Row =
            Row { name: $name, kind: MetricType::$kind, labels: &[$($label),*], help: $help };)*

        /// All of them, in the order in which they are served.
        #[cfg(test)]
        pub(super) const TABLE: &[Row] = &[$($id),*];
    };
}

table! {
    // The sequence.
    BLOCK_HEIGHT = Gauge "dseq_block_height" []
        "Height of the last committed block.";
    SEQUENCE_BYTES = Gauge "dseq_sequence_bytes" []
        "Length of the sequence.";
    SEQUENCE_RECORDS = Gauge "dseq_sequence_records" []
        "Number of records in the sequence.";
    STREAM_ENTRIES = Counter "dseq_stream_entries" []
        "Records this process has added to the sequence.";
    STREAM_LATENCY = Histogram "dseq_stream_latency_seconds" []
        "Time from this node's CheckTx of a transaction until its record can be read here, of sampled transactions.";

    // Transactions.
    CHECKS = Counter "dseq_checks" ["status"]
        "CheckTx requests by answer: accepted, rejected by a plugin, faulted in a plugin, refused by the node.";
    REFUSALS = Counter "dseq_check_refusals" ["reason"]
        "CheckTx requests that the node itself refused, by reason.";
    TRANSACTIONS = Counter "dseq_transactions" ["status"]
        "Transactions of committed blocks: accepted ones became records, the others did not.";
    TRANSACTION_DURATION = Histogram "dseq_transaction_duration_seconds" ["method"]
        "Time for one transaction: a sampled CheckTx, or the mean of a block's transactions in FinalizeBlock.";

    // Blocks.
    BLOCK_PROCESSING = Histogram "dseq_block_processing_duration_seconds" []
        "Time for one block: FinalizeBlock and Commit together.";
    ABCI_REQUESTS = Histogram "dseq_abci_request_duration_seconds" ["method"]
        "Time to answer an ABCI request. CheckTx is in dseq_transaction_duration_seconds.";
    STAGING = Histogram "dseq_block_staging_duration_seconds" []
        "Time to stage a block's records in memory and compute both roots, within FinalizeBlock.";
    COMMIT_STEPS = Histogram "dseq_commit_step_duration_seconds" ["step"]
        "Time for one step of making a block durable, within Commit.";
    PROPOSALS = Counter "dseq_proposals" ["vote"]
        "Proposals that this node voted on: reject if one holds what the pipeline rejects, or is too large.";
    MISBEHAVIOUR = Counter "dseq_misbehaviour" ["kind"]
        "Proofs in committed blocks that a validator broke the rules of consensus.";

    // Plugins.
    PLUGIN_CALLS = Counter "dseq_plugin_calls" ["plugin", "verdict"]
        "Calls of a plugin by verdict. A transaction whose outcome is remembered calls none.";
    PLUGIN_FAULTS = Counter "dseq_plugin_faults" ["plugin", "fault"]
        "Calls in which a plugin broke its contract, by fault.";
    PLUGIN_FUEL = Counter "dseq_plugin_fuel" ["plugin"]
        "Fuel spent by calls of a plugin.";
    PLUGIN_DURATION = Histogram "dseq_plugin_call_duration_seconds" ["plugin"]
        "Time for one call of a plugin, of sampled calls.";
    PLUGIN_INSTANCES = Counter "dseq_plugin_instances_started" []
        "Instances made for a call because no reset one was waiting.";
    MEMO = Counter "dseq_memo_lookups" ["result"]
        "Transactions whose outcome was remembered (hit), or for which plugins ran (miss).";

    // This node.
    READY = Gauge "dseq_ready" []
        "1 if the app examines new transactions, 0 if it refuses them all.";
    DISK_FREE = Gauge "dseq_disk_free_bytes" []
        "Free space on the file system of the sequence.";
    DISK_LOW = Gauge "dseq_disk_free_low_bytes" []
        "Free space below which the node refuses new transactions.";
    PEER_DISAGREEMENT = Gauge "dseq_peer_disagreement" []
        "1 if a persistent peer holds another sequence at an equal number of records, else 0.";
    SILENT_VALIDATORS = Gauge "dseq_silent_validators" []
        "Validators that are connected, or this node's own, and sign or propose nothing.";
    PEER_VIOLATIONS = Counter "dseq_peer_violations" []
        "Connections that CometBFT ended because of what the peer sent.";
    ENGINE_RESTARTS = Counter "dseq_engine_restarts" []
        "Times that dseq start has restarted the app and CometBFT since it was started itself.";
    MEMORY_USAGE = Gauge "dseq_memory_usage_bytes" []
        "Resident memory of the app process.";

    // HTTP and readers.
    READERS = Gauge "dseq_readers" []
        "Requests that are being answered from the sequence now.";
    HTTP_CONNECTIONS = Gauge "dseq_http_connections" []
        "Open HTTP connections.";
    HTTP_REQUESTS = Counter "dseq_http_requests" ["route", "method", "status"]
        "HTTP requests answered, by route, method and status code.";
    HTTP_DURATION = Histogram "dseq_http_request_duration_seconds" ["route"]
        "Time from an HTTP request's head until the head of its answer, by route.";

    // The process.
    BUILD = Info "dseq_build" ["version", "engine"]
        "Version of this program and id of its wasm engine.";
    PROCESS_CPU = Counter "process_cpu_seconds" []
        "Processor time of the app process, user and system.";
    PROCESS_OPEN_FDS = Gauge "process_open_fds" []
        "Open file descriptors of the app process.";
    PROCESS_MAX_FDS = Gauge "process_max_fds" []
        "File descriptors that the app process may have open.";
    PROCESS_THREADS = Gauge "process_threads" []
        "Threads of the app process.";
    PROCESS_START = Gauge "process_start_time_seconds" []
        "When the app process started, in seconds since 1970.";
}
