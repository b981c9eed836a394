//! Ranges, offsets, records and receipts.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use serde_json::Value;

use super::{Asked, BLOCKS, Held, Node, Number, fuzz, no_number, number};
use dseq::types::TxHash;

/// Longer than the sequence, so that numbers come up to its end and beyond.
const LENGTH: u64 = 38;
const COUNT: u64 = 7;

#[derive(Clone, Debug)]
enum Range {
    None,
    /// From, to, inclusive.
    Between(Number, Number),
    From(Number),
    Last(Number),
    /// What is ignored.
    Other(String),
}

fn range() -> impl Strategy<Value = Range> {
    let other =
        ["bytes", "bytes=", "bytes=-", "bytes=0-1,3-4", "items=0-1", "bytes 0-1", "bytes=a-b", "=0-1"];
    prop_oneof![
        1 => Just(Range::None),
        4 => (number(LENGTH), number(LENGTH)).prop_map(|(from, to)| Range::Between(from, to)),
        2 => number(LENGTH).prop_map(Range::From),
        2 => number(LENGTH).prop_map(Range::Last),
        1 => proptest::sample::select(other.to_vec()).prop_map(|text| Range::Other(text.to_owned())),
        1 => "items=[!-~]{0,20}".prop_map(Range::Other),
    ]
}

/// What a number in a range is; a longer one is beyond every end.
fn in_range((text, number): &Number) -> Option<u64> {
    let is_digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    number.or(is_digits.then_some(u64::MAX))
}

impl Range {
    fn header(&self) -> Option<String> {
        Some(match self {
            Self::None => return None,
            Self::Between((from, _), (to, _)) => format!("bytes={from}-{to}"),
            Self::From((from, _)) => format!("bytes={from}-"),
            Self::Last((count, _)) => format!("bytes=-{count}"),
            Self::Other(text) => text.clone(),
        })
    }

    /// First and end of what is asked of a sequence of this length; `None`: the range is ignored.
    fn of(&self, length: u64) -> Option<(u64, u64)> {
        let (from, end) = match self {
            Self::None | Self::Other(_) => return None,
            Self::Between(from, to) if to.0.is_empty() => (in_range(from)?, length),
            Self::Between(from, to) if from.0.is_empty() => (length.saturating_sub(in_range(to)?), length),
            Self::Between(from, to) => {
                let (from, to) = (in_range(from)?, in_range(to)?);
                if to < from {
                    return None;
                }
                (from, to.saturating_add(1).min(length))
            }
            Self::From(from) if from.0.is_empty() => return None,
            Self::From(from) => (in_range(from)?, length),
            Self::Last(count) => (length.saturating_sub(in_range(count)?), length),
        };
        Some((from, end))
    }
}

#[test]
fn a_range_of_the_sequence_is_what_the_model_says() {
    let end = option::weighted(0.3, number(LENGTH));
    fuzz(3000, (range(), end), |node, (range, end)| {
        // A header's value is visible text; others are no request.
        let headers: Vec<_> = range.header().map(|value| ("range", value)).into_iter().collect();
        let query = end.iter().map(|(text, _)| ("end".to_owned(), text.clone())).collect();
        let asked =
            Asked { method: "GET", path: "/v1/sequence".to_owned(), query, headers, ..Asked::default() };
        let Some(answer) = node.ask(&asked, false)? else { return Ok(()) };
        let is_visible =
            asked.headers.iter().all(|(_, value)| value.bytes().all(|byte| (0x20..0x7f).contains(&byte)));
        prop_assume!(is_visible && asked.headers.iter().all(|(_, value)| value.trim() == value));
        let length = match end {
            None => node.length(),
            Some((_, None)) => {
                prop_assert_eq!(answer.problem(), "bad-parameter");
                return Ok(());
            }
            Some((_, Some(end))) if end > node.length() => {
                prop_assert_eq!((answer.status, answer.problem()), (503, "node-behind".to_owned()));
                return Ok(());
            }
            Some((_, Some(end))) => end,
        };
        let part =
            |from: u64, end: u64| &node.bytes[usize::try_from(from).unwrap()..usize::try_from(end).unwrap()];
        match range.of(length) {
            None => prop_assert_eq!((answer.status, &answer.body[..]), (200, part(0, length))),
            Some((from, end)) if from >= length || from >= end => {
                prop_assert_eq!((answer.status, answer.problem()), (416, "range-not-satisfiable".to_owned()));
                prop_assert_eq!(answer.header("content-range"), format!("bytes */{length}"));
            }
            Some((from, end)) => {
                prop_assert_eq!((answer.status, &answer.body[..]), (206, part(from, end)));
                prop_assert_eq!(answer.header("content-range"), format!("bytes {from}-{}/{length}", end - 1));
            }
        }
        Ok(())
    });
}

