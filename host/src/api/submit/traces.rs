//! The span of a submission: from its turn until it is answered, and handed to the engine or not.

use tracing::Span;
use tracing::field::Empty;

use super::Submitted;
use super::params::Wait;
use crate::api::TraceContext;
use crate::api::problem::REJECTED;
use crate::types::TxHash;

/// The span of a submission that begins. Its trace is the transaction's; the caller's becomes a link.
pub(super) fn begin(hash: TxHash, wait: Wait, trace: &TraceContext) -> Span {
    let wait = match wait {
        Wait::None => "none",
        Wait::Checked => "checked",
        Wait::Committed => "committed",
    };
    tracing::trace_span!(
        target: "dseq::traces", "Submit",
        tx = %hash, wait, traceparent = trace.caller(), state = Empty, problem = Empty
    )
}

/// Says in its span what a submission is answered.
pub(super) fn end(span: &Span, submitted: &Submitted) {
    let (state, problem) = match submitted {
        Submitted::Committed { .. } => ("committed", None),
        Submitted::Pending => ("pending", None),
        Submitted::Failed(problem) if problem.is(&REJECTED) => ("rejected", Some(problem.name())),
        Submitted::Failed(problem) => ("failed", Some(problem.name())),
    };
    span.record("state", state).record("problem", problem);
}
