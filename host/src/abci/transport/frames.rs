//! Cuts the byte stream of one connection into the protobuf messages it carries.
//!
//! # Format
//!
//! One frame is the message's length as an unsigned LEB128 varint, then that many bytes of message. There is
//! nothing between frames.
//!
//! # Limits
//!
//! A length above the frame limit is refused as soon as it is known. No length is believed before its bytes
//! are here: the buffer grows with what was received, never with what was announced.
use std::{
    collections::VecDeque,
    io::{self, Read as _},
    os::fd::AsFd,
};

use bytes::{Buf, Bytes, BytesMut};
use rustix::net::RecvFlags;

/// Bytes asked of the socket at a time. Large enough that a pipelining client's requests arrive some hundred
/// at a time, small enough that 64 connections cost 8 MiB (it is needed twice).
const READ_BYTES: usize = 64 << 10;

/// A buffer that grew beyond this for one large frame is given back once it is empty, in bytes.
const BUFFER_BYTES_KEPT: usize = 1 << 20;

/// Maximum number of bytes taken from the socket before they are needed. As many as the 50,000 transactions of a local network's
/// mempool have at some 600 bytes each.
const AHEAD_BYTES_MAX: usize = 32 << 20;

/// Maximum length of the varint of a u64, in bytes.
const VARINT_BYTES_MAX: usize = 10;

/// Why a frame cannot be cut from the stream. The stream has lost its step: nothing after it can be trusted.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum FrameError {
    /// More than ten bytes of varint, or more than 64 bits in them.
    ///
    /// Let nothing but the CometBFT that comes with dseq connect to the ABCI address.
    #[error("the length of the request is not a varint of at most {VARINT_BYTES_MAX} bytes and 64 bits")]
    BadLength,
    /// A frame above the limit.
    ///
    /// Let nothing but the CometBFT that comes with dseq connect to the ABCI address.
    #[error("the request is {bytes} bytes long and this server takes at most {bytes_max}")]
    TooLarge {
        /// The announced length of the message.
        bytes: u64,
        /// The limit.
        bytes_max: u64,
    },
}

/// The read side of one connection: bytes in, whole frames out.
///
/// A frame is handed out as a slice of the read buffer, without copying, and so are the transactions decoded
/// from it. Whoever keeps such a slice keeps the whole buffer (up to 64 KiB, or its block) in memory.
pub(super) struct Frames {
    buffer: BytesMut,
    /// Where the socket's bytes land first. Growing `buffer` in place would zero its spare room at each read.
    window: Box<[u8]>,
    /// What [`Self::fill_ahead`] took from the socket, in front of what is still in there.
    ahead: VecDeque<u8>,
    frame_bytes_max: u64,
}

impl Frames {
    pub(super) fn new(frame_bytes_max: u64) -> Self {
        Self {
            buffer: BytesMut::with_capacity(READ_BYTES),
            window: vec![0; READ_BYTES].into_boxed_slice(),
            ahead: VecDeque::new(),
            frame_bytes_max,
        }
    }

    /// The next whole frame's message, or `None` when more bytes are needed.
    pub(super) fn next(&mut self) -> Result<Option<Bytes>, FrameError> {
        let Some((prefix, bytes)) = length(&self.buffer)? else { return Ok(None) };
        if bytes > self.frame_bytes_max {
            return Err(FrameError::TooLarge { bytes, bytes_max: self.frame_bytes_max });
        }
        // On a 32-bit host a length beyond `usize` is one that can never be buffered.
        let Ok(bytes) = usize::try_from(bytes) else {
            return Err(FrameError::TooLarge { bytes, bytes_max: self.frame_bytes_max });
        };
        if self.buffer.len() - prefix < bytes {
            return Ok(None);
        }
        self.buffer.advance(prefix);
        Ok(Some(self.buffer.split_to(bytes).freeze()))
    }

