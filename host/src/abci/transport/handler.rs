//! The trait of what answers requests, and the adapter from an application of `tendermint-abci` to it.

use std::error::Error;

use tendermint_abci::Application;
use tendermint_proto::v0_38::abci::{request, response};

use super::ServeError;

/// Answers requests, or fails and gives none.
///
/// It is called from every connection at once and owns its locking; each connection has a clone.
pub trait Handler: Clone + Send + 'static {
    /// Why there is no answer. Failures of the server itself convert to it, so that [`Server::run`](super::Server::run)
    /// returns one type.
    type Error: Error + From<ServeError> + Send + 'static;

    /// Answers one request with the response of the same name.
    ///
    /// # Errors
    ///
    /// When any answer would be a guess. The server ends with the error, and the request stays unanswered.
    fn answer(&self, request: request::Value) -> Result<response::Value, Self::Error>;
}

/// The adapter from `tendermint-abci`, whose methods cannot fail.
impl<A: Application> Handler for A {
    type Error = ServeError;

    fn answer(&self, request: request::Value) -> Result<response::Value, ServeError> {
        use request::Value;
        Ok(match request {
            Value::Echo(request) => response::Value::Echo(self.echo(request)),
            Value::Flush(_) => response::Value::Flush(self.flush()),
            Value::Info(request) => response::Value::Info(self.info(request)),
            Value::InitChain(request) => response::Value::InitChain(self.init_chain(request)),
            Value::Query(request) => response::Value::Query(self.query(request)),
            Value::CheckTx(request) => response::Value::CheckTx(self.check_tx(request)),
            Value::Commit(_) => response::Value::Commit(self.commit()),
            Value::ListSnapshots(_) => response::Value::ListSnapshots(self.list_snapshots()),
            Value::OfferSnapshot(request) => response::Value::OfferSnapshot(self.offer_snapshot(request)),
            Value::LoadSnapshotChunk(request) => {
                response::Value::LoadSnapshotChunk(self.load_snapshot_chunk(request))
            }
            Value::ApplySnapshotChunk(request) => {
                response::Value::ApplySnapshotChunk(self.apply_snapshot_chunk(request))
            }
            Value::PrepareProposal(request) => {
                response::Value::PrepareProposal(self.prepare_proposal(request))
            }
            Value::ProcessProposal(request) => {
                response::Value::ProcessProposal(self.process_proposal(request))
            }
            Value::ExtendVote(request) => response::Value::ExtendVote(self.extend_vote(request)),
            Value::VerifyVoteExtension(request) => {
                response::Value::VerifyVoteExtension(self.verify_vote_extension(request))
            }
            Value::FinalizeBlock(request) => response::Value::FinalizeBlock(self.finalize_block(request)),
        })
    }
}
