//! Submitting, and receipts, over a real log and an engine that does what a test says.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use dseq::api::submit::{Bounds, Checked, Counted, HandedOver, Intake, Overload, Submissions};
use dseq::api::{self, Running, State};
use dseq::app::{Code, CommittedBlock, Refusal, TxResult};
use dseq::receipts::Receipts;
use dseq::sequence::{HashedRecord, Log, Staging};
use dseq::types::{AppHash, Fuel, Height, PipelineId, TxHash};
use futures_util::future::BoxFuture;
use serde_json::{Value, json};

use super::client::{Answer, Client};
use super::log::state;
use super::{limits, serve, until};

/// The longest transaction of these tests, in bytes.
const TX_BYTES_MAX: u64 = 1000;

/// An engine: what it answers, and what it was given.
struct Engine {
    checked: Mutex<Checked>,
    handed_over: Mutex<HandedOver>,
    taken: Mutex<Vec<Bytes>>,
    /// Once for each transaction that counts as waiting, beside the engine itself; and how many were decided.
    decided: Arc<AtomicUsize>,
}

/// A transaction that counts as waiting.
struct One(Arc<AtomicUsize>);

impl Counted for One {
    fn decided(self: Box<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Intake for Engine {
    fn tx_bytes_max(&self) -> Option<u64> {
        Some(TX_BYTES_MAX)
    }

    fn count(&self, _: &Bytes) -> Result<Box<dyn Counted>, Overload> {
        Ok(Box::new(One(Arc::clone(&self.decided))))
    }

    fn check(&self, _: Bytes) -> BoxFuture<'_, Checked> {
        let answer = self.checked.lock().unwrap().clone();
        Box::pin(async { answer })
    }

    fn hand_over(&self, tx: Bytes) -> BoxFuture<'_, HandedOver> {
        self.taken.lock().unwrap().push(tx);
        let answer = self.handed_over.lock().unwrap().clone();
        Box::pin(async { answer })
    }
}

struct Node {
    log: Log,
    receipts: Receipts,
    engine: Arc<Engine>,
    http: Running,
    _dir: tempfile::TempDir,
}

impl Node {
    fn new() -> Self {
        Self::within(Bounds { again_after: Duration::from_secs(600), ..Bounds::DEFAULT })
    }

    fn within(bounds: Bounds) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let log = Log::open(dir.path()).unwrap();
        let receipts = Receipts::open(log.reader(), None).unwrap();
        let engine = Arc::new(Engine {
            checked: Mutex::new(Checked::Accepted),
            handed_over: Mutex::new(HandedOver::Taken),
            taken: Mutex::default(),
            decided: Arc::default(),
        });
        let http = serve(limits(), |stopping| {
            let intake: Arc<dyn Intake> = engine.clone();
            let submissions = Submissions::new(Ok(intake), receipts.clone(), stopping.clone(), bounds);
            api::router(State { submissions, ..state(log.reader(), stopping) })
        });
        Self { log, receipts, engine, http, _dir: dir }
    }

    fn client(&self) -> Client {
        Client::connect(self.http.address())
    }

    fn submit(&self, query: &str, body: &str) -> Answer {
        let mut client = self.client();
        send(&mut client, query, body);
        client.answer()
    }

    fn get(&self, path: &str) -> Answer {
        self.client().get(path, "").answer()
    }

    fn receipt(&self, tx: &str) -> Answer {
        self.get(&format!("/v1/receipts/{}", hash(tx)))
    }

    fn engine_answers(&self, answer: HandedOver) {
        *self.engine.handed_over.lock().unwrap() = answer;
    }

    /// How many transactions count as waiting, and how many were decided.
    fn counted(&self) -> (usize, usize) {
        (Arc::strong_count(&self.engine.decided) - 1, self.engine.decided.load(Ordering::SeqCst))
    }

    /// How often the engine was given these bytes.
    fn given(&self, tx: &str) -> usize {
        self.engine.taken.lock().unwrap().iter().filter(|one| **one == tx.as_bytes()).count()
    }

    /// Commits a block of these records, as the app does.
    fn commit(&mut self, records: &[&str]) {
        let height = Height(self.log.head().height().0 + 1);
        let mut staging = Staging::begin(self.log.head(), height);
        let result = |record: &&str| {
            let (tx_hash, bytes) = (TxHash::of(record.as_bytes()), record.as_bytes().to_vec());
            let receipt = Ok(staging.push(tx_hash, &HashedRecord::of(bytes)).unwrap());
            TxResult { tx_hash, receipt, fuel: Fuel(0) }
        };
        let results = records.iter().map(result).collect();
        self.log.commit(&staging.finish(), AppHash::default(), PipelineId::default()).unwrap();
        let committed = self.log.reader().committed();
        self.receipts.take(&CommittedBlock { committed, results, conduct: Default::default() });
    }
}

