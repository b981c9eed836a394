//! Recognizes in CometBFT's log that it ended a connection because of what the peer sent.
//!
//! CometBFT says it in one line, as it does when a connection breaks or a peer is slow. Only what the error tells is different.

use crate::telemetry::Relayed;

/// The message with which CometBFT ends a connection. Seen in 0.38.26 and 0.39.4.
const ENDED: &str = "Stopping peer for error";
/// Maximum length of a reason that is kept, in characters.
const WHY_CHARS_MAX: usize = 200;

/// How an error of the operating system begins. All of it is CometBFT's and the system's words.
const OF_SOCKET: &[&str] = &["read tcp ", "write tcp ", "set tcp "];
/// How such an error ends if the connection broke.
const BROKE: &[&str] = &[
    ": connection reset by peer",
    ": broken pipe",
    ": use of closed network connection",
    ": connection timed out",
    ": operation timed out",
    ": i/o timeout",
    ": no route to host",
    ": network is unreachable",
];
/// Errors that say nothing against a peer, whole: it ended the connection, or was slow.
const ENDED_OR_SLOW: &[&str] = &[
    "EOF",
    "unexpected EOF",
    "pong timeout",
    "peer did not send us anything",
    "transient error: peer did not send us anything",
    "peer is not sending us data fast enough",
];
/// How errors begin that say that a block came late, when it was not asked for any more. No words of the peer are in them.
const LATE: &[&str] = &["peer sent us block #", "requested block #"];
/// The same of a block that CometBFT refuses before it takes it apart: this, the peer's id, and `LATE_UNREAD`.
const REFUSED_UNREAD: &str = "recovered from panic: rejected msg on chID 0x40 from ";
const LATE_UNREAD: &str = ": unsolicited BlockResponse from peer ";
/// How an error of block sync begins that ends the connections to two peers: that of an invalid block and that of the next one,
/// whose commit it is checked with.
const OF_TWO_PEERS: &str = "reactor validation error: ";

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

/// Only whole errors and their beginnings count, and ends where the rest is known: the peer may have written what is between.
fn is_harmless(why: &str) -> bool {
    let begins = |with: &[&str]| with.iter().any(|start| why.starts_with(start));
    let broke = begins(OF_SOCKET) && BROKE.iter().any(|end| why.ends_with(end));
    let refused = why.strip_prefix(REFUSED_UNREAD).and_then(|rest| rest.split_at_checked(40));
    let is_late =
        begins(LATE) || refused.is_some_and(|(id, rest)| is_id(id) && rest.starts_with(LATE_UNREAD));
    ENDED_OR_SLOW.contains(&why) || broke || is_late
}

/// Says of whom the reason of a [`CutOff`] speaks.
#[must_use]
pub(crate) fn because(why: &str) -> &'static str {
    if why.starts_with(OF_TWO_PEERS) {
        "because a block from it or from another peer is invalid"
    } else {
        "because of what it sent"
    }
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
            "reactor validation error: wrong Block.Header.ChainID. Expected a, got x: connection reset by peer",
            "negative Height: peer did not send us anything",
            "recovered from panic: rejected msg on chID 0x40 from \
             4be1aa0c3f0f7f6a3f4be1aa0c3f0f7f6a3f4be1: unsolicited BlockResponse: blocksync not active",
        ] {
            assert_eq!(cut_off(err), Some(CutOff { id: ID.to_owned(), why: err.to_owned() }));
        }
        for err in [
            "EOF",
            "unexpected EOF",
            "read tcp 127.0.0.1:26656->127.0.0.1:51542: read: connection reset by peer",
            "write tcp 127.0.0.1:26656->127.0.0.1:51542: write: broken pipe",
            "pong timeout",
            "read tcp 127.0.0.1:26656->127.0.0.1:51542: i/o timeout",
            "peer did not send us anything",
            "transient error: peer did not send us anything",
            "requested block #7 from 4be1, not 4be1",
            "peer sent us block #9 we didn't expect (current height: 7, start height: 1)",
            "recovered from panic: rejected msg on chID 0x40 from 4be1aa0c3f0f7f6a3f4be1aa0c3f0f7f6a3f4be1: \
             unsolicited BlockResponse from peer 4be1aa0c3f0f7f6a3f4be1aa0c3f0f7f6a3f4be1",
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
