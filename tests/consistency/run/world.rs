//! What all clients of a run share: the clock, the nodes, and which transactions there are.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use dseq::node::testnet::Node;
use dseq::types::TxHash;
use dseq_client::{Address, Client, Options};

use super::history::Span;
use crate::noise::Noise;

pub(crate) struct World {
    begin: Instant,
    addresses: Vec<Address>,
    stopped: AtomicBool,
    /// The length to which followers go on; unknown until the run has ended.
    end: AtomicU64,
    /// How many records there are; as above.
    count: AtomicU64,
    submitted: Mutex<Vec<TxHash>>,
}

impl World {
    pub(crate) fn of(nodes: &[Node]) -> Result<Self> {
        let address = |node: &Node| {
            let address = node.http().with_context(|| format!("{} serves no HTTP", node.name))?;
            Ok(address.to_string().parse()?)
        };
        Ok(Self {
            begin: Instant::now(),
            addresses: nodes.iter().map(address).collect::<Result<_>>()?,
            stopped: AtomicBool::new(false),
            end: AtomicU64::new(u64::MAX),
            count: AtomicU64::new(u64::MAX),
            submitted: Mutex::default(),
        })
    }

    pub(crate) fn now(&self) -> Duration {
        self.begin.elapsed()
    }

    /// An operation that began then and ends now.
    pub(crate) fn span(&self, client: usize, node: Option<usize>, invoked: Duration) -> Span {
        Span { client, node, invoked, completed: self.now() }
    }

    pub(crate) fn nodes(&self) -> usize {
        self.addresses.len()
    }

    pub(crate) fn address(&self, node: usize) -> &Address {
        &self.addresses[node]
    }

    pub(crate) fn number_of(&self, address: &Address) -> Option<usize> {
        self.addresses.iter().position(|one| one == address)
    }

    /// A client of one node, with short timeouts.
    pub(crate) fn client_of(&self, node: usize) -> Result<Client> {
        client(vec![self.addresses[node].clone()])
    }

    /// A client of all nodes, which asks this one first.
    pub(crate) fn client_from(&self, node: usize) -> Result<Client> {
        let mut addresses = self.addresses.clone();
        addresses.rotate_left(node);
        client(addresses)
    }

    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }

    /// Lets followers end there.
    pub(crate) fn set_end(&self, length: u64, count: u64) {
        self.end.store(length, Ordering::SeqCst);
        self.count.store(count, Ordering::SeqCst);
    }

    pub(crate) fn end(&self) -> u64 {
        self.end.load(Ordering::SeqCst)
    }

    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::SeqCst)
    }

    fn submitted(&self) -> MutexGuard<'_, Vec<TxHash>> {
        self.submitted.lock().unwrap()
    }

    pub(crate) fn note(&self, tx_hash: TxHash) {
        self.submitted().push(tx_hash);
    }

    /// One of the transactions that were submitted, more likely a new one.
    pub(crate) fn any(&self, noise: &mut Noise) -> Option<TxHash> {
        let submitted = self.submitted();
        let newest = if noise.below(2) == 0 { submitted.len() } else { submitted.len().min(20) };
        (newest > 0).then(|| submitted[submitted.len() - 1 - noise.below(newest)])
    }
}

fn client(addresses: Vec<Address>) -> Result<Client> {
    let options = Options {
        connect_timeout: Duration::from_millis(500),
        answer_timeout: Duration::from_secs(2),
        retry_for: Duration::from_millis(500),
    };
    Ok(Client::with_options(addresses, options)?)
}

/// A random time up to so many milliseconds.
pub(crate) fn millis(noise: &mut Noise, max: usize) -> Duration {
    Duration::from_millis(noise.below(max + 1) as u64)
}
