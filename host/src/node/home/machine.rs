//! The machine on which a home was last started, so that a copy of the home on another one is noticed before it signs.
//!
//! # Format
//!
//! `config/machine.json`: `{"dseq_machine":1,"machine":"<32 hex digits>","path":"/var/lib/dseq"}`. `machine` is the beginning of
//! SHA-256 over a tag and `/etc/machine-id`, which is not to be published itself; it is absent where there is none to trust.
//!
//! # Limits
//!
//! - In a container `/etc/machine-id` is absent, or belongs to the image, or is made anew by each run. So it counts there only
//!   if it is mounted into the container.
//! - A machine that was cloned as a whole has the id of the original.
//! - Folders are not compared by device and inode across machines or boots: a restored backup and a moved disk have others.
//!   On one machine, a home whose recorded path still holds another folder with the same validator key is a copy.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::NodeHome;
use crate::atomic_file;
use crate::node::engine::key_files;
use crate::node::shell;

/// Where Linux keeps what tells one installation from another.
const ID_FILE: &str = "/etc/machine-id";
const TAG: &[u8] = b"dseq/machine/v1";
/// The files by which Docker and Podman mark a container.
const CONTAINER_MARKS: [&str; 2] = ["/.dockerenv", "/run/.containerenv"];

/// What tells this machine from others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MachineId(String);

/// A home that may be a copy of one that runs elsewhere.
#[derive(Debug, thiserror::Error)]
pub enum MachineError {
    /// It was last started on another machine.
    #[error(
        "{home} was last started on another machine, and a validator that runs twice signs twice. If it was moved here and \
         will never start there again: dseq keys adopt --home {quoted}. If it is a copy, an older backup, or you do not know \
         what the other one has signed since: stop the other one, then dseq recover --home {quoted}",
        home = home.display(), quoted = shell::word(home)
    )]
    OtherMachine {
        /// The home.
        home: PathBuf,
    },
    /// It was last started on a machine with an id, and this one has none.
    #[error(
        "{home} was last started on a machine with an id, and this one has none to trust ({ID_FILE} is missing, or belongs to \
         a container's image), so it may be a copy, and a validator that runs twice signs twice. In a container, mount the \
         host's: -v {ID_FILE}:{ID_FILE}:ro. If the home will never start anywhere else again: dseq keys adopt --home {quoted}",
        home = home.display(), quoted = shell::word(home)
    )]
    NoId {
        /// The home.
        home: PathBuf,
    },
    /// The folder that it was copied from is still there.
    #[error(
        "{home} is a copy of {original}, which is still there with the same validator key, and a validator that runs twice \
         signs twice. Start {original}, or remove it and then dseq recover --home {quoted}. For a node of its own, make another \
         home with `dseq init`",
        home = home.display(), original = original.display(), quoted = shell::word(home)
    )]
    Copy {
        /// The home.
        home: PathBuf,
        /// Where it was last started.
        original: PathBuf,
    },
    /// The mark cannot be understood.
    #[error("{path} is damaged: {why}. If this home never starts elsewhere: dseq keys adopt --home {quoted}. If it may: stop that one, then dseq recover --home {quoted}", path = path.display(), quoted = shell::word(home))]
    Damaged {
        /// The home.
        home: PathBuf,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
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

impl MachineError {
    /// Whether trying again cannot help.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        !matches!(self, Self::Io { .. })
    }
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Mark {
    dseq_machine: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    machine: Option<String>,
    path: PathBuf,
}

impl MachineId {
    /// This machine's; none: there is none to trust.
    #[must_use]
    pub fn here() -> Option<Self> {
        if is_container() && !is_mounted(ID_FILE) {
            return None;
        }
        Self::read(Path::new(ID_FILE))
    }

    fn read(path: &Path) -> Option<Self> {
        let text = fs::read_to_string(path).ok()?;
        let id = text.trim();
        let is_id =
            id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()) && id.bytes().any(|b| b != b'0');
        is_id.then(|| {
            let digest = Sha256::new().chain_update(TAG).chain_update(id.to_ascii_lowercase()).finalize();
            Self(data_encoding::HEXLOWER.encode(&digest[..16]))
        })
    }
}

/// Whether files of this root belong to an image, not to a machine.
fn is_container() -> bool {
    CONTAINER_MARKS.iter().any(|mark| Path::new(mark).exists())
        || mounts().any(|(at, kind)| at == "/" && kind == "overlay")
}

fn is_mounted(path: &str) -> bool {
    // What lies in memory there is made at boot, before the real one can be written.
    mounts().any(|(at, kind)| at == path && kind != "tmpfs")
}

/// Mount point and kind of each file system that this process sees.
fn mounts() -> impl Iterator<Item = (String, String)> {
    let text = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let mount = |line: &str| {
        let (about, kind) = line.split_once(" - ")?;
        Some((about.split(' ').nth(4)?.to_owned(), kind.split(' ').next()?.to_owned()))
    };
    text.lines().filter_map(mount).collect::<Vec<_>>().into_iter()
}

fn file(home: &NodeHome) -> PathBuf {
    home.root().join("config/machine.json")
}

