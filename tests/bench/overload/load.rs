//! Transactions over HTTP at a rate, whatever the nodes do (an open loop), or as many as are committed.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{CONTENT_TYPE, HOST};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::{sleep, sleep_until, timeout};

use crate::Options;
use crate::network::Testnet;

/// A transaction begins with the run and its number, 8 bytes each.
pub(crate) const HEAD_BYTES: usize = 16;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long nothing must be committed until what is missing counts as lost.
const LOST_AFTER: Duration = Duration::from_secs(10);

/// What sends requests on a connection.
type Sender = SendRequest<Full<Bytes>>;

/// When transactions are offered.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pace {
    /// So many a second.
    Rate(f64),
    /// As long as fewer than so many are accepted and not committed.
    Window(usize),
}

/// A node's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Accepted,
    /// A status and the name of the problem.
    Refused(u16, String),
    Unknown,
}

/// A transaction, in time since the begin.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) number: usize,
    pub(crate) due: Duration,
    pub(crate) sent: Duration,
    pub(crate) answered: Duration,
    pub(crate) answer: Answer,
}

/// By number, when each transaction was first seen in the sequence, and how often.
pub(crate) type Seen = Vec<(Option<Duration>, u32)>;

/// What was offered, and what became of it.
pub(crate) struct Load {
    pub(crate) sent: Vec<Sent>,
    pub(crate) seen: Seen,
    /// When the sequence grew.
    pub(crate) blocks: Vec<Duration>,
}

/// What connections, the follower and the sampler share.
struct Run<'a> {
    options: &'a Options,
    pace: Pace,
    begin: Instant,
    end: Instant,
    id: u64,
    next: AtomicU64,
    /// Transactions accepted, or sent and not answered.
    accepted: AtomicUsize,
    committed: AtomicUsize,
    done: AtomicBool,
}

impl Load {
    /// Offers for so long, calls `sample` each second meanwhile, and waits for what was accepted.
    pub(crate) fn run(
        options: &Options,
        network: &Testnet,
        pace: Pace,
        duration: Duration,
        mut sample: impl FnMut(),
    ) -> Result<Self> {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
        let begin = Instant::now();
        let run = Run {
            options,
            pace,
            begin,
            end: begin + duration,
            id: u64::try_from(now.as_micros())?,
            next: AtomicU64::new(0),
            accepted: AtomicUsize::new(0),
            committed: AtomicUsize::new(0),
            done: AtomicBool::new(false),
        };
        let file = network.nodes[0].home.sequence_dir().join("sequence.bin");
        let hosts = network.nodes.iter().map(|node| {
            let url = node.http_url().context("a node has no HTTP")?;
            Ok(url.trim_start_matches("http://").trim_end_matches('/').to_owned())
        });
        let hosts = hosts.collect::<Result<Vec<String>>>()?;
        std::thread::scope(|scope| {
            let follower = scope.spawn(|| run.follow(&file));
            let producers = scope.spawn(|| run.produce(&hosts));
            while Instant::now() < run.end {
                sample();
                std::thread::sleep(Duration::from_secs(1));
            }
            let sent = producers.join().unwrap();
            run.wait_for_the_rest();
            let (seen, blocks) = follower.join().unwrap()?;
            Ok(Self { sent: sent?, seen, blocks })
        })
    }
}

