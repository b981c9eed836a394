//! The layout of a node's home: which file is where, what this user may not read (`access`), what others must not
//! (`permissions`), and how a new one is made (`new_home`).

pub mod access;
pub mod machine;
pub mod new_home;
pub mod permissions;

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use permissions::TooOpen;

use crate::abci::transport::{ListenAddr, SOCKET_PATH_BYTES_MAX};
use crate::node::shell;

/// A node's folder.
///
/// | path | what |
/// |---|---|
/// | `config/`, `data/` | CometBFT's own files, in `config/checkpoint_key.json` our own key, and in `data/genesis.json` the genesis that the node began with |
/// | `member.json`, `network.json` | what others may know of the node, and the file of the network that it joined; both public |
/// | `dseq.toml` | this node's configuration; all of it optional |
/// | `plugins/` | `.wasm` files, found by their hash |
/// | `sequence/` | the sequence |
/// | `index/` | what is derived from the sequence to find records sooner; built anew when it is missing |
/// | `run/` | the ABCI socket and who is running; nothing worth keeping |
/// | `dseq.log`, `cometbft.log` | what the two processes say; `.1` to `.3` are older parts |
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeHome {
    root: PathBuf,
}

/// A folder, as the kernel names it until the machine is booted again: the same after a rename, another for a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FolderId {
    /// The device of its file system.
    pub device: u64,
    /// Its inode there.
    pub inode: u64,
}

/// A folder that cannot be used as a node's home.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// A path that does not reach CometBFT as it is.
    #[error("{path:?} cannot be a node's home: {why}; choose another path")]
    Path {
        /// The path.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The path of the ABCI socket does not fit into a socket's address.
    #[error(
        "the ABCI socket {path:?} would have a path of {bytes} bytes, and the system takes at most \
         {SOCKET_PATH_BYTES_MAX}; use a home with a shorter path, set TMPDIR to a shorter one, or set `abci` in dseq.toml"
    )]
    SocketPathTooLong {
        /// The path.
        path: PathBuf,
        /// Its length.
        bytes: usize,
    },
    /// Nothing there, or not a folder.
    #[error("no node home at {path}; make one with `dseq init --home {quoted}`", path = path.display(), quoted = shell::word(path))]
    Missing {
        /// Where it was expected.
        path: PathBuf,
    },
    /// The folder for the socket could not be made private.
    #[error("{path} must be a folder that only its owner can open, because the ABCI socket in it has no authentication; remove that folder, or set `abci` in dseq.toml", path = path.display())]
    NotPrivate {
        /// The folder.
        path: PathBuf,
    },
    /// Others than its owner could read a key, or get at what only the home's mode protects.
    #[error(
        "other users of this machine can open private files of this node: {list}; run: {command}",
        list = found.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        command = permissions::command(found)
    )]
    TooOpen {
        /// Each of them, and its mode.
        found: Vec<TooOpen>,
    },
    /// A home that belongs to no network yet.
    #[error(
        "the node in {path} is in no network yet. Send its member.json to whoever makes the network file, then run \
         `dseq network join --home {quoted} network.json --expect FINGERPRINT`",
        path = path.display(), quoted = shell::word(path)
    )]
    NoNetwork {
        /// The home.
        path: PathBuf,
    },
    /// CometBFT would run without the mempool that we need.
    #[error("{path}: mempool.type is {found:?}; it must be {needed:?}, or no transaction reaches dseq", path = path.display())]
    Mempool {
        /// CometBFT's configuration.
        path: PathBuf,
        /// What is set.
        found: String,
        /// What must be.
        needed: &'static str,
    },
    /// The file system refused.
    ///
    /// Fix the cause that follows the message, usually a missing file, permissions or a full disk, and run the command again.
    #[error("cannot use {path}", path = path.display())]
    Io {
        /// What was to be used.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl HomeError {
    /// Whether trying again cannot help.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::Path { .. }
            | Self::SocketPathTooLong { .. }
            | Self::Missing { .. }
            | Self::NotPrivate { .. }
            | Self::TooOpen { .. }
            | Self::NoNetwork { .. }
            | Self::Mempool { .. } => true,
            Self::Io { .. } => false,
        }
    }
}

impl NodeHome {
    /// Names a home that may not exist yet.
    #[must_use]
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// Opens a home that is in a network: `dseq init --solo` or `dseq network join` has put a genesis into it.
    ///
    /// # Errors
    ///
    /// When there is no `config/genesis.json` in it, or this user may not look.
    pub fn open(root: &Path) -> Result<Self, HomeError> {
        let home = Self::at(root)?;
        match home.has(&home.genesis_file(), root) {
            Err(HomeError::Missing { path }) if home.member_file().is_file() => {
                Err(HomeError::NoNetwork { path })
            }
            found => found.map(|()| home),
        }
    }

