//! Making the homes of a local network, and removing them again while the network has no block.

use std::fs;
use std::io;

use super::{Network, Node, Shape, StartOptions, TestnetError, io_error, shape_file, write_shape};
use crate::node::address::Address;
use crate::node::engine::config::EngineConfig;
use crate::node::genesis::GenesisError;
use crate::node::genesis::rules::{self, Plugin};
use crate::node::home::NodeHome;
use crate::node::network::{self, Founding, NewMember, Profile};
use crate::node::process::ports;
use crate::sequence::{self, OpenError};
use crate::types::Height;

/// Checks all that can be checked, makes the homes aside and moves them into place; the network counts from when
/// `network.json` is there.
pub(super) fn make(options: &StartOptions) -> Result<Network, TestnetError> {
    let dir = options.dir.canonicalize().map_err(io_error(format!("find {}", options.dir.display())))?;
    let shape =
        Shape { nodes: options.nodes.unwrap_or(4), base_port: options.base_port.unwrap_or(super::BASE_PORT) };
    let network = Network { dir, shape };
    let nodes = network.nodes()?;
    if let Some(node) = nodes.iter().find(|node| node.home.root().exists()) {
        return Err(TestnetError::Foreign { path: node.home.root().to_owned(), dir: options.dir.clone() });
    }
    let plugins = match &options.plugins {
        Some(plugins) => rules::read_plugins(plugins).map_err(GenesisError::from)?,
        None => vec![Plugin::passthrough()],
    };
    check_ports(&nodes, options.metrics)?;
    let partial = network.dir.join(".partial");
    remove_if_there(&partial)?;
    let made = make_aside(options, plugins, &network, &nodes);
    if made.is_err() {
        // The reason why it was not made matters more than what it leaves behind, which the next call removes.
        let _ = remove_if_there(&partial);
    }
    made?;
    Ok(network)
}

fn make_aside(
    options: &StartOptions,
    plugins: Vec<Plugin>,
    local: &Network,
    nodes: &[Node],
) -> Result<(), TestnetError> {
    let partial = local.dir.join(".partial");
    let at = |what: &str| io_error(format!("{what} {}", partial.display()));
    fs::create_dir(&partial).map_err(at("make"))?;
    let member = |node: &Node| (NodeHome::new(&partial.join(&node.name)), node.ports.member(&node.name));
    let homes: Vec<(NodeHome, NewMember)> = nodes.iter().map(member).collect();
    let founding = Founding { chain_id: None, plugins, profile: Profile::Local };
    network::found(&options.cometbft, founding, &homes)?;
    for (node, (made, _)) in nodes.iter().zip(&homes) {
        fs::rename(made.root(), node.home.root()).map_err(at("move out of"))?;
    }
    fs::remove_dir(&partial).map_err(at("remove"))?;
    write_shape(local)
}

/// Refuses ports that somebody listens on; those for metrics count where metrics are on, or are to be, and those for HTTP
/// where a node's own file does not turn it off.
pub(super) fn check_ports(nodes: &[Node], metrics: bool) -> Result<(), TestnetError> {
    let wanted = nodes.iter().flat_map(|node| {
        let metrics = metrics || EngineConfig::of(&node.home).serves_metrics();
        let of = node.ports.addresses();
        let http = node.http().map(|http| Address::new(http.ip().to_string(), http.port()));
        [Some(of.p2p), Some(of.rpc), metrics.then_some(of.metrics), http]
    });
    let ports = ports::unusable(&wanted.flatten().collect::<Vec<_>>());
    if ports.is_empty() { Ok(()) } else { Err(TestnetError::Ports { ports }) }
}

/// Whether no node has a block, so that nobody has been promised anything.
pub(super) fn has_no_block(nodes: &[Node]) -> bool {
    nodes.iter().all(|node| match sequence::committed_head(&node.home.sequence_dir()) {
        Ok(head) => head.height() == Height(0),
        Err(OpenError::NoLog { .. }) => true,
        Err(_) => false,
    })
}

/// Removes a network that has no block and does not run.
pub(super) fn undo(network: &Network, nodes: &[Node]) -> Result<(), TestnetError> {
    let path = shape_file(&network.dir);
    fs::remove_file(&path).map_err(io_error(format!("remove {}", path.display())))?;
    for node in nodes {
        remove_if_there(node.home.root())?;
    }
    Ok(())
}

fn remove_if_there(path: &std::path::Path) -> Result<(), TestnetError> {
    match fs::remove_dir_all(path) {
        Err(err) if err.kind() != io::ErrorKind::NotFound => {
            Err(io_error(format!("remove {}", path.display()))(err))
        }
        _ => Ok(()),
    }
}
