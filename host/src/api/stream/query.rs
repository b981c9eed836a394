//! What a request says: where to read from, how, and the cursor of the response before.

use std::time::{Duration, SystemTime};

use axum::http::{HeaderMap, HeaderName, HeaderValue};

use crate::api::params::{Params, decimal};
use crate::api::problem::{BAD_PARAMETER, Problem};
use crate::api::trace_context::random_id;
use crate::excerpt::Excerpt;

/// Digits of an offset.
const DIGITS: usize = 20;
/// A browser's `EventSource` sends it when it reconnects, to the URL that it was opened with.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// From when cursors count (2024-10-09T00:00:00Z), and how long each lasts.
const CURSOR_EPOCH: Duration = Duration::from_secs(1_728_432_000);
const CURSOR_SECONDS: u64 = 20;
/// Maximum number of intervals by which a cursor goes ahead of time.
const CURSOR_JITTER_MAX: u64 = 3600 / CURSOR_SECONDS;

/// Where to read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Position {
    At(u64),
    /// Where the stream ends when the request comes.
    Now,
}

/// How to wait for what is to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Live {
    LongPoll,
    Events,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Query {
    pub(super) position: Position,
    pub(super) live: Option<Live>,
    pub(super) cursor: Cursor,
}

/// The cursor that the client has from the response before, if any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Cursor(Option<u64>);

impl Query {
    /// Other parameters are ignored, as the protocol wants it.
    pub(super) fn of(params: &Params, headers: &HeaderMap) -> Result<Self, Problem> {
        let live = match params.one("live")? {
            None | Some("false") => None,
            Some("long-poll") => Some(Live::LongPoll),
            Some("sse") => Some(Live::Events),
            Some(other) => {
                let detail = format!("live must be long-poll or sse, not {:?}", Excerpt::of(other));
                return Err(Problem::new(&BAD_PARAMETER, detail));
            }
        };
        let last = headers.get(LAST_EVENT_ID).filter(|id| live == Some(Live::Events) && !id.is_empty());
        let position = match (last, params.one("offset")?) {
            (Some(id), _) => position("Last-Event-ID", id.to_str().unwrap_or_default())?,
            (None, Some(offset)) => position("offset", offset)?,
            (None, None) if live.is_some() => {
                return Err(Problem::new(
                    &BAD_PARAMETER,
                    "live needs an offset to begin at; -1 is the beginning",
                ));
            }
            (None, None) => Position::At(0),
        };
        let cursor = Cursor(params.one("cursor")?.and_then(decimal));
        Ok(Self { position, live, cursor })
    }
}

fn position(name: &str, text: &str) -> Result<Position, Problem> {
    match text {
        "-1" => return Ok(Position::At(0)),
        "now" => return Ok(Position::Now),
        _ => {}
    }
    let is_offset = text.len() == DIGITS && text.bytes().all(|byte| byte.is_ascii_digit());
    let detail = match decimal(text).filter(|_| is_offset) {
        Some(offset) => return Ok(Position::At(offset)),
        None if is_offset => format!("{name} is {text}; no offset is beyond {}", u64::MAX),
        None => format!("{name} must be exactly {DIGITS} digits, -1 or now, not {:?}", Excerpt::of(text)),
    };
    Err(Problem::new(&BAD_PARAMETER, detail))
}

/// An offset as clients see it.
pub(in crate::api) fn token(offset: u64) -> HeaderValue {
    HeaderValue::try_from(digits(offset)).unwrap_or(HeaderValue::from_static(""))
}

/// The same as text.
pub(super) fn digits(offset: u64) -> String {
    format!("{offset:0DIGITS$}")
}

