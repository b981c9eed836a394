//! What docs/rpc.md says of CometBFT's RPC: when bytes are in the sequence, and which bytes a request stands for.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::{Value, json};

use crate::one_node::{init, start};
use crate::support::{PATIENCE, ask, dseq, gallery, processes, receipt, run, until};

/// `None`: the request does not get as far as a transaction.
type Sent = (&'static str, Option<&'static [u8]>);

/// Forms of a request by GET, and the bytes they come to.
const FORMS: &[Sent] = &[
    ("tx=\"0xDEADBEEF\"", Some(b"0xDEADBEEF")),
    ("tx=0xDEADBEEF", Some(b"\xde\xad\xbe\xef")),
    ("tx=0xff0A", Some(b"\xff\n")),
    ("tx=0xABC", None),
    ("tx=\"text\"", Some(b"text")),
    ("tx=\"%C3%A9\"", Some("é".as_bytes())),
    ("tx=\"%FF\"", Some("\u{fffd}".as_bytes())),
    ("tx=\"a+b\"", Some(b"a b")),
    ("tx=\"a%2Bb\"", Some(b"a+b")),
    ("tx=\"c%20d\"", Some(b"c d")),
    ("tx=\"a\\nb\"", Some(b"a\nb")),
    ("tx=\"a\\\\nb\"", Some(b"a\\nb")),
    ("tx=\"a%3Bb\"", Some(b"a;b")),
    ("tx=\"a;b\"", None),
    ("tx=unquoted", None),
];

fn post(port: u16, request: &Value) -> Value {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let body = request.to_string();
    let length = body.len();
    write!(stream, "POST / HTTP/1.0\r\nHost: localhost:{port}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
}

#[test]
#[ignore = "needs CometBFT; run by make e2e"]
fn each_form_of_a_request_is_the_bytes_that_are_documented() {
    let dir = tempfile::tempdir().unwrap();
    let (home, rpc) = init(&dir.path().join("node"));
    let _node = Node(start(&home, rpc));
    let record = |answer: &Value| {
        let (offset, length) = receipt(answer)?;
        let sequence = fs::read(home.sequence_dir().join("sequence.bin")).unwrap();
        Some(sequence[usize::try_from(offset).unwrap()..][..usize::try_from(length).unwrap()].to_owned())
    };
    for (form, expected) in FORMS {
        let answer = ask(rpc, &format!("broadcast_tx_commit?{form}")).unwrap();
        assert_eq!(record(&answer).as_deref(), *expected, "{form}: {answer}");
    }
    let all: Vec<u8> = (0..=255).collect();
    let params = json!({ "tx": data_encoding::BASE64.encode(&all) });
    let answer =
        post(rpc, &json!({ "jsonrpc": "2.0", "id": 1, "method": "broadcast_tx_commit", "params": params }));
    assert_eq!(record(&answer), Some(all), "{answer}");
}

/// A node that ends with the test.
struct Node(std::process::Child);

impl Drop for Node {
    fn drop(&mut self) {
        let _ = rustix::process::kill_process(
            rustix::process::Pid::from_child(&self.0),
            rustix::process::Signal::TERM,
        );
        let _ = self.0.wait();
    }
}

/// As the page tells producers to: the line that it gives them prints a receipt, or fails.
#[test]
#[ignore = "needs CometBFT; run by make e2e"]
fn a_refused_transaction_has_no_receipt_though_its_result_code_is_0() {
    let dir = tempfile::tempdir().unwrap();
    let (home, rpc) = init(&dir.path().join("node"));
    let set = ["genesis", "set", "--home", home.root().to_str().unwrap(), "--plugin", &gallery("hex")];
    let (code, said) = run(&mut dseq(&set));
    assert_eq!(code, 0, "{said}");
    let _node = Node(start(&home, rpc));

    let refused = ask(rpc, "broadcast_tx_commit?tx=\"hello\"").unwrap();
    let (check, result) = (&refused["result"]["check_tx"], &refused["result"]["tx_result"]);
    assert_eq!((&check["code"], &check["codespace"]), (&1.into(), &"plugin/hex".into()), "{refused}");
    assert_eq!(
        (&result["code"], &result["data"], &refused["result"]["height"]),
        (&0.into(), &Value::Null, &"0".into())
    );
    assert_eq!(receipt(&refused), None);
    let taken = ask(rpc, "broadcast_tx_commit?tx=\"0x68656c6c6f\"").unwrap();
    assert_eq!(receipt(&taken), Some((0, 5)), "{taken}");

    let page = include_str!("../../docs/rpc.md");
    let line = page.lines().find(|line| line.contains("grep -o '\"data\"")).unwrap();
    let line = line.replace("localhost:26657", &format!("localhost:{rpc}"));
    let shell = |line: &str| run(std::process::Command::new("sh").args(["-c", line]));
    assert_eq!(shell(&line), (1, String::new()));
    let (code, said) = shell(&line.replace("world", "0x776f726c64"));
    assert_eq!(code, 0, "{said}");
    let receipt = said.strip_prefix("\"data\":\"").and_then(|rest| rest.strip_suffix("\"\n")).unwrap();
    assert_eq!(
        data_encoding::BASE64.decode(receipt.as_bytes()).unwrap()[16..],
        [5_u64.to_le_bytes(), 5_u64.to_le_bytes()].concat()
    );
    assert!(processes(&home).iter().all(|id| id.is_alive()));
    until("both records", || {
        (fs::read(home.sequence_dir().join("sequence.bin")).unwrap() == b"helloworld").then_some(())
    });
}
