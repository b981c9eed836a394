//! Execution of an admitted plugin.
pub(super) mod call;
pub(super) mod instance;
pub(super) mod parallel;
pub(super) mod reset;
pub(super) mod threads;
