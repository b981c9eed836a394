//! A small blocking ABCI client for tests: plays CometBFT on one connection, over a unix socket or TCP.
//!
//! Methods panic when the connection fails or answers with another method's response, because a test has
//! nothing better to do; the `try_` methods leave that to the caller. A server that does not answer for a
//! minute fails the test instead of hanging it.
#![allow(dead_code, reason = "each test crate that includes this file uses a part of it")]

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{Shutdown, TcpStream},
    os::unix::net::UnixStream,
    sync::Arc,
    thread,
    time::Duration,
};

use bytes::Bytes;
use dseq::abci::transport::ListenAddr;
use prost::Message;
use tendermint_proto::v0_38::abci::{request::Value as Ask, response::Value as Answer, *};

/// No server needs this long; it only keeps a broken one from hanging the tests.
const WATCHDOG: Duration = Duration::from_secs(60);

/// One connection to an ABCI server.
pub(crate) struct Client {
    stream: Stream,
    reader: BufReader<Stream>,
}

macro_rules! method {
    ($name:ident, $variant:ident, $request:ty, $response:ty) => {
        pub(crate) fn $name(&mut self, request: $request) -> $response {
            match self.call(Ask::$variant(request)) {
                Answer::$variant(response) => response,
                other => panic!("{} was answered with {other:?}", stringify!($variant)),
            }
        }
    };
}

impl Client {
    /// Connects, or panics saying why not.
    pub(crate) fn connect(addr: &ListenAddr) -> Self {
        Self::try_connect(addr).unwrap_or_else(|error| panic!("cannot connect to {addr}: {error}"))
    }

    pub(crate) fn try_connect(addr: &ListenAddr) -> io::Result<Self> {
        let stream = Stream::connect(addr)?;
        Ok(Self { reader: BufReader::new(stream.clone()), stream })
    }

    method!(info, Info, RequestInfo, ResponseInfo);
    method!(init_chain, InitChain, RequestInitChain, ResponseInitChain);
    method!(query_with, Query, RequestQuery, ResponseQuery);
    method!(check_tx_with, CheckTx, RequestCheckTx, ResponseCheckTx);
    method!(prepare_proposal, PrepareProposal, RequestPrepareProposal, ResponsePrepareProposal);
    method!(process_proposal, ProcessProposal, RequestProcessProposal, ResponseProcessProposal);
    method!(extend_vote, ExtendVote, RequestExtendVote, ResponseExtendVote);
    method!(
        verify_vote_extension,
        VerifyVoteExtension,
        RequestVerifyVoteExtension,
        ResponseVerifyVoteExtension
    );
    method!(finalize_block, FinalizeBlock, RequestFinalizeBlock, ResponseFinalizeBlock);
    method!(commit_with, Commit, RequestCommit, ResponseCommit);
    method!(list_snapshots_with, ListSnapshots, RequestListSnapshots, ResponseListSnapshots);
    method!(offer_snapshot, OfferSnapshot, RequestOfferSnapshot, ResponseOfferSnapshot);
    method!(load_snapshot_chunk, LoadSnapshotChunk, RequestLoadSnapshotChunk, ResponseLoadSnapshotChunk);
    method!(apply_snapshot_chunk, ApplySnapshotChunk, RequestApplySnapshotChunk, ResponseApplySnapshotChunk);

    /// Commits the finalized block.
    pub(crate) fn commit(&mut self) -> ResponseCommit {
        self.commit_with(RequestCommit {})
    }

    pub(crate) fn list_snapshots(&mut self) -> ResponseListSnapshots {
        self.list_snapshots_with(RequestListSnapshots {})
    }

