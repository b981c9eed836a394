//! Bytes of the sequence from an offset on, from one node at a time, without a gap or a repeat.
//!
//! # Invariants
//!
//! - What is handed on begins exactly where the piece before it ended, whichever node it came from.
//! - Before anything of a node is handed on, the last bytes that were handed on are read from it and compared, also when it is
//!   the node of before: it may have another disk now.
//! - A node that has not come as far is left for another one, or waited for.

use std::time::Duration;

use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::{CONTENT_RANGE, RANGE};
use tokio::time::{Instant, sleep, sleep_until};

use crate::Address;
use crate::client::{Backoff, Client, Inner, later};
use crate::error::{Error, Why};
use crate::transport::{Answer, Body, Refusal, Request};

/// How many of the last bytes are compared when another node is read, at most.
pub(crate) const OVERLAP_BYTES_MAX: usize = 4096;
/// How long a node may hold a request while there is nothing new: it does so for 20 s.
const HOLD_MAX: Duration = Duration::from_secs(40);
/// How long nothing has to come before it is looked whether another node has more.
const SILENCE: Duration = Duration::from_secs(5);

/// Consecutive bytes of the sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Offset of the first one.
    pub offset: u64,
    /// The bytes; never none.
    pub bytes: Bytes,
}

/// What happens between chunks, for those who want to know.
#[derive(Clone, Debug)]
pub enum Notice {
    /// A node is read from here on.
    Reading {
        /// The node.
        node: Address,
        /// The offset.
        offset: u64,
        /// How many bytes just before it were compared with those of the node that was read before.
        compared: u64,
    },
    /// A node does not answer any more, or cannot be used.
    Lost {
        /// The node.
        node: Address,
        /// Why.
        why: Why,
    },
    /// A node has not come as far.
    Behind {
        /// The node.
        node: Address,
        /// The offset from which on bytes are wanted.
        offset: u64,
        /// The length of its sequence, if it says so.
        length: Option<u64>,
    },
}

/// The pause before a node is asked again that had nothing new and did not hold the request.
const REST: Duration = Duration::from_millis(100);

const SEQUENCE: &str = "/v1/sequence";

type OnNotice = Box<dyn FnMut(Notice) + Send + Sync>;

/// Where it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Until {
    /// At what is committed when the first node answers, or before this offset if that is less.
    Committed(u64),
    /// Before this offset.
    Offset(u64),
    /// Never: bytes are waited for.
    Never,
}

pub(crate) struct Puller {
    client: Client,
    position: u64,
    until: Until,
    /// How long nodes are tried without a byte before it is an error.
    patience: Option<Duration>,
    body: Option<Reading>,
    /// The node that the last bytes came from, and these bytes.
    last_node: Option<usize>,
    overlap: Vec<u8>,
    /// The node that has been compared, and not lost since.
    trusted: Option<usize>,
    cursor: Option<String>,
    /// When it is looked whether another node has more, unless something comes before.
    look_at: Instant,
    /// Length of the whole sequence at the first node that answered, where it is read to its end.
    pub(crate) committed: Option<u64>,
    pub(crate) on_notice: Option<OnNotice>,
}

struct Reading {
    node: usize,
    body: Body,
    /// The offset that the node says comes next.
    next: Option<u64>,
}

/// Why one node is not read now.
pub(crate) enum Trouble {
    Refusal(Refusal),
    Behind {
        length: Option<u64>,
        pause: Option<Duration>,
    },
    Fatal(Error),
    /// Another node has more.
    Slow(usize),
}

impl From<Why> for Trouble {
    fn from(why: Why) -> Self {
        Self::Refusal(why.into())
    }
}

impl Puller {
    pub(crate) fn new(client: Client, position: u64, until: Until, patience: Option<Duration>) -> Self {
        Self {
            client,
            position,
            until,
            patience,
            body: None,
            last_node: None,
            overlap: Vec::new(),
            trusted: None,
            cursor: None,
            look_at: Instant::now() + SILENCE,
            committed: None,
            on_notice: None,
        }
    }

    /// The offset after the last byte, once it is known.
    pub(crate) fn end(&self) -> Option<u64> {
        if let Until::Offset(end) = self.until { Some(end) } else { None }
    }

