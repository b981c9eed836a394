//! `GET /`: what there is.

use std::sync::Arc;

use axum::Router;
use axum::routing::get;

use super::{Listed, State};

pub(super) const LISTED: &[Listed] = &[Listed { method: "GET", path: "/", what: "This list" }];

pub(super) fn routes() -> Router<Arc<State>> {
    Router::new().route("/", get(index))
}

async fn index() -> String {
    let width = super::listed().map(|route| route.path.len()).max().unwrap_or(0);
    let mut text = format!("dseq {}\n\n", env!("CARGO_PKG_VERSION"));
    for Listed { method, path, what } in super::listed() {
        text.push_str(&format!("{method:<4}  {path:<width$}  {what}\n"));
    }
    text
}
