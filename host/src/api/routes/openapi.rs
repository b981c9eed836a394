//! `GET /openapi.json`: what this node answers, as OpenAPI 3.1; `GET /docs/api`: the same as a page.
//!
//! Each handler is described where it stands, by `utoipa::path`. What is the same everywhere is added here: the words by which
//! `/` lists a route, and that any route may answer with a problem.

use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use utoipa::OpenApi;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::{ContentBuilder, Ref, RefOr, ResponseBuilder, Schema};

use super::{Listed, State};
use crate::api::{page, problem, schemas};

pub(super) const LISTED: &[Listed] = &[
    Listed { method: "GET", path: "/openapi.json", what: "These routes, as OpenAPI 3.1" },
    Listed { method: "GET", path: "/docs/api", what: "The same as a page" },
];

pub(super) fn routes() -> Router<Arc<State>> {
    Router::new().route("/openapi.json", get(openapi)).route("/docs/api", get(docs))
}

/// Every route of a node.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "dseq",
        description = "A node of a distributed byte sequencer. Integers are decimal; hashes are 64 hexadecimal digits."
    ),
    paths(
        super::index::index,
        super::status::status,
        super::pipeline::pipeline,
        super::submit::submit,
        super::batch::batch,
        super::receipts::by_hash,
        super::receipts::by_place,
        super::sequence::sequence,
        super::records::records,
        super::metrics::metrics,
        crate::api::health::livez,
        crate::api::health::readyz,
        crate::api::health::readyz_of,
        crate::api::health::ready,
        crate::api::health::health,
        openapi,
        docs,
    ),
    components(schemas(schemas::Problem))
)]
struct Description;

/// The whole description, as JSON.
static JSON: LazyLock<Bytes> = LazyLock::new(|| {
    let mut description = Description::openapi();
    for Listed { method, path, what } in super::listed() {
        let item = description.paths.paths.get_mut(path);
        if let Some(operation) = item.and_then(|item| operation_of(item, method)) {
            operation.summary = Some(what.to_owned());
            add_problems(operation);
        }
    }
    // A description of strings, numbers and lists always has a JSON form.
    (description.to_pretty_json().unwrap_or_default() + "\n").into()
});

fn operation_of<'a>(item: &'a mut PathItem, method: &str) -> Option<&'a mut Operation> {
    match method {
        "POST" => item.post.as_mut(),
        _ => item.get.as_mut(),
    }
}

/// Adds that any request may end in a problem, unless the route says so itself, and the schema of those it names by type.
fn add_problems(operation: &mut Operation) {
    let content = || {
        let schema: RefOr<Schema> = Ref::from_schema_name("Problem").into();
        ContentBuilder::new().schema(Some(schema)).build()
    };
    let types: Vec<String> =
        problem::TYPES.iter().map(|of| format!("`{}` ({})", of.name, of.status)).collect();
    let words = format!("A problem. All types: {}.", types.join(", "));
    let any =
        ResponseBuilder::new().description(words).content("application/problem+json", content()).build();
    operation.responses.responses.entry("default".to_owned()).or_insert(RefOr::T(any));
}

#[utoipa::path(get, path = "/openapi.json", responses(
    (status = 200, description = "The description", body = serde_json::Value, content_type = "application/json"),
))]
async fn openapi() -> Response {
    ([(CONTENT_TYPE, HeaderValue::from_static("application/json"))], JSON.clone()).into_response()
}

#[utoipa::path(get, path = "/docs/api", responses(
    (status = 200, description = "The page", body = String, content_type = "text/html"),
    (status = 304, description = "The page has not changed (`If-None-Match`)"),
))]
async fn docs(headers: HeaderMap) -> Response {
    page::API.answer(&headers)
}
