//! What a node's routes see of a log, and otherwise of nothing.

use std::sync::Arc;

use dseq::api::health::Health;
use dseq::api::submit::{Bounds, Submissions};
use dseq::api::{State, Stopping, Tail};
use dseq::app::Status;
use dseq::receipts::Receipts;
use dseq::sequence::Reader;

pub(crate) fn state(reader: Reader, stopping: Stopping) -> State {
    let (asked, receipts) = (reader.clone(), Receipts::open(reader.clone(), None).unwrap());
    State {
        tail: Tail::start(reader.clone(), || Some("a network".to_owned())).unwrap(),
        reader,
        status: Arc::new(move || Status::of(&asked.committed(), None)),
        rules: Arc::new(|| None),
        metrics: Arc::default(),
        health: Health::default(),
        submissions: Submissions::new(Err("there is no engine"), receipts, stopping.clone(), Bounds::DEFAULT),
        stopping,
    }
}
