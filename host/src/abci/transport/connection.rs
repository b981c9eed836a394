//! One connection: requests in, answers out, in the order of the requests.
use std::{
    io,
    os::fd::OwnedFd,
    time::{Duration, Instant},
};

use bytes::Bytes;
use prost::Message as _;
use rustix::{
    io::Errno,
    net::{SendFlags, Shutdown, sockopt},
};
use tendermint_proto::v0_38::abci::{Request, RequestCheckTx, ResponseException, request, response};

use super::{
    Handler,
    checks::{self, Checks},
    control::{Control, DRAIN_MAX},
    dispatch,
    frames::{FrameError, Frames},
};

/// Answers waiting for the socket are written once they are this many bytes, even if more requests are buffered.
const ANSWERS_BYTES_HELD: usize = 256 << 10;

/// Maximum number of CheckTx worked on at once, so that the first answer does not wait for all of a long queue.
const CHECKS_MAX: usize = 1024;

/// How often a blocked write looks whether the server is shutting down.
const WRITE_SLICE: Duration = Duration::from_millis(500);

/// How long a client is given to read why it is being cut off before the socket closes under it.
const LINGER: Duration = Duration::from_secs(1);

/// A request that cannot be answered. The connection ends with it, the server does not.
#[derive(Debug, thiserror::Error)]
enum RequestError {
    /// What came cannot be cut into requests.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// Bytes that are no ABCI request.
    ///
    /// Let nothing but the CometBFT that comes with dseq connect to the ABCI address.
    #[error("the request is not a valid protobuf message: {0}")]
    Undecodable(#[from] prost::DecodeError),
    /// A request without a method that this server knows.
    ///
    /// Let nothing but the CometBFT that comes with dseq connect to the ABCI address.
    #[error("the request names no ABCI 2.0 method: it is empty, or of another version of the protocol")]
    NoMethod,
}

/// Why a connection ended.
enum End {
    /// The client closed it, leaving this many bytes of an unfinished request.
    Closed { partial_bytes: usize },
    /// The server is shutting down and everything received has been answered.
    Drained,
    /// A handler failed, here or on another connection.
    Failed,
    /// The client sent something that is not a request.
    Refused(RequestError),
    /// The socket failed, most often because the client went away.
    Lost(io::Error),
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        Self::Lost(error)
    }
}

pub(super) struct Connection<'a, H> {
    pub(super) handler: &'a H,
    pub(super) socket: &'a OwnedFd,
    pub(super) control: &'a Control,
    pub(super) checks: &'a Checks,
    pub(super) frames: Frames,
    /// CheckTx received and not yet executed. Nothing else is executed while there are any.
    pub(super) unchecked: Vec<RequestCheckTx>,
    /// Answers not yet written.
    pub(super) answers: Vec<u8>,
}