    /// Opens a home that was made by `dseq init`, whether or not it is in a network yet.
    ///
    /// # Errors
    ///
    /// When there is no `config/config.toml` in it, or this user may not look.
    pub fn open_made(root: &Path) -> Result<Self, HomeError> {
        let home = Self::at(root)?;
        home.has(&home.cometbft_config(), root).map(|()| home)
    }

    /// A home at a path that is there.
    fn at(root: &Path) -> Result<Self, HomeError> {
        let home = Self { root: root.canonicalize().map_err(|err| absent(root, root, err))? };
        check_path(&home.root)?;
        Ok(home)
    }

    /// Whether a file is there without which this is no home; errors call the home `root`.
    fn has(&self, file: &Path, root: &Path) -> Result<(), HomeError> {
        match fs::metadata(file) {
            Ok(found) if found.is_file() => Ok(()),
            Ok(_) => Err(HomeError::Missing { path: root.to_owned() }),
            Err(err) => Err(absent(root, file, err)),
        }
    }

    /// The folder itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// CometBFT's configuration.
    #[must_use]
    pub fn cometbft_config(&self) -> PathBuf {
        self.root.join("config/config.toml")
    }

    /// The network's genesis.
    #[must_use]
    pub fn genesis_file(&self) -> PathBuf {
        self.root.join("config/genesis.json")
    }

    /// The key with which the node votes, if it is a validator.
    #[must_use]
    pub fn consensus_key(&self) -> PathBuf {
        self.root.join("config/priv_validator_key.json")
    }

    /// The key by which its peers know it.
    #[must_use]
    pub fn node_key(&self) -> PathBuf {
        self.root.join("config/node_key.json")
    }

    /// The key with which it signs checkpoints.
    #[must_use]
    pub fn checkpoint_key(&self) -> PathBuf {
        self.root.join("config/checkpoint_key.json")
    }

    /// What others may know of the node: its public keys and addresses.
    #[must_use]
    pub fn member_file(&self) -> PathBuf {
        self.root.join("member.json")
    }

    /// A copy of the file of the network that it joined.
    #[must_use]
    pub fn network_file(&self) -> PathBuf {
        self.root.join("network.json")
    }

    /// CometBFT's databases.
    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        self.root.join("data")
    }

    /// This node's configuration.
    #[must_use]
    pub fn config_file(&self) -> PathBuf {
        self.root.join("dseq.toml")
    }

    /// The index of transactions by their hash.
    #[must_use]
    pub fn receipts_index(&self) -> PathBuf {
        self.root.join("index").join("receipts.redb")
    }

    /// Where the sequence is.
    #[must_use]
    pub fn sequence_dir(&self) -> PathBuf {
        self.root.join("sequence")
    }

    /// The genesis that the node began with; see [`crate::node::genesis::origin`].
    #[must_use]
    pub fn kept_genesis(&self) -> PathBuf {
        self.data_dir().join("genesis.json")
    }

    /// Where plugins' `.wasm` files are looked for.
    #[must_use]
    pub fn plugins_dir(&self) -> PathBuf {
        self.root.join("plugins")
    }

    /// What the app and the supervisor say, when started by `dseq testnet`.
    #[must_use]
    pub fn app_log(&self) -> PathBuf {
        self.root.join("dseq.log")
    }

    /// What CometBFT says.
    #[must_use]
    pub fn cometbft_log(&self) -> PathBuf {
        self.root.join("cometbft.log")
    }

    /// Who runs this home at the moment.
    #[must_use]
    pub fn run_dir(&self) -> PathBuf {
        self.root.join("run")
    }

    /// The ABCI socket's path: in `run/`, or in the temporary folder when that path is too long for a socket.
    #[must_use]
    pub fn abci_socket(&self) -> PathBuf {
        let near = self.run_dir().join("abci.sock");
        if near.as_os_str().len() <= SOCKET_PATH_BYTES_MAX {
            return near;
        }
        let digest = Sha256::digest(self.root.as_os_str().as_encoded_bytes());
        let name = data_encoding::HEXLOWER.encode(&digest[..8]);
        let user = rustix::process::getuid().as_raw();
        std::env::temp_dir().join(format!("dseq-{user}-{name}")).join("abci.sock")
    }

    /// The address of that socket, whose folder is made, so that only this user can open it.
    ///
    /// # Errors
    ///
    /// When the path is too long even so, or its folder cannot be made or belongs to somebody else.
    pub fn abci_address(&self) -> Result<ListenAddr, HomeError> {
        let path = self.abci_socket();
        let bytes = path.as_os_str().len();
        if bytes > SOCKET_PATH_BYTES_MAX {
            return Err(HomeError::SocketPathTooLong { path, bytes });
        }
        // Only the temporary folder's path is new here: it comes from the environment.
        check_path(&path)?;
        if let Some(dir) = path.parent() {
            make_private_dir(dir)?;
        }
        Ok(ListenAddr::Unix(path))
    }

    /// Makes `run/`, so that only this user can open it.
    ///
    /// # Errors
    ///
    /// When it cannot be made, or is there already and belongs to somebody else.
    pub fn make_run_dir(&self) -> Result<(), HomeError> {
        make_private_dir(&self.run_dir())
    }

    /// Which folder this is.
    ///
    /// # Errors
    ///
    /// When it cannot be looked at.
    pub fn id(&self) -> io::Result<FolderId> {
        let found = fs::metadata(&self.root)?;
        Ok(FolderId { device: found.dev(), inode: found.ino() })
    }
}

