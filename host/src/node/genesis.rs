//! Making node homes: CometBFT's files, one genesis for all of them, the plugins it pins.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use toml_edit::DocumentMut;

use super::cometbft::CometBft;
use super::config;
use super::home::NodeHome;
use super::overrides::{self, OverrideError};
use crate::limits;
use crate::plugin::{Limits, PluginName, PluginNameError};
use crate::types::PluginHash;

/// Longest chain id that CometBFT takes, in bytes.
const CHAIN_ID_BYTES_MAX: usize = 50;

/// A plugin as the command line names it: `name=path.wasm`.
#[derive(Clone, Debug)]
pub struct PluginFile {
    /// Its name in the pipeline.
    pub name: PluginName,
    /// Its `.wasm` file.
    pub path: PathBuf,
}

/// The addresses of one node; all on loopback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    /// Where other nodes connect.
    pub p2p: u16,
    /// CometBFT's RPC.
    pub rpc: u16,
    /// CometBFT's metrics.
    pub metrics: u16,
}

/// What all nodes of a new network share.
#[derive(Clone, Debug)]
pub struct NetworkSpec {
    /// The chain id; none: one is made up.
    pub chain_id: Option<String>,
    /// The pipeline, in its order.
    pub plugins: Vec<PluginFile>,
    /// What is put over CometBFT's configuration, in this order.
    pub config_overrides: &'static [&'static str],
}

/// One node of a new network.
#[derive(Clone, Debug)]
pub struct Member {
    /// Its home; must not exist.
    pub home: NodeHome,
    /// Its name among its peers.
    pub moniker: String,
    /// Its ports; none: CometBFT's own.
    pub ports: Option<Ports>,
}

