//! Records as a stream of bytes, in one of three formats.
//!
//! # Format
//!
//! - JSON: `{"records":[RECORD,...],"next":INDEX}`. A record is what [`Place`] has, and `data`: its bytes in base64.
//! - NDJSON: one such record a line.
//! - Frames: for each record
//!
//! | bytes | what |
//! |---|---|
//! | 4 | length of what follows |
//! | 8 | index of the record |
//! | 88 | its entry, as in the `records` file |
//! | as the entry says | the record's bytes |
//!
//! Integers are little-endian. A live response that has been silent for a while says that it is there, by an empty line, or by a
//! frame of length 0: proxies cut off what is silent, and that a client is gone shows only when something is sent to it.
//!
//! # Limits
//!
//! A record is never in memory whole: it is read and written in pieces, like everything else.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use data_encoding::BASE64;
use futures_util::stream::{Stream, try_unfold};

use tokio::time::sleep;

use super::Timings;
use super::body::Counted;
use crate::api::{Stopping, Tail, TailError};
use crate::sequence::{ENTRY_BYTES, Entry, Place, ReadError};

/// Number of entries that are read at once: 22 KiB.
const ENTRIES_AT_ONCE: usize = 256;
/// Length of an index in bytes.
const INDEX_BYTES: u64 = 8;
/// Bytes that base64 encodes together.
const GROUP: usize = 3;

/// How records are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// One object with all of them.
    Json,
    /// An object a line.
    Ndjson,
    /// The table above.
    Frames,
}

/// Records that are read and written as the client takes them.
pub(crate) struct Records {
    tail: Tail,
    stopping: Stopping,
    keep_alive: Duration,
    /// Not while it only waits.
    counted: Option<Counted>,
    writer: Writer,
    /// The record after the last one; none: those to come, too.
    end: Option<u64>,
    /// Entries of the records that come next; the first one's may have been begun.
    entries: VecDeque<Entry>,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Before,
    Within,
    After,
}

/// Whether there are more records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum More {
    Some,
    /// It has been silent for so long that the client has to be told that it is there.
    NotYet,
    Never,
}

impl Records {
    /// The records from `from` on, which is not beyond what is committed, up to `end`.
    pub(crate) fn new(tail: Tail, stopping: Stopping, format: Format, from: u64, end: Option<u64>) -> Self {
        let keep_alive = Timings::DEFAULT.keep_alive;
        let writer = Writer { format, index: from, written: 0, ungrouped: Vec::new(), is_first: true };
        let entries = VecDeque::new();
        Self { tail, stopping, keep_alive, counted: None, writer, end, entries, state: State::Before }
    }

    /// What goes to the client.
    pub(crate) fn stream(self) -> impl Stream<Item = Result<Bytes, TailError>> + Send {
        try_unfold(self, async |mut records| match records.piece().await {
            Ok(piece) => Ok(piece.map(|piece| (piece, records))),
            Err(error) => {
                let index = records.writer.index;
                tracing::warn!(%error, index, "cut off a response: cannot read the records");
                Err(error)
            }
        })
    }

    /// The next piece; none: that was all.
    async fn piece(&mut self) -> Result<Option<Bytes>, TailError> {
        let mut out = Vec::new();
        if self.state == State::Before {
            self.writer.begin(&mut out);
            self.state = State::Within;
        }
        while out.is_empty() && self.state == State::Within {
            match if self.entries.is_empty() { self.more_entries().await? } else { More::Some } {
                More::Some => self.write(&mut out).await?,
                More::NotYet => self.writer.keep_alive(&mut out),
                More::Never => {
                    self.writer.end(&mut out);
                    self.state = State::After;
                }
            }
        }
        Ok((!out.is_empty()).then(|| out.into()))
    }

    /// Reads further entries, once there are some.
    async fn more_entries(&mut self) -> Result<More, TailError> {
        let (index, end) = (self.writer.index, self.end.unwrap_or(u64::MAX));
        if index >= end {
            return Ok(More::Never);
        }
        if self.tail.now().count() <= index {
            self.counted = None;
            tokio::select! {
                tip = self.tail.follow_until(|tip| tip.count() > index) => drop(tip?),
                () = sleep(self.keep_alive) => return Ok(More::NotYet),
                () = self.stopping.wait() => return Ok(More::Never),
            }
        }
        let tip = self.tail.now();
        let range = index..end.min(tip.count());
        self.entries = self.tail.entries(range, ENTRIES_AT_ONCE).await?.into();
        // They are only bytes on a disk: nothing is read or announced by what they say before they are seen to fit.
        let mut start = self.entries.front().map_or(0, |entry| entry.offset.0);
        for (index, entry) in (index..).zip(&self.entries) {
            let end = entry.end().filter(|end| *end <= tip.length() && entry.offset.0 == start);
            start = end.ok_or(ReadError::Damaged { index })?;
        }
        Ok(More::Some)
    }

