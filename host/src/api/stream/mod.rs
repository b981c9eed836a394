//! The read side of Durable Streams, over anything that only grows: what is committed of it, and a wake-up when it grows.
//!
//! ```text
//! request ── query: offset, live, cursor ──> catch-up:  200, a chunk, now
//!                                            long-poll: 200, a chunk, once there is one; 204 after a while
//!                                            SSE:       chunks as events, each with a control event, for about a minute
//! ```
//!
//! [`serve`] is the protocol, [`Source`] all that it knows of what it reads. A node has one source, [`Tail`]; the tests have
//! another, over memory, on which the public conformance suite judges this same code.
//!
//! # Format
//!
//! An offset is the position of a byte, as exactly 20 decimal digits, so that offsets sort as text; `-1` is the beginning, `now` the
//! end. `Stream-Next-Offset` is where to go on. `Stream-Up-To-Date: true` is there exactly when that is the end.
//!
//! # Invariants
//!
//! The next offset is never smaller than the one asked for: beyond what is here, the answer is 503 `node-behind`.

mod body;
mod encoding;
mod events;
mod query;
mod range;
pub(super) mod records;

use std::future::Future;
use std::ops::Range;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;

pub(super) use body::Pieces;
pub use encoding::Encoding;
pub(super) use query::token;
pub(super) use range::{Asked, asked};

use super::conditions::{ascii, is_known};
use super::params::Params;
use super::problem::{INTERNAL, NODE_BEHIND, Problem, STORE_UNREADABLE};
use super::{Stopping, Tail, TailError};
use events::Events;
use query::{Live, Position, Query};

/// Maximum size of a chunk, in bytes: of the body of one response that is not live. It is sent in pieces, so this bounds only how
/// long a response takes, and how much is lost when it is interrupted.
const CHUNK_BYTES_MAX: u64 = 4 << 20;
/// When a client should ask again for what this node has not committed yet.
const BEHIND_PAUSE: Duration = Duration::from_secs(1);

pub(super) const NEXT_OFFSET: HeaderName = HeaderName::from_static("stream-next-offset");
pub(super) const UP_TO_DATE: HeaderName = HeaderName::from_static("stream-up-to-date");
const CURSOR: HeaderName = HeaderName::from_static("stream-cursor");
const TRUE: HeaderValue = HeaderValue::from_static("true");

/// Of a response that never changes: for a year, the longest that caches know.
pub(super) const IMMUTABLE: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
/// Of a response that another request may find longer.
pub(super) const GROWS: HeaderValue = HeaderValue::from_static("no-cache");
pub(super) const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
/// Of what a long poll brought: its cursor makes sure that nobody is given it for ever.
const POLLED: HeaderValue = HeaderValue::from_static("public, max-age=60, stale-while-revalidate=300");

/// Committed bytes. Those before a length that was once answered never change.
pub trait Source: Clone + Send + Sync + Unpin + 'static {
    /// Their media type.
    fn media_type(&self) -> HeaderValue;

    /// Some letters and digits that no other source has that was ever at the same URL.
    fn identity(&self) -> String;

    /// How many there are.
    fn length(&self) -> u64;

    /// Waits until there are more.
    fn wait_beyond(&mut self, length: u64) -> impl Future<Output = Result<(), TailError>> + Send;

    /// Some bytes from the start of `range` on, which is within what is committed: at least one if it is not empty, and
    /// `bytes_max` at most.
    fn read(
        &self,
        range: Range<u64>,
        bytes_max: usize,
    ) -> impl Future<Output = Result<Bytes, TailError>> + Send;
}

impl Source for Tail {
    fn media_type(&self) -> HeaderValue {
        HeaderValue::from_static("application/octet-stream")
    }

    fn identity(&self) -> String {
        self.now().identity().to_owned()
    }

    fn length(&self) -> u64 {
        self.now().length()
    }

    async fn wait_beyond(&mut self, length: u64) -> Result<(), TailError> {
        self.follow_until(|tip| tip.length() > length).await.map(drop)
    }

    async fn read(&self, range: Range<u64>, bytes_max: usize) -> Result<Bytes, TailError> {
        self.bytes(range, bytes_max).await
    }
}

/// How long live responses last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timings {
    /// How long a long poll waits. Shorter than the 30 s after which common proxies give up.
    pub long_poll: Duration,
    /// How long a stream of events lasts, and up to a sixth longer, so that many do not end together. Clients reconnect,
    /// and caches in between then serve those that ask for the same.
    pub events: Duration,
    /// How often a stream of events says something. Proxies cut off what is silent.
    pub keep_alive: Duration,
}

impl Timings {
    /// Those of a node.
    pub const DEFAULT: Self = Self {
        long_poll: Duration::from_secs(20),
        events: Duration::from_secs(55),
        keep_alive: Duration::from_secs(15),
    };
}

