//! A node as processes: its home on disk, its configuration, CometBFT as a supervised child, local networks of several nodes.
//!
//! A home is made once by [`genesis`], in the place that [`new_home`] found, for the [`rules`] that people wrote, which
//! [`genesis_file`] reads and edits and [`genesis_doc`] judges by CometBFT's rules; [`origin`] keeps the genesis a node
//! began with; [`mod@app`] opens the log and serves ABCI from it; [`config`] reads what its owner set; [`supervisor`] keeps the app and CometBFT running in it, with what
//! [`cometbft`] found, while [`watch`] looks whether CometBFT works; [`testnet`] does that for several homes on one
//! machine. Whatever is changed in a home is replaced whole, by [`mod@file`].
//!
//! # Invariants
//!
//! - CometBFT never outlives its app: when the supervisor is gone, the app ends CometBFT and then itself.
//! - No process is ever signalled by a bare pid: see [`process::ProcessId`].

pub mod access;
pub mod app;
pub mod checksum;
pub mod cometbft;
pub mod cometbft_log;
pub mod config;
pub mod databases;
mod engine_data;
pub mod engine_settings;
pub mod file;
pub mod genesis;
pub mod genesis_doc;
pub mod genesis_file;
pub mod genesis_settings;
pub mod home;
pub mod listen;
mod log_ahead;
pub mod membership;
pub mod new_home;
pub mod origin;
pub mod overrides;
pub mod ports;
pub mod process;
pub mod rotate;
pub mod rpc;
pub mod rules;
pub mod running;
pub mod shell;
pub mod signals;
pub mod supervisor;
pub mod tail;
pub mod testnet;
pub mod watch;