    /// The next bytes; `None` at the end.
    ///
    /// # Errors
    ///
    /// When nodes disagree, refuse, or cannot be reached for too long. There is nothing after an error.
    pub(crate) async fn next(&mut self) -> Result<Option<Chunk>, Error> {
        loop {
            if self.end().is_some_and(|end| self.position >= end) {
                return Ok(None);
            }
            let Some(reading) = &mut self.body else {
                self.open().await?;
                continue;
            };
            let node = reading.node;
            match reading.body.piece().await {
                Some(Ok(bytes)) => {
                    if let Some(chunk) = self.take(node, bytes) {
                        return Ok(Some(chunk));
                    }
                }
                Some(Err(why)) => self.lose(node, why),
                None => {
                    let next = reading.next;
                    self.body = None;
                    if next.is_some_and(|next| next != self.position) {
                        let what = format!("it says that {next:?} comes after {}", self.position);
                        self.lose(node, Why::Unexpected(what));
                    }
                }
            }
        }
    }

    /// Hands bytes on, without what is beyond the end.
    fn take(&mut self, node: usize, mut bytes: Bytes) -> Option<Chunk> {
        if let Some(end) = self.end() {
            let left = usize::try_from(end.saturating_sub(self.position)).unwrap_or(usize::MAX);
            bytes.truncate(left);
        }
        let length = bytes.len();
        let offset = self.position;
        // No sequence is that long.
        self.position = offset.saturating_add(length as u64);
        self.last_node = Some(node);
        self.look_at = Instant::now() + SILENCE;
        self.overlap.extend_from_slice(&bytes[length.saturating_sub(OVERLAP_BYTES_MAX)..]);
        let surplus = self.overlap.len().saturating_sub(OVERLAP_BYTES_MAX);
        self.overlap.drain(..surplus);
        (length > 0).then_some(Chunk { offset, bytes })
    }

    fn lose(&mut self, node: usize, why: Why) {
        self.body = None;
        self.trusted = None;
        self.client.inner.avoid(node);
        self.notice(Notice::Lost { node: self.client.inner.nodes[node].clone(), why });
    }

    fn notice(&mut self, notice: Notice) {
        if let Some(on_notice) = &mut self.on_notice {
            on_notice(notice);
        }
    }

