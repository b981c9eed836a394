//! The web pages, by their origins, whose scripts may use this node.

use std::fmt;

use axum::http::{HeaderValue, Uri};

/// Origins as browsers write them: `https://example.org`, with the port if it is not the scheme's own; or every origin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Origins {
    /// Pages of the node's own origin only.
    #[default]
    Own,
    /// These too.
    Listed(Vec<String>),
    /// Every page that a browser with access to this node opens.
    Every,
}

impl Origins {
    /// Reads a list separated by commas: origins, or `*` alone; empty: no others. None: some part is no origin.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text.trim() {
            "" => Some(Self::Own),
            "*" => Some(Self::Every),
            list => list.split(',').map(|one| origin(one.trim())).collect::<Option<_>>().map(Self::Listed),
        }
    }

    /// The listed ones as values of a header.
    pub(super) fn values(&self) -> Vec<HeaderValue> {
        let Self::Listed(listed) = self else { return Vec::new() };
        listed.iter().filter_map(|origin| HeaderValue::from_str(origin).ok()).collect()
    }
}

impl fmt::Display for Origins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Own => Ok(()),
            Self::Listed(listed) => f.write_str(&listed.join(",")),
            Self::Every => f.write_str("*"),
        }
    }
}

/// An origin exactly as a browser sends it; in another form, it would never match.
fn origin(text: &str) -> Option<String> {
    let (scheme, host) = text.split_once("://")?;
    let own_port = match scheme {
        "http" => "80",
        "https" => "443",
        _ => return None,
    };
    let uri: Uri = text.parse().ok()?;
    let authority = uri.authority()?;
    let as_sent = authority.as_str() == host
        && !host.contains('@')
        && !host.bytes().any(|byte| byte.is_ascii_uppercase())
        && authority.port().is_none_or(|port| port.as_str() != own_port)
        && !host.ends_with(':');
    as_sent.then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_read_as_browsers_send_them() {
        assert_eq!(Origins::parse(" "), Some(Origins::Own));
        assert_eq!(Origins::parse("*"), Some(Origins::Every));
        let two = "https://example.org,http://localhost:3000";
        assert_eq!(Origins::parse("https://example.org, http://localhost:3000").unwrap().to_string(), two);
        assert_eq!(Origins::parse(two).unwrap().values().len(), 2);
        assert!(Origins::parse("http://[::1]:3000").is_some());
        for bad in [
            "example.org",
            "https://example.org/",
            "https://example.org/path",
            "https://Example.org",
            "https://example.org:443",
            "http://example.org:80",
            "https://user@example.org",
            "ftp://example.org",
            "https://",
            "https://a:",
            "null",
            "*,https://example.org",
            "https://example.org,,",
        ] {
            assert_eq!(Origins::parse(bad), None, "{bad}");
        }
    }
}