fn send(client: &mut Client, query: &str, body: &str) {
    let length = body.len();
    client.send(format!(
        "POST /v1/submit{query} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\n\r\n{body}"
    ));
}

fn hash(tx: &str) -> String {
    TxHash::of(tx.as_bytes()).to_string()
}

fn json_of(answer: &Answer) -> Value {
    assert_eq!(answer.header("content-type"), "application/json", "{answer:?}");
    serde_json::from_slice(&answer.body).unwrap()
}

#[test]
fn who_submits_gets_the_receipt_once_the_record_is_committed() {
    let mut node = Node::new();
    node.commit(&["first"]);
    let mut client = node.client();
    send(&mut client, "", "second");
    until("given to the engine", || node.given("second") == 1);
    node.commit(&["else", "second"]);
    let answer = client.answer();
    assert_eq!(answer.status, 200, "{answer:?}");
    let receipt = json!({
        "index": 2, "offset": 9, "length": 6, "height": 2, "tx_hash": hash("second"),
        "blake3": blake3::hash(b"second").to_hex().as_str(),
    });
    let mut expected = receipt.clone();
    expected["state"] = "committed".into();
    expected["duplicate"] = false.into();
    assert_eq!(json_of(&answer), expected);
    // Every way to ask for it says the same.
    let of = |path: &str| json_of(&node.get(path))["receipts"].clone();
    for path in ["?index=2", "?offset=9", "?offset=14", "?from=2", "?from=2&limit=1"] {
        assert_eq!(of(&format!("/v1/receipts{path}")), json!([receipt]), "{path}");
    }
    let found = json_of(&node.receipt("second"));
    let expected =
        json!({ "tx_hash": hash("second"), "state": "committed", "receipts": [receipt], "complete": true });
    assert_eq!(found, expected);
}

#[test]
fn bytes_that_are_committed_are_not_given_to_the_engine_again() {
    let mut node = Node::new();
    node.commit(&["a", "b", "a"]);
    for query in ["", "?wait=checked"] {
        let answer = json_of(&node.submit(query, "a"));
        assert_eq!((&answer["state"], &answer["duplicate"]), (&"committed".into(), &true.into()));
        assert_eq!((&answer["index"], node.given("a")), (&0.into(), 0));
    }
    assert_eq!(json_of(&node.receipt("a"))["receipts"].as_array().unwrap().len(), 2);
}

#[test]
fn who_does_not_wait_is_told_where_to_ask() {
    let mut node = Node::new();
    for (query, tx) in [("?wait=none", "n"), ("?wait=checked", "c"), ("?timeout=0", "t")] {
        let answer = node.submit(query, tx);
        assert_eq!(
            (answer.status, answer.header("location")),
            (202, format!("/v1/receipts/{}", hash(tx)).as_str())
        );
        assert_eq!(json_of(&answer), json!({ "state": "pending", "tx_hash": hash(tx) }));
        // It goes on, whether or not anybody waits.
        until("given to the engine", || node.given(tx) == 1);
        assert_eq!(json_of(&node.receipt(tx)), json!({ "state": "pending", "tx_hash": hash(tx) }));
    }
    let mut client = node.client();
    client.get(&format!("/v1/receipts/{}?wait=60", hash("t")), "");
    node.commit(&["t"]);
    assert_eq!(json_of(&client.answer())["state"], "committed");
    let waited = node.get(&format!("/v1/receipts/{}?wait=0.01", hash("c")));
    assert_eq!(json_of(&waited)["state"], "pending");
}

