//! More is submitted than the network decides: refused before anything of it is read.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use dseq::api::submit::{Bounds, Checked, HandedOver, Intake, Overload, Submissions};
use dseq::api::{self, State};
use dseq::receipts::Receipts;
use dseq::sequence::Log;
use futures_util::future::BoxFuture;

use super::client::Client;
use super::log::state;
use super::{limits, serve};

/// An engine before which much waits, or nothing.
#[derive(Default)]
struct Engine {
    is_overloaded: AtomicBool,
    calls: AtomicUsize,
}

impl Intake for Engine {
    fn tx_bytes_max(&self) -> Option<u64> {
        Some(1000)
    }

    fn overload(&self) -> Option<Overload> {
        let (wait, wait_max) = (Duration::from_millis(3_300), Duration::from_millis(1_000));
        self.is_overloaded.load(Ordering::SeqCst).then_some(Overload { wait, wait_max })
    }

    fn check(&self, _: Bytes) -> BoxFuture<'_, Checked> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        Box::pin(async { Checked::Accepted })
    }

    fn hand_over(&self, _: Bytes) -> BoxFuture<'_, HandedOver> {
        Box::pin(async { HandedOver::Taken })
    }
}

#[test]
fn a_transaction_that_would_wait_too_long_is_refused_before_it_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::open(dir.path()).unwrap();
    let (receipts, engine) = (Receipts::open(log.reader(), None).unwrap(), Arc::new(Engine::default()));
    let http = serve(limits(), |stopping| {
        let intake: Arc<dyn Intake> = engine.clone();
        let submissions = Submissions::new(Ok(intake), receipts.clone(), stopping.clone(), Bounds::DEFAULT);
        api::router(State { submissions, ..state(log.reader(), stopping) })
    });
    engine.is_overloaded.store(true, Ordering::SeqCst);

    // Its body never comes.
    let mut client = Client::connect(http.address());
    client.send("POST /v1/submit HTTP/1.1\r\nhost: localhost\r\ncontent-length: 900\r\n\r\n");
    let answer = client.answer();
    assert_eq!((answer.status, answer.problem_name().as_str()), (503, "overloaded"));
    assert_eq!(answer.header("retry-after"), "3");
    let problem = answer.problem();
    assert_eq!(
        (problem["limit"].as_u64(), problem["actual"].as_u64(), problem["unit"].as_str()),
        (Some(1_000), Some(3_300), Some("milliseconds"))
    );

    // A connection whose request came whole goes on.
    let mut client = Client::connect(http.address());
    let request = "POST /v1/submit?wait=checked HTTP/1.1\r\nhost: localhost\r\ncontent-length: 3\r\n\r\nabc";
    for _ in 0..3 {
        client.send(request);
        assert_eq!(client.answer().problem_name(), "overloaded");
    }
    assert_eq!(engine.calls.load(Ordering::SeqCst), 0);
    engine.is_overloaded.store(false, Ordering::SeqCst);
    client.send(request);
    assert_eq!(client.answer().status, 202);
    assert_eq!(engine.calls.load(Ordering::SeqCst), 1);
}
