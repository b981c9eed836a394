//! A member's public file: who it is, by which keys it is known, and where it is reached.
//!
//! # Format
//!
//! ```json
//! { "dseq_member": 1, "name": "alice", "node_id": "<40 hex digits>", "consensus_key": "<base64>",
//!   "checkpoint_key": "<base64>", "address": "alice.example:26656", "observer": false,
//!   "http": "alice.example:6900", "rpc": "alice.example:26657" }
//! ```
//!
//! Keys are public ones, Ed25519. `http` and `rpc` are there only if others may ask them. A file that names anything else is
//! refused: what another version means by it would be lost.

use std::fs::File;
use std::io::Read;
use std::net::IpAddr;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::NetworkError;
use crate::atomic_file;
use crate::json;
use crate::node::address::Address;
use crate::node::engine::key_files;
use crate::node::genesis::document::address_of;

/// Maximum size of a member file, in bytes: ten times what the longest names take.
const FILE_BYTES_MAX: u64 = 16 << 10;
/// How deep it may be nested.
const DEPTH_MAX: u64 = 8;
/// Longest name of a member, in bytes: it becomes CometBFT's moniker, and stands in tables.
const NAME_BYTES_MAX: usize = 70;
/// Longest host name, in bytes, by the rules of DNS.
const HOST_BYTES_MAX: usize = 253;
/// Maximum length of a value that an error repeats, in characters.
const QUOTED_CHARS_MAX: usize = 80;
/// The version of the format.
pub(super) const VERSION: u64 = 1;
/// What errors call the file.
const WHAT: &str = "member file";

/// A member of a network, as all others know it. Nothing in it is secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// The version of the format.
    dseq_member: u64,
    /// What people call it.
    pub name: String,
    /// Its id among its peers: 40 hexadecimal digits.
    pub node_id: String,
    /// Base64 of the public key with which it votes.
    pub consensus_key: String,
    /// Base64 of the public key with which it signs checkpoints.
    pub checkpoint_key: String,
    /// Where its peers reach it, `host:port`.
    pub address: String,
    /// Whether it is a full node, without a vote.
    pub observer: bool,
    /// Where others may ask its HTTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<String>,
    /// Where others may ask its CometBFT's RPC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rpc: Option<String>,
}

/// The public keys of a member.
pub(super) struct Keys {
    pub(super) node_id: String,
    pub(super) consensus: String,
    pub(super) checkpoint: String,
}

impl Member {
    /// A member that is reached nowhere but at its address.
    pub(super) fn new(name: String, keys: Keys, address: &Address, observer: bool) -> Self {
        let Keys { node_id, consensus, checkpoint } = keys;
        Self {
            dseq_member: VERSION,
            name,
            node_id,
            consensus_key: consensus,
            checkpoint_key: checkpoint,
            address: address.to_string(),
            observer,
            http: None,
            rpc: None,
        }
    }

    /// Reads a member's file.
    ///
    /// # Errors
    ///
    /// When it is no member file, is damaged, or has a secret in it.
    pub fn read(path: &Path) -> Result<Self, NetworkError> {
        Self::from_value(read_json(path, WHAT, FILE_BYTES_MAX, DEPTH_MAX)?, path, "")
    }

    /// Reads it from strict JSON; errors name the file, and the place in it.
    pub(super) fn from_value(value: Value, path: &Path, place: &str) -> Result<Self, NetworkError> {
        if let Some(secret) = secret(&value, place) {
            return Err(NetworkError::Secret { path: path.to_owned(), place: secret });
        }
        check_version(&value, "dseq_member", path, WHAT, place)?;
        let member: Self =
            serde_json::from_value(value).map_err(|err| other(path, WHAT, place, err.to_string()))?;
        member.check(&format!("{}: {}", path.display(), inside(place, "")))?;
        Ok(member)
    }

    /// Refuses values that a member cannot have. Errors put `place` before the field's name.
    fn check(&self, place: &str) -> Result<(), NetworkError> {
        let bad = |field: &str, found: &str, expected| {
            let found = found.chars().take(QUOTED_CHARS_MAX).collect();
            Err(NetworkError::Value { place: format!("{place}{field}"), found, expected })
        };
        if !is_name(&self.name) {
            return bad("name", &self.name, NAME_EXPECTED);
        }
        let is_id = |text: &str| {
            text.len() == 40 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        };
        if !is_id(&self.node_id) {
            return bad("node_id", &self.node_id, "40 hexadecimal digits in lower case");
        }
        for (field, key) in [("consensus_key", &self.consensus_key), ("checkpoint_key", &self.checkpoint_key)]
        {
            if key_files::ed25519(key).is_none() {
                return bad(field, key, "the base64 of an Ed25519 key, which has 32 bytes");
            }
        }
        let addresses =
            [("address", Some(&self.address)), ("http", self.http.as_ref()), ("rpc", self.rpc.as_ref())];
        for (field, text) in addresses {
            if let Some(text) = text
                && parse_address(text).is_none()
            {
                return bad(field, text, ADDRESS_EXPECTED);
            }
        }
        Ok(())
    }

