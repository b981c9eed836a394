//! Load tests: transactions are offered to a network, what becomes of them is measured, and each is looked for where it should be.
//!
//! - [`plan`]: what a run does, and its bounds;
//! - `transaction`, `schedule`: what is offered, and when; a seed decides both;
//! - `generate`: offers it to a `node`: over CometBFT's RPC (`client`) or over its own HTTP (`http`);
//! - `follow`: learns of commits from the nodes' blocks, where HTTP's answers do not tell them; `ledger`: keeps what became of each
//!   request;
//! - `verify`: reads every node's records and compares;
//! - [`report`], [`words`], `files`, `html`: what a run comes to, for people and for tools.
//!
//! # Invariants
//!
//! - Latency counts from when a request was due, not from when it was sent: a slow network or generator can't hide it
//!   (no coordinated omission).
//! - Unknown is not failed: it is what may be committed, and the verification decides it.
//! - How transactions get to a node, and how blocks and records come from it, is known only to `client` and `http`.

mod client;
mod files;
mod follow;
mod generate;
mod html;
mod http;
mod ledger;
pub mod max;
mod node;
pub mod plan;
mod random;
pub mod report;
mod schedule;
mod transaction;
pub mod verify;
pub mod words;

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::interval;

pub use files::{write_csv, write_hgrm};
pub use html::page;
pub use ledger::{Counts, Live, Reason};
pub use transaction::TX_BYTES_MIN;

use client::{Client, NoAnswer, Position};
use follow::Blocks;
use generate::Generator;
use ledger::{Closed, Ledger, Outcome};
use node::Node;
use plan::{End, NODES_MAX, Plan, PlanError, Via};
use report::Report;
use transaction::Transactions;
use verify::{Progress, Verifier};

use crate::node::address::Address;
use crate::node::process::signals::StopSignals;

/// Maximum number of connections of a run: below the usual limit of 1024 open files, and below CometBFT's 900.
const CONNECTIONS_MAX: usize = 640;
/// Maximum number of connections to one node.
const NODE_CONNECTIONS_MAX: usize = 256;
/// Maximum number of connections of a run over HTTP, each with a transaction: what a node takes from one machine.
const HTTP_CONNECTIONS_MAX: usize = 12_000;
/// Descriptors of this process that are no connections: files, the terminal.
const DESCRIPTORS_KEPT: usize = 64;
/// How often the observer is called.
const OBSERVE: Duration = Duration::from_millis(250);
/// How often overdue transactions are looked for.
const EXPIRE: Duration = Duration::from_millis(50);
/// Threads of the generator, its followers and the verification.
const THREADS: usize = 2;

/// Why there was no run.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The plan is beyond a bound.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// A node that does not answer before anything was sent.
    ///
    /// Start the node, or correct its address.
    #[error("node {node} cannot be used: {why}; is it running, and is this its {port} port?")]
    Node {
        /// The node.
        node: Address,
        /// What is wrong with it.
        why: String,
        /// What the run takes addresses of.
        port: &'static str,
    },
    /// The kernel refuses threads or signals.
    ///
    /// Fix the cause that follows the message, and run the command again.
    #[error("cannot start the run")]
    Runtime(#[source] io::Error),
}

/// Where a run is.
#[derive(Clone, Copy, Debug)]
pub enum Stage {
    /// Transactions are offered.
    Running(Live),
    /// All are offered; some are not decided yet.
    Draining(Live),
    /// Records are read.
    Verifying {
        /// Records read.
        read: u64,
        /// Records to be read; 0: not known yet.
        total: u64,
    },
}

/// A run that is over.
pub struct Finished {
    /// What it comes to.
    pub report: Report,
    closed: Closed,
}

/// Does a run and verifies it. `observe` is called some times a second. SIGINT or SIGTERM ends the offering early, a second
/// one everything else.
///
/// # Errors
///
/// When the plan is beyond a bound, or a node does not answer before anything was sent.
pub fn run(plan: &Plan, observe: &mut dyn FnMut(Stage)) -> Result<Finished, LoadError> {
    plan.check()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
        .thread_name("load")
        .enable_all()
        .build()
        .map_err(LoadError::Runtime)?;
    runtime.block_on(run_on(plan, observe))
}

/// How a run was asked to end: 0 times, once, or more often.
async fn count_signals(mut signals: StopSignals, asked: watch::Sender<bool>, abandoned: watch::Sender<bool>) {
    signals.recv().await;
    // Nobody may be left to hear it.
    let _ = asked.send(true);
    signals.recv().await;
    let _ = abandoned.send(true);
    std::future::pending::<()>().await;
}

