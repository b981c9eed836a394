//! `GET /v1/records`: records with what the log knows of them, as JSON, NDJSON or frames; with `live=true`, also those that are
//! still to come.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State as Extract;
use axum::http::header::{CONTENT_TYPE, VARY};
use axum::http::{HeaderMap, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::task::spawn_blocking;

use super::{Listed, State};
use crate::api::accept::preferred;
use crate::api::params::Params;
use crate::api::problem::{BAD_PARAMETER, NOT_ACCEPTABLE, Problem, STORE_UNREADABLE};
use crate::api::schemas;
use crate::api::stream::behind;
use crate::api::stream::records::{Format, Records};
use crate::excerpt::Excerpt;
use crate::types::Height;

pub(super) const LISTED: &[Listed] = &[Listed {
    method: "GET",
    path: "/v1/records",
    what: "Records with their receipts: ?from=INDEX&limit=N or ?height=H; live=true goes on with those to come",
}];

pub(super) fn routes() -> Router<Arc<State>> {
    Router::new().route("/v1/records", get(records))
}

/// Number of records in an answer, unless the request says otherwise.
const LIMIT_DEFAULT: u64 = 1000;
/// Maximum number of records in an answer. They are streamed, so this bounds only how long one request takes.
///
/// A larger limit is refused.
const LIMIT_MAX: u64 = 100_000;

const JSON: (&str, Format) = ("application/json", Format::Json);
const NDJSON: (&str, Format) = ("application/x-ndjson", Format::Ndjson);
const FRAMES: (&str, Format) = ("application/octet-stream", Format::Frames);

/// What a request asks for.
struct Query {
    from: u64,
    /// Number of records; none: those to come, too.
    limit: Option<u64>,
    height: Option<Height>,
    is_live: bool,
}

#[utoipa::path(get, path = "/v1/records", params(
    ("from" = Option<u64>, Query, description = "Index of the first record; 0 if not given"),
    ("limit" = Option<u64>, Query, description = "Maximum number of records"),
    ("height" = Option<u64>, Query, description = "The records of this block, in place of `from` and `live`"),
    ("live" = Option<bool>, Query, description = "Goes on with records that are still to come; not as JSON"),
), responses(
    (status = 200, description = "The records, as `Accept` asks: JSON; NDJSON, an object for each record; or frames: u32 length of what follows, u64 index, the entry of 88 bytes, the record's bytes (integers little-endian)", content(
        (schemas::Records = "application/json"), (schemas::Record = "application/x-ndjson"), (Vec<u8> = "application/octet-stream"))),
    (status = 400, description = "A parameter is not valid: `bad-parameter`", body = schemas::Problem, content_type = "application/problem+json"),
    (status = 406, description = "`Accept` asks for none of these: `not-acceptable`", body = schemas::Problem, content_type = "application/problem+json"),
    (status = 503, description = "`from` or `height` is beyond what this node has: `node-behind`", body = schemas::Problem, content_type = "application/problem+json"),
))]
pub(super) async fn records(
    Extract(state): Extract<Arc<State>>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let query = Query::of(&Params::of(&uri)?)?;
    let offered = if query.is_live { &[NDJSON, FRAMES][..] } else { &[JSON, NDJSON, FRAMES] };
    let format = preferred(&headers, offered).ok_or_else(|| {
        let offered: Vec<&str> = offered.iter().map(|(media_type, _)| *media_type).collect();
        Problem::new(&NOT_ACCEPTABLE, format!("what is asked for is there as {}", offered.join(", ")))
    })?;
    let tip = state.tail.now();
    let (from, end) = match query.height {
        Some(height) if height > tip.prefix().height() => {
            return Err(behind("blocks", tip.prefix().height().0, height.0));
        }
        Some(height) => {
            let prefix = tip.prefix().clone();
            let indices = spawn_blocking(move || prefix.indices_at(height)).await;
            let Ok(Ok(indices)) = indices else {
                tracing::error!("cannot look up the records of block {height}: {indices:?}");
                return Err(Problem::new(
                    &STORE_UNREADABLE,
                    "the records of the block could not be looked up",
                ));
            };
            (indices.start, Some(indices.end))
        }
        None if query.from > tip.count() => return Err(behind("records", tip.count(), query.from)),
        None if query.is_live => (query.from, None),
        None => (query.from, Some(tip.count())),
    };
    let limited = query.limit.map(|limit| from.saturating_add(limit));
    let end = match (end, limited) {
        (Some(end), Some(limited)) => Some(end.min(limited)),
        (end, limited) => end.or(limited),
    };
    let body = Records::new(state.tail.clone(), state.stopping.clone(), format, from, end);
    let media_type = offered.iter().find(|(_, offered)| *offered == format).map_or("", |(name, _)| name);
    let headers = [(CONTENT_TYPE, media_type), (VARY, "accept")];
    Ok((headers, Body::from_stream(body.stream())).into_response())
}

impl Query {
    fn of(params: &Params) -> Result<Self, Problem> {
        params.only(&["from", "limit", "height", "live"])?;
        let (from, height) = (params.number("from")?, params.number("height")?.map(Height));
        let is_live = match params.one("live")? {
            None | Some("false") => false,
            Some("true") => true,
            Some(other) => {
                let detail = format!("live must be true or false, not {:?}", Excerpt::of(other));
                return Err(Problem::new(&BAD_PARAMETER, detail));
            }
        };
        if height.is_some() && (from.is_some() || is_live) {
            return Err(Problem::new(&BAD_PARAMETER, "height does not go with from or live"));
        }
        let limit = params.number("limit")?;
        if let Some(limit) = limit.filter(|limit| *limit > LIMIT_MAX && !is_live) {
            let detail = format!("limit is {LIMIT_MAX} at most; ask for the rest with from");
            return Err(Problem::new(&BAD_PARAMETER, detail).exceeding(LIMIT_MAX, Some(limit), "records"));
        }
        // A block's records come whole: there are no more of them than a block may bring.
        let all = is_live || height.is_some();
        let limit = limit.or_else(|| (!all).then_some(LIMIT_DEFAULT));
        Ok(Self { from: from.unwrap_or(0), limit, height, is_live })
    }
}
