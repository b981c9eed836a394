//! `POST /v1/submit`: one transaction, and its receipt.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::State as Extract;
use axum::http::header::{CONTENT_LENGTH, LOCATION};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Extension, Router};
use serde::Serialize;
use serde_json::Value;
use tokio::time::Instant;

use super::{Listed, State};
use crate::api::json::Json;
use crate::api::params::Params;
use crate::api::schemas;
use crate::api::submit::params::Patience;
use crate::api::submit::{Load, Submission, Submitted, Turn, too_long};
use crate::api::{Problem, TraceContext, body};
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

#[utoipa::path(post, path = "/v1/submit", params(
    ("wait" = Option<String>, Query, description = "When to answer: `none`, as soon as the body is read; `checked`, when the pipeline accepts it and it was handed to the consensus engine; `committed` (default), after this node's own commit"),
    ("timeout" = Option<f64>, Query, description = "Seconds to wait at most: 10 if not given, at most 60"),
), request_body(content = Vec<u8>, content_type = "application/octet-stream", description = "The transaction: any bytes, of any media type"), responses(
    (status = 200, description = "It is in the sequence", body = schemas::Submission),
    (status = 202, description = "Not known yet", body = schemas::Submission, headers(("Location" = String, description = "Where its receipt will be"))),
    (status = 400, description = "A parameter is not valid: `bad-parameter`", body = schemas::Problem, content_type = "application/problem+json"),
    (status = 413, description = "It is longer than a transaction may be: `body-too-large`, with `codespace` and `code`", body = schemas::Problem, content_type = "application/problem+json"),
    (status = 422, description = "The network's rules refuse it: `rejected`, with `plugin`, `codespace`, `code` and `tx_hash`", body = schemas::Problem, content_type = "application/problem+json"),
    (status = 503, description = "Not taken now: `overloaded`, `mempool-full`, `not-ready`, `index-building` or `too-many-submissions`; `Retry-After` says when to try again", body = schemas::Problem, content_type = "application/problem+json"),
))]
pub(super) async fn submit(
    Extract(state): Extract<Arc<State>>,
    Extension(trace): Extension<TraceContext>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let begun = Begun::of(&state, &uri, &headers, body, Ok).await;
    let Begun { since, patience, turn: _turn, load, body: tx, .. } = begun.map_err(too_long)?;
    let hash = TxHash::of(&tx);
    let submission = Submission { tx, hash, load, patience, since };
    match state.submissions.submit(submission, &trace).await {
        Submitted::Failed(problem) => Err(problem),
        Submitted::Committed { place, duplicate } => {
            state.until_readable(place.index + 1).await;
            Ok(Json(Shown::Committed { place: &place, duplicate }).into_response())
        }
        Submitted::Pending => {
            let location = [(LOCATION, format!("/v1/receipts/{hash}"))];
            Ok((StatusCode::ACCEPTED, location, Json(Shown::Pending { tx_hash: hash })).into_response())
        }
    }
}

/// A request that submits, once it has been let in and its body is here.
pub(super) struct Begun {
    pub(super) since: Instant,
    pub(super) patience: Patience,
    pub(super) tx_bytes_max: u64,
    /// Held as long as it waits.
    pub(super) turn: Turn,
    pub(super) load: Load,
    pub(super) body: Bytes,
}

impl Begun {
    /// Lets a request in and reads its body. `bytes_max` says how long that may be, given the longest transaction.
    pub(super) async fn of(
        state: &State,
        uri: &Uri,
        headers: &HeaderMap,
        body: Body,
        bytes_max: impl FnOnce(u64) -> Result<u64, Problem>,
    ) -> Result<Self, Problem> {
        let since = Instant::now();
        let patience = Patience::of(&Params::of(uri)?)?;
        let submissions = &state.submissions;
        let tx_bytes_max = submissions.tx_bytes_max()?;
        let bytes_max = bytes_max(tx_bytes_max)?;
        submissions.admit()?;
        let turn = submissions.turn()?;
        let announced = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        let mut reading = submissions.reading(announced.unwrap_or(0).min(bytes_max))?;
        let body = body::whole(headers, body, bytes_max, |bytes| reading.take(bytes)).await?;
        Ok(Self { since, patience, tx_bytes_max, turn, load: reading.end(), body })
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
    /// In a batch: alone, it is a problem.
    Rejected {
        #[serde(serialize_with = "as_text")]
        tx_hash: TxHash,
        problem: Value,
    },
    /// As well.
    Failed {
        #[serde(serialize_with = "as_text")]
        tx_hash: TxHash,
        problem: Value,
    },
}
