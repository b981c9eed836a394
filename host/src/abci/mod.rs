//! The protocol edge: CometBFT's ABCI 2.0, its sockets and its types; nothing outside this folder names them.
pub mod transport;
