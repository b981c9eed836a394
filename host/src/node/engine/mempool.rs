//! Hands transactions to CometBFT's mempool, over its RPC.
//!
//! By `broadcast_tx_async`: it answers before CometBFT has asked the app about the transaction, for which it lets up to 20 ms
//! pass, and the pipeline has been asked already. `broadcast_tx_commit` serves 100 callers at most, and is not used.
//!
//! One that comes alone is sent at once. Those that come while all connections are in use wait in a queue, and the next
//! connection that is free takes many of them in one request (a batch of JSON-RPC), which costs CometBFT much less than a request
//! for each.
//!
//! What CometBFT took may still get lost: it looks once more whether its mempool is full when the app has answered, and then
//! drops the transaction without a word. The same bytes can be handed over again, since it takes what it has only once.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde::Deserialize;
use tokio::sync::oneshot;

use super::connection::{CallError, Permit, Pool};
use crate::api::submit::HandedOver;
use crate::excerpt::words;
use crate::node::address::Address;

/// Maximum number of connections to CometBFT: a few, so that what comes together is sent together. A call takes a fraction of a
/// millisecond, and all of them wait while CometBFT updates its mempool after a block.
const CONNECTIONS_MAX: usize = 4;
/// Maximum number of transactions in one request: CometBFT's default `rpc.max_request_batch_size`, beyond which it refuses the whole
/// request. It works them off one after the other.
const BATCH_LEN_MAX: usize = 10;
/// A batch takes no more transactions once they have this many bytes, in base64. What follows from the largest transaction is
/// below what CometBFT takes as a request (`rpc.max_body_bytes`, above twice that).
const BATCH_BYTES_MAX: usize = 256 << 10;
/// How long a transaction may wait for a connection and for CometBFT's answer. A mempool under load is locked for seconds.
const PATIENCE: Duration = Duration::from_secs(20);
/// Maximum size of an answer, in bytes; it has no transaction in it.
const ANSWER_BYTES_MAX: usize = 1 << 20;
/// How often a request is tried again that was certainly not sent, because CometBFT had closed an idle connection.
const TRIES: usize = 3;

/// What CometBFT (0.38 and 0.39) says when it did not take a transaction; `mempool/errors.go` has the words.
const ALREADY_KNOWN: &str = "tx already exists in cache";
const FULL: [&str; 2] = ["mempool is full", "mempool is still rechecking"];

/// The mempool of one CometBFT.
pub(crate) struct Mempool {
    queue: Arc<Queue>,
}

/// Transactions on their way, and the connections that take them.
///
/// For each transaction in it there is a task that will take at least the oldest one.
struct Queue {
    pool: Pool,
    waiting: Mutex<VecDeque<Waiting>>,
}

/// A transaction that no connection has taken yet.
struct Waiting {
    base64: String,
    answer: oneshot::Sender<HandedOver>,
}

#[derive(Deserialize)]
struct Answer {
    id: Option<usize>,
    error: Option<Fault>,
    result: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct Fault {
    #[serde(default)]
    message: String,
    #[serde(default)]
    data: String,
}

impl Mempool {
    /// Of the CometBFT whose RPC listens there. Connects when there is something to hand over.
    pub(crate) fn at(rpc: Address) -> Self {
        let pool = Pool::new(rpc, CONNECTIONS_MAX);
        Self { queue: Arc::new(Queue { pool, waiting: Mutex::default() }) }
    }

    /// Hands a transaction over. It is on its way even if nobody waits for the answer.
    pub(crate) async fn hand_over(&self, tx: &[u8]) -> HandedOver {
        let (answer, answered) = oneshot::channel();
        self.queue.waiting().push_back(Waiting { base64: data_encoding::BASE64.encode(tx), answer });
        tokio::spawn(Arc::clone(&self.queue).send_oldest(Instant::now() + PATIENCE));
        answered.await.unwrap_or_else(|_| HandedOver::NoAnswer("this node is stopping".to_owned()))
    }
}

impl Queue {
    fn waiting(&self) -> MutexGuard<'_, VecDeque<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends the oldest transactions once there is a connection; none if others took them meanwhile.
    async fn send_oldest(self: Arc<Self>, deadline: Instant) {
        let permit = self.pool.permit(deadline).await;
        let batch = if permit.is_ok() { self.take(BATCH_LEN_MAX) } else { self.take(1) };
        if batch.is_empty() {
            return;
        }
        let outcomes = match permit {
            Ok(permit) => self.send(permit, &batch, deadline).await,
            Err(error) => self.failed(&error, batch.len()),
        };
        for (waiting, outcome) in batch.into_iter().zip(outcomes) {
            // Whoever submitted it may be gone.
            let _ = waiting.answer.send(outcome);
        }
    }

