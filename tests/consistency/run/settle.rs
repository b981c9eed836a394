//! The end of a run: until nothing moves any more, then what each node holds and what it says of each transaction.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use bytes::Bytes;
use dseq::types::TxHash;
use dseq_client::{Client, Error, Status};
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::time::sleep;

use super::history::{Final, History, LookUp, Outcome};
use super::submitters::Submitter;
use super::world::World;
use crate::noise::Noise;

/// How long the nodes may take to come to rest.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long nothing has to move. A node hands to its engine what is not committed once more, after 3 s.
const REST: Duration = Duration::from_secs(5);
/// How many questions by hash are asked at once.
const AT_ONCE: usize = 16;
/// The number of the client that asks.
const CLIENT: usize = 999;

/// Waits until all nodes hold the same and nothing comes any more, and takes that into the history. Followers may then end.
pub(crate) async fn settle(world: &Arc<World>, history: &mut History) -> Result<()> {
    flush(world, history).await?;
    let begin = Instant::now();
    loop {
        let status = at_rest(world).await?;
        world.set_end(status.length, status.records);
        let finals = finals(world, &status).await?;
        let resolved = resolved(world, history).await?;
        if at_rest_now(world).await? == Some(status) {
            (history.finals, history.resolved) = (finals, resolved);
            return Ok(());
        }
        ensure!(begin.elapsed() < PATIENCE, "the nodes do not come to rest in {} s", PATIENCE.as_secs());
    }
}

/// Gives every node something to propose: what still waits in its mempool gets into a block with that.
async fn flush(world: &Arc<World>, history: &mut History) -> Result<()> {
    let mut submitter = Submitter::new(world.clone(), CLIENT, Noise::new(0))?;
    for node in (0..world.nodes()).cycle().take(2 * world.nodes()) {
        let tx = submitter.unique();
        submitter.hand_to(node, tx, PATIENCE / 4).await?;
        let last = submitter.history.submissions.last();
        let is_in = last.is_some_and(|last| matches!(last.outcome, Outcome::Committed { .. }));
        ensure!(is_in, "all nodes run, and node{node} commits nothing: {last:?}");
    }
    history.extend(submitter.history);
    Ok(())
}

/// The status of all nodes, once it has not changed for a while.
async fn at_rest(world: &World) -> Result<Status> {
    let begin = Instant::now();
    let (mut last, mut since) = (None, begin);
    loop {
        let now = at_rest_now(world).await?;
        if now.is_none() || now != last {
            (last, since) = (now, Instant::now());
        } else if let Some(status) = last.take_if(|_| since.elapsed() > REST) {
            return Ok(status);
        }
        if begin.elapsed() > PATIENCE {
            let mut all = Vec::new();
            for node in 0..world.nodes() {
                all.push(world.client_of(node)?.status().await);
            }
            bail!("after {} s the nodes are not equally far: {all:#?}", PATIENCE.as_secs());
        }
        sleep(Duration::from_millis(200)).await;
    }
}

/// The status of all nodes, if it is the same.
async fn at_rest_now(world: &World) -> Result<Option<Status>> {
    let mut common: Option<Status> = None;
    for node in 0..world.nodes() {
        let Ok(status) = world.client_of(node)?.status().await else { return Ok(None) };
        if common.as_ref().is_some_and(|common| {
            (common.height, common.length, &common.app_hash)
                != (status.height, status.length, &status.app_hash)
        }) {
            return Ok(None);
        }
        common.get_or_insert(status);
    }
    Ok(common)
}

async fn finals(world: &World, status: &Status) -> Result<Vec<Final>> {
    let mut finals = Vec::new();
    for node in 0..world.nodes() {
        let client = world.client_of(node)?;
        let reading = client.read(0..status.length).await?;
        let bytes: Vec<Bytes> = reading.try_collect().await?;
        let records = client.records(0, status.records).await?.try_collect().await?;
        finals.push(Final { bytes: bytes.concat().into(), records });
    }
    Ok(finals)
}

/// What becomes of each transaction, by hash: of those with several submissions or an outcome that leaves anything open every
/// node is asked, of the others one.
async fn resolved(world: &World, history: &History) -> Result<Vec<LookUp>> {
    let mut questions: BTreeMap<TxHash, BTreeSet<usize>> = BTreeMap::new();
    for (number, submission) in history.submissions.iter().enumerate() {
        let nodes = questions.entry(submission.tx_hash).or_default();
        let is_plain = matches!(submission.outcome, Outcome::Committed { .. }) && nodes.is_empty();
        nodes.extend(if is_plain { vec![number % world.nodes()] } else { (0..world.nodes()).collect() });
    }
    let clients: Vec<Client> = (0..world.nodes()).map(|node| world.client_of(node)).collect::<Result<_>>()?;
    let all = questions.iter().flat_map(|(tx_hash, nodes)| nodes.iter().map(|node| (*tx_hash, *node)));
    let ask = |(tx_hash, node): (TxHash, usize)| {
        let client = &clients[node];
        async move {
            let invoked = world.now();
            let known = client.receipt(tx_hash, Duration::ZERO).await?;
            Ok::<_, Error>(LookUp { span: world.span(CLIENT, Some(node), invoked), tx_hash, known })
        }
    };
    Ok(stream::iter(all.map(ask).collect::<Vec<_>>()).buffer_unordered(AT_ONCE).try_collect().await?)
}