#[test]
fn a_client_that_is_gone_changes_nothing_for_its_transaction() {
    let node = Node::new();
    let mut client = node.client();
    send(&mut client, "", "gone");
    drop(client);
    until("given to the engine", || node.given("gone") == 1);
}

#[test]
fn what_the_rules_refuse_is_rejected_at_once_and_stays_known() {
    let node = Node::new();
    let (code, codespace) = (7, "plugin/lines".to_owned());
    let refusal = Refusal { code, codespace, message: "no newline at the end".to_owned() };
    *node.engine.checked.lock().unwrap() = Checked::Refused(refusal);
    for _ in 0..2 {
        let answer = node.submit("", "bad");
        assert_eq!((answer.status, answer.problem_name().as_str()), (422, "rejected"));
        let problem = answer.problem();
        assert_eq!((&problem["plugin"], &problem["code"]), (&"lines".into(), &7.into()), "{problem}");
        assert_eq!(problem["codespace"], "plugin/lines");
        assert_eq!(
            (&problem["detail"], &problem["tx_hash"]),
            (&"no newline at the end".into(), &hash("bad").into())
        );
    }
    assert_eq!(node.given("bad"), 0);
    let known = json!({
        "tx_hash": hash("bad"), "state": "rejected", "plugin": "lines", "codespace": "plugin/lines", "code": 7,
        "detail": "no newline at the end",
    });
    assert_eq!(json_of(&node.receipt("bad")), known);
}

#[test]
fn what_the_engine_does_not_take_is_not_pending() {
    let node = Node::new();
    for (engine, name) in
        [(HandedOver::Full, "mempool-full"), (HandedOver::NotTaken("down".to_owned()), "not-ready")]
    {
        node.engine_answers(engine);
        let answer = node.submit("", name);
        assert_eq!((answer.status, answer.problem_name().as_str()), (503, name));
        assert!(answer.headers.contains_key("retry-after"), "{answer:?}");
        assert_eq!((&answer.problem()["retry"], node.receipt(name).status), (&true.into(), 404));
        assert_eq!(node.receipt(name).problem_name(), "unknown-transaction");
    }
    *node.engine.checked.lock().unwrap() = Checked::NotReady("disk".to_owned());
    assert_eq!(node.submit("", "x").problem_name(), "not-ready");
}

#[test]
fn a_full_mempool_may_hold_what_was_taken_before() {
    let node = Node::new();
    assert_eq!(node.submit("?wait=checked", "a").status, 202);
    node.engine_answers(HandedOver::Full);
    assert_eq!(node.submit("?wait=checked", "a").status, 202);
    assert_eq!(json_of(&node.receipt("a"))["state"], "pending");
}

#[test]
fn whoever_submits_the_same_bytes_meanwhile_waits_for_the_same_record() {
    let mut node = Node::new();
    let mut clients = [node.client(), node.client()];
    send(&mut clients[0], "", "twice");
    until("given to the engine", || node.given("twice") == 1);
    node.engine_answers(HandedOver::AlreadyKnown);
    send(&mut clients[1], "", "twice");
    until("given to the engine", || node.given("twice") == 2);
    node.commit(&["twice"]);
    let answers = clients.map(|mut client| json_of(&client.answer()));
    assert_eq!((&answers[0]["index"], &answers[1]), (&0.into(), &answers[0]));
}

#[test]
fn an_engine_without_an_answer_leaves_it_open() {
    let node = Node::new();
    node.engine_answers(HandedOver::NoAnswer("timeout".to_owned()));
    assert_eq!(node.submit("?timeout=0.05", "a").status, 202);
    assert_eq!(json_of(&node.receipt("a"))["state"], "pending");
}

#[test]
fn what_is_not_decided_for_long_is_given_to_the_engine_once_more() {
    let mut node = Node::within(Bounds { again_after: Duration::from_millis(300), ..Bounds::DEFAULT });
    let mut client = node.client();
    send(&mut client, "", "lost");
    until("given to the engine again", || node.given("lost") == 2);
    node.commit(&["lost"]);
    assert_eq!(json_of(&client.answer())["state"], "committed");
    // Once it is committed, it is not.
    std::thread::sleep(Duration::from_millis(400));
    assert_eq!(node.given("lost"), 2);
}

