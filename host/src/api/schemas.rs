//! The JSON that routes answer and take, for their description (`/openapi.json`).
//!
//! What is answered is serialized from types of other modules, which know nothing of HTTP; a test compares real answers with
//! what is written here.
#![allow(dead_code, reason = "these types are only described, never made")]

use serde::Serialize;
use utoipa::ToSchema;

/// 32 bytes in lower-case hexadecimal.
#[derive(ToSchema, Serialize)]
#[schema(value_type = String, pattern = "^[0-9a-f]{64}$")]
pub(super) struct Hash(String);

/// An error (RFC 9457). Programs should decide by `type`: types, their statuses and `retry` are stable, the wording is not.
#[derive(ToSchema, Serialize)]
pub(super) struct Problem {
    /// `urn:dseq:problem:` and the name of the type.
    r#type: String,
    /// The same for all problems of the type.
    title: String,
    /// The HTTP status.
    status: u16,
    /// What was wrong with this request.
    detail: String,
    /// Whether the same request may succeed later, or at another node.
    retry: bool,
    /// The limit that was exceeded.
    #[schema(required = false)]
    limit: u64,
    /// The actual value, if it is known.
    #[schema(required = false)]
    actual: u64,
    /// The unit of both.
    #[schema(required = false)]
    unit: String,
    /// Of a rejected transaction: the plugin that rejected it; null: the node itself.
    plugin: Option<String>,
    /// Of a rejected transaction: whose code it is.
    #[schema(required = false)]
    codespace: String,
    /// Of a rejected transaction: why, by the table of that codespace.
    #[schema(required = false)]
    code: u32,
    /// The transaction it is about.
    #[schema(required = false)]
    tx_hash: Hash,
}

/// How far a node is.
#[derive(ToSchema)]
pub(super) struct Status {
    /// The last block this node has committed; 0 before the first.
    height: u64,
    /// Length of the sequence, in bytes.
    length: u64,
    /// Number of records.
    records: u64,
    /// BLAKE3 of the whole sequence.
    sequence_root: Hash,
    /// RFC 6962 Merkle root over the records.
    records_root: Hash,
    /// What the validators agreed on after this block; all zero before the first.
    app_hash: Hash,
    /// Hash of the rules in force; all zero before the first block.
    pipeline: Hash,
    /// Whether the app examines new transactions now.
    ready: bool,
    /// Why it refuses them.
    #[schema(required = true)]
    reason: Option<String>,
    /// Whether that is because the disk is nearly full.
    disk_low: bool,
}

/// The rules in force.
#[derive(ToSchema)]
pub(super) struct Pipeline {
    /// Hash of engine, limits, and the plugins' hashes and params; part of every app hash.
    pipeline: Hash,
    /// Id of the engine that runs the plugins.
    engine: Hash,
    limits: Limits,
    /// In the order in which they run; empty: every transaction is accepted unchanged.
    plugins: Vec<Plugin>,
}

/// The bounds that genesis sets.
#[derive(ToSchema)]
pub(super) struct Limits {
    /// Maximum size of a transaction, in bytes.
    tx_bytes_max: u64,
    /// Maximum size of a record, in bytes.
    record_bytes_max: u64,
    /// Maximum fuel of one plugin for one transaction.
    fuel_max: u64,
    /// Maximum memory of one plugin, in bytes.
    memory_bytes_max: u64,
}

/// A plugin, as genesis pins it.
#[derive(ToSchema)]
pub(super) struct Plugin {
    name: String,
    /// SHA-256 of its `.wasm` file.
    sha256: Hash,
    /// What it is initialized with: any JSON.
    params: serde_json::Value,
}

/// Where a record is.
#[derive(ToSchema, Serialize)]
pub(super) struct Receipt {
    /// Index of the record in the whole log, from 0.
    index: u64,
    /// Offset of its first byte in the sequence.
    offset: u64,
    /// Its length in bytes.
    length: u64,
    /// The block it came in.
    height: u64,
    /// SHA-256 of the bytes that were submitted.
    tx_hash: Hash,
    /// BLAKE3 of the record's bytes.
    blake3: Hash,
}

/// A record with its receipt.
#[derive(ToSchema)]
pub(super) struct Record {
    #[serde(flatten)]
    receipt: Receipt,
    /// Its bytes, in base64.
    data: String,
}

/// Some records.
#[derive(ToSchema)]
pub(super) struct Records {
    records: Vec<Record>,
    /// The index to go on from.
    next: u64,
}

/// Some receipts.
#[derive(ToSchema)]
pub(super) struct Receipts {
    receipts: Vec<Receipt>,
    /// The index to go on from; null: there are no more.
    #[schema(required = true)]
    next: Option<u64>,
}

/// What became of a submission.
#[derive(ToSchema, Serialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub(super) enum Submission {
    Committed(CommittedSubmission),
    Pending(PendingSubmission),
}

/// What became of one transaction of a batch.
#[derive(ToSchema, Serialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub(super) enum BatchLine {
    Committed(CommittedSubmission),
    Pending(PendingSubmission),
    /// The network's rules refuse it.
    Rejected(FailedSubmission),
    /// It was not taken.
    Failed(FailedSubmission),
}

/// One that is not in the sequence.
#[derive(ToSchema, Serialize)]
pub(super) struct FailedSubmission {
    tx_hash: Hash,
    /// Why.
    problem: Problem,
}

/// It is in the sequence.
#[derive(ToSchema, Serialize)]
pub(super) struct CommittedSubmission {
    #[serde(flatten)]
    receipt: Receipt,
    /// Whether these bytes had been committed before this request; then the receipt is that of their first place.
    duplicate: bool,
}

/// It is not known yet.
#[derive(ToSchema, Serialize)]
pub(super) struct PendingSubmission {
    tx_hash: Hash,
}

/// What became of a transaction.
#[derive(ToSchema, Serialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub(super) enum Transaction {
    /// It is in the sequence.
    Committed {
        tx_hash: Hash,
        /// All its places: the same bytes may be committed more than once.
        receipts: Vec<Receipt>,
        /// Whether the index is complete, and so there are no more places than these.
        complete: bool,
    },
    /// It waits to get into a block.
    Pending { tx_hash: Hash },
    /// The network's rules refuse it.
    Rejected {
        tx_hash: Hash,
        /// The plugin that rejected it; null: the node itself.
        #[schema(required = true)]
        plugin: Option<String>,
        codespace: String,
        code: u32,
        detail: String,
    },
}

/// What the checks of a node's health found.
#[derive(ToSchema)]
pub(super) struct Health {
    /// One word for all.
    status: Summary,
    /// One for each check.
    checks: Vec<Check>,
}

/// One word for all checks.
#[derive(ToSchema, Serialize)]
pub(super) enum Summary {
    #[serde(rename = "ready")]
    Ready,
    #[serde(rename = "not ready")]
    NotReady,
    #[serde(rename = "healthy")]
    Healthy,
    #[serde(rename = "unhealthy")]
    Unhealthy,
}

/// One check.
#[derive(ToSchema)]
pub(super) struct Check {
    name: String,
    state: CheckState,
    /// Why, unless all is well.
    #[schema(required = false)]
    reason: String,
}

/// What a check found.
#[derive(ToSchema, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum CheckState {
    Ok,
    Unknown,
    Warning,
    Failed,
}
