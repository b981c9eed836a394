//! The read side of Durable Streams on `/v1/sequence`, and what the public suite does not look at, on streams in memory.

#[path = "../streams/memory.rs"]
mod memory;

use std::time::Duration;

use data_encoding::BASE64;
use dseq::api::stream::Timings;
use dseq::api::{Origins, Running};
use serde_json::Value;

use super::client::{Answer, Client};
use super::log::{Node, node};
use super::{limits, serve_for};

fn get(node: &Node, query: &str, headers: &str) -> Answer {
    node.connect().get(&format!("/v1/sequence?{query}"), headers).answer()
}

fn at(offset: u64) -> String {
    format!("offset={offset:020}")
}

/// One event: its id, its name, its data.
#[derive(Debug, PartialEq, Eq)]
struct Event {
    id: String,
    name: String,
    data: String,
}

/// The events in a chunk, which are whole.
fn events(chunk: &[u8]) -> Vec<Event> {
    let text = std::str::from_utf8(chunk).unwrap();
    let of = |block: &str| {
        let lines: Vec<&str> = block.split('\n').collect();
        let field = |at: usize, name: &str| {
            lines[at].strip_prefix(name).unwrap_or_else(|| panic!("{block}")).to_owned()
        };
        assert_eq!(lines.len(), 3, "{block}");
        Event { id: field(0, "id: "), name: field(1, "event: "), data: field(2, "data:") }
    };
    text.strip_suffix("\n\n").unwrap().split("\n\n").map(of).collect()
}

/// Data and control of a chunk: the bytes, where they end, and whether that is the end of all.
fn data_and_control(chunk: &[u8]) -> (Vec<u8>, u64, bool) {
    let events = events(chunk);
    let [data, control] = &events[..] else { panic!("{events:?}") };
    assert_eq!((data.name.as_str(), control.name.as_str()), ("data", "control"));
    assert_eq!(data.id, control.id);
    let (next, up_to_date) = position(control);
    (BASE64.decode(data.data.as_bytes()).unwrap(), next, up_to_date)
}

fn position(control: &Event) -> (u64, bool) {
    let fields: Value = serde_json::from_str(&control.data).unwrap();
    let next = fields["streamNextOffset"].as_str().unwrap();
    assert_eq!((next, next.len()), (control.id.as_str(), 20));
    assert!(fields["streamCursor"].as_str().unwrap().parse::<u64>().is_ok());
    (next.parse().unwrap(), fields["upToDate"] == true)
}

#[test]
fn catch_up_goes_on_from_any_offset_and_says_where_the_end_is() {
    let mut node = node();
    node.commit(&["0123", "45"]);
    let identity = node.connect().get("/v1/sequence", "").answer().header("etag")[1..17].to_owned();
    for (query, bytes, start) in
        [("offset=-1", "012345", 0), (&at(0), "012345", 0), (&at(4), "45", 4), (&at(6), "", 6)]
    {
        let answer = get(&node, query, "");
        assert_eq!((answer.status, answer.text()), (200, bytes), "{query}");
        assert_eq!(answer.header("stream-next-offset"), "00000000000000000006");
        assert_eq!(answer.header("stream-up-to-date"), "true");
        assert_eq!(answer.header("cache-control"), "no-cache");
        assert_eq!(answer.header("content-type"), "application/octet-stream");
        assert_eq!(answer.header("etag"), format!("\"{identity}-{start}-6\""));
        let again = get(&node, query, &format!("if-none-match: {}\r\n", answer.header("etag")));
        assert_eq!((again.status, again.header("stream-next-offset")), (304, "00000000000000000006"));
    }
    // Without an offset it is the whole, and those who follow can go on from there.
    let whole = node.connect().get("/v1/sequence", "").answer();
    assert_eq!(
        (whole.header("stream-next-offset"), whole.header("stream-up-to-date")),
        ("00000000000000000006", "true")
    );
    let now = get(&node, "offset=now", "");
    assert_eq!((now.text(), now.header("stream-next-offset")), ("", "00000000000000000006"));
    assert_eq!((now.header("etag"), now.header("cache-control")), ("(none)", "no-store"));
}

#[test]
fn a_full_chunk_never_changes_and_is_not_the_end() {
    let mut node = node();
    let noise: Vec<u8> =
        (0..9_u32 << 20).map(|n| (n.wrapping_mul(2_654_435_761) >> 24).to_le_bytes()[0]).collect();
    node.commit(&[&noise[..5 << 20], &noise[5 << 20..]]);
    let (mut read, mut next) = (Vec::new(), 0);
    for (length, is_end) in [(4 << 20, false), (4 << 20, false), (1 << 20, true)] {
        let answer = get(&node, &at(next), "");
        assert_eq!(answer.body.len(), length);
        assert_eq!(answer.header("stream-up-to-date"), if is_end { "true" } else { "(none)" });
        assert_eq!(answer.header("cache-control").ends_with("immutable"), !is_end);
        read.extend(answer.body);
        next = answer.headers["stream-next-offset"].parse().unwrap();
        assert_eq!(next, read.len() as u64);
    }
    assert!(read == noise);
}

