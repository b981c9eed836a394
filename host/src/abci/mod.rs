//! The protocol edge: CometBFT's ABCI 2.0, over our own socket transport.
//!
//! ```text
//! transport   bytes on a socket  <->  requests and responses, for any handler of them
//! handler     which method of the service a request means
//! service     requests and responses  <->  the state machine and the log
//! rules       genesis at InitChain, the log's own copy of the rules at each later start
//! bounds      what the engine's parameters must allow
//! convert     protobuf  <->  what the state machine takes and gives
//! query       the log and the node's status through the engine's RPC
//! disk        whether it is nearly full
//! halt        why the node ends
//! ```
//!
//! # Invariants
//!
//! Nothing outside this folder and `node` knows that the engine is CometBFT.

mod bounds;
mod convert;
mod disk;
mod halt;
mod handler;
mod query;
mod rules;
mod service;
pub mod transport;

pub use bounds::{BoundsError, EngineBounds, VALIDATORS_MAX};
pub use halt::{EXIT_REFUSED, Halt};
pub use service::{Service, ServiceOptions};
