//! `GET /v1/sequence`: the bytes of the sequence, or a range of them.
//!
//! # ETag
//!
//! The sequence only grows, so its identity and a length name the bytes up to there, on every node of the network:
//! `"<identity>-<length>"`. `If-None-Match` compares that. `If-Range` with the entity tag of an earlier, shorter state is answered
//! from that state: an interrupted download goes on to where it was going, whatever has been added since. A range beyond
//! that state is ignored, as if the tag were another one (RFC 9110, section 13.1.5).

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State as Extract;
use axum::http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_NONE_MATCH, IF_RANGE,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::{Listed, State};
use crate::api::params::{Params, decimal};
use crate::api::problem::{NODE_BEHIND, Problem, RANGE_NOT_SATISFIABLE};
use crate::api::stream::{Asked, Pieces, asked};

pub(super) const LISTED: &[Listed] = &[Listed {
    method: "GET",
    path: "/v1/sequence",
    what: "The sequence's bytes, or a range of them; ?end=LENGTH pins its length",
}];

pub(super) fn routes() -> Router<Arc<State>> {
    Router::new().route("/v1/sequence", get(sequence))
}

/// When a client should ask again for what this node has not committed yet.
pub(super) const BEHIND_PAUSE: Duration = Duration::from_secs(1);
/// Of a response that another request may find longer.
const GROWS: HeaderValue = HeaderValue::from_static("no-cache");
/// Of a response that never changes: for a year, the longest that caches know.
const PINNED: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");

async fn sequence(
    Extract(state): Extract<Arc<State>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let end = Params::of(&uri)?.number("end")?;
    let tip = state.tail.now();
    let length = tip.length();
    if let Some(end) = end.filter(|end| *end > length) {
        return Err(behind("bytes", length, end));
    }
    let now = Version { identity: tip.identity(), length: end.unwrap_or(length), is_pinned: end.is_some() };
    if now.is_known(&headers) {
        return Ok((StatusCode::NOT_MODIFIED, now.headers(&method)).into_response());
    }
    // HEAD has no ranges (RFC 9110, section 14.2).
    let (version, asked) = if method == Method::GET { now.select(&headers) } else { (now, Asked::Whole) };
    let pieces = |part| Body::new(Pieces::new(state.tail.clone(), part));
    Ok(match asked {
        Asked::Whole => (version.headers(&method), pieces(0..version.length)).into_response(),
        Asked::Part(part) => {
            let range = version.content_range(Some(&part));
            (StatusCode::PARTIAL_CONTENT, range, version.headers(&method), pieces(part)).into_response()
        }
        Asked::Beyond => (version.content_range(None), version.beyond()).into_response(),
    })
}

/// What is asked for does not exist here yet. Another node may have it, and this one will.
pub(super) fn behind(unit: &'static str, has: u64, asked: u64) -> Problem {
    let detail = format!(
        "this node has {has} {unit}, and is asked for what comes after {asked}; ask another node, or later"
    );
    Problem::new(&NODE_BEHIND, detail).exceeding(has, Some(asked), unit).retry_after(BEHIND_PAUSE)
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
        format!("\"{}-{}\"", self.identity, self.length)
    }

    /// Whether the client says that it has these bytes.
    fn is_known(&self, headers: &HeaderMap) -> bool {
        let (etag, mut known) =
            (self.etag(), headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok()));
        known.any(|list| {
            list.split(',')
                .map(str::trim)
                .any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
        })
    }

    /// What a request asks for, and of which version: see above.
    fn select(self, headers: &HeaderMap) -> (Self, Asked) {
        let Some(condition) = headers.get(IF_RANGE) else { return (self, asked(headers, self.length)) };
        let length = condition.to_str().ok().and_then(|tag| self.length_in(tag));
        match length.map(|length| (length, asked(headers, length))) {
            Some((length, asked)) if length == self.length => (self, asked),
            Some((length, asked @ Asked::Part(_))) if length < self.length => {
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
            (_, true) => HeaderValue::from_static("no-store"),
            (true, false) => PINNED,
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

/// A header's value of digits, letters and punctuation.
pub(super) fn ascii(text: String) -> HeaderValue {
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""))
}
