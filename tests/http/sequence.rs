//! `GET /v1/sequence` without Durable Streams: ranges, conditions, pinned lengths.

use super::client::Answer;
use super::log::{Node, node};

fn get(node: &Node, query: &str, headers: &str) -> Answer {
    node.connect().get(&format!("/v1/sequence{query}"), headers).answer()
}

fn head(node: &Node, query: &str, headers: &str) -> Answer {
    let mut client = node.connect();
    client.send(format!("HEAD /v1/sequence{query} HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n"));
    let (status, headers) = client.head();
    assert_eq!(client.closed_after(), b"", "a body after HEAD");
    Answer { status, headers, body: Vec::new() }
}

fn ten() -> Node {
    let mut node = node();
    node.commit(&["0123", "45"]);
    node.commit(&["6789"]);
    node
}

#[test]
fn the_whole_sequence_is_its_records_and_nothing_else() {
    let node = ten();
    let answer = get(&node, "", "");
    assert_eq!((answer.status, answer.text()), (200, "0123456789"));
    assert_eq!(answer.header("content-type"), "application/octet-stream");
    assert_eq!(answer.header("accept-ranges"), "bytes");
    assert_eq!(answer.header("cache-control"), "no-cache");
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    // `answer` reads as much as this says.
    assert_eq!(answer.header("content-length"), "10");
}

#[test]
fn an_empty_sequence_is_empty() {
    let node = node();
    let answer = get(&node, "", "");
    assert_eq!((answer.status, answer.text(), answer.header("content-length")), (200, "", "0"));
    assert_eq!(answer.header("etag"), "\"empty-0\"");
    let answer = get(&node, "", "range: bytes=0-\r\n");
    assert_eq!((answer.status, answer.header("content-range")), (416, "bytes */0"));
    assert_eq!(get(&node, "?end=0", "").status, 200);
}

#[test]
fn nothing_is_the_same_nothing_after_the_first_record() {
    let mut node = node();
    let before = get(&node, "?end=0", "");
    assert_eq!(before.header("cache-control"), "public, max-age=31536000, immutable");
    node.commit(&["0123"]);
    let after = get(&node, "?end=0", "");
    assert_eq!((after.status, after.text(), after.header("etag")), (200, "", before.header("etag")));
    assert_eq!(get(&node, "?end=0", "if-none-match: \"empty-0\"\r\n").status, 304);
    assert_eq!(get(&node, "", "if-none-match: \"empty-0\"\r\n").text(), "0123");
    assert_eq!(get(&node, "", "range: bytes=0-\r\nif-range: \"empty-0\"\r\n").text(), "0123");
}

#[test]
fn a_parameter_that_is_not_there_is_refused_unless_it_is_a_request_of_durable_streams() {
    let node = ten();
    for bad in ["?ofset=-1", "?end=3&x=1", "?from=3", "?limit=1"] {
        let answer = get(&node, bad, "");
        assert_eq!((answer.status, answer.problem_name().as_str()), (400, "bad-parameter"), "{bad}");
    }
    assert_eq!(get(&node, "?cursor=3", "").status, 200);
    assert_eq!(get(&node, "?offset=-1&x=1", "").text(), "0123456789");
    for bad in ["/v1/status?x=1", "/v1/pipeline?x", "/v1/records?frm=1", "/v1/receipts?index=0&x=1"] {
        let answer = node.connect().get(bad, "").answer();
        assert_eq!((answer.status, answer.problem_name().as_str()), (400, "bad-parameter"), "{bad}");
    }
}

