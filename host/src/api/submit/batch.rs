//! Many transactions in one body: as lines of JSON, or each after its length.
//!
//! # Format
//!
//! - `application/x-ndjson`: each line is an object with one member, `data` (base64) or `text` (its UTF-8 bytes are the
//!   transaction). Empty lines are skipped.
//! - `application/octet-stream`: for each transaction its length in bytes (u32, little-endian), then its bytes.
//!
//! A body is parsed whole before anything of it is submitted, so one with an error in it changes nothing.

use axum::body::Bytes;
use serde::Deserialize;

use crate::api::problem::{BAD_BATCH, Problem};

/// Maximum size of a body, in bytes, unless one transaction may be as long: a client of an interactive tool, or of a
/// pipeline, sends the next batch when it has the answers to this one.
///
/// A longer one gets 413 `body-too-large`.
pub const BATCH_BYTES_MAX: u64 = 16 << 20;
/// Maximum number of transactions in a body. A block of a busy network has about as many.
///
/// More get 400 `bad-batch`.
pub const BATCH_TXS_MAX: usize = 10_000;

/// How a body is made of transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// Lines of JSON.
    Lines,
    /// Lengths and bytes.
    Frames,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    data: Option<String>,
    text: Option<String>,
}

impl Framing {
    /// That of a media type, which may have parameters.
    #[must_use]
    pub fn of(content_type: &str) -> Option<Self> {
        let essence = content_type.split(';').next().unwrap_or_default().trim();
        [("application/x-ndjson", Self::Lines), ("application/octet-stream", Self::Frames)]
            .into_iter()
            .find_map(|(name, framing)| essence.eq_ignore_ascii_case(name).then_some(framing))
    }

    /// The longest body that holds any one transaction of this length, or [`BATCH_BYTES_MAX`] if that is longer.
    #[must_use]
    pub fn body_bytes_max(self, tx_bytes_max: u64) -> u64 {
        let one = match self {
            // Base64 and the object around it.
            Self::Lines => tx_bytes_max.div_ceil(3).saturating_mul(4).saturating_add(16),
            Self::Frames => tx_bytes_max.saturating_add(4),
        };
        BATCH_BYTES_MAX.max(one)
    }

    /// The transactions of a body, each in memory of its own.
    ///
    /// # Errors
    ///
    /// The first thing that is not as it must be, and where.
    pub fn parse(self, body: &[u8]) -> Result<Vec<Bytes>, Problem> {
        let txs = match self {
            Self::Lines => lines(body),
            Self::Frames => frames(body),
        };
        txs.map_err(|detail| Problem::new(&BAD_BATCH, detail))
    }
}

fn lines(body: &[u8]) -> Result<Vec<Bytes>, String> {
    let mut txs = Vec::new();
    for (number, line) in (1..).zip(body.split(|byte| *byte == b'\n')) {
        let line = line.trim_ascii_end();
        if line.is_empty() {
            continue;
        }
        room(&txs)?;
        let parsed: Line = serde_json::from_slice(line).map_err(|err| not_parsed(number, &err))?;
        txs.push(match parsed {
            Line { data: None, text: Some(text) } => Bytes::from(text),
            Line { data: Some(data), text: None } => {
                let bytes = data_encoding::BASE64.decode(data.as_bytes());
                Bytes::from(
                    bytes.map_err(|err| format!("line {number}: data is no base64 with padding: {err}"))?,
                )
            }
            _ => return Err(format!("line {number}: an object has exactly one of data and text")),
        });
    }
    Ok(txs)
}

/// What is wrong with a line. The parser counts lines, too, but has seen only this one.
fn not_parsed(number: u64, err: &serde_json::Error) -> String {
    let (said, place) = (err.to_string(), format!(" at line {} column {}", err.line(), err.column()));
    format!("line {number}, column {}: {}", err.column(), said.trim_end_matches(&place))
}

fn frames(mut body: &[u8]) -> Result<Vec<Bytes>, String> {
    let mut txs = Vec::new();
    while !body.is_empty() {
        room(&txs)?;
        let number = txs.len();
        let Some((length, rest)) = body.split_first_chunk::<4>() else {
            return Err(format!(
                "transaction {number}, counted from 0: {} of 4 bytes of its length",
                body.len()
            ));
        };
        let length = u32::from_le_bytes(*length);
        let split = usize::try_from(length).ok().and_then(|length| rest.split_at_checked(length));
        let Some((tx, rest)) = split else {
            let found = rest.len();
            return Err(format!(
                "transaction {number}, counted from 0: {found} of its {length} bytes are there"
            ));
        };
        txs.push(Bytes::copy_from_slice(tx));
        body = rest;
    }
    Ok(txs)
}

