//! The application as CometBFT sees it, over the real socket: what ABCI requires of it, and every way they may part.

#[path = "../support/mod.rs"]
mod support;

mod answers;
mod handshake;
mod model;
mod refusals;
mod requirements;
