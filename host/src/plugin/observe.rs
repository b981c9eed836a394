//! What others may see of a running pipeline: each call, and some counts.

use super::verdict::Step;

/// Sees the calls of a pipeline's plugins, on the threads that make them. It cannot change what they answer.
///
/// There is no clock in this module: an observer that times calls reads its own.
pub trait CallObserver: Send + Sync {
    /// The plugin at this place in the pipeline is about to be called. What is returned is handed to [`Self::after`].
    fn before(&self, plugin: usize) -> u64;

    /// The call ended with this step. A call that fails on this host has none.
    fn after(&self, plugin: usize, before: u64, step: &Step);
}

/// What a pipeline has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PipelineCounts {
    /// Transactions whose outcome was remembered.
    pub memo_hits: u64,
    /// Transactions that the plugins ran on.
    pub memo_misses: u64,
    /// Instances made for a call because none was waiting.
    pub instances_started: u64,
}
