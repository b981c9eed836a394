//! Connections to one RPC: as many as requests are under way, up to a bound, and kept for the next.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout_at;

use crate::node::address::Address;

/// Maximum time for a connection to be made.
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);

type Sender = SendRequest<Full<Bytes>>;

/// A request without an answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum CallError {
    /// It was never sent: certainly nothing came of it.
    NotSent(String),
    /// It was sent, or may have been.
    NoAnswer(String),
}

impl CallError {
    pub(crate) fn words(&self) -> &str {
        let (Self::NotSent(words) | Self::NoAnswer(words)) = self;
        words
    }
}

/// The connections to one node.
pub(crate) struct Pool {
    address: Address,
    permits: Semaphore,
    idle: Mutex<Vec<Sender>>,
}

/// A connection for one request.
pub(crate) struct Lease<'a> {
    pool: &'a Pool,
    sender: Sender,
    _permit: SemaphorePermit<'a>,
}

impl Pool {
    pub(crate) fn new(address: Address, connections_max: usize) -> Self {
        Self { address, permits: Semaphore::new(connections_max), idle: Mutex::default() }
    }

    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    /// Takes an idle connection or makes one, when fewer than the bound are in use.
    pub(crate) async fn lease(&self, deadline: Instant) -> Result<Lease<'_>, CallError> {
        let not_sent = |words: &str| CallError::NotSent(words.to_owned());
        let permit = timeout_at(deadline.into(), self.permits.acquire());
        let permit = permit.await.map_err(|_| not_sent("all connections were in use all the time"))?;
        let permit = permit.map_err(|_| not_sent("the pool is closed"))?;
        while let Some(sender) = self.pop() {
            if !sender.is_closed() && sender.is_ready() {
                return Ok(Lease { pool: self, sender, _permit: permit });
            }
        }
        let within = deadline.min(Instant::now() + CONNECT_PATIENCE);
        let sender = timeout_at(within.into(), self.connect())
            .await
            .map_err(|_| not_sent("cannot connect: timeout"))?;
        Ok(Lease { pool: self, sender: sender.map_err(CallError::NotSent)?, _permit: permit })
    }

    fn pop(&self) -> Option<Sender> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    async fn connect(&self) -> Result<Sender, String> {
        let failed = |why: &dyn std::fmt::Display| format!("cannot connect: {why}");
        let stream = TcpStream::connect((self.address.host.as_str(), self.address.port)).await;
        let stream = stream.map_err(|err| failed(&err))?;
        stream.set_nodelay(true).map_err(|err| failed(&err))?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|err| failed(&err))?;
        // Ends with the sender, or with the connection; what went wrong is what the sender answers.
        tokio::spawn(connection);
        Ok(sender)
    }
}

impl Lease<'_> {
    /// Sends a JSON-RPC request and returns the answer's status and body.
    pub(crate) async fn post(
        mut self,
        body: Bytes,
        answer_bytes_max: usize,
        deadline: Instant,
    ) -> Result<(StatusCode, Bytes), CallError> {
        let no_answer = |why: &dyn std::fmt::Display| CallError::NoAnswer(format!("no answer: {why}"));
        let request = Request::post("/")
            .header(HOST, self.pool.address.to_string())
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .map_err(|err| CallError::NotSent(err.to_string()))?;
        let exchange = async {
            let answer = match self.sender.try_send_request(request).await {
                Ok(answer) => answer,
                // An error gives the request back when nothing of it was written.
                Err(mut err) => {
                    return Err(match err.take_message() {
                        Some(_) => CallError::NotSent("the node closed the connection".to_owned()),
                        None => no_answer(err.error()),
                    });
                }
            };
            let status = answer.status();
            let body = Limited::new(answer.into_body(), answer_bytes_max).collect().await;
            Ok((status, body.map_err(|err| no_answer(&err))?.to_bytes()))
        };
        let answer = timeout_at(deadline.into(), exchange).await.map_err(|_| no_answer(&"timeout"))??;
        if self.sender.ready().await.is_ok() {
            let mut idle = self.pool.idle.lock().unwrap_or_else(PoisonError::into_inner);
            idle.push(self.sender);
        }
        Ok(answer)
    }
}
