//! Where things are in a node's folder.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::shell;
use crate::abci::transport::ListenAddr;

/// Longest path a unix socket address holds, in bytes: `sun_path` is 108 with its terminating zero.
const SOCKET_PATH_BYTES_MAX: usize = 107;

/// A node's folder.
///
/// | path | what |
/// |---|---|
/// | `config/`, `data/` | CometBFT's own files, and in `data/genesis.json` the genesis that the node began with |
/// | `dseq.toml` | this node's configuration; all of it optional |
/// | `plugins/` | `.wasm` files, found by their hash |
/// | `sequence/` | the sequence |
/// | `run/` | the ABCI socket and who is running; nothing worth keeping |
/// | `dseq.log`, `cometbft.log` | what the two processes say |
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeHome {
    root: PathBuf,
}

/// A folder that cannot be used as a node's home.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// Nothing there, or not a folder.
    #[error("no node home at {path}; make one with `dseq init --home {quoted}`", path = path.display(), quoted = shell::word(path))]
    Missing {
        /// Where it was expected.
        path: PathBuf,
    },
    /// The folder for the socket could not be made private.
    #[error("{path} must be a folder that only its owner can open, because the ABCI socket in it has no authentication; remove it", path = path.display())]
    NotPrivate {
        /// The folder.
        path: PathBuf,
    },
    /// The file system refused.
    #[error("cannot use {path}", path = path.display())]
    Io {
        /// What was to be used.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl NodeHome {
    /// Names a home that may not exist yet.
    #[must_use]
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// Opens a home that was made by `dseq init`.
    ///
    /// # Errors
    ///
    /// When there is no `config/genesis.json` in it.
    pub fn open(root: &Path) -> Result<Self, HomeError> {
        let missing = || HomeError::Missing { path: root.to_owned() };
        let root = root.canonicalize().map_err(|_| missing())?;
        let home = Self { root };
        if home.genesis_file().is_file() { Ok(home) } else { Err(missing()) }
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

    /// Where the sequence is.
    #[must_use]
    pub fn sequence_dir(&self) -> PathBuf {
        self.root.join("sequence")
    }

    /// The genesis that the node began with; see [`super::origin`].
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

    /// The address of that socket.
    #[must_use]
    pub fn abci_address(&self) -> ListenAddr {
        ListenAddr::Unix(self.abci_socket())
    }

    /// Makes `run/` and the socket's folder, so that only this user can open them.
    ///
    /// # Errors
    ///
    /// When they cannot be made, or one is there already and belongs to somebody else.
    pub fn make_private_dirs(&self) -> Result<(), HomeError> {
        make_private_dir(&self.run_dir())?;
        match self.abci_socket().parent() {
            Some(dir) => make_private_dir(dir),
            None => Ok(()),
        }
    }
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
