//! One request in, one answer out, or the failure that ends the server.
use std::{
    any::Any,
    error::Error,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
};

use tendermint_proto::v0_38::abci::{request, response};

use super::{Handler, ServeError};
use crate::panics::panic_message;

#[cfg(panic = "abort")]
compile_error!(
    "build dseq with panic = \"unwind\": a handler that panics is caught, so that the node ends with the reason and an exit \
     code, and an abort would lose both"
);

/// Why a request gets no answer, and no other one after it.
pub(super) struct Failure {
    /// The ABCI method, as CometBFT spells it.
    pub(super) method: &'static str,
    pub(super) cause: Cause,
}

/// What a handler did instead of answering.
pub(super) enum Cause {
    /// It returned this error, which is the [`Handler::Error`] of the server's handler.
    Error(Box<dyn Error + Send>),
    /// It panicked with this: a defect.
    Panic(Box<dyn Any + Send>),
}

impl Failure {
    /// The failure as the error of the handler `H`, which it came from.
    pub(super) fn into_error<H: Handler>(self) -> H::Error {
        match self.cause {
            Cause::Error(error) => {
                *error.downcast().expect("a server has one handler, and all its errors are of one type")
            }
            Cause::Panic(payload) => ServeError::HandlerPanicked { method: self.method, payload }.into(),
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Error(error) => error.fmt(f),
            Self::Panic(payload) => f.write_str(panic_message(&**payload)),
        }
    }
}

/// Answers one request.
///
/// Asserting unwind safety is sound here because a panic ends the server: whatever the handler left half
/// done is never seen by another request.
pub(super) fn answer<H: Handler>(handler: &H, request: request::Value) -> Result<response::Value, Failure> {
    let method = method(&request);
    let cause = match catch_unwind(AssertUnwindSafe(|| handler.answer(request))) {
        Ok(Ok(answer)) => return Ok(answer),
        Ok(Err(error)) => Cause::Error(Box::new(error)),
        Err(payload) => Cause::Panic(payload),
    };
    Err(Failure { method, cause })
}

fn method(request: &request::Value) -> &'static str {
    use request::Value;
    match request {
        Value::Echo(_) => "Echo",
        Value::Flush(_) => "Flush",
        Value::Info(_) => "Info",
        Value::InitChain(_) => "InitChain",
        Value::Query(_) => "Query",
        Value::CheckTx(_) => "CheckTx",
        Value::Commit(_) => "Commit",
        Value::ListSnapshots(_) => "ListSnapshots",
        Value::OfferSnapshot(_) => "OfferSnapshot",
        Value::LoadSnapshotChunk(_) => "LoadSnapshotChunk",
        Value::ApplySnapshotChunk(_) => "ApplySnapshotChunk",
        Value::PrepareProposal(_) => "PrepareProposal",
        Value::ProcessProposal(_) => "ProcessProposal",
        Value::ExtendVote(_) => "ExtendVote",
        Value::VerifyVoteExtension(_) => "VerifyVoteExtension",
        Value::FinalizeBlock(_) => "FinalizeBlock",
    }
}
