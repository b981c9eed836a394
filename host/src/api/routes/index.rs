//! `GET /`: what there is, as a list for programs and as the node's page for browsers.

use std::sync::Arc;

use axum::Router;
use axum::http::header::{ACCEPT, VARY};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::{Listed, State};
use crate::api::page;

pub(super) const LISTED: &[Listed] =
    &[Listed { method: "GET", path: "/", what: "This list; browsers get the node's page" }];

pub(super) fn routes() -> Router<Arc<State>> {
    Router::new().route("/", get(index))
}

#[utoipa::path(get, path = "/", responses(
    (status = 200, description = "The list; HTML for clients whose `Accept` names `text/html`", content(
        (String = "text/plain"), (String = "text/html"))),
    (status = 304, description = "The page has not changed (`If-None-Match`)"),
))]
pub(super) async fn index(headers: HeaderMap) -> Response {
    let mut response =
        if asks_for_html(&headers) { page::NODE.answer(&headers) } else { list().into_response() };
    response.headers_mut().insert(VARY, HeaderValue::from_static("accept"));
    response
}

/// Whether the client names HTML, as browsers do for what they show; `*/*` does not.
fn asks_for_html(headers: &HeaderMap) -> bool {
    let values = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let is_html = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("text/html"));
        is_html && !parts.any(|part| matches!(part, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"))
    })
}

fn list() -> String {
    let width = super::listed().map(|route| route.path.len()).max().unwrap_or(0);
    let mut text = format!("dseq {}\n\n", env!("CARGO_PKG_VERSION"));
    for Listed { method, path, what } in super::listed() {
        text.push_str(&format!("{method:<4}  {path:<width$}  {what}\n"));
    }
    text
}
