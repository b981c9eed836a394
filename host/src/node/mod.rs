//! A node as processes: its home on disk, its configuration, CometBFT as a supervised child, local networks of several nodes.
//!
//! - [`home`]: where things are in a node's folder, and how a new one is made;
//! - [`genesis`]: the network's rules as people write them, the genesis file, and the genesis a node began with;
//! - [`config`]: what a node's owner may set;
//! - [`mod@app`]: opens the log and serves ABCI from it;
//! - [`engine`]: CometBFT: its program, its files, its log, its RPC;
//! - `intake`: the way of a transaction from HTTP into the mempool;
//! - [`health`]: how a node is, checked every second;
//! - [`network`]: the files with which several machines begin one network;
//! - [`process`]: processes, signals, ports and logs of this machine;
//! - [`supervisor`]: keeps the app and CometBFT running in a home;
//! - [`clock`]: what time it is on other machines;
//! - [`names`]: what messages call validators and nodes;
//! - [`preflight`]: what keeps a home from starting;
//! - [`keys`]: keys shown, backed up, moved and restored;
//! - [`recover`]: a validator that lost the record of what it signed;
//! - [`doctor`]: looks at a whole home, whether or not it runs, and says what to do;
//! - [`build_info`]: what this program and another one are made for;
//! - [`testnet`]: does that for several homes on one machine;
//! - [`verdict`]: how a whole network is;
//! - [`announce`]: what `dseq start` says of a node while it runs;
//! - [`view`]: what nodes show of themselves, side by side;
//! - [`address`]: where something listens;
//! - [`checksum`]: compares the sequences of several nodes.
//!
//! # Invariants
//!
//! - CometBFT never outlives its app: when the supervisor is gone, the app ends CometBFT and then itself.
//! - No process is ever signalled by a bare pid: see [`process::ProcessId`].
//! - A configuration, genesis or state file in a home is replaced whole, by [`crate::atomic_file`]. Logs, locks and the
//!   sequence are not.

pub mod address;
pub mod announce;
pub mod app;
pub mod build_info;
pub mod checksum;
pub mod clock;
pub mod config;
pub mod doctor;
pub mod engine;
pub mod genesis;
pub mod health;
pub mod home;
mod intake;
pub mod keys;
pub mod names;
pub mod network;
pub mod preflight;
pub mod process;
pub mod recover;
pub mod shell;
pub mod supervisor;
pub mod testnet;
pub mod verdict;
pub mod view;