    /// Where its peers reach it.
    #[must_use]
    pub fn reached_at(&self) -> Option<Address> {
        parse_address(&self.address)
    }

    /// The address of its consensus key, by which CometBFT knows a validator: upper-case hexadecimal.
    #[must_use]
    pub fn validator_address(&self) -> String {
        let key = key_files::ed25519(&self.consensus_key).unwrap_or_default();
        data_encoding::HEXUPPER.encode(&address_of(&key))
    }

    /// Its CometBFT's RPC as a URL, if others may ask it.
    #[must_use]
    pub fn rpc_url(&self) -> Option<String> {
        self.rpc.as_ref().map(|address| format!("http://{address}"))
    }

    /// As CometBFT names a peer: `id@host:port`.
    #[must_use]
    pub fn as_peer(&self) -> String {
        format!("{}@{}", self.node_id, self.address)
    }

    /// The file that it becomes.
    #[must_use]
    pub fn text(&self) -> String {
        let text = serde_json::to_string_pretty(self).unwrap_or_default();
        format!("{text}\n")
    }

    /// Writes the file, whole or not at all.
    pub(crate) fn write(&self, path: &Path) -> Result<(), NetworkError> {
        atomic_file::replace(path, self.text().as_bytes()).map_err(|err| NetworkError::io(path)(err.into()))
    }
}

/// What a name may be.
pub const NAME_EXPECTED: &str = "1 to 70 letters, digits, '-', '.' and '_', the first a letter or a digit";
/// What an address may be.
pub const ADDRESS_EXPECTED: &str = "HOST:PORT, where others reach it: a host name, an IPv4 address or an IPv6 address in brackets; not 0.0.0.0 or [::]";

/// Whether a member may be called this.
#[must_use]
pub fn is_name(text: &str) -> bool {
    let allowed = |one: char| one.is_ascii_alphanumeric() || matches!(one, '-' | '.' | '_');
    text.len() <= NAME_BYTES_MAX
        && text.chars().all(allowed)
        && text.starts_with(|one: char| one.is_ascii_alphanumeric())
}

/// An address that others can dial.
pub fn parse_address(text: &str) -> Option<Address> {
    let address = Address::parse(text).filter(|_| !text.contains("://") && !text.starts_with(':'))?;
    let is_host = match address.host.parse::<IpAddr>() {
        Ok(ip) => !ip.is_unspecified() && !ip.is_multicast(),
        Err(_) => is_host_name(&address.host),
    };
    (is_host && address.port > 0).then_some(address)
}

/// A name as DNS and container networks have them. One of digits and dots alone would be a mistyped address.
fn is_host_name(host: &str) -> bool {
    let is_label = |label: &str| {
        let allowed = |one: char| one.is_ascii_alphanumeric() || matches!(one, '-' | '_');
        !label.is_empty() && label.chars().all(allowed) && !label.starts_with('-')
    };
    host.len() <= HOST_BYTES_MAX
        && host.split('.').all(is_label)
        && host.contains(|one: char| one.is_ascii_alphabetic())
}

/// The place of a member of an object; at the root, its name.
fn inside(place: &str, name: &str) -> String {
    if place.is_empty() { name.to_owned() } else { format!("{place}.{name}") }
}

/// Where in JSON a private key stands, if one does.
fn secret(value: &Value, place: &str) -> Option<String> {
    match value {
        Value::Object(members) => members.iter().find_map(|(name, value)| {
            let place = inside(place, name);
            if name.contains("priv") || name.contains("secret") { Some(place) } else { secret(value, &place) }
        }),
        Value::Array(items) => {
            items.iter().enumerate().find_map(|(index, item)| secret(item, &format!("{place}[{index}]")))
        }
        _ => None,
    }
}

/// Reads a file of strict JSON, an object, of at most so many bytes.
pub(super) fn read_json(
    path: &Path,
    what: &'static str,
    bytes_max: u64,
    depth_max: u64,
) -> Result<Value, NetworkError> {
    let io = || NetworkError::io(path);
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(io())?;
    file.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes).map_err(io())?;
    if bytes.len() as u64 > bytes_max {
        return Err(NetworkError::TooLarge { path: path.to_owned(), what, max: bytes_max });
    }
    let Ok(text) = String::from_utf8(bytes) else {
        return Err(other(path, what, "", "it is not text in UTF-8".to_owned()));
    };
    let value = json::read(&text, what, depth_max)
        .map_err(|source| NetworkError::Json { path: path.to_owned(), source })?;
    if value.is_object() {
        Ok(value)
    } else {
        Err(other(path, what, "", "it is not a JSON object".to_owned()))
    }
}