    fn take(&self, len_max: usize) -> Vec<Waiting> {
        let (mut batch, mut bytes, mut waiting) = (Vec::new(), 0, self.waiting());
        while batch.len() < len_max && bytes < BATCH_BYTES_MAX {
            let Some(next) = waiting.pop_front() else { break };
            bytes += next.base64.len();
            batch.push(next);
        }
        batch
    }

    /// One outcome for each.
    async fn send(&self, permit: Permit<'_>, batch: &[Waiting], deadline: Instant) -> Vec<HandedOver> {
        let body = Bytes::from(request(batch));
        let mut connection = self.pool.connection(permit, deadline).await;
        for tried in 1.. {
            let posted = match connection {
                Ok(lease) => lease.post(body.clone(), ANSWER_BYTES_MAX, deadline).await,
                Err(error) => Err(error),
            };
            match posted {
                Ok((_, answer)) => return read_all(&answer, batch.len()),
                Err(CallError::NotSent(_)) if tried < TRIES => {}
                Err(error) => return self.failed(&error, batch.len()),
            }
            connection = self.pool.lease(deadline).await;
        }
        unreachable!("the last try returns")
    }

    fn failed(&self, error: &CallError, count: usize) -> Vec<HandedOver> {
        let rpc = self.pool.address();
        let outcome = match error {
            CallError::NotSent(why) => {
                HandedOver::NotTaken(format!("the consensus engine does not answer at {rpc}: {why}"))
            }
            CallError::NoAnswer(why) => HandedOver::NoAnswer(why.clone()),
        };
        vec![outcome; count]
    }
}

/// A request, or a batch of them, each with its place as its id.
fn request(batch: &[Waiting]) -> String {
    let call = |(id, waiting): (usize, &Waiting)| {
        let tx = &waiting.base64;
        format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"broadcast_tx_async","params":{{"tx":"{tx}"}}}}"#)
    };
    let calls: Vec<_> = batch.iter().enumerate().map(call).collect();
    match calls.as_slice() {
        [one] => one.clone(),
        many => format!("[{}]", many.join(",")),
    }
}

/// What became of each transaction of a request.
fn read_all(answer: &[u8], count: usize) -> Vec<HandedOver> {
    let Ok(answers) = serde_json::from_slice::<Vec<Answer>>(answer) else {
        // Of one transaction, or about the request as a whole.
        let outcome = match serde_json::from_slice(answer) {
            Ok(one) => read(one),
            Err(_) => None,
        };
        let said = || words(&String::from_utf8_lossy(answer).trim());
        let unreadable = || HandedOver::NotTaken(format!("the consensus engine answered {}", said()));
        return vec![outcome.unwrap_or_else(unreadable); count];
    };
    let mut outcomes = vec![HandedOver::NoAnswer("the consensus engine did not say".to_owned()); count];
    for answer in answers {
        let Some(place) = answer.id.and_then(|id| outcomes.get_mut(id)) else { continue };
        if let Some(outcome) = read(answer) {
            *place = outcome;
        }
    }
    outcomes
}

