//! The rules of a network as people write them: plugins by name and file, with their params.

use std::fs;
use std::io;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::RulesError;
use crate::limits;
use crate::plugin::{CanonicalJson, Limits, Pipeline, PipelineSpec, PluginDirError, PluginName, PluginSpec};
use crate::types::PluginHash;

/// A plugin as the command line names it: `name=path.wasm`, and its params.
#[derive(Clone, Debug)]
pub struct PluginFile {
    /// Its name in the pipeline.
    pub name: PluginName,
    /// Its `.wasm` file.
    pub path: PathBuf,
    /// Its params.
    pub params: CanonicalJson,
}

impl PluginFile {
    /// Reads `name=path.wasm`; the params are `{}`.
    ///
    /// # Errors
    ///
    /// When there is no `=`, or the name cannot be a plugin's.
    pub fn parse(text: &str) -> Result<Self, RulesError> {
        let syntax = || RulesError::PluginSyntax { text: text.to_owned() };
        let (name, path) = text.split_once('=').filter(|(_, path)| !path.is_empty()).ok_or_else(syntax)?;
        let name = PluginName::try_from(name.to_owned())?;
        Ok(Self { name, path: PathBuf::from(path), params: CanonicalJson::default() })
    }

    /// Gives the plugins of `files` the params in `texts`, each written `name=JSON`.
    ///
    /// # Errors
    ///
    /// When a text is not of that form, or names a plugin that is not there.
    pub fn set_params(files: &mut [Self], texts: &[String]) -> Result<(), RulesError> {
        for (name, params) in params(texts)? {
            let known = || files.iter().map(|file| file.name.as_str().to_owned()).collect();
            let unknown = RulesError::ParamsForNobody { name: name.clone(), known: known() };
            let file = files.iter_mut().find(|file| file.name.as_str() == name).ok_or(unknown)?;
            file.params = params;
        }
        Ok(())
    }
}

/// Reads params written `name=JSON`.
pub(crate) fn params(texts: &[String]) -> Result<Vec<(String, CanonicalJson)>, RulesError> {
    let read = |text: &String| {
        let syntax = || RulesError::ParamsSyntax { text: text.clone() };
        let (name, json) = text.split_once('=').ok_or_else(syntax)?;
        let name = name.to_owned();
        let params =
            CanonicalJson::parse(json).map_err(|source| RulesError::Params { name: name.clone(), source })?;
        Ok((name, params))
    };
    texts.iter().map(read).collect()
}

/// The default plugin. `make plugins-verify` compares it with what its source gives.
pub const PASSTHROUGH: &[u8] = include_bytes!("../../../assets/passthrough.wasm");

/// A plugin whose bytes are at hand.
#[derive(Clone, Debug)]
pub struct Plugin {
    /// Its name in the pipeline.
    pub name: PluginName,
    /// Its bytes.
    pub wasm: Vec<u8>,
    /// Their hash.
    pub sha256: PluginHash,
    params: CanonicalJson,
}

impl Plugin {
    /// The default pipeline's one plugin: every transaction is a record, as it is.
    #[must_use]
    #[allow(clippy::missing_panics_doc, reason = "it does not: the name is a plugin's")]
    pub fn passthrough() -> Self {
        let name = PluginName::try_from("passthrough".to_owned()).expect("a name that a plugin may have");
        let (wasm, sha256) = (PASSTHROUGH.to_vec(), PluginHash::of(PASSTHROUGH));
        Self { name, wasm, sha256, params: CanonicalJson::default() }
    }

    /// As a genesis file has it.
    pub(crate) fn pinned(&self, inline: bool) -> Value {
        let (name, sha256) = (self.name.as_str(), self.sha256.to_string());
        let mut pinned = json!({ "name": name, "sha256": sha256, "params": self.params.value() });
        if inline {
            pinned["wasm"] = data_encoding::BASE64.encode(&self.wasm).into();
        }
        pinned
    }
}

/// Reads the plugins' files.
///
/// # Errors
///
/// When there are too many, two have one name, or a file is missing or too large.
pub fn read_plugins(files: &[PluginFile]) -> Result<Vec<Plugin>, RulesError> {
    let count = files.len() as u64;
    if count > limits::PLUGINS_MAX {
        return Err(RulesError::TooManyPlugins { count });
    }
    let mut plugins: Vec<Plugin> = Vec::new();
    for PluginFile { name, path, params } in files {
        if plugins.iter().any(|plugin| plugin.name == *name) {
            return Err(RulesError::PluginTwice { name: name.clone() });
        }
        let wasm = match fs::read(path) {
            Ok(wasm) => wasm,
            Err(err) if err.kind() == io::ErrorKind::NotFound => {
                return Err(RulesError::PluginMissing { name: name.clone(), path: path.clone() });
            }
            Err(source) => return Err(RulesError::Io { path: path.clone(), source }),
        };
        let bytes = wasm.len() as u64;
        if bytes > limits::WASM_BYTES_MAX {
            return Err(RulesError::PluginTooLarge { name: name.clone(), bytes });
        }
        let (name, sha256) = (name.clone(), PluginHash::of(&wasm));
        plugins.push(Plugin { name, wasm, sha256, params: params.clone() });
    }
    Ok(plugins)
}

/// The default limits. A long pipeline gets less fuel for each of its plugins: one transaction spends no more than a block
/// of several may.
fn default_limits(plugins: &[Plugin]) -> Limits {
    let limits = Limits::default();
    let fuel_max = limits::BLOCK_FUEL_MAX.checked_div(plugins.len() as u64).unwrap_or(limits.fuel_max);
    Limits { fuel_max: limits.fuel_max.min(fuel_max), ..limits }
}

