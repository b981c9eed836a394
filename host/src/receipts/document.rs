//! What is known of a transaction, as JSON: the same over HTTP and in `abci_query`.

use serde::Serialize;

use super::{Found, Known};
use crate::app::Refusal;
use crate::sequence::{Place, as_text};
use crate::types::TxHash;

/// What became of a transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Document<'a> {
    /// Its hash.
    #[serde(serialize_with = "as_text")]
    pub tx_hash: TxHash,
    /// How far it is.
    #[serde(flatten)]
    pub state: State<'a>,
}

/// How far a transaction is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub enum State<'a> {
    /// It has records.
    Committed {
        /// Where, in order.
        receipts: &'a [Place],
        /// Whether the whole log was looked through: if not, there may be more.
        complete: bool,
    },
    /// It was refused, for good.
    Rejected {
        /// The plugin that refused it; none: the host did.
        plugin: Option<&'a str>,
        /// `dseq`, or `plugin/<name>`.
        codespace: &'a str,
        /// The code.
        code: u32,
        /// Why.
        detail: &'a str,
    },
    /// It is on its way.
    Pending,
}

impl<'a> Document<'a> {
    /// What a look-up found; `None`: nothing.
    #[must_use]
    pub fn of(tx_hash: TxHash, found: &'a Found) -> Option<Self> {
        let state = match &found.known {
            Known::Committed(receipts) => State::Committed { receipts, complete: found.complete },
            Known::Refused(refusal) => {
                let Refusal { code, codespace, message } = refusal;
                State::Rejected { plugin: refusal.plugin(), codespace, code: *code, detail: message }
            }
            Known::Pending => State::Pending,
            Known::Overdue | Known::Unknown => return None,
        };
        Some(Self { tx_hash, state })
    }
}