#[test]
fn a_range_is_206_with_its_place() {
    let node = ten();
    for (range, bytes, place) in [
        ("0-0", "0", "bytes 0-0/10"),
        ("2-5", "2345", "bytes 2-5/10"),
        ("7-", "789", "bytes 7-9/10"),
        ("7-99999999999999999999999999", "789", "bytes 7-9/10"),
        ("-3", "789", "bytes 7-9/10"),
        ("-11", "0123456789", "bytes 0-9/10"),
        ("0-", "0123456789", "bytes 0-9/10"),
    ] {
        let answer = get(&node, "", &format!("range: bytes={range}\r\n"));
        assert_eq!((answer.status, answer.text()), (206, bytes), "{range}");
        assert_eq!(answer.header("content-range"), place, "{range}");
    }
}

#[test]
fn a_range_beyond_the_end_is_416_with_the_length() {
    let node = ten();
    for range in ["10-", "10-12", "-0", "18446744073709551615-", "99999999999999999999999-"] {
        let answer = get(&node, "", &format!("range: bytes={range}\r\n"));
        assert_eq!(
            (answer.status, answer.problem_name().as_str()),
            (416, "range-not-satisfiable"),
            "{range}"
        );
        assert_eq!(answer.header("content-range"), "bytes */10", "{range}");
        assert_eq!(answer.problem()["limit"], 10);
    }
}

#[test]
fn what_is_no_single_range_is_answered_whole() {
    let node = ten();
    for range in ["bytes=0-1,3-4", "bytes=3-1", "bytes=x", "items=0-1", "bytes=0-1\r\nrange: bytes=0-1"] {
        let answer = get(&node, "", &format!("range: {range}\r\n"));
        assert_eq!((answer.status, answer.text()), (200, "0123456789"), "{range}");
    }
}

#[test]
fn head_has_the_headers_and_no_ranges() {
    let node = ten();
    for headers in ["", "range: bytes=0-1\r\n", "range: bytes=99-\r\n"] {
        let answer = head(&node, "", headers);
        assert_eq!((answer.status, answer.header("content-length")), (200, "10"), "{headers}");
        assert_eq!(answer.header("cache-control"), "no-store");
        assert_eq!(answer.header("etag"), get(&node, "", "").header("etag"));
    }
}

#[test]
fn the_entity_tag_is_one_of_the_bytes() {
    let mut node = node();
    node.commit(&["0123"]);
    let four = get(&node, "", "").header("etag").to_owned();
    assert!(four.ends_with("-4\"") && four.len() == 16 + 4, "{four}");
    assert_eq!(get(&node, "", &format!("if-none-match: {four}\r\n")).status, 304);
    assert_eq!(
        get(&node, "", &format!("if-none-match: \"x\", W/{four}\r\nrange: bytes=0-0\r\n")).status,
        304
    );
    assert_eq!(get(&node, "", "if-none-match: *\r\n").status, 304);
    assert_eq!(get(&node, "", "if-none-match: \"x\"\r\n").text(), "0123");
    // A block without records changes nothing.
    node.commit::<&str>(&[]);
    assert_eq!(get(&node, "", &format!("if-none-match: {four}\r\n")).status, 304);
    node.commit(&["4"]);
    let answer = get(&node, "", &format!("if-none-match: {four}\r\n"));
    assert_eq!((answer.status, answer.text()), (200, "01234"));
    // The same bytes under a pinned length have the same tag, now and later.
    assert_eq!(get(&node, "?end=4", "").header("etag"), four);
    assert_eq!(get(&node, "?end=4", &format!("if-none-match: {four}\r\n")).status, 304);
    // A sequence that begins otherwise has other tags, of the same length too.
    let mut other = super::log::node();
    other.commit(&["012", "3"]);
    let other = get(&other, "", "").header("etag").to_owned();
    assert!(other != four && other.ends_with("-4\""), "{other}");
}

