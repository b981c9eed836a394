//! Recognizes in CometBFT's log that it ended a connection because of what the peer sent.
//!
//! CometBFT says it in one line, as it does when a connection breaks or a peer is slow. Only what the error tells is different.

use crate::telemetry::Relayed;

/// The message with which CometBFT ends a connection. Seen in 0.38.26 and 0.39.4.
const ENDED: &str = "Stopping peer for error";
/// Maximum length of a reason that is kept, in characters.
const WHY_CHARS_MAX: usize = 200;

/// How an error begins that a message of the peer has led to, whatever follows.
const BY_MESSAGE: &str = "recovered from panic: ";
/// Errors that say nothing against a peer: the connection broke, or the peer was slow, or an answer of it came late.
const HARMLESS: &[&str] = &[
    "connection reset",
    "broken pipe",
    "use of closed",
    "timed out",
    "timeout",
    "no route to host",
    "network is unreachable",
    "peer did not send us anything",
    "peer is not sending us data fast enough",
    "already committed block",
    "unsolicited BlockResponse",
    "we didn't expect (current height",
    "requested block #",
];

/// A connection that was ended because of what came over it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CutOff {
    /// The peer's id, which its key proves.
    pub(crate) id: String,
    /// Why, in CometBFT's words.
    pub(crate) why: String,
}

impl CutOff {
    /// Takes it from a line of CometBFT's log; `None`: it says something else.
    #[must_use]
    pub(crate) fn of(line: &Relayed) -> Option<Self> {
        if line.message != ENDED {
            return None;
        }
        let field = |name: &str| line.fields.iter().find(|(one, _)| one == name).map(|(_, value)| value);
        let why = field("err")?;
        // `Peer{MConn{127.0.0.1:26656} 4be1... in}`
        let id = field("peer")?.split(' ').find(|word| is_id(word))?;
        (!is_harmless(why)).then(|| Self { id: id.to_owned(), why: shortened(why) })
    }

    /// Whether a line may be one of these, without taking it apart.
    pub(crate) fn may_be(line: &str) -> bool {
        line.contains(ENDED)
    }
}

fn is_id(word: &str) -> bool {
    word.len() == 40 && word.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn is_harmless(why: &str) -> bool {
    let is_end = why == "EOF" || why == "unexpected EOF" || why.ends_with(": EOF");
    !why.starts_with(BY_MESSAGE) && (is_end || HARMLESS.iter().any(|part| why.contains(part)))
}

/// On one line and bounded: parts of it may be the peer's words.
fn shortened(why: &str) -> String {
    let words: Vec<&str> = why.split_whitespace().collect();
    let text = words.join(" ");
    match text.char_indices().nth(WHY_CHARS_MAX) {
        Some((at, _)) => format!("{}...", &text[..at]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::super::log_line;
    use super::*;

    const ID: &str = "4be1aa0c3f0f7f6a3f4be1aa0c3f0f7f6a3f4be1";

    fn cut_off(err: &str) -> Option<CutOff> {
        let line = format!(
            "E[2026-11-27|08:01:13.752] Stopping peer for error                      module=p2p \
             peer=\"Peer{{MConn{{127.0.0.1:26663}} {ID} in}}\" err={}",
            serde_json::to_string(err).unwrap()
        );
        assert!(CutOff::may_be(&line));
        CutOff::of(&log_line::parse(&line).unwrap())
    }

    /// As 0.39.4 says them.
    #[test]
    fn what_a_peer_sent_is_told_from_a_connection_that_broke() {
        for err in [
            "recovered from panic: unmarshaling message: unexpected EOF into type: *consensus.Message",
            "recovered from panic: runtime error: invalid memory address or nil pointer dereference",
            "unknown channel 99",
            "message exceeds max size (4294967295 > 66031)",
            "received message exceeds available capacity: 1048576 < 1048600",
            "negative Height",
            "proto: illegal wireType 7",
        ] {
            assert_eq!(cut_off(err), Some(CutOff { id: ID.to_owned(), why: err.to_owned() }));
        }
        for err in [
            "EOF",
            "unexpected EOF",
            "read tcp 127.0.0.1:26656->127.0.0.1:51542: read: connection reset by peer",
            "write tcp 127.0.0.1:26656->127.0.0.1:51542: write: broken pipe",
            "pong timeout",
            "peer did not send us anything for 15s",
            "unsolicited BlockResponse: blocksync not active",
        ] {
            assert_eq!(cut_off(err), None, "{err}");
        }
    }

    #[test]
    fn a_reason_is_one_bounded_line() {
        let why = cut_off(&format!("a\nb {}", "é".repeat(10_000))).unwrap().why;
        assert!(why.starts_with("a b é") && why.chars().count() == WHY_CHARS_MAX + 3, "{why}");
    }

    #[test]
    fn what_names_no_peer_accuses_nobody() {
        let line = "E[x] Stopping peer for error                      module=p2p peer=Peer{} err=bad";
        assert_eq!(CutOff::of(&log_line::parse(line).unwrap()), None);
        let line = format!("E[x] {:<44} peer={ID} err=bad", "Another message");
        assert_eq!(CutOff::of(&log_line::parse(&line).unwrap()), None);
    }
}
