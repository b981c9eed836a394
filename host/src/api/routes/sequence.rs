//! `GET /v1/sequence`: the bytes of the sequence, or a range of them; with `offset`, the read side of Durable Streams.
//!
//! # ETag
//!
//! The sequence only grows, so its identity and a length name the bytes up to there, on every node of the network:
//! `"<identity>-<length>"`. `If-None-Match` compares that. `If-Range` with the entity tag of an earlier, shorter state is answered
//! from that state: an interrupted download goes on to where it was going, whatever has been added since. A range beyond
//! that state is ignored, as if the tag were another one (RFC 9110, section 13.1.5). The identity follows from the first record, so
//! no bytes have one tag on every network: `"empty-0"`, before the first record and ever after.

use std::ops::Range;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State as Extract};
use axum::http::header::{ACCEPT_RANGES, CACHE_CONTROL, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_RANGE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::{Listed, State};
use crate::api::Tail;
use crate::api::conditions::{ascii, is_known};
use crate::api::params::{Params, decimal};
use crate::api::problem::{BAD_PARAMETER, Problem, RANGE_NOT_SATISFIABLE};
use crate::api::schemas;
use crate::api::stream::{
    self, Asked, GROWS, IMMUTABLE, NEXT_OFFSET, NO_STORE, Pieces, Timings, UP_TO_DATE, asked, behind, token,
};
use crate::api::tail::EMPTY;

pub(super) const LISTED: &[Listed] = &[Listed {
    method: "GET",
    path: "/v1/sequence",
    what: "The sequence's bytes: ranges; ?end=LENGTH; ?offset=-1&live=sse and the rest of Durable Streams' read side",
}];

pub(super) fn routes() -> Router<Arc<State>> {
    Router::new().route("/v1/sequence", get(sequence))
}

#[utoipa::path(get, path = "/v1/sequence", params(
    ("Range" = Option<String>, Header, description = "One range of bytes: `bytes=FIRST-LAST`, `bytes=FIRST-` or `bytes=-LENGTH`"),
    ("If-None-Match" = Option<String>, Header, description = "An `ETag` of an earlier answer"),
    ("If-Range" = Option<String>, Header, description = "The `ETag` of the answer that an interrupted download goes on with"),
    ("end" = Option<u64>, Query, description = "The sequence as it was when it had this length: never changes"),
    ("offset" = Option<String>, Query, description = "By Durable Streams: exactly 20 digits, `-1` (the beginning) or `now`", pattern = "^([0-9]{20}|-1|now)$"),
    ("live" = Option<String>, Query, description = "With `offset`: waits for bytes to come, by `long-poll` or `sse`"),
    ("cursor" = Option<String>, Query, description = "The `Stream-Cursor` of the last answer"),
), responses(
    (status = 200, description = "Bytes; with `live=sse`, events with bytes in base64", content(
        (Vec<u8> = "application/octet-stream"), (String = "text/event-stream")), headers(
        ("ETag" = String, description = "Names the bytes up to this length, on every node"),
        ("Stream-Next-Offset" = String, description = "The offset after the last byte of this answer"),
        ("Stream-Up-To-Date" = String, description = "`true` if that is this node's length"),
        ("Stream-Cursor" = String, description = "To be sent as `cursor` in the next live request"),
    )),
    (status = 204, description = "By `live=long-poll`: nothing came in time; `Stream-Next-Offset` and `Stream-Cursor` say how to go on"),
    (status = 206, description = "The range", body = Vec<u8>, content_type = "application/octet-stream", headers(
        ("Content-Range" = String, description = "Which bytes these are, and the length")
    )),
    (status = 304, description = "It is what the client has (`If-None-Match`)"),
    (status = 400, description = "A parameter is not valid: `bad-parameter`", body = schemas::Problem, content_type = "application/problem+json"),
    (status = 416, description = "The range begins beyond the end: `range-not-satisfiable`; `limit` is the length", body = schemas::Problem, content_type = "application/problem+json"),
    (status = 503, description = "`offset` or `end` is beyond this node's length: `node-behind`; `limit` is the length", body = schemas::Problem, content_type = "application/problem+json"),
))]
pub(super) async fn sequence(
    Extract(state): Extract<Arc<State>>,
    request: Request,
) -> Result<Response, Problem> {
    let (request, _) = request.into_parts();
    let params = Params::of(&request.uri)?;
    let is_stream = params.one("offset")?.is_some() || params.one("live")?.is_some();
    // Durable Streams wants parameters that it does not have to be ignored.
    if !is_stream {
        params.only(&["end", "offset", "live", "cursor"])?;
    }
    match params.number("end")? {
        Some(_) if is_stream => Err(Problem::new(
            &BAD_PARAMETER,
            "end does not go with offset or live: leave it out, or use Range",
        )),
        None if is_stream => {
            stream::serve(state.tail.clone(), &request, state.stopping.clone(), Timings::DEFAULT).await
        }
        end => ranges(&state.tail, end, &request.method, &request.headers),
    }
}

