//! The node's `plugins/` folder, where a plugin is found by its hash.
//!
//! # Invariants
//!
//! A file's name means nothing; its bytes do. So whatever is returned has the hash that was asked for.
//!
//! # Durability
//!
//! [`PluginDir::store`] writes a temporary file, syncs it, renames it and syncs the folder and the one it is in: a
//! file that ends in `.wasm` is whole.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::atomic_file::{self, ReplaceError};
use crate::limits;
use crate::rules::PluginName;
use crate::types::PluginHash;

/// A folder of `.wasm` files.
#[derive(Clone, Debug)]
pub struct PluginDir {
    path: PathBuf,
}

/// Why a plugin's bytes cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum PluginDirError {
    /// No file has the hash.
    #[error(
        "no file in {dir} has sha256 {wanted}, which genesis pins; {found}; put the plugin's .wasm file there",
        dir = dir.display(),
        found = Listing(found)
    )]
    NotFound {
        /// The hash that genesis pins.
        wanted: PluginHash,
        /// Where it was looked for.
        dir: PathBuf,
        /// Every `.wasm` file there.
        found: Vec<FoundFile>,
    },
    /// No readable file has the hash, and the one that has it may be among the unreadable.
    #[error(
        "no readable file in {dir} has sha256 {wanted}, which genesis pins, and {path} cannot be read: {source}; \
         check the disk and the permissions of that path, then start again",
        dir = dir.display(),
        path = path.display()
    )]
    Unreadable {
        /// The hash that genesis pins.
        wanted: PluginHash,
        /// Where it was looked for.
        dir: PathBuf,
        /// The first file that the system would not read.
        path: PathBuf,
        /// What came back.
        source: io::Error,
    },
    /// More bytes than a plugin may have.
    ///
    /// Build it with `dseq plugin build`, which leaves debug information out; if that is not enough, make it smaller.
    #[error("the plugin is {bytes} bytes; at most {max} are allowed", max = limits::WASM_BYTES_MAX)]
    TooLarge {
        /// Its size.
        bytes: u64,
    },
    /// The folder or a file in it could not be used.
    #[error("cannot {action} {path}: {source}; {remedy}", path = path.display(), remedy = remedy(source))]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What came back.
        source: io::Error,
    },
}

/// A `.wasm` file in the folder, and what it turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundFile {
    /// Its name.
    pub name: String,
    /// Its hash, or why it has none.
    pub sha256: Result<PluginHash, String>,
}

struct Listing<'a>(&'a [FoundFile]);

impl fmt::Display for Listing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("there is no .wasm file there");
        }
        f.write_str("found ")?;
        for (position, file) in self.0.iter().enumerate() {
            let comma = if position == 0 { "" } else { ", " };
            match &file.sha256 {
                Ok(hash) => write!(f, "{comma}{} with sha256 {hash}", file.name)?,
                Err(reason) => write!(f, "{comma}{} ({reason})", file.name)?,
            }
        }
        Ok(())
    }
}

impl PluginDirError {
    /// Whether a later start may not meet it: the file system failed, and nothing is known to be wrong with the plugin.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Io { .. } | Self::Unreadable { .. })
    }
}

/// What to do about a file system that refused.
fn remedy(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "free some space, then start again",
        _ => "check the disk and the permissions of that path, then start again",
    }
}

impl PluginDir {
    /// The folder at `path`, which need not exist yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The bytes of the `.wasm` file with this hash, whatever its name.
    ///
    /// # Errors
    ///
    /// When there is none, with everything that is there instead; or when the folder cannot be read.
    pub fn find(&self, wanted: &PluginHash) -> Result<Vec<u8>, PluginDirError> {
        let mut found = Vec::new();
        let mut unreadable = None;
        for path in self.wasm_files()? {
            let sha256 = match read_bounded(&path) {
                Ok(wasm) => {
                    let hash = PluginHash::of(&wasm);
                    if hash == *wanted {
                        return Ok(wasm);
                    }
                    Ok(hash)
                }
                Err(error) => {
                    let reason = error.to_string();
                    // A failing disk may pass; a dangling link, or what we refuse (a folder, a giant), will not.
                    let may_pass = error.raw_os_error().is_some() && error.kind() != io::ErrorKind::NotFound;
                    if may_pass && unreadable.is_none() {
                        unreadable = Some((path.clone(), error));
                    }
                    Err(reason)
                }
            };
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            found.push(FoundFile { name, sha256 });
        }
        let (wanted, dir) = (*wanted, self.path.clone());
        Err(match unreadable {
            Some((path, source)) => PluginDirError::Unreadable { wanted, dir, path, source },
            None => PluginDirError::NotFound { wanted, dir, found },
        })
    }

    /// Writes a plugin's bytes to `<name>-<first 12 digits of the hash>.wasm`, durably, and answers with its
    /// path. The folder is made when missing; a file already there is replaced.
    ///
    /// # Errors
    ///
    /// When the plugin is too large or the folder cannot be written.
    pub fn store(&self, name: &PluginName, wasm: &[u8]) -> Result<PathBuf, PluginDirError> {
        let bytes = wasm.len() as u64;
        if bytes > limits::WASM_BYTES_MAX {
            return Err(PluginDirError::TooLarge { bytes });
        }
        let hash = PluginHash::of(wasm).to_string();
        let path = self.path.join(format!("{name}-{}.wasm", &hash[..12]));
        let io = |action, path: &Path| {
            let path = path.to_owned();
            move |source| PluginDirError::Io { action, path, source }
        };
        fs::create_dir_all(&self.path).map_err(io("create", &self.path))?;
        atomic_file::replace(&path, wasm)
            .map_err(|ReplaceError { action, path, source }| PluginDirError::Io { action, path, source })?;
        // The folder's own name may be as new as the file's.
        atomic_file::sync_folder_of(&self.path).map_err(io("sync the folder of", &self.path))?;
        Ok(path)
    }

    /// The folder's `.wasm` files in the order of their names; none when there is no folder.
    fn wasm_files(&self) -> Result<Vec<PathBuf>, PluginDirError> {
        let io = |source| PluginDirError::Io { action: "read", path: self.path.clone(), source };
        let entries = match fs::read_dir(&self.path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(io(error)),
        };
        let mut files = Vec::new();
        for entry in entries {
            let path = entry.map_err(io)?.path();
            if path.extension().is_some_and(|extension| extension == "wasm") {
                files.push(path);
            }
        }
        files.sort();
        Ok(files)
    }
}

/// Reads a regular file of at most [`limits::WASM_BYTES_MAX`] bytes.
fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    // Asked before opening, since opening a pipe would wait for its writer.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    let mut wasm = Vec::new();
    File::open(path)?.take(limits::WASM_BYTES_MAX.saturating_add(1)).read_to_end(&mut wasm)?;
    if wasm.len() as u64 > limits::WASM_BYTES_MAX {
        return Err(io::Error::other(format!("larger than {} bytes", limits::WASM_BYTES_MAX)));
    }
    Ok(wasm)
}
