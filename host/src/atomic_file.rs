//! Files that are replaced whole.
//!
//! # Durability
//!
//! Readers see the old file or the new one, also after a power cut.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// Replaces a file, or makes it: whole, or not at all.
///
/// # Errors
///
/// When the file system refuses. The file is as it was then, unless only the last step failed: to make it durable.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_owned();
    name.push(".partial");
    let partial = path.with_file_name(name);
    let written = File::create(&partial)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&partial, path));
    if let Err(err) = written {
        // What cannot be written can hardly be removed, and its name says what it is.
        let _ = fs::remove_file(&partial);
        return Err(err);
    }
    sync_folder_of(path)
}

/// Makes what was made, renamed or removed in the folder of `path` survive a power cut.
///
/// # Errors
///
/// When the file system refuses.
pub fn sync_folder_of(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => File::open(dir)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}

#[cfg(test)]
mod tests {
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
    fn what_cannot_be_replaced_stays_and_no_partial_file_does() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("folder");
        fs::create_dir(&path).unwrap();
        replace(&path, b"new").unwrap_err();
        assert!(path.is_dir());
        assert_eq!(names(dir.path()), ["folder"]);
    }
}