    /// Finds a node to go on with: opens a body, or learns that there is nothing to read.
    pub(crate) async fn open(&mut self) -> Result<(), Error> {
        let deadline = self.patience.map(|patience| later(Instant::now(), patience));
        let (mut backoff, mut slow) = (Backoff::default(), 0);
        'nodes: loop {
            let (mut failures, mut lengths, mut asked_for) = (Vec::new(), Vec::new(), None);
            for node in self.client.inner.order() {
                match self.open_at(node).await {
                    Ok(()) => {
                        self.client.inner.prefer(node);
                        return Ok(());
                    }
                    Err(Trouble::Fatal(err)) => return Err(err),
                    Err(Trouble::Slow(other)) => {
                        self.client.inner.prefer(other);
                        (self.trusted, self.look_at) = (None, Instant::now() + SILENCE);
                        let why = "it brings nothing, and another node has more".to_owned();
                        let failure = self.client.inner.failure(node, Why::NoAnswer(why));
                        let node = failure.node.clone();
                        self.notice(Notice::Behind { node, offset: self.position, length: None });
                        slow += 1;
                        // The other one is asked even if it is late.
                        if slow > 1 && deadline.is_some_and(|deadline| Instant::now() > deadline) {
                            return Err(Error::of(vec![failure]));
                        }
                        continue 'nodes;
                    }
                    Err(Trouble::Behind { length, pause }) => {
                        lengths.extend(length);
                        asked_for = asked_for.max(pause);
                        let (node, offset) = (self.client.inner.nodes[node].clone(), self.position);
                        self.notice(Notice::Behind { node, offset, length });
                    }
                    Err(Trouble::Refusal(refusal)) => {
                        let may_change = refusal.may_change();
                        asked_for = asked_for.max(refusal.retry_after);
                        let failure = self.client.inner.failure(node, refusal.why);
                        if !may_change {
                            return Err(Error::of(vec![failure]));
                        }
                        self.lose(node, failure.why.clone());
                        failures.push(failure);
                    }
                }
            }
            if matches!(self.until, Until::Committed(_)) && failures.is_empty() {
                return self.beyond(lengths.iter().copied().max());
            }
            let pause = backoff.next(asked_for);
            if deadline.is_some_and(|deadline| Instant::now() + pause > deadline) {
                return match lengths.iter().max() {
                    Some(length) => self.beyond(Some(*length)),
                    None => Err(Error::of(failures)),
                };
            }
            sleep(pause).await;
        }
    }

    /// No node that answers has come further than to where reading is to go on.
    fn beyond(&mut self, length: Option<u64>) -> Result<(), Error> {
        let length = length.unwrap_or(0);
        if length < self.position || !matches!(self.until, Until::Committed(_)) {
            return Err(Error::BeyondEnd { offset: self.position, length });
        }
        (self.until, self.committed) = (Until::Offset(self.position), Some(length));
        Ok(())
    }

    async fn open_at(&mut self, node: usize) -> Result<(), Trouble> {
        let compared = if self.trusted == Some(node) { None } else { Some(self.compare(node).await?) };
        self.trusted = Some(node);
        // Before it is waited for more, which may take long.
        let reading = compared.map(|compared| Notice::Reading {
            node: self.client.inner.nodes[node].clone(),
            offset: self.position,
            compared,
        });
        let (now, later) = if compared > Some(0) { (reading, None) } else { (None, reading) };
        now.into_iter().for_each(|notice| self.notice(notice));
        let asked = Instant::now();
        let (request, inner) = (self.request(), &self.client.inner);
        let answer = if self.until == Until::Never {
            tokio::select! {
                answer = inner.http.send(&inner.nodes[node], &request) => answer?,
                other = self.node_with_more(node) => return Err(Trouble::Slow(other)),
            }
        } else {
            inner.http.send(&inner.nodes[node], &request).await?
        };
        let (body, next) = self.begin(answer).await?;
        later.into_iter().for_each(|notice| self.notice(notice));
        // A node that holds no request would be asked without end.
        if body.is_none() && self.until == Until::Never {
            sleep(REST.saturating_sub(asked.elapsed())).await;
            if self.look_at <= Instant::now() {
                self.look_at = Instant::now() + SILENCE;
                if let Some(other) = self.one_with_more(node).await {
                    return Err(Trouble::Slow(other));
                }
            }
        }
        self.body = body.map(|body| Reading { node, body, next });
        Ok(())
    }

    fn request(&self) -> Request {
        let (position, patience) = (self.position, self.client.inner.options.answer_timeout);
        match self.until {
            Until::Never => {
                let mut target = format!("/v1/sequence?offset={position:020}&live=long-poll");
                if let Some(cursor) = &self.cursor {
                    target.push_str(&format!("&cursor={cursor}"));
                }
                Request::get(target, HOLD_MAX)
            }
            // The end need not be committed.
            Until::Committed(end) | Until::Offset(end) => {
                let last = end.saturating_sub(1).max(position);
                Request::get(SEQUENCE, patience).with(RANGE, format!("bytes={position}-{last}"))
            }
        }
    }

    /// Reads the head of an answer: the body, if there is anything in it, and the offset that the node says comes after it.
    async fn begin(&mut self, answer: Answer) -> Result<(Option<Body>, Option<u64>), Trouble> {
        let position = self.position;
        if self.until == Until::Never && matches!(answer.status, StatusCode::OK | StatusCode::NO_CONTENT) {
            let next = answer.number("stream-next-offset").filter(|next| *next >= position);
            let next =
                next.ok_or_else(|| Why::Unexpected("it does not say which offset is next".to_owned()))?;
            let cursor = answer.headers.get("stream-cursor").and_then(|cursor| cursor.to_str().ok());
            let is_plain = |cursor: &&str| cursor.chars().all(|c| c.is_ascii_alphanumeric());
            self.cursor = cursor.filter(is_plain).map(str::to_owned);
            return Ok(((next > position).then_some(answer.body), Some(next)));
        }
        if self.until != Until::Never && matches!(answer.status, StatusCode::OK | StatusCode::PARTIAL_CONTENT)
        {
            let (first, total) = content_range(&answer).ok_or_else(no_range)?;
            if first != position {
                return Err(no_range().into());
            }
            if let Until::Committed(limit) = self.until {
                (self.until, self.committed) = (Until::Offset(limit.min(total).max(position)), Some(total));
            }
            return Ok(((total > position).then_some(answer.body), None));
        }
        Err(behind(answer).await)
    }

    /// Compares the last bytes with those of a node; answers how many they were.
    async fn compare(&self, node: usize) -> Result<u64, Trouble> {
        let Some(first) = self.last_node.filter(|_| !self.overlap.is_empty()) else { return Ok(0) };
        let count = self.overlap.len() as u64;
        let from = self.position.saturating_sub(count);
        let found = self.client.inner.bytes_at(node, from, count).await?;
        if let Some(at) = self.overlap.iter().zip(&found).position(|(ours, theirs)| ours != theirs) {
            let [first, second] = [first, node].map(|node| self.client.inner.nodes[node].clone());
            let offset = from.saturating_add(at as u64);
            return Err(Trouble::Fatal(Error::Disagree { offset, first, second }));
        }
        let length = from.saturating_add(found.len() as u64);
        if length < self.position {
            return Err(Trouble::Behind { length: Some(length), pause: None });
        }
        Ok(count)
    }

    /// Waits until another node has more than this one brings.
    async fn node_with_more(&self, node: usize) -> usize {
        let mut look_at = self.look_at;
        loop {
            sleep_until(look_at).await;
            if let Some(other) = self.one_with_more(node).await {
                return other;
            }
            look_at = Instant::now() + SILENCE;
        }
    }

    /// Another node that has more than what was handed on.
    async fn one_with_more(&self, node: usize) -> Option<usize> {
        let inner = &self.client.inner;
        for other in inner.order().filter(|other| *other != node) {
            let status = inner.status_of(&inner.nodes[other], inner.options.connect_timeout).await;
            if status.is_ok_and(|status| status.length > self.position) {
                return Some(other);
            }
        }
        None
    }
}

