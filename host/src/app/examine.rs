//! One transaction against the rules: its bounds first, then the pipeline.

use bytes::Bytes;

use super::codes::{CODESPACE, Code};
use crate::plugin::{Fatal, Found, HashedTx, Outcome, Pipeline, PluginName, Verdict, in_parallel};
use crate::printable;
use crate::types::{Fuel, TxHash};

/// What the app knows of one transaction, whatever block it is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Examined {
    /// The transaction's hash.
    pub tx_hash: TxHash,
    /// Fuel the pipeline spent on it.
    pub fuel: Fuel,
    /// The record it adds to the sequence, or why it adds none.
    pub record: Result<Bytes, Refusal>,
}

impl Examined {
    /// What the pipeline's outcome means for the transaction.
    #[must_use]
    pub fn of(tx: &HashedTx<'_>, outcome: &Outcome) -> Self {
        let by = |plugin: &PluginName, code, message| {
            Err(Refusal { code, codespace: format!("plugin/{plugin}"), message })
        };
        let record = match outcome.decisive() {
            None | Some((_, Verdict::Unchanged)) => Ok(tx.tx().clone()),
            Some((_, Verdict::Replaced(record))) => Ok(record.clone()),
            Some((plugin, Verdict::Rejected { code, message })) => {
                by(plugin, u32::from(*code), printable::line(message).into_owned())
            }
            Some((plugin, Verdict::Faulted { fault, message })) => {
                by(plugin, fault.code(), fault.with(message))
            }
        };
        Self { tx_hash: tx.hash(), fuel: outcome.fuel, record }
    }
}

/// A request that was not granted, as every response has it: code, codespace and log.
///
/// A type of its own, because not only plugins refuse: the host does so by size, when the log or the disk is full, and
/// before it has a genesis.
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

    /// The plugin that refused; `None`: the host did.
    #[must_use]
    pub fn plugin(&self) -> Option<&str> {
        self.codespace.strip_prefix("plugin/")
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
    if let Some(refusal) = refuse_by_size(pipeline, tx) {
        // No result names the hash of a transaction refused here, so a huge one is not hashed.
        return Found::Answer(Examined { tx_hash: TxHash::default(), fuel: Fuel(0), record: Err(refusal) });
    }
    let tx = HashedTx::of(tx);
    match pipeline.known(&tx) {
        Some(outcome) => Found::Answer(Examined::of(&tx, &outcome)),
        None => Found::Work(tx),
    }
}

/// Runs the pipeline on a transaction.
pub(super) fn run(pipeline: &Pipeline, tx: &HashedTx<'_>) -> Result<Examined, Fatal> {
    Ok(Examined::of(tx, &pipeline.apply(tx)?))
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

/// The refusal of a transaction that no plugin is run on: it is empty, or longer than `tx_bytes_max`.
#[must_use]
pub fn refuse_by_size(pipeline: &Pipeline, tx: &Bytes) -> Option<Refusal> {
    let (length, max) = (tx.len() as u64, pipeline.limits().tx_bytes_max);
    if tx.is_empty() {
        let message = "the transaction is empty; a transaction has at least 1 byte".to_owned();
        Some(Refusal::by_host(Code::EmptyTx, message))
    } else if length > max {
        let message = format!("the transaction has {length} bytes; this network takes at most {max}");
        Some(Refusal::by_host(Code::TxTooLarge, message))
    } else {
        None
    }
}
