//! HTTP with one node: a request, and an answer whose body is read as it comes.

use std::future::pending;
use std::time::Duration;

use bytes::Bytes;
use dseq_format::excerpt::words;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, RETRY_AFTER};
use hyper::{Method, StatusCode};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::{HttpConnector, capture_connection};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::timeout;

use crate::error::{Problem, Why};
use crate::{Address, Options};

/// How long an idle connection is kept: shorter than a node keeps one (30 s), so that no request meets a connection that is
/// just being closed.
const IDLE_MAX: Duration = Duration::from_secs(20);
/// Idle connections that are kept for each node.
const IDLE_CONNECTIONS_MAX: usize = 64;
/// Maximum time between two pieces of a body, after which the rest counts as lost.
const BODY_PAUSE_MAX: Duration = Duration::from_secs(30);
/// Maximum size of an answer that is no data, in bytes.
const ANSWER_BYTES_MAX: usize = 16 << 20;
/// Maximum size of a problem document, in bytes.
const PROBLEM_BYTES_MAX: usize = 64 << 10;

/// What is asked of a node.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: Method,
    /// Path and query.
    pub(crate) target: String,
    pub(crate) headers: Vec<(HeaderName, String)>,
    pub(crate) body: Bytes,
    /// How long the head of the answer may take; the connection may take half of that at most.
    pub(crate) patience: Duration,
}

/// An answer of which only the head has been read.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Body,
}

pub(crate) enum Body {
    Coming(Incoming),
    /// Read already; what is left of it.
    Here(Bytes),
}

/// A node's refusal, with the pause it asks for.
pub(crate) struct Refusal {
    pub(crate) why: Why,
    pub(crate) status: Option<StatusCode>,
    pub(crate) retry_after: Option<Duration>,
}

pub(crate) struct Http(legacy::Client<HttpConnector, Full<Bytes>>);

impl Request {
    pub(crate) fn get(target: impl Into<String>, patience: Duration) -> Self {
        let (method, target) = (Method::GET, target.into());
        Self { method, target, headers: Vec::new(), body: Bytes::new(), patience }
    }

    pub(crate) fn with(mut self, name: HeaderName, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

impl From<Why> for Refusal {
    fn from(why: Why) -> Self {
        Self { why, status: None, retry_after: None }
    }
}

impl Refusal {
    /// Whether another node, or the same one later, may answer otherwise.
    pub(crate) fn may_change(&self) -> bool {
        match &self.why {
            Why::NotConnected(_) | Why::NoAnswer(_) => true,
            Why::Problem(problem) => problem.retry,
            Why::Unexpected(_) => self.status.is_some_and(|status| status.is_server_error()),
        }
    }
}

impl Http {
    pub(crate) fn new(options: &Options) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(options.connect_timeout));
        let client = legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_MAX)
            .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
            .build(connector);
        Self(client)
    }

    /// Sends a request and reads the head of the answer, whatever its status is.
    pub(crate) async fn send(&self, node: &Address, request: &Request) -> Result<Answer, Why> {
        let mut builder =
            hyper::Request::builder().method(&request.method).uri(format!("http://{node}{}", request.target));
        for (name, value) in &request.headers {
            builder = builder.header(name, value);
        }
        let built = builder.body(Full::new(request.body.clone()));
        let mut built = built.map_err(|err| Why::NotConnected(words(&err)))?;
        let mut connection = capture_connection(&mut built);
        let to_connect = request.patience / 2;
        let unconnected = async {
            // Without a connection nothing was sent, which the end of the patience alone would not tell.
            if timeout(to_connect, connection.wait_for_connection_metadata()).await.is_ok() {
                pending::<()>().await;
            }
        };
        let answer = tokio::select! {
            answer = timeout(request.patience, self.0.request(built)) => answer,
            () = unconnected => {
                let seconds = to_connect.as_secs_f64();
                return Err(Why::NotConnected(format!("no connection within {seconds:.1} s")));
            }
        };
        let answer = answer.map_err(|_| nothing_within(request.patience))?.map_err(|err| {
            let why = innermost(&err);
            if err.is_connect() { Why::NotConnected(why) } else { Why::NoAnswer(why) }
        })?;
        let (head, body) = answer.into_parts();
        Ok(Answer { status: head.status, headers: head.headers, body: Body::Coming(body) })
    }

    /// As [`Http::send`]; an answer with a status that was not hoped for is an error.
    pub(crate) async fn ask(
        &self,
        node: &Address,
        request: &Request,
        hoped_for: &[StatusCode],
    ) -> Result<Answer, Refusal> {
        let answer = self.send(node, request).await?;
        if hoped_for.contains(&answer.status) { Ok(answer) } else { Err(answer.refusal().await) }
    }

    /// As [`Http::ask`], of an answer that is no data: its body is there.
    pub(crate) async fn ask_whole(
        &self,
        node: &Address,
        request: &Request,
        hoped_for: &[StatusCode],
    ) -> Result<Answer, Refusal> {
        let Answer { status, headers, body } = self.ask(node, request, hoped_for).await?;
        let body = Body::Here(body.whole(ANSWER_BYTES_MAX).await?);
        Ok(Answer { status, headers, body })
    }
}

