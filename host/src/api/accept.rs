//! The `Accept` header: which of several representations a client wants.

use axum::http::HeaderMap;
use axum::http::header::ACCEPT;

/// The one of `offered` that a client prefers, by its media type; the first one where it does not mind, none where it wants
/// none of them.
pub(super) fn preferred<T: Copy>(headers: &HeaderMap, offered: &[(&str, T)]) -> Option<T> {
    let values: Vec<&str> = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
    let ranges: Vec<(&str, u16)> =
        values.iter().flat_map(|value| value.split(',')).filter_map(range).collect();
    if ranges.is_empty() {
        return offered.first().map(|(_, first)| *first);
    }
    let weighed = offered.iter().map(|(media_type, one)| (quality(&ranges, media_type), *one));
    // Of equal ones, `max_by_key` takes the last.
    weighed.rev().max_by_key(|(quality, _)| *quality).filter(|(quality, _)| *quality > 0).map(|(_, one)| one)
}

/// A media range and its weight in thousandths.
fn range(text: &str) -> Option<(&str, u16)> {
    let mut parts = text.split(';').map(str::trim);
    let range = parts.next().filter(|range| !range.is_empty())?;
    let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
    Some((range, weight.map_or(1000, thousandths)))
}

fn thousandths(weight: &str) -> u16 {
    let weight: f32 = weight.parse().unwrap_or(0.0);
    if weight >= 1.0 {
        return 1000;
    }
    (1..1000).rev().find(|n| f32::from(*n) / 1000.0 <= weight).unwrap_or(0)
}

/// The weight of the most specific range that a media type is in.
fn quality(ranges: &[(&str, u16)], media_type: &str) -> u16 {
    let kind = media_type.split('/').next().unwrap_or_default();
    let is_kind = |range: &str| range.strip_suffix("/*").is_some_and(|of| of.eq_ignore_ascii_case(kind));
    let of =
        |is: &dyn Fn(&str) -> bool| ranges.iter().find(|(range, _)| is(range)).map(|(_, weight)| *weight);
    of(&|range| range.eq_ignore_ascii_case(media_type))
        .or_else(|| of(&is_kind))
        .or_else(|| of(&|range| range == "*/*"))
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_specific_range_decides_and_then_the_order_of_what_is_offered() {
        let offered = [("application/json", 'j'), ("application/x-ndjson", 'n'), ("text/plain", 't')];
        let cases = [
            ("", Some('j')),
            ("*/*", Some('j')),
            ("text/html, */*;q=0.1", Some('j')),
            ("application/x-ndjson", Some('n')),
            ("Application/X-NDJSON; charset=utf-8", Some('n')),
            ("application/json;q=0.5, application/x-ndjson;q=0.6", Some('n')),
            ("application/*;q=0.5, text/*", Some('t')),
            ("application/json;q=0, */*", Some('n')),
            ("text/html", None),
            ("*/*;q=0", None),
            ("application/json;q=x", None),
        ];
        for (accept, expected) in cases {
            let headers = [(ACCEPT, accept.parse().unwrap())].into_iter().collect();
            assert_eq!(preferred(&headers, &offered), expected, "{accept:?}");
        }
        assert_eq!(preferred(&HeaderMap::new(), &offered), Some('j'));
    }
}
