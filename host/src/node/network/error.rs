//! Why a member file, a network file or a home cannot be used for a network of machines.

use std::io;
use std::path::{Path, PathBuf};

use super::file::MEMBERS_MAX;
use super::{Expected, Fingerprint};
use crate::json::JsonError;
use crate::node::config::ConfigError;
use crate::node::engine::config::EngineConfigError;
use crate::node::genesis::origin::OriginError;
use crate::node::genesis::{GenesisError, RulesError};
use crate::node::home::HomeError;
use crate::plugin::PluginDirError;

/// A network that cannot be made or joined.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// A file with a secret.
    #[error(
        "{path} has a private key in it ({place}), which must never leave its machine. Hand out the public member.json that \
         `dseq init` wrote, and make another home if others have seen this key",
        path = path.display()
    )]
    Secret {
        /// The file.
        path: PathBuf,
        /// Where in it.
        place: String,
    },
    /// Something else than what was asked for.
    ///
    /// Give the file that `dseq init` (member.json) or `dseq network create` (network.json) wrote.
    #[error("{path} is no {what}: {why}", path = path.display())]
    OtherFile {
        /// The file.
        path: PathBuf,
        /// What was asked for.
        what: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// A file of a version that this program does not know.
    #[error(
        "{path} is a {what} of version {found}, and this dseq ({ours}) reads version 1: use the dseq that its makers use",
        path = path.display(), ours = env!("CARGO_PKG_VERSION")
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// What it is.
        what: &'static str,
        /// Its version.
        found: u64,
    },
    /// Not strict JSON.
    #[error("{path}: {source}", path = path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: JsonError,
    },
    /// A larger file than there can be.
    ///
    /// Check that it is the file that was meant, and ask for it again.
    #[error("{path} is larger than {max} bytes, the most that a {what} can have", path = path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// What it is to be.
        what: &'static str,
        /// How large it may be.
        max: u64,
    },
    /// A value that a member cannot have.
    #[error("{place} is {found:?}; it must be {expected}")]
    Value {
        /// Which file or flag, and which value of it.
        place: String,
        /// What is there.
        found: String,
        /// What may be there.
        expected: &'static str,
    },
    /// Two members that cannot be told apart.
    #[error(
        "{one} and {other} have the same {what}, {value}: {advice}",
        advice = advice(what)
    )]
    Twice {
        /// What they share.
        what: &'static str,
        /// The value.
        value: String,
        /// One of them.
        one: String,
        /// The other one.
        other: String,
    },
    /// A network that nobody or only one decides in.
    #[error(
        "of the members given, {count} would vote. A network of machines takes two or more, and four to go on while one is \
         down; for a network of one use `dseq init --solo`"
    )]
    TooFew {
        /// How many validators there are.
        count: usize,
    },
    /// More members than a network may have.
    ///
    /// Leave out full nodes: they can join later with `dseq network join --observer`.
    #[error("{count} members are given; a network begins with at most {MEMBERS_MAX}")]
    TooMany {
        /// How many.
        count: usize,
    },
    /// A network file that contradicts itself.
    #[error("{path} is damaged: {why}. Ask for it again", path = path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        why: String,
    },
    /// Another file than the one that was expected.
    #[error(
        "{path} is not the file that was expected: its fingerprint is\n  {words}\n  {found}\nand not\n  {expected}\nCompare \
         with the other members, by telephone for example, and join only what all of them have",
        path = path.display(), words = found.words()
    )]
    OtherFingerprint {
        /// The file.
        path: PathBuf,
        /// Its fingerprint.
        found: Fingerprint,
        /// The one that was given.
        expected: Expected,
    },
    /// Rules that this program would not run.
    #[error(
        "{path} is for engine {found}, and this dseq ({version}) is engine {ours}: use the dseq that the network was made \
         with",
        path = path.display(), version = env!("CARGO_PKG_VERSION")
    )]
    Engine {
        /// The file.
        path: PathBuf,
        /// The engine in it.
        found: String,
        /// This program's.
        ours: String,
    },
    /// The home has no part in this network.
    #[error(
        "no member of {chain_id} has the key of {home}; its members are {members}. Send {home}/member.json to whoever makes \
         the network file; or join as a full node, which has every block and no vote, with --observer",
        home = home.display()
    )]
    NotAMember {
        /// The home.
        home: PathBuf,
        /// The network.
        chain_id: String,
        /// Who is in it.
        members: String,
    },
    /// A member's file and its home do not belong together any more.
    #[error(
        "{chain_id} has {name} with the {known} of {home} but another {what}. Send the present \
         {home}/member.json to whoever makes the network file, and join the new one",
        home = home.display()
    )]
    OtherKeys {
        /// The home.
        home: PathBuf,
        /// The network.
        chain_id: String,
        /// The member.
        name: String,
        /// What is the same.
        known: &'static str,
        /// What differs.
        what: &'static str,
    },
    /// A validator that asks to have no vote.
    #[error("{name} is a validator of {chain_id}: leave out --observer")]
    IsValidator {
        /// The member.
        name: String,
        /// The network.
        chain_id: String,
    },
    /// The home is part of another network.
    #[error(
        "{home} has begun the network {began} and takes no other one; for {chain_id} make another home with `dseq init`",
        home = home.display()
    )]
    Begun {
        /// The home.
        home: PathBuf,
        /// The network it has begun.
        began: String,
        /// The network that it was to join.
        chain_id: String,
    },
    /// A home that was not made for a network of machines.
    #[error(
        "{home} has no member.json: it was made by an older dseq or by hand. Make another home: `dseq init --home DIR --name \
         NAME --address HOST:PORT`",
        home = home.display()
    )]
    NoMemberFile {
        /// The home.
        home: PathBuf,
    },
    /// A key file that cannot be understood.
    #[error("{path} is damaged: it is not a key as CometBFT writes it. Restore it from your backup", path = path.display())]
    KeyFile {
        /// The file.
        path: PathBuf,
    },
    /// There is a file already.
    #[error("{path} is there already; nothing was changed. Move it away, or choose another -o", path = path.display())]
    Occupied {
        /// The file.
        path: PathBuf,
    },
    /// The genesis cannot be made.
    #[error("{0}")]
    Genesis(#[from] GenesisError),
    /// The rules cannot be made, or no node would run them.
    #[error("{0}")]
    Rules(#[from] RulesError),
    /// A plugin of the file cannot be kept in the home.
    #[error("{source}")]
    Plugin {
        /// Why not.
        source: PluginDirError,
    },
    /// The home's past cannot be read.
    #[error("{0}")]
    Origin(#[from] OriginError),
    /// The home cannot be used.
    #[error("{0}")]
    Home(#[from] HomeError),
    /// CometBFT's configuration cannot be used.
    #[error("{0}")]
    EngineConfig(#[from] EngineConfigError),
    /// The home's own configuration cannot be used.
    #[error("{0}")]
    Config(#[from] ConfigError),
    /// The file system refused.
    ///
    /// Fix the cause that follows the message, usually a missing file, permissions or a full disk, and run the command again.
    #[error("cannot use {path}", path = path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// What to do about two members that share something.
fn advice(what: &str) -> &'static str {
    match what {
        "name" => "each needs a name of its own",
        "address" => "each needs an address of its own",
        _ => {
            "a home was copied, or one member's file is given twice; each member makes its own home with `dseq init`"
        }
    }
}

impl NetworkError {
    pub(super) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }

    /// Whether what was wrong is what the command line said.
    #[must_use]
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Value { place, .. } if place.starts_with("--"))
    }
}
