//! The end of a log, however long the log is.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use crate::node::process::rotate;

/// How far from its end a log is read to find its last lines, in bytes.
pub const TAIL_BYTES: u64 = 64 << 10;

/// A log that is read from near its end on, and again when something was added.
#[derive(Debug)]
pub struct Tail {
    path: PathBuf,
    offset: u64,
    partial: Vec<u8>,
}

impl Tail {
    /// Names a log to be read from an offset on; what is not there yet has no lines.
    #[must_use]
    pub fn from(path: &Path, offset: u64) -> Self {
        Self { path: path.to_owned(), offset, partial: Vec::new() }
    }

    /// The last whole lines of what there is, at most `lines` of them and 64 KiB of text.
    ///
    /// # Errors
    ///
    /// When the log is there but cannot be read.
    pub fn last_lines(&mut self, lines: usize) -> io::Result<Vec<String>> {
        let length = length(&self.path)?;
        let near = length.saturating_sub(TAIL_BYTES);
        let cut = near > self.offset;
        self.offset = self.offset.max(near);
        let mut found = self.new_lines()?;
        if cut && !found.is_empty() {
            // It began somewhere within a line.
            found.remove(0);
        }
        Ok(found.split_off(found.len().saturating_sub(lines)))
    }

    /// The whole lines that were added since the last call.
    ///
    /// # Errors
    ///
    /// When the log is there but cannot be read.
    pub fn new_lines(&mut self) -> io::Result<Vec<String>> {
        let mut file = match File::open(&self.path) {
            Ok(file) => file,
            Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(err) => return Err(err),
        };
        if file.metadata()?.len() < self.offset {
            // It was emptied. If it was rotated, the newest rotated part begins with all that was read before.
            let rotated = File::open(rotate::rotated(&self.path, 1)).and_then(|file| self.read_on(file));
            if rotated.is_err() {
                self.partial.clear();
            }
            self.offset = 0;
        }
        file.seek(SeekFrom::Start(self.offset))?;
        let added = file.read_to_end(&mut self.partial)?;
        self.offset = self.offset.saturating_add(added as u64);
        let whole = self.partial.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at.saturating_add(1));
        let lines = self.partial.drain(..whole).collect::<Vec<u8>>();
        Ok(String::from_utf8_lossy(&lines).lines().map(str::to_owned).collect())
    }

    /// Reads what another file has from our offset on.
    fn read_on(&mut self, mut file: File) -> io::Result<()> {
        if file.metadata()?.len() < self.offset {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        file.seek(SeekFrom::Start(self.offset))?;
        file.read_to_end(&mut self.partial)?;
        Ok(())
    }
}

/// How long a log is now; one that is not there is empty.
///
/// # Errors
///
/// When it is there but cannot be looked at.
pub fn length(path: &Path) -> io::Result<u64> {
    match path.metadata() {
        Ok(found) => Ok(found.len()),
        Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(err) => Err(err),
    }
}

/// The last lines of what a log has from an offset on, indented, as part of a message.
#[must_use]
pub fn quote(path: &Path, offset: u64, lines: usize) -> String {
    match Tail::from(path, offset).last_lines(lines) {
        Ok(lines) if lines.is_empty() => "  (nothing)".to_owned(),
        Ok(lines) => lines.iter().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n"),
        Err(err) => format!("  (unreadable: {err})"),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn only_what_was_written_since_is_quoted() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        assert_eq!(quote(&path, 0, 5), "  (nothing)");
        std::fs::write(&path, "old\n").unwrap();
        let since = length(&path).unwrap();
        assert_eq!(quote(&path, since, 5), "  (nothing)");
        std::fs::write(&path, "old\n1\n2\n3\n4\n5\n6\n").unwrap();
        assert_eq!(quote(&path, since, 5), "  2\n  3\n  4\n  5\n  6");
        assert!(quote(dir.path(), 0, 5).starts_with("  (unreadable: "));
    }

    #[test]
    fn a_long_log_is_read_from_near_its_end_in_whole_lines_and_followed_from_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let all: String = (0..20_000).map(|number| format!("line {number}\n")).collect();
        std::fs::write(&path, &all).unwrap();
        let mut tail = Tail::from(&path, 0);
        let lines = tail.last_lines(usize::MAX).unwrap();
        assert!((1000..10_000).contains(&lines.len()), "{}", lines.len());
        let numbers: Vec<u64> =
            lines.iter().map(|line| line.strip_prefix("line ").unwrap().parse().unwrap()).collect();
        let expected: Vec<u64> = (20_000 - lines.len() as u64..20_000).collect();
        assert_eq!(numbers, expected);

        let mut file = File::options().append(true).open(&path).unwrap();
        file.write_all(b"more\nhalf").unwrap();
        assert_eq!(tail.new_lines().unwrap(), ["more"]);
        file.write_all(b" a line\n").unwrap();
        assert_eq!(tail.new_lines().unwrap(), ["half a line"]);
        std::fs::write(&path, "emptied\n").unwrap();
        assert_eq!(tail.new_lines().unwrap(), ["emptied"]);
    }
}
