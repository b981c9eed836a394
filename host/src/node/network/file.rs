//! The network's file: its genesis with the plugins in it, its members, and how far apart they are.
//!
//! # Format
//!
//! ```json
//! { "dseq_network": 1, "genesis": { ... }, "members": [ { "dseq_member": 1, ... } ], "profile": "wide" }
//! ```
//!
//! The validators of genesis are the members that are no observers, by their consensus keys.
//!
//! # Invariants
//!
//! A [`NetworkFile`] that exists has members that can be told apart, and a genesis that CometBFT and the app could begin with,
//! plugins' bytes and engine aside: those are for [`super::join()`].

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::member::{self, VERSION};
use super::{Fingerprint, Member, NetworkError, Profile};
use crate::atomic_file;
use crate::limits;
use crate::node::engine::cometbft::CometBft;
use crate::node::genesis::document::GenesisDoc;
use crate::node::genesis::file::GenesisFile;
use crate::node::genesis::rules::Plugin;
use crate::node::genesis::{self, Founder, NetworkSpec};
use crate::node::home::NodeHome;

/// How many members a network may begin with: each dials all others.
pub(super) const MEMBERS_MAX: usize = 100;
/// Maximum size of a network file, in bytes: as many plugins as there may be, in base64, and members.
const FILE_BYTES_MAX: u64 = limits::PLUGINS_MAX * limits::WASM_BYTES_MAX * 2;
/// How deep it may be nested: the genesis is one level down.
const DEPTH_MAX: u64 = limits::GENESIS_DEPTH_MAX + 1;
/// What errors call the file.
const WHAT: &str = "network file";

/// What a network's file is made from.
#[derive(Debug)]
pub struct Draft {
    /// The chain id; none: one is made up.
    pub chain_id: Option<String>,
    /// The pipeline, in its order.
    pub plugins: Vec<Plugin>,
    /// Limits, each written `name=NUMBER`; the others have their defaults.
    pub limits: Vec<String>,
    /// Whether the plugins' bytes are in the file.
    pub inline: bool,
    /// Who takes part.
    pub members: Vec<Member>,
    /// How far apart they are.
    pub profile: Profile,
}

/// A network as all of its members know it.
#[derive(Clone, Debug)]
pub struct NetworkFile {
    path: PathBuf,
    whole: Value,
    genesis: GenesisFile,
    doc: GenesisDoc,
    members: Vec<Member>,
    profile: Profile,
}

impl NetworkFile {
    /// Makes a network: its genesis, as CometBFT generates one, with the rules and validators of the draft. The plugins must
    /// have been admitted ([`genesis::check()`]).
    ///
    /// # Errors
    ///
    /// When two members cannot be told apart, the limits make no sense, or CometBFT fails.
    pub fn create(cometbft: &CometBft, draft: &Draft, scratch: &Path) -> Result<Self, NetworkError> {
        check_members(&draft.members)?;
        let founder =
            |member: &Member| Founder { name: member.name.clone(), key: member.consensus_key.clone() };
        let founders: Vec<Founder> = draft.members.iter().filter(|one| !one.observer).map(founder).collect();
        let spec = NetworkSpec {
            chain_id: draft.chain_id.as_deref(),
            plugins: &draft.plugins,
            limits: &draft.limits,
            inline: draft.inline,
        };
        let genesis = genesis::create(cometbft, &spec, &founders, scratch)?;
        let members: Vec<Value> = draft.members.iter().map(|member| json!(member)).collect();
        let whole = json!({
            "dseq_network": VERSION, "genesis": genesis, "members": members, "profile": draft.profile,
        });
        Self::from_value(whole, Path::new("the new network"))
    }

    /// The network that a home joined; none: it has no such file.
    ///
    /// # Errors
    ///
    /// As [`NetworkFile::read`].
    pub fn joined(home: &NodeHome) -> Result<Option<Self>, NetworkError> {
        let path = home.network_file();
        match path.try_exists() {
            Ok(false) => Ok(None),
            _ => Self::read(&path).map(Some),
        }
    }

    /// Reads a network's file.
    ///
    /// # Errors
    ///
    /// When it is no network file, is damaged, or has a secret in it.
    pub fn read(path: &Path) -> Result<Self, NetworkError> {
        Self::from_value(member::read_json(path, WHAT, FILE_BYTES_MAX, DEPTH_MAX)?, path)
    }

    fn from_value(whole: Value, path: &Path) -> Result<Self, NetworkError> {
        member::check_version(&whole, "dseq_network", path, WHAT, "")?;
        let known = ["dseq_network", "genesis", "members", "profile"];
        let names = whole.as_object().into_iter().flat_map(serde_json::Map::keys);
        if let Some(unknown) = names.into_iter().find(|name| !known.contains(&name.as_str())) {
            let unknown: String = unknown.chars().take(40).collect();
            return Err(member::other(path, WHAT, "", format!("{unknown:?} is unknown")));
        }
        let list = whole["members"].as_array().filter(|list| !list.is_empty());
        let list = list.ok_or_else(|| member::other(path, WHAT, "", "it has no members".to_owned()))?;
        let read = |(index, value): (usize, &Value)| {
            Member::from_value(value.clone(), path, &format!("members[{index}]"))
        };
        let members = list.iter().enumerate().map(read).collect::<Result<Vec<_>, _>>()?;
        check_members(&members)?;
        let profile = serde_json::from_value(whole["profile"].clone());
        let profile = profile
            .map_err(|_| member::other(path, WHAT, "", "its profile is neither local nor wide".to_owned()))?;
        let genesis = GenesisFile::of(path, whole["genesis"].clone())?;
        genesis.check()?;
        let doc = genesis.doc()?;
        check_validators(&doc, &members)
            .map_err(|why| NetworkError::Damaged { path: path.to_owned(), why })?;
        Ok(Self { path: path.to_owned(), whole, genesis, doc, members, profile })
    }

