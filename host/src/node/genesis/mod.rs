//! What a network begins with: its rules as people write them, its genesis file, and the homes that are made from it.
//!
//! [`create()`] makes the homes of a new network for the [`rules`] that people wrote; [`file`](mod@file) reads and edits a
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

pub(crate) use create::run;
pub use create::{Addresses, GenesisError, Member, NetworkSpec, create};
pub use document_error::DocError;
pub use rules_error::RulesError;
