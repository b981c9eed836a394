//! One node as a load test sees it: it takes transactions, says how far it is, and shows blocks and records.
//!
//! All of it goes over CometBFT's RPC. `broadcast_tx_commit` is not used: it serves 100 callers at most, for 10 s.

use std::ops::Range;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::transaction::{HEAD_BYTES, Transactions};
use crate::excerpt::words;
use crate::node::address::Address;
use crate::node::engine::connection::{CallError, Lease, Pool};
use crate::sequence::Receipt;
use crate::types::{Height, Offset, TxHash};

/// How long a question waits for its answer that is no transaction.
const PATIENCE: Duration = Duration::from_secs(10);
/// Maximum size of an answer to a transaction or about a node, in bytes.
const ANSWER_BYTES_MAX: usize = 1 << 20;
/// The same of an answer that holds transactions or records, as [`crate::node::engine::rpc`] has it.
const TXS_BYTES_MAX: usize = 256 << 20;
/// Maximum number of records in one request: CometBFT takes 10 unless told otherwise.
pub(super) const BATCH_RECORDS_MAX: u64 = 8;
/// Maximum size of the answer to that, in bytes; larger records are read one by one.
const BATCH_BYTES_MAX: usize = 16 << 20;
/// Characters of base64 that hold a transaction's beginning, from which it is recognised.
const HEAD_BASE64: usize = HEAD_BYTES.div_ceil(3) * 4;
/// How often a request is tried again that was certainly not sent, because the node had closed an idle connection.
const TRIES: usize = 3;
/// What CometBFT says when it did not take a transaction and nothing is left of it.
const NOT_TAKEN: [&str; 2] = ["mempool is full", "Tx too large"];

/// A node's answer to a transaction.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It took it, and promises nothing.
    Taken,
    /// It has committed it: this is where.
    Committed(Receipt),
    /// The app rejected it.
    Rejected { codespace: String, code: u32, words: String },
    /// It certainly did not get it, or did not take it.
    Failed(String),
    /// It may have taken it.
    Unknown(String),
}

/// How far a node has committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) height: u64,
    pub(super) records: u64,
}

/// A transaction of this run in a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Decided {
    pub(super) number: u32,
    /// Where its record landed, or codespace, code and words of its rejection.
    pub(super) result: Result<Receipt, (String, u32, String)>,
}

/// A record as a node shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) receipt: Receipt,
    pub(super) tx_hash: TxHash,
    pub(super) bytes: Vec<u8>,
}

/// A question without a proper answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NoAnswer(pub(super) String);

/// A client of one node.
pub(super) struct Client {
    pool: Pool,
    timeout: Duration,
}

#[derive(Deserialize)]
struct Envelope<T> {
    result: Option<T>,
    error: Option<RpcFault>,
}

#[derive(Deserialize)]
struct RpcFault {
    message: String,
    #[serde(default)]
    data: String,
}

#[derive(Deserialize)]
struct Broadcast {
    code: u32,
    #[serde(default)]
    codespace: String,
    #[serde(default)]
    log: String,
}

#[derive(Deserialize)]
struct Query {
    response: QueryResponse,
}

#[derive(Deserialize)]
struct QueryResponse {
    #[serde(default)]
    code: u32,
    #[serde(default)]
    log: String,
    #[serde(default)]
    info: String,
    value: Option<String>,
}

#[derive(Deserialize)]
struct BlockAnswer {
    block: Block,
}

#[derive(Deserialize)]
struct Block {
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    txs: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Results {
    txs_results: Option<Vec<TxResult>>,
}

#[derive(Deserialize)]
struct TxResult {
    #[serde(default)]
    code: u32,
    data: Option<String>,
    #[serde(default)]
    log: String,
    #[serde(default)]
    codespace: String,
}

/// What `/status` of the app says.
#[derive(Deserialize)]
struct AppStatus {
    height: u64,
    records: u64,
}

#[derive(Deserialize)]
struct Place {
    index: u64,
    offset: u64,
    length: u64,
    height: u64,
    tx_hash: String,
}

impl Client {
    /// A client that waits this long for what becomes of a transaction, with so many connections at most.
    pub(super) fn new(address: Address, connections_max: usize, timeout: Duration) -> Self {
        Self { pool: Pool::new(address, connections_max), timeout }
    }

    pub(super) fn address(&self) -> &Address {
        self.pool.address()
    }

