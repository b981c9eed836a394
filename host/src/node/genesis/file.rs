//! A genesis file: the part of it that is ours, read, edited, and checked as a node would.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::app::{GenesisRules, parse_genesis};
use crate::atomic_file;
use crate::json;
use crate::limits;
use crate::node::genesis::RulesError;
use crate::node::genesis::document::GenesisDoc;
use crate::node::genesis::rules::{self, Plugin};
use crate::plugin::{Limits, Pipeline, PluginDirError};
use crate::types::PluginHash;

/// A genesis file of CometBFT's, for the part of it that is ours.
#[derive(Clone, Debug)]
pub struct GenesisFile {
    path: PathBuf,
    /// As it is read, or would be written. CometBFT hands a node the app state as it stands here, so this is what is checked.
    text: String,
    /// What the text says, to be looked at and edited; an object.
    whole: Value,
}

/// What tells one network from another: SHA-256 of its genesis document as canonical JSON (RFC 8785).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct NetworkId([u8; 32]);

impl fmt::Display for NetworkId {
    /// The first ten digits: enough for people to compare.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&data_encoding::HEXLOWER.encode(&self.0[..5]))
    }
}

impl fmt::Debug for NetworkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&data_encoding::HEXLOWER.encode(&self.0))
    }
}

/// The part of a genesis file that nodes are handed.
#[derive(Deserialize)]
struct Handed<'a> {
    #[serde(borrow, default)]
    app_state: Option<&'a RawValue>,
}

impl GenesisFile {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// When it cannot be read, is not a JSON object, or is ambiguous ([`json::read`]).
    pub fn read(path: &Path) -> Result<Self, RulesError> {
        let text = fs::read_to_string(path).map_err(RulesError::io(path))?;
        let whole = json::read(&text, "genesis", limits::GENESIS_DEPTH_MAX);
        let whole = whole.map_err(|source| RulesError::GenesisJson { path: path.to_owned(), source })?;
        if !whole.is_object() {
            return Err(RulesError::GenesisNoObject { path: path.to_owned() });
        }
        Ok(Self { path: path.to_owned(), text, whole })
    }

    /// Of strict JSON that was read from another file, by whose path errors call it.
    ///
    /// # Errors
    ///
    /// When it is no object.
    pub fn of(path: &Path, whole: Value) -> Result<Self, RulesError> {
        if !whole.is_object() {
            return Err(RulesError::GenesisNoObject { path: path.to_owned() });
        }
        Ok(Self { path: path.to_owned(), text: format!("{whole:#}\n"), whole })
    }

