//! Writes to a dseq network and reads from it, over HTTP.
//!
//! ```no_run
//! use dseq_client::{Client, FollowFrom, FollowOptions, SubmitOptions, Submitted};
//! use futures_util::StreamExt;
//!
//! # async fn example() -> Result<(), dseq_client::Error> {
//! let client = Client::new(["localhost:6900", "localhost:6901"])?;
//!
//! // Hand in bytes, and learn where they are: the same on every node, for ever.
//! match client.submit("hello\n", SubmitOptions::default()).await? {
//!     Submitted::Committed { receipt, .. } => println!("at offset {}", receipt.offset),
//!     Submitted::Pending { tx_hash } => println!("not committed yet: ask for {tx_hash} later"),
//!     Submitted::Rejected(rejection) => println!("rejected: {rejection}"),
//! }
//!
//! // Read a range.
//! let mut reading = client.read(0..100).await?;
//! while let Some(bytes) = reading.next().await {
//!     println!("{:?}", bytes?);
//! }
//!
//! // Follow: each byte once, in order, whichever node it comes from.
//! let mut chunks = Box::pin(client.follow(FollowFrom::End, FollowOptions::default()));
//! while let Some(chunk) = chunks.next().await {
//!     let chunk = chunk?;
//!     println!("{} bytes at offset {}", chunk.bytes.len(), chunk.offset);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Several nodes
//!
//! A [`Client`] asks one node and stays there until it fails; then it goes on with the next one. Offsets, indexes and receipts
//! mean the same on every node, so a reader goes on where it was.
//!
//! - **Reading** compares the last bytes, or the last record, that it has with those of the new node before it takes more from there.
//!   [`Error::Disagree`] and [`Error::RecordsDisagree`] mean that one of the two nodes is not to be trusted.
//! - **Submitting** goes on only if the first node certainly did not take the transaction. When an answer is lost, nodes are
//!   asked by the transaction's hash. If no node knows it, the outcome is unknown, and that is what you get
//!   ([`Error::OutcomeUnknown`]): ask for its receipt later. If it stays unknown, send the same bytes again: nodes commit bytes that
//!   come over HTTP only once.
//!
//! # Limits
//!
//! Everything waits for a bounded time ([`Options`], [`SubmitOptions`]), except following. A stream holds one piece of a body,
//! or one record; it reads on when the next one is asked for, so a slow reader slows its connection and nothing else.
#![forbid(unsafe_code)]

mod address;
mod agreement;
mod answers;
mod client;
mod error;
mod pull;
mod read;
mod receipts;
mod records;
mod submit;
mod transport;

pub use dseq_format::rules::Limits;
pub use dseq_format::types::{
    AppHash, EngineId, PipelineId, PluginHash, RecordHash, RecordsRoot, SequenceRoot, TxHash,
};

pub use address::{Address, BadAddress};
pub use agreement::Agreement;
pub use answers::{Known, Pipeline, Plugin, Receipt, Record, Rejection, Status, Submitted};
pub use client::{Client, Options};
pub use error::{Error, Failure, Problem, Why};
pub use pull::{Chunk, Notice};
pub use read::{FollowFrom, FollowOptions, Reading};
pub use receipts::At;
pub use submit::{SubmitOptions, Wait};
