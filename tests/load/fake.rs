//! Nodes that play a network: CometBFT's RPC as far as a load test asks it, with nothing behind it but a list of records.
//!
//! A transaction that is taken is a block of its own at once. What a node shows of the records may be tampered with.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use data_encoding::BASE64;
use dseq::node::address::Address;
use dseq::sequence::Receipt;
use dseq::types::{Height, Offset, TxHash};
use serde_json::{Value, json};

/// What a node does with a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    Commit,
    RejectInCheck,
    RejectInBlock,
    /// Its mempool is full.
    Refuse,
    /// Says it takes it, and commits it when somebody asks for the mempool.
    CommitLate,
    /// Says it takes it, and never does.
    Forget,
    /// Closes the connection in place of an answer.
    HangUp,
    /// Answers that it was rejected, and commits it all the same.
    Lie,
}

/// A record as a node shows it.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) tx: Vec<u8>,
    pub(crate) bytes: Vec<u8>,
    pub(crate) receipt: Receipt,
}

type Behave = dyn Fn(u32) -> Deed + Send + Sync;
type Tamper = dyn Fn(usize, Vec<Record>) -> Vec<Record> + Send + Sync;

struct Chain {
    records: Vec<Record>,
    /// Each block's transactions with their results.
    blocks: Vec<Vec<(Vec<u8>, Value)>>,
    late: Vec<Vec<u8>>,
    behave: Box<Behave>,
    tamper: Box<Tamper>,
}

/// A network of fake nodes; they end with the test's process.
pub(crate) struct Fake {
    pub(crate) nodes: Vec<Address>,
}

impl Fake {
    pub(crate) fn new(
        nodes: usize,
        behave: impl Fn(u32) -> Deed + Send + Sync + 'static,
        tamper: impl Fn(usize, Vec<Record>) -> Vec<Record> + Send + Sync + 'static,
    ) -> Self {
        let (behave, tamper) = (Box::new(behave), Box::new(tamper));
        let chain = Chain { records: Vec::new(), blocks: vec![Vec::new()], late: Vec::new(), behave, tamper };
        let chain = Arc::new(Mutex::new(chain));
        // Somebody else's record, before the run.
        chain.lock().unwrap().commit(b"before".to_vec());
        let listen = |node| {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let port = listener.local_addr().unwrap().port();
            let chain = Arc::clone(&chain);
            thread::spawn(move || {
                for stream in listener.incoming() {
                    let chain = Arc::clone(&chain);
                    thread::spawn(move || serve(&stream.unwrap(), node, &chain));
                }
            });
            Address::loopback(port)
        };
        Self { nodes: (0..nodes).map(listen).collect() }
    }
}

/// Answers requests until the other side, or the deed, ends the connection.
fn serve(stream: &TcpStream, node: usize, chain: &Mutex<Chain>) {
    let mut reader = BufReader::new(stream);
    while let Some(body) = read_request(&mut reader) {
        let calls: Value = serde_json::from_slice(&body).unwrap();
        let answer = match &calls {
            Value::Array(calls) => calls
                .iter()
                .map(|call| answer(call, node, chain))
                .collect::<Option<Vec<_>>>()
                .map(Value::from),
            call => answer(call, node, chain),
        };
        let Some(answer) = answer else { return };
        let answer = answer.to_string();
        let status = if answer.starts_with("{\"error\"") { "500 Internal Server Error" } else { "200 OK" };
        let mut stream = stream;
        let _ = write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{answer}", answer.len());
    }
}

