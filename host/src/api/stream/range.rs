//! The `Range` header of a request (RFC 9110, section 14), for bytes.

use std::ops::Range;

use axum::http::HeaderMap;
use axum::http::header::RANGE;

use crate::api::params::decimal;

/// What a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// All of it: there is no range, or one that a server ignores, such as one of several parts.
    Whole,
    /// A part, which is not empty.
    Part(Range<u64>),
    /// A part that is not there.
    Beyond,
}

/// What these headers ask for of something that is `length` bytes long.
pub(crate) fn asked(headers: &HeaderMap, length: u64) -> Asked {
    let mut values = headers.get_all(RANGE).iter();
    match (values.next().and_then(|value| value.to_str().ok()), values.next()) {
        (Some(value), None) => of(value, length).unwrap_or(Asked::Whole),
        _ => Asked::Whole,
    }
}

/// What a header's value asks for; none: it is malformed, or of a kind that is ignored.
fn of(value: &str, length: u64) -> Option<Asked> {
    let (unit, range) = value.split_once('=')?;
    if !unit.eq_ignore_ascii_case("bytes") {
        return None;
    }
    let (first, last) = range.split_once('-')?;
    if first.is_empty() {
        let suffix = number(last)?.min(length);
        return Some(if suffix == 0 {
            Asked::Beyond
        } else {
            Asked::Part(length.saturating_sub(suffix)..length)
        });
    }
    let first = number(first)?;
    let end = if last.is_empty() { length } else { number(last)?.saturating_add(1).min(length) };
    if !last.is_empty() && number(last)? < first {
        return None;
    }
    Some(if first >= length { Asked::Beyond } else { Asked::Part(first..end) })
}

/// A number of any size; one beyond 64 bits is beyond every length, too.
fn number(digits: &str) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| decimal(digits).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn one_range_is_taken_and_what_is_no_range_is_ignored() {
        use Asked::{Beyond, Part, Whole};
        let max = u64::MAX;
        let cases = [
            ("bytes=0-0", Part(0..1)),
            ("bytes=0-", Part(0..10)),
            ("Bytes=3-5", Part(3..6)),
            ("bytes=9-99", Part(9..10)),
            (&format!("bytes=9-{max}"), Part(9..10)),
            ("bytes=9-99999999999999999999999", Part(9..10)),
            ("bytes=-1", Part(9..10)),
            ("bytes=-10", Part(0..10)),
            ("bytes=-99999999999999999999999", Part(0..10)),
            ("bytes=-0", Beyond),
            ("bytes=10-", Beyond),
            ("bytes=10-12", Beyond),
            ("bytes=99999999999999999999999-", Beyond),
            (&format!("bytes={max}-{max}"), Beyond),
            ("bytes=5-3", Whole),
            ("bytes=0-1,3-4", Whole),
            ("bytes=0-1,", Whole),
            ("bytes=-", Whole),
            ("bytes=", Whole),
            ("bytes", Whole),
            ("", Whole),
            ("bytes= 0-1", Whole),
            ("bytes=+1-2", Whole),
            ("bytes=1--2", Whole),
            ("bytes=0x1-2", Whole),
            ("items=0-1", Whole),
        ];
        for (value, expected) in cases {
            assert_eq!(of(value, 10).unwrap_or(Whole), expected, "{value:?}");
        }
        // Nothing is a part of nothing.
        for value in ["bytes=0-", "bytes=0-0", "bytes=-1", "bytes=-0"] {
            assert_eq!(of(value, 0), Some(Beyond), "{value:?}");
        }
    }

    #[test]
    fn several_headers_are_ignored() {
        let mut headers = HeaderMap::new();
        assert_eq!(asked(&headers, 10), Asked::Whole);
        headers.append(RANGE, "bytes=1-2".parse().unwrap());
        assert_eq!(asked(&headers, 10), Asked::Part(1..3));
        headers.append(RANGE, "bytes=1-2".parse().unwrap());
        assert_eq!(asked(&headers, 10), Asked::Whole);
    }

    proptest! {
        #[test]
        fn a_part_is_never_empty_and_never_beyond_the_end(
            value in "(bytes|BYTES|b)=?[0-9 ,+-]{0,24}",
            length in prop_oneof![0..20_u64, Just(u64::MAX)],
        ) {
            if let Some(Asked::Part(part)) = of(&value, length) {
                prop_assert!(part.start < part.end && part.end <= length);
            }
        }

        #[test]
        fn a_range_is_what_its_numbers_say(first in 0..30_u64, last in 0..30_u64, length in 0..30_u64) {
            let asked = of(&format!("bytes={first}-{last}"), length);
            let expected = match () {
                () if last < first => None,
                () if first >= length => Some(Asked::Beyond),
                () => Some(Asked::Part(first..length.min(last + 1))),
            };
            prop_assert_eq!(asked, expected);
        }
    }
}
