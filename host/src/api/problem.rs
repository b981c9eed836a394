//! Errors as problem documents (RFC 9457): one table of their types, and the one way to answer with one.
//!
//! # Format
//!
//! `application/problem+json`: an object with `type` (`urn:dseq:problem:` and the name), `title`, `status`, `detail` (what
//! was wrong with this request), `retry` (whether the same request may succeed later, or at another node), and, where a
//! bound was exceeded, `limit`, `actual` (when it is known) and `unit`; some types have members of their own. Types and their statuses are stable: clients decide
//! by them. Words may change.

use std::time::Duration;

use axum::http::header::{CONNECTION, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value};

use super::json::{self, Json};

/// What the `type` of each problem begins with.
pub const TYPE_PREFIX: &str = "urn:dseq:problem:";

/// A type of problem.
#[derive(Debug, PartialEq, Eq)]
pub struct ProblemType {
    /// Its name, the last part of the URI.
    pub name: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// The same for each problem of the type.
    pub title: &'static str,
    /// When it comes.
    pub when: &'static str,
    /// Whether the same request may succeed later, or at another node.
    pub retry: bool,
    /// Whether the connection is closed, because what comes on it can't be told from the rest of this request.
    pub closes: bool,
}

/// From each row: a constant, and its place in [`TYPES`].
macro_rules! types {
    ($($constant:ident: $name:literal, $status:literal, $title:literal, retry: $retry:literal, closes: $closes:literal, $when:literal;)*) => {
        $(
            #[doc = $when]
            pub const $constant: ProblemType = ProblemType {
                name: $name, status: $status, title: $title, when: $when, retry: $retry, closes: $closes,
            };
        )*

        /// Every type of problem, by status.
        pub const TYPES: &[ProblemType] = &[$($constant),*];
    };
}

types! {
    BODY_INCOMPLETE: "body-incomplete", 400, "The request's body is incomplete", retry: true, closes: true,
        "The body ended before its announced length, or its chunks are malformed.";
    BAD_PARAMETER: "bad-parameter", 400, "A parameter is invalid", retry: false, closes: false,
        "A parameter in the path or the query is malformed, unknown, missing, given twice or out of bounds, or does not go with the others.";
    BAD_HOST: "bad-host", 400, "The request's host is missing or malformed", retry: false, closes: false,
        "A request of HTTP/1.1 has no `Host`, or a request has several, or one that is no host with or without a port.";
    BAD_BATCH: "bad-batch", 400, "The batch is malformed", retry: false, closes: false,
        "A line or a frame of a batch is not as it must be; nothing of the batch was submitted.";
    CROSS_ORIGIN: "cross-origin", 403, "Requests from this origin are not allowed", retry: false, closes: false,
        "A web page of another origin sent a request that could change something, and `http_cors_origins` does not list its origin.";
    NOT_FOUND: "not-found", 404, "There is no such resource", retry: false, closes: false,
        "No route has this path.";
    NO_SUCH_CHECK: "no-such-check", 404, "There is no such check", retry: false, closes: false,
        "No check of the node's health has this name.";
    UNKNOWN_TRANSACTION: "unknown-transaction", 404, "This node does not know the transaction", retry: true, closes: false,
        "The transaction is not committed on this node, and the node does not know that it is on its way: since its process started it has not been submitted here, or was not taken, or was handed to the consensus engine more than two minutes ago.";
    NOT_COMMITTED: "not-committed", 404, "Nothing is committed there yet", retry: true, closes: false,
        "The receipts that were asked for by index, offset or height are of a place that this node has not committed yet; `actual` is how much it has.";
    METHOD_NOT_ALLOWED: "method-not-allowed", 405, "The method is not allowed here", retry: false, closes: false,
        "The path exists, but not for this method; `Allow` lists the methods that it has.";
    NOT_ACCEPTABLE: "not-acceptable", 406, "No such representation", retry: false, closes: false,
        "The resource has no representation of a media type in `Accept`.";
    REQUEST_TIMEOUT: "request-timeout", 408, "The request was sent too slowly", retry: true, closes: true,
        "The head or the body of the request did not arrive in time.";
    BODY_TOO_LARGE: "body-too-large", 413, "The request's body is too large", retry: false, closes: true,
        "The body is longer than the resource takes.";
    UNSUPPORTED_MEDIA_TYPE: "unsupported-media-type", 415, "The body is of a type that is not taken here", retry: false, closes: false,
        "The `Content-Type` of the body is none that the resource takes; it was not read.";
    RANGE_NOT_SATISFIABLE: "range-not-satisfiable", 416, "The range is beyond the end", retry: true, closes: false,
        "The range in `Range` begins beyond the end of what this node has committed, or is empty; `Content-Range` has the length.";
    FOREIGN_HOST: "foreign-host", 421, "The node does not answer for this host", retry: false, closes: false,
        "The node listens on loopback, and `Host` is neither an IP address nor `localhost` nor the host of an origin in `http_cors_origins`: a web page may have made its own name point to this machine.";
    REJECTED: "rejected", 422, "The transaction is rejected", retry: false, closes: false,
        "The network's rules refuse these bytes, whatever node they are sent to: `plugin` (or null), `codespace` and `code` tell by which rule.";
    HEAD_TOO_LARGE: "head-too-large", 431, "The request's head is too large", retry: false, closes: true,
        "The request has too many header fields, or its target and header fields are too long.";
    INTERNAL: "internal", 500, "The node has a defect", retry: true, closes: false,
        "A request met a defect of this program. The node's log has the reason, with the request id.";
    STORE_UNREADABLE: "store-unreadable", 500, "The node cannot read its store", retry: true, closes: false,
        "The disk does not give back what was committed. Another node has the same bytes; the node's log has the reason.";
    NODE_BEHIND: "node-behind", 503, "This node is behind", retry: true, closes: false,
        "The request names an offset, a record or a height that this node has not committed yet: `actual` is what was asked for, `limit` how far this node is. Another node may be ahead.";
    INDEX_BUILDING: "index-building", 503, "The index of receipts is being built", retry: true, closes: false,
        "The node is still opening or building its index of receipts, and cannot tell yet whether the transaction is committed. One that was submitted was not taken.";
    MEMPOOL_FULL: "mempool-full", 503, "The mempool is full", retry: true, closes: false,
        "Too many transactions wait at this node to get into a block; this one was not taken.";
    NOT_READY: "not-ready", 503, "The node is not ready", retry: true, closes: false,
        "The node has no genesis yet, its disk is nearly full, or its consensus engine does not answer or still catches up; the transaction was not taken.";
    OVERLOADED: "overloaded", 503, "More is submitted than the network decides", retry: true, closes: false,
        "What waits at this node to get into a block takes long already; this transaction was not taken. `Retry-After` tells when to try again.";
    TOO_MANY_SUBMISSIONS: "too-many-submissions", 503, "Too many submissions are in progress", retry: true, closes: true,
        "Too many requests that submit wait at this node, or their bodies and transactions take too much memory together; nothing of this one was taken.";
    TOO_MANY_CONNECTIONS: "too-many-connections", 503, "Too many connections are open", retry: true, closes: true,
        "All connections, or all that one address may have, are taken. Comes instead of an answer to the first request of a new connection.";
    ANSWER_TIMEOUT: "answer-timeout", 504, "The node did not answer in time", retry: true, closes: false,
        "The node's disk or another part of it hangs. A transaction that was submitted may have been taken: ask for its receipt.";
}

