//! The protocol edge: CometBFT's ABCI 2.0, over our own socket transport.
//!
//! ```text
//! transport   bytes on a socket  <->  requests and responses, for any handler of them
//! handler     calls the method of the service that belongs to a request
//! service     requests and responses  <->  the state machine and the log
//! rules       genesis at InitChain, the log's own copy of the rules at each later start
//! bounds      what the consensus parameters in genesis must allow
//! convert     protobuf  <->  what the state machine takes and gives
//! query       the log and the node's status through the engine's RPC
//! prefix      what a log may show of a transaction
//! traces      what traces are told of transactions
//! disk        refuses new transactions when little disk space is left
//! metered     counts and times all of that for metrics
//! pace        bounds proposals and the queue by how fast the last blocks were decided
//! own_votes   stops a node whose validator key votes elsewhere
//! halt        why the node ends
//! ```
//!
//! # Invariants
//!
//! Only this folder names CometBFT's message types; `app`, `plugin` and `sequence` do not know that the consensus engine is
//! CometBFT.

mod bounds;
mod convert;
mod disk;
mod halt;
mod handler;
mod metered;
mod own_votes;
mod pace;
mod prefix;
mod query;
mod rules;
mod service;
mod traces;
pub mod transport;

pub use bounds::{BoundsError, EngineBounds, VALIDATORS_MAX};
pub use halt::{EXIT_FAILED, EXIT_REFUSED, Halt};
pub use metered::{Metered, count_block};
pub use own_votes::OwnVotes;
pub use pace::{Counted, Overload};
pub use service::{Check, InForce, Service, ServiceOptions};
