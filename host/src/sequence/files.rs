//! File operations of the log, each with the words for its failure.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::atomic_file::{self, ReplaceError};

/// A file operation that failed.
///
/// Free space if the disk is full; else check the disk, the limit on the length of files and the permissions of that path. Then start
/// the node again if it has stopped.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {path}: {source}", path = path.display())]
pub struct IoError {
    /// What was tried, as a verb.
    pub action: &'static str,
    /// On which file or folder.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

impl IoError {
    pub(super) fn of(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self { action, path: path.to_owned(), source }
    }

    /// What its reader can do about it.
    pub(super) fn remedy(&self) -> &'static str {
        match self.source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                "free some space, then start again: the node recovers by itself"
            }
            io::ErrorKind::FileTooLarge => "raise the limit on the length of files, then start again",
            _ => "check the disk and the permissions of that path, then start again",
        }
    }
}

/// One of the log's files, with its path for error messages.
#[derive(Debug)]
pub(super) struct LogFile {
    file: File,
    path: PathBuf,
}

impl LogFile {
    /// Opens a file for reading and writing, creating it if asked.
    pub(super) fn open(path: PathBuf, create: bool) -> Result<Self, IoError> {
        let opened = OpenOptions::new().read(true).write(true).create(create).truncate(false).open(&path);
        let file = opened.map_err(IoError::of("open", &path))?;
        Ok(Self { file, path })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Its name in its folder, for traces.
    fn name(&self) -> Option<&str> {
        self.path.file_name()?.to_str()
    }

    pub(super) fn len(&self) -> Result<u64, IoError> {
        Ok(self.file.metadata().map_err(IoError::of("read the length of", &self.path))?.len())
    }

    pub(super) fn truncate(&self, length: u64) -> Result<(), IoError> {
        self.file.set_len(length).map_err(IoError::of("truncate", &self.path))
    }

    pub(super) fn write_at(&self, bytes: &[u8], offset: u64) -> Result<(), IoError> {
        let (file, length) = (self.name(), bytes.len());
        let _span = tracing::trace_span!(target: "dseq::traces", "write", file, offset, length).entered();
        self.file.write_all_at(bytes, offset).map_err(IoError::of("write to", &self.path))
    }

    pub(super) fn read_at(&self, bytes: &mut [u8], offset: u64) -> Result<(), IoError> {
        self.file.read_exact_at(bytes, offset).map_err(IoError::of("read from", &self.path))
    }

    /// Makes everything written so far survive a power cut (fdatasync: the data and the length).
    pub(super) fn sync(&self) -> Result<(), IoError> {
        let _span = tracing::trace_span!(target: "dseq::traces", "sync", file = self.name()).entered();
        self.file.sync_data().map_err(IoError::of("sync", &self.path))
    }
}

/// Makes creations and renames in a folder survive a power cut.
pub(super) fn sync_dir(dir: &Path) -> Result<(), IoError> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(IoError::of("sync the folder", dir))
}

/// Makes the name of a file or folder survive a power cut.
pub(super) fn sync_name(path: &Path) -> Result<(), IoError> {
    match path.parent() {
        Some(dir) if dir.as_os_str().is_empty() => sync_dir(Path::new(".")),
        Some(dir) => sync_dir(dir),
        None => Ok(()),
    }
}

/// Puts a whole file in place at once: readers see the old one or the new one, also after a power cut.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> Result<(), IoError> {
    atomic_file::replace(path, bytes).map_err(|ReplaceError { action, path, source }| IoError {
        action,
        path,
        source,
    })
}

/// Reads a whole file; `None` if there is none.
pub(super) fn read_if_present(path: &Path) -> Result<Option<Vec<u8>>, IoError> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(err) => Err(IoError::of("read", path)(err)),
    }
}
