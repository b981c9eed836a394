//! The wall around plugins: what turns a transaction into a verdict, the same one on every node.
//!
//! ```text
//! genesis ── PipelineSpec ─┐
//! plugins/ ── PluginDir ───┴─> Pipeline::admit   hash, engine id, limits, exports, params
//!                                   │
//! transaction ──> Pipeline::apply ──┴─> plugin 1 ──> plugin 2 ──> ... ──> Outcome
//!                      │                    each: an instance as after init, apply, reset or dropped
//!                      └─ memo: a transaction that has an outcome does not run again
//! ```
//!
//! The pipeline is a pure function of the plugins, their params and the transaction. So CheckTx, proposals
//! and FinalizeBlock must agree, results may be remembered by transaction hash, and a block's transactions
//! may run in parallel.
//!
//! In reading order: [`rules`](crate::rules) is what genesis says; `dir` finds the bytes; `abi` is the contract with the
//! guest. `admit` takes a pipeline's modules in, in these stages:
//!
//! - `validate`: the bytes are a module that a plugin may be, within all limits;
//! - `instrument`: instructions are added that count the stack and record dirty pages;
//! - `engine`: the one engine of the process, its fuel costs and its identity, compiles it.
//!
//! `execute` is one call, and many on all processors; `fault` names the ways a plugin breaks its contract; `verdict` has
//! the types from a call to the response; `pipeline` puts calls together; `memo` remembers; `observe` is for
//! metrics. `inspect` shows people what is in any module.
//!
//! # Invariants
//!
//! - `wasmtime` is named in this module and nowhere else; no type of it leaves.
//! - A call ends as exactly one of a verdict, a [`Fault`] (deterministic: the plugin's doing) or a [`Fatal`]
//!   (this host is broken; the node must stop rather than guess).
//! - Nothing of one call is left for the next.
//! - Imports go one way: from `pipeline` to `admit`, `engine`, `execute`, `instrument`, `validate` and `abi`, never back.
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
mod observe;
mod pipeline;
mod validate;
mod verdict;

pub use crate::rules::{
    CanonicalJson, CanonicalJsonError, Limits, LimitsError, PipelineSpec, PluginName, PluginNameError,
    PluginSpec,
};
pub use admit::AdmitError;
pub use dir::{FoundFile, PluginDir, PluginDirError};
pub use engine::{engine_id, engine_text};
pub use execute::{Found, in_parallel, on_large_stack, spawn_with_large_stack};
pub use fault::{Fatal, Fault};
pub use inspect::{Export, Feature, Global, Import, Inspection, Metadata, Section, SizeRange, inspect};
pub use instrument::instrumented;
pub use memo::HashedTx;
pub use observe::{CallObserver, PipelineCounts};
pub use pipeline::Pipeline;
pub use validate::{Item, Named, Use, ValidateError, limits_used};
pub use verdict::{Outcome, Step, Verdict};
