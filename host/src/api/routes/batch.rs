//! `POST /v1/submit/batch`: many transactions, and a line of JSON for each.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::State as Extract;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Extension, Router};
use futures_util::stream::{self, StreamExt};
use tokio::sync::Semaphore;

use super::submit::{Begun, Shown};
use super::{Listed, State};
use crate::api::problem::{BODY_TOO_LARGE, Problem, REJECTED, UNSUPPORTED_MEDIA_TYPE};
use crate::api::submit::batch::Framing;
use crate::api::submit::{Load, Submission, Submitted, too_long_in_batch};
use crate::api::{TraceContext, schemas};
use crate::types::TxHash;

pub(super) const LISTED: &[Listed] = &[Listed {
    method: "POST",
    path: "/v1/submit/batch",
    what: "Submit many transactions, as NDJSON or each after its length; ?wait and ?timeout as above",
}];

/// Transactions of one batch that are on their way at once. The others wait until these are answered.
const AT_ONCE: usize = 1024;
/// Lines that are sent together when they are known together.
const LINES_TOGETHER: usize = 64;

pub(super) fn routes() -> Router<Arc<State>> {
    Router::new().route("/v1/submit/batch", post(batch))
}

#[utoipa::path(post, path = "/v1/submit/batch", params(
    ("wait" = Option<String>, Query, description = "When to answer for each transaction, as for `/v1/submit`"),
    ("timeout" = Option<f64>, Query, description = "Seconds to wait at most, for all of them: 10 if not given, at most 60"),
), request_body(description = "NDJSON, each line `{\"data\":\"<base64>\"}` or `{\"text\":\"...\"}`; or frames: u32 length (little-endian), then the bytes", content(
    (String = "application/x-ndjson"), (Vec<u8> = "application/octet-stream"))), responses(
    (status = 200, description = "A line of JSON for each transaction, in their order, as soon as it is known", body = schemas::BatchLine, content_type = "application/x-ndjson"),
    (status = 400, description = "A parameter is not valid, or a line or frame is malformed and nothing was submitted: `bad-parameter`, `bad-batch`", body = schemas::Problem, content_type = "application/problem+json"),
    (status = 413, description = "The batch is too long: `body-too-large`", body = schemas::Problem, content_type = "application/problem+json"),
    (status = 415, description = "`Content-Type` is neither of the two: `unsupported-media-type`", body = schemas::Problem, content_type = "application/problem+json"),
    (status = 503, description = "Not taken now: `overloaded`, `not-ready` or `too-many-submissions`", body = schemas::Problem, content_type = "application/problem+json"),
))]
pub(super) async fn batch(
    Extract(state): Extract<Arc<State>>,
    Extension(trace): Extension<TraceContext>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let framing = Framing::of(content_type);
    let bytes_max = |tx_bytes_max| Ok(framing.ok_or_else(unsupported)?.body_bytes_max(tx_bytes_max));
    let begun = Begun::of(&state, &uri, &headers, body, bytes_max).await?;
    let Begun { since, patience, tx_bytes_max, turn, load, body } = begun;
    let txs = framing.ok_or_else(unsupported)?.parse(&body)?;
    drop(body);
    let load = state.submissions.load_batch(load, txs.len().min(AT_ONCE))?;
    // Answers alone do not bound what is on its way: without waiting they come at once.
    let at_once = Arc::new(Semaphore::new(AT_ONCE));
    // Each clone is dropped when its transaction is with CometBFT, so a client that reads the answer slowly holds no memory once all
    // have been handed over.
    let txs: Vec<(Bytes, Load)> = txs.into_iter().map(|tx| (tx, load.clone())).collect();
    drop(load);
    let one = move |(tx, load): (Bytes, Load)| {
        let (state, at_once) = (Arc::clone(&state), Arc::clone(&at_once));
        async move {
            // Nobody closes it.
            let load = match at_once.acquire_owned().await {
                Ok(permit) => load.holding(permit),
                Err(_) => load,
            };
            let (hash, length) = (TxHash::of(&tx), tx.len() as u64);
            let submitted = if length > tx_bytes_max {
                Submitted::Failed(too_long_in_batch(tx_bytes_max, length))
            } else {
                let submission = Submission { tx, hash, load, patience, since };
                state.submissions.submit(submission, &trace).await
            };
            if let Submitted::Committed { place, .. } = &submitted {
                state.until_readable(place.index + 1).await;
            }
            line(hash, &submitted)
        }
    };
    // Held until the last line is sent, or nobody is left to read it.
    let lines = stream::iter(txs).map(one).buffered(AT_ONCE).ready_chunks(LINES_TOGETHER);
    let lines = lines.map(move |lines| {
        let _turn = &turn;
        Ok::<_, Infallible>(lines.concat())
    });
    Ok(([(CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(lines)).into_response())
}

/// What became of a transaction, as a line of JSON.
fn line(hash: TxHash, submitted: &Submitted) -> String {
    let shown = match submitted {
        Submitted::Committed { place, duplicate } => Shown::Committed { place, duplicate: *duplicate },
        Submitted::Pending => Shown::Pending { tx_hash: hash },
        Submitted::Failed(problem) if problem.is(&REJECTED) || problem.is(&BODY_TOO_LARGE) => {
            Shown::Rejected { tx_hash: hash, problem: problem.to_json() }
        }
        Submitted::Failed(problem) => Shown::Failed { tx_hash: hash, problem: problem.to_json() },
    };
    // Strings, numbers and maps with strings as keys always have a JSON form.
    serde_json::to_string(&shown).unwrap_or_default() + "\n"
}

fn unsupported() -> Problem {
    let detail = "a batch is application/x-ndjson or application/octet-stream, as Content-Type has to say";
    Problem::new(&UNSUPPORTED_MEDIA_TYPE, detail)
}