#[test]
fn bad_requests_are_refused_before_anything_happens() {
    let node = Node::new();
    for query in ["?wait=forever", "?timeout=61", "?timeout=-1", "?timeout=1&timeout=2", "?timout=1"] {
        let answer = node.submit(query, "x");
        assert_eq!((answer.status, answer.problem_name().as_str()), (400, "bad-parameter"), "{query}");
    }
    let long = "x".repeat(1001);
    let answer = node.submit("", &long);
    assert_eq!(
        (answer.status, &answer.problem()["limit"], &answer.problem()["actual"]),
        (413, &1000.into(), &1001.into())
    );
    // By the same rule as CheckTx.
    let problem = answer.problem();
    assert_eq!(
        (&problem["plugin"], &problem["codespace"], &problem["code"]),
        (&Value::Null, &"dseq".into(), &2.into())
    );
    assert_eq!(node.submit("?wait=checked", &long[1..]).status, 202);
    for path in ["abc", &"0".repeat(63), &"g".repeat(64)] {
        assert_eq!(node.get(&format!("/v1/receipts/{path}")).problem_name(), "bad-parameter", "{path}");
    }
    for query in ["", "?index=1&offset=1", "?index=x", "?from=0&limit=0", "?from=0&limit=4097", "?indx=1"] {
        assert_eq!(node.get(&format!("/v1/receipts{query}")).problem_name(), "bad-parameter", "{query}");
    }
}

#[test]
fn beyond_what_is_committed_is_said_with_what_there_is() {
    let mut node = Node::new();
    node.commit(&["ab", "c"]);
    node.commit(&[]);
    node.commit(&["d"]);
    for (query, actual) in [("?index=3", 3), ("?offset=4", 4), ("?height=4", 3), ("?from=4", 3)] {
        let answer = node.get(&format!("/v1/receipts{query}"));
        assert_eq!((answer.status, answer.problem_name().as_str()), (404, "not-committed"), "{query}");
        assert_eq!(answer.problem()["actual"], actual, "{query}");
    }
    let page = |query: &str| {
        let page = json_of(&node.get(&format!("/v1/receipts{query}")));
        let indexes: Vec<u64> =
            page["receipts"].as_array().unwrap().iter().map(|one| one["index"].as_u64().unwrap()).collect();
        (indexes, page["next"].as_u64())
    };
    assert_eq!(page("?height=1"), (vec![0, 1], None));
    assert_eq!(page("?height=1&limit=1"), (vec![0], Some(1)));
    assert_eq!(
        (page("?height=2"), page("?height=3"), page("?height=0")),
        ((vec![], None), (vec![2], None), (vec![], None))
    );
    assert_eq!((page("?from=0&limit=2"), page("?from=2&limit=2")), ((vec![0, 1], Some(2)), (vec![2], None)));
    assert_eq!(page("?from=3"), (vec![], None));
}

#[test]
fn more_than_may_wait_are_sent_away() {
    let node = Node::within(Bounds { requests_max: 2, ..Bounds::DEFAULT });
    let mut clients = [node.client(), node.client()];
    send(&mut clients[0], "", "a");
    clients[1].get(&format!("/v1/receipts/{}?wait=60", hash("b")), "");
    until("both wait", || node.given("a") == 1 && node.submit("?timeout=0", "c").status == 503);
    let answer = node.submit("", "c");
    assert_eq!(
        (answer.problem_name().as_str(), answer.header("connection")),
        ("too-many-submissions", "close")
    );
    drop(clients);
    until("they are gone", || node.submit("?timeout=0", "d").status == 202);
    let node = Node::within(Bounds { body_bytes_max: 4500, ..Bounds::DEFAULT });
    assert_eq!(node.submit("?timeout=0", &"x".repeat(500)).problem_name(), "too-many-submissions");
    assert_eq!(node.submit("?timeout=0", "x").status, 202);
}