/// Refuses what does not say that it is of this kind, or is of another version.
pub(super) fn check_version(
    value: &Value,
    field: &str,
    path: &Path,
    what: &'static str,
    place: &str,
) -> Result<(), NetworkError> {
    match value.get(field).map(Value::as_u64) {
        Some(Some(VERSION)) => Ok(()),
        Some(Some(found)) => Err(NetworkError::Version { path: path.to_owned(), what, found }),
        Some(None) => Err(other(path, what, place, format!("\"{field}\" is not a version"))),
        None => Err(other(path, what, place, format!("it has no \"{field}\""))),
    }
}

/// A file that is something else.
pub(super) fn other(path: &Path, what: &'static str, place: &str, why: String) -> NetworkError {
    let why = if place.is_empty() { why } else { format!("{place}: {why}") };
    NetworkError::OtherFile { path: path.to_owned(), what, why }
}

#[cfg(test)]
pub(in crate::node) mod tests {
    use std::fs;

    use serde_json::json;

    use super::*;

    /// A member whose keys all follow from a number.
    pub(in crate::node) fn member(number: u8) -> Member {
        let key = |of: u8| data_encoding::BASE64.encode(&[number, of].repeat(16));
        let keys =
            Keys { node_id: format!("{number:02x}").repeat(20), consensus: key(1), checkpoint: key(2) };
        Member::new(format!("m{number}"), keys, &Address::new(format!("m{number}.example"), 26656), false)
    }

    fn refusal(value: &Value) -> String {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m.json");
        fs::write(&path, value.to_string()).unwrap();
        let said = Member::read(&path).unwrap_err().to_string();
        said.replace(&path.display().to_string(), "m.json")
    }

    #[test]
    fn a_member_is_read_as_it_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("member.json");
        let public = Member { http: Some("[2001:db8::1]:6900".to_owned()), observer: true, ..member(7) };
        for member in [member(1), public] {
            fs::write(&path, member.text()).unwrap();
            assert_eq!(Member::read(&path).unwrap(), member);
        }
    }

    #[test]
    fn a_file_with_a_private_key_is_refused_before_anything_else() {
        let said = refusal(&json!({ "pub_key": {}, "priv_key": { "type": "tendermint/PrivKeyEd25519" } }));
        assert!(
            said.starts_with("m.json has a private key in it (priv_key), which must never leave"),
            "{said}"
        );
        let mut with = json!(member(1));
        with["name"] = json!([{ "secret": 1 }]);
        assert!(refusal(&with).contains("(name[0].secret)"));
    }

    #[test]
    fn what_is_no_member_file_says_why() {
        let edited = |field: &str, value: Value| {
            let mut file = json!(member(1));
            file[field] = value;
            refusal(&file)
        };
        assert_eq!(refusal(&json!([])), "m.json is no member file: it is not a JSON object");
        assert_eq!(refusal(&json!({})), "m.json is no member file: it has no \"dseq_member\"");
        assert!(
            edited("dseq_member", json!(2))
                .starts_with("m.json is a member file of version 2, and this dseq (")
        );
        assert!(edited("dseq_member", json!("1")).ends_with("\"dseq_member\" is not a version"));
        assert!(edited("colour", json!(1)).contains("unknown field `colour`"));
        assert!(edited("observer", json!(1)).starts_with("m.json is no member file: invalid type"));
        let said = edited("name", json!("-x"));
        assert_eq!(said, format!("m.json: name is \"-x\"; it must be {NAME_EXPECTED}"));
        assert!(edited("node_id", json!("AB".repeat(20))).contains("node_id is "));
        assert!(
            edited("consensus_key", json!("AAAA"))
                .contains("consensus_key is \"AAAA\"; it must be the base64")
        );
        assert!(edited("checkpoint_key", json!("")).contains("checkpoint_key is "));
        assert!(edited("rpc", json!("x")).contains("rpc is \"x\"; it must be HOST:PORT"));
    }

    #[test]
    fn a_file_that_is_too_large_is_not_read() {
        let said = refusal(&json!("x".repeat(20_000)));
        assert_eq!(said, "m.json is larger than 16384 bytes, the most that a member file can have");
    }

    #[test]
    fn an_address_is_one_that_others_can_dial() {
        for good in
            ["alice.example:26656", "node0:1", "10.1.2.3:7", "[2001:db8::1]:65535", "a_b.c:1", "127.0.0.1:7"]
        {
            assert_eq!(parse_address(good).unwrap().to_string(), good);
        }
        for bad in [
            "",
            "alice",
            "alice:",
            ":7",
            "alice:0",
            "alice:65536",
            "0.0.0.0:7",
            "[::]:7",
            "::1:7",
            "[fe80::1%eth0]:7",
            "a b:7",
            "a,b:7",
            "x@a:7",
            "tcp://a:7",
            "-a:7",
            "a..b:7",
            "1.2.3:7",
            "224.0.0.1:7",
            "a/b:7",
            "a$b:7",
        ] {
            assert_eq!(parse_address(bad), None, "{bad}");
        }
    }
}