/// Refuses a home that was last started on another machine, or is a copy of a folder that is still there. Changes nothing.
///
/// # Errors
///
/// See [`MachineError`].
pub fn check(home: &NodeHome, here: Option<&MachineId>) -> Result<(), MachineError> {
    let Some(mark) = read(home)? else { return Ok(()) };
    let root = || home.root().to_owned();
    match (&mark.machine, here) {
        (Some(marked), Some(here)) if *marked != here.0 => {
            return Err(MachineError::OtherMachine { home: root() });
        }
        (Some(_), None) => return Err(MachineError::NoId { home: root() }),
        _ => {}
    }
    if is_copy_of(home, &mark.path) {
        return Err(MachineError::Copy { home: root(), original: mark.path });
    }
    Ok(())
}

/// Marks a home as being of this machine, whatever its mark says.
///
/// # Errors
///
/// When the file system refuses.
pub fn mark(home: &NodeHome, here: Option<&MachineId>) -> Result<(), MachineError> {
    let path = file(home);
    let io = |source| MachineError::Io { path: path.clone(), source };
    let mark = Mark { dseq_machine: 1, machine: here.map(|id| id.0.clone()), path: home.root().to_owned() };
    // Written only when it differs: a home on a disk that is mounted read-only for a look stays as it is.
    if read(home).is_ok_and(|found| found.as_ref() == Some(&mark)) {
        return Ok(());
    }
    let text = serde_json::to_vec(&mark).map_err(|err| io(err.into()))?;
    atomic_file::replace(&path, &text).map_err(|err| io(err.into()))
}

fn read(home: &NodeHome) -> Result<Option<Mark>, MachineError> {
    let path = file(home);
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(MachineError::Io { path, source }),
    };
    let damaged =
        |why: String| MachineError::Damaged { home: home.root().to_owned(), path: path.clone(), why };
    let mark: Mark = serde_json::from_slice(&text).map_err(|err| damaged(err.to_string()))?;
    match mark.dseq_machine {
        1 => Ok(Some(mark)),
        other => Err(damaged(format!("it has format {other}, and this program knows 1"))),
    }
}

/// Whether another folder at `path` holds the same validator key.
fn is_copy_of(home: &NodeHome, path: &Path) -> bool {
    let original = NodeHome::new(path);
    let is_other = match (home.id(), original.id()) {
        (Ok(ours), Ok(theirs)) => ours != theirs,
        _ => false,
    };
    let key = |home: &NodeHome| key_files::validator(home).ok().flatten();
    is_other && key(home).is_some_and(|ours| key(&original).as_ref() == Some(&ours))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::engine::key_files::tests::write_keys;

    fn id(digit: char) -> MachineId {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("id");
        fs::write(&path, format!("{}\n", digit.to_string().repeat(32))).unwrap();
        MachineId::read(&path).unwrap()
    }

    fn home(dir: &Path) -> NodeHome {
        fs::create_dir_all(dir.join("config")).unwrap();
        NodeHome::new(dir)
    }

    #[test]
    fn only_an_id_of_a_machine_counts() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("id");
        assert_eq!(MachineId::read(&path), None);
        for bad in ["", "uninitialized\n", &"0".repeat(32), &"g".repeat(32), &"a".repeat(31)] {
            fs::write(&path, bad).unwrap();
            assert_eq!(MachineId::read(&path), None, "{bad}");
        }
        assert!(!id('a').0.contains("aaaa"), "the id itself is not to be published");
    }

    #[test]
    fn another_machine_is_refused_until_the_home_is_marked_as_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let home = home(dir.path());
        let (one, two) = (id('1'), id('2'));
        check(&home, Some(&one)).unwrap();
        mark(&home, Some(&one)).unwrap();
        check(&home, Some(&one)).unwrap();
        let refused = check(&home, Some(&two)).unwrap_err();
        assert!(refused.is_refusal() && refused.to_string().contains("dseq keys adopt --home "), "{refused}");
        assert!(matches!(check(&home, None), Err(MachineError::NoId { .. })));
        mark(&home, Some(&two)).unwrap();
        check(&home, Some(&two)).unwrap();
    }

    #[test]
    fn a_home_without_an_id_takes_one_when_there_is_one() {
        let dir = tempfile::tempdir().unwrap();
        let home = home(dir.path());
        mark(&home, None).unwrap();
        check(&home, None).unwrap();
        check(&home, Some(&id('1'))).unwrap();
    }

    #[test]
    fn a_home_that_is_moved_goes_on_and_a_copy_beside_its_original_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let (first, second) = (home(&dir.path().join("first")), dir.path().join("second"));
        write_keys(&first, 7);
        let here = id('1');
        mark(&first, Some(&here)).unwrap();
        fs::rename(first.root(), &second).unwrap();
        check(&home(&second), Some(&here)).unwrap();
        let original = home(first.root());
        check(&home(&second), Some(&here)).unwrap();
        write_keys(&original, 8);
        check(&home(&second), Some(&here)).unwrap();
        write_keys(&original, 7);
        let refused = check(&home(&second), Some(&here)).unwrap_err().to_string();
        assert!(refused.contains("is a copy of ") && refused.contains("/first"), "{refused}");
        mark(&home(&second), Some(&here)).unwrap();
        check(&home(&second), Some(&here)).unwrap();
    }

    #[test]
    fn a_damaged_mark_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let home = home(dir.path());
        for bad in
            ["", "{}", "{\"dseq_machine\":2,\"path\":\"/\"}", "{\"dseq_machine\":1,\"path\":\"/\",\"x\":1}"]
        {
            fs::write(file(&home), bad).unwrap();
            assert!(matches!(check(&home, None), Err(MachineError::Damaged { .. })), "{bad}");
        }
    }
}
