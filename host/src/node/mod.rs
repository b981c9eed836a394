//! A node as processes: its home on disk, its configuration, CometBFT as a supervised child, local networks of several nodes.
//!
//! A home is made once by [`genesis`] for the [`rules`] that people wrote, which [`genesis_file`] reads and edits and [`genesis_doc`] judges by CometBFT's rules; [`origin`] keeps the genesis a node began with; [`config`] reads what its owner set; [`supervisor`] keeps the app and
//! CometBFT running in it, with what [`cometbft`] found; [`testnet`] does that for several homes on one machine.
//!
//! # Invariants
//!
//! - CometBFT never outlives its app: the app ends when the supervisor does, and CometBFT when the app does.
//! - No process is ever signalled by a bare pid: see [`process::ProcessId`].

pub mod checksum;
pub mod cometbft;
pub mod config;
pub mod databases;
pub mod genesis;
pub mod genesis_doc;
pub mod genesis_file;
pub mod genesis_settings;
pub mod home;
pub mod listen;
pub mod membership;
pub mod origin;
pub mod overrides;
pub mod ports;
pub mod process;
pub mod rpc;
pub mod rules;
pub mod running;
pub mod shell;
pub mod signals;
pub mod supervisor;
pub mod tail;
pub mod testnet;
