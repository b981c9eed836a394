//! Where something listens: a host and a port.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// A host, by name or address, and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// The host; an IPv6 address without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl Address {
    /// A host and a port.
    #[must_use]
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Self { host: host.into(), port }
    }

    /// A port on this machine's loopback.
    #[must_use]
    pub fn loopback(port: u16) -> Self {
        Self::new("127.0.0.1", port)
    }

    /// Whether only its own machine reaches it.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        self.host == "localhost" || self.host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
    }

    /// Reads `tcp://host:port` or `host:port` as CometBFT does; no host is every address. None: a unix socket, or
    /// something else without a port.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = match text.split_once("://") {
            Some(("tcp", rest)) => rest,
            Some(_) => return None,
            None => text,
        };
        let (host, port) = text.rsplit_once(':')?;
        let host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            Some(bracketed) => bracketed,
            // An IPv6 address without brackets leaves open where its port begins.
            None if host.contains(':') => return None,
            None => host,
        };
        Some(Self::new(if host.is_empty() { "0.0.0.0" } else { host }, port.parse().ok()?))
    }

    /// Where what listens here is reached from this machine. What CometBFT binds to every address of IPv6 takes
    /// connections to IPv4 addresses too.
    #[must_use]
    pub fn reached_locally(&self) -> Self {
        let everywhere = self.host == "0.0.0.0" || self.host == "::";
        if everywhere { Self::loopback(self.port) } else { self.clone() }
    }
}

/// The URL at which this machine reaches what listens there for HTTP.
#[must_use]
pub fn url(listens: SocketAddr) -> String {
    let address = Address::new(listens.ip().to_string(), listens.port());
    format!("http://{}", address.reached_locally())
}

impl fmt::Display for Address {
    /// An IPv6 address goes in brackets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_port_is_no_address() {
        assert_eq!(Address::parse("unix:///run/rpc.sock"), None);
        for bad in ["", "localhost", "tcp://localhost:port", "tcp://::1:7"] {
            assert_eq!(Address::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn an_ipv6_address_is_read_and_written_in_brackets() {
        for (text, host) in
            [("tcp://[::1]:7", "::1"), ("tcp://[::]:7", "::"), ("[fe80::1%eth0]:7", "fe80::1%eth0")]
        {
            let address = Address::new(host, 7);
            assert_eq!(Address::parse(text), Some(address.clone()));
            assert_eq!(address.to_string(), text.trim_start_matches("tcp://"));
        }
        assert_eq!(Address::loopback(7).to_string(), "127.0.0.1:7");
        let reached = ["::", "0.0.0.0", "::1"].map(|host| Address::new(host, 7).reached_locally().host);
        assert_eq!(reached, ["127.0.0.1", "127.0.0.1", "::1"]);
    }
}
