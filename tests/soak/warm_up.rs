//! Fills what CometBFT remembers of transactions, so that what grows afterwards is no mere filling.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::network::Testnet;

/// Transactions that CometBFT remembers, by `mempool.cache_size` in `networks/common/cometbft.toml`.
const REMEMBERED: u64 = 200_000;
/// As many again replace those: meanwhile what CometBFT remembers grows by half, from 29 to 41 MB, because Go's map of it keeps room
/// for what was deleted. It stays at that until four million, and the heap may be five times what is in use.
const COMMITTED: u64 = 2 * REMEMBERED;
/// Producers of each node, and transactions in a request.
const PRODUCERS: usize = 4;
const TOGETHER: usize = 100;
/// How long a node may take for a request.
const PATIENCE: Duration = Duration::from_secs(60);
/// Pause of a producer of whose transactions all were refused.
const PAUSE: Duration = Duration::from_millis(200);

/// Has twice as many transactions committed as CometBFT remembers, none of which is the load's.
pub(crate) fn fill(network: &Testnet, tx_bytes: usize) -> Result<()> {
    println!("{COMMITTED} transactions first, twice what CometBFT remembers ...");
    let (next, committed) = (AtomicU64::new(0), AtomicU64::new(0));
    let produce = |url: &str| -> Result<()> {
        let config = ureq::Agent::config_builder().timeout_global(Some(PATIENCE)).http_status_as_error(false);
        let agent: ureq::Agent = config.build().into();
        while committed.load(Ordering::Relaxed) < COMMITTED {
            let mut body = Vec::with_capacity(TOGETHER * (tx_bytes + 4));
            for _ in 0..TOGETHER {
                body.extend(u32::try_from(tx_bytes)?.to_le_bytes());
                let end = body.len() + tx_bytes;
                // A producer that the load does not have, and a number of its own.
                body.extend(u64::MAX.to_be_bytes());
                body.extend(next.fetch_add(1, Ordering::Relaxed).to_be_bytes());
                body.resize(end, b'.');
            }
            let request = agent
                .post(format!("{url}/v1/submit/batch?timeout=60"))
                .header("content-type", "application/octet-stream");
            let text = request.send(&body[..])?.body_mut().read_to_string()?;
            let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            let count = lines.filter(|line| line["state"] == "committed").count();
            committed.fetch_add(count as u64, Ordering::Relaxed);
            if count == 0 {
                std::thread::sleep(PAUSE);
            }
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let mut producers = Vec::new();
        for node in &network.nodes {
            let url = node.http_url().context("a node has no HTTP")?;
            for _ in 0..PRODUCERS {
                let (produce, url) = (&produce, url.clone());
                producers.push(scope.spawn(move || produce(&url)));
            }
        }
        producers.into_iter().try_for_each(|producer| producer.join().unwrap())
    })
}
