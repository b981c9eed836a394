//! Instrumentation: what is added to a valid module before it is compiled.
//!
//! ```text
//! ValidModule ──> rewrite ──> Rewritten: the bytes to compile, and the names under which its globals are exported
//! ```
//!
//! `rewrite` decides what is added, `assemble` puts the module together again, and `insert` each function. What is added
//! in the code is of three kinds: `stack` counts how deep calls nest, `write_barrier` records which pages of the memory
//! are stored to, and `fuel` charges for what compiled code does beyond its instructions.
//!
//! # Invariants
//!
//! - An instrumented module computes what the plain one does, but uses more fuel, and is stopped if calls nest too
//!   deeply. Tested by `tests/differential/random.rs`.
//! - Nothing here depends on the host: the same bytes become the same bytes everywhere. What is added is part of the engine
//!   id (`instrumentation` and `marks` in the engine text).
mod assemble;
mod fuel;
mod insert;
mod rewrite;
mod stack;
pub(super) mod write_barrier;

pub use rewrite::instrumented;
pub(super) use rewrite::{DIRTY_PAGES_EXPORT, Rewritten, STACK_EXPORT, rewrite};
pub(super) use stack::OVERFLOWN;