#[test]
fn an_offset_beyond_this_node_is_503_in_every_mode_and_never_a_smaller_one() {
    let mut node = node();
    node.commit(&["0123"]);
    for mode in ["", "&live=long-poll", "&live=sse"] {
        for beyond in [5, u64::MAX] {
            let answer = get(&node, &format!("{}{mode}", at(beyond)), "");
            assert_eq!((answer.status, answer.problem_name().as_str()), (503, "node-behind"), "{mode}");
            assert_eq!((answer.header("stream-next-offset"), answer.header("retry-after")), ("(none)", "1"));
            assert_eq!(
                (&answer.problem()["limit"], &answer.problem()["actual"]),
                (&4.into(), &beyond.into())
            );
            assert_eq!(answer.header("x-content-type-options"), "nosniff");
        }
    }
    let last = format!("last-event-id: {:020}\r\n", 5);
    assert_eq!(get(&node, "offset=-1&live=sse", &last).status, 503);
}

#[test]
fn bad_requests_are_400() {
    let node = node();
    for query in [
        "offset=",
        "offset=0",
        "offset=x",
        "offset=-1&offset=-1",
        "live=sse",
        "live=long-poll",
        "offset=-1&live=x",
        "offset=-1&end=0",
        "live=sse&end=0",
    ] {
        let answer = get(&node, query, "");
        assert_eq!((answer.status, answer.problem_name().as_str()), (400, "bad-parameter"), "{query}");
    }
    assert_eq!(get(&node, "offset=-1&foo=bar", "").status, 200);
    for method in ["PUT", "POST", "DELETE"] {
        let mut client = node.connect();
        client
            .send(format!("{method} /v1/sequence HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n"));
        assert_eq!(client.answer().status, 405, "{method}");
    }
}

#[test]
fn head_says_where_the_end_is() {
    let mut node = node();
    node.commit(&["0123"]);
    for query in ["", "?offset=-1", "?offset=now&live=sse"] {
        let mut client = node.connect();
        client.send(format!("HEAD /v1/sequence{query} HTTP/1.1\r\nhost: localhost\r\n\r\n"));
        let (status, headers) = client.head();
        assert_eq!(
            (status, headers["stream-next-offset"].as_str()),
            (200, "00000000000000000004"),
            "{query}"
        );
        assert_eq!(headers["cache-control"], "no-store");
    }
}

#[test]
fn a_long_poll_answers_as_soon_as_there_is_something() {
    let mut node = node();
    node.commit(&["0123"]);
    let answer = get(&node, &format!("{}&live=long-poll", at(1)), "");
    assert_eq!((answer.status, answer.text()), (200, "123"));
    let cursor: u64 = answer.headers["stream-cursor"].parse().unwrap();
    let mut waiting: Vec<Client> = (0..5).map(|_| node.connect()).collect();
    for client in &mut waiting {
        client.get(&format!("/v1/sequence?{}&live=long-poll&cursor={cursor}", at(4)), "");
    }
    super::until("asked", || node.http.connections() == 5);
    // A block without records wakes nobody.
    node.commit::<&str>(&[]);
    node.commit(&["45"]);
    for client in &mut waiting {
        let answer = client.answer();
        assert_eq!((answer.status, answer.text(), answer.header("stream-up-to-date")), (200, "45", "true"));
        assert!(answer.headers["stream-cursor"].parse::<u64>().unwrap() > cursor);
    }
}