    /// Waits for bytes and buffers them; answers how many there were, 0 at the end of the stream.
    ///
    /// # Errors
    ///
    /// What `read` reports, except for interruptions by signals.
    pub(super) fn fill(&mut self, socket: impl AsFd) -> io::Result<usize> {
        if self.buffer.is_empty() && self.buffer.capacity() > BUFFER_BYTES_KEPT {
            self.buffer = BytesMut::with_capacity(READ_BYTES);
        }
        let count = if self.ahead.is_empty() {
            self.ahead.shrink_to(BUFFER_BYTES_KEPT);
            rustix::io::retry_on_intr(|| rustix::io::read(&socket, &mut *self.window))?
        } else {
            self.ahead.read(&mut self.window)?
        };
        self.buffer.extend_from_slice(&self.window[..count]);
        Ok(count)
    }

    /// Takes what the socket has, for a later [`Self::fill`], so that a client that sends more than is worked off does
    /// not block in its write. (CometBFT's client as released keeps a processor busy while it does: its flush
    /// timer then fires every 20 nanoseconds.) The end of the stream and errors are left for `fill` to find.
    pub(super) fn fill_ahead(&mut self, socket: impl AsFd) {
        while self.ahead.len() < AHEAD_BYTES_MAX {
            match rustix::net::recv(&socket, &mut *self.window, RecvFlags::DONTWAIT) {
                Ok((count, _)) if count > 0 => self.ahead.extend(&self.window[..count]),
                Ok(_) | Err(_) => return,
            }
        }
    }

    /// Bytes buffered that do not make a whole frame.
    pub(super) fn partial_bytes(&self) -> usize {
        self.buffer.len()
    }
}

/// Reads the varint at the start of `bytes`: its own length and its value, or `None` when it is not all there.
fn length(bytes: &[u8]) -> Result<Option<(usize, u64)>, FrameError> {
    let mut value = 0u64;
    for (index, byte) in bytes.iter().take(VARINT_BYTES_MAX).enumerate() {
        // The tenth byte has room for the 64th bit only.
        if index == VARINT_BYTES_MAX - 1 && *byte > 1 {
            return Err(FrameError::BadLength);
        }
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Ok(Some((index + 1, value)));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_length_is_read_as_prost_writes_it() {
        for value in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX >> 1, u64::MAX] {
            let mut bytes = Vec::new();
            prost::encoding::encode_varint(value, &mut bytes);
            for cut in 0..bytes.len() {
                assert_eq!(length(&bytes[..cut]), Ok(None), "{value} cut at {cut}");
            }
            bytes.extend_from_slice(b"next");
            assert_eq!(length(&bytes), Ok(Some((bytes.len() - 4, value))));
        }
    }

    #[test]
    fn a_length_beyond_ten_bytes_or_64_bits_is_refused() {
        assert_eq!(length(&[0xff; 9]), Ok(None));
        assert_eq!(length(&[0xff; 10]), Err(FrameError::BadLength));
        assert_eq!(length(&[0x80; 11]), Err(FrameError::BadLength));
        let mut overflowing = [0x80; 10];
        overflowing[9] = 2;
        assert_eq!(length(&overflowing), Err(FrameError::BadLength));
    }

    #[test]
    fn what_was_taken_ahead_comes_before_what_is_still_in_the_socket() {
        let (mut client, server) = std::os::unix::net::UnixStream::pair().unwrap();
        let mut frames = Frames::new(100);
        frames.fill_ahead(&server);
        client.write_all(b"\x03one\x03t").unwrap();
        frames.fill_ahead(&server);
        client.write_all(b"wo\x05three").unwrap();
        drop(client);
        let mut received = Vec::new();
        loop {
            while let Some(frame) = frames.next().unwrap() {
                received.push(frame);
            }
            if frames.fill(&server).unwrap() == 0 {
                break;
            }
            frames.fill_ahead(&server);
        }
        assert_eq!(received, ["one", "two", "three"]);
        assert_eq!(frames.partial_bytes(), 0);
    }

    #[test]
    fn an_announced_length_reserves_nothing() {
        let mut frames = Frames::new(u64::MAX >> 1);
        prost::encoding::encode_varint(1 << 40, &mut frames.buffer);
        assert_eq!(frames.next(), Ok(None));
        assert_eq!(frames.buffer.capacity(), READ_BYTES);
    }
}