/// Answers GET and HEAD of a stream.
///
/// # Errors
///
/// Problems with the request, and a source that is at an end.
pub async fn serve<S: Source>(
    source: S,
    request: &Parts,
    stopping: Stopping,
    timings: Timings,
) -> Result<Response, Problem> {
    let query = Query::of(&Params::of(&request.uri)?, &request.headers)?;
    let stream = Stream { media_type: source.media_type(), source };
    if request.method == Method::HEAD {
        return Ok(stream.head());
    }
    let length = stream.source.length();
    let start = match query.position {
        Position::At(offset) if offset > length => return Err(behind("bytes", length, offset)),
        Position::At(offset) => offset,
        Position::Now => length,
    };
    match query.live {
        None if query.position == Position::Now => Ok(stream.nothing(start)),
        None => stream.chunk(start, None, &request.headers).await,
        Some(Live::LongPoll) => stream.long_poll(start, &query, &request.headers, stopping, timings).await,
        Some(Live::Events) => Ok(Events::new(stream.source, start, &query, stopping, timings).response()),
    }
}

/// What is asked for does not exist here yet. Another node may have it, and this one will.
pub(super) fn behind(unit: &'static str, has: u64, asked: u64) -> Problem {
    let detail = format!(
        "this node has committed {has} {unit}, and the request asks for {asked}: ask another node, or later"
    );
    Problem::new(&NODE_BEHIND, detail).exceeding(has, Some(asked), unit).retry_after(BEHIND_PAUSE)
}

struct Stream<S> {
    source: S,
    media_type: HeaderValue,
}

impl<S: Source> Stream<S> {
    /// Where the stream ends.
    fn head(&self) -> Response {
        let end = self.source.length();
        let headers =
            [(CONTENT_TYPE, self.media_type.clone()), (NEXT_OFFSET, token(end)), (CACHE_CONTROL, NO_STORE)];
        headers.into_response()
    }

    /// Catch-up from the end: nothing, whatever there is.
    fn nothing(&self, end: u64) -> Response {
        let headers = [
            (CONTENT_TYPE, self.media_type.clone()),
            (NEXT_OFFSET, token(end)),
            (UP_TO_DATE, TRUE),
            (CACHE_CONTROL, NO_STORE),
        ];
        (headers, Encoding::of(&self.media_type).whole(&Bytes::new())).into_response()
    }

    /// What there is from `start` on, and a chunk at most. With a cursor it answers a long poll.
    async fn chunk(
        &self,
        start: u64,
        cursor: Option<u64>,
        conditions: &HeaderMap,
    ) -> Result<Response, Problem> {
        let encoding = Encoding::of(&self.media_type);
        let length = self.source.length();
        let end =
            if encoding.is_divisible() { length.min(start.saturating_add(CHUNK_BYTES_MAX)) } else { length };
        let etag = format!("\"{}-{start}-{end}\"", self.source.identity());
        let mut headers = HeaderMap::new();
        headers.insert(NEXT_OFFSET, token(end));
        if end == length {
            headers.insert(UP_TO_DATE, TRUE);
        }
        let cache = match cursor {
            Some(cursor) => {
                headers.insert(CURSOR, cursor.into());
                POLLED
            }
            // A full chunk is all that this URL will ever answer.
            None if end < length => IMMUTABLE,
            None => GROWS,
        };
        headers.insert(CACHE_CONTROL, cache);
        if is_known(conditions, &etag) {
            headers.insert(ETAG, ascii(etag));
            return Ok((StatusCode::NOT_MODIFIED, headers).into_response());
        }
        headers.insert(ETAG, ascii(etag));
        headers.insert(CONTENT_TYPE, self.media_type.clone());
        if encoding.is_divisible() {
            return Ok((headers, Body::new(Pieces::new(self.source.clone(), start..end))).into_response());
        }
        let bytes = self.source.read(start..end, usize::MAX).await.map_err(|error| ended(&error))?;
        Ok((headers, encoding.whole(&bytes)).into_response())
    }

    /// What there is from `start` on, as soon as there is something.
    async fn long_poll(
        mut self,
        start: u64,
        query: &Query,
        conditions: &HeaderMap,
        stopping: Stopping,
        timings: Timings,
    ) -> Result<Response, Problem> {
        let has_more = tokio::select! {
            more = self.source.wait_beyond(start) => more.map(|()| true).map_err(|error| ended(&error))?,
            () = tokio::time::sleep(timings.long_poll) => false,
            () = stopping.wait() => false,
        };
        let cursor = query.cursor.next();
        if has_more {
            let mut response = self.chunk(start, Some(cursor), conditions).await?;
            if query.position == Position::Now {
                // The same URL begins elsewhere the next time.
                response.headers_mut().insert(CACHE_CONTROL, NO_STORE);
            }
            return Ok(response);
        }
        let headers = [
            (NEXT_OFFSET, token(start)),
            (UP_TO_DATE, TRUE),
            (CURSOR, cursor.into()),
            (CACHE_CONTROL, NO_STORE),
        ];
        Ok((StatusCode::NO_CONTENT, headers).into_response())
    }
}

fn ended(error: &TailError) -> Problem {
    tracing::error!(%error, "cannot follow the sequence");
    let of = match error {
        TailError::Read(_) | TailError::Slow => &STORE_UNREADABLE,
        TailError::Ended | TailError::Reading => &INTERNAL,
    };
    Problem::new(of, "what is committed cannot be followed; the node's log has the reason")
}
