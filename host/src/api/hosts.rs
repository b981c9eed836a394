//! The host names under which a node on loopback answers.
//!
//! A web page may come from a name that later resolves to 127.0.0.1 (DNS rebinding). For the browser its requests to the node
//! are then of the page's own origin, so neither CORS nor the check of `Origin` stops it. What gives it away is `Host`, which
//! has that name.

use std::net::{IpAddr, SocketAddr};

use axum::http::Uri;
use axum::http::uri::Authority;

use super::Origins;

/// Which values of `Host` are answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Hosts {
    /// All: the node may have any name in its network.
    Any,
    /// IP addresses, `localhost`, and these names.
    Local(Vec<String>),
}

impl Hosts {
    /// What a server at this address answers to: on loopback, the hosts of the origins that may use it are its own too.
    pub(super) fn of(address: SocketAddr, origins: &Origins) -> Self {
        let listed = match origins {
            Origins::Every => return Self::Any,
            _ if !address.ip().is_loopback() => return Self::Any,
            Origins::Own => &[][..],
            Origins::Listed(listed) => listed,
        };
        let host = |origin: &String| Some(origin.parse::<Uri>().ok()?.host()?.to_lowercase());
        Self::Local(listed.iter().filter_map(host).collect())
    }

    /// Whether a request with this `Host` is answered.
    pub(super) fn answers(&self, host: &[u8]) -> bool {
        let Self::Local(listed) = self else { return true };
        let Ok(authority) = Authority::try_from(host) else { return false };
        let name = authority.host();
        let address = name.trim_start_matches('[').trim_end_matches(']');
        address.parse::<IpAddr>().is_ok()
            || name.eq_ignore_ascii_case("localhost")
            || listed.iter().any(|listed| name.eq_ignore_ascii_case(listed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(address: &str, origins: &str) -> Hosts {
        Hosts::of(address.parse().unwrap(), &Origins::parse(origins).unwrap())
    }

    #[test]
    fn on_loopback_a_node_answers_to_addresses_localhost_and_listed_names() {
        let hosts = hosts("127.0.0.1:6900", "https://Example.org".to_lowercase().as_str());
        for host in [
            "localhost",
            "LocalHost:6900",
            "127.0.0.1:6900",
            "10.0.0.1",
            "[::1]:6900",
            "example.org",
            "EXAMPLE.ORG:443",
        ] {
            assert!(hosts.answers(host.as_bytes()), "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example:6900",
            "example.org.evil",
            "",
            "127.0.0.1.evil",
            "a b",
            "\u{e9}",
        ] {
            assert!(!hosts.answers(host.as_bytes()), "{host}");
        }
    }

    #[test]
    fn elsewhere_and_for_every_origin_it_answers_to_any_name() {
        assert_eq!(hosts("0.0.0.0:6900", ""), Hosts::Any);
        assert_eq!(hosts("[::1]:6900", "*"), Hosts::Any);
        assert_ne!(hosts("[::1]:6900", ""), Hosts::Any);
    }
}
