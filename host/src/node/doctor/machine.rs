//! What the node needs of its machine, and what it shows to others.

use std::net::IpAddr;

use super::{Finding, Subject};
use crate::disk;
use crate::node::address::Address;
use crate::node::config::HTTP;
use crate::node::engine::cometbft::{self, CometBft};
use crate::node::engine::config::EngineConfig;
use crate::node::engine::listen;
use crate::node::health;
use crate::node::process::ports::{self, Why};
use crate::node::process::running::Running;

pub(super) fn all(subject: &Subject<'_>) -> Vec<Finding> {
    vec![versions(subject), free(subject), taken(subject), open(subject)]
}

fn versions(subject: &Subject<'_>) -> Finding {
    match CometBft::find(subject.cometbft) {
        Ok(found) => Finding::ok(
            "versions",
            format!(
                "dseq {}, CometBFT {} ({})",
                env!("CARGO_PKG_VERSION"),
                cometbft::VERSION,
                found.path().display()
            ),
        ),
        Err(err) => Finding::refused("versions", err),
    }
}

fn free(subject: &Subject<'_>) -> Finding {
    let low = subject.settings.disk_free_bytes_low.value;
    let (state, reason) = health::disk(subject.home, low);
    let remedy = "free some space, or move the home to a larger disk";
    match reason {
        None => {
            let free = disk::free_bytes(subject.home.root()).unwrap_or(0);
            Finding::ok("disk", format!("{} MiB free", free >> 20))
        }
        Some(found) => Finding { check: "disk", state, found, remedy: Some(remedy.to_owned()) },
    }
}

/// Each address of the node is free, or its own.
fn taken(subject: &Subject<'_>) -> Finding {
    let mut addresses = listen::addresses(subject.home);
    addresses.extend(http(subject));
    let running = Running::read(subject.home).filter(Running::is_alive);
    let own = running.iter().flat_map(|one| [Some(one.supervisor), one.app, one.cometbft]).flatten();
    let own: Vec<u32> = own.map(|id| id.pid).collect();
    let is_own = |why: &Why| matches!(why, Why::Held(Some((pid, _))) if own.contains(pid));
    let foreign: Vec<String> = ports::unusable(&addresses)
        .into_iter()
        // A process of another user may well be this node's.
        .filter(|one| !is_own(&one.why) && (own.is_empty() || one.why != Why::Held(None)))
        .map(|one| one.to_string())
        .collect();
    let listed: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    if foreign.is_empty() {
        let whose = if own.is_empty() { "free" } else { "this node's" };
        return Finding::ok("ports", format!("{whose}: {}", listed.join(", ")));
    }
    let config = subject.home.cometbft_config();
    Finding::failed(
        "ports",
        foreign.join("; "),
        format!("free them, or choose others in {} and dseq.toml", config.display()),
    )
}

fn http(subject: &Subject<'_>) -> Option<Address> {
    subject.settings.http.value.map(|http| Address::new(http.ip().to_string(), http.port()))
}

/// What others than this machine can reach.
fn open(subject: &Subject<'_>) -> Finding {
    let config = EngineConfig::of(subject.home);
    let at = |key: &[&str]| config.text(key).and_then(Address::parse);
    let metrics =
        config.serves_metrics().then(|| at(&["instrumentation", "prometheus_listen_addr"])).flatten();
    let http_name = format!("`{}` in dseq.toml", HTTP.name);
    let private = [
        ("RPC", "rpc.laddr", at(&["rpc", "laddr"])),
        ("gRPC", "rpc.grpc_laddr", at(&["rpc", "grpc_laddr"])),
        ("the profiler", "rpc.pprof_laddr", at(&["rpc", "pprof_laddr"])),
        ("CometBFT's metrics", "instrumentation.prometheus_listen_addr", metrics),
        ("HTTP", http_name.as_str(), http(subject)),
    ];
    let exposed: Vec<_> = private
        .into_iter()
        .filter_map(|(what, key, address)| {
            Some((what, key, address.filter(|address| !is_loopback(address))?))
        })
        .collect();
    let is_unsafe = config.get(&["rpc", "unsafe"]).and_then(toml_edit::Item::as_bool).unwrap_or(false);
    if is_unsafe && exposed.iter().any(|(what, ..)| *what == "RPC") {
        return Finding::failed(
            "open",
            "RPC is open to the network with rpc.unsafe: anybody can stop this node's connections and its mempool",
            format!("set rpc.unsafe = false in {}", config.path().display()),
        );
    }
    let p2p = at(&["p2p", "laddr"]).map_or("none".to_owned(), |address| address.to_string());
    if exposed.is_empty() {
        return Finding::ok(
            "open",
            format!("to the network: only P2P ({p2p}), encrypted and known by node ids"),
        );
    }
    let found = exposed
        .iter()
        .map(|(what, _, address)| format!("{what} on {address}"))
        .collect::<Vec<_>>()
        .join(", ");
    let keys = exposed.iter().map(|(_, key, _)| *key).collect::<Vec<_>>().join(", ");
    Finding::warning(
        "open",
        format!("to the network, without password and encryption: {found}"),
        format!("set {keys} to 127.0.0.1, or make sure that a firewall or a proxy stands before it"),
    )
}

fn is_loopback(address: &Address) -> bool {
    address.host == "localhost" || address.host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::api::health::State;
    use crate::node::config::{Given, Settings};
    use crate::node::home::NodeHome;

    fn looked(config: &str, look: fn(&Subject<'_>) -> Finding) -> Finding {
        let dir = tempfile::tempdir().unwrap();
        let home = NodeHome::new(dir.path());
        fs::create_dir(dir.path().join("config")).unwrap();
        fs::write(home.cometbft_config(), config).unwrap();
        let (given, settings) = (Given::new(), Settings::default());
        look(&Subject { home: &home, settings: &settings, given: &given, cometbft: None })
    }

    #[test]
    fn what_is_open_beside_p2p_is_named_with_its_setting() {
        let closed = "[rpc]\nladdr = \"tcp://127.0.0.1:26657\"\n[p2p]\nladdr = \"tcp://0.0.0.0:26656\"\n";
        assert_eq!(looked(closed, open).state, State::Ok);
        let found = looked(&closed.replace("127.0.0.1", "0.0.0.0"), open);
        assert_eq!(found.state, State::Warning);
        assert!(found.found.contains("RPC on 0.0.0.0:26657") && found.remedy.unwrap().contains("rpc.laddr"));
        let found =
            looked(&closed.replace("127.0.0.1", "10.0.0.1").replace("[rpc]", "[rpc]\nunsafe = true"), open);
        assert_eq!(found.state, State::Failed);
        assert_eq!(looked("[rpc]\npprof_laddr = \":6060\"\n", open).state, State::Warning);
    }

    #[test]
    fn a_port_that_somebody_else_has_fails() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let found = looked(&format!("[rpc]\nladdr = \"tcp://127.0.0.1:{port}\"\n"), taken);
        assert!(
            found.state == State::Failed && found.found.contains(&format!("port {port} is held by")),
            "{found:?}"
        );
    }
}
