//! The verification after a run: is each transaction where its receipt says, exactly once, on every node?
//!
//! Every record that any node committed since the run began is read from every node, and recognised by the hash of its
//! transaction, which the pipeline does not change. That decides about the unknown transactions too.
//!
//! # Limits
//!
//! For each request one byte for each node and 16 bytes in all; records are read in pieces and not kept.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::client::{BATCH_RECORDS_MAX, NoAnswer, Seen};
use super::ledger::{Outcome, Slot};
use super::node::Node;
use super::transaction::Transactions;
use crate::sequence::Receipt;
use crate::types::TxHash;

/// How long nodes may take, in all, to get as far as the first one and to empty their mempools.
const SETTLE_PATIENCE: Duration = Duration::from_secs(30);
/// How long nodes may take to get as far as the first one after that, at least.
const BEHIND_PATIENCE: Duration = Duration::from_secs(10);
const SETTLE_POLL: Duration = Duration::from_millis(100);
/// Records that a reader takes at a time; a difference between nodes is found to within these.
const CHUNK_RECORDS: u64 = 64;
/// Readers of each node, each with a connection.
const READERS: usize = 4;
/// How often reading a record is tried.
const TRIES: u64 = 5;
const TRY_PAUSE: Duration = Duration::from_millis(300);
/// Maximum number of problems that are listed; all are counted.
const PROBLEMS_LISTED_MAX: usize = 20;

/// What the verification found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Verification {
    /// The nodes that were read whole.
    pub nodes: Vec<String>,
    /// Transactions that the run was told are committed.
    pub told_committed: u64,
    /// Records read from each node: all since the run began, those of others included.
    pub records: u64,
    /// Records of this run that are not the bytes of their transactions: the pipeline replaces them.
    pub replaced: u64,
    /// What the unknown transactions turned out to be.
    pub resolved: Resolved,
    /// What is wrong, by kind.
    pub problems: BTreeMap<ProblemKind, u64>,
    /// The first of them.
    pub examples: Vec<Problem>,
}

/// What the unknown transactions turned out to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Resolved {
    /// In the sequence.
    pub committed: u64,
    /// Not in the sequence, and no node's mempool has any transaction.
    pub absent: u64,
    /// Not in the sequence, but a mempool may still have it.
    pub open: u64,
}

/// Ways in which a network breaks its word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProblemKind {
    /// A committed transaction is not in a node's sequence.
    Lost,
    /// It is there, and not where its receipt says.
    Misplaced,
    /// It is there more than once.
    Duplicate,
    /// One that was rejected, or never sent, is there.
    Unexpected,
    /// Two nodes hold different records.
    Disagreement,
    /// A node could not be read.
    Unreadable,
}

/// One broken promise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Its kind.
    pub kind: ProblemKind,
    /// The node, as host and port.
    pub node: String,
    /// What was found.
    pub what: String,
}

impl Verification {
    /// Whether every promise was kept, and nothing is left open.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.problems.is_empty() && self.resolved.open == 0
    }

    fn problem(&mut self, kind: ProblemKind, node: &str, what: String) {
        let count = self.problems.entry(kind).or_default();
        *count = count.saturating_add(1);
        if self.examples.len() < PROBLEMS_LISTED_MAX {
            self.examples.push(Problem { kind, node: node.to_owned(), what });
        }
    }
}

/// What is verified.
pub(super) struct Verifier {
    pub(super) clients: Vec<Arc<Node>>,
    pub(super) transactions: Arc<Transactions>,
    pub(super) slots: Arc<Vec<Slot>>,
    /// The number of records that the node with the fewest had before the run.
    pub(super) from: u64,
    /// Counts records read and to be read, on all nodes together, for whoever shows progress.
    pub(super) progress: Arc<Progress>,
}

/// How far the verification is.
#[derive(Debug, Default)]
pub(super) struct Progress {
    pub(super) read: AtomicU64,
    pub(super) total: AtomicU64,
}

/// Which transaction has a hash: the first 8 bytes of each hash, sorted.
struct Hashes(Vec<(u64, u32)>);

impl Hashes {
    fn of(transactions: &Transactions, count: u32) -> Self {
        let mut all: Vec<(u64, u32)> =
            (0..count).map(|number| (prefix(&TxHash::of(&transactions.bytes(number))), number)).collect();
        all.sort_unstable();
        Self(all)
    }

