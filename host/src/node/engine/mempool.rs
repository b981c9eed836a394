//! Hands transactions to CometBFT's mempool, over its RPC.
//!
//! By `broadcast_tx_async`: it answers before CometBFT has asked the app about the transaction, for which it lets up to 1 ms
//! pass in our build, and the pipeline has been asked already. `broadcast_tx_commit` serves 100 callers at most, and is not used.
//!
//! What CometBFT took may still get lost: it looks once more whether its mempool is full when the app has answered, and then
//! drops the transaction without a word. The same bytes can be handed over again, since it takes what it has only once.

use std::time::{Duration, Instant};

use bytes::Bytes;
use serde::Deserialize;

use super::connection::{CallError, Pool};
use crate::api::submit::HandedOver;
use crate::excerpt::words;
use crate::node::address::Address;

/// Maximum number of connections to CometBFT, which takes 900 in all. A call takes a fraction of a millisecond, and all of
/// them wait while CometBFT updates its mempool after a block.
const CONNECTIONS_MAX: usize = 64;
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
    pool: Pool,
}

#[derive(Deserialize)]
struct Answer {
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
        Self { pool: Pool::new(rpc, CONNECTIONS_MAX) }
    }

    /// Hands a transaction over.
    pub(crate) async fn hand_over(&self, tx: &[u8]) -> HandedOver {
        let body = Bytes::from(format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"broadcast_tx_async","params":{{"tx":"{}"}}}}"#,
            data_encoding::BASE64.encode(tx)
        ));
        let deadline = Instant::now() + PATIENCE;
        let mut tried = 0;
        loop {
            tried += 1;
            let posted = match self.pool.lease(deadline).await {
                Ok(lease) => lease.post(body.clone(), ANSWER_BYTES_MAX, deadline).await,
                Err(error) => Err(error),
            };
            match posted {
                Ok((_, answer)) => return read(&answer),
                Err(CallError::NotSent(_)) if tried < TRIES => {}
                Err(CallError::NotSent(why)) => {
                    let rpc = self.pool.address();
                    return HandedOver::NotTaken(format!(
                        "the consensus engine does not answer at {rpc}: {why}"
                    ));
                }
                Err(CallError::NoAnswer(why)) => return HandedOver::NoAnswer(why),
            }
        }
    }
}

fn read(answer: &[u8]) -> HandedOver {
    let fault = match serde_json::from_slice(answer) {
        Ok(Answer { error: Some(fault), .. }) => fault,
        Ok(Answer { result: Some(_), .. }) => return HandedOver::Taken,
        _ => {
            let said = words(&String::from_utf8_lossy(answer).trim());
            return HandedOver::NotTaken(format!("the consensus engine answered {said}"));
        }
    };
    let Fault { message, data } = fault;
    let why = if data.is_empty() { message } else { data };
    if why.contains(ALREADY_KNOWN) {
        HandedOver::AlreadyKnown
    } else if FULL.iter().any(|full| why.contains(full)) {
        HandedOver::Full
    } else {
        HandedOver::NotTaken(format!("the consensus engine did not take the transaction: {}", words(&why)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cometbfts_words_are_understood() {
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
}
