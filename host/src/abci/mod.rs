//! The protocol edge.
pub mod transport;
