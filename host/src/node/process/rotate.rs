//! Keeps the logs of a node within a bound, since they share the disk with its sequence.
//!
//! A log is copied aside and then emptied in place. It is not renamed: those who write to it have it open for appending
//! and go on in the same file, so they need not know, and cannot be held up by us or ended by our end. What they write
//! between the copy and the emptying, a few lines at most, is lost.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

/// A log is rotated when it has grown beyond this, in bytes.
pub const LOG_BYTES_MAX: u64 = 32 << 20;
/// How often the logs of a node are looked at.
const POLL: Duration = Duration::from_millis(500);
/// How many rotated files are kept of each log: `<log>.1` is the newest.
pub const LOG_FILES_OLD: usize = 3;

/// Both logs of a node, with a rotation under way, leave the better part of the space at which it stops accepting transactions.
const _: () = assert!(2 * LOG_BYTES_MAX * (LOG_FILES_OLD as u64 + 1) < crate::limits::DISK_FREE_BYTES_LOW);

/// Rotates a log that has grown beyond [`LOG_BYTES_MAX`]; returns whether it did.
///
/// When there is no space for the copy, what the log holds is dropped: a full disk must not get fuller by logs.
///
/// # Errors
///
/// When the log cannot be looked at or emptied.
pub fn rotate(log: &Path) -> io::Result<bool> {
    rotate_above(log, LOG_BYTES_MAX)
}

fn rotate_above(log: &Path, bytes_max: u64) -> io::Result<bool> {
    if crate::node::process::tail::length(log)? <= bytes_max {
        return Ok(false);
    }
    let newest = rotated(log, 1);
    if shift(log).and_then(|()| copy(log, &newest)).is_err() {
        // Half a copy is worth nothing, and the space is needed.
        let _ = fs::remove_file(&newest);
    }
    OpenOptions::new().write(true).open(log)?.set_len(0)?;
    Ok(true)
}

/// Keeps logs within their bound until it is dropped.
#[derive(Debug)]
pub struct Keeper {
    _stop: Sender<()>,
}

impl Keeper {
    /// Looks after these logs, in a thread of its own: a copy of 32 MiB takes its time.
    ///
    /// # Errors
    ///
    /// When no thread can be made.
    pub fn of(logs: impl IntoIterator<Item = PathBuf>) -> io::Result<Self> {
        let (stop, stopped) = mpsc::channel();
        let mut logs: Vec<Kept> = logs.into_iter().map(|log| Kept { log, failed: false }).collect();
        thread::Builder::new().name("rotation of logs".to_owned()).spawn(move || {
            while stopped.recv_timeout(POLL) == Err(RecvTimeoutError::Timeout) {
                for warning in logs.iter_mut().filter_map(Kept::look) {
                    tracing::warn!("{warning}");
                }
            }
        })?;
        Ok(Self { _stop: stop })
    }
}

/// One log of a [`Keeper`].
#[derive(Debug)]
struct Kept {
    log: PathBuf,
    /// Whether it could not be kept in its bound when last looked at.
    failed: bool,
}

impl Kept {
    /// Rotates the log if it is time. Warns the first time that fails only: the warning may go into that very log.
    fn look(&mut self) -> Option<String> {
        let failure = rotate(&self.log).err();
        let before = std::mem::replace(&mut self.failed, failure.is_some());
        let failure = failure.filter(|_| !before)?;
        Some(format!("cannot empty {}, which may grow without bound: {failure}", self.log.display()))
    }
}

/// Where the `age`th youngest rotated part of a log is, from 1.
#[must_use]
pub fn rotated(log: &Path, age: usize) -> PathBuf {
    let mut name = log.as_os_str().to_owned();
    name.push(format!(".{age}"));
    name.into()
}

/// Makes each rotated part one older, which drops the oldest.
fn shift(log: &Path) -> io::Result<()> {
    for age in (1..LOG_FILES_OLD).rev() {
        match fs::rename(rotated(log, age), rotated(log, age.saturating_add(1))) {
            Err(err) if err.kind() != io::ErrorKind::NotFound => return Err(err),
            _ => {}
        }
    }
    Ok(())
}

/// Copies all there is, and what is added meanwhile.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let (mut from, mut to) = (File::open(from)?, File::create(to)?);
    while io::copy(&mut from, &mut to)? > 0 {}
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::node::process::tail::Tail;

    #[test]
    fn a_log_keeps_within_its_bound_and_whoever_writes_or_follows_it_loses_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("cometbft.log");
        let mut writer = OpenOptions::new().append(true).create(true).open(&log).unwrap();
        let mut follower = Tail::from(&log, 0);
        let mut seen = Vec::new();
        let lines: Vec<String> = (0..1000).map(|number| format!("line {number}")).collect();
        for (number, line) in lines.iter().enumerate() {
            writer.write_all(format!("{line}\n").as_bytes()).unwrap();
            if number % 7 == 0 {
                seen.extend(follower.new_lines().unwrap());
            }
            rotate_above(&log, 100).unwrap();
        }
        seen.extend(follower.new_lines().unwrap());
        assert_eq!(seen, lines);
        let files: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|file| file.unwrap()).collect();
        assert_eq!(files.len(), 1 + LOG_FILES_OLD);
        assert!(files.iter().all(|file| file.metadata().unwrap().len() <= 110), "{files:?}");
    }

    #[test]
    fn a_log_that_cannot_be_emptied_is_warned_of_once_until_it_can_be_again() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("home");
        let mut kept = Kept { log: folder.join("cometbft.log"), failed: false };
        assert_eq!(kept.look(), None);
        for _ in 0..2 {
            // In the way of the log's folder.
            fs::write(&folder, "").unwrap();
            let warning = kept.look().unwrap();
            assert!(warning.contains("home/cometbft.log, which may grow without bound: "), "{warning}");
            assert_eq!([kept.look(), kept.look()], [None, None]);
            fs::remove_file(&folder).unwrap();
            assert_eq!(kept.look(), None);
        }
    }

    #[test]
    fn a_keeper_empties_what_has_grown_and_ends_when_it_is_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let logs = ["a.log", "b.log"].map(|name| dir.path().join(name));
        let grow = |log: &PathBuf| File::create(log).unwrap().set_len(LOG_BYTES_MAX + 1).unwrap();
        logs.iter().for_each(grow);
        let keeper = Keeper::of(logs.clone()).unwrap();
        while logs.iter().any(|log| fs::metadata(log).unwrap().len() > 0) {
            thread::sleep(Duration::from_millis(10));
        }
        drop(keeper);
        grow(&logs[0]);
        thread::sleep(POLL * 2);
        assert_eq!(fs::metadata(&logs[0]).unwrap().len(), LOG_BYTES_MAX + 1);
    }

    #[test]
    fn a_log_that_cannot_be_copied_is_emptied_all_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("cometbft.log");
        fs::write(&log, "x".repeat(200)).unwrap();
        // In the way of the copy.
        fs::create_dir_all(rotated(&log, 1).join("y")).unwrap();
        fs::create_dir_all(rotated(&log, 2).join("y")).unwrap();
        fs::create_dir_all(rotated(&log, 3).join("y")).unwrap();
        assert!(rotate_above(&log, 100).unwrap());
        assert_eq!(fs::metadata(&log).unwrap().len(), 0);
        assert!(!rotate_above(&log, 100).unwrap());
    }
}
