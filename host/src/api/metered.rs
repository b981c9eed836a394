//! Counts and times requests, for metrics.

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;

use crate::telemetry::metrics::Metrics;

/// A router whose requests are counted by route, method and status, and timed until the head of the answer.
pub fn metered(router: Router, metrics: Arc<Metrics>) -> Router {
    router.layer(from_fn_with_state(metrics, count))
}

async fn count(State(metrics): State<Arc<Metrics>>, request: Request, next: Next) -> Response {
    let began = Instant::now();
    // The pattern: a path itself would make the number of routes unbounded.
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let method = request.method().clone();
    let response = next.run(request).await;
    let status = response.status().as_u16();
    metrics.http().answered(route.as_deref(), method.as_str(), status, began.elapsed());
    response
}
