//! The client against nodes that a test plays, with each failure that it is to survive or to report.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod mock;
mod reading;
mod records;
mod submitting;
mod unconnected;

use std::time::Duration;

use dseq_client::{Address, Client, Options};
use mock::Node;

/// Times that no test reaches by accident, and short ones where something is to be given up.
fn options() -> Options {
    Options {
        connect_timeout: Duration::from_secs(30),
        answer_timeout: Duration::from_secs(30),
        retry_for: Duration::from_secs(30),
    }
}

fn client_of<'a>(nodes: impl IntoIterator<Item = &'a Node>) -> Client {
    let nodes: Vec<Address> = nodes.into_iter().map(|node| node.address.clone()).collect();
    Client::with_options(nodes, options()).unwrap()
}

/// A client that asks each node once.
fn hasty(nodes: Vec<Address>) -> Client {
    Client::with_options(nodes, Options { retry_for: Duration::ZERO, ..options() }).unwrap()
}
