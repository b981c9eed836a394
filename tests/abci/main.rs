//! The application as CometBFT sees it, over the real socket: what ABCI requires of it, and every way they may part.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

#[path = "../support/mod.rs"]
mod support;

mod answers;
mod bounds;
mod committed;
mod conduct;
mod handshake;
mod model;
mod overload;
mod refusals;
mod requirements;
mod scenarios;
