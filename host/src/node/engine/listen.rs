//! Where CometBFT is to listen, as its `config.toml` says.

use std::fs;

use toml_edit::DocumentMut;

use crate::node::home::NodeHome;

/// Host and port of each address that CometBFT will listen on; empty when its configuration cannot be understood,
/// which CometBFT itself says best.
#[must_use]
pub fn addresses(home: &NodeHome) -> Vec<(String, u16)> {
    let text = fs::read_to_string(home.cometbft_config()).unwrap_or_default();
    let Ok(config) = text.parse::<DocumentMut>() else { return Vec::new() };
    let text = |table: &str, key: &str| config.get(table)?.get(key)?.as_str();
    let prometheus = config.get("instrumentation").and_then(|table| table.get("prometheus")?.as_bool());
    let metrics = prometheus.unwrap_or(false).then(|| text("instrumentation", "prometheus_listen_addr"));
    [text("p2p", "laddr"), text("rpc", "laddr"), text("rpc", "grpc_laddr"), metrics.flatten()]
        .into_iter()
        .flatten()
        .filter_map(host_and_port)
        .collect()
}

/// Host and port of CometBFT's RPC, if its configuration says.
#[must_use]
pub fn rpc(home: &NodeHome) -> Option<(String, u16)> {
    let config: DocumentMut = fs::read_to_string(home.cometbft_config()).ok()?.parse().ok()?;
    host_and_port(config.get("rpc")?.get("laddr")?.as_str()?)
}

/// The URL of CometBFT's RPC as this machine reaches it, if its configuration says.
#[must_use]
pub fn rpc_url(home: &NodeHome) -> Option<String> {
    let (host, port) = rpc(home)?;
    Some(format!("http://{}", joined(reached_at(&host), port)))
}

/// Reads `tcp://host:port` or `host:port`; no host is every address. Unix sockets have no port.
fn host_and_port(address: &str) -> Option<(String, u16)> {
    let address = match address.split_once("://") {
        Some(("tcp", rest)) => rest,
        Some(_) => return None,
        None => address,
    };
    let (host, port) = address.rsplit_once(':')?;
    let host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(bracketed) => bracketed,
        // An IPv6 address without brackets leaves open where its port begins.
        None if host.contains(':') => return None,
        None => host,
    };
    Some((if host.is_empty() { "0.0.0.0" } else { host }.to_owned(), port.parse().ok()?))
}

/// Host and port as one text; an IPv6 address goes in brackets.
#[must_use]
pub fn joined(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// Where what listens on this host is reached from this machine. What CometBFT binds to every address of IPv6 takes
/// connections to IPv4 addresses too.
#[must_use]
pub fn reached_at(host: &str) -> &str {
    if host == "0.0.0.0" || host == "::" { "127.0.0.1" } else { host }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expected(all: &[(&str, u16)]) -> Vec<(String, u16)> {
        all.iter().map(|(host, port)| ((*host).to_owned(), *port)).collect()
    }

    #[test]
    fn what_cometbft_will_listen_on_is_read_from_its_configuration() {
        let dir = tempfile::tempdir().unwrap();
        let home = NodeHome::new(dir.path());
        assert!(addresses(&home).is_empty() && rpc(&home).is_none());
        fs::create_dir(dir.path().join("config")).unwrap();
        let write = |prometheus: bool| {
            let text = format!(
                "[rpc]\nladdr = \"tcp://127.0.0.1:26657\"\ngrpc_laddr = \"\"\n\
                 [p2p]\nladdr = \"tcp://0.0.0.0:26656\"\n\
                 [instrumentation]\nprometheus = {prometheus}\nprometheus_listen_addr = \":26660\"\n"
            );
            fs::write(home.cometbft_config(), text).unwrap();
        };
        let two = [("0.0.0.0", 26656), ("127.0.0.1", 26657)];
        write(false);
        assert_eq!(rpc(&home), Some(("127.0.0.1".to_owned(), 26657)));
        assert_eq!(rpc_url(&home).as_deref(), Some("http://127.0.0.1:26657"));
        assert_eq!(addresses(&home), expected(&two));
        write(true);
        assert_eq!(addresses(&home), expected(&[two[0], two[1], ("0.0.0.0", 26660)]));
    }

    #[test]
    fn addresses_without_a_port_are_passed_over() {
        assert_eq!(host_and_port("unix:///run/rpc.sock"), None);
        for bad in ["", "localhost", "tcp://localhost:port", "tcp://::1:7"] {
            assert_eq!(host_and_port(bad), None, "{bad}");
        }
    }

    #[test]
    fn an_ipv6_address_is_read_and_written_in_brackets() {
        for (address, host) in
            [("tcp://[::1]:7", "::1"), ("tcp://[::]:7", "::"), ("[fe80::1%eth0]:7", "fe80::1%eth0")]
        {
            assert_eq!(host_and_port(address), Some((host.to_owned(), 7)));
            assert_eq!(joined(host, 7), address.trim_start_matches("tcp://"));
        }
        assert_eq!(joined("127.0.0.1", 7), "127.0.0.1:7");
        let dir = tempfile::tempdir().unwrap();
        let home = NodeHome::new(dir.path());
        fs::create_dir(dir.path().join("config")).unwrap();
        for (listens, reached) in
            [("[::]", "127.0.0.1"), ("", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("[::1]", "[::1]")]
        {
            fs::write(home.cometbft_config(), format!("[rpc]\nladdr = \"tcp://{listens}:7\"\n")).unwrap();
            assert_eq!(rpc_url(&home), Some(format!("http://{reached}:7")));
        }
        assert_eq!(["::", "0.0.0.0", "::1"].map(reached_at), ["127.0.0.1", "127.0.0.1", "::1"]);
    }
}
