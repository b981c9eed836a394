//! What a network begins with: its rules as people write them, and its genesis file.
//!
//! [`create()`] makes the genesis of a new network for the [`rules`] that people wrote; [`file`](mod@file) reads and edits a
//! genesis file, and [`document`] checks it by CometBFT's rules; [`membership`] says who decides in a network; [`origin`]
//! keeps the genesis that a node began with.

mod create;
pub mod document;
mod document_error;
mod field;
pub mod file;
pub mod membership;
pub mod origin;
pub mod rules;
mod rules_error;

pub use create::{Founder, GenesisError, NetworkSpec, check, create};
pub(crate) use create::{run, words};
pub use document_error::DocError;
pub use rules_error::RulesError;