/// What to say of a path that cannot be looked at. It may well be a home, unless nothing is there.
fn absent(root: &Path, path: &Path, source: io::Error) -> HomeError {
    if matches!(source.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) {
        return HomeError::Missing { path: root.to_owned() };
    }
    HomeError::Io { path: path.to_owned(), source }
}

/// Refuses a path that would not reach CometBFT as it is.
///
/// CometBFT's library for configuration replaces `$NAME` in `--home` by what the environment has, and would then run
/// with its defaults, or with another folder's configuration. The address of a socket is text.
///
/// # Errors
///
/// When it is such a path.
pub fn check_path(path: &Path) -> Result<(), HomeError> {
    let why = match path.to_str() {
        None => "its path is not valid UTF-8",
        Some(text) if text.contains('$') => "CometBFT takes a `$` in a path for the name of a variable",
        Some(_) => return Ok(()),
    };
    Err(HomeError::Path { path: path.to_owned(), why })
}

/// Makes a 0700 folder, or tightens one that this user already owns.
fn make_private_dir(path: &Path) -> Result<(), HomeError> {
    let io = |source| HomeError::Io { path: path.to_owned(), source };
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => return Ok(()),
        Err(err) if err.kind() == io::ErrorKind::AlreadyExists => {}
        Err(err) => return Err(io(err)),
    }
    // In the temporary folder anybody may have put a link or a folder of that name.
    let found = fs::symlink_metadata(path).map_err(io)?;
    if !found.is_dir() || found.uid() != rustix::process::getuid().as_raw() {
        return Err(HomeError::NotPrivate { path: path.to_owned() });
    }
    fs::set_permissions(path, fs::Permissions::from_mode(0o700)).map_err(io)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_path_too_long_for_the_system_moves_to_the_temporary_folder() {
        let near = NodeHome::new(Path::new("/srv/node0"));
        assert_eq!(near.abci_socket(), Path::new("/srv/node0/run/abci.sock"));
        let far = NodeHome::new(&Path::new("/srv").join("x".repeat(100)));
        let socket = far.abci_socket();
        assert!(socket.starts_with(std::env::temp_dir()), "{socket:?}");
        assert!(socket.as_os_str().len() <= SOCKET_PATH_BYTES_MAX, "{socket:?}");
        let other = NodeHome::new(&Path::new("/srv").join("y".repeat(100)));
        assert_ne!(other.abci_socket(), socket);
    }

    #[test]
    fn a_path_that_would_not_reach_cometbft_as_it_is_is_refused() {
        use std::os::unix::ffi::OsStrExt;
        let latin1 = Path::new(std::ffi::OsStr::from_bytes(b"/srv/n\xf8de"));
        let message = check_path(latin1).unwrap_err().to_string();
        let expected =
            "\"/srv/n\\xF8de\" cannot be a node's home: its path is not valid UTF-8; choose another path";
        assert_eq!(message, expected);
        assert!(check_path(Path::new("/srv/a$b")).unwrap_err().to_string().contains("name of a variable"));
        check_path(Path::new("/srv/nœud %d,\\ x")).unwrap();
    }

    #[test]
    fn a_private_folder_is_0700_even_when_it_was_there_before() {
        let dir = tempfile::tempdir().unwrap();
        let run = dir.path().join("run");
        fs::create_dir(&run).unwrap();
        fs::set_permissions(&run, fs::Permissions::from_mode(0o755)).unwrap();
        make_private_dir(&run).unwrap();
        assert_eq!(fs::metadata(&run).unwrap().mode() & 0o777, 0o700);
    }

    #[test]
    fn a_link_in_place_of_the_private_folder_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let run = dir.path().join("run");
        std::os::unix::fs::symlink(dir.path(), &run).unwrap();
        assert!(matches!(make_private_dir(&run), Err(HomeError::NotPrivate { .. })));
    }
}