/// An offset as a client of Durable Streams gives it, and where that is.
fn offset() -> impl Strategy<Value = Number> {
    let twenty = |at: u64| (format!("{at:020}"), Some(at));
    prop_oneof![
        6 => prop_oneof![0..=LENGTH + 2, Just(u64::MAX)].prop_map(twenty),
        1 => Just(("-1".to_owned(), Some(0))),
        1 => number(LENGTH).prop_filter("twenty digits", |(text, _)| text.len() != 20).prop_map(|(text, _)| (text, None)).prop_filter("a word", |(text, _)| text != "-1"),
        1 => no_number().prop_filter("a word", |text| text != "-1" && text != "now").prop_map(|text| (text, None)),
    ]
}

#[test]
fn a_chunk_from_an_offset_is_what_the_model_says() {
    let live = option::of(proptest::sample::select(&["false", "long-poll", "yes", ""][..]));
    fuzz(2000, (offset(), live), |node, ((text, at), live)| {
        let mut query = vec![("offset".to_owned(), text)];
        query.extend(live.map(|live| ("live".to_owned(), live.to_owned())));
        // A long-poll at the end waits; that is not for here.
        prop_assume!(live != Some("long-poll") || at.is_none_or(|at| at != node.length()));
        let asked = Asked { method: "GET", path: "/v1/sequence".to_owned(), query, ..Asked::default() };
        let Some(answer) = node.ask(&asked, false)? else { return Ok(()) };
        match at.filter(|_| live.is_none_or(|live| ["false", "long-poll"].contains(&live))) {
            None => prop_assert_eq!((answer.status, answer.problem()), (400, "bad-parameter".to_owned())),
            Some(at) if at > node.length() => {
                prop_assert_eq!((answer.status, answer.problem()), (503, "node-behind".to_owned()));
                prop_assert_eq!(answer.json()["limit"].as_u64(), Some(node.length()));
            }
            Some(at) => {
                prop_assert_eq!(
                    (answer.status, &answer.body[..]),
                    (200, &node.bytes[usize::try_from(at).unwrap()..])
                );
                prop_assert_eq!(answer.header("stream-next-offset"), format!("{:020}", node.length()));
            }
        }
        Ok(())
    });
}

/// Checks that these are the records, or their receipts.
fn are(found: &Value, node: &Node, indices: std::ops::Range<u64>) -> Result<(), TestCaseError> {
    let found = found.as_array().map_or(&[][..], Vec::as_slice);
    prop_assert_eq!(found.len() as u64, indices.end.saturating_sub(indices.start));
    for (index, found) in indices.zip(found) {
        let Held { text, offset, height } = &node.records[usize::try_from(index).unwrap()];
        let place = [index, *offset, text.len() as u64, *height];
        let shown =
            ["index", "offset", "length", "height"].map(|name| found[name].as_u64().unwrap_or(u64::MAX));
        prop_assert_eq!(shown, place);
        prop_assert_eq!(&found["tx_hash"], &Value::from(TxHash::of(text.as_bytes()).to_string()));
        if let Some(data) = found["data"].as_str() {
            prop_assert_eq!(data, data_encoding::BASE64.encode(text.as_bytes()));
        }
    }
    Ok(())
}

/// Indices of a block's records.
fn of_block(height: u64) -> std::ops::Range<u64> {
    let counts: Vec<u64> = BLOCKS.iter().map(|block| block.len() as u64).collect();
    let before = counts[..usize::try_from(height).unwrap().saturating_sub(1)].iter().sum();
    let Some(at) = usize::try_from(height).unwrap().checked_sub(1) else { return 0..0 };
    before..before + counts[at]
}

fn named(name: &'static str, numbers: &[Number]) -> impl Iterator<Item = (String, String)> {
    numbers.iter().map(move |(text, _)| (name.to_owned(), text.clone()))
}

#[test]
fn records_are_what_the_model_says() {
    let some = |tempting, weight| vec(number(tempting), weight);
    let strategy = (some(COUNT, 0..2), some(COUNT, 0..2), some(4, 0..2), 0..12);
    fuzz(2500, strategy, |node, (from, limit, mut height, odd)| {
        if odd < 8 {
            height.clear();
        }
        let mut query: Vec<(String, String)> =
            named("from", &from).chain(named("limit", &limit)).chain(named("height", &height)).collect();
        let twice = odd == 1 && !query.is_empty();
        match odd {
            0 => query.push(("form".to_owned(), "1".to_owned())),
            1 if twice => query.push(query[0].clone()),
            _ => {}
        }
        let headers = vec![("accept", "application/json".to_owned())];
        let asked =
            Asked { method: "GET", path: "/v1/records".to_owned(), query, headers, ..Asked::default() };
        let Some(answer) = node.ask(&asked, false)? else { return Ok(()) };
        let all_numbers = from.iter().chain(&limit).chain(&height).all(|(_, number)| number.is_some());
        let of = |numbers: &[Number]| numbers.first().and_then(|(_, number)| *number);
        let (from, limit, height) = (of(&from), of(&limit), of(&height));
        let is_bad = odd == 0
            || twice
            || !all_numbers
            || (height.is_some() && from.is_some())
            || limit.is_some_and(|limit| limit > 100_000);
        if is_bad {
            prop_assert_eq!((answer.status, answer.problem()), (400, "bad-parameter".to_owned()));
            return Ok(());
        }
        let is_behind =
            from.is_some_and(|from| from > node.count()) || height.is_some_and(|height| height > 4);
        if is_behind {
            prop_assert_eq!((answer.status, answer.problem()), (503, "node-behind".to_owned()));
            return Ok(());
        }
        let all = height.map_or(from.unwrap_or(0)..node.count(), of_block);
        let end = all.end.min(all.start.saturating_add(limit.unwrap_or(u64::MAX)));
        prop_assert_eq!(answer.status, 200);
        are(&answer.json()["records"], node, all.start..end)
    });
}

