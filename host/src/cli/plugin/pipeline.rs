//! The pipeline given on the command line: plugins from files, their params, and limits.

use std::path::Path;

use anyhow::Context;

use super::{read, usage};
use crate::excerpt::Excerpt;
use crate::node::genesis::rules::PluginFile;
use crate::plugin::{CanonicalJson, Limits, Pipeline, PipelineSpec, PluginName, PluginSpec, engine_id};
use crate::types::PluginHash;

#[derive(Debug, clap::Args)]
pub(super) struct PipelineArgs {
    /// A plugin of the pipeline; repeat it in the pipeline's order, in place of FILE
    #[arg(long = "plugin", value_name = "NAME=FILE")]
    plugins: Vec<String>,
    /// Plugin parameters, as JSON; with several plugins, NAME= selects one [default: {}]
    #[arg(long = "params", value_name = "[NAME=]JSON")]
    params: Vec<String>,
    #[command(flatten)]
    limits: LimitArgs,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Limits")]
pub(super) struct LimitArgs {
    /// Maximum transaction size, in bytes [default: 1 MiB]
    #[arg(long, value_name = "BYTES")]
    tx_bytes_max: Option<u64>,
    /// Maximum record size, in bytes [default: 4 MiB]
    #[arg(long, value_name = "BYTES")]
    record_bytes_max: Option<u64>,
    /// Maximum fuel of each plugin for one transaction [default: 400 million]
    #[arg(long, value_name = "FUEL")]
    fuel_max: Option<u64>,
    /// Maximum memory of a plugin, in bytes [default: 6 MiB]
    #[arg(long, value_name = "BYTES")]
    memory_bytes_max: Option<u64>,
}

impl PipelineArgs {
    /// Whether plugins are given by `--plugin`.
    pub(super) fn has_plugins(&self) -> bool {
        !self.plugins.is_empty()
    }

    /// The limits that are given, the others where not.
    pub(super) fn over(&self, others: Limits) -> Limits {
        self.limits.over(others)
    }

    /// The pipeline of `file` alone, or of every `--plugin`.
    pub(super) fn admit(&self, file: Option<&Path>) -> anyhow::Result<Pipeline> {
        self.admit_all(&self.plugins(file, &[])?, Limits::default())
    }

    /// The pipeline of every `--plugin`, with the limits of this one, and the params of its plugin of the same name,
    /// where no others are given.
    pub(super) fn admit_in_place_of(&self, pipeline: &PipelineSpec) -> anyhow::Result<Pipeline> {
        self.admit_all(&self.plugins(None, &pipeline.plugins)?, pipeline.limits)
    }

    fn admit_all(&self, plugins: &[PluginFile], limits: Limits) -> anyhow::Result<Pipeline> {
        let modules = plugins.iter().map(|plugin| read(&plugin.path)).collect::<Result<Vec<_>, _>>()?;
        admit(plugins, &modules, self.over(limits))
    }

    fn plugins(&self, file: Option<&Path>, pinned: &[PluginSpec]) -> anyhow::Result<Vec<PluginFile>> {
        let mut plugins: Vec<PluginFile> = match file {
            Some(file) => vec![alone(file, CanonicalJson::default())?],
            None => self.plugins.iter().map(|text| PluginFile::parse(text)).collect::<Result<_, _>>()?,
        };
        for plugin in &mut plugins {
            if let Some(pinned) = pinned.iter().find(|pinned| pinned.name == plugin.name) {
                plugin.params = pinned.params.clone();
            }
        }
        match (&mut plugins[..], &self.params[..]) {
            // With one plugin there is no need for its name.
            ([only], [text]) if !has_name(text) => only.params = params(text)?,
            (plugins, texts) => PluginFile::set_params(plugins, texts)?,
        }
        Ok(plugins)
    }
}

impl LimitArgs {
    fn over(&self, others: Limits) -> Limits {
        Limits {
            tx_bytes_max: self.tx_bytes_max.unwrap_or(others.tx_bytes_max),
            record_bytes_max: self.record_bytes_max.unwrap_or(others.record_bytes_max),
            fuel_max: self.fuel_max.unwrap_or(others.fuel_max),
            memory_bytes_max: self.memory_bytes_max.unwrap_or(others.memory_bytes_max),
        }
    }
}

/// Whether params are written `name=JSON`; no JSON document starts like that.
fn has_name(text: &str) -> bool {
    text.split_once('=').is_some_and(|(name, _)| PluginName::try_from(name.to_owned()).is_ok())
}

/// Reads params as JSON.
pub(super) fn params(text: &str) -> anyhow::Result<CanonicalJson> {
    CanonicalJson::parse(text).or_else(|error| usage(format!("--params {}: {error}", Excerpt::of(text))))
}

/// The plugin of one file, named after the file if that is a valid plugin name.
pub(super) fn alone(file: &Path, params: CanonicalJson) -> anyhow::Result<PluginFile> {
    let stem = file.file_stem().unwrap_or_default().to_string_lossy().replace('_', "-");
    let name = PluginName::try_from(stem).or_else(|_| PluginName::try_from("plugin".to_owned()))?;
    Ok(PluginFile { name, path: file.to_owned(), params })
}

/// The pipeline of these plugins, whose bytes are `modules`, in the same order.
pub(super) fn admit(plugins: &[PluginFile], modules: &[Vec<u8>], limits: Limits) -> anyhow::Result<Pipeline> {
    let specs = plugins.iter().zip(modules).map(|(plugin, wasm)| PluginSpec {
        name: plugin.name.clone(),
        sha256: PluginHash::of(wasm),
        params: plugin.params.clone(),
    });
    let spec = PipelineSpec { engine: engine_id(), limits, plugins: specs.collect() };
    Pipeline::admit(spec, modules).with_context(|| match plugins {
        [only] => format!("{} would not be admitted", only.path.display()),
        _ => "the pipeline would not be admitted".to_owned(),
    })
}