#[test]
fn events_follow_the_sequence() {
    let mut node = node();
    node.commit(&["0123"]);
    let mut follower = node.connect();
    let (status, headers) = follower.get("/v1/sequence?offset=-1&live=sse", "").head();
    assert_eq!((status, headers["content-type"].as_str()), (200, "text/event-stream"));
    assert_eq!(
        (headers["stream-sse-data-encoding"].as_str(), headers["cache-control"].as_str()),
        ("base64", "no-cache")
    );
    assert_eq!(data_and_control(&follower.chunk()), (b"0123".to_vec(), 4, true));
    let mut at_end = node.connect();
    at_end.get("/v1/sequence?offset=now&live=sse", "").head();
    assert_eq!(events(&at_end.chunk()).iter().map(position).collect::<Vec<_>>(), [(4, true)]);
    let mut length = 4;
    for n in 0..50_u64 {
        let record = vec![n.to_le_bytes()[0]; 1 + usize::try_from(n * n).unwrap()];
        node.commit(&[&record]);
        length += record.len() as u64;
        for client in [&mut follower, &mut at_end] {
            assert_eq!(data_and_control(&client.chunk()), (record.clone(), length, true));
        }
    }
    // A browser that reconnects asks with its first URL, and says what it had.
    let mut again = node.connect();
    again.get("/v1/sequence?offset=-1&live=sse", &format!("last-event-id: {:020}\r\n", length - 3)).head();
    assert_eq!(data_and_control(&again.chunk()), (vec![49; 3], length, true));
    // The end of the node is the end of the stream, whole.
    let stopped = std::thread::spawn(move || node.http.stop());
    assert_eq!((follower.chunk(), at_end.chunk(), again.chunk()), (Vec::new(), Vec::new(), Vec::new()));
    drop((follower, at_end, again));
    assert_eq!(stopped.join().unwrap(), 0);
}

#[test]
fn a_follower_that_is_far_behind_gets_everything_in_order() {
    let mut node = node();
    let noise: Vec<u8> =
        (0..3_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24).to_le_bytes()[0]).collect();
    node.commit(&[&noise[..2_000_000]]);
    let mut follower = node.connect();
    follower.get("/v1/sequence?offset=-1&live=sse", "").head();
    node.commit(&[&noise[2_000_000..]]);
    let mut read = Vec::new();
    loop {
        let (bytes, next, up_to_date) = data_and_control(&follower.chunk());
        read.extend(bytes);
        assert_eq!(
            (next, up_to_date),
            (read.len() as u64, read.len() == noise.len() || read.len() == 2_000_000 && up_to_date)
        );
        if read.len() == noise.len() {
            break;
        }
    }
    assert!(read == noise);
}

fn memory_with(timings: Timings) -> Running {
    serve_for(limits(), &Origins::Every, |stopping| memory::router(stopping, timings))
}

const NEVER: Duration = Duration::from_secs(600);
const SOON: Duration = Duration::from_millis(20);

fn put(http: &Running, media_type: &str, body: &str) {
    let length = body.len();
    let mut client = Client::connect(http.address());
    client.send(format!(
        "PUT /v1/stream/a HTTP/1.1\r\nhost: localhost\r\ncontent-type: {media_type}\r\ncontent-length: {length}\r\n\r\n{body}"
    ));
    assert_eq!(client.answer().status, 201);
}

#[test]
fn a_long_poll_without_news_ends_with_204() {
    let http = memory_with(Timings { long_poll: SOON, events: NEVER, keep_alive: NEVER });
    put(&http, "text/plain", "0123");
    let answer =
        Client::connect(http.address()).get(&format!("/v1/stream/a?{}&live=long-poll", at(4)), "").answer();
    assert_eq!((answer.status, answer.text(), answer.header("content-length")), (204, "", "(none)"));
    assert_eq!(answer.header("stream-next-offset"), "00000000000000000004");
    assert_eq!((answer.header("stream-up-to-date"), answer.header("cache-control")), ("true", "no-store"));
    assert!(answer.headers.contains_key("stream-cursor"));
}

#[test]
fn a_silent_stream_of_events_says_that_it_is_there() {
    let http = memory_with(Timings { long_poll: NEVER, events: NEVER, keep_alive: SOON });
    put(&http, "text/plain", "0123");
    let mut client = Client::connect(http.address());
    client.get("/v1/stream/a?offset=now&live=sse", "").head();
    let mut cursors = Vec::new();
    for _ in 0..5 {
        let events = events(&client.chunk());
        assert_eq!(events.iter().map(position).collect::<Vec<_>>(), [(4, true)]);
        let fields: Value = serde_json::from_str(&events[0].data).unwrap();
        cursors.push(fields["streamCursor"].as_str().unwrap().parse::<u64>().unwrap());
    }
    assert!(cursors.is_sorted(), "{cursors:?}");
}

#[test]
fn a_stream_of_events_ends_after_its_time_busy_or_not() {
    let http = memory_with(Timings { long_poll: NEVER, events: SOON, keep_alive: Duration::from_millis(1) });
    put(&http, "text/plain", "0123");
    let mut client = Client::connect(http.address());
    client.get("/v1/stream/a?offset=-1&live=sse", "").head();
    while !client.chunk().is_empty() {}
    // The connection is there for the next one.
    assert_eq!(client.get("/v1/stream/a", "").answer().text(), "0123");
}