fn read_request(reader: &mut BufReader<&TcpStream>) -> Option<Vec<u8>> {
    let mut length = 0;
    let mut line = String::new();
    loop {
        line.clear();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if line == "\r\n" {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(body)
}

fn answer(call: &Value, node: usize, chain: &Mutex<Chain>) -> Option<Value> {
    let params = &call["params"];
    let result = match call["method"].as_str().unwrap() {
        "broadcast_tx_sync" => {
            return broadcast(BASE64.decode(params["tx"].as_str()?.as_bytes()).unwrap(), chain);
        }
        "abci_query" => chain.lock().unwrap().query(node, params["path"].as_str()?),
        "num_unconfirmed_txs" => {
            let mut chain = chain.lock().unwrap();
            let late = std::mem::take(&mut chain.late);
            let total = late.len().to_string();
            late.into_iter().for_each(|tx| chain.commit(tx));
            json!({ "total": total })
        }
        method => {
            let height: usize = params["height"].as_str()?.parse().unwrap();
            let chain = chain.lock().unwrap();
            let block = chain.blocks.get(height - 1).cloned().unwrap_or_default();
            match method {
                "block" => {
                    let txs: Vec<String> = block.iter().map(|(tx, _)| BASE64.encode(tx)).collect();
                    json!({ "block": { "data": { "txs": txs } } })
                }
                "block_results" => {
                    let results: Vec<&Value> = block.iter().map(|(_, result)| result).collect();
                    json!({ "txs_results": results })
                }
                other => panic!("{other} is not played"),
            }
        }
    };
    Some(json!({ "result": result }))
}

/// The number in a transaction of a load test.
pub(crate) fn number(tx: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(tx).ok()?.strip_prefix("load-")?;
    u32::from_str_radix(text.get(17..25)?, 16).ok()
}

fn broadcast(tx: Vec<u8>, chain: &Mutex<Chain>) -> Option<Value> {
    let mut chain = chain.lock().unwrap();
    let deed = (chain.behave)(number(&tx).unwrap());
    let rejected = json!({ "result": { "code": 7, "codespace": "plugin/fake", "log": "not today" } });
    match deed {
        Deed::Commit => chain.commit(tx),
        Deed::RejectInCheck => return Some(rejected),
        Deed::Lie => {
            chain.commit(tx);
            return Some(rejected);
        }
        Deed::RejectInBlock => {
            let result =
                json!({ "code": 9, "codespace": "plugin/fake", "log": "after all not", "data": null });
            chain.blocks.push(vec![(tx, result)]);
        }
        Deed::Refuse => {
            let data = "mempool is full: number of txs 9 (max: 9), total txs bytes 9 (max: 9)";
            let error = json!({ "code": -32603, "message": "Internal error", "data": data });
            return Some(json!({ "error": error }));
        }
        Deed::CommitLate => chain.late.push(tx),
        Deed::Forget => {}
        Deed::HangUp => return None,
    }
    // Some answers come after the block.
    drop(chain);
    thread::sleep(Duration::from_millis(1));
    Some(json!({ "result": { "code": 0, "codespace": "", "log": "" } }))
}

impl Chain {
    fn commit(&mut self, tx: Vec<u8>) {
        let offset = self.records.last().map_or(0, |last| last.receipt.offset.0 + last.receipt.length);
        let receipt = Receipt {
            height: Height(self.blocks.len() as u64 + 1),
            index: self.records.len() as u64,
            offset: Offset(offset),
            length: tx.len() as u64,
        };
        let result = json!({ "code": 0, "data": BASE64.encode(&receipt.encode()) });
        self.blocks.push(vec![(tx.clone(), result)]);
        self.records.push(Record { bytes: tx.clone(), tx, receipt });
    }

    fn query(&self, node: usize, path: &str) -> Value {
        let records = (self.tamper)(node, self.records.clone());
        if path == "/status" {
            let status = json!({ "height": self.blocks.len(), "records": records.len() });
            return json!({ "response": { "value": BASE64.encode(status.to_string().as_bytes()) } });
        }
        let index: usize = path.strip_prefix("/record/").unwrap().parse().unwrap();
        let Some(Record { tx, bytes, receipt }) = records.get(index) else {
            return json!({ "response": { "code": 34, "log": "there is no such record" } });
        };
        let info = json!({
            "index": receipt.index, "offset": receipt.offset, "length": receipt.length,
            "height": receipt.height, "tx_hash": TxHash::of(tx).to_string(),
        });
        json!({ "response": { "info": info.to_string(), "value": BASE64.encode(bytes) } })
    }
}