impl<H: Handler> Connection<'_, H> {
    /// Serves the connection to its end and logs how it came.
    pub(super) fn serve(mut self) {
        match self.serve_until_end() {
            End::Closed { partial_bytes: 0 } => tracing::debug!("the client closed the connection"),
            End::Closed { partial_bytes } => {
                tracing::warn!(partial_bytes, "the client closed the connection in the middle of a request");
            }
            End::Drained => {
                tracing::debug!("the connection is drained");
                self.close(Duration::ZERO);
            }
            End::Failed => tracing::debug!("the connection is cut because a handler failed"),
            End::Refused(error) => {
                tracing::warn!(%error, "closing a connection over a request that cannot be answered");
                match self.explain(&error) {
                    Ok(()) => self.close(LINGER),
                    Err(error) => tracing::debug!(%error, "disconnected before the error was sent"),
                }
            }
            End::Lost(error) => tracing::info!(%error, "the connection to the client is lost"),
        }
    }

    fn serve_until_end(&mut self) -> End {
        // A blocked write has to notice a shutdown. Where the option is refused, it waits for its client.
        if let Err(error) =
            sockopt::set_socket_timeout(self.socket, sockopt::Timeout::Send, Some(WRITE_SLICE))
        {
            tracing::warn!(%error, "cannot bound the writes of a connection");
        }
        loop {
            let step = self.answer_buffered().and_then(|()| self.read_more());
            if let Err(end) = step {
                return end;
            }
        }
    }

    /// Answers every request that is buffered whole. On return none of their answers is held back.
    fn answer_buffered(&mut self) -> Result<(), End> {
        loop {
            let value = match self.next_request() {
                Ok(Some(value)) => value,
                Ok(None) => break,
                Err(error) => {
                    self.run_checks()?;
                    return Err(End::Refused(error));
                }
            };
            if let request::Value::CheckTx(check) = value {
                self.unchecked.push(check);
                if self.unchecked.len() < CHECKS_MAX {
                    continue;
                }
                self.run_checks()?;
            } else {
                self.run_checks()?;
                self.execute(value)?;
            }
            if self.answers.len() >= ANSWERS_BYTES_HELD {
                self.write_answers()?;
            }
        }
        self.run_checks()?;
        self.write_answers()?;
        Ok(())
    }

    fn next_request(&mut self) -> Result<Option<request::Value>, RequestError> {
        let Some(frame) = self.frames.next()? else { return Ok(None) };
        decode(frame).map(Some)
    }

    fn read_more(&mut self) -> Result<(), End> {
        // A client that goes on sending must not prolong the drain for ever.
        let late = self.control.draining_since().is_some_and(|since| since.elapsed() > DRAIN_MAX);
        if late {
            return Err(End::Drained);
        }
        match self.frames.fill(self.socket) {
            Ok(0) if self.control.has_failed() => Err(End::Failed),
            Ok(0) if !self.control.is_serving() => Err(End::Drained),
            Ok(0) => Err(End::Closed { partial_bytes: self.frames.partial_bytes() }),
            Ok(_) => Ok(()),
            Err(error) => Err(End::Lost(error)),
        }
    }

    fn run_checks(&mut self) -> Result<(), End> {
        if self.unchecked.is_empty() {
            return Ok(());
        }
        self.refuse_after_failure()?;
        let requests = std::mem::take(&mut self.unchecked);
        let (frames, socket) = (&mut self.frames, self.socket);
        self.checks
            .run(self.handler, requests, &mut self.answers, || frames.fill_ahead(socket))
            .map_err(|_| End::Failed)
    }

    fn execute(&mut self, value: request::Value) -> Result<(), End> {
        self.refuse_after_failure()?;
        match dispatch::answer(self.handler, value) {
            Ok(answer) => {
                checks::encode(answer, &mut self.answers);
                Ok(())
            }
            Err(failure) => {
                self.control.fail(failure);
                Err(End::Failed)
            }
        }
    }

    /// After a failure the application's state is unknown: nothing may be asked of it any more.
    fn refuse_after_failure(&self) -> Result<(), End> {
        if self.control.has_failed() { Err(End::Failed) } else { Ok(()) }
    }

    fn explain(&mut self, error: &RequestError) -> io::Result<()> {
        let exception = ResponseException { error: error.to_string() };
        checks::encode(response::Value::Exception(exception), &mut self.answers);
        self.write_answers()
    }

    fn write_answers(&mut self) -> io::Result<()> {
        let mut unwritten = self.answers.as_slice();
        let started = Instant::now();
        while !unwritten.is_empty() {
            match rustix::net::send(self.socket, unwritten, SendFlags::NOSIGNAL) {
                Ok(count) => unwritten = &unwritten[count..],
                Err(Errno::INTR | Errno::AGAIN) => {}
                Err(error) => return Err(error.into()),
            }
            if !unwritten.is_empty() {
                self.bound_drain(started)?;
            }
        }
        self.answers.clear();
        self.answers.shrink_to(ANSWERS_BYTES_HELD);
        Ok(())
    }

    /// While the server serves, a client may be as slow as it likes. Once it shuts down, time is bounded.
    fn bound_drain(&self, write_started: Instant) -> io::Result<()> {
        let Some(since) = self.control.draining_since() else { return Ok(()) };
        if since.max(write_started).elapsed() <= DRAIN_MAX {
            return Ok(());
        }
        Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "the client does not read its answers and the server shuts down",
        ))
    }

    /// Ends the connection so that the client gets what was written to it.
    ///
    /// Closing a TCP socket with unread bytes resets the connection, which can overtake the last answer. So
    /// the sending side closes first, and what the client still sends is read and dropped, for as long as
    /// `linger` at most.
    fn close(&self, linger: Duration) {
        let started = Instant::now();
        if rustix::net::shutdown(self.socket, Shutdown::Write).is_err() || linger.is_zero() {
            return;
        }
        if sockopt::set_socket_timeout(self.socket, sockopt::Timeout::Recv, Some(linger)).is_err() {
            return;
        }
        let mut dropped = [0; 4096];
        while started.elapsed() < linger
            && rustix::io::read(self.socket, &mut dropped).is_ok_and(|count| count > 0)
        {}
    }
}

fn decode(frame: Bytes) -> Result<request::Value, RequestError> {
    Request::decode(frame)?.value.ok_or(RequestError::NoMethod)
}
