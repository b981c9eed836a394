//! The file in which a home's keys travel, with what else it takes to make the home again.
//!
//! # Format
//!
//! JSON: `{"dseq_keys":1,"kind":"backup","made":"2026-01-31T12:00:00Z","chain_id":"audit-1","files":{"config/node_key.json":"<base64>"}}`.
//! `kind` is `backup` or `move`. A file's name is its path in the home; only those of [`FILES`], the records of chains that the
//! validator left, and `plugins/*.wasm` are taken.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::atomic_file;
use crate::node::engine::config::EngineConfig;
use crate::node::engine::key_files::{self, CHECKPOINT_KEY, NODE_KEY, VALIDATOR_KEY};
use crate::node::genesis::file::GenesisFile;
use crate::node::home::NodeHome;

/// Where the record of what the validator signed is, which only a move carries.
pub const RECORD: &str = "data/priv_validator_state.json";
/// What an archive holds of a home, as far as it is there.
pub const FILES: [&str; 8] = [
    VALIDATOR_KEY,
    NODE_KEY,
    CHECKPOINT_KEY,
    "config/genesis.json",
    "config/config.toml",
    "dseq.toml",
    "member.json",
    "network.json",
];
/// What no home can do without.
const NEEDED: [&str; 4] = [VALIDATOR_KEY, NODE_KEY, "config/genesis.json", "config/config.toml"];
/// Maximum size of an archive, in bytes: a genesis with its plugins, and the plugins once more, in base64.
const ARCHIVE_BYTES_MAX: u64 = 512 << 20;
/// Settings that say where a key is, and the only place from which it is carried.
const PLACES: [(&str, &str); 3] = [
    ("priv_validator_key_file", VALIDATOR_KEY),
    ("priv_validator_state_file", RECORD),
    ("node_key_file", NODE_KEY),
];

/// What an archive is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// To be kept; the home goes on.
    Backup,
    /// The home goes on elsewhere, with the record of what it signed.
    Move,
}

/// An archive.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Archive {
    dseq_keys: u64,
    /// What it is for.
    pub kind: Kind,
    /// When it was made.
    pub made: String,
    /// The network's name.
    pub chain_id: String,
    /// Each file in base64, by its path in the home.
    files: BTreeMap<String, String>,
}

/// An archive that cannot be made or used.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// A file without which it would be worth nothing.
    ///
    /// Restore it from a backup; if it is `data/priv_validator_state.json`, run `dseq recover` instead.
    #[error("{path} is missing, so there is no whole set of keys to carry", path = path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// A key that is not in its usual place.
    #[error("{config} sets {key} to {found:?}, and only a home with it at {usual:?} can be carried; move the file there, or carry it yourself", config = config.display())]
    Elsewhere {
        /// CometBFT's file.
        config: PathBuf,
        /// The setting.
        key: &'static str,
        /// Its value.
        found: String,
        /// The place that can be carried.
        usual: &'static str,
    },
    /// The key is with a remote signer.
    ///
    /// Back up or move that key where the remote signer has it.
    #[error("{config} sets priv_validator_laddr: the validator key is with a remote signer, and is carried with that", config = config.display())]
    Remote {
        /// CometBFT's file.
        config: PathBuf,
    },
    /// There is a file of that name.
    #[error("{path} is there already, and no archive is written over; choose another file", path = path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// Not an archive of ours.
    ///
    /// Give the file that `dseq keys backup` or `dseq keys move` wrote.
    #[error("{path} is no archive of `dseq keys`: {why}", path = path.display())]
    NoArchive {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The file system refused.
    ///
    /// Fix the cause that follows the message, usually a missing file, permissions or a full disk, and run the command again.
    #[error("cannot use {path}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl ArchiveError {
    pub(super) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }
}

impl Archive {
    /// Reads what a home has to carry.
    ///
    /// # Errors
    ///
    /// When a key is missing or is not in its usual place, or a file cannot be read.
    pub fn of(home: &NodeHome, kind: Kind, made: String) -> Result<Self, ArchiveError> {
        check_places(home)?;
        let mut files = BTreeMap::new();
        let mut take = |name: &str| -> Result<bool, ArchiveError> {
            let path = home.root().join(name);
            match fs::read(&path) {
                Ok(bytes) => files.insert(name.to_owned(), data_encoding::BASE64.encode(&bytes)),
                Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(false),
                Err(err) => return Err(ArchiveError::io(&path)(err)),
            };
            Ok(true)
        };
        let of_move = (kind == Kind::Move).then_some(RECORD);
        for name in FILES.into_iter().chain(of_move) {
            let is_needed = NEEDED.contains(&name) || name == RECORD;
            if !take(name)? && is_needed {
                return Err(ArchiveError::Missing { path: home.root().join(name) });
            }
        }
        for folder in ["data", "plugins"] {
            for name in names(&home.root().join(folder))? {
                let name = format!("{folder}/{name}");
                if is_more(&name) {
                    take(&name)?;
                }
            }
        }
        let genesis = GenesisFile::read(&home.genesis_file());
        let chain_id = genesis.map(|file| file.chain_id().to_owned()).unwrap_or_default();
        Ok(Self { dseq_keys: 1, kind, made, chain_id, files })
    }