#[test]
fn bodies_take_memory_as_they_come_and_not_when_they_are_announced() {
    let node = Node::within(Bounds { body_bytes_max: 40_000, ..Bounds::DEFAULT });
    let head =
        "POST /v1/submit/batch HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/octet-stream\r\n";
    let mut announced: Vec<Client> = (0..4).map(|_| node.client()).collect();
    for client in &mut announced {
        client.send(format!("{head}expect: 100-continue\r\ncontent-length: 20000\r\n\r\n"));
        assert_eq!(client.head().0, 100, "its body is waited for");
    }
    assert_eq!(node.submit("?timeout=0", "x").status, 202);
    // What can't be in memory now is refused before it comes, and what turns out to be too much, while it does.
    let mut large = node.client();
    large.send(format!("{head}content-length: 25000\r\n\r\n"));
    assert_eq!(large.answer().problem_name(), "too-many-submissions");
    let mut chunked = node.client();
    chunked.send(format!("{head}transfer-encoding: chunked\r\n\r\n"));
    for _ in 0..25 {
        chunked.send(format!("3e8\r\n{}\r\n", "\0".repeat(1000)));
    }
    assert_eq!(chunked.answer().problem_name(), "too-many-submissions");
    drop(announced);
    until("they are gone", || {
        let mut large = node.client();
        send_batch(&mut large, "?wait=none", "application/octet-stream", &[b'\xff'; 25_000]);
        large.answer().status == 400
    });
}

#[test]
fn a_batch_of_more_transactions_than_there_is_memory_for_is_refused_whole() {
    let node = Node::within(Bounds { body_bytes_max: 12 * 4096, ..Bounds::DEFAULT });
    let send = |txs: usize| {
        let mut client = node.client();
        send_batch(&mut client, "?wait=none", "application/octet-stream", &[1, 0, 0, 0, b'x'].repeat(txs));
        client.answer()
    };
    assert_eq!(send(12).problem_name(), "too-many-submissions");
    assert_eq!(node.given("x"), 0);
    assert_eq!(send(10).status, 200, "what was refused gives its room back");
}

fn send_batch(client: &mut Client, query: &str, of: &str, body: &[u8]) {
    let length = body.len();
    client.send(format!(
        "POST /v1/submit/batch{query} HTTP/1.1\r\nhost: localhost\r\ncontent-type: {of}\r\nconnection: close\r\n\
         content-length: {length}\r\n\r\n"
    ));
    client.send(body);
}

