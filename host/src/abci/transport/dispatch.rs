//! One request in, one answer out: which method of the application a request means, and what becomes of a panic.
use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
};

use tendermint_abci::Application;
use tendermint_proto::v0_38::abci::{RequestCheckTx, ResponseCheckTx, request, response};

/// A handler that unwound instead of answering. The request it was working on gets no answer.
pub(super) struct HandlerPanic {
    /// The ABCI method, as CometBFT spells it.
    pub(super) method: &'static str,
    /// What it panicked with.
    pub(super) payload: Box<dyn Any + Send>,
}

/// Answers one request.
pub(super) fn answer<A: Application>(
    app: &A,
    value: request::Value,
) -> Result<response::Value, HandlerPanic> {
    let method = method(&value);
    guarded(method, || dispatch(app, value))
}

/// Answers one CheckTx.
pub(super) fn check_tx<A: Application>(app: &A, tx: RequestCheckTx) -> Result<ResponseCheckTx, HandlerPanic> {
    guarded("CheckTx", || app.check_tx(tx))
}

/// Runs a handler and keeps what it panics with.
///
/// Asserting unwind safety is sound here because a panic ends the server: whatever the handler left half
/// done is never seen by another request.
fn guarded<T>(method: &'static str, handler: impl FnOnce() -> T) -> Result<T, HandlerPanic> {
    catch_unwind(AssertUnwindSafe(handler)).map_err(|payload| HandlerPanic { method, payload })
}

fn method(value: &request::Value) -> &'static str {
    use request::Value;
    match value {
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

fn dispatch<A: Application>(app: &A, value: request::Value) -> response::Value {
    use request::Value;
    match value {
        Value::Echo(request) => response::Value::Echo(app.echo(request)),
        Value::Flush(_) => response::Value::Flush(app.flush()),
        Value::Info(request) => response::Value::Info(app.info(request)),
        Value::InitChain(request) => response::Value::InitChain(app.init_chain(request)),
        Value::Query(request) => response::Value::Query(app.query(request)),
        Value::CheckTx(request) => response::Value::CheckTx(app.check_tx(request)),
        Value::Commit(_) => response::Value::Commit(app.commit()),
        Value::ListSnapshots(_) => response::Value::ListSnapshots(app.list_snapshots()),
        Value::OfferSnapshot(request) => response::Value::OfferSnapshot(app.offer_snapshot(request)),
        Value::LoadSnapshotChunk(request) => {
            response::Value::LoadSnapshotChunk(app.load_snapshot_chunk(request))
        }
        Value::ApplySnapshotChunk(request) => {
            response::Value::ApplySnapshotChunk(app.apply_snapshot_chunk(request))
        }
        Value::PrepareProposal(request) => response::Value::PrepareProposal(app.prepare_proposal(request)),
        Value::ProcessProposal(request) => response::Value::ProcessProposal(app.process_proposal(request)),
        Value::ExtendVote(request) => response::Value::ExtendVote(app.extend_vote(request)),
        Value::VerifyVoteExtension(request) => {
            response::Value::VerifyVoteExtension(app.verify_vote_extension(request))
        }
        Value::FinalizeBlock(request) => response::Value::FinalizeBlock(app.finalize_block(request)),
    }
}
