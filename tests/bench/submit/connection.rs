//! One producer's connection to a node, which it keeps: over `POST /v1/submit`, as batches, or over CometBFT's RPC.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::Options;

/// Size of a transaction, in bytes.
const TX_BYTES: usize = 256;
/// Transactions in a batch.
pub(super) const BATCH_LEN: usize = 32;
const PATIENCE: Duration = Duration::from_secs(30);

/// A way to submit.
#[derive(Clone, Copy)]
pub(super) enum Way {
    Http(&'static str),
    Batch,
    Rpc(&'static str),
}

impl Way {
    pub(super) fn name(self) -> String {
        match self {
            Self::Http(wait) => format!("POST /v1/submit?wait={wait}"),
            Self::Batch => format!("POST /v1/submit/batch, {BATCH_LEN} at a time"),
            Self::Rpc(method) => method.to_owned(),
        }
    }
}

/// A connection to the node, kept as long as the node keeps it.
pub(super) struct Connection {
    way: Way,
    address: SocketAddr,
    stream: BufReader<TcpStream>,
}

impl Connection {
    pub(super) fn open(options: &Options, way: Way) -> Result<Self> {
        let address = match way {
            Way::Http(_) | Way::Batch => options.http,
            Way::Rpc(_) => options.rpc,
        };
        Ok(Self { way, address, stream: connect(address)? })
    }

    /// Submits transactions that nobody has submitted before, as many as go together; answers how many were taken.
    pub(super) fn submit(&mut self) -> Result<usize> {
        match self.way {
            Way::Http(wait) => {
                let (status, _) = self.post(&format!("/v1/submit?wait={wait}"), JSON, &tx()?)?;
                Ok(usize::from(status == if wait == "committed" { 200 } else { 202 }))
            }
            Way::Batch => {
                let mut body = Vec::new();
                for _ in 0..BATCH_LEN {
                    body.extend(u32::try_from(TX_BYTES)?.to_le_bytes());
                    body.extend(tx()?);
                }
                let (_, answer) = self.post("/v1/submit/batch", "application/octet-stream", &body)?;
                let lines = answer.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
                let states =
                    lines.map(|line| Ok(serde_json::from_slice::<Value>(line)?["state"] == "committed"));
                Ok(states.collect::<Result<Vec<bool>>>()?.into_iter().filter(|committed| *committed).count())
            }
            Way::Rpc(method) => {
                let params = json!({ "tx": data_encoding::BASE64.encode(&tx()?) });
                let call = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
                let (_, body) = self.post("/", JSON, call.to_string().as_bytes())?;
                let answer: Value = serde_json::from_slice(&body)?;
                let result = &answer["result"];
                Ok(usize::from(result["code"] == 0 || result["tx_result"]["data"].is_string()))
            }
        }
    }

    fn post(&mut self, target: &str, media_type: &str, body: &[u8]) -> Result<(u16, Vec<u8>)> {
        let head = format!(
            "POST {target} HTTP/1.1\r\nhost: localhost\r\ncontent-type: {media_type}\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        self.stream.get_mut().write_all(&[head.as_bytes(), body].concat())?;
        let status = self.line()?.split(' ').nth(1).context("no HTTP")?.parse()?;
        let (mut length, mut is_last) = (None, false);
        loop {
            let line = self.line()?;
            let Some((name, value)) = line.split_once(": ") else { break };
            if name.eq_ignore_ascii_case("content-length") {
                length = Some(value.parse()?);
            }
            is_last |= name.eq_ignore_ascii_case("connection") && value == "close";
        }
        let mut body = Vec::new();
        match length {
            Some(length) => self.take(length, &mut body)?,
            // In chunks, up to an empty one.
            None => loop {
                let length = u64::from_str_radix(&self.line()?, 16)?;
                self.take(length, &mut body)?;
                self.line()?;
                if length == 0 {
                    break;
                }
            },
        }
        if is_last {
            self.stream = connect(self.address)?;
        }
        Ok((status, body))
    }

    /// A line without its end.
    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }

    fn take(&mut self, length: u64, body: &mut Vec<u8>) -> Result<()> {
        self.stream.by_ref().take(length).read_to_end(body)?;
        Ok(())
    }
}

fn connect(address: SocketAddr) -> Result<BufReader<TcpStream>> {
    let stream = TcpStream::connect(address).with_context(|| format!("nobody listens at {address}"))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(BufReader::new(stream))
}

const JSON: &str = "application/json";

/// A transaction that nobody has submitted before.
fn tx() -> Result<Vec<u8>> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_nanos();
    Ok(format!("{:<TX_BYTES$}", format!("{now} {number}")).into_bytes())
}