/// The lines of an answer in chunks, whose sizes are lines of their own.
fn lines(client: Client) -> Vec<Value> {
    let (bytes, _) = client.rest();
    let text = String::from_utf8(bytes).unwrap();
    text.lines()
        .filter(|line| line.starts_with('{'))
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn a_batch_is_answered_in_its_order_line_by_line() {
    let mut node = Node::new();
    node.commit(&["old"]);
    let long = "x".repeat(1001);
    let body =
        format!("{{\"text\":\"a\"}}\n{{\"data\":\"Yg==\"}}\n{{\"text\":\"old\"}}\n{{\"text\":\"{long}\"}}\n");
    let frames: Vec<u8> = ["a", "b", "old", &long]
        .iter()
        .flat_map(|tx| [&u32::try_from(tx.len()).unwrap().to_le_bytes()[..], tx.as_bytes()].concat())
        .collect();
    let mut clients = [node.client(), node.client()];
    send_batch(&mut clients[0], "", "application/x-ndjson", body.as_bytes());
    send_batch(&mut clients[1], "", "application/octet-stream", &frames);
    until("given to the engine", || node.given("a") == 2 && node.given("b") == 2);
    node.commit(&["b", "a"]);
    for mut client in clients {
        let (status, headers) = client.head();
        assert_eq!((status, headers["content-type"].as_str()), (200, "application/x-ndjson"));
        let lines = lines(client);
        let states: Vec<_> = lines.iter().map(|line| line["state"].as_str().unwrap()).collect();
        assert_eq!(states, ["committed", "committed", "committed", "rejected"]);
        let indexes: Vec<_> = lines[..3].iter().map(|line| line["index"].as_u64().unwrap()).collect();
        assert_eq!((indexes, &lines[2]["duplicate"]), (vec![2, 1, 0], &true.into()));
        assert_eq!(
            (&lines[3]["problem"]["status"], &lines[3]["tx_hash"]),
            (&413.into(), &hash(&long).into())
        );
        let problem = &lines[3]["problem"];
        assert_eq!((&problem["codespace"], &problem["code"]), (&"dseq".into(), &2.into()), "{problem}");
    }
}

#[test]
fn what_a_batch_was_rejected_for_stands_in_its_line() {
    let node = Node::new();
    let refusal = Refusal { code: 3, codespace: "plugin/p".to_owned(), message: "no".to_owned() };
    *node.engine.checked.lock().unwrap() = Checked::Refused(refusal);
    let mut client = node.client();
    send_batch(&mut client, "", "application/x-ndjson", b"{\"text\":\"a\"}");
    assert_eq!(client.head().0, 200);
    let lines = lines(client);
    assert_eq!((&lines[0]["state"], &lines[0]["problem"]["plugin"]), (&"rejected".into(), &"p".into()));
}

#[test]
fn a_batch_with_an_error_in_it_changes_nothing() {
    let node = Node::new();
    let mut client = node.client();
    send_batch(&mut client, "", "application/x-ndjson", b"{\"text\":\"a\"}\n{\"text\":\n");
    let answer = client.answer();
    assert_eq!((answer.status, answer.problem_name().as_str()), (400, "bad-batch"));
    assert!(answer.problem()["detail"].as_str().unwrap().starts_with("line 2, column "), "{answer:?}");
    let mut client = node.client();
    send_batch(&mut client, "", "text/plain", b"a");
    assert_eq!(client.answer().problem_name(), "unsupported-media-type");
    let mut client = node.client();
    client.send(
        "POST /v1/submit/batch HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/octet-stream\r\n",
    );
    assert_eq!(client.send("content-length: 99999999\r\n\r\n").answer().problem_name(), "body-too-large");
    assert_eq!(node.given("a"), 0);
}

/// `WAITING=10000` makes it ten thousand, for which the process needs twice as many descriptors.
#[test]
fn a_thousand_requests_wait_at_once_and_each_gets_its_own_receipt() {
    let count: usize = std::env::var("WAITING").map_or(1000, |count| count.parse().unwrap());
    let mut node = Node::new();
    let txs: Vec<String> = (0..count).map(|number| format!("tx {number}")).collect();
    let mut clients: Vec<Client> = txs
        .iter()
        .map(|tx| {
            let mut client = node.client();
            send(&mut client, "?timeout=60", tx);
            client
        })
        .collect();
    until("all given to the engine", || node.engine.taken.lock().unwrap().len() == count);
    let began = std::time::Instant::now();
    node.commit(&txs.iter().map(String::as_str).collect::<Vec<_>>());
    for (number, (client, tx)) in clients.iter_mut().zip(&txs).enumerate() {
        let answer = json_of(&client.answer());
        assert_eq!((&answer["index"], &answer["tx_hash"]), (&number.into(), &hash(tx).into()));
    }
    eprintln!("{count} waiting requests answered {:?} after the commit began", began.elapsed());
}

#[test]
fn only_what_a_block_brought_counts_as_decided() {
    // Whether or not its bytes are kept.
    for kept_bytes_max in [0, 1 << 20] {
        let bounds = Bounds { kept_bytes_max, ..Bounds::DEFAULT };
        let mut node = Node::within(Bounds { again_after: Duration::from_secs(600), ..bounds });
        for tx in ["committed", "refused"] {
            assert_eq!(node.submit("?wait=checked", tx).status, 202);
        }
        assert_eq!(node.counted(), (2, 0));
        node.commit(&["committed"]);
        let refused = Refusal::by_host(Code::TxTooLarge, "in a block".to_owned());
        node.receipts.refuse(TxHash::of(b"refused"), &refused);
        until("none waits", || node.counted() == (0, 1));

        let node = Node::within(Bounds { again_after: Duration::from_millis(50), ..bounds });
        assert_eq!(node.submit("?wait=checked", "forgotten").status, 202);
        until("it does not wait any more", || node.counted() == (0, 0));
        let times = if kept_bytes_max == 0 { 1 } else { 2 };
        until("handed over again, or not", || node.given("forgotten") == times);
    }
}
