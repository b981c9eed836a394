//! What nodes answer, as their JSON has it.

use std::fmt;

use dseq_format::rules::Limits;
use dseq_format::types::{
    AppHash, EngineId, PipelineId, PluginHash, RecordHash, RecordsRoot, SequenceRoot, TxHash,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Where a record landed: the same on every node, for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The record's index in the whole log, from 0.
    pub index: u64,
    /// Offset of its first byte in the sequence.
    pub offset: u64,
    /// Its length in bytes.
    pub length: u64,
    /// The block it came in.
    pub height: u64,
    /// SHA-256 of the bytes that its producer submitted.
    #[serde(with = "hex")]
    pub tx_hash: TxHash,
    /// BLAKE3 of the record's bytes.
    #[serde(with = "hex")]
    pub blake3: RecordHash,
}

impl Receipt {
    /// The offset just after the record.
    #[must_use]
    pub fn end(&self) -> u64 {
        // No sequence is that long.
        self.offset.saturating_add(self.length)
    }
}

/// A record with its receipt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Where it is.
    pub receipt: Receipt,
    /// Its bytes, whose BLAKE3 is the receipt's.
    pub bytes: bytes::Bytes,
}

/// Why the pipeline, or the network's limits, do not take a transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejection {
    /// SHA-256 of the transaction.
    #[serde(with = "hex")]
    pub tx_hash: TxHash,
    /// The plugin that rejects it; `None`: the node's own rules.
    #[serde(default)]
    pub plugin: Option<String>,
    /// Whose code it is, such as `plugin/json`.
    #[serde(default)]
    pub codespace: String,
    /// The code.
    #[serde(default)]
    pub code: u32,
    /// The reason in words, which somebody else may have written.
    #[serde(default)]
    pub detail: String,
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { codespace, code, detail, .. } = self;
        let detail = dseq_format::excerpt::words(detail);
        write!(f, "{detail} ({codespace} code {code})")
    }
}

/// What became of a transaction that was handed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Submitted {
    /// It is in the sequence.
    Committed {
        /// Where.
        receipt: Receipt,
        /// Whether the same bytes had been committed before; the receipt is of the earliest place. `None`: not known, because
        /// the answer was lost and the receipt was asked for.
        duplicate: Option<bool>,
    },
    /// A node has it, and it is not committed yet.
    Pending {
        /// SHA-256 of the transaction, by which its receipt is found later.
        tx_hash: TxHash,
    },
    /// It is not and will not be in the sequence.
    Rejected(Rejection),
}

/// What is known of a transaction by its hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub enum Known {
    /// It is in the sequence.
    Committed {
        /// Every place of these bytes; the earliest first.
        receipts: Vec<Receipt>,
    },
    /// A node has it, and it is not committed yet.
    Pending,
    /// A node has rejected it.
    Rejected(Rejection),
    /// No node that answers has committed it, or knows that it is on its way.
    Unknown,
}

/// How far a node is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The last block it has committed.
    pub height: u64,
    /// Length of the sequence in bytes.
    pub length: u64,
    /// How many records the sequence has.
    pub records: u64,
    /// BLAKE3 of the whole sequence.
    #[serde(with = "hex")]
    pub sequence_root: SequenceRoot,
    /// RFC 6962 Merkle root over the records.
    #[serde(with = "hex")]
    pub records_root: RecordsRoot,
    /// What the validators agreed on after this block.
    #[serde(with = "hex")]
    pub app_hash: AppHash,
    /// The rules in force.
    #[serde(with = "hex")]
    pub pipeline: PipelineId,
    /// Whether it examines new transactions now.
    pub ready: bool,
    /// Why it refuses them.
    pub reason: Option<String>,
}

/// The rules of the network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pipeline {
    /// Hash of all of it.
    #[serde(with = "hex")]
    pub pipeline: PipelineId,
    /// Hash of what of the wasm engine can change a result.
    #[serde(with = "hex")]
    pub engine: EngineId,
    /// Bounds on transactions and plugins.
    pub limits: Limits,
    /// The plugins in their order.
    pub plugins: Vec<Plugin>,
}

/// One plugin of the pipeline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plugin {
    /// Its name.
    pub name: String,
    /// SHA-256 of its `.wasm` file.
    #[serde(with = "hex")]
    pub sha256: PluginHash,
    /// What it was given in genesis.
    pub params: Value,
}

/// The answer to a transaction.
#[derive(Deserialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub(crate) enum SubmitAnswer {
    Committed {
        #[serde(flatten)]
        receipt: Receipt,
        #[serde(default)]
        duplicate: bool,
    },
    Pending {
        #[serde(with = "hex")]
        tx_hash: TxHash,
    },
}

/// The answer to a question by hash.
#[derive(Deserialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub(crate) enum ReceiptAnswer {
    Committed { receipts: Vec<Receipt> },
    Pending,
    Rejected(Rejection),
}

/// The answer to a question by index, offset or height.
#[derive(Deserialize)]
pub(crate) struct ReceiptsAnswer {
    pub(crate) receipts: Vec<Receipt>,
    #[serde(default)]
    pub(crate) next: Option<u64>,
}

/// Hashes as hexadecimal text.
mod hex {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<T: Display, S: Serializer>(hash: &T, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(hash)
    }

    pub(super) fn deserialize<'de, T, D>(from: D) -> Result<T, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}
