//! Followers that are slow, many or rude.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use data_encoding::BASE64;
use dseq::api::Limits;

use super::client::{Client, PATIENCE};
use super::log::{Node, node, node_with};
use super::{limits, until};

const SOON: Duration = Duration::from_millis(300);

fn noise(length: u32, seed: u32) -> Vec<u8> {
    let byte = |n: u32| (n.wrapping_add(seed).wrapping_mul(2_654_435_761) >> 24).to_le_bytes()[0];
    (0..length).map(byte).collect()
}

/// The data in a part of a stream of events that may be cut off anywhere, and where it goes on after the last whole event.
fn data_of(text: &[u8]) -> (Vec<u8>, u64) {
    let text = String::from_utf8(text.to_vec()).unwrap();
    let (mut data, mut next) = (Vec::new(), 0);
    for event in text.split_inclusive("\n\n").filter(|event| event.ends_with("\n\n")) {
        let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        next = field("id: ").parse().unwrap();
        if field("event: ") == "data" {
            data.extend(BASE64.decode(field("data:").as_bytes()).unwrap());
        }
    }
    (data, next)
}

/// What is in the chunks of a body that may be cut off anywhere.
fn unchunked(mut bytes: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(end) = bytes.windows(2).position(|two| two == b"\r\n") {
        let size = usize::from_str_radix(std::str::from_utf8(&bytes[..end]).unwrap(), 16).unwrap();
        let rest = &bytes[end + 2..];
        body.extend_from_slice(&rest[..size.min(rest.len())]);
        bytes = rest.get(size + 2..).unwrap_or_default();
    }
    body
}

fn impatient() -> Node {
    node_with(Limits { write_wait_max: SOON, ..limits() })
}

#[test]
fn a_follower_that_stalls_is_disconnected_and_can_resume() {
    let mut node = impatient();
    let mut stalled = node.connect();
    stalled.get("/v1/sequence?offset=-1&live=sse", "").head();
    let mut other = node.connect();
    other.get("/v1/records?from=0&live=true", "accept: application/octet-stream\r\n").head();
    // More than both kernels keep for it.
    let blocks: Vec<Vec<u8>> = (0..60).map(|seed| noise(300_000, seed)).collect();
    for block in &blocks {
        node.commit(&[block]);
    }
    until("both disconnected", || node.http.connections() == 0);
    let (text, was_reset) = stalled.rest();
    assert!(was_reset);
    let (had, next) = data_of(&unchunked(&text));
    let all = blocks.concat();
    assert!(had.len() as u64 == next && next < all.len() as u64 && had == all[..had.len()], "{next}");
    let (mut read, mut again) = (had, node.connect());
    again.get(&format!("/v1/sequence?offset={next:020}&live=sse"), "").head();
    while read.len() < all.len() {
        read.extend(data_of(&again.chunk()).0);
    }
    assert!(read == all);
}

#[test]
fn a_reader_that_stalls_within_a_long_body_is_disconnected_and_can_resume() {
    let mut node = impatient();
    let all = noise(40_000_000, 7);
    node.commit(&[&all]);
    let mut stalled = node.connect();
    let (status, headers) = stalled.get("/v1/sequence", "").head();
    assert_eq!((status, headers["content-length"].as_str()), (200, "40000000"));
    until("disconnected", || node.http.connections() == 0);
    let (mut read, was_reset) = stalled.rest();
    assert!(was_reset && read.len() < all.len());
    let resume = format!("range: bytes={}-\r\nif-range: {}\r\n", read.len(), headers["etag"]);
    let rest = node.connect().get("/v1/sequence", &resume).answer();
    assert_eq!(rest.status, 206);
    read.extend(rest.body);
    assert!(read == all);
}

/// Reads from many connections at once until each has had `length` bytes of the sequence.
fn follow_all(followers: &mut [(TcpStream, Vec<u8>)], length: u64) {
    let began = std::time::Instant::now();
    let mut buffer = vec![0; 1 << 16];
    for (stream, text) in followers {
        while !text.ends_with(format!("\"streamNextOffset\":\"{length:020}\"").as_bytes())
            && !String::from_utf8_lossy(text).contains(&format!("id: {length:020}\nevent: control\ndata:{{"))
        {
            let count = stream.read(&mut buffer).unwrap();
            assert!(count > 0 && began.elapsed() < PATIENCE);
            text.extend_from_slice(&buffer[..count]);
        }
    }
}

