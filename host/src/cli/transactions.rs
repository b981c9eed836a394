//! The transactions given on the command line: one, or a file of many.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use bytes::Bytes;

use super::plugin::usage;
use crate::limits;

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Transactions")]
pub(super) struct TransactionArgs {
    /// The transaction, in hexadecimal
    #[arg(long, value_name = "DIGITS")]
    hex: Option<String>,
    /// A file with one transaction; `-` is standard input
    #[arg(long, visible_alias = "file", value_name = "FILE")]
    input: Option<PathBuf>,
    /// A file with one transaction per line; `-` is standard input
    #[arg(long, value_name = "FILE")]
    lines: Option<PathBuf>,
    /// A file of transactions, each prefixed by its length (4 bytes, little-endian, as in a batch over HTTP); `-` is standard input
    #[arg(long, value_name = "FILE")]
    length_prefixed: Option<PathBuf>,
}

/// One transaction, or many.
pub(super) enum Transactions {
    One(Bytes),
    Many(Box<dyn Iterator<Item = anyhow::Result<Bytes>> + Send>),
}

impl TransactionArgs {
    /// One transaction, which is standard input.
    pub(super) fn standard_input() -> anyhow::Result<Transactions> {
        Ok(Transactions::One(whole(Path::new("-"))?))
    }

    /// The transactions; `text` is the one given as TEXT. `None` if none are given.
    pub(super) fn open(&self, text: Option<OsString>) -> anyhow::Result<Option<Transactions>> {
        let many = |next: Next, file: &Path| -> anyhow::Result<_> {
            let (reader, name) = (open(file)?, shown_name(file));
            Ok(Some(Transactions::Many(Box::new(Reading { reader, name, next, position: 0 }))))
        };
        match (text, &self.hex, &self.input, &self.lines, &self.length_prefixed) {
            (None, None, None, None, None) => Ok(None),
            (Some(text), None, None, None, None) => Ok(Some(Transactions::One(text.into_vec().into()))),
            (None, Some(digits), None, None, None) => Ok(Some(Transactions::One(from_hex(digits)?))),
            (None, None, Some(file), None, None) => Ok(Some(Transactions::One(whole(file)?))),
            (None, None, None, Some(file), None) => many(next_line, file),
            (None, None, None, None, Some(file)) => many(next_prefixed, file),
            _ => {
                usage("give transactions in only one way: TEXT, --hex, --input, --lines or --length-prefixed")
            }
        }
    }
}

fn from_hex(digits: &str) -> anyhow::Result<Bytes> {
    let digits = digits.strip_prefix("0x").unwrap_or(digits);
    match data_encoding::HEXLOWER_PERMISSIVE.decode(digits.as_bytes()) {
        Ok(bytes) => Ok(bytes.into()),
        Err(error) => usage(format!("--hex {digits:?} is not valid hexadecimal: {error}")),
    }
}

/// A whole file; of one that is too large for any network, only enough for the pipeline to refuse it.
fn whole(file: &Path) -> anyhow::Result<Bytes> {
    let mut bytes = Vec::new();
    open(file)?
        .take(limits::TX_BYTES_CEILING.saturating_add(1))
        .read_to_end(&mut bytes)
        .with_context(|| format!("cannot read {}", shown_name(file)))?;
    Ok(bytes.into())
}

fn open(file: &Path) -> anyhow::Result<Box<dyn BufRead + Send>> {
    if file.as_os_str() == "-" {
        return Ok(Box::new(BufReader::new(io::stdin())));
    }
    let open = File::open(file).with_context(|| format!("cannot read {}", file.display()))?;
    Ok(Box::new(BufReader::new(open)))
}

fn shown_name(file: &Path) -> String {
    if file.as_os_str() == "-" { "standard input".to_owned() } else { file.display().to_string() }
}

/// Takes the next transaction from a reader; `None` at its end.
type Next = fn(&mut dyn BufRead) -> anyhow::Result<Option<Vec<u8>>>;

struct Reading {
    reader: Box<dyn BufRead + Send>,
    name: String,
    next: Next,
    position: u64,
}

impl Iterator for Reading {
    type Item = anyhow::Result<Bytes>;

    fn next(&mut self) -> Option<Self::Item> {
        self.position = self.position.saturating_add(1);
        let taken = (self.next)(&mut self.reader);
        let taken =
            taken.with_context(|| format!("cannot read transaction {} of {}", self.position, self.name));
        taken.map(|bytes| bytes.map(Bytes::from)).transpose()
    }
}

