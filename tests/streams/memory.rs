//! Streams in memory, with the writing side that a node does not have, under the kernel that a node reads with.
//!
//! What is there of writing is what the public conformance suite needs to judge reading: PUT, POST, DELETE, `Stream-Seq`, and
//! JSON messages. No closure, producers, times to live or forks.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_TYPE, HOST, LOCATION};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use dseq::api::stream::{Encoding, Source, Timings, serve};
use dseq::api::{Stopping, TailError, body};
use serde_json::Value;
use tokio::sync::watch;

const SEQ: HeaderName = HeaderName::from_static("stream-seq");
const NEXT_OFFSET: HeaderName = HeaderName::from_static("stream-next-offset");
/// More than the suite sends.
const BODY_BYTES_MAX: u64 = 64 << 20;

/// Bytes that only grow.
#[derive(Clone)]
pub(crate) struct Memory {
    media_type: HeaderValue,
    /// Tells it from other streams that have had its name.
    number: u64,
    bytes: Arc<Mutex<Vec<u8>>>,
    length: watch::Receiver<u64>,
}

/// The same for those who write.
pub(crate) struct Written {
    pub(crate) memory: Memory,
    length: watch::Sender<u64>,
    last_seq: Option<Vec<u8>>,
}

impl Written {
    pub(crate) fn new(media_type: HeaderValue, number: u64) -> Self {
        let (sender, length) = watch::channel(0);
        let memory = Memory { media_type, number, bytes: Arc::default(), length };
        Self { memory, length: sender, last_seq: None }
    }

    pub(crate) fn append(&self, bytes: &[u8]) {
        self.memory.bytes().extend_from_slice(bytes);
        self.length.send_modify(|length| *length += bytes.len() as u64);
    }
}

impl Memory {
    fn bytes(&self) -> MutexGuard<'_, Vec<u8>> {
        self.bytes.lock().unwrap()
    }
}

impl Source for Memory {
    fn media_type(&self) -> HeaderValue {
        self.media_type.clone()
    }

    fn identity(&self) -> String {
        format!("memory{}", self.number)
    }

    fn length(&self) -> u64 {
        *self.length.borrow()
    }

    async fn wait_beyond(&mut self, beyond: u64) -> Result<(), TailError> {
        self.length.wait_for(|length| *length > beyond).await.map(drop).map_err(|_| TailError::Ended)
    }

    async fn read(&self, range: Range<u64>, bytes_max: usize) -> Result<Bytes, TailError> {
        let start = usize::try_from(range.start).unwrap();
        let end = usize::try_from(range.end).unwrap().min(start.saturating_add(bytes_max));
        Ok(Bytes::copy_from_slice(&self.bytes()[start..end]))
    }
}

/// All streams of a host.
pub(crate) struct Streams {
    by_name: Mutex<(u64, BTreeMap<String, Written>)>,
    stopping: Stopping,
    timings: Timings,
}

pub(crate) fn router(stopping: Stopping, timings: Timings) -> Router {
    let streams = Streams { by_name: Mutex::default(), stopping, timings };
    Router::new().route("/v1/stream/{*name}", any(handle)).with_state(Arc::new(streams))
}

async fn handle(State(streams): State<Arc<Streams>>, request: Request) -> Response {
    let (parts, sent) = request.into_parts();
    if matches!(parts.method, Method::GET | Method::HEAD) {
        let memory =
            streams.by_name.lock().unwrap().1.get(parts.uri.path()).map(|stream| stream.memory.clone());
        let Some(memory) = memory else { return StatusCode::NOT_FOUND.into_response() };
        return serve(memory, &parts, streams.stopping.clone(), streams.timings).await.into_response();
    }
    let sent = match body::whole(&parts.headers, sent, BODY_BYTES_MAX, |_| Ok(())).await {
        Ok(sent) => sent,
        Err(problem) => return problem.into_response(),
    };
    let written = match parts.method {
        Method::PUT => streams.put(&parts, &sent),
        Method::POST => streams.post(&parts, &sent),
        Method::DELETE => streams.delete(&parts),
        _ => Err(StatusCode::METHOD_NOT_ALLOWED),
    };
    written.into_response()
}

