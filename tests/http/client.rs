//! A client over a raw socket: it sends the bytes that a test gives it, and parses the answer.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// Generous: it only decides how long a broken build takes to fail.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    unread: Vec<u8>,
}

/// A response, read whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self { stream, unread: Vec::new() }
    }

    pub(crate) fn send(&mut self, text: impl AsRef<[u8]>) -> &mut Self {
        self.stream.write_all(text.as_ref()).unwrap();
        self
    }

    /// Sends `GET` with more header lines, each with its end.
    pub(crate) fn get(&mut self, path: &str, headers: &str) -> &mut Self {
        self.send(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n"))
    }

    pub(crate) fn end_sending(&mut self) -> &mut Self {
        self.stream.shutdown(Shutdown::Write).unwrap();
        self
    }

    /// The next line, without its end.
    pub(crate) fn line(&mut self) -> String {
        loop {
            if let Some(end) = self.unread.windows(2).position(|two| two == b"\r\n") {
                let line = String::from_utf8(self.unread.drain(..end).collect()).unwrap();
                self.unread.drain(..2);
                return line;
            }
            assert!(self.fill().unwrap() > 0, "the end after {:?}", String::from_utf8_lossy(&self.unread));
        }
    }

    fn fill(&mut self) -> io::Result<usize> {
        let mut bytes = [0; 64 << 10];
        let count = self.stream.read(&mut bytes)?;
        self.unread.extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    pub(crate) fn head(&mut self) -> (u16, BTreeMap<String, String>) {
        let line = self.line();
        let status = line.split(' ').nth(1).unwrap_or_else(|| panic!("{line:?}")).parse().unwrap();
        let mut headers = BTreeMap::new();
        loop {
            let line = self.line();
            if line.is_empty() {
                return (status, headers);
            }
            let (name, value) = line.split_once(": ").unwrap();
            let twice = headers.insert(name.to_lowercase(), value.to_owned());
            assert!(twice.is_none(), "{name} comes twice");
        }
    }

    /// A response that ends.
    pub(crate) fn answer(&mut self) -> Answer {
        let (status, headers) = self.head();
        self.body_of(status, headers)
    }

    /// The next chunk of a body in chunks; an empty one is its end.
    pub(crate) fn chunk(&mut self) -> Vec<u8> {
        let size = usize::from_str_radix(&self.line(), 16).unwrap();
        while self.unread.len() < size + 2 {
            assert!(self.fill().unwrap() > 0, "the end within a chunk");
        }
        let chunk = self.unread.drain(..size).collect();
        assert_eq!(self.unread.drain(..2).as_slice(), b"\r\n");
        chunk
    }

    /// The rest of a response of which this was the head.
    fn body_of(&mut self, status: u16, headers: BTreeMap<String, String>) -> Answer {
        if headers.get("transfer-encoding").is_some_and(|encoding| encoding == "chunked") {
            let chunks = std::iter::repeat_with(|| self.chunk()).take_while(|chunk| !chunk.is_empty());
            return Answer { status, headers, body: chunks.flatten().collect() };
        }
        let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
        while self.unread.len() < length {
            assert!(self.fill().unwrap() > 0, "the end within a body");
        }
        Answer { status, headers, body: self.unread.drain(..length).collect() }
    }

    /// Reads to the end of the connection: what came before it, and whether it was a reset.
    pub(crate) fn rest(mut self) -> (Vec<u8>, bool) {
        loop {
            match self.fill() {
                Ok(0) => return (self.unread, false),
                Ok(_) => {}
                Err(err) if err.kind() == io::ErrorKind::ConnectionReset => return (self.unread, true),
                Err(err) => panic!("{err}"),
            }
        }
    }

    /// What came before the end of the connection, after our side has ended.
    pub(crate) fn closed_after(mut self) -> Vec<u8> {
        self.end_sending();
        self.rest().0
    }

    /// Whether the connection has ended, in whatever way, with nothing left to read.
    pub(crate) fn ends_silently(self) -> bool {
        self.rest().0.is_empty()
    }
}

impl Answer {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("(none)", String::as_str)
    }

    /// The document, of which type and status have been checked against each other.
    pub(crate) fn problem(&self) -> Value {
        assert_eq!(self.header("content-type"), "application/problem+json", "{self:?}");
        let document: Value = serde_json::from_slice(&self.body).unwrap();
        assert_eq!(document["status"], self.status, "{document}");
        document
    }

    /// The last part of the type of the problem.
    pub(crate) fn problem_name(&self) -> String {
        let document = self.problem();
        let of = document["type"].as_str().unwrap();
        of.strip_prefix("urn:dseq:problem:").unwrap().to_owned()
    }
}
