//! Genesis: the `dseq` object in CometBFT's `app_state`, parsed.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::excerpt::words;
use crate::plugin::{
    CanonicalJson, CanonicalJsonError, Limits, PipelineSpec, PluginName, PluginNameError, PluginSpec,
};
use crate::types::{EngineId, ParseHashError, PluginHash};

/// Why an `app_state` is not a genesis of this program.
#[derive(Debug, thiserror::Error)]
pub enum GenesisError {
    /// Somebody else's, or nobody's.
    #[error(
        "there is no app_state.dseq: this genesis was not made for dseq. `dseq network create` makes one; `dseq genesis set \
         --plugin NAME=FILE` adds to this one what is missing"
    )]
    NotOurs,
    /// Not the JSON object that a dseq genesis needs: serde says where.
    ///
    /// Correct `app_state`, or take the genesis from another member.
    #[error("app_state is not a dseq genesis: {}", words(.0))]
    Json(#[from] serde_json::Error),
    /// The engine id is not a hash.
    #[error("app_state.dseq.engine: {0}")]
    Engine(ParseHashError),
    /// A plugin's name.
    #[error("app_state.dseq.pipeline[{index}]: {source}")]
    Name {
        /// The plugin's place, from 0.
        index: u64,
        /// What is wrong.
        source: PluginNameError,
    },
    /// A plugin's hash is not a hash.
    #[error("app_state.dseq.pipeline[{index}].sha256: {source}")]
    Hash {
        /// The plugin's place, from 0.
        index: u64,
        /// What is wrong.
        source: ParseHashError,
    },
    /// A plugin's params.
    #[error("app_state.dseq.pipeline[{index}].{source}")]
    Params {
        /// The plugin's place, from 0.
        index: u64,
        /// What is wrong.
        source: CanonicalJsonError,
    },
    /// Inline wasm that is not base64.
    ///
    /// Embed the plugins again with `dseq genesis set --inline`, each with its `--plugin` and `--params`, or take the
    /// genesis from another member.
    #[error("app_state.dseq.pipeline[{index}].wasm is not base64: {source}")]
    Wasm {
        /// The plugin's place, from 0.
        index: u64,
        /// What is wrong.
        source: data_encoding::DecodeError,
    },
    /// Inline wasm that is not the plugin genesis pins.
    ///
    /// Embed the plugins again with `dseq genesis set --inline`, each with its `--plugin` and `--params`, or take the
    /// genesis from another member.
    #[error("app_state.dseq.pipeline[{index}]: sha256 is {pinned}, but the wasm beside it has {found}")]
    WasmHash {
        /// The plugin's place, from 0.
        index: u64,
        /// The hash in genesis.
        pinned: PluginHash,
        /// The hash of the bytes in genesis.
        found: PluginHash,
    },
}

