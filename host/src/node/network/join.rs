//! Taking part in a network: its genesis, plugins and peers, put into a home that was made for it.
//!
//! # Durability
//!
//! The genesis comes last, and the home is in no network before it is there. So a call that was cut off can be repeated.

use std::path::Path;

use super::keys::PublicKeys;
use super::{Expected, Member, NetworkError, NetworkFile};
use crate::node::engine::config::EngineConfig;
use crate::node::genesis::file::GenesisFile;
use crate::node::genesis::origin;
use crate::node::home::NodeHome;
use crate::plugin::{PluginDir, PluginName, engine_id};

/// A home's part in its network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It votes.
    Validator,
    /// It has every block and no vote.
    FullNode,
}

/// A home that is in a network now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joined {
    /// Its part.
    pub role: Role,
    /// How many peers it dials.
    pub peers: usize,
    /// Whether it was in this network before, and nothing was changed.
    pub before: bool,
}

/// Puts a home into a network, once all is known to fit.
///
/// # Errors
///
/// When the file is not the one that is expected, this home has no part in it or has begun another network, or this program
/// could not run it.
pub fn join(
    home: &NodeHome,
    network: &NetworkFile,
    expected: &Expected,
    observer: bool,
) -> Result<Joined, NetworkError> {
    check_expected(network, expected)?;
    let keys = PublicKeys::of(home)?;
    let own = own_file(home)?;
    let role = role(home, network, &keys, observer || own.observer)?;
    let peers = network.members().iter().filter(|one| one.node_id != keys.node_id).count();
    if has_joined(home, network)? {
        return Ok(Joined { role, peers, before: true });
    }
    refuse_begun(home, network)?;
    let dir = PluginDir::new(home.plugins_dir());
    for (name, wasm) in admit(&dir, network)? {
        dir.store(&name, &wasm).map_err(|source| NetworkError::Plugin { source })?;
    }
    put(home, network, &keys.node_id)?;
    Ok(Joined { role, peers, before: false })
}

/// Writes what a node needs of its network, which was checked before.
pub(super) fn put(home: &NodeHome, network: &NetworkFile, node_id: &str) -> Result<(), NetworkError> {
    configure(home, network, node_id)?;
    network.write(&home.network_file())?;
    Ok(network.genesis().write_to(&home.genesis_file())?)
}

fn check_expected(network: &NetworkFile, expected: &Expected) -> Result<(), NetworkError> {
    let found = network.fingerprint();
    if expected.is(&found) {
        return Ok(());
    }
    let (path, expected) = (network.path().to_owned(), expected.clone());
    Err(NetworkError::OtherFingerprint { path, found, expected })
}

/// What the home says of itself.
fn own_file(home: &NodeHome) -> Result<Member, NetworkError> {
    let path = home.member_file();
    if !path.exists() {
        return Err(NetworkError::NoMemberFile { home: home.root().to_owned() });
    }
    Member::read(&path)
}

/// What part the home has, by its keys.
fn role(
    home: &NodeHome,
    network: &NetworkFile,
    keys: &PublicKeys,
    observer: bool,
) -> Result<Role, NetworkError> {
    let members = network.members();
    let chain_id = || network.chain_id().to_owned();
    let by_key = members.iter().find(|one| one.consensus_key == keys.consensus);
    if let Some(member) = by_key {
        check_keys(home, network, member, keys)?;
        return match (member.observer, observer) {
            (true, _) => Ok(Role::FullNode),
            (false, false) => Ok(Role::Validator),
            (false, true) => {
                Err(NetworkError::IsValidator { name: member.name.clone(), chain_id: chain_id() })
            }
        };
    }
    if let Some(member) = members.iter().find(|one| one.node_id == keys.node_id) {
        check_keys(home, network, member, keys)?;
    }
    if observer {
        return Ok(Role::FullNode);
    }
    let members = members.iter().map(|one| one.name.as_str()).collect::<Vec<_>>().join(", ");
    Err(NetworkError::NotAMember { home: home.root().to_owned(), chain_id: chain_id(), members })
}

/// Refuses a member that is this home's by one key and somebody else's by another.
fn check_keys(
    home: &NodeHome,
    network: &NetworkFile,
    member: &Member,
    keys: &PublicKeys,
) -> Result<(), NetworkError> {
    let all = [
        ("consensus key", &member.consensus_key, &keys.consensus),
        ("node id", &member.node_id, &keys.node_id),
        ("checkpoint key", &member.checkpoint_key, &keys.checkpoint),
    ];
    let known = all.iter().find(|(_, theirs, ours)| theirs == ours).map_or("name", |(what, ..)| what);
    match all.into_iter().find(|(_, theirs, ours)| theirs != ours) {
        Some((what, ..)) => Err(NetworkError::OtherKeys {
            home: home.root().to_owned(),
            chain_id: network.chain_id().to_owned(),
            name: member.name.clone(),
            known,
            what,
        }),
        None => Ok(()),
    }
}

/// Whether the home is in this very network already.
fn has_joined(home: &NodeHome, network: &NetworkFile) -> Result<bool, NetworkError> {
    if !home.genesis_file().exists() || !home.network_file().exists() {
        return Ok(false);
    }
    let had = NetworkFile::read(&home.network_file())?;
    Ok(had.fingerprint() == network.fingerprint())
}

/// Refuses a home whose node was started in another network: its keys have spoken there.
fn refuse_begun(home: &NodeHome, network: &NetworkFile) -> Result<(), NetworkError> {
    let kept = home.kept_genesis();
    if !kept.exists() && !origin::has_blocks(home)? {
        return Ok(());
    }
    let began = [kept, home.genesis_file()].iter().find_map(|path| chain_id(path));
    Err(NetworkError::Begun {
        home: home.root().to_owned(),
        began: began.unwrap_or_else(|| "that it has blocks of".to_owned()),
        chain_id: network.chain_id().to_owned(),
    })
}

fn chain_id(path: &Path) -> Option<String> {
    Some(GenesisFile::read(path).ok()?.chain_id().to_owned())
}

/// Admits the pipeline as the node will, and answers the plugins whose bytes are in the file.
fn admit(dir: &PluginDir, network: &NetworkFile) -> Result<Vec<(PluginName, Vec<u8>)>, NetworkError> {
    let genesis = network.genesis();
    let rules = genesis.rules()?;
    let (found, ours) = (rules.pipeline.engine, engine_id());
    if found != ours {
        return Err(NetworkError::Engine {
            path: network.path().to_owned(),
            found: found.to_string(),
            ours: ours.to_string(),
        });
    }
    genesis.admit(|wanted| dir.find(wanted))?;
    let names = rules.pipeline.plugins.into_iter().map(|plugin| plugin.name);
    Ok(names.zip(rules.inline_wasm).filter_map(|(name, wasm)| Some((name, wasm?))).collect())
}

/// Writes what CometBFT needs to know of the others.
fn configure(home: &NodeHome, network: &NetworkFile, node_id: &str) -> Result<(), NetworkError> {
    let peers: Vec<&Member> = network.members().iter().filter(|one| one.node_id != node_id).collect();
    let mut config = EngineConfig::read(home)?;
    config.apply(network.profile().settings())?;
    let list = |of: fn(&Member) -> String| peers.iter().map(|one| of(one)).collect::<Vec<_>>().join(",");
    config.set(&["p2p", "persistent_peers"], list(Member::as_peer))?;
    // Strangers may take all places that a node has for peers, but not those of the members.
    config.set(&["p2p", "unconditional_peer_ids"], list(|one| one.node_id.clone()))?;
    Ok(config.write()?)
}
