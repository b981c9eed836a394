//! Making the homes of a network whose nodes run on hosts of their own, such as containers; nothing is started.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use super::{BASE_PORT, METRICS_FROM, NODES_MAX, Ports, TestnetError};
use crate::node::address::Address;
use crate::node::config::HTTP_PORT;
use crate::node::engine::cometbft::CometBft;
use crate::node::genesis::GenesisError;
use crate::node::genesis::rules::{self, Plugin, PluginFile};
use crate::node::home::NodeHome;
use crate::node::home::new_home::NewHome;
use crate::node::network::{self, Founding, Listen, NewMember, Profile};

/// Longest name of a host, in bytes: it becomes a moniker, which stands in tables.
const HOST_BYTES_MAX: usize = 70;

/// The ports of each node: those of the local network's first.
const PORTS: Ports =
    Ports { p2p: BASE_PORT, rpc: BASE_PORT + 1, metrics: BASE_PORT + METRICS_FROM, http: HTTP_PORT };

/// What homes to make.
#[derive(Debug)]
pub struct InitOptions {
    /// The folder for the homes.
    pub dir: PathBuf,
    /// The hosts on which the nodes will run: one home for each, named after it.
    pub hosts: Vec<String>,
    /// The pipeline; none: the default.
    pub plugins: Option<Vec<PluginFile>>,
    /// The consensus engine.
    pub cometbft: CometBft,
}

/// The homes of a network, of which nothing was started.
#[derive(Debug)]
pub struct Initialized {
    /// Each host with its home and the port of its RPC.
    pub nodes: Vec<(String, PathBuf, u16)>,
    /// Whether they were made now; no: they were there.
    pub made: bool,
}

/// Makes the homes of a network, or leaves those that are there for the same hosts.
///
/// Every node listens on all addresses of its host, on the ports of the local network's node 0, and finds the others by the
/// names of their hosts.
///
/// # Errors
///
/// When a host's name cannot be used, there is something else in the folder, or the homes cannot be made.
pub fn init(options: &InitOptions) -> Result<Initialized, TestnetError> {
    check_hosts(&options.hosts)?;
    let made = !is_there(&options.dir, &options.hosts);
    if made {
        make(options)?;
    }
    let node = |host: &String| (host.clone(), options.dir.join(host), PORTS.rpc);
    Ok(Initialized { nodes: options.hosts.iter().map(node).collect(), made })
}

fn make(options: &InitOptions) -> Result<(), TestnetError> {
    let plugins = match &options.plugins {
        Some(plugins) => rules::read_plugins(plugins).map_err(GenesisError::from)?,
        None => vec![Plugin::passthrough()],
    };
    let place = NewHome::prepare(&options.dir)?;
    let home = |host: &String| (NodeHome::new(&place.partial().join(host)), member(host));
    let homes: Vec<(NodeHome, NewMember)> = options.hosts.iter().map(home).collect();
    let founding = Founding { chain_id: None, plugins, profile: Profile::Local };
    network::found(&options.cometbft, founding, &homes)?;
    Ok(place.put_in_place()?)
}

/// Whether the folder holds a home for each of these hosts, and nothing else.
fn is_there(dir: &Path, hosts: &[String]) -> bool {
    let found: BTreeSet<OsString> =
        fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.file_name()).collect();
    found == hosts.iter().map(OsString::from).collect()
        && hosts.iter().all(|host| NodeHome::open(&dir.join(host)).is_ok())
}

/// Listens on all addresses of the host; other nodes find it by its name.
fn member(host: &str) -> NewMember {
    let everywhere = |port| Address::new("0.0.0.0", port);
    let [p2p, rpc, metrics] = [PORTS.p2p, PORTS.rpc, PORTS.metrics].map(everywhere);
    let http = Some(SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORTS.http)));
    let listen = Listen { p2p, rpc, metrics, http };
    NewMember { name: host.to_owned(), address: Address::new(host, PORTS.p2p), listen, observer: false }
}

/// Names that CometBFT takes in the list of peers, and the file system as a folder.
fn check_hosts(hosts: &[String]) -> Result<(), TestnetError> {
    let nodes = u16::try_from(hosts.len()).unwrap_or(u16::MAX);
    if !(1..=NODES_MAX).contains(&nodes) {
        return Err(TestnetError::BadCount { nodes });
    }
    let is_host = |host: &str| network::parse_address(&Address::new(host, PORTS.p2p).to_string()).is_some();
    let mut seen = BTreeSet::new();
    for host in hosts {
        let why = if host.len() > HOST_BYTES_MAX {
            "is longer than 70 bytes"
        } else if !network::is_name(host) || !is_host(host) {
            "is no host name or IPv4 address: letters, digits, '-', '.' and '_', the first a letter or a digit"
        } else if !seen.insert(host) {
            "is there twice"
        } else {
            continue;
        };
        return Err(TestnetError::BadHost { host: host.clone(), why });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_that_no_peer_could_dial_is_refused_with_the_reason() {
        let refusal = |hosts: &[&str]| {
            let hosts: Vec<String> = hosts.iter().map(ToString::to_string).collect();
            check_hosts(&hosts).unwrap_err().to_string()
        };
        assert_eq!(refusal(&["a", "b", "a"]), "--host \"a\" is there twice");
        for bad in ["", "a b", "a,b", "../a", ".a", "a@b", "a:1", "::1", "-a", "a/b"] {
            assert!(refusal(&["node0", bad]).contains("is no host name"), "{bad}");
        }
        assert!(refusal(&[&"a".repeat(HOST_BYTES_MAX + 1)]).ends_with("is longer than 70 bytes"));
        assert_eq!(refusal(&[]), "a local network has 1 to 32 nodes, not 0");
        let longest = "a".repeat(HOST_BYTES_MAX);
        check_hosts(&["node0".to_owned(), "10.1.2.3".to_owned(), "a.example".to_owned(), longest]).unwrap();
    }

    #[test]
    fn every_node_listens_on_all_addresses_and_is_found_by_its_name() {
        let NewMember { address, listen, .. } = member("a");
        let texts = [&address, &listen.p2p, &listen.rpc, &listen.metrics].map(ToString::to_string);
        assert_eq!(texts, ["a:26656", "0.0.0.0:26656", "0.0.0.0:26657", "0.0.0.0:26670"]);
        assert_eq!(listen.http.unwrap().to_string(), "0.0.0.0:6900");
    }

    #[test]
    fn homes_of_other_hosts_are_not_taken_for_these() {
        let dir = tempfile::tempdir().unwrap();
        for host in ["a", "b"] {
            fs::create_dir_all(dir.path().join(host).join("config")).unwrap();
            fs::write(dir.path().join(host).join("config/genesis.json"), "{}").unwrap();
        }
        let there =
            |hosts: &[&str]| is_there(dir.path(), &hosts.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert!(there(&["b", "a"]));
        assert!(!there(&["a"]) && !there(&["a", "b", "c"]) && !there(&["a", "c"]));
        fs::remove_file(dir.path().join("b/config/genesis.json")).unwrap();
        assert!(!there(&["a", "b"]));
    }
}