impl Inner {
    /// So many bytes of one node from an offset on, or fewer if it has not come as far.
    pub(crate) async fn bytes_at(&self, node: usize, from: u64, count: u64) -> Result<Bytes, Trouble> {
        let last = from.saturating_add(count).saturating_sub(1);
        let request =
            Request::get(SEQUENCE, self.options.answer_timeout).with(RANGE, format!("bytes={from}-{last}"));
        let answer = self.http.send(&self.nodes[node], &request).await?;
        if !matches!(answer.status, StatusCode::OK | StatusCode::PARTIAL_CONTENT) {
            return Err(behind(answer).await);
        }
        if content_range(&answer).is_none_or(|(first, _)| first != from) {
            return Err(no_range().into());
        }
        let bytes = answer.body.whole(OVERLAP_BYTES_MAX).await?;
        Ok(bytes)
    }
}

fn no_range() -> Why {
    Why::Unexpected("not the range that was asked for".to_owned())
}

/// Where an answer's bytes begin, and the length of the whole sequence.
fn content_range(answer: &Answer) -> Option<(u64, u64)> {
    if answer.status == StatusCode::OK {
        // All of it.
        return Some((0, answer.number("content-length")?));
    }
    let range = answer.headers.get(CONTENT_RANGE)?.to_str().ok()?.strip_prefix("bytes ")?;
    let (range, total) = range.split_once('/')?;
    let (first, _) = range.split_once('-')?;
    Some((first.parse().ok()?, total.parse().ok()?))
}

/// Why an answer has no bytes: the node has not come as far, or something else.
async fn behind(answer: Answer) -> Trouble {
    if answer.status == StatusCode::RANGE_NOT_SATISFIABLE {
        let total = answer.headers.get(CONTENT_RANGE).and_then(|range| range.to_str().ok());
        let length = total.and_then(|range| range.strip_prefix("bytes */")?.parse().ok());
        return Trouble::Behind { length, pause: None };
    }
    let refusal = answer.refusal().await;
    match &refusal.why {
        Why::Problem(problem) if problem.name() == "node-behind" => {
            Trouble::Behind { length: problem.number("limit"), pause: refusal.retry_after }
        }
        _ => Trouble::Refusal(refusal),
    }
}
