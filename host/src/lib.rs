//! `dseq`, a distributed byte sequencer whose rules are WebAssembly plugins.
pub mod abci;
pub mod limits;
pub mod plugin;
pub mod sequence;
pub mod types;
