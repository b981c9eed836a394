//! What is done to the nodes, one after the other, and how long each takes to be back.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use dseq::node::engine::rpc::Rpc;
use dseq::node::process::ProcessId;
use dseq::node::process::running::Running;
use rustix::process::Signal;

use crate::Options;
use crate::network::{RETURN_PATIENCE, Testnet};
use crate::noise::Noise;

/// Longest time a process is stopped: longer than the network waits for a proposer.
const STOPPED_SECONDS_MAX: usize = 12;

/// One of them, and what came of it.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    pub(crate) at: Duration,
    pub(crate) node: usize,
    pub(crate) what: &'static str,
    /// Until the node was up to date with node0 again.
    pub(crate) back_after: Duration,
}

const KINDS: [&str; 7] =
    ["kill app", "kill engine", "kill both", "kill node", "stop app", "stop engine", "stop both"];

/// Disturbs a random node but node0, waits until it is back, rests, and so on.
pub(crate) fn disturb(
    options: &Options,
    seed: u64,
    network: &Testnet,
    begin: Instant,
    stop: &AtomicBool,
) -> Result<Vec<Fault>> {
    let (mut noise, mut faults) = (Noise::new(seed), Vec::new());
    let is_over = || stop.load(Ordering::Relaxed);
    while !is_over() {
        let rest = Duration::from_secs(2 + noise.below(options.rest_seconds_max.max(1)) as u64);
        // The last return must be seen, too.
        if options.rest_seconds_max == 0 || begin.elapsed() + rest > options.duration.mul_f64(0.9) {
            while !is_over() {
                std::thread::sleep(Duration::from_millis(100));
            }
            break;
        }
        std::thread::sleep(rest);
        let node = 1 + noise.below(network.nodes.len() - 1);
        let what = KINDS[noise.below(KINDS.len())];
        let pause = Duration::from_secs(1 + noise.below(STOPPED_SECONDS_MAX) as u64);
        let at = begin.elapsed();
        let Some(running) = network.running(node) else {
            bail!("node{node} did not run {} s after the start", at.as_secs())
        };
        let killed = inflict(network, what, &running, pause)?;
        let back_after = wait_until_back(network, node, &killed, begin)?.saturating_sub(at);
        println!(
            "soak: {:>5} s  {what} of node{node}, back after {:.1} s",
            at.as_secs(),
            back_after.as_secs_f64()
        );
        faults.push(Fault { at, node, what, back_after });
    }
    Ok(faults)
}

/// Does it; answers with the processes that it killed.
fn inflict(network: &Testnet, what: &str, running: &Running, pause: Duration) -> Result<Vec<ProcessId>> {
    let (app, engine) = (running.app, running.cometbft);
    let hit: Vec<ProcessId> = match what {
        "kill app" | "stop app" => vec![app],
        "kill engine" | "stop engine" => vec![engine],
        "kill node" => vec![Some(running.supervisor), app, engine],
        _ => vec![app, engine],
    }
    .into_iter()
    .flatten()
    .collect();
    let signal_all = |signal| hit.iter().try_for_each(|process| process.signal(signal).map(drop));
    if what.starts_with("stop") {
        signal_all(Signal::STOP)?;
        std::thread::sleep(pause);
        // Whoever was killed meanwhile, by its supervisor for instance, needs none.
        signal_all(Signal::CONT)?;
        return Ok(Vec::new());
    }
    signal_all(Signal::KILL)?;
    // Or what starts it again takes it for running.
    while hit.iter().any(|process| process.is_alive()) {
        std::thread::sleep(Duration::from_millis(10));
    }
    // Nobody but an operator brings back a supervisor.
    if what == "kill node" {
        network.start_again()?;
    }
    Ok(hit)
}

/// Waits until a node runs without any of the processes that were killed and has the height that node0 has now; answers when.
fn wait_until_back(network: &Testnet, node: usize, killed: &[ProcessId], begin: Instant) -> Result<Duration> {
    let height = |node: usize| {
        let rpc = Rpc::at(network.nodes[node].rpc_url(), Duration::from_secs(2));
        rpc.status().ok().filter(|status| !status.catching_up).map(|status| status.height)
    };
    // Until its supervisor notices, a process that was killed is still said to run.
    let runs = |running: Running| {
        let all = [Some(running.supervisor), running.app, running.cometbft];
        !all.iter().flatten().any(|process| killed.contains(process))
    };
    let (since, goal) = (begin.elapsed(), height(0));
    loop {
        let now = begin.elapsed();
        if goal.is_some() && network.running(node).is_some_and(runs) && height(node) >= goal {
            return Ok(now);
        }
        if now.saturating_sub(since) > RETURN_PATIENCE {
            bail!("node{node} is not back {} s after a fault", RETURN_PATIENCE.as_secs());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}
