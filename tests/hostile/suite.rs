//! The hostile modules, and what must become of each.
//!
//! # Format
//!
//! A module in `modules/` begins with comments that say what it tries, and then:
//!
//! | line | what |
//! |---|---|
//! | `;; tx: <bytes>` | a transaction; a module without this line gets one, `transaction` |
//! | `;; expect: <outcome>` | of the transaction above, or of admission |
//!
//! Bytes are a JSON string, or `0x` and hexadecimal digits; ` x <n>` behind them repeats them. An outcome is one of
//!
//! ```text
//! refused "<part of the refusal's words>"        by admission: there are no transactions then
//! unchanged
//! replaced <bytes>
//! rejected <code> <message as bytes>
//! fault <code> <name> [<words about a panic as bytes>]
//! ```

use std::fmt;
use std::path::Path;

use bytes::Bytes;
use dseq::plugin::{Fault, Verdict};

use super::generated;

/// A module that means no good.
pub(crate) struct Hostile {
    pub(crate) name: String,
    pub(crate) wasm: Vec<u8>,
    pub(crate) expected: Expected,
}

/// What must become of a module.
#[derive(Debug)]
pub(crate) enum Expected {
    /// Not admitted, with these words among others.
    Refused(String),
    /// Admitted; each of these transactions ends like this.
    Endings(Vec<(Bytes, Ending)>),
}

/// How a transaction ends, without what it took. A verdict whose bytes can be as long as they like in a failed test.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Ending(pub(crate) Verdict);

impl fmt::Debug for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let some = |bytes: &[u8]| {
            let start = String::from_utf8_lossy(&bytes[..bytes.len().min(100)]).into_owned();
            format!("{} bytes: {start:?}", bytes.len())
        };
        match &self.0 {
            Verdict::Unchanged => f.write_str("unchanged"),
            Verdict::Replaced(record) => write!(f, "replaced by {}", some(record)),
            Verdict::Rejected { code, message } => write!(f, "rejected {code}, {}", some(message.as_bytes())),
            Verdict::Faulted { fault, message } => {
                write!(f, "fault {} {fault:?}, {}", fault.code(), some(message.as_bytes()))
            }
        }
    }
}

/// Every hostile module, in the order of their names: those of the files, and those that are too long for one.
pub(crate) fn all() -> Vec<Hostile> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/hostile/modules");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut all: Vec<Hostile> = files
        .iter()
        .map(|path| {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            let text = std::fs::read_to_string(path).unwrap();
            let head = text.lines().map_while(|line| line.strip_prefix(";;")).map(str::trim);
            let expected = expectation(head).unwrap_or_else(|error| panic!("{name}.wat: {error}"));
            let wasm = wat::parse_str(&text).unwrap_or_else(|error| panic!("{name}.wat: {error}"));
            Hostile { name, wasm, expected }
        })
        .collect();
    all.extend(generated::all().into_iter().map(|(name, head, wasm)| {
        let expected = expectation(head.lines()).unwrap_or_else(|error| panic!("{name}: {error}"));
        Hostile { name: name.to_owned(), wasm, expected }
    }));
    all
}

/// Reads the lines of a head that say something.
pub(crate) fn expectation<'a>(head: impl Iterator<Item = &'a str>) -> Result<Expected, String> {
    let mut endings = Vec::new();
    let mut tx = None;
    let mut refused = None;
    for line in head {
        if let Some(text) = line.strip_prefix("tx: ") {
            if tx.replace(bytes(text)?).is_some() {
                return Err(format!("no expectation before {line:?}"));
            }
        } else if let Some(text) = line.strip_prefix("expect: refused ") {
            refused = Some(string(text)?);
        } else if let Some(text) = line.strip_prefix("expect: ") {
            let sent = tx.take().unwrap_or_else(|| Bytes::from_static(b"transaction"));
            endings.push((sent, ending(text)?));
        }
    }
    match (refused, endings.is_empty(), tx) {
        (Some(words), true, None) => Ok(Expected::Refused(words)),
        (None, false, None) => Ok(Expected::Endings(endings)),
        (None, true, _) => Err("says nowhere what to expect".to_owned()),
        _ => Err("expects a refusal and transactions, or nothing of its last transaction".to_owned()),
    }
}

fn ending(text: &str) -> Result<Ending, String> {
    let mut words = text.splitn(4, ' ');
    let mut word = || words.next().ok_or_else(|| format!("{text:?} is no outcome"));
    let verdict = match word()? {
        "unchanged" => Verdict::Unchanged,
        "replaced" => Verdict::Replaced(bytes(text.split_once(' ').unwrap_or_default().1)?),
        "rejected" => {
            let code = word()?.parse().map_err(|_| format!("{text:?} has no code"))?;
            let message = text.splitn(3, ' ').nth(2).unwrap_or_default();
            Verdict::Rejected { code, message: string(message)? }
        }
        "fault" => {
            let meant = format!("{} {}", word()?, word()?);
            let is_meant = |fault: &&Fault| format!("{} {fault:?}", fault.code()) == meant;
            let fault = Fault::ALL.iter().find(is_meant).ok_or_else(|| format!("{meant} is no fault"))?;
            let message = words.next().map(string).transpose()?.unwrap_or_default();
            Verdict::Faulted { fault: *fault, message }
        }
        _ => return Err(format!("{text:?} is no outcome")),
    };
    Ok(Ending(verdict))
}

fn string(text: &str) -> Result<String, String> {
    String::from_utf8(bytes(text)?.to_vec()).map_err(|error| error.to_string())
}

fn bytes(text: &str) -> Result<Bytes, String> {
    let (one, times) = match text.rsplit_once(" x ") {
        Some((one, times)) if times.bytes().all(|byte| byte.is_ascii_digit()) => (one, times),
        _ => (text, "1"),
    };
    let times: usize = times.parse().map_err(|_| format!("{times:?} is no number"))?;
    let one = match one.strip_prefix("0x") {
        Some(digits) => data_encoding::HEXLOWER.decode(digits.as_bytes()).map_err(|error| error.to_string()),
        None => {
            serde_json::from_str::<String>(one).map(String::into_bytes).map_err(|error| error.to_string())
        }
    };
    Ok(Bytes::from(one.map_err(|error| format!("{text:?}: {error}"))?.repeat(times)))
}