    /// The transaction with this hash, and its bytes.
    fn find(&self, hash: &TxHash, transactions: &Transactions) -> Option<(u32, Vec<u8>)> {
        let prefix = prefix(hash);
        let first = self.0.partition_point(|(other, _)| *other < prefix);
        let same = self.0[first..].iter().take_while(|(other, _)| *other == prefix);
        same.map(|(_, number)| (*number, transactions.bytes(*number)))
            .find(|(_, bytes)| TxHash::of(bytes) == *hash)
    }
}

fn prefix(hash: &TxHash) -> u64 {
    u64::from_be_bytes(*hash.0.first_chunk().expect("a hash has 32 bytes"))
}

/// What one node holds of the run.
#[derive(Default)]
struct NodeScan {
    /// The transactions that are exactly where they should be.
    right: Vec<bool>,
    /// Other records of the run's transactions: how many, and one of them.
    others: BTreeMap<u32, (u64, Receipt)>,
    /// A hash of each chunk of records.
    chunks: BTreeMap<u64, [u8; 32]>,
    replaced: u64,
}

impl Verifier {
    /// Reads all nodes. Returns what was found, and where the unknown transactions landed that turned out to be committed.
    pub(super) async fn run(self) -> (Verification, Vec<(u32, Receipt)>) {
        let mut found = Verification::default();
        let is_unknown = |slot: &&Slot| matches!(slot.outcome, Outcome::Unknown(_));
        let any_unknown = self.slots.iter().any(|slot| is_unknown(&slot));
        let began = Instant::now();
        let drained = !any_unknown || self.wait_for_empty_mempools(began).await;
        let reached = self.wait_for_records(began, &mut found).await;
        let to = reached.iter().flatten().copied().max().unwrap_or(self.from).max(self.from);
        found.records = to - self.from;
        let readable: Vec<usize> =
            (0..self.clients.len()).filter(|node| reached[*node] == Some(to)).collect();
        self.progress.total.store(found.records * readable.len() as u64, Ordering::Relaxed);

        let count = u32::try_from(self.slots.len()).expect("there are at most REQUESTS_MAX");
        let transactions = Arc::clone(&self.transactions);
        let hashes = tokio::task::spawn_blocking(move || Hashes::of(&transactions, count)).await;
        let this = Arc::new(self);
        let hashes = Arc::new(hashes.expect("hashing does not panic"));
        let mut scans = JoinSet::new();
        for node in readable {
            let (this, hashes) = (Arc::clone(&this), Arc::clone(&hashes));
            scans.spawn(async move { (node, this.scan(node, to, &hashes).await) });
        }
        let mut read = BTreeMap::new();
        while let Some(scan) = scans.join_next().await {
            let (node, scan) = scan.expect("scans do not panic and are not cancelled");
            match scan {
                Ok(scan) => drop(read.insert(node, scan)),
                Err(NoAnswer(why)) => found.problem(ProblemKind::Unreadable, &this.name(node), why),
            }
        }
        this.compare(&mut found, &read);
        let landed = this.judge(&mut found, &read, drained);
        (found, landed)
    }

    fn name(&self, node: usize) -> String {
        self.clients[node].address().to_string()
    }

    /// Whether no node has a transaction that waits, in the end.
    async fn wait_for_empty_mempools(&self, began: Instant) -> bool {
        loop {
            let mut waiting = false;
            for client in &self.clients {
                waiting |= client.waiting().await != Ok(0);
            }
            if !waiting || began.elapsed() >= SETTLE_PATIENCE {
                return !waiting;
            }
            sleep(SETTLE_POLL).await;
        }
    }

