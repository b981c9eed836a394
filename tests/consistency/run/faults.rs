//! What is done to the nodes, one fault after the other.
//!
//! # Limits
//!
//! At most two of four nodes are disturbed at a time, and two only by stopping them: without a quorum for as long as
//! [`Plan::away_max`](super::Plan) and no longer.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use dseq::node::process::ProcessId;
use dseq::node::process::running::Running;
use dseq::node::testnet::Node;
use rustix::process::Signal;
use serde_json::Value;

use super::world::{World, millis};
use super::{Plan, StartAgain};
use crate::noise::Noise;

/// How long a node may take until it is back.
const RETURN_PATIENCE: Duration = Duration::from_secs(120);

/// What a fault hits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    App,
    Engine,
    Both,
    /// With its supervisor, which brings back the others.
    Node,
    /// App and engine of two nodes.
    TwoNodes,
}

type Kind = (&'static str, Signal, Target);

const KINDS: [Kind; 10] = [
    ("kill app", Signal::KILL, Target::App),
    ("kill engine", Signal::KILL, Target::Engine),
    ("kill app and engine", Signal::KILL, Target::Both),
    ("kill all", Signal::KILL, Target::Node),
    ("terminate app", Signal::TERM, Target::App),
    ("terminate engine", Signal::TERM, Target::Engine),
    ("terminate all", Signal::TERM, Target::Node),
    ("stop app", Signal::STOP, Target::App),
    ("stop engine", Signal::STOP, Target::Engine),
    ("stop app and engine", Signal::STOP, Target::Both),
];
const NO_QUORUM: Kind = ("stop two nodes", Signal::STOP, Target::TwoNodes);
/// Of so many faults, one leaves no quorum.
const NO_QUORUM_EVERY: usize = 5;

/// Disturbs nodes until the plan is fulfilled; returns how many faults there were. All nodes run then.
pub(crate) fn disturb(
    plan: Plan,
    nodes: &[Node],
    start_again: StartAgain<'_>,
    world: &World,
    mut noise: Noise,
) -> Result<usize> {
    let mut kinds: Vec<Kind> = Vec::new();
    for count in 0.. {
        let is_over = count >= plan.faults_max || world.now() >= plan.time_max;
        std::thread::sleep(Duration::from_millis(500) + millis(&mut noise, as_millis(plan.rest_max)));
        if is_over {
            return Ok(count);
        }
        // Each kind once, in random order, then again.
        if kinds.is_empty() {
            kinds = KINDS.into();
        }
        let has_quorum = count % NO_QUORUM_EVERY != NO_QUORUM_EVERY / 2;
        let kind = if has_quorum { kinds.swap_remove(noise.below(kinds.len())) } else { NO_QUORUM };
        let node = noise.below(nodes.len());
        let other = (node + 1 + noise.below(nodes.len() - 1)) % nodes.len();
        let away = Duration::from_millis(200) + millis(&mut noise, as_millis(plan.away_max));
        let hit: &[usize] = if kind.2 == Target::TwoNodes { &[node, other] } else { &[node] };
        let began = world.now();
        inflict(kind, hit, away, nodes, start_again)?;
        hit.iter().try_for_each(|node| wait_until_back(*node, nodes, kind.0))?;
        let names: Vec<&str> = hit.iter().map(|node| nodes[*node].name.as_str()).collect();
        println!(
            "consistency: {:>6.1} s  {} ({}), back after {:.1} s",
            began.as_secs_f64(),
            kind.0,
            names.join(" and "),
            (world.now() - began).as_secs_f64()
        );
    }
    Ok(0)
}

fn as_millis(time: Duration) -> usize {
    usize::try_from(time.as_millis()).unwrap_or(usize::MAX)
}

fn inflict(
    (_, signal, target): Kind,
    hit: &[usize],
    away: Duration,
    nodes: &[Node],
    start_again: StartAgain<'_>,
) -> Result<()> {
    let mut processes = Vec::new();
    for node in hit {
        let Some(Running { supervisor, app, cometbft, .. }) = running(&nodes[*node]) else {
            bail!("node{node} does not run");
        };
        processes.extend(match target {
            Target::App => vec![app],
            Target::Engine => vec![cometbft],
            Target::Both | Target::TwoNodes => vec![app, cometbft],
            // A supervisor that is asked to end ends the others.
            Target::Node if signal == Signal::TERM => vec![Some(supervisor)],
            Target::Node => vec![Some(supervisor), app, cometbft],
        });
    }
    let processes: Vec<ProcessId> = processes.into_iter().flatten().collect();
    for process in &processes {
        process.signal(signal)?;
    }
    if signal == Signal::STOP {
        std::thread::sleep(away);
        for process in &processes {
            // Whoever was killed meanwhile, by its supervisor for instance, needs none.
            process.signal(Signal::CONT)?;
        }
        return Ok(());
    }
    if !processes.iter().all(|process| process.wait_gone(RETURN_PATIENCE)) {
        bail!("{hit:?} do not end");
    }
    if target == Target::Node {
        std::thread::sleep(away);
        // Nobody but an operator brings back a supervisor.
        start_again()?;
    }
    Ok(())
}

/// The processes of a node, if they all run.
fn running(node: &Node) -> Option<Running> {
    Running::read(&node.home).filter(|running| {
        let all = [Some(running.supervisor), running.app, running.cometbft];
        all.into_iter().all(|process| process.is_some_and(ProcessId::is_alive))
    })
}

/// Waits until a node accepts transactions and has the height that the others have now.
fn wait_until_back(node: usize, nodes: &[Node], what: &str) -> Result<()> {
    let config = ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(2)));
    let agent: ureq::Agent = config.build().into();
    let height = |node: &Node| {
        let mut answer = agent.get(format!("{}/v1/status", node.http_url()?)).call().ok()?;
        let status: Value = serde_json::from_str(&answer.body_mut().read_to_string().ok()?).ok()?;
        status["height"].as_u64().filter(|_| status["ready"] == true)
    };
    let goal = nodes.iter().filter_map(height).max();
    let began = Instant::now();
    while running(&nodes[node]).is_none() || height(&nodes[node]) < goal {
        if began.elapsed() > RETURN_PATIENCE {
            bail!("node{node} is not back {} s after: {what}", RETURN_PATIENCE.as_secs());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}
