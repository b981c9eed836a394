//! Execution: one transaction through one admitted plugin, and many transactions on all processors.
//!
//! ```text
//! Admitted, input ──> call ──> pool, or a fresh instance ──> instance: dseq_buffer, dseq_apply, dseq_output ──> verdict
//!                                 ▲                              │
//!                                 └───── reset, after a call that ended well
//! ```
//!
//! `call` is one call and what it costs; `instance` makes an instance and talks to it; `reset` brings an instance back to
//! its state right after init by copying its dirty pages, and `pool` keeps it for the next call. `threads` are threads
//! with the native stack that plugins need, `parallel` runs a block's transactions on one per processor.
//!
//! # Invariants
//!
//! - Nothing of one call is left for the next: its instance is reset to the state right after init, or dropped.
//! - A call ends as exactly one of a verdict, a fault (deterministic: the plugin's doing) or a fatal error (this host's:
//!   the node stops and never guesses).
//! - How deep calls may nest is decided by the counter in the bytecode, never by the native stack: plugins run only on
//!   threads whose stack is larger than the counter lets a plugin use.
mod call;
mod instance;
mod parallel;
mod pool;
mod reset;
mod threads;

pub(super) use call::Admitted;
pub(super) use instance::{Exports, Init, Live};
pub use parallel::{Found, in_parallel};
pub(super) use parallel::{instances_kept_max, processors};
pub(super) use pool::Pool;
pub use threads::{on_large_stack, spawn_with_large_stack};
