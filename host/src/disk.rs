//! Asks for the free space of a disk.

use std::io;
use std::path::Path;

/// What this user may still write to the file system that a path is on, in bytes.
///
/// # Errors
///
/// When the file system cannot be asked.
pub fn free_bytes(path: &Path) -> io::Result<u64> {
    let found = rustix::fs::statvfs(path)?;
    Ok(found.f_bavail.saturating_mul(found.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_cannot_be_asked() {
        free_bytes(Path::new("/")).unwrap();
        assert_eq!(free_bytes(Path::new("/nowhere")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
