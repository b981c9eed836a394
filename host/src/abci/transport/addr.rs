//! Where an ABCI server listens: `unix:///abs/path`, `unix://relative/path` or `tcp://host:port`.
use std::{fmt, path::PathBuf, str::FromStr};

/// The address of an ABCI socket. Its text form is the one CometBFT's `proxy_app` takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenAddr {
    /// A unix socket at this path; a relative path is relative to the process's working directory.
    Unix(PathBuf),
    /// A TCP socket.
    Tcp {
        /// A name or an IP address; an IPv6 address without its brackets.
        host: String,
        /// The port; 0 lets the system choose one.
        port: u16,
    },
}

/// Why a text is not a [`ListenAddr`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseAddrError {
    /// Neither `unix://` nor `tcp://`.
    #[error("the ABCI address `{0}` has no known scheme; write unix:///path/to/socket or tcp://host:port")]
    UnknownScheme(String),
    /// `unix://` and nothing after it.
    #[error("the ABCI address `{0}` has no path; write unix:///path/to/socket")]
    NoPath(String),
    /// `tcp://` without a host.
    #[error("the ABCI address `{0}` has no host; write tcp://127.0.0.1:26658, with the address you mean")]
    NoHost(String),
    /// `tcp://` without a port, or with something that is not one.
    #[error(
        "the ABCI address `{0}` has no port between 0 and 65535; write tcp://127.0.0.1:26658, with the port you mean"
    )]
    NoPort(String),
    /// An IPv6 address that leaves open where the port starts.
    #[error("the ABCI address `{0}` holds a bare IPv6 address; put it in brackets, as in tcp://[::1]:26658")]
    BareIpv6(String),
}

impl FromStr for ListenAddr {
    type Err = ParseAddrError;

    fn from_str(text: &str) -> Result<Self, ParseAddrError> {
        if let Some(path) = text.strip_prefix("unix://") {
            if path.is_empty() {
                return Err(ParseAddrError::NoPath(text.to_owned()));
            }
            return Ok(Self::Unix(PathBuf::from(path)));
        }
        let Some(rest) = text.strip_prefix("tcp://") else {
            return Err(ParseAddrError::UnknownScheme(text.to_owned()));
        };
        let (host, port) = rest.rsplit_once(':').ok_or_else(|| ParseAddrError::NoPort(text.to_owned()))?;
        let host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            Some(bracketed) => bracketed,
            None if host.contains(':') => return Err(ParseAddrError::BareIpv6(text.to_owned())),
            None => host,
        };
        if host.is_empty() {
            return Err(ParseAddrError::NoHost(text.to_owned()));
        }
        // `u16::from_str` takes a leading plus sign, which no one who writes an address means.
        let digits = port.bytes().all(|byte| byte.is_ascii_digit());
        match port.parse() {
            Ok(port) if digits => Ok(Self::Tcp { host: host.to_owned(), port }),
            _ => Err(ParseAddrError::NoPort(text.to_owned())),
        }
    }
}

impl fmt::Display for ListenAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp { host, port } if host.contains(':') => write!(f, "tcp://[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "tcp://{host}:{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_displayed_as_it_was_written() {
        for text in [
            "unix:///run/dseq/abci.sock",
            "unix://abci.sock",
            "unix://build/localnet/node0/abci.sock",
            "tcp://127.0.0.1:26658",
            "tcp://localhost:0",
            "tcp://[::1]:65535",
        ] {
            assert_eq!(text.parse::<ListenAddr>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn three_slashes_make_an_absolute_path_and_two_a_relative_one() {
        assert_eq!("unix:///a/b".parse(), Ok(ListenAddr::Unix("/a/b".into())));
        assert_eq!("unix://a/b".parse(), Ok(ListenAddr::Unix("a/b".into())));
        assert_eq!("tcp://[::1]:7".parse(), Ok(ListenAddr::Tcp { host: "::1".into(), port: 7 }));
    }

    #[test]
    fn a_wrong_address_is_refused_with_what_to_write_instead() {
        let refusal = |text: &str| text.parse::<ListenAddr>().unwrap_err();
        for text in ["", "/run/abci.sock", "http://localhost:1", "unix:/run/abci.sock", "127.0.0.1:26658"] {
            assert_eq!(refusal(text), ParseAddrError::UnknownScheme(text.into()));
        }
        assert_eq!(refusal("unix://"), ParseAddrError::NoPath("unix://".into()));
        for text in ["tcp://:1", "tcp://[]:1"] {
            assert_eq!(refusal(text), ParseAddrError::NoHost(text.into()));
        }
        for text in
            ["tcp://", "tcp://localhost", "tcp://localhost:", "tcp://h:65536", "tcp://h:+1", "tcp://h:-1"]
        {
            assert_eq!(refusal(text), ParseAddrError::NoPort(text.into()), "{text}");
        }
        assert_eq!(refusal("tcp://::1:26658"), ParseAddrError::BareIpv6("tcp://::1:26658".into()));
        assert!(refusal("tcp://h:65536").to_string().contains("`tcp://h:65536`"));
    }
}
