//! What traces are told of transactions: spans and events of `tracing`, which cost nothing unless somebody takes them.

use bytes::Bytes;
use tracing::Level;
use tracing::field::{Empty, display};
use tracing::span::EnteredSpan;

use crate::app::{Examined, TxResult};
use crate::types::TxHash;

/// The target of all that only traces are made of.
pub(super) const TARGET: &str = "dseq::traces";

/// The check of one transaction.
pub(super) struct CheckTx(EnteredSpan);

impl CheckTx {
    pub(super) fn begin() -> Self {
        let span = tracing::trace_span!(target: TARGET, "CheckTx", tx = Empty, code = Empty, fuel = Empty);
        Self(span.entered())
    }

    /// Says whose check it was: only now the hash is there.
    pub(super) fn end(self, examined: &Examined) {
        let code = examined.record.as_ref().map_or_else(|refusal| refusal.code, |_| 0);
        let span = self.0.record("tx", display(examined.tx_hash));
        span.record("code", code).record("fuel", examined.fuel.0);
    }
}

/// Says which transactions the span around this call is about.
pub(super) fn name_transactions(txs: &[Bytes]) {
    if tracing::enabled!(target: TARGET, Level::TRACE) {
        for tx in txs {
            tracing::trace!(target: TARGET, tx = %TxHash::of(tx));
        }
    }
}

/// As [`name_transactions`], with what became of them.
pub(super) fn name_results(results: &[TxResult]) {
    if !tracing::enabled!(target: TARGET, Level::TRACE) {
        return;
    }
    for TxResult { tx_hash: tx, receipt, fuel } in results {
        match receipt {
            Ok(receipt) => {
                let (offset, length) = (receipt.offset.0, receipt.length);
                tracing::trace!(target: TARGET, %tx, code = 0, fuel = fuel.0, offset, length);
            }
            Err(refusal) => tracing::trace!(target: TARGET, %tx, code = refusal.code, fuel = fuel.0),
        }
    }
}