fn room(txs: &[Bytes]) -> Result<(), String> {
    let is_full = txs.len() >= BATCH_TXS_MAX;
    if is_full { Err(format!("a batch has at most {BATCH_TXS_MAX} transactions")) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(problem: &Problem) -> String {
        problem.to_json()["detail"].as_str().unwrap().to_owned()
    }

    #[test]
    fn lines_are_text_or_base64() {
        let body = "{\"text\":\"a\\n\"}\n\r\n{\"data\":\"/wA=\"}\r\n{\"text\":\"\"}";
        let txs = Framing::Lines.parse(body.as_bytes()).unwrap();
        assert_eq!(txs, [&b"a\n"[..], b"\xff\0", b""]);
        for (line, why) in [
            ("{\"text\":\"a\",\"data\":\"\"}", "exactly one of"),
            ("{}", "exactly one of"),
            ("{\"txt\":\"a\"}", "unknown field"),
            ("{\"text\":\"a\",\"text\":\"b\"}", "duplicate field"),
            ("{\"data\":\"_w==\"}", "no base64"),
            ("{\"data\":\"/w\"}", "no base64"),
            ("{\"text\":1}", "line 2"),
            ("\"a\"", "line 2"),
            ("{\"text\":\"a\"} x", "line 2"),
            ("\u{feff}{\"text\":\"a\"}", "line 2"),
        ] {
            let problem =
                Framing::Lines.parse(format!("{{\"text\":\"ok\"}}\n{line}\n").as_bytes()).unwrap_err();
            let detail = text(&problem);
            assert!(detail.contains(why) && detail.contains("line 2"), "{line}: {detail}");
            assert!(!detail.contains("line 1"), "{line}: {detail}");
        }
    }

    #[test]
    fn frames_that_are_cut_off_are_refused_with_their_place() {
        let body = [&3_u32.to_le_bytes()[..], b"abc", &[0; 4]].concat();
        assert_eq!(Framing::Frames.parse(&body).unwrap(), [&b"abc"[..], b""]);
        for end in [1, 4, 6, 8] {
            let detail = text(&Framing::Frames.parse(&body[..end]).unwrap_err());
            assert!(detail.contains("counted from 0"), "{end}: {detail}");
        }
        let huge = text(&Framing::Frames.parse(&[0xff; 8]).unwrap_err());
        assert_eq!(huge, "transaction 0, counted from 0: 4 of its 4294967295 bytes are there");
    }

    #[test]
    fn no_more_than_the_maximum_are_taken() {
        let lines = "{\"text\":\"a\"}\n".repeat(BATCH_TXS_MAX);
        assert_eq!(Framing::Lines.parse(lines.as_bytes()).unwrap().len(), BATCH_TXS_MAX);
        assert!(Framing::Lines.parse(format!("{lines}{{\"text\":\"a\"}}").as_bytes()).is_err());
        assert!(Framing::Frames.parse(&[0; 4 * (BATCH_TXS_MAX + 1)]).is_err());
    }

    #[test]
    fn media_types_may_have_parameters() {
        assert_eq!(Framing::of("application/x-ndjson; charset=utf-8"), Some(Framing::Lines));
        assert_eq!(Framing::of("Application/Octet-Stream"), Some(Framing::Frames));
        assert_eq!((Framing::of("application/json"), Framing::of("")), (None, None));
        assert_eq!(Framing::Frames.body_bytes_max(1), BATCH_BYTES_MAX);
        assert_eq!(Framing::Lines.body_bytes_max(48 << 20), (64 << 20) + 16);
    }

    proptest! {
        #[test]
        fn what_is_framed_is_read_again(txs in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..50), 0..50)) {
            let frames: Vec<u8> =
                txs.iter().flat_map(|tx| [&u32::try_from(tx.len()).unwrap().to_le_bytes()[..], tx].concat()).collect();
            prop_assert_eq!(Framing::Frames.parse(&frames).unwrap(), txs.clone());
            let line = |tx: &Vec<u8>| format!("{{\"data\":\"{}\"}}\n", data_encoding::BASE64.encode(tx));
            let lines: String = txs.iter().map(line).collect();
            prop_assert_eq!(Framing::Lines.parse(lines.as_bytes()).unwrap(), txs);
        }

        #[test]
        fn no_body_is_read_as_more_than_it_is(body in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(txs) = Framing::Frames.parse(&body) {
                prop_assert_eq!(txs.iter().map(|tx| tx.len() + 4).sum::<usize>(), body.len());
            }
            if let Ok(txs) = Framing::Lines.parse(&body) {
                prop_assert!(txs.iter().map(Bytes::len).sum::<usize>() <= body.len());
            }
        }

        #[test]
        fn no_line_of_json_like_text_panics(body in "[{}\":,a-d\\\\/=\n datexu0-9]{0,120}") {
            let _ = Framing::Lines.parse(body.as_bytes());
        }
    }
}
