//! The wall around plugins: what turns a transaction into a verdict, the same one on every node.
//!
//! ```text
//! genesis ── PipelineSpec ─┐
//! plugins/ ── PluginDir ───┴─> Pipeline::admit   hash, engine id, limits, exports, params
//!                                   │
//! transaction ──> Pipeline::apply ──┴─> plugin 1 ──> plugin 2 ──> ... ──> Outcome
//!                      │                    each: an instance as after init, apply, put back or dropped
//!                      └─ memo: a transaction that has an outcome does not run again
//! ```
//!
//! The pipeline is a pure function of the plugins, their params and the transaction. So CheckTx, proposals
//! and FinalizeBlock must agree, results may be remembered by transaction hash, and a block's transactions
//! may run in parallel.
//!
//! In reading order: [`spec`](PipelineSpec) is what genesis says; `dir` finds the bytes; `engine` builds the one engine
//! of the process, with its `costs`; `abi` is the contract with the guest; `admit` takes a module in: `gate` looks at its
//! bytes (`encoding`) and `body` at each function's, `compile` has all of a pipeline compiled, `rewrite` prepares it for
//! being compiled, and `insert` each function: `stack` bounds how deep its
//! calls nest, `marks` tell which of its memory is `touched`; `instance` is one of it at work; `call` runs it on one transaction, `warm` puts
//! the instance back for the next; `fault` names
//! the ways a plugin breaks its contract; `verdict` has the types from a call to the response, drawn in its header;
//! `pipeline` puts calls together; `memo` remembers; `parallel` runs a block's
//! transactions on all processors, on threads with the `room` that plugins need. `inspect` shows people what is in any
//! module.
//!
//! # Invariants
//!
//! - `wasmtime` is named in this module and nowhere else; no type of it leaves.
//! - A call ends as exactly one of a verdict, a [`Fault`] (deterministic: the plugin's doing) or a [`Fatal`]
//!   (this host is broken; the node must stop rather than guess).
//! - Nothing of one call is left for the next.
#![warn(clippy::disallowed_methods)]
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]
mod abi;
mod admit;
mod dir;
mod engine;
mod execute;
mod fault;
mod inspect;
mod instrument;
mod memo;
mod pipeline;
mod validate;
mod verdict;

use crate::rules as spec;

pub use crate::rules::{
    CanonicalJson, CanonicalJsonError, Limits, LimitsError, PipelineSpec, PluginName, PluginNameError,
    PluginSpec,
};
pub use admit::AdmitError;
pub use dir::{FoundFile, PluginDir, PluginDirError};
pub use engine::{engine_id, engine_text};
pub use execute::parallel::{Found, in_parallel};
pub use execute::threads::{spawn_with_room, with_room};
pub use fault::{Fatal, Fault};
pub use inspect::{Bounds, Export, Feature, Global, Import, Inspection, Metadata, Section, inspect};
pub use instrument::instrumented;
pub use memo::HashedTx;
pub use pipeline::Pipeline;
pub use validate::{GateError, Item, Named, Use, limits_used};
pub use verdict::{Outcome, Step, Verdict};
