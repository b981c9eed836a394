//! Where a node answers HTTP.

use std::fmt;
use std::str::FromStr;

use dseq_format::excerpt::Excerpt;

/// A host and a port, at which a node answers HTTP.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    /// As it stands in URLs: an IPv6 address in brackets.
    host: String,
    port: u16,
}

/// A text that is not `HOST:PORT`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected HOST:PORT, such as localhost:6900, found {found:?}")]
pub struct BadAddress {
    /// The text as it was given.
    pub found: Excerpt,
}

impl FromStr for Address {
    type Err = BadAddress;

    /// Reads `host:port`, also as `http://host:port/`.
    fn from_str(text: &str) -> Result<Self, BadAddress> {
        let plain = text.strip_prefix("http://").unwrap_or(text);
        let plain = plain.strip_suffix('/').unwrap_or(plain);
        let parts = plain.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?)));
        parts
            .filter(|(host, port)| *port != 0 && is_host(host))
            .map(|(host, port)| Self { host: host.to_owned(), port })
            .ok_or_else(|| BadAddress { found: Excerpt::of(text) })
    }
}

/// Whether a URL may have it as its host. An IPv6 address without brackets leaves open where its port begins.
fn is_host(text: &str) -> bool {
    match text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
            !text.is_empty() && text.chars().all(is_part)
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        write!(f, "{host}:{port}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_and_a_port() {
        for (text, shown) in [
            ("localhost:6900", "localhost:6900"),
            ("http://10.0.0.7:80/", "10.0.0.7:80"),
            ("[::1]:6900", "[::1]:6900"),
            ("node_1.example.org:1", "node_1.example.org:1"),
        ] {
            assert_eq!(text.parse::<Address>().map(|address| address.to_string()).as_deref(), Ok(shown));
        }
        for bad in [
            "",
            "localhost",
            "localhost:",
            ":6900",
            "localhost:0",
            "::1:6900",
            "https://a:1",
            "a b:1",
            "a/b:1",
        ] {
            assert!(bad.parse::<Address>().is_err(), "{bad}");
        }
    }
}
