//! A stream as server-sent events: each piece of data is an event, with a control event behind it that says where to go on.
//!
//! # Format
//!
//! ```text
//! id: 00000000000000000005
//! event: data
//! data:aGVsbG8=
//!
//! id: 00000000000000000005
//! event: control
//! data:{"streamNextOffset":"00000000000000000005","streamCursor":"3362280","upToDate":true}
//! ```
//!
//! The id is the offset behind the data, so that a browser which reconnects goes on there, even if it lost the control event.

use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream::try_unfold;
use tokio::time::{Instant, sleep, sleep_until};

use super::body::Counted;
use super::query::{Cursor, Query, digits};
use super::{Encoding, Source, Timings};
use crate::api::trace_context::random_id;
use crate::api::{Stopping, TailError};

const DATA_ENCODING: HeaderName = HeaderName::from_static("stream-sse-data-encoding");
/// nginx and others would collect events otherwise.
const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// Events that are made as the client takes them.
pub(super) struct Events<S> {
    source: S,
    encoding: Encoding,
    /// Where to go on.
    next: u64,
    /// No cursor is smaller.
    cursor_min: u64,
    stopping: Stopping,
    keep_alive: Duration,
    end: Instant,
    /// Whether the client has been told where it is.
    is_begun: bool,
    /// Not while it only waits.
    counted: Option<Counted>,
}

impl<S: Source> Events<S> {
    pub(super) fn new(source: S, start: u64, query: &Query, stopping: Stopping, timings: Timings) -> Self {
        let encoding = Encoding::of(&source.media_type());
        let millis = u64::try_from(timings.events.as_millis() / 6).unwrap_or(u64::MAX).max(1);
        let end = Instant::now() + timings.events + Duration::from_millis(random_id() % millis);
        let keep_alive = timings.keep_alive;
        let cursor_min = query.cursor.next();
        Self {
            source,
            encoding,
            next: start,
            cursor_min,
            stopping,
            keep_alive,
            end,
            is_begun: false,
            counted: None,
        }
    }

    pub(super) fn response(self) -> Response {
        let encoding = self.encoding;
        let events = try_unfold(self, async |mut events| match events.piece().await {
            Ok(piece) => Ok(piece.map(|piece| (piece, events))),
            Err(error) => {
                tracing::warn!(%error, offset = events.next, "cut off a stream of events");
                Err(error)
            }
        });
        let headers = [
            (CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
            (CACHE_CONTROL, HeaderValue::from_static("no-cache")),
            (ACCEL_BUFFERING, HeaderValue::from_static("no")),
        ];
        let mut response = (headers, Body::from_stream(events)).into_response();
        if encoding == Encoding::Base64 {
            response.headers_mut().insert(DATA_ENCODING, HeaderValue::from_static("base64"));
        }
        response
    }

    /// The next events: data and control together, or control alone; none: that was all.
    async fn piece(&mut self) -> Result<Option<Bytes>, TailError> {
        if self.stopping.is_announced() || Instant::now() >= self.end {
            return Ok(None);
        }
        if self.source.length() <= self.next {
            if !self.is_begun {
                return Ok(Some(self.control_alone()));
            }
            self.counted = None;
            tokio::select! {
                more = self.source.wait_beyond(self.next) => more?,
                () = sleep(self.keep_alive) => return Ok(Some(self.control_alone())),
                () = sleep_until(self.end) => return Ok(None),
                () = self.stopping.wait() => return Ok(None),
            }
        }
        // What is encoded is longer than what is read, and both are here for a moment.
        let most = self.counted.get_or_insert_with(Counted::new).piece_bytes() / 2;
        let most = if self.encoding.is_divisible() { most } else { usize::MAX };
        let bytes = self.source.read(self.next..self.source.length(), most).await?;
        let bytes = &bytes[..self.encoding.fit(&bytes)];
        self.next = self.next.saturating_add(bytes.len() as u64);
        let mut out = Vec::with_capacity(bytes.len() / 2 * 3 + 256);
        out.extend_from_slice(format!("id: {}\nevent: data\n", digits(self.next)).as_bytes());
        self.encoding.data(bytes, &mut out);
        out.push(b'\n');
        self.control(&mut out);
        Ok(Some(out.into()))
    }

    fn control_alone(&mut self) -> Bytes {
        let mut out = Vec::new();
        self.control(&mut out);
        out.into()
    }

    fn control(&mut self, out: &mut Vec<u8>) {
        self.is_begun = true;
        let (next, cursor) = (digits(self.next), Cursor::default().next().max(self.cursor_min));
        let up_to_date = if self.next == self.source.length() { ",\"upToDate\":true" } else { "" };
        let event = format!(
            "id: {next}\nevent: control\n\
             data:{{\"streamNextOffset\":\"{next}\",\"streamCursor\":\"{cursor}\"{up_to_date}}}\n\n"
        );
        out.extend_from_slice(event.as_bytes());
    }
}
