//! Files that are replaced whole: the one routine by which this program changes a small file that matters.
//!
//! # Durability
//!
//! Readers see the old file or the new one, also after a power cut: the bytes are synced before the rename, and the folder
//! after it.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

/// A step of [`replace`] that failed.
///
/// Fix the cause that follows the message, usually a missing file, permissions or a full disk, and run the command again.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {path}", path = path.display())]
pub struct ReplaceError {
    /// What was tried, as a verb.
    pub action: &'static str,
    /// On which file or folder.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

impl ReplaceError {
    fn of(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self { action, path: path.to_owned(), source }
    }
}

impl From<ReplaceError> for io::Error {
    fn from(err: ReplaceError) -> Self {
        err.source
    }
}

/// Replaces a file, or makes it: whole, or not at all. A file that is replaced keeps its permissions.
///
/// # Errors
///
/// When the file system refuses. The file is as it was then, unless only the last step failed: to make it durable.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<(), ReplaceError> {
    let partial = partial(path).map_err(ReplaceError::of("replace", path))?;
    let renamed = write(&partial, path, bytes)
        .map_err(ReplaceError::of("write", &partial))
        .and_then(|()| fs::rename(&partial, path).map_err(ReplaceError::of("rename the new file to", path)));
    if let Err(err) = renamed {
        // What cannot be written can hardly be removed, and its name says what it is.
        let _ = fs::remove_file(&partial);
        return Err(err);
    }
    sync_folder_of(path).map_err(ReplaceError::of("sync the folder", folder_of(path)))
}

/// Makes a file that only its owner may read and write, and that is not there yet: whole, or not at all.
///
/// # Errors
///
/// When it is there already ([`io::ErrorKind::AlreadyExists`]), or the file system refuses.
pub fn create_private(path: &Path, bytes: &[u8]) -> Result<(), ReplaceError> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    let mut file = options.open(path).map_err(ReplaceError::of("make", path))?;
    if let Err(err) = file.write_all(bytes).and_then(|()| file.sync_all()) {
        // Half of a key is worth nothing.
        let _ = fs::remove_file(path);
        return Err(ReplaceError::of("write", path)(err));
    }
    sync_folder_of(path).map_err(ReplaceError::of("sync the folder", folder_of(path)))
}

/// Where a file is written before it is renamed: one name for all attempts, so that what a crash left is overwritten.
fn partial(path: &Path) -> io::Result<PathBuf> {
    let mut name = OsString::from(path.file_name().ok_or(io::ErrorKind::InvalidInput)?);
    name.push(".partial");
    Ok(path.with_file_name(name))
}

fn write(partial: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).custom_flags(OFlags::NOFOLLOW.bits().cast_signed());
    // What a crash left may be read-only, like the file that it was to replace; a link is not ours.
    let mut file = options
        .open(partial)
        .or_else(|err| fs::remove_file(partial).map_err(|_| err).and_then(|()| options.open(partial)))?;
    match fs::metadata(path) {
        Ok(replaced) => file.set_permissions(replaced.permissions())?,
        Err(err) if err.kind() == io::ErrorKind::NotFound => {}
        Err(err) => return Err(err),
    }
    file.write_all(bytes)?;
    file.sync_all()
}

/// Makes what was made, renamed or removed in the folder of `path` survive a power cut.
///
/// # Errors
///
/// When the file system refuses.
pub fn sync_folder_of(path: &Path) -> io::Result<()> {
    File::open(folder_of(path))?.sync_all()
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let names = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.collect()
    }

    #[test]
    fn a_file_is_made_and_replaced_and_nothing_else_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.json");
        for bytes in [&b"one"[..], b"", b"three"] {
            replace(&path, bytes).unwrap();
            assert_eq!(fs::read(&path).unwrap(), bytes);
        }
        assert_eq!(names(dir.path()), ["a.json"]);
    }

    #[test]
    fn a_file_that_is_replaced_keeps_its_permissions() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key.json");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        replace(&path, b"new").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_private_file_is_made_for_its_owner_alone_and_never_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys.json");
        create_private(&path, b"one").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let refused: io::Error = create_private(&path, b"two").unwrap_err().into();
        assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"one");
    }

    #[test]
    fn what_a_crash_left_is_in_nobodys_way() {
        let dir = tempfile::tempdir().unwrap();
        let (path, other) = (dir.path().join("key.json"), dir.path().join("other"));
        fs::write(&path, "old").unwrap();
        fs::write(&other, "other").unwrap();
        std::os::unix::fs::symlink(&other, dir.path().join("key.json.partial")).unwrap();
        replace(&path, b"new").unwrap();
        assert_eq!(
            (fs::read(&path).unwrap(), fs::read(&other).unwrap()),
            (b"new".to_vec(), b"other".to_vec())
        );
    }

    #[test]
    fn what_cannot_be_replaced_stays_and_no_partial_file_does() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("folder");
        fs::create_dir(&path).unwrap();
        replace(&path, b"new").unwrap_err();
        assert!(path.is_dir());
        assert_eq!(names(dir.path()), ["folder"]);
    }
}
