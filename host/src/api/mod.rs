//! HTTP for readers, producers and operators of a node.
//!
//! ```text
//! listener ── accept ──> connections: one of few? ──no──> 503, closed
//!                              │ yes
//!                        socket (slow readers) ── hyper ── layers: request id, trace, log │ panics │ CORS │ limits
//!                                                                                   │
//!                              problem documents <── no route, wrong method ── routes: what the node answers
//! ```
//!
//! [`Server`] listens and serves on threads of its own; [`layered`] puts around a router what every request passes; [`mod@submit`] takes transactions; [`router`] has the routes of a node, which see no more of it than [`State`].
//!
//! # Adding a route
//!
//! A topic is a file with `LISTED` and `routes()`, and a row in `TOPICS`. Errors are [`Problem`]s of a type in
//! [`problem::TYPES`]. A body is read by [`body::whole`]. What may go on for ever ends when [`State::stopping`] says so. What
//! blocks (files, the file system) goes to `tokio::task::spawn_blocking`.
//!
//! # Invariants
//!
//! - Sees the committed prefix only, and can never delay consensus.
//! - Whatever a client does or leaves undone, what it takes of the node is bounded by [`Limits`].
//! - Every error that is ours is a problem document. hyper itself answers heads that it can't parse (400, 414, 431), without
//!   a body.

mod accept;
mod access_log;
pub mod body;
mod conditions;
mod connection;
mod connections;
pub mod health;
mod hosts;
mod json;
mod layers;
mod limits;
mod origins;
mod page;
mod params;
pub mod problem;
mod routes;
mod schemas;
mod server;
mod socket;
mod stopping;
pub mod stream;
pub mod submit;
mod tail;
mod trace_context;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

pub use access_log::RequestId;
pub use connection::Client;
pub use layers::layered;
pub use limits::Limits;
pub use origins::Origins;
pub use problem::Problem;
pub use routes::{Listed, listed, router};
pub(crate) use server::yield_to_consensus;
pub use server::{BindError, Running, Server};
pub use stopping::Stopping;
pub use tail::{Tail, TailError, Tip};
pub use trace_context::TraceContext;

use crate::app;
use crate::rules::PipelineSpec;
use crate::sequence::Reader;
use crate::telemetry::metrics::Metrics;

/// What routes see of the node.
#[derive(Clone)]
pub struct State {
    /// The committed prefix.
    pub reader: Reader,
    /// The end of it, for those who follow.
    pub tail: Tail,
    /// What the node says of itself. Asks the file system each time, so it may block.
    pub status: Arc<dyn Fn() -> app::Status + Send + Sync>,
    /// The rules in force; `None` before InitChain.
    pub rules: Arc<dyn Fn() -> Option<PipelineSpec> + Send + Sync>,
    /// What this process counts.
    pub metrics: Arc<Metrics>,
    /// How the node is.
    pub health: health::Health,
    /// The way of transactions into the mempool, and their receipts.
    pub submissions: submit::Submissions,
    /// The end of the server.
    pub stopping: Stopping,
}

/// For how long an answer waits at most until the routes that read bytes have what it tells of.
const READABLE_WITHIN: Duration = Duration::from_secs(5);

impl State {
    /// Waits until the routes that read bytes have so many records. Another thread tells them of a block, later than the log has
    /// it, and whoever asks for what an answer told of must get it. Not for ever, because that thread waits for the disk.
    async fn until_readable(&self, count: u64) {
        let mut tail = self.tail.clone();
        tokio::select! {
            // If it ends, reading says so.
            _ = timeout(READABLE_WITHIN, tail.wait_until(|tip| tip.prefix().count() >= count)) => {}
            () = self.stopping.wait() => {}
        }
    }

    /// The same for all that is committed now.
    async fn until_all_is_readable(&self) {
        self.until_readable(self.reader.committed().head.count()).await;
    }
}
