//! The state machine between consensus and the log: check, prepare, process, finalize, commit.
//!
//! ```text
//! check     one transaction:  may it enter the mempool?
//! prepare   a proposal:       leave out what the pipeline rejects, stay within the block's size
//! process   a proposal:       vote no if it holds what the pipeline rejects
//! finalize  a decided block:  run the pipeline, stage the records, answer results and app hash
//! commit    the caller takes the staged block, makes it durable, and hands it on to those who follow
//! ```
//!
//! # Determinism
//!
//! Everything here is a function of its arguments, the committed head among them: no clock, environment, randomness,
//! I/O or async. `check`, `prepare` and `process` look at no state at all but the rules, so they agree with
//! `finalize` on every node.
#![warn(clippy::disallowed_methods)]
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

mod app_hash;
mod codes;
mod committed;
mod examine;
mod finalize;
mod genesis;
mod proposal;
mod state;
mod status;

pub use app_hash::app_hash;
pub use codes::{CODESPACE, Code};
pub use committed::{CommittedBlock, Misbehavior, MisbehaviorKind};
pub use examine::{Examined, Refusal, examine, refuse_by_size};
pub use finalize::TxResult;
pub use genesis::{GenesisError, GenesisRules, parse_genesis};
pub use proposal::{prepare, process};
pub use state::{App, Decided, Rules, SequencingError, may_init};
pub use status::Status;
