//! A client's socket, which fails when its reader takes too little.
//!
//! hyper polls no body while the socket is full, so a timeout around the body would never fire on a reader that has
//! stopped: the deadline has to be here.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::net::sockopt;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};

use super::Limits;
use super::limits::SEND_BUFFER_BYTES;

/// After this long without traffic the kernel asks whether the peer is still there; TCP_USER_TIMEOUT says how long it may
/// take to answer.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);

/// A socket with a bound on how slowly it may be read from at the other end.
pub(super) struct Socket {
    stream: TcpStream,
    reader: SlowReader,
}

/// How a reader does over the time in which something waits for it.
struct SlowReader {
    pace: Pace,
    timer: Pin<Box<Sleep>>,
    failed: bool,
}

/// What a reader has taken in how much waiting.
struct Pace {
    /// [`Limits::write_wait_max`].
    wait_max: Duration,
    /// [`Limits::write_bytes_min`].
    bytes_min: u64,
    /// Since when a write is pending, if one is.
    since: Option<Instant>,
    /// Earlier waiting, since bytes were last counted from 0.
    waited: Duration,
    /// Bytes that were taken since then.
    taken: u64,
}

impl Socket {
    /// Sets the options that bound what a connection may cost. A socket that does not take them is gone already.
    pub(super) fn new(stream: TcpStream, limits: &Limits) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        let millis = u32::try_from(limits.write_wait_max.as_millis()).unwrap_or(u32::MAX);
        sockopt::set_tcp_user_timeout(&stream, millis)?;
        sockopt::set_tcp_keepidle(&stream, KEEPALIVE_IDLE)?;
        sockopt::set_tcp_keepintvl(&stream, KEEPALIVE_INTERVAL)?;
        sockopt::set_socket_keepalive(&stream, true)?;
        sockopt::set_socket_send_buffer_size(&stream, SEND_BUFFER_BYTES)?;
        let pace = Pace::new(limits.write_wait_max, limits.write_bytes_min);
        let reader = SlowReader { pace, timer: Box::pin(sleep_until(Instant::now())), failed: false };
        Ok(Self { stream, reader })
    }

    /// The stream; none if its reader was too slow: such a connection is reset, so that the kernel does not keep for it
    /// what it will not read.
    pub(super) fn into_stream(self) -> Option<TcpStream> {
        if self.reader.failed {
            // Fails only for a socket that is gone.
            let _ = sockopt::set_socket_linger(&self.stream, Some(Duration::ZERO));
            return None;
        }
        Some(self.stream)
    }
}

impl SlowReader {
    /// What a write came to: with bytes taken, or pending, which may be one wait too many.
    fn judge(&mut self, cx: &mut Context<'_>, write: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match write {
            Poll::Ready(Ok(bytes)) => {
                self.pace.took(bytes as u64, Instant::now);
                Poll::Ready(Ok(bytes))
            }
            Poll::Ready(Err(err)) => Poll::Ready(Err(err)),
            Poll::Pending => self.poll_wait(cx),
        }
    }

    fn poll_wait(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        loop {
            let Some(deadline) = self.pace.waits(Instant::now()) else {
                self.failed = true;
                let Pace { taken, wait_max, .. } = self.pace;
                let why = format!(
                    "the client took {taken} bytes in {} s of waiting for it",
                    wait_max.as_secs_f64()
                );
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, why)));
            };
            if self.timer.deadline() != deadline {
                self.timer.as_mut().reset(deadline);
            }
            if self.timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }
}

impl Pace {
    fn new(wait_max: Duration, bytes_min: u64) -> Self {
        Self { wait_max, bytes_min, since: None, waited: Duration::ZERO, taken: 0 }
    }

    /// Bytes were taken: whatever waited for the reader goes on.
    fn took(&mut self, bytes: u64, now: impl FnOnce() -> Instant) {
        self.taken = self.taken.saturating_add(bytes);
        if let Some(since) = self.since.take() {
            self.waited = self.waited.saturating_add(now().saturating_duration_since(since));
        }
    }

    /// Something waits for the reader: until when it may; none: the reader has had its time, and took too little.
    fn waits(&mut self, now: Instant) -> Option<Instant> {
        let since = *self.since.get_or_insert(now);
        let deadline = since + self.wait_max.saturating_sub(self.waited);
        if now < deadline {
            return Some(deadline);
        }
        if self.taken < self.bytes_min {
            return None;
        }
        (self.since, self.waited, self.taken) = (Some(now), Duration::ZERO, 0);
        Some(now + self.wait_max)
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let write = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.reader.judge(cx, write)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let write = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.reader.judge(cx, write)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A reader that may keep us waiting for ten seconds, and has to take a hundred bytes in them.
    fn pace() -> (Pace, impl Fn(u64) -> Instant) {
        let began = Instant::now();
        (Pace::new(Duration::from_secs(10), 100), move |seconds| began + Duration::from_secs(seconds))
    }

    #[test]
    fn a_reader_that_takes_nothing_has_its_time_and_no_more() {
        let (mut pace, at) = pace();
        assert_eq!(pace.waits(at(0)), Some(at(10)));
        assert_eq!(pace.waits(at(9)), Some(at(10)));
        assert_eq!(pace.waits(at(10)), None);
    }

    #[test]
    fn a_reader_that_trickles_has_no_more_time_than_one_that_stops() {
        let (mut pace, at) = pace();
        for second in 0..9 {
            assert_eq!(pace.waits(at(second)), Some(at(10)), "{second}");
            pace.took(11, || at(second + 1));
        }
        assert_eq!(pace.waits(at(9)), Some(at(10)));
        assert_eq!(pace.waits(at(10)), None, "99 bytes");
    }

    #[test]
    fn a_reader_that_takes_enough_gets_as_much_time_again() {
        let (mut pace, at) = pace();
        assert_eq!(pace.waits(at(0)), Some(at(10)));
        pace.took(100, || at(5));
        assert_eq!(pace.waits(at(5)), Some(at(10)));
        assert_eq!(pace.waits(at(10)), Some(at(20)));
        assert_eq!(pace.waits(at(20)), None, "nothing in the second interval");
    }

    #[test]
    fn time_in_which_nothing_waits_for_the_reader_does_not_count() {
        let (mut pace, at) = pace();
        assert_eq!(pace.waits(at(0)), Some(at(10)));
        pace.took(1, || at(2));
        // Nothing to send for an hour; eight seconds of waiting are left.
        assert_eq!(pace.waits(at(3600)), Some(at(3608)));
        assert_eq!(pace.waits(at(3608)), None);
    }
}
