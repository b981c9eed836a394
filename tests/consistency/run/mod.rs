//! A random run against real nodes, and its judgement.
//!
//! ```text
//! history      what is noted of each operation
//! check        whether one sequence explains it all
//! faults       nodes are killed, terminated and stopped, at random, from a seed
//! submitters   transactions of every kind, over dseq-client and over connections that are cut off
//! readers      followers of bytes and records, random ranges, look-ups
//! settle       the end: what every node holds, and what it says of each transaction
//! ```

mod check;
#[cfg(test)]
mod check_tests;
mod faults;
mod history;
mod readers;
mod settle;
mod submitters;
mod world;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use dseq::node::testnet::Node;

use self::history::{History, Outcome};
use self::world::World;
use crate::noise::Noise;

/// What a run does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// Of all that is random: the faults, their order and times, and what clients do. What the machine does is not.
    pub(crate) seed: u64,
    /// How many faults there are at most.
    pub(crate) faults_max: usize,
    /// After how long there is no further one.
    pub(crate) time_max: Duration,
    pub(crate) submitters: usize,
    /// Longest rest between a node's return and the next fault.
    pub(crate) rest_max: Duration,
    /// Longest time for which processes are stopped or nodes are away.
    pub(crate) away_max: Duration,
}

/// Starts nodes again.
pub(crate) type StartAgain<'a> = &'a dyn Fn() -> Result<()>;

/// Runs a plan against nodes that all accept transactions, and judges it: what came of it in a few lines, or the violation.
///
/// # Errors
///
/// The run cannot go on, or the history has a violation.
pub(crate) fn run(plan: Plan, nodes: &[Node], start_again: StartAgain<'_>) -> Result<String> {
    println!("consistency: seed {}", plan.seed);
    let (history, faults) = record(plan, nodes, start_again)
        .with_context(|| format!("consistency run with seed {} did not come to its end", plan.seed))?;
    let figures = figures(&history, faults);
    if let Err(violation) = check::check(&history) {
        bail!("VIOLATION, seed {}: {violation}\n{figures}", plan.seed);
    }
    Ok(figures)
}

fn record(plan: Plan, nodes: &[Node], start_again: StartAgain<'_>) -> Result<(History, usize)> {
    let world = Arc::new(World::of(nodes)?);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let mut noise = Noise::new(plan.seed);
    let mut submitters = Vec::new();
    for client in 0..plan.submitters {
        submitters.push(runtime.spawn(submitters::submit(world.clone(), client, Noise::new(noise.next()))));
    }
    let mut readers = Vec::new();
    for client in 100..103 {
        readers.push(runtime.spawn(readers::follow(world.clone(), client, Noise::new(noise.next()))));
        let noise = Noise::new(noise.next());
        readers.push(runtime.spawn(readers::follow_records(world.clone(), client + 100, noise)));
    }
    for client in 300..302 {
        submitters.push(runtime.spawn(readers::ranges(world.clone(), client, Noise::new(noise.next()))));
        let noise = Noise::new(noise.next());
        submitters.push(runtime.spawn(readers::look_ups(world.clone(), client + 100, noise)));
    }
    let faults = faults::disturb(plan, nodes, start_again, &world, noise);
    // Also when it failed: the tasks use the nodes that the caller stops next.
    world.stop();
    let mut history = History::default();
    for task in submitters {
        history.extend(runtime.block_on(task)??);
    }
    let faults = faults?;
    start_again()?;
    runtime.block_on(settle::settle(&world, &mut history))?;
    for task in readers {
        history.extend(runtime.block_on(task)??);
    }
    // What did not happen was not examined.
    let happened = |is_it: fn(&Outcome) -> bool| history.submissions.iter().any(|one| is_it(&one.outcome));
    ensure!(happened(|outcome| matches!(outcome, Outcome::Committed { .. })), "nothing was committed");
    ensure!(happened(|outcome| matches!(outcome, Outcome::Rejected)), "nothing was rejected");
    ensure!(happened(|outcome| matches!(outcome, Outcome::Unknown)), "no outcome was left open");
    ensure!(!history.reads.is_empty() && !history.look_ups.is_empty(), "nothing was read");
    Ok((history, faults))
}

/// What a run was, in a few lines.
fn figures(history: &History, faults: usize) -> String {
    let outcomes = |is_it: fn(&Outcome) -> bool| {
        history.submissions.iter().filter(|submission| is_it(&submission.outcome)).count()
    };
    let committed = outcomes(|outcome| matches!(outcome, Outcome::Committed { .. }));
    let told = outcomes(|outcome| matches!(outcome, Outcome::Committed { duplicate: Some(true), .. }));
    let found_out = outcomes(|outcome| matches!(outcome, Outcome::Committed { duplicate: None, .. }));
    let pending = outcomes(|outcome| matches!(outcome, Outcome::Pending));
    let rejected = outcomes(|outcome| matches!(outcome, Outcome::Rejected));
    let failed = outcomes(|outcome| matches!(outcome, Outcome::Failed(_)));
    let unknown = outcomes(|outcome| matches!(outcome, Outcome::Unknown));
    let in_sequence: std::collections::BTreeMap<_, usize> =
        history.finals[0].records.iter().fold(Default::default(), |mut counts, record| {
            *counts.entry(record.receipt.tx_hash).or_default() += 1;
            counts
        });
    let open = history
        .submissions
        .iter()
        .filter(|submission| matches!(submission.outcome, Outcome::Pending | Outcome::Unknown));
    let got_in = open.filter(|submission| in_sequence.contains_key(&submission.tx_hash)).count();
    let twice = in_sequence.values().filter(|count| **count > 1).count();
    let chunks: usize = history.followed.iter().map(|reader| reader.chunks.len()).sum();
    let records: usize = history.followed_records.iter().map(|reader| reader.records.len()).sum();
    format!(
        "{faults} faults; {} submissions: {committed} committed ({told} told that they are duplicates, {found_out} found out \
         by hash), {pending} pending, {rejected} rejected, {failed} failed, {unknown} unknown\n\
         {got_in} of those pending or unknown are in the sequence; {} records in {} bytes, {twice} transactions more than once\n\
         {} followers of bytes with {chunks} pieces, {} followers of records with {records} records, {} ranges, {} lengths, {} look-ups, \
         {} outcomes asked for afterwards",
        history.submissions.len(),
        history.finals[0].records.len(),
        history.finals[0].bytes.len(),
        history.followed.len(),
        history.followed_records.len(),
        history.reads.len(),
        history.lengths.len(),
        history.look_ups.len(),
        history.resolved.len(),
    )
}