/// A network that could not be made.
#[derive(Debug, thiserror::Error)]
pub enum GenesisError {
    /// A `--plugin` that is not `name=path`.
    #[error("plugin {text:?} must be written name=path.wasm")]
    PluginSyntax {
        /// As it was given.
        text: String,
    },
    /// A name that cannot be a plugin's.
    #[error("{0}")]
    PluginName(#[from] PluginNameError),
    /// Two plugins of one name could not be told apart in a rejection's codespace.
    #[error("plugin name {name} is given twice")]
    PluginTwice {
        /// The name.
        name: PluginName,
    },
    /// More plugins than a pipeline may have.
    #[error("{count} plugins are given; a pipeline has at most {max}", max = limits::PLUGINS_MAX)]
    TooManyPlugins {
        /// How many.
        count: u64,
    },
    /// No file for a plugin.
    #[error("no file for plugin {name} at {path}; `make plugins` builds the ones of this repository, --plugin name=path.wasm names another", path = path.display())]
    PluginMissing {
        /// The plugin.
        name: PluginName,
        /// Where it was looked for.
        path: PathBuf,
    },
    /// Too large a file.
    #[error("plugin {name} is {bytes} bytes; at most {max} are allowed", max = limits::WASM_BYTES_MAX)]
    PluginTooLarge {
        /// The plugin.
        name: PluginName,
        /// Its size.
        bytes: u64,
    },
    /// A chain id that CometBFT does not take.
    #[error("the chain id is {bytes} bytes long; it must have 1 to {CHAIN_ID_BYTES_MAX}")]
    ChainId {
        /// Its length.
        bytes: usize,
    },
    /// CometBFT could not do its part.
    #[error("`{command}` failed: {said}")]
    CometBft {
        /// What was run.
        command: String,
        /// What it said.
        said: String,
    },
    /// The values in `networks/` do not fit CometBFT's files.
    #[error("cannot apply our values to {path}", path = path.display())]
    Override {
        /// The generated file.
        path: PathBuf,
        /// Why.
        source: OverrideError,
    },
    /// A generated file is not as expected.
    #[error("{path} has no {what}", path = path.display())]
    Unexpected {
        /// The file.
        path: PathBuf,
        /// What was looked for in it.
        what: &'static str,
    },
    /// The file system refused.
    #[error("cannot use {path}", path = path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl PluginFile {
    /// Reads `name=path.wasm`.
    ///
    /// # Errors
    ///
    /// When there is no `=`, or the name cannot be a plugin's.
    pub fn parse(text: &str) -> Result<Self, GenesisError> {
        let syntax = || GenesisError::PluginSyntax { text: text.to_owned() };
        let (name, path) = text.split_once('=').filter(|(_, path)| !path.is_empty()).ok_or_else(syntax)?;
        Ok(Self { name: PluginName::try_from(name.to_owned())?, path: PathBuf::from(path) })
    }

    /// The default pipeline: `plugins/passthrough.wasm` beside the running executable.
    ///
    /// # Errors
    ///
    /// When the executable's own path is unknown.
    pub fn passthrough() -> Result<Self, GenesisError> {
        let io = |source| GenesisError::Io { path: PathBuf::from("this executable"), source };
        let executable = std::env::current_exe().map_err(io)?;
        let beside = executable.parent().unwrap_or(Path::new("."));
        Ok(Self {
            name: PluginName::try_from("passthrough".to_owned())?,
            path: beside.join("plugins").join("passthrough.wasm"),
        })
    }
}

struct Plugin {
    name: PluginName,
    hash: PluginHash,
    wasm: Vec<u8>,
}

/// Makes the homes of a new network's members, each a validator of equal power.
///
/// # Errors
///
/// When a plugin cannot be used, or CometBFT's files can't be made or don't take our values.
pub fn create(cometbft: &CometBft, spec: &NetworkSpec, members: &[Member]) -> Result<(), GenesisError> {
    if let Some(bytes) = spec.chain_id.as_ref().map(String::len)
        && !(1..=CHAIN_ID_BYTES_MAX).contains(&bytes)
    {
        return Err(GenesisError::ChainId { bytes });
    }
    let plugins = read_plugins(&spec.plugins)?;
    for member in members {
        run(cometbft, &member.home, "init")?;
    }
    let peers = peers(cometbft, members)?;
    let genesis = genesis(spec, &plugins, members)?;
    for (index, member) in members.iter().enumerate() {
        let others: Vec<&str> =
            peers.iter().enumerate().filter(|(i, _)| *i != index).map(|(_, peer)| peer.as_str()).collect();
        write_config(spec, member, &others.join(","))?;
        write(&member.home.genesis_file(), &genesis)?;
        write(&member.home.config_file(), config::template().as_bytes())?;
        make_dir(&member.home.plugins_dir())?;
        for plugin in &plugins {
            write(&member.home.plugins_dir().join(format!("{}.wasm", plugin.name)), &plugin.wasm)?;
        }
    }
    Ok(())
}

fn read_plugins(files: &[PluginFile]) -> Result<Vec<Plugin>, GenesisError> {
    let count = files.len() as u64;
    if count > limits::PLUGINS_MAX {
        return Err(GenesisError::TooManyPlugins { count });
    }
    let mut plugins: Vec<Plugin> = Vec::new();
    for PluginFile { name, path } in files {
        if plugins.iter().any(|plugin| plugin.name == *name) {
            return Err(GenesisError::PluginTwice { name: name.clone() });
        }
        let wasm = match fs::read(path) {
            Ok(wasm) => wasm,
            Err(err) if err.kind() == io::ErrorKind::NotFound => {
                return Err(GenesisError::PluginMissing { name: name.clone(), path: path.clone() });
            }
            Err(source) => return Err(GenesisError::Io { path: path.clone(), source }),
        };
        let bytes = wasm.len() as u64;
        if bytes > limits::WASM_BYTES_MAX {
            return Err(GenesisError::PluginTooLarge { name: name.clone(), bytes });
        }
        plugins.push(Plugin { name: name.clone(), hash: PluginHash::of(&wasm), wasm });
    }
    Ok(plugins)
}

/// The genesis that all members share: CometBFT's, with every member a validator and our app state.
fn genesis(spec: &NetworkSpec, plugins: &[Plugin], members: &[Member]) -> Result<Vec<u8>, GenesisError> {
    let Some(first) = members.first() else { return Ok(Vec::new()) };
    let path = first.home.genesis_file();
    let mut genesis = read_json(&path)?;
    overrides::apply_to_json(&mut genesis, overrides::COMMON_GENESIS)
        .map_err(|source| GenesisError::Override { path: path.clone(), source })?;
    let mut validators = Vec::new();
    for member in members {
        validators.push(validator(member)?);
    }
    let chain_id = match &spec.chain_id {
        Some(chain_id) => chain_id.clone(),
        None => made_up_chain_id(&validators),
    };
    genesis["chain_id"] = chain_id.into();
    genesis["initial_height"] = "1".into();
    genesis["validators"] = validators.into();
    genesis["app_state"] = app_state(plugins);
    let mut text = serde_json::to_vec_pretty(&genesis)
        .map_err(|err| GenesisError::Io { path: path.clone(), source: err.into() })?;
    text.push(b'\n');
    Ok(text)
}

/// The names and hashes of the pipeline that a home's genesis pins.
///
/// # Errors
///
/// When the file cannot be read or pins none.
pub fn pinned(home: &NodeHome) -> Result<Vec<(String, String)>, GenesisError> {
    let path = home.genesis_file();
    let genesis = read_json(&path)?;
    let pipeline = genesis["app_state"]["dseq"]["pipeline"].as_array();
    let pipeline = pipeline.ok_or(GenesisError::Unexpected { path, what: "pipeline" })?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Ok(pipeline.iter().map(|plugin| (text(&plugin["name"]), text(&plugin["sha256"]))).collect())
}

/// The names and hashes that a genesis with these plugins would pin.
///
/// # Errors
///
/// When a plugin cannot be used.
pub fn would_pin(files: &[PluginFile]) -> Result<Vec<(String, String)>, GenesisError> {
    let plugins = read_plugins(files)?;
    Ok(plugins.iter().map(|plugin| (plugin.name.as_str().to_owned(), plugin.hash.to_string())).collect())
}

/// The `dseq` object of genesis.
fn app_state(plugins: &[Plugin]) -> Value {
    let pipeline: Vec<Value> = plugins
        .iter()
        .map(
            |plugin| json!({ "name": plugin.name.as_str(), "sha256": plugin.hash.to_string(), "params": {} }),
        )
        .collect();
    json!({ "dseq": {
        "engine": crate::plugin::engine_id().to_string(),
        "limits": Limits::default(),
        "pipeline": pipeline,
    } })
}

fn validator(member: &Member) -> Result<Value, GenesisError> {
    let path = member.home.root().join("config/priv_validator_key.json");
    let key = read_json(&path)?;
    let field = |what| key.get(what).cloned().ok_or(GenesisError::Unexpected { path: path.clone(), what });
    Ok(json!({
        "address": field("address")?,
        "pub_key": field("pub_key")?,
        "power": "10",
        "name": member.moniker,
    }))
}

/// Two networks must not share a chain id, or the signatures of one count in the other.
fn made_up_chain_id(validators: &[Value]) -> String {
    let address = validators.first().and_then(|first| first["address"].as_str()).unwrap_or_default();
    format!("dseq-{}", address.get(..8).unwrap_or(address).to_lowercase())
}

/// `id@host:port` of each member; empty when the members have no ports of their own.
fn peers(cometbft: &CometBft, members: &[Member]) -> Result<Vec<String>, GenesisError> {
    let mut peers = Vec::new();
    for member in members {
        if let Some(ports) = member.ports {
            let id = run(cometbft, &member.home, "show-node-id")?;
            peers.push(format!("{}@127.0.0.1:{}", id.trim(), ports.p2p));
        }
    }
    Ok(peers)
}

fn write_config(spec: &NetworkSpec, member: &Member, peers: &str) -> Result<(), GenesisError> {
    let path = member.home.cometbft_config();
    let text = fs::read_to_string(&path).map_err(|source| GenesisError::Io { path: path.clone(), source })?;
    let apply = || -> Result<DocumentMut, OverrideError> {
        let mut config: DocumentMut = text.parse()?;
        for overrides in spec.config_overrides {
            overrides::apply_to_toml(&mut config, overrides)?;
        }
        overrides::set(&mut config, &["moniker"], member.moniker.as_str().into())?;
        if let Some(ports) = member.ports {
            let address = |port| format!("tcp://127.0.0.1:{port}").into();
            overrides::set(&mut config, &["p2p", "laddr"], address(ports.p2p))?;
            overrides::set(&mut config, &["rpc", "laddr"], address(ports.rpc))?;
            let metrics = format!("127.0.0.1:{}", ports.metrics);
            overrides::set(&mut config, &["instrumentation", "prometheus_listen_addr"], metrics.into())?;
            overrides::set(&mut config, &["p2p", "persistent_peers"], peers.into())?;
        }
        Ok(config)
    };
    let config = apply().map_err(|source| GenesisError::Override { path: path.clone(), source })?;
    write(&path, config.to_string().as_bytes())
}

fn run(cometbft: &CometBft, home: &NodeHome, subcommand: &str) -> Result<String, GenesisError> {
    let failed = |said: String| GenesisError::CometBft {
        command: format!("{} {subcommand} --home {}", cometbft.path().display(), home.root().display()),
        said,
    };
    let output =
        cometbft.command(home.root()).arg(subcommand).output().map_err(|err| failed(err.to_string()))?;
    if !output.status.success() {
        return Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn read_json(path: &Path) -> Result<Value, GenesisError> {
    let io = |source| GenesisError::Io { path: path.to_owned(), source };
    serde_json::from_slice(&fs::read(path).map_err(io)?).map_err(|err| io(err.into()))
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), GenesisError> {
    fs::write(path, bytes).map_err(|source| GenesisError::Io { path: path.to_owned(), source })
}

fn make_dir(path: &Path) -> Result<(), GenesisError> {
    fs::create_dir_all(path).map_err(|source| GenesisError::Io { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plugin(dir: &Path, name: &str, wasm: &[u8]) -> PluginFile {
        let path = dir.join(format!("{name}.wasm"));
        fs::write(&path, wasm).unwrap();
        PluginFile::parse(&format!("{name}={}", path.display())).unwrap()
    }

    #[test]
    fn a_plugin_is_pinned_by_the_hash_of_its_file_in_the_order_given() {
        let dir = tempfile::tempdir().unwrap();
        let files = [plugin(dir.path(), "two", b"2"), plugin(dir.path(), "one", b"1")];
        let state = app_state(&read_plugins(&files).unwrap());
        assert_eq!(state["dseq"]["pipeline"][0]["name"], "two");
        assert_eq!(state["dseq"]["pipeline"][0]["sha256"], PluginHash::of(b"2").to_string());
        assert_eq!(state["dseq"]["pipeline"][1]["params"], json!({}));
        assert_eq!(state["dseq"]["limits"]["tx_bytes_max"], 1_048_576);
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
}
