//! `GET /v1/receipts/{tx_hash}` and `GET /v1/receipts`: where transactions landed.

use axum::Router;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State as Extract};
use axum::http::Uri;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Serialize;
use std::sync::Arc;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout_at};

use super::{Listed, State};
use crate::api::json::Json;
use crate::api::params::{Params, bad, hash};
use crate::api::problem::{INTERNAL, NOT_COMMITTED, Problem};
use crate::api::schemas;
use crate::api::submit::{index_building, overdue, unknown, unreadable};
use crate::receipts::{Document, Found, Known, Receipts};
use crate::sequence::{Place, ReadError, Reader};
use crate::types::{Height, TxHash};

pub(super) const LISTED: &[Listed] = &[
    Listed {
        method: "GET",
        path: "/v1/receipts/{tx_hash}",
        what: "What became of a transaction; ?wait=SECONDS: hold until that is known",
    },
    Listed {
        method: "GET",
        path: "/v1/receipts",
        what: "Receipts by ?index=N, ?offset=N, ?height=N or ?from=INDEX&limit=N",
    },
];

/// Receipts in one answer when nothing is said.
const LIMIT_DEFAULT: u64 = 100;
/// Receipts in one answer at most; more than that are 1 MiB of JSON.
const LIMIT_MAX: u64 = 4096;

pub(super) fn routes() -> Router<Arc<State>> {
    Router::new().route("/v1/receipts/{tx_hash}", get(by_hash)).route("/v1/receipts", get(by_place))
}

#[utoipa::path(get, path = "/v1/receipts/{tx_hash}", operation_id = "receipts_by_hash", params(
    ("tx_hash" = schemas::Hash, Path, description = "SHA-256 of the bytes that were submitted"),
    ("wait" = Option<f64>, Query, description = "Seconds to wait for a pending transaction to be committed or rejected"),
), responses(
    (status = 200, description = "What became of it", body = schemas::Transaction),
    (status = 400, description = "A parameter is not valid: `bad-parameter`", body = schemas::Problem, content_type = "application/problem+json"),
    (status = 404, description = "This node does not know it: `unknown-transaction`", body = schemas::Problem, content_type = "application/problem+json"),
    (status = 503, description = "The index is being built and does not have it yet: `index-building`; or too many requests wait: `too-many-submissions`", body = schemas::Problem, content_type = "application/problem+json"),
))]
pub(super) async fn by_hash(
    Extract(state): Extract<Arc<State>>,
    text: Result<Path<String>, PathRejection>,
    uri: Uri,
) -> Result<Response, Problem> {
    let since = Instant::now();
    // The path may be no UTF-8 once it is decoded.
    let Path(text) = text.map_err(|_| bad("the hash of a transaction: it is not UTF-8"))?;
    let hash = hash(&text)?;
    let params = Params::of(&uri)?;
    params.only(&["wait"])?;
    let wait = params.seconds("wait")?;
    let receipts = state.submissions.receipts();
    let Some(wait) = wait else { return answer(&state, hash, find(receipts, hash).await?).await };
    let _turn = state.submissions.turn()?;
    // Before the look-up, so that nothing is missed.
    let mut waiting = receipts.wait_for(hash);
    let found = find(receipts, hash).await?;
    if !matches!(found.known, Known::Pending | Known::Overdue | Known::Unknown) {
        return answer(&state, hash, found).await;
    }
    tokio::select! {
        _ = timeout_at(since + wait, waiting.decided()) => {}
        () = state.stopping.wait() => {}
    }
    answer(&state, hash, find(receipts, hash).await?).await
}

async fn answer(state: &State, hash: TxHash, found: Found) -> Result<Response, Problem> {
    if matches!(found.known, Known::Committed(_)) {
        state.until_all_is_readable().await;
    }
    response(hash, &found)
}

async fn find(receipts: &Receipts, hash: TxHash) -> Result<Found, Problem> {
    let receipts = receipts.clone();
    match spawn_blocking(move || receipts.find(hash)).await {
        Ok(Ok(found)) => Ok(found),
        Ok(Err(error)) => {
            tracing::error!(%error, "cannot look a transaction up");
            Err(unreadable())
        }
        // It panicked, which the panic's own message told.
        Err(_) => Err(Problem::new(&INTERNAL, "the look-up met a defect; the node's log has the reason")),
    }
}

fn response(hash: TxHash, found: &Found) -> Result<Response, Problem> {
    if let Some(document) = Document::of(hash, found) {
        return Ok(Json(document).into_response());
    }
    Err(match found {
        Found { complete: false, .. } => index_building(),
        Found { known: Known::Overdue, .. } => overdue(hash),
        _ => unknown(hash),
    })
}

/// Receipts in order, and the index at which more follow.
#[derive(Serialize)]
pub(super) struct Page {
    receipts: Vec<Place>,
    next: Option<u64>,
}

/// What receipts are asked for.
enum Asked {
    Index(u64),
    Offset(u64),
    Height(u64),
    From(u64),
}