/// What genesis says. Whether its limits and plugins are such as this host runs is for
/// [`Pipeline::admit`](crate::plugin::Pipeline::admit) to decide, at every start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GenesisRules {
    /// Engine, limits and plugins.
    pub pipeline: PipelineSpec,
    /// For each plugin the bytes of its `.wasm` file, where genesis carries them.
    pub inline_wasm: Vec<Option<Vec<u8>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AppState<'a> {
    #[serde(borrow)]
    dseq: RawGenesis<'a>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawGenesis<'a> {
    engine: String,
    limits: Limits,
    #[serde(borrow)]
    pipeline: Vec<RawPlugin<'a>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPlugin<'a> {
    name: String,
    sha256: String,
    /// As they are written: what a reader would make of them is for [`CanonicalJson`] to say.
    #[serde(borrow, default = "no_params")]
    params: &'a RawValue,
    wasm: Option<String>,
}

fn no_params<'a>() -> &'a RawValue {
    serde_json::from_str("{}").expect("an object without members is JSON")
}

/// Parses CometBFT's `app_state`.
///
/// # Errors
///
/// The first thing in it that is malformed, with where it stands.
pub fn parse_genesis(app_state: &[u8]) -> Result<GenesisRules, GenesisError> {
    let AppState { dseq } = serde_json::from_slice(app_state).map_err(|err| {
        let is_empty = app_state.is_empty();
        let is_ours = |value: serde_json::Value| value.get("dseq").is_some();
        let is_foreign = serde_json::from_slice(app_state).is_ok_and(|value| !is_ours(value));
        if is_empty || is_foreign { GenesisError::NotOurs } else { err.into() }
    })?;
    let engine: EngineId = dseq.engine.parse().map_err(GenesisError::Engine)?;
    let plugins = (0..).zip(dseq.pipeline).map(|(index, raw)| parse_plugin(index, raw));
    let (plugins, inline_wasm) = plugins.collect::<Result<Vec<_>, _>>()?.into_iter().unzip();
    Ok(GenesisRules { pipeline: PipelineSpec { engine, limits: dseq.limits, plugins }, inline_wasm })
}

fn parse_plugin(index: u64, raw: RawPlugin<'_>) -> Result<(PluginSpec, Option<Vec<u8>>), GenesisError> {
    let name = PluginName::try_from(raw.name).map_err(|source| GenesisError::Name { index, source })?;
    let sha256: PluginHash = raw.sha256.parse().map_err(|source| GenesisError::Hash { index, source })?;
    let params =
        CanonicalJson::parse(raw.params.get()).map_err(|source| GenesisError::Params { index, source })?;
    let wasm = raw.wasm.map(|text| data_encoding::BASE64.decode(text.as_bytes())).transpose();
    let wasm = wasm.map_err(|source| GenesisError::Wasm { index, source })?;
    if let Some(found) = wasm.as_deref().map(PluginHash::of).filter(|found| *found != sha256) {
        return Err(GenesisError::WasmHash { index, pinned: sha256, found });
    }
    Ok((PluginSpec { name, sha256, params }, wasm))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn genesis() -> serde_json::Value {
        json!({ "dseq": {
            "engine": "11".repeat(32),
            "limits": { "tx_bytes_max": 1_048_576, "record_bytes_max": 4_194_304, "fuel_max": 400_000_000, "memory_bytes_max": 6_291_456 },
            "pipeline": [ { "name": "passthrough", "sha256": PluginHash::of(b"\0asm").to_string(), "params": {"b": 1, "a": 2}, "wasm": "AGFzbQ==" } ]
        } })
    }

    fn refusal(edit: impl FnOnce(&mut serde_json::Value)) -> String {
        let mut genesis = genesis();
        edit(&mut genesis["dseq"]);
        parse_genesis(genesis.to_string().as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn a_whole_genesis_is_understood() {
        let rules = parse_genesis(genesis().to_string().as_bytes()).unwrap();
        assert_eq!(rules.pipeline.limits, Limits::default());
        assert_eq!(rules.pipeline.plugins[0].params.as_str(), r#"{"a":2,"b":1}"#);
        assert_eq!(rules.inline_wasm, [Some(b"\0asm".to_vec())]);
    }

    #[test]
    fn each_refusal_says_where_and_what() {
        for foreign in ["", "null", "[]", "{}", r#"{"auth":{}}"#] {
            let message = parse_genesis(foreign.as_bytes()).unwrap_err().to_string();
            assert!(message.starts_with("there is no app_state.dseq: "), "{foreign}: {message}");
        }
        assert!(parse_genesis(b"{").unwrap_err().to_string().starts_with("app_state is not a dseq genesis"));
        assert!(refusal(|g| g["engin"] = json!("")).contains("unknown field `engin`"));
        assert!(refusal(|g| g["engine"] = json!("zz")).contains("engine: expected 64 hexadecimal digits"));
        assert!(refusal(|g| g["limits"]["fuel_max"] = json!(-1)).contains("invalid value"));
        assert!(
            refusal(|g| g["pipeline"][0]["name"] = json!("A")).contains("pipeline[0]: plugin name \"A\"")
        );
        assert!(
            refusal(|g| g["pipeline"][0]["sha256"] = json!("ab")).contains("pipeline[0].sha256: expected 64")
        );
        assert!(
            refusal(|g| g["pipeline"][0]["wasm"] = json!("%")).contains("pipeline[0].wasm is not base64")
        );
        assert!(
            refusal(|g| g["pipeline"][0]["sha256"] = json!("22".repeat(32)))
                .contains("but the wasm beside it has")
        );
        let long = |g: &mut serde_json::Value| g["pipeline"][0]["params"] = json!("x".repeat(65536));
        assert!(
            refusal(long).contains("pipeline[0].params are 65538 bytes as canonical JSON; at most 65536")
        );
    }

    /// A genesis whose plugin has these params, as they are written here.
    fn parse_params(params: &str) -> Result<GenesisRules, GenesisError> {
        let text = genesis().to_string();
        let edited = text.replace(r#"{"a":2,"b":1}"#, params);
        assert_ne!(text, edited);
        parse_genesis(edited.as_bytes())
    }

    #[test]
    fn params_are_parsed_as_written() {
        for (params, words) in [
            (r#"{"a":{"b":1,"b":1}}"#, "app_state.dseq.pipeline[0].params.a.b is a duplicate key"),
            (r#"[{"a":1,"\u0061":2}]"#, "app_state.dseq.pipeline[0].params[0].a is a duplicate key"),
            (
                r#"{"a":123456789012345678901234567890}"#,
                "app_state.dseq.pipeline[0].params.a is the integer 123456789012345678901234567890, which",
            ),
            (r#"{"a":1e999}"#, "app_state.dseq.pipeline[0].params.a is invalid JSON: number out of range"),
        ] {
            let message = parse_params(params).unwrap_err().to_string();
            assert!(message.starts_with(words), "{params}: {message}");
        }
        for (params, canonical) in [
            ("null", "null"),
            (r#"{ "b" : 1e2, "a" : "\u0041" }"#, r#"{"a":"A","b":100}"#),
            ("1000000000000000000000", "1e+21"),
            (r#"{"$serde_json::private::RawValue":"1"}"#, r#"{"$serde_json::private::RawValue":"1"}"#),
        ] {
            assert_eq!(parse_params(params).unwrap().pipeline.plugins[0].params.as_str(), canonical);
        }
    }

    #[test]
    fn what_is_not_said_is_the_empty_object() {
        let mut genesis = genesis();
        genesis["dseq"]["pipeline"][0].as_object_mut().unwrap().remove("params");
        let rules = parse_genesis(genesis.to_string().as_bytes()).unwrap();
        assert_eq!(rules.pipeline.plugins[0].params, CanonicalJson::default());
    }

    #[test]
    fn a_member_of_ours_that_stands_twice_is_refused() {
        let text = genesis().to_string();
        for (member, words) in [
            (r#""pipeline":[]"#, "duplicate field `pipeline`"),
            (r#""fuel_max":1"#, "duplicate field `fuel_max`"),
            (r#""params":{}"#, "duplicate field `params`"),
        ] {
            let (name, _) = member.split_once(':').unwrap();
            let twice = text.replacen(&format!("{name}:"), &format!("{member},{name}:"), 1);
            let message = parse_genesis(twice.as_bytes()).unwrap_err().to_string();
            assert!(message.contains(words), "{twice}: {message}");
        }
    }
}