    /// Reads a piece of the records whose entries are here, and writes it.
    async fn write(&mut self, out: &mut Vec<u8>) -> Result<(), TailError> {
        let (Some(first), Some(last)) = (self.entries.front(), self.entries.back()) else { return Ok(()) };
        let start = first.offset.0.saturating_add(self.writer.written);
        let end = last.end().unwrap_or(start);
        // What is written is longer than what is read.
        let most = self.counted.get_or_insert_with(Counted::new).piece_bytes() / 2;
        let mut bytes = &*self.tail.bytes(start..end, most).await?;
        while let Some(entry) = self.entries.front()
            && !bytes.is_empty()
        {
            let (written, is_whole) = self.writer.write(entry, bytes, out)?;
            bytes = &bytes[written..];
            if is_whole {
                self.entries.pop_front();
            }
        }
        Ok(())
    }
}

/// Writes records whose bytes come in pieces.
struct Writer {
    format: Format,
    /// The record that is being written.
    index: u64,
    /// How many of its bytes have been.
    written: u64,
    /// Bytes of it that base64 can't encode before more come.
    ungrouped: Vec<u8>,
    is_first: bool,
}

impl Writer {
    fn begin(&self, out: &mut Vec<u8>) {
        if self.format == Format::Json {
            out.extend_from_slice(b"{\"records\":[");
        }
    }

    fn end(&self, out: &mut Vec<u8>) {
        if self.format == Format::Json {
            out.extend_from_slice(format!("],\"next\":{}}}\n", self.index).as_bytes());
        }
    }

    /// Writes something that is no record. Only live responses wait, and those are not JSON.
    fn keep_alive(&self, out: &mut Vec<u8>) {
        match self.format {
            Format::Json => {}
            Format::Ndjson => out.push(b'\n'),
            Format::Frames => out.extend_from_slice(&0_u32.to_le_bytes()),
        }
    }

    /// Writes what `bytes` have of the record: how many that were, and whether the record ends with them.
    fn write(&mut self, entry: &Entry, bytes: &[u8], out: &mut Vec<u8>) -> Result<(usize, bool), ReadError> {
        if self.written == 0 {
            self.head(entry, out)?;
        }
        let left = entry.length.saturating_sub(self.written);
        let count = usize::try_from(left).unwrap_or(bytes.len()).min(bytes.len());
        let is_whole = count as u64 == left;
        self.data(&bytes[..count], is_whole, out);
        self.written = self.written.saturating_add(count as u64);
        if is_whole {
            match self.format {
                Format::Json => out.extend_from_slice(b"\"}"),
                Format::Ndjson => out.extend_from_slice(b"\"}\n"),
                Format::Frames => {}
            }
            (self.index, self.written, self.is_first) = (self.index.saturating_add(1), 0, false);
        }
        Ok((count, is_whole))
    }

    /// What comes before a record's bytes.
    fn head(&self, entry: &Entry, out: &mut Vec<u8>) -> Result<(), ReadError> {
        if self.format == Format::Frames {
            let length = (INDEX_BYTES + ENTRY_BYTES).saturating_add(entry.length);
            let length = u32::try_from(length).map_err(|_| ReadError::Damaged { index: self.index })?;
            out.extend_from_slice(&length.to_le_bytes());
            out.extend_from_slice(&self.index.to_le_bytes());
            out.extend_from_slice(&entry.encode());
            return Ok(());
        }
        if self.format == Format::Json && !self.is_first {
            out.push(b',');
        }
        // An object of numbers and strings always has a JSON form, which ends with a brace.
        let place = serde_json::to_string(&Place::of(self.index, entry)).unwrap_or_default();
        out.extend_from_slice(place.trim_end_matches('}').as_bytes());
        out.extend_from_slice(b",\"data\":\"");
        Ok(())
    }

    fn data(&mut self, bytes: &[u8], is_whole: bool, out: &mut Vec<u8>) {
        if self.format == Format::Frames {
            out.extend_from_slice(bytes);
            return;
        }
        // The rest of the piece before, then whole groups, then what has to wait, unless nothing follows.
        let missing = if self.ungrouped.is_empty() { 0 } else { GROUP - self.ungrouped.len() };
        let (to_fill, rest) = bytes.split_at(missing.min(bytes.len()));
        self.ungrouped.extend_from_slice(to_fill);
        if self.ungrouped.len() == GROUP || is_whole && rest.is_empty() {
            encode(&self.ungrouped, out);
            self.ungrouped.clear();
        }
        let grouped = if is_whole { rest.len() } else { rest.len() - rest.len() % GROUP };
        encode(&rest[..grouped], out);
        self.ungrouped.extend_from_slice(&rest[grouped..]);
    }
}

fn encode(bytes: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + BASE64.encode_len(bytes.len()), 0);
    BASE64.encode_mut(bytes, &mut out[start..]);
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt as _;

    use super::*;
    use crate::sequence::Log;

    #[tokio::test]
    async fn silence_is_broken_by_what_is_no_record() {
        let dir = tempfile::tempdir().unwrap();
        let tail = Tail::start(Log::open(dir.path()).unwrap().reader(), || None).unwrap();
        for (format, nothing) in [(Format::Ndjson, &b"\n"[..]), (Format::Frames, &[0; 4])] {
            let mut records = Records::new(tail.clone(), Stopping::default(), format, 0, None);
            records.keep_alive = Duration::from_millis(1);
            let pieces: Vec<_> = records.stream().take(3).collect().await;
            assert!(pieces.iter().all(|piece| piece.as_ref().unwrap() == nothing), "{pieces:?}");
        }
    }
}
