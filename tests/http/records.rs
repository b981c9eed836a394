//! `GET /v1/records`.

use data_encoding::BASE64;
use serde_json::Value;

use super::client::{Answer, Client};
use super::log::{Node, node};

fn get(node: &Node, query: &str, accept: &str) -> Answer {
    node.connect().get(&format!("/v1/records{query}"), accept).answer()
}

const NDJSON: &str = "accept: application/x-ndjson\r\n";
const FRAMES: &str = "accept: application/octet-stream\r\n";

fn json(node: &Node, query: &str) -> Value {
    let answer = get(node, query, "");
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/json"), "{answer:?}");
    serde_json::from_slice(&answer.body).unwrap()
}

/// Records of many lengths, around those at which base64 groups and pieces end.
fn records() -> Vec<Vec<u8>> {
    let lengths = [1, 2, 3, 4, 5, 250, 32_768, 131_071, 131_072, 131_073, 3, 300_000, 1];
    let noise = |seed: usize| move |n: usize| u8::try_from((seed * 31 + n * 7 + n / 256) % 256).unwrap();
    lengths.iter().enumerate().map(|(seed, length)| (0..*length).map(noise(seed)).collect()).collect()
}

fn filled() -> (Node, Vec<Vec<u8>>) {
    let (mut node, records) = (node(), records());
    node.commit(&records[..4]);
    node.commit::<&str>(&[]);
    node.commit(&records[4..9]);
    node.commit(&records[9..]);
    (node, records)
}

fn check(record: &Value, index: usize, records: &[Vec<u8>]) {
    let bytes = &records[index];
    let offset: usize = records[..index].iter().map(Vec::len).sum();
    assert_eq!(record["index"], index);
    assert_eq!((&record["offset"], &record["length"]), (&offset.into(), &bytes.len().into()), "{index}");
    assert_eq!(record["height"], [1, 3, 4][usize::from(index >= 4) + usize::from(index >= 9)]);
    assert_eq!(record["tx_hash"], dseq::types::TxHash::of(bytes).to_string());
    assert_eq!(record["blake3"], blake3::hash(bytes).to_hex().as_str());
    assert!(BASE64.decode(record["data"].as_str().unwrap().as_bytes()).unwrap() == *bytes, "{index}");
}

#[test]
fn as_json_records_have_their_receipts_and_bytes() {
    let (node, records) = filled();
    let all = json(&node, "");
    assert_eq!(all["next"], records.len());
    let found = all["records"].as_array().unwrap();
    assert_eq!(found.len(), records.len());
    for (index, record) in found.iter().enumerate() {
        check(record, index, &records);
        assert_eq!(record.as_object().unwrap().len(), 7);
    }
    for (query, indices) in [
        ("?from=3&limit=2", 3..5),
        ("?limit=1", 0..1),
        ("?limit=0", 0..0),
        ("?from=12", 12..13),
        ("?from=13", 13..13),
        ("?height=1", 0..4),
        ("?height=3", 4..9),
        ("?height=4", 9..13),
        ("?height=4&limit=2", 9..11),
    ] {
        let answer = json(&node, query);
        let found = answer["records"].as_array().unwrap();
        assert_eq!((found.len(), &answer["next"]), (indices.len(), &indices.end.into()), "{query}");
        for (index, record) in indices.zip(found) {
            check(record, index, &records);
        }
    }
    assert_eq!(json(&node, "?height=2")["records"], serde_json::json!([]));
}

#[test]
fn as_ndjson_there_is_a_record_a_line() {
    let (node, records) = filled();
    let answer = get(&node, "?from=1", NDJSON);
    assert_eq!(answer.header("content-type"), "application/x-ndjson");
    assert!(answer.text().ends_with("}\n"));
    let lines: Vec<Value> = answer.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), records.len() - 1);
    for (index, record) in (1..).zip(&lines) {
        check(record, index, &records);
    }
    assert_eq!(get(&node, "?from=13", NDJSON).text(), "");
}

/// Index, entry and bytes of each frame.
fn frames(mut bytes: &[u8]) -> Vec<(u64, dseq::sequence::Entry, Vec<u8>)> {
    let mut frames = Vec::new();
    while !bytes.is_empty() {
        let length = u32::from_le_bytes(bytes[..4].try_into().unwrap()) as usize;
        let index = u64::from_le_bytes(bytes[4..12].try_into().unwrap());
        let entry = dseq::sequence::Entry::decode(bytes[12..100].try_into().unwrap());
        frames.push((index, entry, bytes[100..4 + length].to_vec()));
        bytes = &bytes[4 + length..];
    }
    frames
}

#[test]
fn as_frames_they_have_the_entries_of_the_log() {
    let (node, records) = filled();
    let answer = get(&node, "?from=2&limit=10", FRAMES);
    assert_eq!(answer.header("content-type"), "application/octet-stream");
    let found = frames(&answer.body);
    assert_eq!(found.len(), 10);
    for (expected, (index, entry, bytes)) in (2..).zip(found) {
        assert_eq!(index, expected);
        assert_eq!(entry, node.log.reader().entry(index).unwrap());
        assert!(bytes == records[usize::try_from(index).unwrap()]);
    }
}

