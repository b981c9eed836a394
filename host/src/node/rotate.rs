//! Keeps the logs of a node within a bound, since they share the disk with its sequence.
//!
//! A log is copied aside and then emptied in place. It is not renamed: those who write to it have it open for appending
//! and go on in the same file, so they need not know, and cannot be held up by us or ended by our end. What they write
//! between the copy and the emptying, a few lines at most, is lost.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

/// A log is rotated when it has grown beyond this, in bytes.
pub const LOG_BYTES_MAX: u64 = 32 << 20;
/// How many rotated files are kept of each log: `<log>.1` is the newest.
pub const LOG_FILES_OLD: usize = 3;

/// Both logs of a node, with a rotation under way, leave the better part of the space at which it stops taking transactions.
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
    if super::tail::length(log)? <= bytes_max {
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
    use crate::node::tail::Tail;

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
