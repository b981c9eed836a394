//! The place of a new home: looked at before anything is made, filled aside, and put in place whole or not at all.
//!
//! A folder that is not there is made aside, next to its place, and renamed. One that is there and empty stays the folder
//! that it is: it may be a mount point, or somebody's working directory. It is filled from a folder within it.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use crate::node::home::{self, HomeError, permissions};
use crate::node::process::ProcessId;

/// What a new file system has in its root, and what is no reason to call that occupied.
const LOST_AND_FOUND: &str = "lost+found";
/// What a home has once it is one; put in place last.
const CONFIG: &str = "config";
/// How the folder is called that a home is made in; the pid of its maker follows.
const PARTIAL: &str = ".dseq-init-";
/// How many of the names in a folder that is not empty are shown.
const NAMES_SHOWN_MAX: usize = 3;
/// Maximum length of a moniker that is taken from a folder's name, in bytes: peers keep it, and it stands in tables.
const MONIKER_BYTES_MAX: usize = 70;

/// A place that a home cannot have.
#[derive(Debug, thiserror::Error)]
pub enum NewHomeError {
    /// The path is none for a home.
    #[error("{0}")]
    Path(#[from] HomeError),
    /// There is something else.
    #[error("{path} is there already and is no folder; nothing was changed. Choose another folder", path = path.display())]
    NotAFolder {
        /// The path.
        path: PathBuf,
    },
    /// There is something in it.
    #[error("{path} is there already, with {names} in it; nothing was changed. Choose another folder, or move it away", path = path.display())]
    NotEmpty {
        /// The folder.
        path: PathBuf,
        /// Some of what is in it.
        names: String,
    },
    /// The path has no last part that could be made.
    #[error("{path} names no folder that could be made; choose another folder", path = path.display())]
    NoName {
        /// The path.
        path: PathBuf,
    },
    /// The file system refused.
    ///
    /// Fix the cause that follows the message, usually a missing file, permissions or a full disk, and run the command again.
    #[error("cannot {what} {path}; nothing was changed", path = path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// The folder.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

fn io_error(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> NewHomeError {
    let path = path.to_owned();
    move |source| NewHomeError::Io { what, path, source }
}

/// A place for a home, with a folder to make it in; what was made is removed on drop, unless it was put in place.
#[derive(Debug)]
pub struct NewHome {
    root: PathBuf,
    partial: PathBuf,
    /// Whether the home's folder is there and stays.
    in_place: bool,
    /// The topmost folder above the home that was made for it.
    made: Option<PathBuf>,
}

impl NewHome {
    /// Finds out whether a home can be made at a path, and makes the folder to make it in.
    ///
    /// # Errors
    ///
    /// When it cannot; nothing was made then.
    pub fn prepare(root: &Path) -> Result<Self, NewHomeError> {
        let root = std::path::absolute(root).map_err(io_error("find", root))?;
        // The name of `.` and of what a link leads to is found this way.
        let root = root.canonicalize().unwrap_or(root);
        home::check_path(&root)?;
        let in_place = is_empty_folder(&root)?;
        if in_place {
            remove_left_over(&root)?;
        }
        let Some(parent) = root.parent().filter(|_| root.file_name().is_some()) else {
            return Err(NewHomeError::NoName { path: root });
        };
        let above = if in_place { &root } else { parent };
        let partial = above.join(format!("{PARTIAL}{}", std::process::id()));
        let made = parent.ancestors().take_while(|above| !above.exists()).last().map(Path::to_owned);
        let mut place = Self { partial, in_place, made, root: root.clone() };
        if let Err(err) = place.make(parent) {
            // What is there then is not ours.
            place.partial = PathBuf::new();
            return Err(err);
        }
        Ok(place)
    }

    fn make(&self, parent: &Path) -> Result<(), NewHomeError> {
        fs::create_dir_all(parent).map_err(io_error("make", parent))?;
        // For the owner alone, as CometBFT makes it: its keys are within.
        DirBuilder::new().mode(0o700).create(&self.partial).map_err(io_error("make a folder for", &self.root))
    }

    /// The folder to make the home in.
    #[must_use]
    pub fn partial(&self) -> &Path {
        &self.partial
    }

    /// Where the home will be.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A name for the node among its peers: that of its folder, as far as a member may be called that.
    #[must_use]
    pub fn moniker(&self) -> String {
        moniker(&self.root.file_name().unwrap_or_default().to_string_lossy())
    }

    /// Puts what was made in its place.
    ///
    /// # Errors
    ///
    /// When the file system refuses; nothing is left then.
    pub fn put_in_place(self) -> Result<(), NewHomeError> {
        let io = || io_error("make", &self.root);
        if !self.in_place {
            return fs::rename(&self.partial, &self.root).map_err(io());
        }
        permissions::close(&self.root).map_err(io_error("close to other users", &self.root))?;
        let entries = fs::read_dir(&self.partial).map_err(io())?;
        let mut names =
            entries.map(|entry| Ok(entry?.file_name())).collect::<Result<Vec<_>, _>>().map_err(io())?;
        names.sort_by_key(|name| name == CONFIG);
        for (moved, name) in names.iter().enumerate() {
            if let Err(err) = fs::rename(self.partial.join(name), self.root.join(name)) {
                for name in names.iter().take(moved) {
                    // Back, to be removed with the rest; the reason why it was not made matters more than what stays.
                    let _ = fs::rename(self.root.join(name), self.partial.join(name));
                }
                return Err(io()(err));
            }
        }
        Ok(())
    }
}

impl Drop for NewHome {
    fn drop(&mut self) {
        // The reason why a home was not made matters more than what it leaves behind.
        if !self.partial.as_os_str().is_empty() {
            let _ = fs::remove_dir_all(&self.partial);
        }
        // Only empty folders go this way: not a home that was put in place.
        if let Some(made) = &self.made {
            for above in self.root.ancestors().skip(1).take_while(|above| above.starts_with(made)) {
                let _ = fs::remove_dir(above);
            }
        }
    }
}

/// Whether this is what an `init` that was killed has left: its process is gone, or its pid is ours now.
fn is_left_over(name: &OsStr) -> bool {
    let pid = name.to_str().and_then(|name| name.strip_prefix(PARTIAL)?.parse::<u32>().ok());
    pid.is_some_and(|pid| pid == std::process::id() || !ProcessId::of(pid).is_some_and(ProcessId::is_alive))
}

/// Removes what an `init` of this folder has left that was killed.
fn remove_left_over(root: &Path) -> Result<(), NewHomeError> {
    for entry in fs::read_dir(root).map_err(io_error("look into", root))? {
        let entry = entry.map_err(io_error("look into", root))?;
        if is_left_over(&entry.file_name()) {
            fs::remove_dir_all(entry.path()).map_err(io_error("remove", &entry.path()))?;
        }
    }
    Ok(())
}

/// Whether a home's folder is there, with nothing in it but what [`remove_left_over`] removes; no: it is not there.
fn is_empty_folder(root: &Path) -> Result<bool, NewHomeError> {
    match fs::symlink_metadata(root) {
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(err) => return Err(io_error("look at", root)(err)),
        Ok(found) if !found.is_dir() => return Err(NewHomeError::NotAFolder { path: root.to_owned() }),
        Ok(_) => {}
    }
    let mut names = Vec::new();
    for entry in fs::read_dir(root).map_err(io_error("look into", root))? {
        let name = entry.map_err(io_error("look into", root))?.file_name();
        if name != LOST_AND_FOUND && !is_left_over(&name) {
            names.push(format!("{name:?}"));
        }
    }
    if names.is_empty() {
        return Ok(true);
    }
    names.sort();
    let more = names.len().saturating_sub(NAMES_SHOWN_MAX);
    names.truncate(NAMES_SHOWN_MAX);
    let mut names = names.join(", ");
    if more > 0 {
        names.push_str(&format!(" and {more} more"));
    }
    Err(NewHomeError::NotEmpty { path: root.to_owned(), names })
}

/// A name that a member may have, made of a folder's.
fn moniker(name: &str) -> String {
    let takes = |one: char| {
        let taken = one.is_ascii_alphanumeric() || matches!(one, '-' | '.' | '_');
        if taken { one } else { '-' }
    };
    let taken: String = name.chars().map(takes).take(MONIKER_BYTES_MAX).collect();
    let taken = taken.trim_start_matches(['-', '.', '_']);
    if taken.is_empty() { "node".to_owned() } else { taken.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moniker_is_a_name_of_a_member_whatever_the_folder_is_called() {
        for (name, expected) in [
            ("node0", "node0"),
            ("nœud", "n-ud"),
            ("my\tnode 1", "my-node-1"),
            (" ", "node"),
            ("", "node"),
            ("日本", "node"),
            (".hidden\"", "hidden-"),
        ] {
            assert_eq!(moniker(name), expected, "{name}");
        }
        assert_eq!(moniker(&"x".repeat(255)).len(), MONIKER_BYTES_MAX);
    }

    #[test]
    fn what_is_not_put_in_place_leaves_nothing_and_what_is_keeps_its_folder() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("a/b/home");
        let place = NewHome::prepare(&deep).unwrap();
        fs::create_dir(place.partial().join(CONFIG)).unwrap();
        drop(place);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);

        let there = dir.path().join("there");
        fs::create_dir_all(there.join(LOST_AND_FOUND)).unwrap();
        drop(NewHome::prepare(&there).unwrap());
        assert_eq!(fs::read_dir(&there).unwrap().count(), 1);
        for root in [&deep, &there] {
            let place = NewHome::prepare(root).unwrap();
            fs::create_dir(place.partial().join(CONFIG)).unwrap();
            fs::write(place.partial().join("dseq.toml"), "").unwrap();
            place.put_in_place().unwrap();
            assert!(root.join(CONFIG).is_dir() && root.join("dseq.toml").is_file());
            let names = fs::read_dir(root).unwrap().map(|entry| entry.unwrap().file_name());
            assert!(names.into_iter().all(|name| !name.to_string_lossy().contains("init")));
            assert!(matches!(NewHome::prepare(root), Err(NewHomeError::NotEmpty { .. })));
        }
        assert_eq!(fs::read_dir(dir.path().join("a/b")).unwrap().count(), 1);
    }

    #[test]
    fn what_a_killed_init_left_is_removed_and_what_another_one_makes_stays() {
        let dir = tempfile::tempdir().unwrap();
        // No pid is as high as that.
        let left = [u32::MAX, std::process::id()].map(|pid| dir.path().join(format!("{PARTIAL}{pid}")));
        for folder in &left {
            fs::create_dir_all(folder.join(CONFIG)).unwrap();
        }
        let place = NewHome::prepare(dir.path()).unwrap();
        assert!(!left[0].exists() && fs::read_dir(place.partial()).unwrap().next().is_none());
        drop(place);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);

        for name in [format!("{PARTIAL}{}", std::os::unix::process::parent_id()), format!("{PARTIAL}x")] {
            fs::create_dir(dir.path().join(&name)).unwrap();
            let refused = NewHome::prepare(dir.path()).unwrap_err().to_string();
            assert!(refused.contains(&name), "{refused}");
            fs::remove_dir(dir.path().join(&name)).unwrap();
        }
    }

    #[test]
    fn a_failure_to_put_it_in_place_leaves_what_was_there() {
        let dir = tempfile::tempdir().unwrap();
        let place = NewHome::prepare(dir.path()).unwrap();
        for name in ["a", "b", CONFIG] {
            fs::create_dir(place.partial().join(name)).unwrap();
        }
        // Somebody else was faster.
        fs::create_dir_all(dir.path().join("config/x")).unwrap();
        assert!(place.put_in_place().is_err());
        let names: Vec<_> =
            fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, [CONFIG]);
    }
}
