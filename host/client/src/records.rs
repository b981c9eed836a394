//! Reading records with their receipts.
//!
//! # Invariants
//!
//! - A record begins where the one before it ends, whichever node it came from.
//! - Before anything of a node is handed on, the last record that was handed on is looked up there and compared, also when it
//!   is the node of before: it may have another disk now.

use bytes::{Buf, Bytes, BytesMut};
use dseq_format::entry::{ENTRY_BYTES, Entry};
use dseq_format::limits::RECORD_BYTES_CEILING;
use dseq_format::types::RecordHash;
use futures_util::stream::{self, Stream};
use hyper::StatusCode;
use hyper::header::ACCEPT;
use tokio::time::{Instant, sleep};

use crate::answers::{Receipt, ReceiptsAnswer, Record};
use crate::client::{Backoff, Client, later};
use crate::error::{Error, Why};
use crate::transport::{Body, Request};

/// How many records are asked for at a time.
const PAGE_RECORDS: u64 = 1000;
/// How often a page may begin anew without a record, before it is an error.
const TRIES: u32 = 5;
/// What stands before a record's bytes: the length of the rest, the index, the entry.
const HEAD_LEN: usize = 4 + 8 + ENTRY_LEN;
const ENTRY_LEN: usize = 88;
const _: () = assert!(ENTRY_LEN as u64 == ENTRY_BYTES, "entries have one length");

struct Pages {
    client: Client,
    next: u64,
    end: u64,
    page: Option<(usize, Body)>,
    buffer: BytesMut,
    fruitless: u32,
    /// The last record that was handed on, and the node it came from.
    last: Option<(usize, Receipt)>,
    /// The node that has been compared, and not lost since.
    trusted: Option<usize>,
    /// Since a node did not have the next record.
    behind: Option<Behind>,
}

/// The search for a node that has the next record.
struct Behind {
    deadline: Instant,
    backoff: Backoff,
    /// How many times a node was asked.
    asked: usize,
}

impl Client {
    /// Reads records from an index on: at most so many, and those that are committed when the first node answers, or another one if
    /// that has none of them. When a node
    /// fails, another one goes on, after its receipt of the last record was compared. Each record's bytes are checked against its
    /// receipt, and its offset against the record before.
    ///
    /// # Errors
    ///
    /// When the first record is not committed on any node, or no node answers. The stream ends after an error.
    pub async fn records(
        &self,
        from: u64,
        limit: u64,
    ) -> Result<impl Stream<Item = Result<Record, Error>> + Send + use<>, Error> {
        let mut count = self.status().await?.records;
        if from >= count {
            // Another node may be ahead.
            let statuses = self.inner.statuses().await.unwrap_or_default();
            count = statuses.iter().map(|(_, status)| status.records).max().unwrap_or(count).max(count);
        }
        if from > count {
            return Err(Error::NoSuchRecord { index: from, count });
        }
        let end = from.saturating_add(limit).min(count);
        let pages = Pages {
            client: self.clone(),
            next: from,
            end,
            page: None,
            buffer: BytesMut::new(),
            fruitless: 0,
            last: None,
            trusted: None,
            behind: None,
        };
        Ok(stream::unfold(Some(pages), |pages| async {
            let mut pages = pages?;
            match pages.record().await {
                Ok(record) => Some((Ok(record?), Some(pages))),
                Err(err) => Some((Err(err), None)),
            }
        }))
    }
}