impl Answer {
    /// Reads an answer that is no data.
    pub(crate) async fn json<T: serde::de::DeserializeOwned>(self) -> Result<T, Why> {
        let bytes = self.body.whole(ANSWER_BYTES_MAX).await?;
        serde_json::from_slice(&bytes)
            .map_err(|err| Why::Unexpected(format!("{}: {}", words(&err), said(&bytes))))
    }

    /// A number in a header.
    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        self.headers.get(name)?.to_str().ok()?.parse().ok()
    }

    pub(crate) async fn refusal(self) -> Refusal {
        let status = self.status;
        let retry_after = self.number(RETRY_AFTER.as_str()).map(Duration::from_secs);
        let content_type = self.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let is_problem = content_type.is_some_and(|value| value.starts_with("application/problem+json"));
        let body = self.body.whole(PROBLEM_BYTES_MAX).await;
        let why = match body {
            // Of a body that is cut, the status is still known.
            Err(_) => Why::Unexpected(status.to_string()),
            Ok(bytes) => {
                let problem = serde_json::from_slice::<Problem>(&bytes).ok().filter(|_| is_problem);
                let unexpected = || Why::Unexpected(format!("{status}: {}", said(&bytes)));
                problem.map_or_else(unexpected, |problem| Why::Problem(Box::new(problem)))
            }
        };
        Refusal { why, status: Some(status), retry_after }
    }
}

impl Body {
    /// The next piece; `None` is the end of a body that is whole.
    pub(crate) async fn piece(&mut self) -> Option<Result<Bytes, Why>> {
        let incoming = match self {
            Self::Coming(incoming) => incoming,
            Self::Here(bytes) => {
                return Some(std::mem::take(bytes)).filter(|bytes| !bytes.is_empty()).map(Ok);
            }
        };
        loop {
            let frame = match timeout(BODY_PAUSE_MAX, incoming.frame()).await {
                Ok(frame) => frame?,
                Err(_) => {
                    let seconds = BODY_PAUSE_MAX.as_secs();
                    return Some(Err(Why::NoAnswer(format!("nothing more came within {seconds} s"))));
                }
            };
            match frame.map(hyper::body::Frame::into_data) {
                Ok(Ok(data)) if data.is_empty() => {}
                Ok(Ok(data)) => return Some(Ok(data)),
                // Trailers.
                Ok(Err(_)) => {}
                Err(err) => return Some(Err(Why::NoAnswer(innermost(&err)))),
            }
        }
    }

    pub(crate) async fn whole(mut self, bytes_max: usize) -> Result<Bytes, Why> {
        let mut all = Vec::new();
        while let Some(piece) = self.piece().await {
            all.extend_from_slice(&piece?);
            if all.len() > bytes_max {
                return Err(Why::Unexpected(format!("more than {bytes_max} bytes")));
            }
        }
        Ok(all.into())
    }
}

/// No answer came in this time.
pub(crate) fn nothing_within(patience: Duration) -> Why {
    Why::NoAnswer(format!("nothing came within {:.1} s", patience.as_secs_f64()))
}

/// The beginning of an answer, for people.
fn said(bytes: &[u8]) -> String {
    words(&String::from_utf8_lossy(&bytes[..bytes.len().min(256)]).trim())
}

/// The last cause of an error: what the system said.
fn innermost(err: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = err;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    words(&cause)
}