/// `None` if it is no answer at all.
fn read(answer: Answer) -> Option<HandedOver> {
    let Some(Fault { message, data }) = answer.error else {
        return answer.result.map(|_| HandedOver::Taken);
    };
    let why = if data.is_empty() { message } else { data };
    Some(if why.contains(ALREADY_KNOWN) {
        HandedOver::AlreadyKnown
    } else if FULL.iter().any(|full| why.contains(full)) {
        HandedOver::Full
    } else {
        HandedOver::NotTaken(format!("the consensus engine did not take the transaction: {}", words(&why)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cometbfts_words_are_understood() {
        let read = |answer: &[u8]| read_all(answer, 1).remove(0);
        let error = |data: &str| {
            let fault = serde_json::json!({ "code": -32603, "message": "Internal error", "data": data });
            read(serde_json::json!({ "jsonrpc": "2.0", "id": 1, "error": fault }).to_string().as_bytes())
        };
        assert_eq!(error("tx already exists in cache"), HandedOver::AlreadyKnown);
        assert_eq!(
            error("mempool is full: number of txs 5000 (max: 5000), total txs bytes 7 (max: 9)"),
            HandedOver::Full
        );
        let not_taken = |data: &str| matches!(error(data), HandedOver::NotTaken(why) if why.contains(data));
        assert!(not_taken("endpoint is closed while node is catching up"));
        assert!(not_taken("Tx too large. Max size is 10, but got 11"));
        assert!(matches!(read(b"<html>"), HandedOver::NotTaken(why) if why.contains("<html>")));
        assert_eq!(read(br#"{"jsonrpc":"2.0","id":1,"result":{"code":0,"hash":"AB"}}"#), HandedOver::Taken);
    }

    #[test]
    fn each_transaction_of_a_batch_has_its_own_outcome() {
        let answer = br#"[{"id":2,"result":{"code":0}},
            {"id":0,"error":{"code":-32603,"message":"Internal error","data":"tx already exists in cache"}},
            {"id":7,"result":{}}, {"id":1,"error":{"code":-32603,"message":"Internal error","data":"mempool is full"}}]"#;
        let silent = HandedOver::NoAnswer("the consensus engine did not say".to_owned());
        let expected = [HandedOver::AlreadyKnown, HandedOver::Full, HandedOver::Taken, silent];
        assert_eq!(read_all(answer, 4), expected);
        // An error that is about all of them.
        let whole = br#"{"jsonrpc":"2.0","id":-1,"error":{"code":-32600,"message":"Invalid Request","data":"too large"}}"#;
        let all = read_all(whole, 2);
        assert!(
            all.iter().all(|one| matches!(one, HandedOver::NotTaken(why) if why.contains("too large"))),
            "{all:?}"
        );
        assert_eq!(all.len(), 2);
    }

    /// A CometBFT that takes each transaction, and how many were in each request.
    fn engine() -> (Address, std::sync::mpsc::Receiver<usize>) {
        use std::io::{BufRead as _, BufReader, Read as _, Write as _};
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = Address { host: "127.0.0.1".to_owned(), port: listener.local_addr().unwrap().port() };
        let (lens, seen) = std::sync::mpsc::channel();
        let serve = move |stream: std::net::TcpStream| {
            let lens = lens.clone();
            std::thread::spawn(move || {
                let mut stream = BufReader::new(stream);
                loop {
                    let (mut line, mut len) = (String::new(), 0);
                    while stream.read_line(&mut line).is_ok_and(|bytes| bytes > 2) {
                        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                            len = value.trim().parse().unwrap();
                        }
                        line.clear();
                    }
                    let mut body = vec![0; len];
                    if len == 0 || stream.read_exact(&mut body).is_err() {
                        return;
                    }
                    let calls: serde_json::Value = serde_json::from_slice(&body).unwrap();
                    let ids: Vec<_> = match calls.as_array() {
                        Some(calls) => calls.iter().map(|call| call["id"].clone()).collect(),
                        None => vec![calls["id"].clone()],
                    };
                    lens.send(ids.len()).unwrap();
                    let answers: Vec<_> = ids
                        .iter()
                        .map(|id| serde_json::json!({ "id": id, "result": { "code": 0 } }))
                        .collect();
                    let answer = serde_json::to_string(&answers).unwrap();
                    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", answer.len());
                    stream.get_mut().write_all(format!("{head}{answer}").as_bytes()).unwrap();
                }
            });
        };
        std::thread::spawn(move || listener.incoming().for_each(|stream| serve(stream.unwrap())));
        (address, seen)
    }

    #[test]
    fn what_waits_together_is_sent_together() {
        let (address, seen) = engine();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (count, mempool) = (2 * BATCH_LEN_MAX + 3, Mempool::at(address));
        let lens = runtime.block_on(async move {
            let all: Vec<_> = (0..count).map(usize::to_le_bytes).collect();
            let all = futures_util::future::join_all(all.iter().map(|tx| mempool.hand_over(tx)));
            let outcomes = all.await;
            assert_eq!(outcomes, vec![HandedOver::Taken; count]);
            seen.try_iter().collect::<Vec<_>>()
        });
        assert_eq!(lens.iter().sum::<usize>(), count, "each once");
        assert_eq!(lens.iter().max(), Some(&BATCH_LEN_MAX), "{lens:?}");
    }

    #[test]
    fn without_an_engine_each_is_told_where_it_was_looked_for() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mempool = Mempool::at(Address { host: "127.0.0.1".to_owned(), port: free.port() });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let all = (0u8..9).map(|n| [n]).collect::<Vec<_>>();
        let outcomes =
            runtime.block_on(futures_util::future::join_all(all.iter().map(|tx| mempool.hand_over(tx))));
        let expected = format!("the consensus engine does not answer at {free}: cannot connect");
        assert_eq!(outcomes.len(), 9);
        assert!(
            outcomes.iter().all(|one| matches!(one, HandedOver::NotTaken(why) if why.starts_with(&expected))),
            "{outcomes:?}"
        );
    }
}