/// A bound that a request exceeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
struct Exceeded {
    limit: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    actual: Option<u64>,
    unit: &'static str,
}

/// What was wrong with one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    of: &'static ProblemType,
    detail: String,
    exceeded: Option<Exceeded>,
    members: Map<String, Value>,
    retry_after: Option<Duration>,
}

/// The document.
#[derive(Serialize)]
struct Document<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    retry: bool,
    #[serde(flatten)]
    exceeded: Option<Exceeded>,
    #[serde(flatten)]
    members: &'a Map<String, Value>,
}

impl Problem {
    /// A problem of a type, with what was wrong.
    #[must_use]
    pub fn new(of: &'static ProblemType, detail: impl Into<String>) -> Self {
        Self { of, detail: detail.into(), exceeded: None, members: Map::new(), retry_after: None }
    }

    /// Adds the bound that was exceeded, and by what, if that is known.
    #[must_use]
    pub fn exceeding(self, limit: u64, actual: Option<u64>, unit: &'static str) -> Self {
        Self { exceeded: Some(Exceeded { limit, actual, unit }), ..self }
    }

    /// [`Self::exceeding`] for a time, in milliseconds.
    #[must_use]
    pub fn exceeding_time(self, limit: Duration, actual: Option<Duration>) -> Self {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        self.exceeding(millis(limit), actual.map(millis), "milliseconds")
    }

    /// The bound that was exceeded.
    #[must_use]
    pub fn limit(&self) -> Option<u64> {
        self.exceeded.map(|exceeded| exceeded.limit)
    }

    /// The name of its type.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.of.name
    }

    /// The same, with other words for what was wrong.
    #[must_use]
    pub fn saying(self, detail: impl Into<String>) -> Self {
        Self { detail: detail.into(), ..self }
    }

    /// Whether it is of this type.
    #[must_use]
    pub fn is(&self, of: &'static ProblemType) -> bool {
        self.of == of
    }

    /// Adds a member that the type has beside those of every problem.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.members.insert(name.to_owned(), value.into());
        self
    }

    /// Adds when to try again: `Retry-After`, in whole seconds.
    #[must_use]
    pub fn retry_after(self, pause: Duration) -> Self {
        Self { retry_after: Some(pause), ..self }
    }

    /// The document, for an answer that holds several.
    #[must_use]
    pub fn to_json(&self) -> Value {
        // A document of strings and numbers always has a JSON form.
        serde_json::to_value(self.document()).unwrap_or_default()
    }

    fn document(&self) -> Document<'_> {
        let ProblemType { name, status, title, retry, .. } = *self.of;
        let r#type = format!("{TYPE_PREFIX}{name}");
        let (detail, exceeded, members) = (&self.detail, self.exceeded, &self.members);
        Document { r#type, title, status, detail, retry, exceeded, members }
    }

    /// The whole response as bytes, for a connection that hyper does not serve (any more).
    pub(super) fn raw_response(&self) -> Vec<u8> {
        let body = json::text(&self.document());
        let status = StatusCode::from_u16(self.of.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let retry_after = self
            .retry_after
            .map_or_else(String::new, |pause| format!("retry-after: {}\r\n", pause.as_secs().max(1)));
        format!(
            "HTTP/1.1 {} {}\r\ncontent-type: application/problem+json\r\nx-content-type-options: nosniff\r\n\
             cache-control: no-store\r\nconnection: close\r\n{retry_after}content-length: {}\r\n\r\n{body}",
            status.as_u16(),
            status.canonical_reason().unwrap_or_default(),
            body.len()
        )
        .into_bytes()
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.of.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(self.document())).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if self.of.closes {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        if let Some(pause) = self.retry_after {
            headers.insert(RETRY_AFTER, pause.as_secs().max(1).into());
        }
        response.extensions_mut().insert(self.of);
        response
    }
}