/// Answers a request that is not one of Durable Streams.
fn ranges(tail: &Tail, end: Option<u64>, method: &Method, headers: &HeaderMap) -> Result<Response, Problem> {
    let tip = tail.now();
    let length = tip.length();
    if let Some(end) = end.filter(|end| *end > length) {
        return Err(behind("bytes", length, end));
    }
    let now = Version { identity: tip.identity(), length: end.unwrap_or(length), is_pinned: end.is_some() };
    if is_known(headers, &now.etag()) {
        return Ok((StatusCode::NOT_MODIFIED, now.headers(method)).into_response());
    }
    // HEAD has no ranges (RFC 9110, section 14.2).
    let (version, asked) = if method == Method::GET { now.select(headers) } else { (now, Asked::Whole) };
    let pieces = |part| Body::new(Pieces::new(tail.clone(), part));
    Ok(match asked {
        Asked::Whole => {
            let mut response = (version.headers(method), pieces(0..version.length)).into_response();
            if !version.is_pinned {
                // Who reads on by Durable Streams goes on from there.
                response.headers_mut().insert(NEXT_OFFSET, token(version.length));
                response.headers_mut().insert(UP_TO_DATE, HeaderValue::from_static("true"));
            }
            response
        }
        Asked::Part(part) => {
            let range = version.content_range(Some(&part));
            (StatusCode::PARTIAL_CONTENT, range, version.headers(method), pieces(part)).into_response()
        }
        Asked::Beyond => (version.content_range(None), version.beyond()).into_response(),
    })
}

/// The sequence as it was when it had some length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Version<'a> {
    identity: &'a str,
    length: u64,
    /// Whether the request names the length: then the answer never changes.
    is_pinned: bool,
}

impl Version<'_> {
    fn etag(&self) -> String {
        let identity = if self.length == 0 { EMPTY } else { self.identity };
        format!("\"{identity}-{}\"", self.length)
    }

    /// What a request asks for, and of which version: see above.
    fn select(self, headers: &HeaderMap) -> (Self, Asked) {
        let Some(condition) = headers.get(IF_RANGE) else { return (self, asked(headers, self.length)) };
        let length = condition.to_str().ok().and_then(|tag| self.length_in(tag));
        match length.map(|length| (length, asked(headers, length))) {
            Some((length, asked)) if length == self.length => (self, asked),
            Some((length, asked @ Asked::Part(_))) if length < self.length && !self.is_pinned => {
                (Self { length, ..self }, asked)
            }
            _ => (self, Asked::Whole),
        }
    }

    /// The length in an entity tag, if it is one of this sequence.
    fn length_in(&self, etag: &str) -> Option<u64> {
        let (identity, length) = etag.strip_prefix('"')?.strip_suffix('"')?.split_once('-')?;
        let length = decimal(length)?;
        (identity == self.identity && etag == Self { length, ..*self }.etag()).then_some(length)
    }

    /// What every answer has that is not a problem.
    fn headers(&self, method: &Method) -> HeaderMap {
        let cache = match (self.is_pinned, method == Method::HEAD) {
            (_, true) => NO_STORE,
            (true, false) => IMMUTABLE,
            (false, false) => GROWS,
        };
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        headers.insert(CACHE_CONTROL, cache);
        headers.insert(ETAG, ascii(self.etag()));
        headers
    }

    /// Where a part is; none: how long the whole is.
    fn content_range(&self, part: Option<&Range<u64>>) -> [(HeaderName, HeaderValue); 1] {
        let part = part
            .map_or_else(|| "*".to_owned(), |part| format!("{}-{}", part.start, part.end.saturating_sub(1)));
        [(CONTENT_RANGE, ascii(format!("bytes {part}/{}", self.length)))]
    }

    fn beyond(&self) -> Problem {
        let detail = format!("the range begins beyond the {} bytes that there are, or is empty", self.length);
        Problem::new(&RANGE_NOT_SATISFIABLE, detail).exceeding(self.length, None, "bytes")
    }
}
