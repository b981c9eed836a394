//! `GET /v1/pipeline`: the rules in force.

use std::sync::Arc;

use dseq::api::{self, State};
use dseq::rules::{CanonicalJson, Limits, PipelineSpec, PluginName, PluginSpec};
use dseq::sequence::Log;
use dseq::types::{EngineId, PluginHash};

use super::client::{Answer, Client};
use super::{limits, log, serve};

/// What a node with these rules answers.
fn answer(rules: Option<PipelineSpec>) -> Answer {
    let dir = tempfile::tempdir().unwrap();
    let reader = Log::open(dir.path()).unwrap().reader();
    let http = serve(limits(), |stopping| {
        api::router(State { rules: Arc::new(move || rules.clone()), ..log::state(reader, stopping) })
    });
    Client::connect(http.address()).get("/v1/pipeline", "").answer()
}

#[test]
fn the_rules_are_those_of_genesis_with_params_as_they_are_written_there() {
    let params = r#"{"big":9007199254740991,"small":1e-7,"text":"<b>"}"#;
    let plugin = |name: &str, byte, params| PluginSpec {
        name: PluginName::try_from(name.to_owned()).unwrap(),
        sha256: PluginHash([byte; 32]),
        params: CanonicalJson::parse(params).unwrap(),
    };
    let spec = PipelineSpec {
        engine: EngineId([0xab; 32]),
        limits: Limits::default(),
        plugins: vec![plugin("lines", 1, "{}"), plugin("json", 2, params)],
    };
    let answer = answer(Some(spec.clone()));
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/json"));
    assert_eq!(
        answer.text().trim_end(),
        format!(
            r#"{{"pipeline":"{}","engine":"{}","limits":{{"tx_bytes_max":1048576,"record_bytes_max":4194304,"fuel_max":400000000,"memory_bytes_max":6291456}},"plugins":[{{"name":"lines","sha256":"{}","params":{{}}}},{{"name":"json","sha256":"{}","params":{params}}}]}}"#,
            spec.id(),
            "ab".repeat(32),
            "01".repeat(32),
            "02".repeat(32)
        )
    );
}

#[test]
fn a_node_without_genesis_is_not_ready() {
    let answer = answer(None);
    assert_eq!((answer.status, answer.problem_name().as_str()), (503, "not-ready"));
    assert_eq!(answer.problem()["retry"], true);
}
