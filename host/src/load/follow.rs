//! Learning of commits: each node is asked how far it is, and each new block is read once.
//!
//! A transaction is committed when the node it was sent to says that it has committed the block. What is in a block is the same
//! on all nodes (consensus hashes transactions and results), so that it is read from the first node that has it. That this is
//! so, and that each node stored it, is what the verification is for.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::OnceCell;
use tokio::time::sleep;

use super::client::{Client, Decided, NoAnswer};
use super::ledger::Ledger;
use super::transaction::Transactions;

/// How often a node is asked while transactions to it are pending: latencies are too long by up to this and the time
/// that the node takes to answer.
pub(super) const POLL: Duration = Duration::from_millis(5);
/// How often otherwise.
const POLL_IDLE: Duration = Duration::from_millis(50);
/// How long a node is left alone that did not answer.
const POLL_FAILED: Duration = Duration::from_millis(500);

type Cell = Arc<OnceCell<Arc<Vec<Decided>>>>;

/// The run's transactions in each block, read once for all nodes.
pub(super) struct Blocks {
    transactions: Arc<Transactions>,
    cells: Mutex<BTreeMap<u64, Cell>>,
    /// The height that each node's follower comes to next.
    next: Vec<AtomicU64>,
}

impl Blocks {
    /// For nodes that have committed up to these heights.
    pub(super) fn new(transactions: Arc<Transactions>, heights: &[u64]) -> Self {
        let next = heights.iter().map(|height| AtomicU64::new(height.saturating_add(1))).collect();
        Self { transactions, cells: Mutex::default(), next }
    }

    async fn read(&self, height: u64, client: &Client) -> Result<Arc<Vec<Decided>>, NoAnswer> {
        let cell = {
            let mut cells = self.cells.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(cells.entry(height).or_default())
        };
        let read = async || client.block(height, &self.transactions).await.map(Arc::new);
        cell.get_or_try_init(read).await.map(Arc::clone)
    }

    /// A node's follower is through with a height; what all are through with is forgotten.
    fn passed(&self, node: usize, height: u64) {
        self.next[node].store(height.saturating_add(1), Ordering::Relaxed);
        let first = self.next.iter().map(|next| next.load(Ordering::Relaxed)).min().unwrap_or(0);
        let mut cells = self.cells.lock().unwrap_or_else(PoisonError::into_inner);
        *cells = cells.split_off(&first);
    }
}

/// Follows one node until the task is dropped.
pub(super) async fn follow(node: u16, client: Arc<Client>, blocks: Arc<Blocks>, ledger: Arc<Ledger>) {
    loop {
        let pause = match catch_up(node, &client, &blocks, &ledger).await {
            Ok(()) if ledger.pending(node) > 0 => POLL,
            Ok(()) => POLL_IDLE,
            Err(NoAnswer(_)) => POLL_FAILED,
        };
        sleep(pause).await;
    }
}

async fn catch_up(node: u16, client: &Client, blocks: &Blocks, ledger: &Ledger) -> Result<(), NoAnswer> {
    let position = client.position().await?;
    // The blocks are committed now, however long it takes to read them.
    let at = Instant::now();
    let index = usize::from(node);
    for height in blocks.next[index].load(Ordering::Relaxed)..=position.height {
        let decided = blocks.read(height, client).await?;
        for Decided { number, result } in decided.iter() {
            if !ledger.is_of(*number, node) {
                continue;
            }
            match result {
                Ok(receipt) => ledger.committed(*number, *receipt, at),
                Err((codespace, code, words)) => ledger.rejected(*number, codespace, *code, words),
            }
        }
        blocks.passed(index, height);
    }
    Ok(())
}
