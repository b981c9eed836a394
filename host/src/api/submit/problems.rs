//! What is answered to a transaction that gets no receipt, and to a question about one that has none.

use std::time::Duration;

use crate::api::problem::{
    BODY_TOO_LARGE, INDEX_BUILDING, INTERNAL, MEMPOOL_FULL, NOT_READY, OVERLOADED, Problem, REJECTED,
    STORE_UNREADABLE, TOO_MANY_SUBMISSIONS, UNKNOWN_TRANSACTION,
};
use crate::app::{CODESPACE, Code, Refusal};
use crate::receipts::PENDING_AGE_MAX;
use crate::types::TxHash;

use super::Overload;

/// What `Retry-After` says when the mempool is full or too much is under way: a block takes about that long.
const SOON: Duration = Duration::from_secs(1);
/// What it says when the node takes nothing, or builds its index: what is wrong then takes a while.
const LATER: Duration = Duration::from_secs(5);

/// The answer to a transaction that the rules refuse.
#[must_use]
pub fn rejected(hash: TxHash, refusal: &Refusal) -> Problem {
    let Refusal { code, codespace, message } = refusal;
    Problem::new(&REJECTED, message.clone())
        .with("plugin", refusal.plugin())
        .with("codespace", codespace.clone())
        .with("code", *code)
        .with("tx_hash", hash.to_string())
}

/// The answer to a transaction that is longer than the network takes: `problem` of the body, with the rule that refuses it. Other
/// problems are passed on.
#[must_use]
pub fn too_long(problem: Problem) -> Problem {
    let Some(bytes_max) = problem.limit().filter(|_| problem.is(&BODY_TOO_LARGE)) else { return problem };
    problem
        .saying(format!("the transaction is longer than the {bytes_max} bytes that this network takes"))
        .with("plugin", None::<&str>)
        .with("codespace", CODESPACE)
        .with("code", Code::TxTooLarge.value())
}

/// The same for a transaction in a batch.
#[must_use]
pub fn too_long_in_batch(bytes_max: u64, bytes: u64) -> Problem {
    let detail = format!("the transaction has {bytes} bytes; this network takes at most {bytes_max}");
    too_long(Problem::new(&BODY_TOO_LARGE, "").exceeding(bytes_max, Some(bytes), "bytes")).saying(detail)
}

/// The answer when nothing is known of a transaction.
#[must_use]
pub fn unknown(hash: TxHash) -> Problem {
    let detail = "the transaction is not committed on this node, and it is not on its way here: since the node's process \
                  started it has not been submitted here, or it was not taken; it may be on its way through another node";
    Problem::new(&UNKNOWN_TRANSACTION, detail).with("tx_hash", hash.to_string())
}

/// The answer when a transaction was handed to the engine too long ago.
#[must_use]
pub fn overdue(hash: TxHash) -> Problem {
    let detail = format!(
        "the transaction was handed to the consensus engine more than {} s ago and is not committed: the engine may have lost \
         it, or the network decides nothing at present; submitting the same bytes again is safe",
        PENDING_AGE_MAX.as_secs()
    );
    Problem::new(&UNKNOWN_TRANSACTION, detail).with("tx_hash", hash.to_string())
}

/// The answer when what there is of the index does not tell whether a transaction is committed.
#[must_use]
pub fn index_building() -> Problem {
    let detail = "the index of receipts is being opened or built, and what there is of it does not name this transaction";
    Problem::new(&INDEX_BUILDING, detail).retry_after(LATER)
}

/// The answer when this node's disk does not give what is committed.
#[must_use]
pub fn unreadable() -> Problem {
    Problem::new(&STORE_UNREADABLE, "the node cannot read what it has committed; its log has the reason")
}

/// The answer when the network decides less than is submitted.
pub(super) fn overloaded(overload: Overload) -> Problem {
    let Overload { wait, wait_max } = overload;
    let detail = format!(
        "the queue at this node is {:.2} s long; new transactions are accepted while it is shorter than {:.2} s",
        wait.as_secs_f64(),
        wait_max.as_secs_f64()
    );
    let problem = Problem::new(&OVERLOADED, detail).exceeding_time(wait_max, Some(wait));
    problem.retry_after(Duration::from_secs_f64((wait.saturating_sub(wait_max)).as_secs_f64().ceil()))
}

pub(super) fn mempool_full() -> Problem {
    let detail = "too many transactions wait at this node to get into a block; try again, or another node";
    Problem::new(&MEMPOOL_FULL, detail).retry_after(SOON)
}

pub(super) fn defect() -> Problem {
    Problem::new(&INTERNAL, "the node could not examine the transaction; its log has the reason")
}

pub(super) fn not_ready(why: impl Into<String>) -> Problem {
    Problem::new(&NOT_READY, why).retry_after(LATER)
}

pub(super) fn too_much_memory(bytes_max: u64) -> Problem {
    let detail =
        format!("submissions may take {bytes_max} bytes of memory together, and this one does not fit now");
    Problem::new(&TOO_MANY_SUBMISSIONS, detail).exceeding(bytes_max, None, "bytes").retry_after(SOON)
}

pub(super) fn too_many_requests(max: u64) -> Problem {
    let detail = format!("{max} requests wait for transactions at this node, and no more may");
    Problem::new(&TOO_MANY_SUBMISSIONS, detail).exceeding(max, None, "requests").retry_after(SOON)
}
