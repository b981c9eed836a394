//! Data on standard output or in a file: as it is, as a hex dump, or as JSON. Words about it go to standard error.

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::os::fd::AsFd;
use std::path::PathBuf;

use anyhow::Context;
use data_encoding::BASE64;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::json;

use super::super::may_color;
use crate::printable;

/// Bytes in a line of the dump.
const ROW_BYTES: usize = 16;
/// Digits of an offset in it, unless it has more.
const OFFSET_DIGITS: usize = 10;

/// How bytes are written, and where.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Output")]
pub(super) struct DataArgs {
    /// Write the bytes as they are, to a terminal too
    #[arg(long)]
    raw: bool,
    /// Write a hex dump with decimal offsets, as to a terminal
    #[arg(long, conflicts_with = "raw")]
    hex: bool,
    /// Write JSON, one object a line, with the bytes in base64
    #[arg(long, conflicts_with_all = ["raw", "hex"])]
    pub(super) json: bool,
    /// Write to this file; `dseq tail -f` adds to one that exists, other commands replace it
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Raw,
    Hex { colors: bool },
    Json,
}

/// Where the bytes go.
pub(super) struct Data {
    out: BufWriter<Box<dyn Write>>,
    form: Form,
    /// Whether it is a file; standard output may be closed by whoever reads it.
    is_file: bool,
    /// Bytes of a line of the dump that is not full, and the offset of the first.
    row: Vec<u8>,
    row_offset: u64,
}

/// What becomes of what a file has already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Existing {
    Replaced,
    Kept,
}

impl DataArgs {
    /// Whether bytes are asked for, as they are or as a dump.
    pub(super) fn wants_bytes(&self) -> bool {
        self.raw || self.hex
    }

    pub(super) fn open(&self, existing: Existing) -> anyhow::Result<Data> {
        let stdout = io::stdout();
        let to_terminal = self.output.is_none() && stdout.is_terminal();
        let form = match self {
            Self { json: true, .. } => Form::Json,
            Self { raw: true, .. } => Form::Raw,
            _ if self.hex || to_terminal => Form::Hex { colors: to_terminal && may_color(&stdout) },
            _ => Form::Raw,
        };
        let out: Box<dyn Write> = match &self.output {
            Some(path) => {
                let is_kept = existing == Existing::Kept;
                let file =
                    File::options().create(true).write(true).append(is_kept).truncate(!is_kept).open(path);
                Box::new(file.with_context(|| format!("cannot write {}", path.display()))?)
            }
            // Not by way of `Stdout`, which looks for line feeds in what it passes on.
            None => Box::new(File::from(stdout.as_fd().try_clone_to_owned()?)),
        };
        let is_file = self.output.is_some();
        Ok(Data { out: BufWriter::new(out), form, is_file, row: Vec::new(), row_offset: 0 })
    }
}

impl Data {
    /// Writes bytes that stand at this offset.
    pub(super) fn write(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        match self.form {
            Form::Raw => self.out.write_all(bytes),
            Form::Json => {
                let line = json!({ "offset": offset, "length": bytes.len(), "data": BASE64.encode(bytes) });
                writeln!(self.out, "{line}")
            }
            Form::Hex { colors } => {
                if self.row.is_empty() {
                    self.row_offset = offset;
                }
                let mut rest = bytes;
                while !rest.is_empty() {
                    let (now, later) = rest.split_at(rest.len().min(ROW_BYTES - self.row.len()));
                    self.row.extend_from_slice(now);
                    rest = later;
                    if self.row.len() == ROW_BYTES {
                        self.end_row(colors)?;
                    }
                }
                Ok(())
            }
        }
    }

    /// Writes a line of text, which has to be printable.
    pub(super) fn line(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out, "{}", printable::text(text))
    }

    /// Lets whoever reads see all that was written.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        if let Form::Hex { colors } = self.form
            && !self.row.is_empty()
        {
            self.end_row(colors)?;
        }
        self.out.flush()
    }

    fn end_row(&mut self, colors: bool) -> io::Result<()> {
        writeln!(self.out, "{}", dumped(self.row_offset, &self.row, colors))?;
        self.row_offset = self.row_offset.saturating_add(self.row.len() as u64);
        self.row.clear();
        Ok(())
    }

    /// Whether nobody reads standard output any more.
    pub(super) fn is_abandoned(&self) -> bool {
        let stdout = io::stdout();
        let mut asked = [PollFd::new(&stdout, PollFlags::empty())];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        !self.is_file && poll(&mut asked, Some(&now)).is_ok() && asked[0].revents().contains(PollFlags::ERR)
    }
}

/// A line of the dump: offset, bytes in hexadecimal, and those that are printable ASCII.
fn dumped(offset: u64, row: &[u8], colors: bool) -> String {
    let mut hex = String::new();
    for at in 0..ROW_BYTES {
        let gap = if at == ROW_BYTES / 2 { "  " } else { " " };
        let byte = row.get(at).map_or("  ".to_owned(), |byte| format!("{byte:02x}"));
        hex.push_str(gap);
        hex.push_str(&byte);
    }
    let is_shown = |byte: &u8| byte.is_ascii_graphic() || *byte == b' ';
    let text: String = row.iter().map(|byte| if is_shown(byte) { char::from(*byte) } else { '.' }).collect();
    let offset = format!("{offset:>OFFSET_DIGITS$}");
    let offset = if colors { format!("\u{1b}[36m{offset}\u{1b}[0m") } else { offset };
    format!("{offset} {hex}  |{text}|")
}

/// Says something beside the data, on standard error.
pub(super) fn say_aside(text: impl AsRef<str>) {
    // The data matters more than the words about it.
    let _ = writeln!(printable::Writer(io::stderr()), "{}", text.as_ref());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dump_has_offset_bytes_and_what_of_them_is_text() {
        assert_eq!(
            dumped(16, b"hello \x1b[2J\xff", false),
            "        16  68 65 6c 6c 6f 20 1b 5b  32 4a ff                 |hello .[2J.|"
        );
        assert_eq!(dumped(12_345_678_901, &[0; 16], false).split(' ').next(), Some("12345678901"));
        assert!(dumped(0, b"x", true).starts_with("\u{1b}[36m         0\u{1b}[0m"));
    }
}
