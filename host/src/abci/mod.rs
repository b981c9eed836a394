//! The protocol edge: CometBFT's ABCI 2.0, over our own socket transport.
//!
//! ```text
//! transport   bytes on a socket  <->  requests and responses, generic over `tendermint_abci::Application`
//! service     requests and responses  <->  the state machine and the log
//! bounds      what the engine's parameters must allow
//! convert     the state machine's results as protobuf
//! misbehavior what CometBFT proves of validators, for the log
//! query       reading the log through the engine's RPC
//! ```
//!
//! # Invariants
//!
//! Nothing outside this folder and `node` knows that the engine is CometBFT.

mod bounds;
mod convert;
mod halt;
mod misbehavior;
mod query;
mod run;
mod service;
pub mod transport;

pub use bounds::{BoundsError, EngineBounds, VALIDATORS_MAX};
pub use halt::{EXIT_REFUSED, Halt};
pub use run::{RunOptions, run};
pub use service::{Service, ServiceOptions};