    /// What it says.
    #[must_use]
    pub fn into_value(self) -> Value {
        self.whole
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The network's name.
    #[must_use]
    pub fn chain_id(&self) -> &str {
        self.whole["chain_id"].as_str().unwrap_or_default()
    }

    /// The time of its first block, as it is written.
    #[must_use]
    pub fn time(&self) -> &str {
        self.whole["genesis_time"].as_str().unwrap_or_default()
    }

    /// What CometBFT makes of it.
    ///
    /// # Errors
    ///
    /// What CometBFT would refuse.
    pub fn doc(&self) -> Result<GenesisDoc, RulesError> {
        GenesisDoc::check(&self.whole)
            .map_err(|source| RulesError::Document { path: self.path.clone(), source })
    }

    /// The network's fingerprint: the same for every file that says the same, however it is laid out.
    #[must_use]
    #[allow(clippy::missing_panics_doc, reason = "it does not: strict JSON has a canonical form")]
    pub fn network_id(&self) -> NetworkId {
        let canonical = serde_json_canonicalizer::to_vec(&self.whole);
        let canonical = canonical.expect("strict JSON has a canonical form");
        NetworkId(Sha256::digest(canonical).into())
    }

    /// The text of the file.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The engine it pins, as it is written.
    #[must_use]
    pub fn engine(&self) -> Option<String> {
        self.whole["app_state"]["dseq"]["engine"].as_str().map(str::to_owned)
    }

    /// What it says about the plugins.
    ///
    /// # Errors
    ///
    /// The first thing in it that is malformed.
    pub fn rules(&self) -> Result<GenesisRules, RulesError> {
        parse_genesis(self.app_state().as_bytes())
            .map_err(|source| RulesError::Genesis { path: self.path.clone(), source })
    }

    /// The app state as a node sees it.
    fn app_state(&self) -> &str {
        let handed: Handed<'_> =
            serde_json::from_str(&self.text).expect("the text was read or written as JSON");
        handed.app_state.map_or("null", RawValue::get)
    }

    /// Name, hash and canonical params of each plugin.
    ///
    /// # Errors
    ///
    /// As [`Self::rules`].
    pub fn pinned(&self) -> Result<Vec<(String, String, String)>, RulesError> {
        let plugins = self.rules()?.pipeline.plugins;
        let pinned = plugins.into_iter().map(|plugin| {
            (plugin.name.as_str().to_owned(), plugin.sha256.to_string(), plugin.params.as_str().to_owned())
        });
        Ok(pinned.collect())
    }

    /// Checks all of it but the plugins' bytes: CometBFT's part, ours, and whether they fit together.
    ///
    /// # Errors
    ///
    /// The first thing for which neither CometBFT nor the app could begin.
    pub fn check(&self) -> Result<GenesisRules, RulesError> {
        let doc = self.doc()?;
        let rules = self.rules()?;
        let limits = &rules.pipeline.limits;
        let refused = |source| RulesError::Admit { path: self.path.clone(), source };
        limits.validate().map_err(|source| refused(source.into()))?;
        doc.bounds.check(limits).map_err(|source| RulesError::Bounds { path: self.path.clone(), source })?;
        Ok(rules)
    }

    /// Admits it as a node would, which finds plugins' bytes that are not in the file by `find`.
    ///
    /// # Errors
    ///
    /// What a node would refuse to begin for.
    pub fn admit(
        &self,
        find: impl Fn(&PluginHash) -> Result<Vec<u8>, PluginDirError>,
    ) -> Result<Pipeline, RulesError> {
        let GenesisRules { pipeline, inline_wasm } = self.check()?;
        let mut modules = Vec::new();
        for (plugin, inline) in pipeline.plugins.iter().zip(inline_wasm) {
            let found = inline.map_or_else(|| find(&plugin.sha256), Ok);
            let name = plugin.name.clone();
            modules.push(found.map_err(|source| RulesError::PluginFile { name, source })?);
        }
        Pipeline::admit(pipeline, &modules)
            .map_err(|source| RulesError::Admit { path: self.path.clone(), source })
    }

    /// Pins these plugins instead of those it has, with their bytes in the file itself if `inline`.
    pub fn pin(&mut self, plugins: &[Plugin], inline: bool) {
        let pinned: Vec<Value> = plugins.iter().map(|plugin| plugin.pinned(inline)).collect();
        self.ours("pipeline", pinned.into());
    }

    /// Gives plugins it has the params in `texts`, each written `name=JSON`.
    ///
    /// # Errors
    ///
    /// When a text is not of that form, or names a plugin that is not there.
    pub fn set_params(&mut self, texts: &[String]) -> Result<(), RulesError> {
        let mut pipeline = self.whole["app_state"]["dseq"]["pipeline"].clone();
        for (name, params) in rules::params(texts)? {
            let plugins = pipeline.as_array_mut().map(Vec::as_mut_slice).unwrap_or_default();
            let known =
                plugins.iter().filter_map(|plugin| plugin["name"].as_str()).map(str::to_owned).collect();
            let unknown = RulesError::ParamsForNobody { name: name.clone(), known };
            let plugin = plugins.iter_mut().find(|plugin| plugin["name"] == *name).ok_or(unknown)?;
            plugin["params"] = params.value();
        }
        self.ours("pipeline", pipeline);
        Ok(())
    }

    /// Sets limits, each written `name=NUMBER`.
    ///
    /// # Errors
    ///
    /// When a text is not of that form, or there is no such limit.
    pub fn set_limits(&mut self, texts: &[String]) -> Result<(), RulesError> {
        let mut limits = json!(Limits::default());
        if let (Value::Object(limits), Value::Object(found)) =
            (&mut limits, &self.whole["app_state"]["dseq"]["limits"])
        {
            limits.extend(found.clone());
        }
        for text in texts {
            let syntax = || RulesError::LimitSyntax { text: text.clone() };
            let (name, number) = text.split_once('=').ok_or_else(syntax)?;
            let number: u64 = number.replace('_', "").parse().map_err(|_| syntax())?;
            let limit = limits.get_mut(name).ok_or_else(syntax)?;
            *limit = number.into();
        }
        self.ours("limits", limits);
        Ok(())
    }

    /// Pins this build's engine.
    pub fn pin_engine(&mut self) {
        self.ours("engine", crate::plugin::engine_id().to_string().into());
    }

    /// Writes one field of our part, which is made if it is not there.
    fn ours(&mut self, field: &str, value: Value) {
        for part in ["app_state", "dseq"] {
            let outer = if part == "dseq" { &mut self.whole["app_state"] } else { &mut self.whole };
            if !outer[part].is_object() {
                outer[part] = json!({});
            }
        }
        self.whole["app_state"]["dseq"][field] = value;
        self.text = format!("{:#}\n", self.whole);
    }

    /// Writes the file anew: whole, or not at all.
    ///
    /// # Errors
    ///
    /// When the file system refuses; the file is as it was then.
    pub fn write(&self) -> Result<(), RulesError> {
        self.write_to(&self.path)
    }

    /// Writes it to another place: whole, or not at all.
    ///
    /// # Errors
    ///
    /// When the file system refuses; what is there is as it was then.
    pub fn write_to(&self, path: &Path) -> Result<(), RulesError> {
        atomic_file::replace(path, self.text.as_bytes()).map_err(|err| RulesError::io(path)(err.into()))
    }
}