#[test]
fn an_interrupted_download_goes_on_though_the_sequence_has_grown() {
    let mut node = node();
    node.commit(&["0123"]);
    let four = get(&node, "", "").header("etag").to_owned();
    let resume = |node: &Node, range: &str, tag: &str| {
        let answer = get(node, "", &format!("range: bytes={range}\r\nif-range: {tag}\r\n"));
        (
            answer.status,
            answer.text().to_owned(),
            answer.header("content-range").to_owned(),
            answer.header("etag").to_owned(),
        )
    };
    let rest = (206, "23".to_owned(), "bytes 2-3/4".to_owned(), four.clone());
    assert_eq!(resume(&node, "2-", &four), rest);
    node.commit(&["456789"]);
    assert_eq!(resume(&node, "2-", &four), rest, "it goes on to where it was going");
    let ten = get(&node, "", "").header("etag").to_owned();
    let whole = (200, "0123456789".to_owned(), "(none)".to_owned(), ten.clone());
    assert_eq!(resume(&node, "4-", &four), whole, "there is nothing of it beyond its end");
    assert_eq!(resume(&node, "2-3", "\"other-4\""), whole);
    assert_eq!(resume(&node, "2-3", "Thu, 26 Nov 2026 00:00:00 GMT"), whole);
    let weak = format!("W/{four}");
    let longer = four.replace("-4", "-11");
    let padded = four.replace("-4", "-04");
    for tag in [&weak, &longer, &padded] {
        assert_eq!(resume(&node, "2-3", tag), whole, "{tag}");
    }
    assert_eq!(resume(&node, "2-3", &ten), (206, "23".to_owned(), "bytes 2-3/10".to_owned(), ten.clone()));
    assert_eq!(get(&node, "", &format!("range: bytes=10-\r\nif-range: {ten}\r\n")).status, 416);
}

#[test]
fn a_pinned_length_never_changes() {
    let mut node = node();
    node.commit(&["0123"]);
    let before = get(&node, "?end=3", "");
    assert_eq!((before.status, before.text()), (200, "012"));
    assert_eq!(before.header("cache-control"), "public, max-age=31536000, immutable");
    node.commit(&["456789"]);
    let after = get(&node, "?end=3", "");
    assert_eq!((after.text(), after.header("etag")), ("012", before.header("etag")));
    let part = get(&node, "?end=7", "range: bytes=5-\r\n");
    assert_eq!((part.status, part.text(), part.header("content-range")), (206, "56", "bytes 5-6/7"));
    assert_eq!(head(&node, "?end=7", "").header("content-length"), "7");
}

#[test]
fn a_length_that_this_node_does_not_have_is_503() {
    let node = ten();
    let answer = get(&node, "?end=11", "");
    assert_eq!((answer.status, answer.problem_name().as_str()), (503, "node-behind"));
    assert_eq!(answer.header("retry-after"), "1");
    let problem = answer.problem();
    assert_eq!(
        (&problem["limit"], &problem["actual"], &problem["retry"]),
        (&10.into(), &11.into(), &true.into())
    );
    for bad in ["?end=", "?end=-1", "?end=1&end=1", "?end=x", "?end=18446744073709551616"] {
        let answer = get(&node, bad, "");
        assert_eq!((answer.status, answer.problem_name().as_str()), (400, "bad-parameter"), "{bad}");
    }
}

#[test]
fn a_long_sequence_comes_whole_from_the_file_and_from_the_ring() {
    let mut node = node();
    let noise: Vec<u8> =
        (0..5_000_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    // More than the ring keeps, in blocks of many sizes.
    let mut rest = &noise[..];
    for size in
        [1, 70_000, 3, 9_000_000, 1_000_000, 17, 65_536, 65_537].into_iter().chain(std::iter::repeat(1 << 20))
    {
        let (block, after) = rest.split_at(size.min(rest.len()));
        node.commit(&[block]);
        rest = after;
        if rest.is_empty() {
            break;
        }
    }
    assert!(get(&node, "", "").body == noise);
    for start in [0, 1, 69_999, 3_999_999, 9_999_999, 15_000_000, noise.len() - 65_537, noise.len() - 1] {
        let answer = get(&node, "", &format!("range: bytes={start}-\r\n"));
        assert!(answer.status == 206 && answer.body == noise[start..], "{start}");
    }
}