    /// Checks a transaction that is new to the mempool.
    pub(crate) fn check_tx(&mut self, tx: impl Into<Bytes>) -> ResponseCheckTx {
        self.check_tx_with(RequestCheckTx { tx: tx.into(), r#type: CheckTxType::New.into() })
    }

    pub(crate) fn query(&mut self, path: &str, data: impl Into<Bytes>) -> ResponseQuery {
        self.query_with(RequestQuery { path: path.to_owned(), data: data.into(), ..Default::default() })
    }

    pub(crate) fn echo(&mut self, message: &str) -> String {
        match self.call(ask_echo(message)) {
            Answer::Echo(response) => response.message,
            other => panic!("Echo was answered with {other:?}"),
        }
    }

    pub(crate) fn flush(&mut self) {
        match self.call(Ask::Flush(RequestFlush {})) {
            Answer::Flush(_) => {}
            other => panic!("Flush was answered with {other:?}"),
        }
    }

    /// Sends one request and waits for its answer.
    pub(crate) fn call(&mut self, request: Ask) -> Answer {
        self.try_call(request).expect("the server answers")
    }

    /// Like [`call`](Self::call); a connection that ends instead is `UnexpectedEof`.
    pub(crate) fn try_call(&mut self, request: Ask) -> io::Result<Answer> {
        self.try_send_raw(&frame(request))?;
        self.receive()?.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    /// Sends all requests and a Flush before it looks at an answer; returns the answers without the Flush's.
    pub(crate) fn pipeline(&mut self, requests: impl IntoIterator<Item = Ask>) -> Vec<Answer> {
        let mut bytes = Vec::new();
        let mut count = 0;
        for request in requests {
            append_frame(request, &mut bytes);
            count += 1;
        }
        append_frame(Ask::Flush(RequestFlush {}), &mut bytes);
        // Written from a thread of its own: neither side may wait for the other to empty its buffers.
        let mut writer = self.stream.clone();
        thread::scope(|scope| {
            scope.spawn(move || writer.write_all(&bytes).expect("the server takes the requests"));
            let answers = (0..count).map(|_| self.must_receive()).collect();
            let flushed = self.must_receive();
            assert!(matches!(flushed, Answer::Flush(_)), "Flush was answered with {flushed:?}");
            answers
        })
    }

    /// Sends one request and does not wait.
    pub(crate) fn send(&mut self, request: Ask) {
        self.send_raw(&frame(request));
    }

    /// Sends bytes as they are.
    pub(crate) fn send_raw(&mut self, bytes: &[u8]) {
        self.try_send_raw(bytes).expect("the server takes the bytes");
    }

    pub(crate) fn try_send_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Sends nothing more; the server sees the end of the stream and can still answer.
    pub(crate) fn finish_sending(&mut self) {
        self.stream.shutdown(Shutdown::Write).expect("the connection is open");
    }

    /// The next answer, or `None` when the server closed the connection after its last one.
    pub(crate) fn receive(&mut self) -> io::Result<Option<Answer>> {
        loop {
            match self.reader.fill_buf() {
                Ok([]) => return Ok(None),
                Ok(_) => break,
                // A read with a time limit ends early when the process was stopped and goes on.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        let mut length = 0usize;
        for shift in (0..).step_by(7) {
            let mut byte = [0];
            self.reader.read_exact(&mut byte)?;
            length |= usize::from(byte[0] & 0x7f) << shift;
            if byte[0] & 0x80 == 0 {
                break;
            }
        }
        let mut message = vec![0; length];
        self.reader.read_exact(&mut message)?;
        let response = Response::decode(Bytes::from(message)).map_err(io::Error::other)?;
        response.value.map(Some).ok_or_else(|| io::Error::other("a response without a value"))
    }

    /// The next answer; panics when there is none.
    pub(crate) fn must_receive(&mut self) -> Answer {
        self.receive().expect("the connection works").expect("the server answers before it closes")
    }

    /// Waits for the end of the connection and returns the answers before it. A reset counts as an end.
    pub(crate) fn receive_to_end(&mut self) -> Vec<Answer> {
        let mut answers = Vec::new();
        loop {
            match self.receive() {
                Ok(Some(answer)) => answers.push(answer),
                Ok(None) => return answers,
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return answers,
                Err(error) => panic!("waiting for the end of the connection: {error}"),
            }
        }
    }
}

/// A request for an Echo of `message`.
pub(crate) fn ask_echo(message: &str) -> Ask {
    Ask::Echo(RequestEcho { message: message.to_owned() })
}

/// A request to check `tx`.
pub(crate) fn ask_check_tx(tx: impl Into<Bytes>) -> Ask {
    Ask::CheckTx(RequestCheckTx { tx: tx.into(), r#type: CheckTxType::New.into() })
}

/// A request to query `path` with `data`.
pub(crate) fn ask_query(path: &str, data: impl Into<Bytes>) -> Ask {
    Ask::Query(RequestQuery { path: path.to_owned(), data: data.into(), ..Default::default() })
}

/// One request as it goes over the wire.
pub(crate) fn frame(request: Ask) -> Vec<u8> {
    let mut bytes = Vec::new();
    append_frame(request, &mut bytes);
    bytes
}

fn append_frame(request: Ask, bytes: &mut Vec<u8>) {
    Request { value: Some(request) }.encode_length_delimited(bytes).expect("a Vec grows");
}

/// A socket of either kind; clones are the same connection.
#[derive(Clone)]
enum Stream {
    Unix(Arc<UnixStream>),
    Tcp(Arc<TcpStream>),
}

impl Stream {
    fn connect(addr: &ListenAddr) -> io::Result<Self> {
        match addr {
            ListenAddr::Unix(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_read_timeout(Some(WATCHDOG))?;
                stream.set_write_timeout(Some(WATCHDOG))?;
                Ok(Self::Unix(Arc::new(stream)))
            }
            ListenAddr::Tcp { host, port } => {
                let stream = TcpStream::connect((host.as_str(), *port))?;
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(WATCHDOG))?;
                stream.set_write_timeout(Some(WATCHDOG))?;
                Ok(Self::Tcp(Arc::new(stream)))
            }
        }
    }

    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        match self {
            Self::Unix(stream) => stream.shutdown(how),
            Self::Tcp(stream) => stream.shutdown(how),
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Unix(stream) => stream.as_ref().read(buffer),
            Self::Tcp(stream) => stream.as_ref().read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Unix(stream) => stream.as_ref().write(bytes),
            Self::Tcp(stream) => stream.as_ref().write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