#[test]
fn receipts_by_place_are_what_the_model_says() {
    let which = proptest::sample::select(&["index", "offset", "height", "from"][..]);
    let one = (which.clone(), number(LENGTH));
    let strategy = (one, option::weighted(0.2, which), option::weighted(0.4, number(COUNT)));
    fuzz(3000, strategy, |node, ((which, at), second, limit)| {
        let mut query = vec![(which.to_owned(), at.0.clone())];
        query.extend(second.map(|second| (second.to_owned(), "1".to_owned())));
        query.extend(limit.iter().map(|(text, _)| ("limit".to_owned(), text.clone())));
        let asked = Asked { method: "GET", path: "/v1/receipts".to_owned(), query, ..Asked::default() };
        let Some(answer) = node.ask(&asked, false)? else { return Ok(()) };
        let limit_of =
            limit.map_or(Some(100), |(_, number)| number).filter(|limit| (1..=4096).contains(limit));
        let (Some(at), Some(limit), None) = (at.1, limit_of, second) else {
            prop_assert_eq!((answer.status, answer.problem()), (400, "bad-parameter".to_owned()));
            return Ok(());
        };
        let (is_there, indices) = match which {
            "index" => (at < node.count(), at..at.saturating_add(1)),
            "offset" => {
                let holds = |held: &Held| (held.offset..held.offset + held.text.len() as u64).contains(&at);
                let index = node.records.iter().position(holds).map_or(0, |index| index as u64);
                (at < node.length(), index..index + 1)
            }
            "height" => (at <= 4, if at <= 4 { of_block(at) } else { 0..0 }),
            // Beyond the end there is nothing, which is an answer, or "not yet", which is one, too.
            _ => (at <= node.count() || answer.status == 200, at.min(node.count())..node.count()),
        };
        if !is_there {
            prop_assert_eq!((answer.status, answer.problem()), (404, "not-committed".to_owned()));
            return Ok(());
        }
        let end = indices.end.min(indices.start.saturating_add(limit));
        prop_assert_eq!(answer.status, 200);
        let next = answer.json()["next"].as_u64();
        prop_assert_eq!(next, (end < indices.end).then_some(end));
        are(&answer.json()["receipts"], node, indices.start..end)
    });
}

#[test]
fn receipts_by_hash_are_what_the_model_says() {
    let texts: Vec<&str> =
        BLOCKS.iter().flat_map(|block| block.iter().copied()).chain(["unknown", "else"]).collect();
    let change = prop_oneof![
        4 => Just(0),
        1 => Just(1),
        1 => Just(2),
        1 => Just(3),
    ];
    let wait = option::of(proptest::sample::select(&["0", "0.001", "0.0", "-1", "x", "61", "", "1e-3"][..]));
    fuzz(
        1500,
        (proptest::sample::select(texts), change, wait, 0..64_usize),
        |node, (text, change, wait, at)| {
            let mut hash = TxHash::of(text.as_bytes()).to_string();
            match change {
                1 => hash = hash.to_uppercase(),
                2 => drop(hash.remove(at)),
                3 => hash.replace_range(at..=at, "g"),
                _ => {}
            }
            let query = wait.map(|wait| ("wait".to_owned(), wait.to_owned())).into_iter().collect();
            let asked =
                Asked { method: "GET", path: format!("/v1/receipts/{hash}"), query, ..Asked::default() };
            let Some(answer) = node.ask(&asked, false)? else { return Ok(()) };
            if change >= 2 || wait.is_some_and(|wait| !["0", "0.001", "0.0"].contains(&wait)) {
                prop_assert_eq!((answer.status, answer.problem()), (400, "bad-parameter".to_owned()));
                return Ok(());
            }
            let places: Vec<u64> = (0..)
                .zip(&node.records)
                .filter(|(_, held)| held.text == text)
                .map(|(index, _)| index)
                .collect();
            if places.is_empty() {
                prop_assert_eq!((answer.status, answer.problem()), (404, "unknown-transaction".to_owned()));
                return Ok(());
            }
            let document = answer.json();
            prop_assert_eq!(document["state"].as_str(), Some("committed"));
            let found = document["receipts"].as_array().map_or(&[][..], Vec::as_slice);
            let found: Vec<u64> = found.iter().filter_map(|receipt| receipt["index"].as_u64()).collect();
            prop_assert_eq!(found, places);
            Ok(())
        },
    );
}
