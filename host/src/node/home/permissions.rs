//! Who may open a node's home and its keys: its owner alone, or the node does not start.
//!
//! Whoever copies a validator's key can sign with it a second time for one height. The ABCI socket, the signing state and the
//! sequence have no protection of their own against other users of the machine: the home's mode is it.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::{HomeError, NodeHome};
use crate::node::engine::config::EngineConfig;
use crate::node::shell;

/// The widest mode of a home.
pub const HOME_MODE_MAX: u32 = 0o700;
/// The widest mode of a file with a private key.
pub const KEY_MODE_MAX: u32 = 0o600;

/// The bits of a mode that let others than the owner in.
const OTHERS: u32 = 0o077;

/// A file or folder that others than its owner may open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TooOpen {
    /// The file or folder.
    pub path: PathBuf,
    /// Its permission bits.
    pub mode: u32,
    /// The widest that are allowed.
    pub mode_max: u32,
}

impl std::fmt::Display for TooOpen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} has mode {:04o} (at most {:04o})", self.path.display(), self.mode, self.mode_max)
    }
}

/// The home and the files with private keys in it; some may be absent.
fn private_paths(home: &NodeHome) -> Vec<(PathBuf, u32)> {
    let config = EngineConfig::of(home);
    let key = |setting, default| {
        let file = config.text(&[setting]).unwrap_or(default);
        (home.root().join(file), KEY_MODE_MAX)
    };
    vec![
        (home.root().to_owned(), HOME_MODE_MAX),
        key("priv_validator_key_file", "config/priv_validator_key.json"),
        key("node_key_file", "config/node_key.json"),
        (home.root().join("config/checkpoint_key.json"), KEY_MODE_MAX),
    ]
}

/// What others than its owner may open, of the home and its keys. A key that is not there is not looked at.
///
/// # Errors
///
/// When the file system does not say.
pub fn too_open(home: &NodeHome) -> Result<Vec<TooOpen>, HomeError> {
    let mut found = Vec::new();
    for (path, mode_max) in private_paths(home) {
        match mode_of(&path) {
            Ok(mode) if mode & OTHERS != 0 => found.push(TooOpen { path, mode, mode_max }),
            Ok(_) => {}
            Err(err) if err.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(HomeError::Io { path, source }),
        }
    }
    Ok(found)
}

fn mode_of(path: &Path) -> io::Result<u32> {
    Ok(fs::metadata(path)?.permissions().mode() & 0o777)
}

/// The command that closes them, for a shell.
#[must_use]
pub fn command(found: &[TooOpen]) -> String {
    let chmod = |mode_max| {
        let paths: Vec<String> =
            found.iter().filter(|one| one.mode_max == mode_max).map(|one| shell::word(&one.path)).collect();
        (!paths.is_empty()).then(|| format!("chmod {mode_max:o} {}", paths.join(" ")))
    };
    let commands: Vec<String> = [HOME_MODE_MAX, KEY_MODE_MAX].into_iter().filter_map(chmod).collect();
    commands.join(" && ")
}

/// Refuses a home that others than its owner may open, or keys.
///
/// # Errors
///
/// When there is one, or the file system does not say.
pub fn check(home: &NodeHome) -> Result<(), HomeError> {
    let found = too_open(home)?;
    if found.is_empty() { Ok(()) } else { Err(HomeError::TooOpen { found }) }
}

/// Closes a folder that is to become a home.
///
/// # Errors
///
/// When it belongs to another user, or the file system refuses.
pub fn close(root: &Path) -> io::Result<()> {
    if mode_of(root)? & OTHERS == 0 {
        return Ok(());
    }
    fs::set_permissions(root, fs::Permissions::from_mode(HOME_MODE_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::home::new_home::NewHome;

    fn home_with(config: &str, keys: &[(&str, u32)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(HOME_MODE_MAX)).unwrap();
        fs::create_dir(dir.path().join("config")).unwrap();
        fs::write(dir.path().join("config/config.toml"), config).unwrap();
        for (name, mode) in keys {
            fs::write(dir.path().join(name), "{}").unwrap();
            fs::set_permissions(dir.path().join(name), fs::Permissions::from_mode(*mode)).unwrap();
        }
        dir
    }

    #[test]
    fn a_home_and_keys_for_the_owner_alone_are_fine_and_so_are_keys_that_are_elsewhere() {
        let keys = [("config/node_key.json", 0o600), ("config/priv_validator_key.json", 0o400)];
        let dir = home_with("", &keys);
        check(&NodeHome::new(dir.path())).unwrap();
        let without_keys = home_with("", &[]);
        check(&NodeHome::new(without_keys.path())).unwrap();
    }

    #[test]
    fn what_others_may_open_is_named_with_the_command_that_closes_it() {
        let dir = home_with(
            "node_key_file = \"my key\"\n",
            &[
                ("my key", 0o640),
                ("config/priv_validator_key.json", 0o604),
                ("config/checkpoint_key.json", 0o620),
            ],
        );
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o2750)).unwrap();
        let found = too_open(&NodeHome::new(dir.path())).unwrap();
        let root = dir.path().display();
        let said: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(
            said,
            [
                format!("{root} has mode 0750 (at most 0700)"),
                format!("{root}/config/priv_validator_key.json has mode 0604 (at most 0600)"),
                format!("{root}/my key has mode 0640 (at most 0600)"),
                format!("{root}/config/checkpoint_key.json has mode 0620 (at most 0600)"),
            ]
        );
        let ran = std::process::Command::new("sh").args(["-c", &command(&found)]).status().unwrap();
        assert!(ran.success());
        check(&NodeHome::new(dir.path())).unwrap();
    }
    #[test]
    fn a_folder_that_was_open_is_closed_when_it_becomes_a_home() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("there");
        fs::create_dir(&root).unwrap();
        fs::set_permissions(&root, fs::Permissions::from_mode(0o755)).unwrap();
        let place = NewHome::prepare(&root).unwrap();
        fs::create_dir(place.partial().join("config")).unwrap();
        assert_eq!(mode_of(&root).unwrap(), 0o755, "not before it is one");
        place.put_in_place().unwrap();
        check(&NodeHome::new(&root)).unwrap();
        assert!(root.join("config").is_dir());
    }
}