fn next_line(reader: &mut dyn BufRead) -> anyhow::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    let max = limits::TX_BYTES_CEILING;
    reader.take(max.saturating_add(1)).read_until(b'\n', &mut line)?;
    if line.is_empty() {
        return Ok(None);
    }
    if line.last() == Some(&b'\n') {
        line.pop();
    } else if line.len() as u64 > max {
        bail!(
            "the line has more than {max} bytes, the maximum of any network. If a line is not a transaction here, use --input \
             (one transaction) or --length-prefixed (many)"
        );
    }
    Ok(Some(line))
}

fn next_prefixed(reader: &mut dyn BufRead) -> anyhow::Result<Option<Vec<u8>>> {
    if reader.fill_buf()?.is_empty() {
        return Ok(None);
    }
    let mut length = [0; 4];
    reader.read_exact(&mut length).context("the file ends within a length of 4 bytes")?;
    let (other, max) = (u64::from(u32::from_be_bytes(length)), limits::TX_BYTES_CEILING);
    let length = u64::from(u32::from_le_bytes(length));
    // Such as what the plugin `length-prefix` writes.
    let hint = if other < length { format!("; big-endian it would be {other}") } else { String::new() };
    if length > max {
        bail!(
            "its length prefix is {length} (4 bytes, little-endian); the maximum of any network is {max}{hint}. If the file \
             is not length-prefixed, use --lines (many) or --input (one transaction)"
        );
    }
    let mut bytes = Vec::new();
    reader.take(length).read_to_end(&mut bytes)?;
    let found = bytes.len() as u64;
    if found < length {
        bail!(
            "its length prefix is {length}, but the file ends after {found} more bytes{hint}. Complete the file, or use --input \
             if it is one transaction"
        );
    }
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(next: Next, mut bytes: &[u8]) -> Vec<Vec<u8>> {
        std::iter::from_fn(|| next(&mut bytes).unwrap()).collect()
    }

    #[test]
    fn lines_are_told_apart_with_or_without_the_last_line_feed() {
        assert_eq!(all(next_line, b"one\n\ntwo\r\n\xff"), [&b"one"[..], b"", b"two\r", b"\xff"]);
        assert_eq!(all(next_line, b"one\n"), [b"one"]);
        assert!(all(next_line, b"").is_empty());
    }

    #[test]
    fn a_line_may_be_as_long_as_a_transaction_of_any_network_and_no_longer() {
        let max = usize::try_from(limits::TX_BYTES_CEILING).unwrap();
        for end in ["", "\n", "\nnext"] {
            let file = [&vec![b'x'; max], end.as_bytes()].concat();
            assert_eq!(next_line(&mut &file[..]).unwrap().map(|line| line.len()), Some(max));
            let file = [&b"x"[..], &file].concat();
            let refused = next_line(&mut &file[..]).unwrap_err().to_string();
            assert!(refused.contains("more than 67108864 bytes, the maximum"), "{refused}");
        }
    }

    #[test]
    fn transactions_behind_their_lengths_hold_any_bytes() {
        assert_eq!(all(next_prefixed, b"\x02\0\0\0\n\0\0\0\0\0\x01\0\0\0x"), [&b"\n\0"[..], b"", b"x"]);
    }

    #[test]
    fn a_length_that_cannot_be_is_refused_with_what_it_says() {
        let refusal = |mut bytes: &[u8]| format!("{:#}", next_prefixed(&mut bytes).unwrap_err());
        assert!(refusal(b"\0\0").starts_with("the file ends within a length"), "{}", refusal(b"\0\0"));
        let cut = |said: &str| format!("{said}. Complete the file, or use --input if it is one transaction");
        assert_eq!(
            refusal(b"\x05\0\0\0abc"),
            cut("its length prefix is 5, but the file ends after 3 more bytes")
        );
        assert_eq!(
            refusal(b"\0\0\0\x03abc"),
            cut(
                "its length prefix is 50331648, but the file ends after 3 more bytes; big-endian it would be 3"
            )
        );
        let maximum = "is 4294967295 (4 bytes, little-endian); the maximum of any network is 67108864. If";
        assert!(refusal(b"\xff\xff\xff\xff").contains(maximum));
        // A file of the other byte order, such as what the plugin `length-prefix` writes.
        assert!(refusal(b"\0\0\0\x05abcde").contains("big-endian it would be 5."));
    }
}
