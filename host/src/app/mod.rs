//! The state machine between consensus and the log: check, prepare, process, finalize, commit.
//!
//! ```text
//! check     one transaction:  may it enter the mempool?
//! prepare   a proposal:       leave out what the pipeline rejects, stop when the block is full
//! process   a proposal:       vote no if the pipeline rejects any of it, or it is beyond a block's bounds
//! finalize  a decided block:  run the pipeline, stage the records, answer results and app hash
//! commit    not here: the caller takes the staged block, makes it durable and calls its callback
//! ```
//!
//! # Determinism
//!
//! Everything here is a function of its arguments, the committed head among them: no clock, environment, randomness,
//! I/O or async. `check`, `prepare` and `process` depend only on the rules and the transactions, so every node
//! decides as `finalize` will.
#![warn(clippy::disallowed_methods)]
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

mod app_hash;
mod codes;
mod committed;
mod examine;
mod finalize;
mod genesis;
mod proposal;
mod rules;
mod state;
mod status;

pub use app_hash::app_hash;
pub use codes::{CODESPACE, Code};
pub use committed::{
    CommittedBlock, Conduct, Misbehavior, MisbehaviorKind, RejectedProposal, ValidatorAddress, Voter,
};
pub use examine::{Examined, Refusal, examine, refuse_by_size};
pub use finalize::{ExaminedBlock, TxResult};
pub use genesis::{GenesisError, GenesisRules, parse_genesis};
pub use proposal::{Objection, ProposalBounds, prepare, process, weight};
pub use rules::Rules;
pub use state::{App, Decided, SequencingError, may_init};
pub use status::Status;
