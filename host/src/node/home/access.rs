//! What this user may not read is said so, and never taken for absent.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A file or folder that this user may not look at.
///
/// Run the command as the user that the node runs as.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("permission denied: {path}{owner}", path = path.display(), owner = owner_words(*owner))]
pub struct Denied {
    /// What was to be read.
    pub path: PathBuf,
    /// The user id to whom it, or the folder that hides it, belongs; none: not known, or ours.
    pub owner: Option<u32>,
}

fn owner_words(owner: Option<u32>) -> String {
    owner.map_or_else(String::new, |uid| format!(" (belongs to user {uid})"))
}

/// Says of a file or folder that this user may not read it, if that is so. What is absent, or fails in another way, is
/// left to whoever reads it.
///
/// # Errors
///
/// When the file system denies it.
pub fn check(path: &Path) -> Result<(), Denied> {
    match File::open(path) {
        Err(err) if err.kind() == io::ErrorKind::PermissionDenied => {
            let ours = rustix::process::geteuid().as_raw();
            let seen = path.ancestors().find_map(|path| fs::metadata(path).ok());
            let owner = seen.map(|found| found.uid()).filter(|uid| *uid != ours);
            Err(Denied { path: path.to_owned(), owner })
        }
        _ => Ok(()),
    }
}
