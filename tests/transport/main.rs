//! The ABCI socket server, seen from the other end of its sockets.
#[path = "../support/client.rs"]
mod client;
mod harness;

mod framing;
mod lifecycle;
mod order;
mod sockets;