    /// Hands a transaction to the node; `sent` is called when it leaves.
    pub(super) async fn submit(&self, tx: &[u8], mut sent: impl FnMut()) -> Answer {
        let body = request("broadcast_tx_sync", &json!({ "tx": data_encoding::BASE64.encode(tx) }));
        let deadline = Instant::now() + self.timeout;
        let posted = self.post(body, ANSWER_BYTES_MAX, deadline, &mut sent).await;
        let (client_error, answer) = match posted {
            Ok(posted) => posted,
            Err(CallError::NotSent(words)) => return Answer::Failed(words),
            Err(CallError::NoAnswer(words)) => return Answer::Unknown(words),
        };
        let envelope: Option<Envelope<Broadcast>> = serde_json::from_slice(&answer).ok();
        match envelope {
            Some(Envelope { result: Some(Broadcast { code: 0, .. }), .. }) => Answer::Taken,
            Some(Envelope { result: Some(Broadcast { code, codespace, log }), .. }) => {
                Answer::Rejected { codespace, code, words: words(&log) }
            }
            Some(Envelope { error: Some(fault), .. }) => {
                // Its figures differ each time.
                let full = NOT_TAKEN.iter().find(|not_taken| fault.data.starts_with(**not_taken));
                match full {
                    Some(words) => Answer::Failed((*words).to_owned()),
                    None if client_error => Answer::Failed(fault.words()),
                    None => Answer::Unknown(fault.words()),
                }
            }
            _ if client_error => Answer::Failed(format!("the node answered {}", said(&answer))),
            _ => Answer::Unknown(format!("the node answered {}", said(&answer))),
        }
    }

    /// Posts a request, again if it certainly was not sent. Returns whether the status says that the request is to blame,
    /// and the answer.
    async fn post(
        &self,
        body: Bytes,
        answer_bytes_max: usize,
        deadline: Instant,
        sent: &mut impl FnMut(),
    ) -> Result<(bool, Bytes), CallError> {
        let mut tried = 0;
        loop {
            let lease: Lease<'_> = self.pool.lease(deadline).await?;
            sent();
            tried += 1;
            match lease.post(body.clone(), answer_bytes_max, deadline).await {
                Err(CallError::NotSent(_)) if tried < TRIES => {}
                answer => return answer.map(|(status, body)| (status.is_client_error(), body)),
            }
        }
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: &str,
        params: &Value,
        answer_bytes_max: usize,
    ) -> Result<T, NoAnswer> {
        let deadline = Instant::now() + PATIENCE;
        let posted = self.post(request(method, params), answer_bytes_max, deadline, &mut || {}).await;
        let (_, answer) = posted.map_err(|err| NoAnswer(err.words().to_owned()))?;
        match serde_json::from_slice(&answer) {
            Ok(Envelope { result: Some(result), .. }) => Ok(result),
            Ok(Envelope { error: Some(fault), .. }) => Err(NoAnswer(format!("{method}: {}", fault.words()))),
            _ => Err(NoAnswer(format!("{method}: the node answered {}", said(&answer)))),
        }
    }

    /// How far the node has committed.
    pub(super) async fn position(&self) -> Result<Position, NoAnswer> {
        let query: Query = self.ask("abci_query", &json!({ "path": "/status" }), ANSWER_BYTES_MAX).await?;
        let status: Option<AppStatus> =
            query.response.value().and_then(|value| serde_json::from_slice(&value).ok());
        let AppStatus { height, records } =
            status.ok_or_else(|| NoAnswer("its app does not answer as dseq does".to_owned()))?;
        Ok(Position { height, records })
    }

    /// How many transactions wait at the node to get into a block.
    pub(super) async fn waiting(&self) -> Result<u64, NoAnswer> {
        let answer: Value = self.ask("num_unconfirmed_txs", &json!({}), ANSWER_BYTES_MAX).await?;
        let total = answer["total"].as_str().and_then(|total| total.parse().ok());
        total.ok_or_else(|| NoAnswer("num_unconfirmed_txs: no total".to_owned()))
    }

    /// The transactions of this run in a block, with what became of them.
    pub(super) async fn block(
        &self,
        height: u64,
        transactions: &Transactions,
    ) -> Result<Vec<Decided>, NoAnswer> {
        let params = json!({ "height": height.to_string() });
        let block: BlockAnswer = self.ask("block", &params, TXS_BYTES_MAX).await?;
        let txs = block.block.data.txs.unwrap_or_default();
        if txs.is_empty() {
            return Ok(Vec::new());
        }
        let numbers: Vec<Option<u32>> = txs.iter().map(|tx| number(tx, transactions)).collect();
        drop(txs);
        if numbers.iter().all(Option::is_none) {
            return Ok(Vec::new());
        }
        let results: Results = self.ask("block_results", &params, TXS_BYTES_MAX).await?;
        let results = results.txs_results.unwrap_or_default();
        if results.len() != numbers.len() {
            let (txs, results) = (numbers.len(), results.len());
            return Err(NoAnswer(format!("block {height} has {txs} transactions and {results} results")));
        }
        let decided = |(number, result): (Option<u32>, TxResult)| {
            let number = number?;
            Some(result.read().map(|result| Decided { number, result }))
        };
        numbers.into_iter().zip(results).filter_map(decided).collect()
    }

