//! One transaction against the rules: its bounds first, then the pipeline.

use bytes::Bytes;

use super::codes::{CODESPACE, Code};
use crate::plugin::{Fatal, Found, HashedTx, Outcome, Pipeline, PluginName, Verdict, in_parallel};
use crate::printable;
use crate::types::{Fuel, TxHash};

/// What the rules say of one transaction, whatever block it is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Examined {
    /// The transaction's hash.
    pub tx_hash: TxHash,
    /// Fuel the pipeline spent on it.
    pub fuel: Fuel,
    /// The record it becomes, or why it becomes none.
    pub verdict: Result<Bytes, Refusal>,
}

/// Why a transaction adds nothing to the sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// See the table of [codes](super::Code).
    pub code: u32,
    /// `dseq`, or `plugin/<name>`.
    pub codespace: String,
    /// For the producer; never part of a hash.
    pub message: String,
}

impl Refusal {
    /// A refusal by the host itself.
    #[must_use]
    pub fn by_host(code: Code, message: String) -> Self {
        Self { code: code.value(), codespace: CODESPACE.to_owned(), message }
    }
}

/// Examines one transaction.
///
/// # Errors
///
/// [`Fatal`] when this host could not run the pipeline; the transaction is then neither accepted nor refused.
pub fn examine(pipeline: &Pipeline, tx: &Bytes) -> Result<Examined, Fatal> {
    match look(pipeline, tx) {
        Found::Answer(examined) => Ok(examined),
        Found::Work(tx) => run(pipeline, &tx),
    }
}

/// What is known of a transaction without running a plugin; else its hash is there already.
pub(super) fn look<'a>(pipeline: &Pipeline, tx: &'a Bytes) -> Found<Examined, HashedTx<'a>> {
    if let Some(refused) = refuse_by_size(pipeline, tx) {
        return Found::Answer(refused);
    }
    let tx = HashedTx::of(tx);
    match pipeline.known(&tx) {
        Some(outcome) => Found::Answer(judged(tx.hash(), outcome)),
        None => Found::Work(tx),
    }
}

/// Has the pipeline judge a transaction.
pub(super) fn run(pipeline: &Pipeline, tx: &HashedTx<'_>) -> Result<Examined, Fatal> {
    Ok(judged(tx.hash(), pipeline.apply(tx)?))
}

/// Examines many transactions, in parallel, and answers what `then` makes of each, in order. `then` is called on the
/// thread that examined the transaction.
///
/// # Errors
///
/// [`Fatal`] when this host could not run the pipeline on one of them.
pub(super) fn examine_all<R: Send>(
    pipeline: &Pipeline,
    txs: &[Bytes],
    then: impl Fn(Examined) -> R + Send + Sync,
) -> Result<Vec<R>, Fatal> {
    let look = |tx| match look(pipeline, tx) {
        Found::Answer(examined) => Found::Answer(then(examined)),
        Found::Work(tx) => Found::Work(tx),
    };
    in_parallel(txs, look, |tx| Ok(then(run(pipeline, &tx)?)))
}

fn refuse_by_size(pipeline: &Pipeline, tx: &Bytes) -> Option<Examined> {
    let (length, max) = (tx.len() as u64, pipeline.limits().tx_bytes_max);
    let refusal = if tx.is_empty() {
        let message = "the transaction is empty; a transaction has at least 1 byte".to_owned();
        Refusal::by_host(Code::EmptyTx, message)
    } else if length > max {
        let message = format!("the transaction has {length} bytes; this network takes at most {max}");
        Refusal::by_host(Code::TxTooLarge, message)
    } else {
        return None;
    };
    // No result names the hash of a transaction refused here, so a huge one is not hashed.
    Some(Examined { tx_hash: TxHash::default(), fuel: Fuel(0), verdict: Err(refusal) })
}

fn judged(tx_hash: TxHash, outcome: Outcome) -> Examined {
    let by = |plugin: &PluginName, code, message| {
        Err(Refusal { code, codespace: format!("plugin/{plugin}"), message })
    };
    let verdict = match outcome.verdict {
        Verdict::Accepted { record } => Ok(record),
        Verdict::Rejected { plugin, code, message } => {
            by(&plugin, u32::from(code), printable::line(&message).into_owned())
        }
        Verdict::Faulted { plugin, fault, message } => by(&plugin, fault.code(), fault.told(&message)),
    };
    Examined { tx_hash, fuel: outcome.fuel, verdict }
}