    /// Waits until all nodes have the records that the most advanced one had at first, and all that receipts name. Returns how
    /// many they are, for those that have them.
    async fn wait_for_records(&self, began: Instant, found: &mut Verification) -> Vec<Option<u64>> {
        let until = (began + SETTLE_PATIENCE).max(Instant::now() + BEHIND_PATIENCE);
        let receipts = self.slots.iter().filter_map(|slot| match slot.outcome {
            Outcome::Committed { receipt, .. } => Some(receipt.index.saturating_add(1)),
            _ => None,
        });
        let named = receipts.max().unwrap_or(self.from);
        let mut target = None;
        loop {
            let mut records = Vec::new();
            for client in &self.clients {
                records.push(client.position().await.map(|position| position.records));
            }
            // What comes later is not of this run.
            let first = records.iter().flatten().copied().max();
            target = target.or(first.map(|first| first.max(named)));
            let to = target.unwrap_or(named);
            let reached = |records: &Result<u64, NoAnswer>| matches!(records, Ok(records) if *records >= to);
            if records.iter().all(reached) || Instant::now() >= until {
                for (node, records) in records.iter().enumerate().filter(|(_, records)| !reached(records)) {
                    let what = match records {
                        Ok(records) => format!(
                            "it has {records} records, others {to}, after {} s",
                            began.elapsed().as_secs()
                        ),
                        Err(NoAnswer(why)) => why.clone(),
                    };
                    found.problem(ProblemKind::Unreadable, &self.name(node), what);
                }
                return records.iter().map(|records| reached(records).then_some(to)).collect();
            }
            sleep(SETTLE_POLL).await;
        }
    }

    /// Reads a node's records up to `to`.
    async fn scan(
        self: &Arc<Self>,
        node: usize,
        to: u64,
        hashes: &Arc<Hashes>,
    ) -> Result<NodeScan, NoAnswer> {
        let scan = NodeScan { right: vec![false; self.slots.len()], ..NodeScan::default() };
        let scan = Arc::new(Mutex::new(scan));
        let next = Arc::new(AtomicU64::new(self.from));
        let mut readers = JoinSet::new();
        for _ in 0..READERS {
            let (this, hashes, scan, next) =
                (Arc::clone(self), Arc::clone(hashes), Arc::clone(&scan), Arc::clone(&next));
            readers.spawn(async move {
                loop {
                    let first = next.fetch_add(CHUNK_RECORDS, Ordering::Relaxed);
                    if first >= to {
                        return Ok(());
                    }
                    this.read_chunk(node, first..to.min(first + CHUNK_RECORDS), &hashes, &scan).await?;
                }
            });
        }
        while let Some(reader) = readers.join_next().await {
            reader.expect("readers do not panic and are not cancelled")?;
        }
        let mut scan = scan.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(std::mem::take(&mut scan))
    }

    async fn read_chunk(
        &self,
        node: usize,
        indexes: Range<u64>,
        hashes: &Hashes,
        scan: &Mutex<NodeScan>,
    ) -> Result<(), NoAnswer> {
        let first = indexes.start;
        let mut digest = blake3::Hasher::new();
        let mut start = first;
        while start < indexes.end {
            let batch = start..indexes.end.min(start.saturating_add(BATCH_RECORDS_MAX));
            start = batch.end;
            for seen in self.read(node, batch).await? {
                digest.update(&seen.receipt.encode());
                digest.update(&seen.tx_hash.0);
                digest.update(blake3::hash(&seen.bytes).as_bytes());
                self.recognise(&seen, hashes, scan);
                self.progress.read.fetch_add(1, Ordering::Relaxed);
            }
        }
        let mut scan = scan.lock().unwrap_or_else(PoisonError::into_inner);
        scan.chunks.insert(first, *digest.finalize().as_bytes());
        Ok(())
    }

    /// Notes a record if it is of this run.
    fn recognise(&self, seen: &Seen, hashes: &Hashes, scan: &Mutex<NodeScan>) {
        let Some((number, tx)) = hashes.find(&seen.tx_hash, &self.transactions) else { return };
        let mut scan = scan.lock().unwrap_or_else(PoisonError::into_inner);
        scan.replaced += u64::from(tx != seen.bytes);
        let slot = &self.slots[number as usize];
        let right = matches!(slot.outcome, Outcome::Committed { receipt, .. } if receipt == seen.receipt);
        if right && !scan.right[number as usize] {
            scan.right[number as usize] = true;
        } else {
            scan.others.entry(number).or_insert((0, seen.receipt)).0 += 1;
        }
    }

