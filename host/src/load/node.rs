//! One node of a run, by whichever way the run uses.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use super::client::{Answer, Client, NoAnswer, Position, Seen};
use super::http::HttpClient;
use super::plan::Via;
use crate::node::address::Address;

/// A node, over CometBFT's RPC or over its own HTTP.
pub(super) enum Node {
    Rpc(Arc<Client>),
    Http(HttpClient),
}

impl Node {
    pub(super) fn new(
        via: Via,
        address: &Address,
        connections_max: usize,
        timeout: Duration,
    ) -> Result<Self, NoAnswer> {
        let address = address.clone();
        Ok(match via {
            Via::Rpc => Self::Rpc(Arc::new(Client::new(address, connections_max, timeout))),
            Via::Http => Self::Http(HttpClient::new(address, connections_max, timeout)?),
        })
    }

    pub(super) fn address(&self) -> &Address {
        match self {
            Self::Rpc(client) => client.address(),
            Self::Http(client) => client.address(),
        }
    }

    /// Hands a transaction to the node; `sent` is called when it leaves.
    pub(super) async fn submit(&self, tx: Vec<u8>, sent: impl FnMut()) -> Answer {
        match self {
            Self::Rpc(client) => client.submit(&tx, sent).await,
            Self::Http(client) => client.submit(tx, sent).await,
        }
    }

    /// How far the node has committed.
    pub(super) async fn position(&self) -> Result<Position, NoAnswer> {
        match self {
            Self::Rpc(client) => client.position().await,
            Self::Http(client) => client.position().await,
        }
    }

    /// How many transactions wait at the node to get into a block.
    pub(super) async fn waiting(&self) -> Result<u64, NoAnswer> {
        match self {
            Self::Rpc(client) => client.waiting().await,
            Self::Http(_) => {
                Err(NoAnswer("a node's HTTP does not say how many transactions wait".to_owned()))
            }
        }
    }

    /// Records by their indexes.
    pub(super) async fn records(&self, indexes: Range<u64>) -> Result<Vec<Seen>, NoAnswer> {
        match self {
            Self::Rpc(client) => client.records(indexes).await,
            Self::Http(client) => client.records(indexes).await,
        }
    }
}