impl Pages {
    async fn record(&mut self) -> Result<Option<Record>, Error> {
        loop {
            if self.next >= self.end {
                return Ok(None);
            }
            let Some((node, body)) = &mut self.page else {
                self.open().await?;
                continue;
            };
            let node = *node;
            match frame(&mut self.buffer, self.next) {
                Ok(Some(record)) => {
                    self.check_place(node, &record.receipt)?;
                    self.next = self.next.saturating_add(1);
                    (self.fruitless, self.behind) = (0, None);
                    self.last = Some((node, record.receipt));
                    return Ok(Some(record));
                }
                Ok(None) => match body.piece().await {
                    Some(Ok(bytes)) => self.buffer.extend_from_slice(&bytes),
                    Some(Err(why)) => self.fail(node, why)?,
                    None if self.fruitless > 0 => self.wait_for_record(node).await?,
                    None => self.restart(),
                },
                Err(why) => return Err(Error::of(vec![self.client.inner.failure(node, why)])),
            }
        }
    }

    /// A record begins where the one before it ends, and the first one at the beginning.
    fn check_place(&self, node: usize, receipt: &Receipt) -> Result<(), Error> {
        let begin = match &self.last {
            Some((_, last)) => last.end(),
            None if receipt.index == 0 => 0,
            None => return Ok(()),
        };
        if receipt.offset == begin {
            return Ok(());
        }
        let Receipt { index, offset, .. } = receipt;
        let what = format!("record {index} is said to begin at offset {offset}, and not at {begin}");
        Err(Error::of(vec![self.client.inner.failure(node, Why::Unexpected(what))]))
    }

    fn restart(&mut self) {
        self.page = None;
        self.buffer.clear();
        self.fruitless += 1;
    }

    /// The node has less than another one said that there is: goes on to the next one, and after the last one pauses.
    async fn wait_for_record(&mut self, node: usize) -> Result<(), Error> {
        let inner = &self.client.inner;
        inner.avoid(node);
        (self.trusted, self.page) = (None, None);
        self.buffer.clear();
        let behind = self.behind.get_or_insert_with(|| Behind {
            deadline: later(Instant::now(), inner.options.retry_for),
            backoff: Backoff::default(),
            asked: 0,
        });
        behind.asked += 1;
        if !behind.asked.is_multiple_of(inner.nodes.len()) {
            return Ok(());
        }
        let pause = behind.backoff.next(None);
        if Instant::now() + pause > behind.deadline {
            return Err(Error::NoSuchRecord { index: self.next, count: self.next });
        }
        sleep(pause).await;
        Ok(())
    }

    fn fail(&mut self, node: usize, why: Why) -> Result<(), Error> {
        self.trusted = None;
        self.client.inner.avoid(node);
        self.restart();
        if self.fruitless >= TRIES {
            return Err(Error::of(vec![self.client.inner.failure(node, why)]));
        }
        Ok(())
    }

    async fn open(&mut self) -> Result<(), Error> {
        let limit = self.end.saturating_sub(self.next).min(PAGE_RECORDS);
        let target = format!("/v1/records?from={}&limit={limit}", self.next);
        let request = Request::get(target, self.client.inner.options.answer_timeout)
            .with(ACCEPT, "application/octet-stream");
        let (node, answer) = self.client.inner.ask(&request).await?;
        if self.trusted != Some(node) {
            match self.compare(node).await {
                Ok(()) => self.trusted = Some(node),
                Err(Trouble::Fatal(err)) => return Err(err),
                Err(Trouble::Node(why)) => return self.fail(node, why),
            }
        }
        self.page = Some((node, answer.body));
        Ok(())
    }

    /// Compares the last record with the receipt that a node has of it.
    async fn compare(&self, node: usize) -> Result<(), Trouble> {
        let Some((first, last)) = self.last else { return Ok(()) };
        let inner = &self.client.inner;
        let target = format!("/v1/receipts?index={}", last.index);
        let request = Request::get(target, inner.options.answer_timeout);
        let answer = inner.http.ask_whole(&inner.nodes[node], &request, &[StatusCode::OK]).await;
        let found: ReceiptsAnswer = match answer {
            Ok(answer) => answer.json().await.map_err(Trouble::Node)?,
            Err(refusal) => return Err(Trouble::Node(refusal.why)),
        };
        if found.receipts == [last] {
            return Ok(());
        }
        let [first, second] = [first, node].map(|node| inner.nodes[node].clone());
        Err(Trouble::Fatal(Error::RecordsDisagree { index: last.index, first, second }))
    }
}