    /// Writes it to a file that is not there yet, for its owner alone.
    ///
    /// # Errors
    ///
    /// When the file is there, or cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), ArchiveError> {
        let io = ArchiveError::io(path);
        let text = match serde_json::to_vec_pretty(self) {
            Ok(text) => text,
            Err(err) => return Err(io(err.into())),
        };
        atomic_file::create_private(path, &text).map_err(|err| match io::Error::from(err) {
            err if err.kind() == io::ErrorKind::AlreadyExists => {
                ArchiveError::Exists { path: path.to_owned() }
            }
            err => io(err),
        })
    }

    /// Reads one.
    ///
    /// # Errors
    ///
    /// When it cannot be read, is no archive, or has a file that no archive may have.
    pub fn read(path: &Path) -> Result<Self, ArchiveError> {
        let refused = |why: String| ArchiveError::NoArchive { path: path.to_owned(), why };
        let file = File::open(path).map_err(ArchiveError::io(path))?;
        let mut text = Vec::new();
        file.take(ARCHIVE_BYTES_MAX + 1).read_to_end(&mut text).map_err(ArchiveError::io(path))?;
        if text.len() as u64 > ARCHIVE_BYTES_MAX {
            return Err(refused(format!("it has more than {ARCHIVE_BYTES_MAX} bytes")));
        }
        let found: Self = serde_json::from_slice(&text).map_err(|err| refused(err.to_string()))?;
        if found.dseq_keys != 1 {
            return Err(refused(format!("it has format {}, and this program knows 1", found.dseq_keys)));
        }
        let is_known = |name: &str| FILES.contains(&name) || name == RECORD || is_more(name);
        if let Some(name) = found.files.keys().find(|name| !is_known(name)) {
            return Err(refused(format!("it holds {name:?}, which no archive has")));
        }
        let record = (found.kind == Kind::Move).then_some(RECORD);
        if let Some(name) = NEEDED.into_iter().chain(record).find(|name| !found.files.contains_key(*name)) {
            return Err(refused(format!("it lacks {name}")));
        }
        if found.kind == Kind::Backup && found.files.contains_key(RECORD) {
            return Err(refused(format!("a backup never holds {RECORD}")));
        }
        for name in found.files.keys() {
            found.file(name).ok_or_else(|| refused(format!("{name} in it is not base64")))?;
        }
        Ok(found)
    }

    /// The paths of what it holds.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }

    /// The bytes of a file, if it holds it.
    #[must_use]
    pub fn file(&self, name: &str) -> Option<Vec<u8>> {
        data_encoding::BASE64.decode(self.files.get(name)?.as_bytes()).ok()
    }
}

/// Whether an archive may hold this beside [`FILES`]: records of chains that the validator left, and plugins.
fn is_more(name: &str) -> bool {
    let is_plain = |part: &str| {
        !part.is_empty()
            && part.len() <= 200
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
    };
    let left = || name.strip_prefix("data/priv_validator_state.")?.strip_suffix(".json");
    let plugin = || name.strip_prefix("plugins/")?.strip_suffix(".wasm");
    left().or_else(plugin).is_some_and(is_plain)
}

/// The names of a folder's files; none: it is not there.
fn names(folder: &Path) -> Result<Vec<String>, ArchiveError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(err) => return Err(ArchiveError::io(folder)(err)),
    };
    let mut names = Vec::new();
    for entry in entries {
        names.push(entry.map_err(ArchiveError::io(folder))?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

/// Refuses a home whose keys are not where they usually are.
fn check_places(home: &NodeHome) -> Result<(), ArchiveError> {
    let config = EngineConfig::of(home);
    let path = || config.path().to_owned();
    if key_files::is_remote(home) {
        return Err(ArchiveError::Remote { config: path() });
    }
    for (key, usual) in PLACES {
        if let Some(found) =
            config.text(&[key]).filter(|found| home.root().join(found) != home.root().join(usual))
        {
            return Err(ArchiveError::Elsewhere { config: path(), key, found: found.to_owned(), usual });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_files_are_taken_out_of_an_archive() {
        for good in ["plugins/json.wasm", "plugins/a-b_c.1.wasm", "data/priv_validator_state.0011223344.json"]
        {
            assert!(is_more(good), "{good}");
        }
        for bad in [
            "plugins/../x.wasm",
            "plugins/.wasm",
            "plugins/a b.wasm",
            "data/x.json",
            "/etc/passwd",
            RECORD,
            "plugins/x",
        ] {
            assert!(!is_more(bad), "{bad}");
        }
    }

    #[test]
    fn what_is_no_archive_is_refused_with_the_reason() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys.json");
        let refused = |text: &str| {
            fs::write(&path, text).unwrap();
            Archive::read(&path).unwrap_err().to_string()
        };
        let with = |kind: &str, files: &str| {
            format!(
                "{{\"dseq_keys\":1,\"kind\":\"{kind}\",\"made\":\"\",\"chain_id\":\"c\",\"files\":{{{files}}}}}"
            )
        };
        let needed: String = NEEDED.iter().map(|name| format!("\"{name}\":\"\",")).collect();
        let whole = needed.trim_end_matches(',');
        assert!(refused("x").contains("is no archive"));
        assert!(refused(&with("backup", "")).contains("it lacks config/priv_validator_key.json"));
        assert!(refused(&with("move", whole)).contains("it lacks data/priv_validator_state.json"));
        assert!(refused(&with("backup", &format!("{needed}\"{RECORD}\":\"\""))).contains("never holds"));
        assert!(refused(&with("backup", &format!("{needed}\"../x\":\"\""))).contains("which no archive has"));
        assert!(refused(&with("backup", &format!("{needed}\"dseq.toml\":\"*\""))).contains("not base64"));
        assert!(refused(&with("backup", whole).replace(":1,", ":2,")).contains("it has format 2"));
        fs::write(&path, with("backup", whole)).unwrap();
        assert_eq!(Archive::read(&path).unwrap().names().count(), NEEDED.len());
    }
}
