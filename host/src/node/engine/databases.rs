//! CometBFT's databases whose making was cut short.
//!
//! When CometBFT is killed while it makes a database, it never opens that one again: it finds files but no entry point,
//! and takes it for damaged. Yet such a database holds nothing, so it can be made anew.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::node::home::NodeHome;

/// Removes the databases of a home that were never finished, and returns where they were.
///
/// To be called while CometBFT does not run.
///
/// # Errors
///
/// When the file system refuses.
pub fn remove_unfinished(home: &NodeHome) -> io::Result<Vec<PathBuf>> {
    let mut removed = Vec::new();
    let entries = match fs::read_dir(home.data_dir()) {
        Ok(entries) => entries,
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(removed),
        Err(err) => return Err(err),
    };
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "db")
            && path.is_dir()
            && is_unfinished(&path)?
        {
            fs::remove_dir_all(&path)?;
            removed.push(path);
        }
    }
    Ok(removed)
}

/// Whether a database (goleveldb) has the beginnings of one, but neither its entry point, `CURRENT`, nor any file
/// that could hold data: tables and journals are made only after it.
fn is_unfinished(dir: &Path) -> io::Result<bool> {
    let mut begun = false;
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let pending = name.strip_prefix("CURRENT.").is_some_and(|number| number.parse::<u64>().is_ok());
        match name.as_str() {
            "LOCK" | "LOG" | "LOG.old" => {}
            _ if pending || name.starts_with("MANIFEST-") => begun = true,
            _ => return Ok(false),
        }
    }
    Ok(begun)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_database_without_entry_point_and_data_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let home = NodeHome::new(dir.path());
        assert!(remove_unfinished(&home).unwrap().is_empty());
        let make = |name: &str, files: &[&str]| {
            let path = home.data_dir().join(name);
            fs::create_dir_all(&path).unwrap();
            for file in files {
                fs::write(path.join(file), "x").unwrap();
            }
            path
        };
        let unfinished = [
            make("state.db", &["LOCK", "LOG", "MANIFEST-000000"]),
            make("blockstore.db", &["LOCK", "LOG", "LOG.old", "MANIFEST-000000", "CURRENT.0"]),
        ];
        let kept = [
            make("whole.db", &["CURRENT", "LOCK", "LOG", "MANIFEST-000000", "000001.log"]),
            make("backup.db", &["CURRENT.bak", "LOCK", "MANIFEST-000000"]),
            make("journal.db", &["LOCK", "MANIFEST-000000", "000001.log"]),
            make("table.db", &["LOCK", "MANIFEST-000000", "000002.ldb"]),
            make("new.db", &["LOCK", "LOG"]),
            make("cs.wal", &["MANIFEST-000000"]),
        ];
        let mut removed = remove_unfinished(&home).unwrap();
        removed.sort();
        assert_eq!(removed, [unfinished[1].clone(), unfinished[0].clone()]);
        assert!(kept.iter().all(|path| path.exists()));
        assert!(remove_unfinished(&home).unwrap().is_empty());
    }
}
