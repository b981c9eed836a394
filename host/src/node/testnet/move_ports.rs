//! Moving a network that does not run to other ports.

use super::make::check_ports;
use super::{Network, Node, Shape, TestnetError, write_shape};
use crate::node::config;
use crate::node::engine::cometbft::CometBft;
use crate::node::engine::config::{EngineConfig, EngineConfigError};
use crate::node::genesis::{self, GenesisError};
use crate::node::network::{Member, NetworkError, NetworkFile};
use crate::node::process::running;

/// Writes the ports that count from `base_port` into each home, with those of its peers; `network.json` comes last, so
/// that a call that was cut off can be repeated.
pub(super) fn move_ports(
    cometbft: &CometBft,
    network: &Network,
    base_port: u16,
    as_given: &std::path::Path,
) -> Result<Network, TestnetError> {
    let moved = Network { shape: Shape { base_port, ..network.shape }, ..network.clone() };
    let nodes = moved.nodes()?;
    let mut run = Vec::new();
    for node in &nodes {
        if let Some(text) = running::original_that_runs(&node.home) {
            return Err(TestnetError::OriginalRuns { text });
        }
        if node.running()?.is_some() {
            run.push(node.name.clone());
        }
    }
    if !run.is_empty() {
        return Err(TestnetError::RunsWhileMoved { nodes: run, dir: as_given.to_owned() });
    }
    check_ports(&nodes, false)?;
    let mut ids = Vec::new();
    for node in &nodes {
        ids.push(genesis::run(cometbft, &node.home, "show-node-id")?.trim().to_owned());
    }
    for node in &nodes {
        readdress(node, &nodes, &ids)?;
        rewrite(node, &nodes, &ids).map_err(GenesisError::from)?;
        if let Some(http) = node.http() {
            config::put(&node.home, &config::HTTP, &http.to_string())?;
        }
    }
    write_shape(&moved)?;
    Ok(moved)
}

/// Moves the members in the home's files of the network; a network that an older version made has none.
fn readdress(node: &Node, nodes: &[Node], ids: &[String]) -> Result<(), NetworkError> {
    let (member_file, network_file) = (node.home.member_file(), node.home.network_file());
    if !member_file.exists() || !network_file.exists() {
        return Ok(());
    }
    let change = |member: &mut Member| {
        let ports = ids.iter().position(|id| *id == member.node_id).and_then(|index| nodes.get(index));
        let Some(ports) = ports.map(|node| node.ports) else { return };
        member.address = with_port(&member.address, ports.p2p);
        member.rpc = member.rpc.take().map(|rpc| with_port(&rpc, ports.rpc));
        member.http = member.http.take().map(|http| with_port(&http, ports.http));
    };
    let network = NetworkFile::read(&network_file)?.readdressed(change)?;
    network.write(&network_file)?;
    let mut member = Member::read(&member_file)?;
    change(&mut member);
    member.write(&member_file)
}

fn rewrite(node: &Node, nodes: &[Node], ids: &[String]) -> Result<(), EngineConfigError> {
    let mut config = EngineConfig::read(&node.home)?;
    let ports = node.ports;
    for (key, port) in [
        (["p2p", "laddr"], ports.p2p),
        (["rpc", "laddr"], ports.rpc),
        (["instrumentation", "prometheus_listen_addr"], ports.metrics),
    ] {
        let moved = with_port(config.text(&key).unwrap_or_default(), port);
        config.set(&key, moved)?;
    }
    let key = ["p2p", "persistent_peers"];
    let peers = config.text(&key).unwrap_or_default();
    let peers: Vec<String> = peers.split(',').map(|peer| moved_peer(peer.trim(), nodes, ids)).collect();
    config.set(&key, peers.join(","))?;
    config.write()
}

/// The same address with another port.
fn with_port(address: &str, port: u16) -> String {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    format!("{host}:{port}")
}

/// A peer at its new port, if it is one of the network's; known by its id, which does not move.
fn moved_peer(peer: &str, nodes: &[Node], ids: &[String]) -> String {
    let node = peer.split_once('@').and_then(|(id, address)| {
        let index = ids.iter().position(|known| known == id)?;
        Some((id, address, nodes.get(index)?))
    });
    node.map_or_else(
        || peer.to_owned(),
        |(id, address, node)| format!("{id}@{}", with_port(address, node.ports.p2p)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_of_the_network_move_and_others_stay() {
        let network = Network { dir: "/net".into(), shape: Shape { nodes: 2, base_port: 4000 } };
        let (nodes, ids) = (network.nodes().unwrap(), ["aa".to_owned(), "bb".to_owned()]);
        let moved = |peer| moved_peer(peer, &nodes, &ids);
        assert_eq!(moved("aa@127.0.0.1:26656"), "aa@127.0.0.1:4000");
        assert_eq!(moved("bb@[::1]:26659"), "bb@[::1]:4003");
        assert_eq!(moved("cc@203.0.113.7:26656"), "cc@203.0.113.7:26656");
        assert_eq!(moved(""), "");
        assert_eq!(with_port("tcp://127.0.0.1:26657", 1), "tcp://127.0.0.1:1");
        assert_eq!(with_port(":26670", 1), ":1");
    }
}