fn media_type(headers: &HeaderMap) -> Option<HeaderValue> {
    headers.get(CONTENT_TYPE).filter(|value| !value.is_empty()).cloned()
}

/// What is stored of what was sent: JSON messages each with a comma behind them, other bytes as they are.
fn stored(media_type: &HeaderValue, sent: &[u8]) -> Result<Vec<u8>, StatusCode> {
    if Encoding::of(media_type) != Encoding::Json || sent.is_empty() {
        return Ok(sent.to_vec());
    }
    let messages = match serde_json::from_slice(sent).map_err(|_| StatusCode::BAD_REQUEST)? {
        Value::Array(messages) => messages,
        message => vec![message],
    };
    Ok(messages.iter().flat_map(|message| format!("{message},").into_bytes()).collect())
}

impl Streams {
    fn put(&self, parts: &Parts, sent: &[u8]) -> Result<Response, StatusCode> {
        let media_type =
            media_type(&parts.headers).unwrap_or(HeaderValue::from_static("application/octet-stream"));
        let stored = stored(&media_type, sent)?;
        let (number, streams) = &mut *self.by_name.lock().unwrap();
        let path = parts.uri.path();
        if let Some(stream) = streams.get(path) {
            let same = stream.memory.media_type.as_bytes().eq_ignore_ascii_case(media_type.as_bytes());
            return if same { Ok(created(StatusCode::OK, parts, stream)) } else { Err(StatusCode::CONFLICT) };
        }
        *number += 1;
        let stream = Written::new(media_type, *number);
        if !stored.is_empty() {
            stream.append(&stored);
        }
        let response = created(StatusCode::CREATED, parts, &stream);
        streams.insert(path.to_owned(), stream);
        Ok(response)
    }

    fn post(&self, parts: &Parts, sent: &[u8]) -> Result<Response, StatusCode> {
        let (_, streams) = &mut *self.by_name.lock().unwrap();
        let stream = streams.get_mut(parts.uri.path()).ok_or(StatusCode::NOT_FOUND)?;
        let media_type = media_type(&parts.headers).ok_or(StatusCode::BAD_REQUEST)?;
        if !stream.memory.media_type.as_bytes().eq_ignore_ascii_case(media_type.as_bytes()) {
            return Err(StatusCode::CONFLICT);
        }
        let stored = stored(&media_type, sent)?;
        if stored.is_empty() {
            return Err(StatusCode::BAD_REQUEST);
        }
        let seq = parts.headers.get(SEQ).map(|seq| seq.as_bytes().to_vec());
        if seq.is_some() && seq <= stream.last_seq {
            return Err(StatusCode::CONFLICT);
        }
        stream.last_seq = seq.or(stream.last_seq.take());
        stream.append(&stored);
        Ok((StatusCode::NO_CONTENT, [(NEXT_OFFSET, end(stream))]).into_response())
    }

    fn delete(&self, parts: &Parts) -> Result<Response, StatusCode> {
        let removed = self.by_name.lock().unwrap().1.remove(parts.uri.path());
        removed.map(|_| StatusCode::NO_CONTENT.into_response()).ok_or(StatusCode::NOT_FOUND)
    }
}

fn end(stream: &Written) -> String {
    format!("{:020}", stream.memory.length())
}

fn created(status: StatusCode, parts: &Parts, stream: &Written) -> Response {
    let host = parts.headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let mut response = (status, [(NEXT_OFFSET, end(stream))], Body::empty()).into_response();
    response.headers_mut().insert(CONTENT_TYPE, stream.memory.media_type.clone());
    let location = format!("http://{host}{}", parts.uri.path());
    response.headers_mut().insert(LOCATION, location.parse().unwrap());
    response
}
