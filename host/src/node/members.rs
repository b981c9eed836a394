//! The members of a node's network, as the copy of the network file in its home names them.

use std::fs;
use std::io;

use serde_json::Value;

use crate::json;
use crate::limits;
use crate::node::address::Address;
use crate::node::engine::key_files::PublicKey;
use crate::node::home::NodeHome;

/// Maximum number of members that are looked at.
pub const MEMBERS_MAX: usize = 256;

/// A member, as far as others have to know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// Its id among the nodes.
    pub node_id: String,
    /// The address of its validator's key, if it has one.
    pub validator: Option<String>,
    /// Its CometBFT's RPC, if others may ask it.
    pub rpc: Option<Address>,
    /// Its HTTP, if others may ask it.
    pub http: Option<Address>,
    /// Whether it has no vote.
    pub observer: bool,
}

/// Reads the members of a home's network; none: it has no network file.
///
/// # Errors
///
/// When the file cannot be read or is none, in words.
pub fn of(home: &NodeHome) -> Result<Option<Vec<Member>>, String> {
    let path = home.root().join("network.json");
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(err) => return Err(format!("cannot read {}: {err}", path.display())),
    };
    let refused = |why: &str| format!("{} is no network file: {why}", path.display());
    // The genesis in it is one level deeper than in a file of its own.
    let whole = json::read(&text, "network", limits::GENESIS_DEPTH_MAX + 1)
        .map_err(|err| refused(&err.to_string()))?;
    if whole["dseq_network"] != 1 {
        return Err(refused("it has no \"dseq_network\": 1"));
    }
    let members = whole["members"].as_array().ok_or_else(|| refused("it has no list of members"))?;
    if members.len() > MEMBERS_MAX {
        return Err(refused(&format!(
            "it has {} members; at most {MEMBERS_MAX} are looked at",
            members.len()
        )));
    }
    let members: Option<Vec<Member>> = members.iter().map(member).collect();
    members.map(Some).ok_or_else(|| refused("a member lacks its name or its node_id"))
}

fn member(value: &Value) -> Option<Member> {
    let text = |key: &str| value[key].as_str().filter(|text| text.len() <= 256).map(str::to_owned);
    let address = |key: &str| Address::parse(&text(key)?);
    Some(Member {
        name: text("name")?,
        node_id: text("node_id")?.to_lowercase(),
        validator: text("consensus_key")
            .and_then(|value| PublicKey { kind: "tendermint/PubKeyEd25519".to_owned(), value }.address()),
        rpc: address("rpc"),
        http: address("http"),
        observer: value["observer"].as_bool().unwrap_or(false),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Option<Vec<Member>>, String> {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("network.json"), text).unwrap();
        of(&NodeHome::new(dir.path()))
    }

    #[test]
    fn members_are_read_and_what_is_no_network_file_is_said() {
        let found = read(
            r#"{"dseq_network":1,"genesis":{},"members":[
                {"name":"alice","node_id":"AB","rpc":"alice.example:26657","observer":false},
                {"name":"bob","node_id":"cd","observer":true}]}"#,
        );
        let [alice, bob] = &found.unwrap().unwrap()[..] else { panic!("two") };
        assert_eq!(
            (alice.node_id.as_str(), &alice.rpc),
            ("ab", &Some(Address::new("alice.example", 26_657)))
        );
        assert!(bob.observer && bob.rpc.is_none() && !alice.observer);
        for bad in
            ["x", "{}", "{\"dseq_network\":1}", "{\"dseq_network\":1,\"members\":[{}]}", "{\"nodes\":4}"]
        {
            assert!(read(bad).unwrap_err().contains("is no network file"), "{bad}");
        }
        assert_eq!(of(&NodeHome::new(std::path::Path::new("/nowhere"))), Ok(None));
    }
}
