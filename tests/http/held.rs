//! What keeps a submission from the engine: an index that cannot tell yet, a batch that has enough on its way, and too many on their
//! way from all requests together.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use dseq::api::submit::{Bounds, Checked, Counted, HandedOver, Intake, Overload, Submissions};
use dseq::api::{self, Running, State};
use dseq::app::{Code, Refusal};
use dseq::receipts::Receipts;
use dseq::sequence::{HashedRecord, Log, Staging};
use dseq::types::{AppHash, Height, PipelineId, TxHash};
use futures_util::future::BoxFuture;
use serde_json::Value;
use tokio::sync::Semaphore;

use super::client::{Answer, Client};
use super::log::state;
use super::{limits, serve, until};

/// An engine that takes as many transactions as there are permits, before which so many may wait.
struct Engine {
    taken: Mutex<Vec<Bytes>>,
    asked: AtomicUsize,
    permits: Semaphore,
    /// Once for each that counts, beside the engine itself; and how many of them it has.
    counted: Arc<AtomicUsize>,
    counted_max: AtomicUsize,
}

impl Engine {
    fn with(permits: usize) -> Arc<Self> {
        let (taken, asked) = (Mutex::default(), AtomicUsize::new(0));
        let (permits, counted_max) = (Semaphore::new(permits), AtomicUsize::new(usize::MAX));
        Arc::new(Self { taken, asked, permits, counted: Arc::default(), counted_max })
    }

    fn counted(&self) -> usize {
        Arc::strong_count(&self.counted) - 1
    }

