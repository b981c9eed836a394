//! `GET /metrics`: the metrics of this process, for Prometheus.

use std::sync::Arc;

use axum::Router;
use axum::extract::State as Extract;
use axum::http::HeaderMap;
use axum::http::header::{ACCEPT, CONTENT_TYPE, VARY};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::task::spawn_blocking;

use super::{Listed, State};
use crate::api::Problem;
use crate::api::problem::INTERNAL;
use crate::telemetry::metrics::Format;

pub(super) const LISTED: &[Listed] =
    &[Listed { method: "GET", path: "/metrics", what: "Metrics of the app, for Prometheus" }];

pub(super) fn routes() -> Router<Arc<State>> {
    Router::new().route("/metrics", get(metrics))
}

#[utoipa::path(get, path = "/metrics", responses(
    (status = 200, description = "The metrics; OpenMetrics if `Accept` prefers it", content(
        (String = "text/plain"), (String = "application/openmetrics-text"))),
))]
pub(super) async fn metrics(Extract(state): Extract<Arc<State>>, headers: HeaderMap) -> Response {
    let accept: Vec<&str> = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
    let format = Format::accepted(&accept.join(","));
    // It asks the file system and reads /proc.
    match spawn_blocking(move || state.metrics.encode(format)).await {
        Ok(Ok(text)) => ([(CONTENT_TYPE, format.content_type()), (VARY, "accept")], text).into_response(),
        // It panicked, which the panic's own message told, or there was no memory for the text.
        failed => {
            tracing::error!("cannot encode the metrics: {failed:?}");
            Problem::new(&INTERNAL, "the metrics could not be encoded; the node's log has the reason")
                .into_response()
        }
    }
}