/// Why a node is not read.
enum Trouble {
    /// It does not answer.
    Node(Why),
    Fatal(Error),
}

/// Takes the next record out of what has come, if it is there whole.
fn frame(buffer: &mut BytesMut, index: u64) -> Result<Option<Record>, Why> {
    let wrong = |what: &str| Why::Unexpected(format!("record {index}: {what}"));
    let Some(head) = buffer.first_chunk::<HEAD_LEN>() else { return Ok(None) };
    let mut fields = &head[..];
    let (rest, found) = (u64::from(fields.get_u32_le()), fields.get_u64_le());
    let mut entry = [0; ENTRY_LEN];
    fields.copy_to_slice(&mut entry);
    let entry = Entry::decode(&entry);
    let length = rest.checked_sub((HEAD_LEN - 4) as u64).filter(|length| *length <= RECORD_BYTES_CEILING);
    if found != index || length != Some(entry.length) {
        return Err(wrong("its frame says something else"));
    }
    let whole = usize::try_from(entry.length).unwrap_or(usize::MAX).saturating_add(HEAD_LEN);
    if buffer.len() < whole {
        return Ok(None);
    }
    let bytes: Bytes = buffer.split_to(whole).freeze().slice(HEAD_LEN..);
    if RecordHash::of(&bytes) != entry.record_hash {
        return Err(wrong("its bytes do not have the hash that its receipt has"));
    }
    let Entry { offset, length, height, tx_hash, record_hash } = entry;
    let receipt = Receipt { index, offset: offset.0, length, height: height.0, tx_hash, blake3: record_hash };
    Ok(Some(Record { receipt, bytes }))
}

#[cfg(test)]
mod tests {
    use dseq_format::types::{Height, Offset, TxHash};

    use super::*;

    fn framed(index: u64, bytes: &[u8]) -> Vec<u8> {
        let entry = Entry {
            offset: Offset(10),
            length: bytes.len() as u64,
            height: Height(3),
            tx_hash: TxHash::of(bytes),
            record_hash: RecordHash::of(bytes),
        };
        let rest = [&index.to_le_bytes()[..], &entry.encode(), bytes].concat();
        [&u32::try_from(rest.len()).unwrap().to_le_bytes()[..], &rest].concat()
    }

    #[test]
    fn records_are_taken_when_they_are_whole() {
        let all = [framed(7, b"one"), framed(8, b"two!")].concat();
        for cut in 0..all.len() {
            let mut buffer = BytesMut::from(&all[..cut]);
            let mut found = Vec::new();
            let mut index = 7;
            while let Some(record) = frame(&mut buffer, index).unwrap() {
                index += 1;
                found.push(record);
            }
            buffer.extend_from_slice(&all[cut..]);
            while let Some(record) = frame(&mut buffer, index).unwrap() {
                index += 1;
                found.push(record);
            }
            let texts: Vec<&[u8]> = found.iter().map(|record| &record.bytes[..]).collect();
            assert_eq!(texts, [&b"one"[..], b"two!"], "cut at {cut}");
            assert_eq!((found[1].receipt.index, found[1].receipt.end()), (8, 14));
        }
    }

    #[test]
    fn what_is_not_the_record_is_refused() {
        let good = framed(7, b"one");
        let refused = |bytes: &[u8], index| frame(&mut BytesMut::from(bytes), index).is_err();
        assert!(!refused(&good, 7) && refused(&good, 8));
        // A byte of the record; a length that is not the entry's; an absurd length.
        for (at, to) in [(good.len() - 1, b'x'), (0, 0), (3, 0xff)] {
            let mut bad = good.clone();
            bad[at] = to;
            assert!(refused(&bad, 7), "byte {at}");
        }
    }
}
