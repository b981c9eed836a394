//! The host that a request is for, and the host names under which a node on loopback answers.
//!
//! A request of HTTP/1.1 has exactly one `Host`. If the target has a host too (`GET http://localhost/ HTTP/1.1`), that one counts, and
//! `Host` does not (RFC 9112, sections 3.2 and 3.2.2).
//!
//! A web page may come from a name that later resolves to 127.0.0.1 (DNS rebinding). For the browser its requests to the node
//! are then of the page's own origin, so neither CORS nor the check of `Origin` stops it. What gives it away is `Host`, which
//! has that name.

use std::net::{IpAddr, SocketAddr};

use axum::http::header::HOST;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Uri, Version};

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

    /// Whether a request for this host, without its port, is answered. A request of HTTP/1.0 may name none.
    pub(super) fn answers(&self, name: &str) -> bool {
        let Self::Local(listed) = self else { return true };
        let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
        address.parse::<IpAddr>().is_ok()
            || name.eq_ignore_ascii_case("localhost")
            || listed.iter().any(|listed| name.eq_ignore_ascii_case(listed))
    }
}

const MISSING: &str = "a request of HTTP/1.1 must have a Host header";
const SEVERAL: &str = "the request has more than one Host header";
const MALFORMED: &str = "the Host header is not a host with or without a port, such as localhost:6900";
const MALFORMED_TARGET: &str =
    "the host in the request's target is not a host with or without a port, such as localhost:6900";

/// The host that a request is for, without its port; empty: it names none.
///
/// # Errors
///
/// It must name one and does not, or not in the form that there is; in words.
pub(super) fn host_of(version: Version, target: &Uri, headers: &HeaderMap) -> Result<String, &'static str> {
    let mut hosts = headers.get_all(HOST).iter();
    let named = match (hosts.next(), hosts.next()) {
        (None, _) if version == Version::HTTP_11 => return Err(MISSING),
        (None, _) => String::new(),
        (Some(host), None) => host.to_str().ok().and_then(without_port).ok_or(MALFORMED)?,
        (Some(_), Some(_)) => return Err(SEVERAL),
    };
    match target.authority() {
        Some(authority) => without_port(authority.as_str()).ok_or(MALFORMED_TARGET),
        None => Ok(named),
    }
}

/// `HOST` or `HOST:PORT` without the port. The host may be empty, by the letter of RFC 9110.
fn without_port(text: &str) -> Option<String> {
    if text.is_empty() {
        return Some(String::new());
    }
    let authority: Authority = text.parse().ok()?;
    let port = text.strip_prefix(authority.host())?;
    let is_port = |digits: &str| {
        digits.is_empty()
            || (digits.bytes().all(|byte| byte.is_ascii_digit()) && digits.parse::<u16>().is_ok())
    };
    let is_well_formed = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
    (is_well_formed && !authority.host().is_empty()).then(|| authority.host().to_owned())
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
            "localhost:",
        ] {
            assert!(hosts.answers(&without_port(host).unwrap()), "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example:6900",
            "example.org.evil",
            "",
            "127.0.0.1.evil",
            "[localhost]",
        ] {
            assert!(!hosts.answers(&without_port(host).unwrap_or_default()), "{host}");
        }
    }

    #[test]
    fn a_host_is_a_name_or_an_address_with_or_without_a_port() {
        for bad in [
            "a b",
            "localhost:abc",
            "localhost:99999",
            "localhost:+1",
            "localhost:1:2",
            "user@localhost",
            "user:1@localhost:2",
            "localhost/",
            "http://localhost",
            "::1",
            "\u{e9}",
            ":6900",
        ] {
            assert_eq!(without_port(bad), None, "{bad}");
        }
    }

    #[test]
    fn one_host_is_named_and_the_targets_own_goes_before_it() {
        let of = |version, target: &str, hosts: &[&str]| {
            let headers = hosts.iter().map(|host| (HOST, host.parse().unwrap())).collect();
            host_of(version, &target.parse().unwrap(), &headers)
        };
        let (old, new) = (Version::HTTP_10, Version::HTTP_11);
        assert_eq!(of(new, "/", &["localhost:1"]), Ok("localhost".to_owned()));
        assert_eq!(of(new, "http://a.example:1/", &["localhost"]), Ok("a.example".to_owned()));
        assert_eq!(of(new, "http://a.example/", &[]), Err(MISSING));
        assert_eq!((of(new, "/", &[]), of(old, "/", &[])), (Err(MISSING), Ok(String::new())));
        assert_eq!(of(old, "/", &["a.example"]), Ok("a.example".to_owned()));
        assert_eq!(of(old, "/", &["localhost", "localhost"]), Err(SEVERAL));
        assert_eq!(of(new, "/", &["localhost:x"]), Err(MALFORMED));
        assert_eq!(of(new, "http://user@localhost/", &["localhost"]), Err(MALFORMED_TARGET));
    }

    proptest::proptest! {
        #[test]
        fn no_host_panics_and_what_is_one_has_no_port(text in "\\PC{0,12}|[a-z\\[\\]:.@0-9/]{0,16}") {
            if let Some(host) = without_port(&text) {
                proptest::prop_assert!(text.starts_with(&host));
                let port = &text[host.len()..];
                proptest::prop_assert!(port.is_empty() || port[1..].bytes().all(|byte| byte.is_ascii_digit()));
            }
        }
    }

    #[test]
    fn elsewhere_and_for_every_origin_it_answers_to_any_name() {
        assert_eq!(hosts("0.0.0.0:6900", ""), Hosts::Any);
        assert_eq!(hosts("[::1]:6900", "*"), Hosts::Any);
        assert_ne!(hosts("[::1]:6900", ""), Hosts::Any);
    }
}
