//! `POST /v1/submit`: one transaction, and its receipt.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State as Extract;
use axum::http::header::{CONTENT_LENGTH, LOCATION};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use serde::Serialize;
use tokio::time::Instant;

use super::{Listed, State};
use crate::api::submit::Submitted;
use crate::api::submit::params::Query;
use crate::api::{Problem, body};
use crate::sequence::{Place, as_text};
use crate::types::TxHash;

pub(super) const LISTED: &[Listed] = &[Listed {
    method: "POST",
    path: "/v1/submit",
    what: "Submit the body as a transaction; ?wait=none, checked or committed, ?timeout=SECONDS",
}];

pub(super) fn routes() -> Router<Arc<State>> {
    Router::new().route("/v1/submit", post(submit))
}

async fn submit(
    Extract(state): Extract<Arc<State>>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let since = Instant::now();
    let mut query = Query::parse(&uri)?;
    let patience = query.patience()?;
    query.done("wait and timeout")?;
    let submissions = &state.submissions;
    let bytes_max = submissions.tx_bytes_max()?;
    let _turn = submissions.turn()?;
    let announced = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    let load = submissions.load(announced.map_or(bytes_max, |bytes| bytes.min(bytes_max)))?;
    let tx = body::whole(&headers, body, bytes_max).await?;
    let hash = TxHash::of(&tx);
    match submissions.submit(tx, load, patience, since).await {
        Submitted::Failed(problem) => Err(problem),
        Submitted::Committed { place, duplicate } => {
            Ok(Json(Shown::Committed { place: &place, duplicate }).into_response())
        }
        Submitted::Pending => {
            let location = [(LOCATION, format!("/v1/receipts/{hash}"))];
            Ok((StatusCode::ACCEPTED, location, Json(Shown::Pending { tx_hash: hash })).into_response())
        }
    }
}

/// What became of a transaction, as JSON.
#[derive(Serialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub(super) enum Shown<'a> {
    Committed {
        #[serde(flatten)]
        place: &'a Place,
        duplicate: bool,
    },
    Pending {
        #[serde(serialize_with = "as_text")]
        tx_hash: TxHash,
    },
}
