//! A node that a test plays: it answers requests by a function, over real sockets.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use dseq_client::Address;
use serde_json::{Value, json};

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) target: String,
    pub(crate) range: Option<String>,
    pub(crate) body: Vec<u8>,
}

/// The bytes of a response, after which the connection is kept or closed.
pub(crate) struct Reply {
    bytes: Vec<u8>,
    close: bool,
}

/// A node; it ends with the test's process.
pub(crate) struct Node {
    pub(crate) address: Address,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Reply {
    pub(crate) fn new(status: &str, headers: &str, body: &[u8]) -> Self {
        let length = body.len();
        let head = format!("HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\n\r\n");
        Self { bytes: [head.as_bytes(), body].concat(), close: false }
    }

    pub(crate) fn json(status: &str, body: &Value) -> Self {
        Self::new(status, "content-type: application/json\r\n", body.to_string().as_bytes())
    }

    pub(crate) fn problem(status: u16, name: &str, retry: bool, members: &Value) -> Self {
        let mut document = json!({
            "type": format!("urn:dseq:problem:{name}"), "title": name, "status": status,
            "detail": format!("details of {name}"), "retry": retry,
        });
        document.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        let headers = "content-type: application/problem+json\r\nretry-after: 0\r\n";
        Self::new(&format!("{status} X"), headers, document.to_string().as_bytes())
    }

    /// The connection is closed without an answer.
    pub(crate) fn none() -> Self {
        Self { bytes: Vec::new(), close: true }
    }

    /// Cut off before the last bytes.
    pub(crate) fn cut(mut self, missing: usize) -> Self {
        self.bytes.truncate(self.bytes.len() - missing);
        self.close = true;
        self
    }
}

impl Node {
    pub(crate) fn start(answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").unwrap(), answer)
    }

    pub(crate) fn on(
        listener: TcpListener,
        answer: impl Fn(&Request) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let address = listener.local_addr().unwrap().to_string().parse().unwrap();
        let requests = Arc::<Mutex<Vec<Request>>>::default();
        let (noted, answer) = (Arc::clone(&requests), Arc::new(answer));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (noted, answer) = (Arc::clone(&noted), Arc::clone(&answer));
                thread::spawn(move || serve(&stream.unwrap(), &noted, &*answer));
            }
        });
        Self { address, requests }
    }

    /// The targets of the requests so far.
    pub(crate) fn targets(&self) -> Vec<String> {
        self.requests.lock().unwrap().iter().map(|request| request.target.clone()).collect()
    }
}

fn serve(stream: &TcpStream, noted: &Mutex<Vec<Request>>, answer: &dyn Fn(&Request) -> Reply) {
    let mut reader = BufReader::new(stream);
    while let Some(request) = read_request(&mut reader) {
        noted.lock().unwrap().push(request.clone());
        let reply = answer(&request);
        let mut stream = stream;
        if stream.write_all(&reply.bytes).is_err() || reply.close {
            return;
        }
    }
}

fn read_request(reader: &mut BufReader<&TcpStream>) -> Option<Request> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|count| *count > 0)?;
    let target = line.split(' ').nth(1).unwrap().to_owned();
    let (mut length, mut range) = (0, None);
    loop {
        line.clear();
        reader.read_line(&mut line).ok().filter(|count| *count > 0)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        match name.to_lowercase().as_str() {
            "content-length" => length = value.parse().unwrap(),
            "range" => range = Some(value.to_owned()),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Request { target, range, body })
}

/// An address at which nobody listens.
pub(crate) fn nobody() -> Address {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string().parse().unwrap()
}

/// A node's committed bytes, and what is to go wrong with them.
pub(crate) struct Log {
    pub(crate) bytes: Vec<u8>,
    /// How many of them are committed here.
    pub(crate) length: AtomicU64,
    /// The next body is cut in half.
    pub(crate) cut_next: AtomicBool,
    /// Each request but for the status is refused with 503.
    pub(crate) busy: AtomicBool,
}

impl Log {
    pub(crate) fn new(bytes: &[u8], length: u64) -> Arc<Self> {
        let (cut_next, busy) = (AtomicBool::default(), AtomicBool::default());
        Arc::new(Self { bytes: bytes.to_vec(), length: length.into(), cut_next, busy })
    }

    pub(crate) fn commit(&self, length: usize) {
        self.length.store(length as u64, Ordering::SeqCst);
    }

    /// A node with this log.
    pub(crate) fn node(self: &Arc<Self>) -> Node {
        let log = Arc::clone(self);
        Node::start(move |request| log.answer(request))
    }

    pub(crate) fn answer(&self, request: &Request) -> Reply {
        let length = self.length.load(Ordering::SeqCst);
        if request.target == "/v1/status" {
            return Reply::json("200 OK", &status(&self.bytes[..usize::try_from(length).unwrap()]));
        }
        if self.busy.load(Ordering::SeqCst) {
            return Reply::problem(503, "too-many-connections", true, &json!({}));
        }
        let reply = match &request.range {
            Some(range) => self.range(range, length),
            None => self.poll(&request.target, length),
        };
        if self.cut_next.swap(false, Ordering::SeqCst) { reply.cut(10) } else { reply }
    }

    fn range(&self, range: &str, length: u64) -> Reply {
        let (first, last) = range.strip_prefix("bytes=").unwrap().split_once('-').unwrap();
        let first: u64 = first.parse().unwrap();
        let end = last.parse().map_or(length, |last: u64| length.min(last + 1));
        if first >= length {
            let headers = format!("content-range: bytes */{length}\r\n");
            return Reply::new("416 X", &headers, b"");
        }
        let headers = format!("content-range: bytes {first}-{}/{length}\r\n", end - 1);
        Reply::new("206 X", &headers, self.between(first, end))
    }

    /// A long poll that is short.
    fn poll(&self, target: &str, length: u64) -> Reply {
        let offset: u64 = target.split("offset=").nth(1).unwrap()[..20].parse().unwrap();
        if offset > length {
            return Reply::problem(503, "node-behind", true, &json!({ "limit": length }));
        }
        let headers = format!("stream-next-offset: {length:020}\r\nstream-cursor: 7\r\n");
        if offset == length {
            thread::sleep(Duration::from_millis(20));
            return Reply { bytes: format!("HTTP/1.1 204 X\r\n{headers}\r\n").into(), close: false };
        }
        Reply::new("200 OK", &headers, self.between(offset, length))
    }

    fn between(&self, from: u64, to: u64) -> &[u8] {
        &self.bytes[usize::try_from(from).unwrap()..usize::try_from(to).unwrap()]
    }
}

fn status(bytes: &[u8]) -> Value {
    let root = dseq_client::RecordHash::of(bytes).to_string();
    json!({
        "height": 1, "length": bytes.len(), "records": 1, "sequence_root": root, "records_root": root,
        "app_hash": root, "pipeline": root, "ready": true, "reason": null, "disk_low": false,
    })
}