#[test]
fn more_records_than_are_read_at_once_come_all() {
    let mut node = node();
    let mut count = 0_usize;
    for block in [1, 700, 5000, 256, 255] {
        let records: Vec<String> = (count..count + block).map(|n| format!("record {n}\n")).collect();
        node.commit(&records);
        count += block;
    }
    let found = frames(&get(&node, "?limit=100000", FRAMES).body);
    assert_eq!(found.len(), count);
    for (n, (index, _, bytes)) in found.into_iter().enumerate() {
        assert_eq!((index, bytes), (n as u64, format!("record {n}\n").into_bytes()));
    }
    assert_eq!(json(&node, "")["next"], 1000, "the default limit");
}

#[test]
fn what_this_node_does_not_have_yet_is_503() {
    let (node, _) = filled();
    for (query, has, asked) in [("?from=14", 13, 14), ("?height=5", 4, 5), ("?from=99&live=true", 13, 99)] {
        let answer = get(&node, query, NDJSON);
        assert_eq!((answer.status, answer.problem_name().as_str()), (503, "node-behind"), "{query}");
        let problem = answer.problem();
        assert_eq!((&problem["limit"], &problem["actual"]), (&has.into(), &asked.into()), "{query}");
    }
}

#[test]
fn bad_parameters_are_400_and_unknown_formats_406() {
    let (node, _) = filled();
    for query in [
        "?from=-1",
        "?from=x",
        "?limit=",
        "?limit=100001",
        "?live=yes",
        "?limt=1",
        "?from=1&from=1",
        "?from=1&height=1",
        "?height=1&live=true",
    ] {
        let answer = get(&node, query, "");
        assert_eq!((answer.status, answer.problem_name().as_str()), (400, "bad-parameter"), "{query}");
    }
    for (query, accept) in [("", "text/html"), ("?live=true", "application/json")] {
        let answer = get(&node, query, &format!("accept: {accept}\r\n"));
        assert_eq!((answer.status, answer.problem_name().as_str()), (406, "not-acceptable"), "{query}");
    }
    assert_eq!(get(&node, "", "accept: text/html,application/xml;q=0.9,*/*;q=0.8\r\n").status, 200);
}

#[test]
fn live_records_go_on_with_those_to_come() {
    let (mut node, records) = filled();
    let mut lines = node.connect();
    let mut framed = node.connect();
    assert_eq!(
        lines.get("/v1/records?from=11&live=true", "").head().1["content-type"],
        "application/x-ndjson"
    );
    assert_eq!(framed.get("/v1/records?from=13&live=true", FRAMES).head().0, 200);
    let (mut text, mut bytes) = (String::new(), Vec::new());
    while text.matches('\n').count() < 2 {
        text += std::str::from_utf8(&lines.chunk()).unwrap();
    }
    for (index, line) in (11..).zip(text.lines()) {
        check(&serde_json::from_str(line).unwrap(), index, &records);
    }
    for n in 0..20_u64 {
        node.commit(&[format!("live {n}")]);
        let line: Value = serde_json::from_slice(&lines.chunk()).unwrap();
        assert_eq!((&line["index"], &line["height"]), (&(13 + n).into(), &(5 + n).into()));
        bytes.extend(framed.chunk());
        let (index, _, record) = frames(&bytes).pop().unwrap();
        assert_eq!((index, record), (13 + n, format!("live {n}").into_bytes()));
    }
    // It ends whole when the node stops.
    let stopped = std::thread::spawn(move || node.http.stop());
    assert_eq!((lines.chunk(), framed.chunk()), (Vec::new(), Vec::new()));
    drop((lines, framed));
    assert_eq!(stopped.join().unwrap(), 0);
}

#[test]
fn a_live_response_with_a_limit_ends() {
    let (mut node, _) = filled();
    let mut client = node.connect();
    client.get("/v1/records?from=13&limit=2&live=true", FRAMES);
    node.commit(&["a", "b", "c"]);
    let found = frames(&client.answer().body);
    assert_eq!(found.iter().map(|(index, ..)| *index).collect::<Vec<_>>(), [13, 14]);
}

#[test]
fn an_entry_that_is_damaged_on_disk_cuts_the_response_off() {
    let (node, _) = filled();
    let file = std::fs::OpenOptions::new().write(true).open(node.dir.path().join("records")).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &[0xff; 8], dseq::sequence::ENTRY_BYTES * 2 + 8).unwrap();
    // A node that has just started has nothing of it in memory.
    let again = super::serve(super::limits(), |stopping| {
        dseq::api::router(super::log::state(node.log.reader(), stopping))
    });
    let mut client = Client::connect(again.address());
    // Cut off after its head or before it: that depends on which of the two is sooner.
    client.get("/v1/records", FRAMES);
    let (answer, _) = client.rest();
    assert!(!answer.ends_with(b"0\r\n\r\n"), "it must not look complete");
}
