//! CometBFT as our consensus engine: its program, its configuration and data in a home, its log, its RPC.

pub mod cometbft;
pub mod config;
pub(crate) mod connection;
pub(crate) mod cut_off;
pub(crate) mod data;
pub mod databases;
pub mod environment;
pub mod key_files;
pub mod listen;
pub mod log;
pub(crate) mod log_ahead;
pub(crate) mod log_line;
pub(crate) mod mempool;
pub mod overrides;
pub mod rpc;
pub mod throwaway;