/// That a client is gone shows when something is sent to it: at the latest when silence would be broken, here by blocks.
fn until_gone(node: &mut Node) {
    let began = std::time::Instant::now();
    while node.http.connections() > 0 {
        assert!(began.elapsed() < PATIENCE, "{} are left", node.http.connections());
        node.commit(&["more"]);
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn many_followers_all_get_everything() {
    // DSEQ_FOLLOWERS=5000 is the figure of docs/read.md; CI has to share its processors.
    let count = std::env::var("DSEQ_FOLLOWERS").map_or(500, |count| count.parse().unwrap());
    let mut node = node();
    node.commit(&["before"]);
    let open = |_| {
        let mut stream = TcpStream::connect(node.http.address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(b"GET /v1/sequence?offset=-1&live=sse HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
        (stream, Vec::new())
    };
    let mut followers: Vec<(TcpStream, Vec<u8>)> = (0..count).map(open).collect();
    let mut all = b"before".to_vec();
    follow_all(&mut followers, all.len() as u64);
    assert_eq!(node.http.connections(), count);
    for seed in 0..10 {
        let record = noise(200, seed);
        node.commit(&[&record]);
        all.extend(record);
    }
    follow_all(&mut followers, all.len() as u64);
    for (_, text) in &followers {
        let head = text.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
        let (data, next) = data_of(&unchunked(&text[head + 4..]));
        assert!(data == all && next == all.len() as u64);
    }
    drop(followers);
    until_gone(&mut node);
}

#[test]
fn a_flood_of_reconnects_leaves_nothing_behind() {
    let mut node = node();
    node.commit(&[noise(100_000, 1)]);
    let requests = [
        "/v1/sequence?offset=-1&live=sse",
        "/v1/sequence?offset=now&live=long-poll",
        "/v1/records?live=true",
        "/v1/sequence",
    ];
    for round in 0..250 {
        for (at, request) in requests.iter().enumerate() {
            let mut client = Client::connect(node.http.address());
            client.get(request, "");
            // Some go before the answer, some within it.
            if (round + at) % 3 == 0 && !request.contains("long-poll") {
                assert_eq!(client.head().0, 200);
            }
        }
    }
    until_gone(&mut node);
    assert_eq!(node.connect().get("/v1/sequence", "range: bytes=0-9\r\n").answer().body, noise(10, 1));
}

#[test]
fn absurd_requests_are_answered_and_cost_nothing() {
    let mut node = node();
    node.commit(&[noise(1000, 1)]);
    let mut client = node.connect();
    let zeros = "0".repeat(8000);
    let many: Vec<String> = (0..1500).map(|n| format!("{n}-{n}")).collect();
    for range in [
        format!("bytes={zeros}-{zeros}9"),
        format!("bytes=-{zeros}"),
        format!("bytes={}", many.join(",")),
        format!("bytes={zeros}"),
        "bytes=0-18446744073709551615".to_owned(),
        "bytes=18446744073709551615-18446744073709551615".to_owned(),
    ] {
        let answer = client.get("/v1/sequence", &format!("range: {range}\r\n")).answer();
        assert!(matches!(answer.status, 200 | 206 | 416), "{range} {}", answer.status);
    }
    let max = u64::MAX;
    for (query, status) in [
        (format!("/v1/sequence?offset={max}"), 503),
        (format!("/v1/sequence?end={max}"), 503),
        (format!("/v1/sequence?offset=-1&live=long-poll&cursor={max}"), 200),
        (format!("/v1/sequence?offset=-1&live=long-poll&cursor={zeros}"), 200),
        (format!("/v1/records?from={max}"), 503),
        (format!("/v1/records?from=1&limit={max}"), 400),
        (format!("/v1/records?height={max}"), 503),
        (format!("/v1/records?from={max}&live=true&limit={max}"), 503),
        (format!("/v1/sequence?offset={zeros}"), 400),
    ] {
        assert_eq!(client.get(&query, "").answer().status, status, "{query:.60}");
    }
}
