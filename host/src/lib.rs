//! `dseq`, a distributed byte sequencer whose rules are WebAssembly plugins.
//!
//! Producers who do not coordinate hand bytes to any node; BFT consensus puts them in one order; every node holds
//! the identical sequence of bytes. This is the way of a byte:
//!
//! ```text
//! producer ── any node's RPC ──> CometBFT mempool ── CheckTx ──> pipeline (may it enter?)
//!             gossip, consensus            PrepareProposal: leave out what the pipeline rejects, stop when full
//!                                          ProcessProposal: vote no if it rejects any of it, or it is too large
//!             decided block ─ FinalizeBlock ─> pipeline ─> records staged in memory ─> app hash
//!                             Commit ────────> append, sync, commit record, sync ─> readers see the new length
//! reader  <── query: the committed prefix; the plain file may be ahead by the block that is being written
//! ```
//!
//! The modules in reading order:
//!
//! - [`types`]: newtypes for heights, offsets, fuel and hashes; [`limits`]: the bounds, each with its reason;
//! - [`rules`]: the rules that genesis fixes (engine, limits, plugins), and their hash, the pipeline id;
//! - [`excerpt`]: the shortened part of other people's text that an error may quote;
//! - [`json`]: strict JSON (I-JSON, RFC 7493), for genesis files and plugins' parameters;
//! - [`printable`]: other people's text, made safe to print;
//! - [`panics`]: what a caught panic said; [`atomic_file`]: files that are replaced whole; [`disk`]: the free space of a disk;
//! - [`sequence`]: the log on disk, its roots, its recovery;
//! - [`plugin`]: runs plugins in isolation: validate, compile, call; several form a pipeline;
//! - [`app`]: the state machine between consensus and the log, pure and synchronous;
//! - [`receipts`]: where each transaction landed, by its hash, and the wake-up of those who wait for one;
//! - [`abci`]: the protocol edge to CometBFT;
//! - [`api`]: HTTP for readers, producers and operators, which sees the committed prefix only;
//! - [`node`]: a node as processes, CometBFT being one of them, and networks of several nodes on one machine;
//! - [`load`]: load tests of a network;
//! - [`telemetry`] and [`cli`]: logs, and the command line.

pub use dseq_format::{excerpt, json, rules, types};

pub mod limits;

pub mod printable;

pub mod panics;

pub mod atomic_file;

pub mod disk;

mod bounded;

pub mod utc;

pub mod sequence;

pub mod plugin;

pub mod app;

pub mod receipts;

pub mod abci;

pub mod api;

pub mod node;

pub mod load;

pub mod telemetry;

pub mod cli;