    /// Where it was read from.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What members compare.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.whole)
    }

    /// The network's genesis.
    #[must_use]
    pub fn genesis(&self) -> &GenesisFile {
        &self.genesis
    }

    /// What CometBFT makes of the genesis.
    #[must_use]
    pub fn doc(&self) -> &GenesisDoc {
        &self.doc
    }

    /// Its members, in the order of the file.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// How far apart they are.
    #[must_use]
    pub fn profile(&self) -> Profile {
        self.profile
    }

    /// The network's name.
    #[must_use]
    pub fn chain_id(&self) -> &str {
        &self.doc.chain_id
    }

    /// The voting power of a member; none: it is an observer.
    #[must_use]
    pub fn power(&self, member: &Member) -> Option<i64> {
        let is_its = |key: &str| key == member.consensus_key;
        self.doc.validators.iter().find(|validator| is_its(&validator.key.1)).map(|validator| validator.power)
    }

    /// The same members with another genesis: rules may change until the first block.
    ///
    /// # Errors
    ///
    /// When its validators are not the members.
    pub(crate) fn with_genesis(&self, genesis: &GenesisFile) -> Result<Self, NetworkError> {
        let mut whole = self.whole.clone();
        whole["genesis"] = genesis.clone().into_value();
        Self::from_value(whole, &self.path)
    }

    /// The same network with members' addresses changed, for a network that moves.
    ///
    /// # Errors
    ///
    /// When two members would have one address.
    pub(crate) fn readdressed(&self, change: impl Fn(&mut Member)) -> Result<Self, NetworkError> {
        let mut members = self.members.clone();
        members.iter_mut().for_each(change);
        let mut whole = self.whole.clone();
        whole["members"] = json!(members);
        Self::from_value(whole, &self.path)
    }

    /// The text of the file.
    #[must_use]
    pub fn text(&self) -> String {
        format!("{:#}\n", self.whole)
    }

    /// Writes it where nothing is.
    ///
    /// # Errors
    ///
    /// When there is something, or the file system refuses.
    pub fn write_new(&self, path: &Path) -> Result<(), NetworkError> {
        match fs::symlink_metadata(path) {
            Ok(_) => Err(NetworkError::Occupied { path: path.to_owned() }),
            Err(err) if err.kind() == io::ErrorKind::NotFound => self.write(path),
            Err(err) => Err(NetworkError::io(path)(err)),
        }
    }

    /// Writes it, whole or not at all, in place of what is there.
    pub(crate) fn write(&self, path: &Path) -> Result<(), NetworkError> {
        atomic_file::replace(path, self.text().as_bytes()).map_err(|err| NetworkError::io(path)(err.into()))
    }
}

/// Refuses members that cannot be told apart, and more of them than there may be.
fn check_members(members: &[Member]) -> Result<(), NetworkError> {
    if members.len() > MEMBERS_MAX {
        return Err(NetworkError::TooMany { count: members.len() });
    }
    type Of = fn(&Member) -> String;
    let unique: [(&'static str, Of); 5] = [
        ("consensus key", |one| one.consensus_key.clone()),
        ("checkpoint key", |one| one.checkpoint_key.clone()),
        ("node id", |one| one.node_id.clone()),
        ("name", |one| one.name.to_lowercase()),
        ("address", |one| one.address.to_lowercase()),
    ];
    for (what, of) in unique {
        let mut seen = BTreeMap::new();
        for member in members {
            let value = of(member);
            if let Some(other) = seen.insert(value.clone(), member.name.clone()) {
                let (one, other) = (other, member.name.clone());
                return Err(NetworkError::Twice { what, value, one, other });
            }
        }
    }
    Ok(())
}

/// Whether the validators of genesis are the members that are no observers.
fn check_validators(doc: &GenesisDoc, members: &[Member]) -> Result<(), String> {
    let voting = |member: &&Member| !member.observer;
    let keys: BTreeSet<&str> = doc.validators.iter().map(|validator| validator.key.1.as_str()).collect();
    if let Some(member) = members.iter().filter(voting).find(|one| !keys.contains(one.consensus_key.as_str()))
    {
        return Err(format!("{} is no validator of its genesis, and no observer", member.name));
    }
    let known: BTreeSet<&str> = members.iter().filter(voting).map(|one| one.consensus_key.as_str()).collect();
    match keys.difference(&known).next() {
        Some(key) => Err(format!("its genesis has a validator, {key}, that is no member")),
        None => Ok(()),
    }
}
