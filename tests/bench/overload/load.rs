//! Transactions over HTTP at a rate, whatever the nodes do (an open loop), or as many as are committed.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
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

    /// One connection: takes the next transaction that is due as soon as it has the answer to its last.
    async fn connection(&self, host: &str) -> Vec<Sent> {
        let (mut stream, mut sent) = (None, Vec::new());
        loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let due = match self.pace {
                Pace::Rate(rate) => self.begin + Duration::from_secs_f64(number as f64 / rate),
                Pace::Window(window) => {
                    let waiting = || {
                        let committed = self.committed.load(Ordering::Relaxed);
                        self.accepted.load(Ordering::Relaxed).saturating_sub(committed)
                    };
                    while waiting() >= window && Instant::now() < self.end {
                        sleep(Duration::from_millis(5)).await;
                    }
                    Instant::now()
                }
            };
            if due >= self.end {
                return sent;
            }
            sleep_until(due.into()).await;
            let began = self.begin.elapsed();
            let answer = match timeout(PATIENCE, self.post(&mut stream, host, number)).await {
                Ok(Ok(answer)) => answer,
                _ => {
                    stream = None;
                    Answer::Unknown
                }
            };
            if answer == Answer::Accepted {
                self.accepted.fetch_add(1, Ordering::Relaxed);
            } else if matches!(self.pace, Pace::Window(_)) {
                sleep(Duration::from_millis(20)).await;
            }
            let (due, number) = (due - self.begin, usize::try_from(number).unwrap());
            sent.push(Sent { number, due, sent: began, answered: self.begin.elapsed(), answer });
        }
    }

    /// Posts a transaction on a connection that is kept open.
    async fn post(&self, kept: &mut Option<TcpStream>, host: &str, number: u64) -> Result<Answer> {
        let mut stream = match kept.take() {
            Some(stream) => stream,
            None => {
                let stream = TcpStream::connect(host).await?;
                stream.set_nodelay(true)?;
                stream
            }
        };
        let size = self.options.tx_bytes;
        let mut request = format!(
            "POST /v1/submit?wait=checked HTTP/1.1\r\nhost: {host}\r\ncontent-length: {size}\r\n\r\n"
        )
        .into_bytes();
        let head = request.len();
        request.resize(head + size, b'.');
        request[head..head + 8].copy_from_slice(&self.id.to_be_bytes());
        request[head + 8..head + HEAD_BYTES].copy_from_slice(&number.to_be_bytes());
        stream.write_all(&request).await?;
        let mut answer = Vec::with_capacity(1024);
        let (head, length) = loop {
            if let Some(found) = head_of(&answer)? {
                break found;
            }
            anyhow::ensure!(stream.read_buf(&mut answer).await? > 0, "closed without an answer");
        };
        while answer.len() < head + length {
            anyhow::ensure!(stream.read_buf(&mut answer).await? > 0, "closed within an answer");
        }
        let text = String::from_utf8_lossy(&answer);
        if !text[..head].to_ascii_lowercase().contains("connection: close") {
            *kept = Some(stream);
        }
        let status: u16 = text.split(' ').nth(1).context("no status")?.parse()?;
        Ok(match status {
            200 | 202 => Answer::Accepted,
            _ => {
                let name = text.split("urn:dseq:problem:").nth(1).and_then(|rest| rest.split('"').next());
                Answer::Refused(status, name.unwrap_or("no problem document").to_owned())
            }
        })
    }

    /// Follows what is appended to a node's file; it may begin within earlier runs' transactions.
    fn follow(&self, file: &Path) -> Result<(Seen, Vec<Duration>)> {
        let (file, size) = (File::open(file)?, self.options.tx_bytes);
        let mut at = file.metadata()?.len();
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

/// Length of the head and of the body of an answer, once its head is there.
fn head_of(answer: &[u8]) -> Result<Option<(usize, usize)>> {
    let Some(end) = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n") else { return Ok(None) };
    let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    Ok(Some((end + 4, length.context("no content-length")?.trim().parse()?)))
}
