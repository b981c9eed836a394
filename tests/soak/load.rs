//! Producers at a steady rate, one for each node, and when each transaction was in the sequence.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use dseq::node::testnet::Node;
use serde_json::Value;

use crate::Options;
use crate::network::{RETURN_PATIENCE, Testnet};

/// A transaction starts with its producer and its number, 8 bytes each.
pub(crate) const HEADER_BYTES: usize = 16;

/// How long a producer waits for an answer.
const ANSWER_PATIENCE: Duration = Duration::from_secs(5);

/// What a producer knows of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Accepted,
    Refused,
    /// The node may have taken it or not.
    Unknown,
}

/// A transaction of one producer, since the begin: latency counts from when it should have been sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent {
    pub(crate) intended: Duration,
    pub(crate) answer: Answer,
}

/// Sends this node's part of the load until told to stop. What could not be sent in time is sent late, not left out.
pub(crate) fn produce(
    options: &Options,
    node: &Node,
    number: usize,
    begin: Instant,
    stop: &AtomicBool,
) -> Vec<Sent> {
    let config =
        ureq::Agent::config_builder().timeout_global(Some(ANSWER_PATIENCE)).http_status_as_error(false);
    let agent: ureq::Agent = config.build().into();
    let url = node.rpc_url();
    let interval = Duration::from_secs(4).div_f64(f64::from(options.rate.max(1)));
    let mut sent = Vec::new();
    let mut tx = vec![b'.'; options.tx_bytes];
    tx[..8].copy_from_slice(&(number as u64).to_be_bytes());
    while !stop.load(Ordering::Relaxed) {
        let count = sent.len();
        let intended = interval.mul_f64(count as f64 + number as f64 / 4.0);
        std::thread::sleep(intended.saturating_sub(begin.elapsed()));
        tx[8..16].copy_from_slice(&(count as u64).to_be_bytes());
        let request = format!("{url}/broadcast_tx_sync?tx=0x{}", data_encoding::HEXLOWER.encode(&tx));
        let answer =
            agent.get(&request).call().ok().and_then(|mut answer| answer.body_mut().read_to_string().ok());
        let answer = answer.and_then(|text| serde_json::from_str::<Value>(&text).ok());
        let answer = match answer {
            Some(answer) if answer["result"]["code"] == 0 => Answer::Accepted,
            Some(answer) if answer["result"]["code"].is_u64() => Answer::Refused,
            _ => Answer::Unknown,
        };
        sent.push(Sent { intended, answer });
    }
    sent
}

/// When each transaction was first seen, by producer and number, and how often.
pub(crate) type Seen = Vec<Vec<(Option<Duration>, u32)>>;

/// Follows the sequence in whichever node's file is the longest: any node may be away.
pub(crate) struct Followed {
    files: Vec<PathBuf>,
    tx_bytes: usize,
    begin: Instant,
    pub(crate) done: AtomicBool,
    /// Transactions of the load seen so far.
    count: AtomicU64,
}

impl Followed {
    pub(crate) fn of(network: &Testnet, tx_bytes: usize) -> Self {
        let files = network.nodes.iter().map(|node| node.home.sequence_dir().join("sequence.bin")).collect();
        Self {
            files,
            tx_bytes,
            begin: Instant::now(),
            done: AtomicBool::new(false),
            count: AtomicU64::new(0),
        }
    }

    pub(crate) fn follow(&self) -> Seen {
        let mut seen: Seen = vec![Vec::new(); self.files.len()];
        let mut at = 0_u64;
        loop {
            let is_last = self.done.load(Ordering::Relaxed);
            let size = self.tx_bytes as u64;
            let lengths =
                self.files.iter().map(|file| (std::fs::metadata(file).map_or(0, |data| data.len()), file));
            let (length, file) = lengths.max().unwrap();
            let bytes = (length.saturating_sub(at) / size * size).min(64 << 20);
            if bytes > 0 {
                let mut block = vec![0; usize::try_from(bytes).unwrap()];
                // A file may be cut back by a node that starts again; it is looked at again.
                if File::open(file).and_then(|file| file.read_exact_at(&mut block, at)).is_ok() {
                    at += bytes;
                    block.chunks(self.tx_bytes).for_each(|tx| self.note(tx, &mut seen));
                }
            } else if is_last {
                return seen;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn note(&self, tx: &[u8], seen: &mut Seen) {
        let number = |bytes: &[u8]| usize::try_from(u64::from_be_bytes(bytes.try_into().unwrap())).unwrap();
        let (producer, number) = (number(&tx[..8]), number(&tx[8..16]));
        // The warm-up's are none of the load.
        let Some(of_producer) = seen.get_mut(producer) else { return };
        if of_producer.len() <= number {
            of_producer.resize(number + 1, (None, 0));
        }
        let (first, times) = &mut of_producer[number];
        first.get_or_insert(self.begin.elapsed());
        *times += 1;
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    /// Waits until what was accepted can be there, or nothing comes any more.
    pub(crate) fn wait_for(&self, sent: &[Vec<Sent>]) {
        let all = sent.iter().flatten().filter(|sent| sent.answer == Answer::Accepted).count() as u64;
        let (mut last, mut since) = (0, Instant::now());
        while self.count.load(Ordering::Relaxed) < all && since.elapsed() < RETURN_PATIENCE / 8 {
            let now = self.count.load(Ordering::Relaxed);
            if now != last {
                (last, since) = (now, Instant::now());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        // What is unknown may come after what is known.
        std::thread::sleep(Duration::from_secs(2));
    }
}

/// All of the load, and what became of it.
pub(crate) struct Load {
    pub(crate) sent: Vec<Vec<Sent>>,
    pub(crate) seen: Seen,
}

impl Load {
    pub(crate) fn of(sent: Vec<Vec<Sent>>, seen: Seen) -> Self {
        Self { sent, seen }
    }

    fn seen(&self, producer: usize, number: usize) -> (Option<Duration>, u32) {
        self.seen[producer].get(number).copied().unwrap_or((None, 0))
    }

    /// Of one producer: sent, with this answer, and committed or not.
    pub(crate) fn count(&self, producer: usize, answer: Answer, committed: bool) -> usize {
        let of_producer = self.sent[producer].iter().enumerate();
        let is_it = |(number, sent): &(usize, &Sent)| {
            sent.answer == answer && self.seen(producer, *number).0.is_some() == committed
        };
        of_producer.filter(is_it).count()
    }

    pub(crate) fn twice(&self) -> usize {
        self.seen.iter().flatten().filter(|(_, times)| *times > 1).count()
    }

    /// Latencies in milliseconds of the committed transactions that should have been sent in this time, sorted.
    pub(crate) fn latencies(&self, from: Duration, to: Duration) -> Vec<f64> {
        let mut found = Vec::new();
        for (producer, sent) in self.sent.iter().enumerate() {
            for (number, sent) in
                sent.iter().enumerate().filter(|(_, sent)| (from..to).contains(&sent.intended))
            {
                if let Some(seen) = self.seen(producer, number).0 {
                    found.push(seen.saturating_sub(sent.intended).as_secs_f64() * 1e3);
                }
            }
        }
        found.sort_by(f64::total_cmp);
        found
    }

    /// Longest time in which nothing new was seen, that before the first and after the last included.
    pub(crate) fn longest_pause(&self, end: Duration) -> Duration {
        let mut times: Vec<Duration> = self.seen.iter().flatten().filter_map(|(first, _)| *first).collect();
        times.retain(|time| *time <= end);
        times.extend([Duration::ZERO, end]);
        times.sort();
        times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(end)
    }
}