impl Run<'_> {
    #[tokio::main(flavor = "current_thread")]
    async fn produce(&self, hosts: &[String]) -> Result<Vec<Sent>> {
        // In turn, so that the first numbers go to all nodes.
        let hosts = (0..self.options.connections).flat_map(|_| hosts);
        let all = futures_util::future::join_all(hosts.map(|host| self.connection(host))).await;
        Ok(all.into_iter().flatten().collect())
    }

    /// One connection: takes the next transactions that are due as soon as it has the answer to its last.
    async fn connection(&self, host: &str) -> Vec<Sent> {
        let (mut kept, mut sent) = (None, Vec::new());
        let together = self.options.together as u64;
        loop {
            let first = self.next.fetch_add(together, Ordering::Relaxed);
            let due = |number: u64| match self.pace {
                Pace::Rate(rate) => self.begin + Duration::from_secs_f64(number as f64 / rate),
                Pace::Window(_) => Instant::now(),
            };
            if let Pace::Window(window) = self.pace {
                let waiting = || {
                    let committed = self.committed.load(Ordering::Relaxed);
                    self.accepted.load(Ordering::Relaxed).saturating_sub(committed)
                };
                while waiting() >= window && Instant::now() < self.end {
                    sleep(Duration::from_millis(5)).await;
                }
            }
            let last = due(first + together - 1);
            if last >= self.end {
                return sent;
            }
            // As if all were accepted, or connections that look together would send more than there is room for.
            self.accepted.fetch_add(self.options.together, Ordering::Relaxed);
            sleep_until(last.into()).await;
            let began = self.begin.elapsed();
            let answers = match timeout(PATIENCE, self.post(&mut kept, host, first)).await {
                Ok(Ok(answers)) => answers,
                _ => {
                    kept = None;
                    vec![Answer::Unknown; self.options.together]
                }
            };
            let accepted = answers.iter().filter(|answer| **answer == Answer::Accepted).count();
            self.accepted.fetch_sub(answers.len() - accepted, Ordering::Relaxed);
            if accepted == 0 && matches!(self.pace, Pace::Window(_)) {
                sleep(Duration::from_millis(20)).await;
            }
            let answered = self.begin.elapsed();
            for (number, answer) in (first..).zip(answers) {
                let due = (due(number) - self.begin).min(began);
                sent.push(Sent {
                    number: usize::try_from(number).unwrap(),
                    due,
                    sent: began,
                    answered,
                    answer,
                });
            }
        }
    }

    /// Posts transactions on a connection that is kept open; answers what became of each.
    async fn post(&self, kept: &mut Option<Sender>, host: &str, first: u64) -> Result<Vec<Answer>> {
        let mut sender = match kept.take().filter(|sender| !sender.is_closed()) {
            Some(sender) => sender,
            None => {
                let stream = TcpStream::connect(host).await?;
                stream.set_nodelay(true)?;
                let (sender, connection) = handshake(TokioIo::new(stream)).await?;
                tokio::spawn(connection);
                sender
            }
        };
        let (count, size) = (self.options.together, self.options.tx_bytes);
        let mut body = Vec::with_capacity(count * (size + 4));
        for number in (first..).take(count) {
            if count > 1 {
                body.extend(u32::try_from(size)?.to_le_bytes());
            }
            let head = body.len();
            body.extend(self.id.to_be_bytes());
            body.extend(number.to_be_bytes());
            body.resize(head + size, b'.');
        }
        let path = if count > 1 { "/v1/submit/batch" } else { "/v1/submit" };
        let request = Request::post(format!("{path}?wait=checked"))
            .header(HOST, host)
            .header(CONTENT_TYPE, "application/octet-stream")
            .body(Full::new(Bytes::from(body)))?;
        let answer = sender.send_request(request).await?;
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await?.to_bytes();
        if sender.ready().await.is_ok() {
            *kept = Some(sender);
        }
        if !(200..300).contains(&status) {
            return Ok(vec![refused(status, &serde_json::from_slice(&body)?); count]);
        }
        let lines = body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let answers = lines.map(|line| {
            let line: Value = serde_json::from_slice(line)?;
            let problem = &line["problem"];
            let status = problem["status"].as_u64().and_then(|status| u16::try_from(status).ok());
            Ok(status.map_or(Answer::Accepted, |status| refused(status, problem)))
        });
        let answers: Vec<Answer> = answers.collect::<Result<_>>()?;
        anyhow::ensure!(answers.len() == count, "{} answers to {count} transactions", answers.len());
        Ok(answers)
    }

    /// Follows what is appended to a node's file; it may begin within earlier runs' transactions.
    fn follow(&self, file: &Path) -> Result<(Seen, Vec<Duration>)> {
        let (file, size) = (File::open(file)?, self.options.tx_bytes);
        // The last one may still be on its way.
        let mut at = file.metadata()?.len() / size as u64 * size as u64;
        let (mut seen, mut blocks) = (Seen::new(), Vec::new());
        loop {
            let is_last = self.done.load(Ordering::Relaxed);
            let length = usize::try_from(file.metadata()?.len() - at)? / size * size;
            if length > 0 {
                let now = self.begin.elapsed();
                let mut bytes = vec![0; length];
                file.read_exact_at(&mut bytes, at)?;
                at += length as u64;
                blocks.push(now);
                for tx in bytes.chunks(size).filter(|tx| tx[..8] == self.id.to_be_bytes()) {
                    let number = usize::try_from(u64::from_be_bytes(tx[8..HEAD_BYTES].try_into()?))?;
                    if seen.len() <= number {
                        seen.resize(number + 1, (None, 0));
                    }
                    let (first, times) = &mut seen[number];
                    first.get_or_insert(now);
                    *times += 1;
                    self.committed.fetch_add(1, Ordering::Relaxed);
                }
            } else if is_last {
                return Ok((seen, blocks));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn wait_for_the_rest(&self) {
        let (mut last, mut since) = (0, Instant::now());
        loop {
            let committed = self.committed.load(Ordering::Relaxed);
            if committed != last {
                (last, since) = (committed, Instant::now());
            }
            if committed >= self.accepted.load(Ordering::Relaxed) || since.elapsed() > LOST_AFTER {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        // What is unknown, or comes twice, may come after the rest.
        std::thread::sleep(Duration::from_secs(1));
        self.done.store(true, Ordering::Relaxed);
    }
}

/// A refusal by the name of its problem.
fn refused(status: u16, problem: &Value) -> Answer {
    let name = problem["type"].as_str().unwrap_or("no problem document");
    Answer::Refused(status, name.trim_start_matches("urn:dseq:problem:").to_owned())
}
