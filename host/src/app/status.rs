//! What a node says of itself: how far it is, and whether it accepts transactions.

use serde::Serialize;

use super::{Code, Refusal};
use crate::sequence::{Committed, as_text};
use crate::types::{AppHash, Height, PipelineId, RecordsRoot, SequenceRoot};

/// A node's committed prefix and readiness. As JSON, hashes are hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Status {
    /// The last block.
    pub height: Height,
    /// Length of the sequence, in bytes.
    pub length: u64,
    /// Number of records.
    pub records: u64,
    /// BLAKE3 of the whole sequence.
    #[serde(serialize_with = "as_text")]
    pub sequence_root: SequenceRoot,
    /// RFC 6962 Merkle root over the records.
    #[serde(serialize_with = "as_text")]
    pub records_root: RecordsRoot,
    /// What consensus agreed on; all zero before the first block.
    #[serde(serialize_with = "as_text")]
    pub app_hash: AppHash,
    /// The rules in force; all zero before the first block.
    #[serde(serialize_with = "as_text")]
    pub pipeline: PipelineId,
    /// Whether a new transaction would be looked at now.
    pub ready: bool,
    /// Why not.
    pub reason: Option<String>,
    /// Whether the reason is that the disk is nearly full.
    pub disk_low: bool,
}

impl Status {
    /// The status after `committed`; `unready` says why a new transaction would be refused now, whatever its bytes.
    #[must_use]
    pub fn of(committed: &Committed, unready: Option<Refusal>) -> Self {
        let head = &committed.head;
        Self {
            height: head.height(),
            length: head.length(),
            records: head.count(),
            sequence_root: head.sequence_root(),
            records_root: head.records_root(),
            app_hash: committed.app_hash,
            pipeline: committed.pipeline,
            ready: unready.is_none(),
            disk_low: unready.as_ref().is_some_and(|refusal| refusal.code == Code::DiskLow.value()),
            reason: unready.map(|refusal| refusal.message),
        }
    }
}
