//! `GET /v1/status`: how far this node is, and whether it accepts transactions.

use std::sync::Arc;

use axum::Router;
use axum::extract::State as Extract;
use axum::http::Uri;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::task::spawn_blocking;

use super::{Listed, State};
use crate::api::json::Json;
use crate::api::params::Params;
use crate::api::problem::INTERNAL;
use crate::api::{Problem, schemas};

pub(super) const LISTED: &[Listed] = &[Listed {
    method: "GET",
    path: "/v1/status",
    what: "How far this node is, and whether it accepts transactions",
}];

pub(super) fn routes() -> Router<Arc<State>> {
    Router::new().route("/v1/status", get(status))
}

#[utoipa::path(get, path = "/v1/status", responses(
    (status = 200, description = "The status", body = schemas::Status),
    (status = 400, description = "There are no parameters: `bad-parameter`", body = schemas::Problem, content_type = "application/problem+json"),
))]
pub(super) async fn status(Extract(state): Extract<Arc<State>>, uri: Uri) -> Result<Response, Problem> {
    Params::of(&uri)?.only(&[])?;
    let ask = Arc::clone(&state.status);
    match spawn_blocking(move || ask()).await {
        Ok(status) => {
            state.until_all_is_readable().await;
            Ok(Json(status).into_response())
        }
        // It panicked, which the panic's own message told.
        Err(err) => {
            tracing::error!("cannot tell the status: {err}");
            Err(Problem::new(&INTERNAL, "the status could not be read; the node's log has the reason"))
        }
    }
}