#[utoipa::path(get, path = "/v1/receipts", operation_id = "receipts", params(
    ("index" = Option<u64>, Query, description = "The record with this index"),
    ("offset" = Option<u64>, Query, description = "The record that has the byte at this offset"),
    ("height" = Option<u64>, Query, description = "The records of this block"),
    ("from" = Option<u64>, Query, description = "The records from this index on"),
    ("limit" = Option<u64>, Query, description = "Maximum number of receipts, with `height` or `from`"),
), responses(
    (status = 200, description = "The receipts", body = schemas::Receipts),
    (status = 400, description = "A parameter is not valid, or not exactly one of `index`, `offset`, `height` and `from` is given: `bad-parameter`", body = schemas::Problem, content_type = "application/problem+json"),
    (status = 404, description = "Beyond what is committed here: `not-committed`; `actual` is what there is", body = schemas::Problem, content_type = "application/problem+json"),
))]
pub(super) async fn by_place(Extract(state): Extract<Arc<State>>, uri: Uri) -> Result<Json<Page>, Problem> {
    let params = Params::of(&uri)?;
    params.only(&["index", "offset", "height", "from", "limit"])?;
    let number = |name| params.number(name);
    let (index, offset) = (number("index")?.map(Asked::Index), number("offset")?.map(Asked::Offset));
    let (height, from) = (number("height")?.map(Asked::Height), number("from")?.map(Asked::From));
    let limit = number("limit")?.unwrap_or(LIMIT_DEFAULT);
    if !(1..=LIMIT_MAX).contains(&limit) {
        return Err(bad(format!("limit is {limit}; it must be a number from 1 to {LIMIT_MAX}")));
    }
    let mut asked = [index, offset, height, from].into_iter().flatten();
    let (Some(asked), None) = (asked.next(), asked.next()) else {
        return Err(bad("exactly one of index, offset, height and from must be given"));
    };
    let reader = state.reader.clone();
    match spawn_blocking(move || page(&reader, &asked, limit)).await {
        Ok(page) => {
            state.until_all_is_readable().await;
            page.map(Json)
        }
        // It panicked, which the panic's own message told.
        Err(_) => Err(Problem::new(&INTERNAL, "the look-up met a defect; the node's log has the reason")),
    }
}

fn page(reader: &Reader, asked: &Asked, limit: u64) -> Result<Page, Problem> {
    let one = |index: u64| reader.entry(index).map(|entry| vec![Place::of(index, &entry)]);
    let receipts = match *asked {
        Asked::Index(index) => one(index).map_err(|error| problem(&error))?,
        Asked::Offset(offset) => {
            let (index, entry) = reader.entry_at(offset).map_err(|error| problem(&error))?;
            vec![Place::of(index, &entry)]
        }
        Asked::From(from) => return range(reader, from, u64::MAX, limit),
        Asked::Height(height) => {
            let committed = reader.committed().head.height().0;
            if height > committed {
                let detail = format!("block {height} is not committed here; the last one is {committed}");
                return Err(not_committed(detail, committed, "blocks"));
            }
            let start = reader.first_at(Height(height)).map_err(|error| problem(&error))?;
            let end = reader.first_at(Height(height.saturating_add(1))).map_err(|error| problem(&error))?;
            return range(reader, start, end, limit);
        }
    };
    Ok(Page { receipts, next: None })
}

/// The receipts from an index on: those below `end`, `limit` at most.
fn range(reader: &Reader, from: u64, end: u64, limit: u64) -> Result<Page, Problem> {
    let end = end.min(reader.committed().head.count());
    let entries =
        reader.entries(from..end.min(from.saturating_add(limit))).map_err(|error| problem(&error))?;
    let receipts: Vec<Place> = (from..).zip(&entries).map(|(index, entry)| Place::of(index, entry)).collect();
    let next = from.saturating_add(receipts.len() as u64);
    Ok(Page { receipts, next: (next < end).then_some(next) })
}

fn problem(error: &ReadError) -> Problem {
    match error {
        ReadError::NoSuchRecord { count, .. } => not_committed(error.to_string(), *count, "records"),
        ReadError::NoSuchOffset { length, .. } => not_committed(error.to_string(), *length, "bytes"),
        ReadError::Io(_) | ReadError::Damaged { .. } => {
            tracing::error!(%error, "cannot read a receipt");
            unreadable()
        }
    }
}

fn not_committed(detail: String, actual: u64, unit: &'static str) -> Problem {
    Problem::new(&NOT_COMMITTED, detail).with("actual", actual).with("unit", unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_receipt_is_answered_with_what_is_known_of_it() {
        let problem = |known, complete| {
            let problem = response(TxHash::default(), &Found { known, complete }).unwrap_err().to_json();
            let text = |name: &str| problem[name].as_str().unwrap_or_default().to_owned();
            (text("type").rsplit(':').next().map(str::to_owned), text("detail"))
        };
        let (name, detail) = problem(Known::Overdue, true);
        assert_eq!(name.as_deref(), Some("unknown-transaction"));
        assert!(
            detail.contains("more than 120 s ago") && detail.contains("same bytes again is safe"),
            "{detail}"
        );
        let (name, detail) = problem(Known::Unknown, true);
        assert_eq!(name.as_deref(), Some("unknown-transaction"));
        assert!(detail.contains("it has not been submitted here"), "{detail}");
        for known in [Known::Overdue, Known::Unknown] {
            assert_eq!(problem(known, false).0.as_deref(), Some("index-building"));
        }
    }
}