async fn run_on(plan: &Plan, observe: &mut dyn FnMut(Stage)) -> Result<Finished, LoadError> {
    let (clients, positions) = nodes(plan).await?;
    let (asked_sender, asked) = watch::channel(false);
    let (abandoned_sender, mut abandoned) = watch::channel(false);
    let signals = StopSignals::new().map_err(LoadError::Runtime)?;
    let mut tasks = JoinSet::new();
    tasks.spawn(count_signals(signals, asked_sender, abandoned_sender));

    let run = run_id();
    let transactions = Transactions { run, seed: plan.seed, sizes: plan.sizes, format: plan.format };
    let transactions = Arc::new(transactions);
    let heights: Vec<u64> = positions.iter().map(|position| position.height).collect();
    let blocks = Arc::new(Blocks::new(Arc::clone(&transactions), &heights));
    let began = SystemTime::now();
    let ledger = Arc::new(Ledger::new(clients.len(), plan.timeout));
    // HTTP's answers say it by themselves.
    for (node, client) in (0..).zip(&clients).filter(|_| plan.via == Via::Rpc) {
        // A connection of its own: behind transactions that wait for one, commits would be learned late.
        let client = Arc::new(Client::new(client.address().clone(), 1, plan.timeout));
        let follower = follow::follow(node, client, Arc::clone(&blocks), Arc::clone(&ledger));
        tasks.spawn(follower);
    }
    let generator = Generator {
        plan: plan.clone(),
        clients: clients.clone(),
        transactions: Arc::clone(&transactions),
        ledger: Arc::clone(&ledger),
    };
    let generating = tokio::spawn({
        let asked = asked.clone();
        async move { generator.run(asked).await }
    });
    wait(plan, &ledger, generating, &mut abandoned, observe).await;
    let (stopped_early, is_abandoned) = (*asked.borrow(), *abandoned.borrow());
    ledger.give_up("the run was ended by a second signal");
    let closed = ledger.close();
    let mut report = Report::of(plan, run, began, &closed, stopped_early);
    if is_abandoned {
        return Ok(Finished { report, closed });
    }
    let from = positions.iter().map(|Position { records, .. }| *records).min().unwrap_or(0);
    let finished = verify(clients, transactions, closed, from, &mut abandoned, observe).await;
    let (mut closed, found) = finished;
    if let Some((verification, landed)) = found {
        for (number, receipt) in landed {
            closed.slots[number as usize].outcome = Outcome::Committed { receipt, late: true };
        }
        report.verification = Some(verification);
    }
    Ok(Finished { report, closed })
}

/// The nodes of a run, and how far each has committed.
async fn nodes(plan: &Plan) -> Result<(Vec<Arc<Node>>, Vec<Position>), LoadError> {
    let (connections, port) = match plan.via {
        // One more is the follower's.
        Via::Rpc => ((CONNECTIONS_MAX / plan.nodes.len()).min(NODE_CONNECTIONS_MAX) - 1, "RPC"),
        Via::Http => (descriptors() / plan.nodes.len(), "HTTP"),
    };
    let (mut clients, mut positions) = (Vec::new(), Vec::new());
    for node in &plan.nodes {
        let unusable = |NoAnswer(why)| LoadError::Node { node: node.clone(), why, port };
        let client = Node::new(plan.via, node, connections, plan.timeout).map_err(unusable)?;
        positions.push(client.position().await.map_err(unusable)?);
        clients.push(Arc::new(client));
    }
    Ok((clients, positions))
}

/// How many connections this process may have: each transaction over HTTP takes one until it is committed.
fn descriptors() -> usize {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Without more, transactions wait for a connection and are reported as late.
    let _ = setrlimit(Resource::Nofile, limit);
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(limit)
        .unwrap_or(usize::MAX)
        .saturating_sub(DESCRIPTORS_KEPT)
        .clamp(NODES_MAX, HTTP_CONNECTIONS_MAX)
}

/// Waits until everything is offered and decided, or nobody wants to wait any more.
async fn wait(
    plan: &Plan,
    ledger: &Ledger,
    mut generating: tokio::task::JoinHandle<()>,
    abandoned: &mut watch::Receiver<bool>,
    observe: &mut dyn FnMut(Stage),
) {
    let (requests, duration) = match plan.end {
        End::Requests(requests) => (Some(requests), None),
        End::Duration(duration) => (None, Some(duration)),
    };
    let (mut ticks, mut offered, mut observed) = (interval(EXPIRE), false, Instant::now());
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            ended = &mut generating, if !offered => {
                ended.expect("the generator does not panic");
                offered = true;
            }
            _ = abandoned.wait_for(|abandoned| *abandoned) => return,
        }
        ledger.expire(Instant::now());
        if offered && ledger.in_flight() == 0 {
            return;
        }
        if observed.elapsed() >= OBSERVE {
            observed = Instant::now();
            let live = Live { requests, duration, ..ledger.live() };
            observe(if offered { Stage::Draining(live) } else { Stage::Running(live) });
        }
    }
}

type Found = (verify::Verification, Vec<(u32, crate::sequence::Receipt)>);

/// Verifies, unless nobody wants to wait for it.
async fn verify(
    clients: Vec<Arc<Node>>,
    transactions: Arc<Transactions>,
    mut closed: Closed,
    from: u64,
    abandoned: &mut watch::Receiver<bool>,
    observe: &mut dyn FnMut(Stage),
) -> (Closed, Option<Found>) {
    let slots = Arc::new(std::mem::take(&mut closed.slots));
    let progress = Arc::new(Progress::default());
    let verifier =
        Verifier { clients, transactions, slots: Arc::clone(&slots), from, progress: Arc::clone(&progress) };
    let mut verifying = tokio::spawn(verifier.run());
    let mut ticks = interval(OBSERVE);
    let found = loop {
        tokio::select! {
            found = &mut verifying => break found.ok(),
            _ = ticks.tick() => {
                let [read, total] = [&progress.read, &progress.total].map(|count| count.load(Ordering::Relaxed));
                observe(Stage::Verifying { read, total });
            }
            _ = abandoned.wait_for(|abandoned| *abandoned) => {
                verifying.abort();
                break None;
            }
        }
    };
    closed.slots = Arc::try_unwrap(slots).unwrap_or_else(|slots| slots.to_vec());
    (closed, found)
}

/// An id that no other run has: from the clock, the process and the keys that the standard library takes from the kernel.
fn run_id() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    RandomState::new().hash_one((now, std::process::id()))
}