    fn had(&self) -> usize {
        self.counted.load(Ordering::SeqCst)
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

/// One that counts.
struct One(Arc<AtomicUsize>);

impl Counted for One {
    fn handed_over(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Intake for Engine {
    fn tx_bytes_max(&self) -> Option<u64> {
        Some(1000)
    }

    fn count(&self, _: &Bytes) -> Result<Box<dyn Counted>, Overload> {
        let (wait, wait_max) = (Duration::from_secs(3), Duration::from_secs(1));
        if self.counted() >= self.counted_max.load(Ordering::SeqCst) {
            return Err(Overload { wait, wait_max });
        }
        Ok(Box::new(One(Arc::clone(&self.counted))))
    }

    fn check(&self, tx: Bytes) -> BoxFuture<'_, Checked> {
        let refused = Refusal::by_host(Code::TxTooLarge, "bad".to_owned());
        Box::pin(
            async move { if tx.starts_with(b"bad") { Checked::Refused(refused) } else { Checked::Accepted } },
        )
    }

    fn hand_over(&self, tx: Bytes) -> BoxFuture<'_, HandedOver> {
        Box::pin(async {
            self.asked.fetch_add(1, Ordering::SeqCst);
            self.permits.acquire().await.unwrap().forget();
            self.taken.lock().unwrap().push(tx);
            HandedOver::Taken
        })
    }
}

/// A log of so many records, each of which is its index in digits, and a node that knew nothing of it when it started.
struct Node {
    engine: Arc<Engine>,
    receipts: Receipts,
    http: Running,
    _log: Log,
    dir: tempfile::TempDir,
}

impl Node {
    fn new(records: u64, permits: usize, index: impl FnOnce(PathBuf) -> Option<PathBuf>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut log = Log::open(&dir.path().join("sequence")).unwrap();
        if records > 0 {
            let mut staging = Staging::begin(log.head(), Height(1));
            for record in 0..records {
                let record = record.to_string();
                staging.push(TxHash::of(record.as_bytes()), &HashedRecord::of(record.into_bytes())).unwrap();
            }
            log.commit(&staging.finish(), AppHash::default(), PipelineId::default()).unwrap();
        }
        let receipts = Receipts::open(log.reader(), index(dir.path().join("index/receipts.redb"))).unwrap();
        let engine = Engine::with(permits);
        let http = serve(limits(), |stopping| {
            let intake: Arc<dyn Intake> = engine.clone();
            let bounds = Bounds { again_after: Duration::from_secs(600), ..Bounds::DEFAULT };
            let submissions = Submissions::new(Ok(intake), receipts.clone(), stopping.clone(), bounds);
            api::router(State { submissions, ..state(log.reader(), stopping) })
        });
        Self { engine, receipts, http, _log: log, dir }
    }

    fn connect(&self) -> Client {
        Client::connect(self.http.address())
    }

    fn submit(&self, query: &str, body: &str) -> Answer {
        let length = body.len();
        let head =
            format!("POST /v1/submit{query} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\n\r\n");
        self.connect().send(head + body).answer()
    }

    fn receipt(&self, tx: &str) -> Answer {
        self.connect().get(&format!("/v1/receipts/{}", TxHash::of(tx.as_bytes())), "").answer()
    }
}

fn json_of(answer: &Answer) -> Value {
    serde_json::from_slice(&answer.body).unwrap()
}

/// More than a look-up without an index reads through.
const RECORDS: u64 = (64 << 10) + 1000;

#[test]
fn bytes_that_may_be_committed_are_not_given_to_the_engine_while_the_index_cannot_tell() {
    let node = Node::new(RECORDS, 1000, |_| None);
    // Of the first record and of none it is not known, of the last one it is.
    for tx in ["5", "none of them"] {
        for query in ["", "?wait=checked", "?timeout=0.5"] {
            let answer = node.submit(query, tx);
            assert_eq!(
                (answer.status, answer.problem_name().as_str()),
                (503, "index-building"),
                "{tx} {query}"
            );
            assert!(answer.headers.contains_key("retry-after"), "{answer:?}");
        }
        assert_eq!(node.receipt(tx).problem_name(), "index-building");
    }
    let last = (RECORDS - 1).to_string();
    let answer = json_of(&node.submit("", &last));
    assert_eq!((&answer["index"], &answer["duplicate"]), (&(RECORDS - 1).into(), &true.into()));
    // Nobody waits for it: it is not given to the engine either, and is not said to be on its way.
    assert_eq!(node.submit("?wait=none", "5").status, 202);
    until("given up", || node.receipt("5").status == 503);
    assert_eq!(node.engine.asked(), 0);

    let node = Node::new(RECORDS, 1000, Some);
    until("built", || node.receipts.indexed() == RECORDS);
    assert!(node.dir.path().join("index/receipts.redb").is_file());
    let answer = json_of(&node.submit("", "5"));
    assert_eq!((&answer["index"], &answer["duplicate"]), (&5.into(), &true.into()));
    assert_eq!((node.submit("?wait=checked", "none of them").status, node.engine.asked()), (202, 1));
}

#[test]
fn no_more_of_a_batch_than_a_thousand_or_so_are_on_their_way_though_nobody_waits_for_them() {
    const COUNT: usize = 3000;
    /// As docs/submit.md says.
    const AT_ONCE: usize = 1024;
    let node = Node::new(0, 0, |_| None);
    let body: String = (0..COUNT).map(|number| format!("{{\"text\":\"{number}\"}}\n")).collect();
    let length = body.len();
    let mut client = node.connect();
    client.send(format!(
        "POST /v1/submit/batch?wait=none HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-ndjson\r\n\
         connection: close\r\ncontent-length: {length}\r\n\r\n{body}"
    ));
    until("as many as may be", || node.engine.asked() >= AT_ONCE);
    // Those beyond them would come at once.
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(node.engine.asked(), AT_ONCE);
    node.engine.permits.add_permits(1);
    until("one more", || node.engine.asked() == AT_ONCE + 1);
    node.engine.permits.add_permits(COUNT - 1);
    let answer = client.answer();
    assert_eq!((answer.status, answer.text().lines().count()), (200, COUNT));
    until("all taken", || node.engine.taken.lock().unwrap().len() == COUNT);
}

#[test]
fn small_batches_are_on_their_way_together() {
    const BATCHES: usize = 64;
    let node = Node::new(0, 0, |_| None);
    let send = |number| {
        let body = format!("{{\"text\":\"{number}\"}}\n{{\"text\":\"{number} too\"}}\n");
        let length = body.len();
        let mut client = node.connect();
        client.send(format!(
            "POST /v1/submit/batch?wait=checked HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-ndjson\r\n\
             connection: close\r\ncontent-length: {length}\r\n\r\n{body}"
        ));
        client
    };
    let clients: Vec<Client> = (0..BATCHES).map(send).collect();
    until("all are given to the engine", || node.engine.asked() == 2 * BATCHES);
    node.engine.permits.add_permits(2 * BATCHES);
    for mut client in clients {
        assert_eq!(client.answer().status, 200);
    }
}

#[test]
fn a_transaction_counts_from_when_it_is_taken_until_it_is_decided() {
    let node = Node::new(0, 0, |_| None);
    node.engine.counted_max.store(2, Ordering::SeqCst);
    let body: String = ["1", "2", "3", "4"].map(|tx| format!("{{\"text\":\"{tx}\"}}\n")).concat();
    let mut batch = node.connect();
    batch.send(format!(
        "POST /v1/submit/batch?wait=checked HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-ndjson\r\n\
         connection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    ));
    until("as many as may be", || node.engine.asked() == 2);
    assert_eq!((node.engine.counted(), node.engine.had()), (2, 0), "the engine has not answered");
    let refused = node.submit("?wait=checked", "5");
    assert_eq!((refused.status, refused.problem_name().as_str()), (503, "overloaded"));
    node.engine.permits.add_permits(10);
    let answer = batch.answer();
    let lines: Vec<Value> = answer.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let states: Vec<&str> = lines.iter().map(|line| line["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["pending", "pending", "failed", "failed"]);
    assert_eq!(lines[3]["problem"]["type"], "urn:dseq:problem:overloaded");
    until("the engine has both", || node.engine.had() == 2);
    assert_eq!(node.engine.counted(), 2);
    assert_eq!(node.submit("?wait=checked", "5").status, 503);
    node.receipts.refuse(TxHash::of(b"1"), &Refusal::by_host(Code::TxTooLarge, "decided".to_owned()));
    until("one is decided", || node.engine.counted() == 1);
    assert_eq!(node.submit("?wait=checked", "bad").status, 422);
    until("what is refused does not count", || node.engine.counted() == 1);
    assert_eq!((node.submit("?wait=checked", "5").status, node.engine.counted()), (202, 2));
}
