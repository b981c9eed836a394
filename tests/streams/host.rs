//! Serves streams in memory for the conformance suite of Durable Streams, until standard input ends.
//!
//! Not a part of `dseq`: it shows that the kernel behind `/v1/sequence` speaks the protocol that other clients speak. See
//! `memory.rs`.
#![allow(clippy::unwrap_used, reason = "a panic is the report")]

mod memory;

use std::io::Read as _;
use std::sync::Arc;
use std::time::Duration;

use dseq::api::stream::Timings;
use dseq::api::{Limits, Origins, Server, layered};

fn main() {
    let server = Server::bind("127.0.0.1:0".parse().unwrap(), Limits::default()).unwrap();
    let timings = Timings { long_poll: Duration::from_secs(2), ..Timings::DEFAULT };
    let router = memory::router(server.stopping(), timings);
    let (address, limits) = (server.address(), server.limits());
    let router = layered(router, address, limits, &Origins::Every, Arc::default());
    let running = server.start(router).unwrap();
    println!("http://{}", running.address());
    let mut until_closed = Vec::new();
    std::io::stdin().read_to_end(&mut until_closed).unwrap();
    running.stop();
}
