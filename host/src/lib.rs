//! `dseq`, a distributed byte sequencer whose rules are WebAssembly plugins.
//!
//! Producers who do not coordinate hand bytes to any node; BFT consensus puts them in one order; every node holds
//! the identical sequence of bytes. This is the way of a byte:
//!
//! ```text
//! producer ── any node's RPC ──> CometBFT mempool ── CheckTx ──> pipeline (may it enter?)
//!             gossip, consensus            PrepareProposal: leave out what the pipeline rejects
//!                                          ProcessProposal: vote no on a block holding what it rejects
//!             decided block ─ FinalizeBlock ─> pipeline ─> records staged in memory ─> app hash
//!                             Commit ────────> append, sync, commit record, sync ─> readers see the new length
//! reader  <── plain file, query ── committed prefix only
//! ```
//!
//! The modules in reading order:
//!
//! - [`types`] and [`limits`]: the words, and every bound with its reason;
//! - [`rules`]: what genesis fixes, and its id;
//! - [`excerpt`]: what of a foreign text an error quotes;
//! - [`json`]: strict JSON (I-JSON, RFC 7493), for what people write and consensus agrees on;
//! - [`printable`]: other people's text, made safe to print;
//! - [`atomic_file`]: files that are replaced whole;
//! - [`sequence`]: the log on disk, its roots, its recovery;
//! - [`plugin`]: the wall around plugins, and the pipeline they make;
//! - [`app`]: the state machine between consensus and the log, pure and synchronous;
//! - [`abci`]: the protocol edge to CometBFT;
//! - [`node`]: a node as processes, CometBFT being one of them, and networks of several nodes on one machine;
//! - [`telemetry`] and [`cli`]: what people see.

pub use dseq_format::{excerpt, json, rules, types};

pub mod limits;

pub mod printable;

pub mod atomic_file;

pub mod sequence;

pub mod plugin;

pub mod app;

pub mod abci;

pub mod node;

pub mod telemetry;

pub mod cli;