    /// Records by their indexes, in one request: at most [`BATCH_RECORDS_MAX`].
    pub(super) async fn records(&self, indexes: Range<u64>) -> Result<Vec<Seen>, NoAnswer> {
        let count = indexes.end.saturating_sub(indexes.start);
        let path = |index: u64| json!({ "path": format!("/record/{index}") });
        if count == 1 {
            let query: Query = self.ask("abci_query", &path(indexes.start), TXS_BYTES_MAX).await?;
            return Ok(vec![query.response.record(indexes.start)?]);
        }
        let calls: Vec<Value> =
            indexes.clone().map(|index| call(index, "abci_query", &path(index))).collect();
        let deadline = Instant::now() + PATIENCE;
        let body = Bytes::from(Value::from(calls).to_string());
        let posted = self.post(body, BATCH_BYTES_MAX, deadline, &mut || {}).await;
        let (_, answer) = posted.map_err(|err| NoAnswer(err.words().to_owned()))?;
        let answers: Vec<Envelope<Query>> = serde_json::from_slice(&answer)
            .map_err(|_| NoAnswer(format!("abci_query: the node answered {}", said(&answer))))?;
        if answers.len() as u64 != count {
            return Err(NoAnswer(format!("{count} questions in one request got {} answers", answers.len())));
        }
        // CometBFT answers in order; each record says its index all the same.
        let record = |(index, answer): (u64, Envelope<Query>)| match answer {
            Envelope { result: Some(query), .. } => query.response.record(index),
            Envelope { error: Some(fault), .. } => Err(NoAnswer(fault.words())),
            Envelope { .. } => Err(NoAnswer(format!("/record/{index}: no answer"))),
        };
        indexes.zip(answers).map(record).collect()
    }
}

impl RpcFault {
    fn words(&self) -> String {
        let Self { message, data } = self;
        let separator = if data.is_empty() { "" } else { ": " };
        words(&format!("{message}{separator}{data}"))
    }
}

impl QueryResponse {
    fn record(&self, index: u64) -> Result<Seen, NoAnswer> {
        let Self { code, log, info, .. } = self;
        if *code != 0 {
            return Err(NoAnswer(format!("/record/{index}: code {code}: {}", words(log))));
        }
        let place: Option<Place> =
            serde_json::from_str(info).ok().filter(|place: &Place| place.index == index);
        let seen = place.zip(self.value()).and_then(|(place, bytes)| {
            let (height, offset) = (Height(place.height), Offset(place.offset));
            let receipt = Receipt { height, index: place.index, offset, length: place.length };
            Some(Seen { receipt, tx_hash: place.tx_hash.parse().ok()?, bytes })
        });
        seen.ok_or_else(|| NoAnswer(format!("/record/{index}: its app does not answer as dseq does")))
    }

    fn value(&self) -> Option<Vec<u8>> {
        data_encoding::BASE64.decode(self.value.as_deref()?.as_bytes()).ok()
    }
}

impl TxResult {
    fn read(self) -> Result<Result<Receipt, (String, u32, String)>, NoAnswer> {
        let Self { code, data, log, codespace } = self;
        if code != 0 {
            return Ok(Err((codespace, code, words(&log))));
        }
        let data = data.and_then(|data| data_encoding::BASE64.decode(data.as_bytes()).ok());
        let receipt = data.and_then(|data| Receipt::decode(&data));
        receipt.map(Ok).ok_or_else(|| NoAnswer("an accepted transaction has no receipt".to_owned()))
    }
}

fn request(method: &str, params: &Value) -> Bytes {
    call(1, method, params).to_string().into()
}

fn call(id: u64, method: &str, params: &Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params })
}

fn said(answer: &[u8]) -> String {
    words(&String::from_utf8_lossy(answer).trim())
}

/// Which transaction of this run a base64 text is.
fn number(tx: &str, transactions: &Transactions) -> Option<u32> {
    let head = data_encoding::BASE64.decode(tx.as_bytes().get(..HEAD_BASE64)?).ok()?;
    transactions.number_of(&head)
}
