//! Backup, move and restore of a home's keys.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::archive::{Archive, ArchiveError, Kind, RECORD};
use crate::atomic_file;
use crate::node::engine::key_files::{CHECKPOINT_KEY, NODE_KEY, VALIDATOR_KEY};
use crate::node::home::machine::{self, MachineError, MachineId};
use crate::node::home::new_home::{NewHome, NewHomeError};
use crate::node::home::{HomeError, NodeHome};
use crate::node::preflight::{self, Hold, PreflightError};
use crate::node::process::running::{RunLock, Running};
use crate::utc;

/// What is for its owner alone.
const PRIVATE: [&str; 4] = [VALIDATOR_KEY, NODE_KEY, CHECKPOINT_KEY, RECORD];

/// Keys that cannot be carried.
#[derive(Debug, thiserror::Error)]
pub enum CarryError {
    /// The home runs, and signs.
    #[error("{home} runs (pid {pid}), and signs meanwhile; stop it first", home = home.display())]
    Runs {
        /// The home.
        home: PathBuf,
        /// Its supervisor.
        pid: u32,
    },
    /// Another command has the home.
    #[error("another process has {home}; stop it first", home = home.display())]
    Locked {
        /// The home.
        home: PathBuf,
    },
    /// The home must not be carried as it is.
    #[error("{0}")]
    Preflight(#[from] PreflightError),
    /// The archive.
    #[error("{0}")]
    Archive(#[from] ArchiveError),
    /// The place for the home.
    #[error("{0}")]
    Place(#[from] NewHomeError),
    /// The home.
    #[error("{0}")]
    Home(#[from] HomeError),
    /// The mark of this machine.
    #[error("{0}")]
    Machine(#[from] MachineError),
    /// The archive is not the one that was made when the keys were moved away.
    ///
    /// Give the file that `dseq keys move` wrote when it took the keys from this home.
    #[error("{archive} is not what was moved away from {home}: {why}", archive = archive.display(), home = home.display())]
    OtherArchive {
        /// The archive.
        archive: PathBuf,
        /// The home.
        home: PathBuf,
        /// What differs.
        why: &'static str,
    },
    /// The file system refused.
    ///
    /// Fix the cause that follows the message, usually a missing file, permissions or a full disk, and run the command again.
    #[error("cannot use {path}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl CarryError {
    fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }
}

/// What was written or restored.
#[derive(Debug)]
pub struct Carried {
    /// The archive.
    pub kind: Kind,
    /// The network's name.
    pub chain_id: String,
    /// The files in it.
    pub files: Vec<String>,
}

impl Carried {
    fn of(archive: &Archive) -> Self {
        let files = archive.names().map(str::to_owned).collect();
        Self { kind: archive.kind, chain_id: archive.chain_id.clone(), files }
    }
}

/// Writes a home's keys, and what else makes the home again, into a new file. The home may run meanwhile.
///
/// # Errors
///
/// When the keys were moved away, are not whole, or the file is there already.
pub fn backup(home: &NodeHome, to: &Path) -> Result<Carried, CarryError> {
    preflight::check_moved(home)?;
    let archive = Archive::of(home, Kind::Backup, utc::text(SystemTime::now()))?;
    archive.write(to)?;
    Ok(Carried::of(&archive))
}

/// Keeps a home from being started, or refuses one that runs.
///
/// # Errors
///
/// When it runs, or its lock cannot be taken.
pub fn lock(home: &NodeHome) -> Result<RunLock, CarryError> {
    home.make_run_dir()?;
    let lock = RunLock::take(home).map_err(CarryError::io(&home.run_dir()))?;
    if let Some(running) = Running::read(home).filter(Running::is_alive) {
        return Err(CarryError::Runs { home: home.root().to_owned(), pid: running.supervisor.pid });
    }
    lock.ok_or_else(|| CarryError::Locked { home: home.root().to_owned() })
}

/// Writes a home's keys and the record of what they signed into a new file, and removes the keys from the home, which does
/// not start any more.
///
/// A crash leaves the home held, and the keys in it until the archive is whole: then it can be called again.
///
/// # Errors
///
/// When the home runs, must not start itself, or the archive cannot be written. The home is as it was then.
pub fn move_away(home: &NodeHome, to: &Path, here: Option<&MachineId>) -> Result<Carried, CarryError> {
    let _lock = lock(home)?;
    let is_begun = home.root().join(VALIDATOR_KEY).exists()
        && Hold::MovedAway.read(home).map_err(CarryError::io(&Hold::MovedAway.file(home)))?.is_some();
    if is_begun {
        Hold::MovedAway.lift(home).map_err(CarryError::io(&Hold::MovedAway.file(home)))?;
    }
    preflight::check_keys(home, here)?;
    preflight::check_data(home)?;
    let now = utc::text(SystemTime::now());
    let archive = Archive::of(home, Kind::Move, now.clone())?;
    let note = Hold::MovedAway.file(home);
    Hold::MovedAway.set(home, now).map_err(CarryError::io(&note))?;
    let written = archive.write(to).and_then(|()| Archive::read(to));
    match written {
        Ok(written) if written == archive => {}
        failed => {
            // Nothing was removed yet, so the home may go on.
            Hold::MovedAway.lift(home).map_err(CarryError::io(&note))?;
            failed?;
            let why = io::Error::other("it does not hold what was written to it");
            return Err(CarryError::Io { path: to.to_owned(), source: why });
        }
    }
    for name in [VALIDATOR_KEY, NODE_KEY, CHECKPOINT_KEY] {
        let path = home.root().join(name);
        match fs::remove_file(&path) {
            Err(err) if err.kind() != io::ErrorKind::NotFound => return Err(CarryError::io(&path)(err)),
            _ => {}
        }
    }
    atomic_file::sync_folder_of(&note).map_err(CarryError::io(&note))?;
    Ok(Carried::of(&archive))
}

/// Makes a home of an archive: a new one, or the one that its keys were moved away from.
///
/// # Errors
///
/// When the archive is none, the place is taken, or a file cannot be written.
pub fn restore(from: &Path, root: &Path, here: Option<&MachineId>) -> Result<Carried, CarryError> {
    let archive = Archive::read(from)?;
    match NodeHome::open(root) {
        Ok(home) if preflight::check_moved(&home).is_err() => take_back(&archive, from, &home, here)?,
        _ => make(&archive, root, here)?,
    }
    Ok(Carried::of(&archive))
}

fn make(archive: &Archive, root: &Path, here: Option<&MachineId>) -> Result<(), CarryError> {
    let place = NewHome::prepare(root)?;
    let home = NodeHome::new(place.partial());
    for folder in ["config", "data", "plugins"] {
        let path = home.root().join(folder);
        fs::create_dir(&path).map_err(CarryError::io(&path))?;
    }
    for name in archive.names() {
        write(&home, name, &archive.file(name).unwrap_or_default())?;
    }
    if archive.kind == Kind::Backup {
        let why = format!("it was restored from a backup of {}", archive.made);
        Hold::Recovering.set(&home, why).map_err(CarryError::io(&Hold::Recovering.file(&home)))?;
    }
    let root = place.root().to_owned();
    place.put_in_place()?;
    Ok(machine::mark(&NodeHome::new(&root), here)?)
}

fn write(home: &NodeHome, name: &str, bytes: &[u8]) -> Result<(), CarryError> {
    let path = home.root().join(name);
    if PRIVATE.contains(&name) {
        return atomic_file::create_private(&path, bytes).map_err(|err| CarryError::io(&path)(err.into()));
    }
    fs::write(&path, bytes).map_err(CarryError::io(&path))
}

/// Puts the keys back into the home that they were moved away from, if nothing was signed since.
fn take_back(
    archive: &Archive,
    from: &Path,
    home: &NodeHome,
    here: Option<&MachineId>,
) -> Result<(), CarryError> {
    let _lock = lock(home)?;
    let other =
        |why| CarryError::OtherArchive { archive: from.to_owned(), home: home.root().to_owned(), why };
    if archive.kind != Kind::Move {
        return Err(other("it is a backup"));
    }
    let same = |name: &str| fs::read(home.root().join(name)).ok() == archive.file(name);
    if !same("config/genesis.json") || !same(RECORD) {
        return Err(other("the genesis, or the record of what was signed, differs"));
    }
    for name in [VALIDATOR_KEY, NODE_KEY, CHECKPOINT_KEY] {
        match archive.file(name) {
            Some(bytes) if !same(name) => write(home, name, &bytes)?,
            _ => {}
        }
    }
    machine::mark(home, here)?;
    let note = Hold::MovedAway.file(home);
    Hold::MovedAway.lift(home).map_err(CarryError::io(&note))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::node::engine::data::EngineData;
    use crate::node::engine::key_files::{self, tests::write_keys};

    fn home(dir: &Path) -> NodeHome {
        let home = NodeHome::new(dir);
        write_keys(&home, 1);
        fs::write(home.genesis_file(), "{}").unwrap();
        fs::write(home.cometbft_config(), "").unwrap();
        fs::create_dir(dir.join("plugins")).unwrap();
        fs::write(dir.join("plugins/a.wasm"), "wasm").unwrap();
        EngineData::of(&home).sign_only_above(7).unwrap();
        home
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_backup_makes_a_home_that_must_catch_up_first() {
        let dir = tempfile::tempdir().unwrap();
        let home = home(&dir.path().join("old"));
        let (file, new) = (dir.path().join("keys.json"), dir.path().join("new"));
        let carried = backup(&home, &file).unwrap();
        assert!(carried.files.iter().any(|name| name == "plugins/a.wasm") && mode(&file) == 0o600);
        assert!(!carried.files.iter().any(|name| name.contains("state")), "{:?}", carried.files);
        assert!(backup(&home, &file).is_err(), "no archive is written over");
        restore(&file, &new, None).unwrap();
        let made = NodeHome::open(&new).unwrap();
        assert_eq!(key_files::validator(&made).unwrap(), key_files::validator(&home).unwrap());
        assert_eq!([&new.join(VALIDATOR_KEY), &new.join(NODE_KEY)].map(|path| mode(path)), [0o600; 2]);
        assert!(matches!(preflight::check_keys(&made, None), Err(PreflightError::Recovering { .. })));
        assert!(restore(&file, &new, None).is_err(), "no home is written over");
        preflight::check_keys(&home, None).unwrap();
    }

    #[test]
    fn moved_keys_are_in_one_place_and_can_be_taken_back() {
        let dir = tempfile::tempdir().unwrap();
        let home = home(&dir.path().join("old"));
        let (file, new) = (dir.path().join("keys.json"), dir.path().join("new"));
        move_away(&home, &file, None).unwrap();
        assert!(!home.root().join(VALIDATOR_KEY).exists() && !home.root().join(NODE_KEY).exists());
        assert!(matches!(preflight::check_keys(&home, None), Err(PreflightError::MovedAway { .. })));
        let second = dir.path().join("second.json");
        assert!(move_away(&home, &second, None).is_err() && !second.exists());
        assert!(backup(&home, &second).is_err());

        restore(&file, &new, None).unwrap();
        let made = NodeHome::open(&new).unwrap();
        preflight::check_keys(&made, None).unwrap();
        preflight::check_data(&made).unwrap();
        assert_eq!(EngineData::of(&made).signed_height().unwrap(), 7);

        restore(&file, home.root(), None).unwrap();
        preflight::check_keys(&home, None).unwrap();
        preflight::check_data(&home).unwrap();
    }

    #[test]
    fn a_move_that_was_cut_short_can_be_made_again() {
        let dir = tempfile::tempdir().unwrap();
        let home = home(&dir.path().join("old"));
        Hold::MovedAway.set(&home, "then".to_owned()).unwrap();
        let taken = dir.path().join("taken");
        fs::write(&taken, "").unwrap();
        assert!(move_away(&home, &taken, None).is_err());
        preflight::check_keys(&home, None).unwrap();
        move_away(&home, &dir.path().join("keys.json"), None).unwrap();
    }

    #[test]
    fn keys_are_taken_back_only_from_what_was_moved_away() {
        let dir = tempfile::tempdir().unwrap();
        let home = home(&dir.path().join("old"));
        let (kept, moved) = (dir.path().join("kept.json"), dir.path().join("moved.json"));
        backup(&home, &kept).unwrap();
        move_away(&home, &moved, None).unwrap();
        let refused = restore(&kept, home.root(), None).unwrap_err().to_string();
        assert!(refused.contains("it is a backup"), "{refused}");
        EngineData::of(&home).sign_only_above(8).unwrap();
        let refused = restore(&moved, home.root(), None).unwrap_err().to_string();
        assert!(refused.contains("what was signed, differs"), "{refused}");
    }

    #[test]
    fn a_home_that_runs_is_not_moved() {
        let dir = tempfile::tempdir().unwrap();
        let home = home(&dir.path().join("old"));
        home.make_run_dir().unwrap();
        let _lock = RunLock::take(&home).unwrap().unwrap();
        let file = dir.path().join("keys.json");
        assert!(matches!(move_away(&home, &file, None), Err(CarryError::Locked { .. })));
        assert!(!file.exists());
        backup(&home, &file).unwrap();
    }
}
