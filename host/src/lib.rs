//! `dseq`, a distributed byte sequencer whose rules are WebAssembly plugins.
pub mod abci;
pub mod cli;
pub mod limits;
pub mod node;
pub mod plugin;
pub mod sequence;
pub mod telemetry;
pub mod types;