impl Cursor {
    /// The cursor of the next response: the interval that it is now, or beyond what the client has. So a cache never answers
    /// a client with what it has already, for ever.
    pub(super) fn next(self) -> u64 {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH + CURSOR_EPOCH).unwrap_or_default();
        self.after(now.as_secs() / CURSOR_SECONDS, random_id())
    }

    fn after(self, now: u64, random: u64) -> u64 {
        let ahead = |cursor: u64| cursor.checked_add(1 + random % CURSOR_JITTER_MAX);
        self.0.filter(|cursor| *cursor >= now).and_then(ahead).unwrap_or(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(query: &str) -> Option<Query> {
        Query::of(&Params::of(&format!("/?{query}").parse().unwrap()).ok()?, &HeaderMap::new()).ok()
    }

    #[test]
    fn offsets_are_twenty_digits_or_one_of_two_words() {
        let at = |query: &str| of(query).map(|query| query.position);
        assert_eq!(at(""), Some(Position::At(0)));
        assert_eq!(at("offset=-1"), Some(Position::At(0)));
        assert_eq!(at("offset=now"), Some(Position::Now));
        assert_eq!(at("offset=00000000000000000042"), Some(Position::At(42)));
        assert_eq!(at("offset=18446744073709551615"), Some(Position::At(u64::MAX)));
        for bad in [
            "",
            "0",
            "42",
            "-2",
            "NOW",
            "0000000000000000042",
            "000000000000000000042",
            "18446744073709551616",
            "+0000000000000000042",
            "0000000000000000004x",
            "%200000000000000000042",
            "0,1",
            "-1&offset=-1",
        ] {
            assert_eq!(at(&format!("offset={bad}")), None, "{bad}");
        }
        assert_eq!(digits(42), "00000000000000000042");
        let why = |offset: &str| format!("{:?}", position("offset", offset).unwrap_err());
        let beyond = why("18446744073709551616");
        assert!(
            beyond.contains("18446744073709551616; no offset is beyond 18446744073709551615"),
            "{beyond}"
        );
        assert!(why("1844674407370955161").contains("exactly 20 digits"));
    }

    #[test]
    fn live_needs_an_offset_and_the_last_event_goes_before_it() {
        let live = |query: &str| of(query).and_then(|query| query.live);
        assert_eq!(live("offset=-1&live=sse"), Some(Live::Events));
        assert_eq!(live("offset=-1&live=long-poll&cursor=x"), Some(Live::LongPoll));
        for bad in [
            "live=sse",
            "live=long-poll",
            "offset=-1&live=",
            "offset=-1&live=true",
            "offset=-1&live=sse&live=sse",
        ] {
            assert_eq!(of(bad), None, "{bad}");
        }
        let last = |id: &str, query: &str| {
            let params = Params::of(&format!("/?{query}").parse().unwrap()).unwrap();
            let headers = [(LAST_EVENT_ID, id.parse().unwrap())].into_iter().collect();
            Query::of(&params, &headers).map(|query| query.position).ok()
        };
        assert_eq!(last("00000000000000000007", "offset=-1&live=sse"), Some(Position::At(7)));
        assert_eq!(last("", "offset=-1&live=sse"), Some(Position::At(0)));
        assert_eq!(last("7", "offset=-1&live=sse"), None);
        assert_eq!(last("00000000000000000007", "offset=-1"), Some(Position::At(0)));
    }

    #[test]
    fn cursors_advance() {
        assert_eq!(Cursor(None).after(100, 7), 100);
        assert_eq!(Cursor(Some(99)).after(100, 7), 100);
        for random in [0, 1, 179, 180, u64::MAX] {
            assert!((101..=280).contains(&Cursor(Some(100)).after(100, random)));
        }
        assert_eq!(Cursor(Some(5000)).after(100, 0), 5001);
        assert_eq!(Cursor(Some(u64::MAX)).after(100, 0), 100, "it can't be ours");
    }

    proptest! {
        #[test]
        fn an_offset_reads_back_and_sorts_as_text(a: u64, b: u64) {
            prop_assert_eq!(position("offset", &digits(a)).ok(), Some(Position::At(a)));
            prop_assert_eq!(digits(a).cmp(&digits(b)), a.cmp(&b));
        }

        #[test]
        fn any_text_is_an_offset_or_a_problem(text in "\\PC{0,24}|[0-9]{18,22}|-?[0-9]{0,3}") {
            if let Ok(Position::At(offset)) = position("offset", &text) {
                prop_assert!(text == "-1" || digits(offset) == text);
            }
        }
    }
}
