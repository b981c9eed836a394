//! `GET /v1/pipeline`: the rules that genesis fixed and every node enforces.

use std::sync::Arc;

use axum::Router;
use axum::extract::State as Extract;
use axum::http::Uri;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Serialize;
use serde_json::value::RawValue;

use super::{Listed, State};
use crate::api::json::Json;
use crate::api::params::Params;
use crate::api::problem::NOT_READY;
use crate::api::{Problem, schemas};
use crate::rules::{Limits, PipelineSpec, PluginSpec};
use crate::sequence::as_text;
use crate::types::{EngineId, PipelineId, PluginHash};

pub(super) const LISTED: &[Listed] = &[Listed {
    method: "GET",
    path: "/v1/pipeline",
    what: "The rules in force: plugins with hashes and params, limits",
}];

pub(super) fn routes() -> Router<Arc<State>> {
    Router::new().route("/v1/pipeline", get(pipeline))
}

/// The rules in force.
#[derive(Serialize)]
struct Rules {
    /// Hash of engine, limits, and the plugins' hashes and params; part of every app hash.
    #[serde(serialize_with = "as_text")]
    pipeline: PipelineId,
    /// Id of the engine that runs the plugins.
    #[serde(serialize_with = "as_text")]
    engine: EngineId,
    limits: Limits,
    /// In the order in which they run; empty: every transaction is accepted unchanged.
    plugins: Vec<Plugin>,
}

/// One plugin, as genesis pins it.
#[derive(Serialize)]
struct Plugin {
    name: String,
    /// SHA-256 of its `.wasm` file.
    #[serde(serialize_with = "as_text")]
    sha256: PluginHash,
    /// What it is initialized with.
    params: Box<RawValue>,
}

impl From<PluginSpec> for Plugin {
    fn from(PluginSpec { name, sha256, params }: PluginSpec) -> Self {
        // Canonical JSON is JSON.
        let params = RawValue::from_string(params.into()).unwrap_or_default();
        Self { name: name.into(), sha256, params }
    }
}

impl From<PipelineSpec> for Rules {
    fn from(spec: PipelineSpec) -> Self {
        let pipeline = spec.id();
        let PipelineSpec { engine, limits, plugins } = spec;
        Self { pipeline, engine, limits, plugins: plugins.into_iter().map(Plugin::from).collect() }
    }
}

#[utoipa::path(get, path = "/v1/pipeline", responses(
    (status = 200, description = "The rules", body = schemas::Pipeline),
    (status = 400, description = "There are no parameters: `bad-parameter`", body = schemas::Problem, content_type = "application/problem+json"),
    (status = 503, description = "The node has no rules yet: `not-ready`", body = schemas::Problem, content_type = "application/problem+json"),
))]
pub(super) async fn pipeline(Extract(state): Extract<Arc<State>>, uri: Uri) -> Result<Response, Problem> {
    Params::of(&uri)?.only(&[])?;
    match (state.rules)() {
        Some(spec) => Ok(Json(Rules::from(spec)).into_response()),
        None => Err(Problem::new(&NOT_READY, "this node has not taken its genesis yet; CometBFT sends it")),
    }
}
