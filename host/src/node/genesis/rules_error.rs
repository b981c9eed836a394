//! Why rules cannot be made or read.

use std::io;
use std::path::{Path, PathBuf};

use super::document_error::DocError;
use crate::abci::BoundsError;
use crate::excerpt::Excerpt;
use crate::json::JsonError;
use crate::limits;
use crate::plugin::{AdmitError, CanonicalJsonError, PluginDirError, PluginName, PluginNameError};

/// Rules that cannot be made or read.
#[derive(Debug, thiserror::Error)]
pub enum RulesError {
    /// A `--plugin` that is not `name=path`.
    #[error("plugin {:?} must be written name=path.wasm", Excerpt::of(.text))]
    PluginSyntax {
        /// As it was given.
        text: String,
    },
    /// A `--params` that is not `name=json`.
    #[error("params {:?} must be written name=JSON, such as lines='{{\"line_bytes_max\":80}}'", Excerpt::of(.text))]
    ParamsSyntax {
        /// As they were given.
        text: String,
    },
    /// Params that are not valid JSON, are ambiguous, or have no canonical form or too long a one.
    ///
    /// Correct the JSON as the message says.
    #[error("plugin {name}: {source}")]
    Params {
        /// The plugin.
        name: String,
        /// What is wrong with them.
        source: CanonicalJsonError,
    },
    /// Params for nobody.
    ///
    /// Name a plugin of the pipeline, or give this one with `--plugin` too.
    #[error("params are given for plugin {:?}, but the pipeline has {}", Excerpt::of(.name), listed(.known))]
    ParamsForNobody {
        /// The name.
        name: String,
        /// The pipeline.
        known: Vec<String>,
    },
    /// A limit that is not `name=number`, or of a name there is not.
    #[error(
        "{:?} is not a limit: write name=NUMBER, where name is tx_bytes_max, record_bytes_max, fuel_max or \
         memory_bytes_max",
        Excerpt::of(.text)
    )]
    LimitSyntax {
        /// As it was given.
        text: String,
    },
    /// A name that cannot be a plugin's.
    #[error("{0}")]
    PluginName(#[from] PluginNameError),
    /// Two plugins of one name could not be told apart in a rejection's codespace.
    ///
    /// Give each plugin a name of its own.
    #[error("plugin name {name} is given twice")]
    PluginTwice {
        /// The name.
        name: PluginName,
    },
    /// More plugins than a pipeline may have.
    ///
    /// Use fewer plugins.
    #[error("{count} plugins are given; a pipeline has at most {max}", max = limits::PLUGINS_MAX)]
    TooManyPlugins {
        /// How many.
        count: u64,
    },
    /// No file for a plugin.
    ///
    /// Give the path of its `.wasm` file.
    #[error(
        "no file for plugin {name} at {path}; `make plugins` builds those of this repository",
        path = path.display()
    )]
    PluginMissing {
        /// The plugin.
        name: PluginName,
        /// Where it was looked for.
        path: PathBuf,
    },
    /// Too large a file.
    ///
    /// Build it with `dseq plugin build`, which leaves debug information out; if that is not enough, make it smaller.
    #[error("plugin {name} is {bytes} bytes; at most {max} are allowed", max = limits::WASM_BYTES_MAX)]
    PluginTooLarge {
        /// The plugin.
        name: PluginName,
        /// Its size.
        bytes: u64,
    },
    /// A genesis file that is not valid JSON, or is ambiguous.
    #[error("{path}: {source}", path = path.display())]
    GenesisJson {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: JsonError,
    },
    /// A genesis file whose JSON is another than a genesis'.
    ///
    /// Give the path of a genesis file, or put the network's own in its place.
    #[error("{path} is not a genesis file: it is valid JSON, but not an object", path = path.display())]
    GenesisNoObject {
        /// The file.
        path: PathBuf,
    },
    /// A genesis file without our part, or with one that is not as it must be.
    #[error("{path}: {source}", path = path.display())]
    Genesis {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: crate::app::GenesisError,
    },
    /// A genesis file that CometBFT would refuse.
    #[error("{path}: {source}", path = path.display())]
    Document {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: DocError,
    },
    /// Limits that cannot be met with the parameters beside them.
    #[error("{path}: {source}", path = path.display())]
    Bounds {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        source: BoundsError,
    },
    /// A plugin's bytes are not found.
    #[error("plugin {name}: {source}")]
    PluginFile {
        /// The plugin.
        name: PluginName,
        /// Where they were looked for.
        source: PluginDirError,
    },
    /// No node would run these rules.
    #[error("{path}: {source}", path = path.display())]
    Admit {
        /// The genesis file.
        path: PathBuf,
        /// Why not.
        source: AdmitError,
    },
    /// No node would run the rules of the new network.
    #[error("{source}")]
    NotAdmitted {
        /// Why not.
        source: AdmitError,
    },
    /// The file system refused.
    ///
    /// Fix the cause that follows the message, usually a missing file, permissions or a full disk, and run the command again.
    #[error("cannot use {path}", path = path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

fn listed(names: &[String]) -> String {
    if names.is_empty() { "no plugins".to_owned() } else { names.join(", ") }
}

impl RulesError {
    pub(crate) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }

    /// Whether what was wrong is what the command line said.
    #[must_use]
    pub fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::PluginSyntax { .. }
                | Self::ParamsSyntax { .. }
                | Self::Params { .. }
                | Self::ParamsForNobody { .. }
                | Self::LimitSyntax { .. }
                | Self::PluginName(_)
                | Self::PluginTwice { .. }
                | Self::TooManyPlugins { .. }
        )
    }
}
