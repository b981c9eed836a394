//! Which method of the service a request means, and the answers that no state decides.

use bytes::Bytes;
use tendermint_abci::Application;
use tendermint_proto::v0_38::abci::{
    RequestApplySnapshotChunk, RequestLoadSnapshotChunk, RequestOfferSnapshot, ResponseApplySnapshotChunk,
    ResponseListSnapshots, ResponseLoadSnapshotChunk, ResponseOfferSnapshot, request::Value as Request,
    response::Value as Response, response_apply_snapshot_chunk, response_offer_snapshot,
};

use super::halt::Halt;
use super::service::Service;
use super::transport::Handler;

impl Handler for Service {
    type Error = Halt;

    fn answer(&self, request: Request) -> Result<Response, Halt> {
        Ok(match request {
            Request::Info(_) => Response::Info(self.info()),
            Request::InitChain(request) => Response::InitChain(self.init_chain(&request)?),
            Request::Query(request) => Response::Query(self.query(&request)),
            Request::CheckTx(request) => Response::CheckTx(self.check_tx(&request)?),
            Request::PrepareProposal(request) => Response::PrepareProposal(self.prepare_proposal(&request)?),
            Request::ProcessProposal(request) => Response::ProcessProposal(self.process_proposal(&request)?),
            Request::FinalizeBlock(request) => Response::FinalizeBlock(self.finalize_block(&request)?),
            Request::Commit(_) => Response::Commit(self.commit()?),
            Request::Echo(_)
            | Request::Flush(_)
            | Request::ExtendVote(_)
            | Request::VerifyVoteExtension(_)
            | Request::ListSnapshots(_)
            | Request::OfferSnapshot(_)
            | Request::LoadSnapshotChunk(_)
            | Request::ApplySnapshotChunk(_) => Stateless.answer(request)?,
        })
    }
}

/// What we answer whatever our state. The trait's own answers are right for Echo, Flush and votes without extensions.
///
/// A new node replays the chain. Until there are snapshots, each call says plainly that there are none.
#[derive(Clone)]
struct Stateless;

impl Application for Stateless {
    fn list_snapshots(&self) -> ResponseListSnapshots {
        ResponseListSnapshots { snapshots: Vec::new() }
    }

    fn offer_snapshot(&self, _request: RequestOfferSnapshot) -> ResponseOfferSnapshot {
        ResponseOfferSnapshot { result: response_offer_snapshot::Result::RejectFormat.into() }
    }

    fn load_snapshot_chunk(&self, _request: RequestLoadSnapshotChunk) -> ResponseLoadSnapshotChunk {
        ResponseLoadSnapshotChunk { chunk: Bytes::new() }
    }

    fn apply_snapshot_chunk(&self, _request: RequestApplySnapshotChunk) -> ResponseApplySnapshotChunk {
        ResponseApplySnapshotChunk {
            result: response_apply_snapshot_chunk::Result::Abort.into(),
            ..Default::default()
        }
    }
}