/// CometBFT's `app_state` for a new network with these plugins.
pub(crate) fn app_state(plugins: &[Plugin], inline: bool) -> Value {
    json!({ "dseq": {
        "engine": crate::plugin::engine_id().to_string(),
        "limits": default_limits(plugins),
        "pipeline": plugins.iter().map(|plugin| plugin.pinned(inline)).collect::<Vec<_>>(),
    } })
}

/// The bytes of the plugin with this hash, which must be one of these.
///
/// # Errors
///
/// When it is not.
pub(crate) fn wasm_of(plugins: &[Plugin], wanted: &PluginHash) -> Result<Vec<u8>, PluginDirError> {
    let found = plugins.iter().find(|plugin| plugin.sha256 == *wanted).map(|plugin| plugin.wasm.clone());
    found.ok_or_else(|| PluginDirError::NotFound { wanted: *wanted, dir: PathBuf::new(), found: Vec::new() })
}

/// Admits the pipeline of a new network with these plugins, as its nodes would.
///
/// # Errors
///
/// What a node would refuse to begin for.
pub(crate) fn admit(plugins: &[Plugin]) -> Result<Pipeline, RulesError> {
    let spec = |plugin: &Plugin| PluginSpec {
        name: plugin.name.clone(),
        sha256: plugin.sha256,
        params: plugin.params.clone(),
    };
    let spec = PipelineSpec {
        engine: crate::plugin::engine_id(),
        limits: default_limits(plugins),
        plugins: plugins.iter().map(spec).collect(),
    };
    let modules: Vec<Vec<u8>> = plugins.iter().map(|plugin| plugin.wasm.clone()).collect();
    Pipeline::admit(spec, &modules).map_err(|source| RulesError::NotAdmitted { source })
}

/// Name, hash and canonical params of each plugin that a genesis with these would pin.
///
/// # Errors
///
/// When a plugin cannot be used.
pub fn would_pin(files: &[PluginFile]) -> Result<Vec<(String, String, String)>, RulesError> {
    let pinned = |plugin: &Plugin| {
        (plugin.name.as_str().to_owned(), plugin.sha256.to_string(), plugin.params.as_str().to_owned())
    };
    Ok(read_plugins(files)?.iter().map(pinned).collect())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_default_plugin_is_the_one_that_is_pinned() {
        let lock = include_str!("../../../../plugins/plugins.lock");
        let hash = PluginHash::of(PASSTHROUGH);
        assert!(lock.contains(&format!("{hash}  passthrough.wasm\n")), "{hash}: run `make plugins-lock`");
    }

    fn plugin(dir: &Path, name: &str, wasm: &[u8]) -> PluginFile {
        let path = dir.join(format!("{name}.wasm"));
        fs::write(&path, wasm).unwrap();
        PluginFile::parse(&format!("{name}={}", path.display())).unwrap()
    }

    #[test]
    fn a_plugin_is_pinned_by_the_hash_of_its_file_in_the_order_given() {
        let dir = tempfile::tempdir().unwrap();
        let mut files = [plugin(dir.path(), "two", b"2"), plugin(dir.path(), "one", b"1")];
        PluginFile::set_params(&mut files, &[r#"one={"b":1,"a":[2]}"#.to_owned()]).unwrap();
        let state = app_state(&read_plugins(&files).unwrap(), false);
        assert_eq!(state["dseq"]["pipeline"][0]["name"], "two");
        assert_eq!(state["dseq"]["pipeline"][0]["sha256"], PluginHash::of(b"2").to_string());
        assert_eq!(state["dseq"]["pipeline"][0]["params"], json!({}));
        assert_eq!(state["dseq"]["pipeline"][1]["params"], json!({ "a": [2], "b": 1 }));
        assert_eq!(state["dseq"]["limits"]["tx_bytes_max"], 1_048_576);
        assert_eq!(would_pin(&files).unwrap()[1].2, r#"{"a":[2],"b":1}"#);
    }

    #[test]
    fn an_absent_plugin_is_refused_with_where_it_was_looked_for() {
        let file = PluginFile::parse("ghost=/nowhere/ghost.wasm").unwrap();
        let message = read_plugins(&[file]).err().unwrap().to_string();
        assert!(message.starts_with("no file for plugin ghost at /nowhere/ghost.wasm; "), "{message}");
    }

    #[test]
    fn plugins_are_written_as_name_and_path_and_no_name_comes_twice() {
        for text in ["passthrough", "passthrough=", "=x.wasm", "Upper=x.wasm"] {
            assert!(PluginFile::parse(text).is_err(), "{text}");
        }
        let dir = tempfile::tempdir().unwrap();
        let one = plugin(dir.path(), "one", b"1");
        let twice = read_plugins(&[one.clone(), one]).err().unwrap();
        assert_eq!(twice.to_string(), "plugin name one is given twice");
    }

    #[test]
    fn params_must_be_json_for_a_plugin_that_is_there() {
        let mut files = [PluginFile::parse("one=x.wasm").unwrap()];
        let mut refusal =
            |text: &str| PluginFile::set_params(&mut files, &[text.to_owned()]).unwrap_err().to_string();
        assert!(refusal("one").starts_with("params \"one\" must be written name=JSON"));
        assert!(refusal("one={").starts_with("plugin one: params is invalid JSON: EOF"));
        assert!(
            refusal("one=9007199254740993").starts_with("plugin one: params is the integer 9007199254740993")
        );
        assert!(
            refusal(r#"one={"a":{"b":1,"b":1}}"#).starts_with("plugin one: params.a.b is a duplicate key")
        );
        assert_eq!(refusal("two={}"), "params are given for plugin \"two\", but the pipeline has one");
    }
}
