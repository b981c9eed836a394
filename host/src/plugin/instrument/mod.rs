//! Instrumentation of a module before it is compiled: the stack counter and the write barrier.
pub(super) mod dirty_pages;
mod insert;
mod rewrite;
pub(super) mod stack;
pub(super) mod write_barrier;

pub use rewrite::instrumented;
pub(super) use rewrite::{Rewritten, STACK_EXPORT, TOUCHED_EXPORT, rewrite};