    /// Reads records, all at once or, where that fails, one by one.
    async fn read(&self, node: usize, indexes: Range<u64>) -> Result<Vec<Seen>, NoAnswer> {
        let client = &self.clients[node];
        if let Ok(all) = client.records(indexes.clone()).await {
            return Ok(all);
        }
        let mut all = Vec::new();
        for index in indexes {
            let mut tried = 1;
            all.extend(loop {
                match client.records(index..index + 1).await {
                    Err(_) if tried < TRIES => {
                        tried += 1;
                        sleep(TRY_PAUSE).await;
                    }
                    answer => break answer?,
                }
            });
        }
        Ok(all)
    }

    /// Compares the nodes with each other: records of other producers too.
    fn compare(&self, found: &mut Verification, read: &BTreeMap<usize, NodeScan>) {
        let mut nodes = read.iter();
        let Some((first, expected)) = nodes.next() else { return };
        for (node, scan) in nodes {
            let different =
                expected.chunks.iter().find(|(chunk, hash)| scan.chunks.get(*chunk) != Some(*hash));
            if let Some((chunk, _)) = different {
                let last = chunk.saturating_add(CHUNK_RECORDS - 1);
                let what =
                    format!("its records {chunk} to {last} differ from those of {}", self.name(*first));
                found.problem(ProblemKind::Disagreement, &self.name(*node), what);
            }
        }
    }

    /// Holds what each node has against what the run was told. Returns where unknown transactions landed.
    fn judge(
        &self,
        found: &mut Verification,
        read: &BTreeMap<usize, NodeScan>,
        drained: bool,
    ) -> Vec<(u32, Receipt)> {
        let told = |slot: &&Slot| matches!(slot.outcome, Outcome::Committed { .. });
        found.told_committed = self.slots.iter().filter(told).count() as u64;
        found.nodes = read.keys().map(|node| self.name(*node)).collect();
        found.replaced = read.values().map(|scan| scan.replaced).max().unwrap_or(0);
        for (node, scan) in read {
            self.judge_node(found, &self.name(*node), scan);
        }
        let mut landed = Vec::new();
        for (number, slot) in (0_u32..).zip(self.slots.iter()) {
            if !matches!(slot.outcome, Outcome::Unknown(_)) {
                continue;
            }
            // Where one node has it and another does not, they disagree, which was found above.
            match read.values().find_map(|scan| scan.others.get(&number)) {
                Some((_, receipt)) => {
                    found.resolved.committed += 1;
                    landed.push((number, *receipt));
                }
                None if drained && !read.is_empty() => found.resolved.absent += 1,
                None => found.resolved.open += 1,
            }
        }
        landed
    }

    fn judge_node(&self, found: &mut Verification, node: &str, scan: &NodeScan) {
        for (number, slot) in (0_u32..).zip(self.slots.iter()) {
            let other = scan.others.get(&number);
            match (slot.outcome, other) {
                (Outcome::Committed { receipt, .. }, None) if !scan.right[number as usize] => {
                    let what =
                        format!("transaction {number} is not there; its receipt says {}", place(&receipt));
                    found.problem(ProblemKind::Lost, node, what);
                }
                (Outcome::Committed { receipt, .. }, Some((count, at))) => {
                    let right = scan.right[number as usize];
                    let kind =
                        if right || *count > 1 { ProblemKind::Duplicate } else { ProblemKind::Misplaced };
                    let also = if right { "also" } else { "only" };
                    let what = format!(
                        "transaction {number} is {also} at {}; its receipt says {}",
                        place(at),
                        place(&receipt)
                    );
                    found.problem(kind, node, what);
                }
                (Outcome::Unknown(_), Some((count, at))) if *count > 1 => {
                    let what =
                        format!("transaction {number} is there {count} times, at {} for one", place(at));
                    found.problem(ProblemKind::Duplicate, node, what);
                }
                (Outcome::Rejected(_) | Outcome::Failed(_), Some((_, at))) => {
                    let how =
                        if matches!(slot.outcome, Outcome::Failed(_)) { "failed" } else { "was rejected" };
                    let what = format!("transaction {number} {how}, and is at {}", place(at));
                    found.problem(ProblemKind::Unexpected, node, what);
                }
                _ => {}
            }
        }
    }
}

fn place(receipt: &Receipt) -> String {
    let Receipt { height, index, offset, length } = receipt;
    format!("offset {offset} (record {index}, {length} bytes, block {height})")
}
