//! Settings that cannot be used, each with where it was given.

use std::io;
use std::path::PathBuf;

use super::Origin;
use crate::abci::transport::SOCKET_PATH_BYTES_MAX;
use crate::atomic_file::ReplaceError;

/// A setting that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file is there but cannot be read.
    ///
    /// Fix the cause that follows the message, usually permissions: the node's user must be able to read the file.
    #[error("cannot read {path}", path = path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The file is not valid TOML.
    #[error("{path}:{line}: {message}", path = path.display())]
    NotToml {
        /// The file.
        path: PathBuf,
        /// The line.
        line: usize,
        /// What the parser says.
        message: String,
    },
    /// The file is there but cannot be written.
    ///
    /// Fix the cause that follows the message, usually a missing file, permissions or a full disk, and run the command again.
    #[error("cannot write {path}", path = path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: ReplaceError,
    },
    /// A key that is no setting.
    #[error("{path}:{line}: unknown key {key:?}{hint}", path = path.display())]
    UnknownKey {
        /// The file.
        path: PathBuf,
        /// The line.
        line: usize,
        /// The key.
        key: String,
        /// What may have been meant.
        hint: String,
    },
    /// A value of another kind than the setting's.
    #[error("{path}:{line}: {key} = {found}: it must be {expected}", path = path.display())]
    WrongKind {
        /// The file.
        path: PathBuf,
        /// The line.
        line: usize,
        /// The setting.
        key: &'static str,
        /// The value, as TOML.
        found: String,
        /// What it must be.
        expected: &'static str,
    },
    /// A value that the setting cannot have.
    #[error("{origin}: {key} is {found:?}; it must be {expected}")]
    BadValue {
        /// Where it came from.
        origin: Origin,
        /// The setting.
        key: &'static str,
        /// The value.
        found: String,
        /// What it must be.
        expected: &'static str,
    },
    /// A socket path that the system does not take.
    #[error(
        "{origin}: the path of {key} {found:?} is {bytes} bytes long, and the system takes at most \
         {SOCKET_PATH_BYTES_MAX} for a socket; use a shorter one"
    )]
    SocketPathTooLong {
        /// Where it came from.
        origin: Origin,
        /// The setting.
        key: &'static str,
        /// The path.
        found: PathBuf,
        /// Its length.
        bytes: usize,
    },
}
