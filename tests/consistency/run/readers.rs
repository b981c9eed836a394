//! Clients that read: followers of bytes and of records that go on elsewhere after each break, ranges, look-ups.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::{Buf, Bytes, BytesMut};
use dseq::sequence::Entry;
use dseq_client::{Error, FollowFrom, FollowOptions, Notice, Receipt, Record};
use futures_util::StreamExt;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::history::{Followed, FollowedRecords, History, Length, LookUp, Read, ReadRecord};
use super::world::{World, millis};
use crate::noise::Noise;

/// How long a follower may get nothing after the run has ended, all nodes run and there is more.
const STALL_MAX: Duration = Duration::from_secs(60);
/// No node.
const NONE: usize = usize::MAX;

/// When a follower that gets nothing although it could is stuck.
struct Stall(Option<Instant>);

impl Stall {
    fn check(&mut self, world: &World, what: impl FnOnce() -> String) -> Result<()> {
        if world.end() == u64::MAX {
            return Ok(());
        }
        let since = *self.0.get_or_insert_with(Instant::now);
        if since.elapsed() > STALL_MAX {
            bail!("{} s after the end of the run {}", STALL_MAX.as_secs(), what());
        }
        Ok(())
    }
}

/// Follows the bytes from a random offset of the beginning on, by long-polls; breaks off now and then and goes on at another
/// node, until all that was written is read.
pub(crate) async fn follow(world: Arc<World>, client: usize, mut noise: Noise) -> Result<History> {
    let from = noise.below(2) as u64 * noise.below(50) as u64;
    let (mut next, mut chunks, mut stall) = (from, Vec::new(), Stall(None));
    while next < world.end() {
        let node = Arc::new(AtomicUsize::new(NONE));
        let (shown, of) = (node.clone(), world.clone());
        let options = FollowOptions::default().on_notice(move |notice| {
            if let Notice::Reading { node, .. } = notice {
                shown.store(of.number_of(&node).unwrap_or(NONE), Ordering::SeqCst);
            }
        });
        let dseq = world.client_from(noise.below(world.nodes()))?;
        let mut stream = Box::pin(dseq.follow(FollowFrom::Offset(next), options));
        let until = Instant::now() + millis(&mut noise, 4000);
        let mut invoked = world.now();
        // What is over after the time is a break; so is an error, but for nodes that disagree.
        while next < world.end() {
            let chunk = match timeout_at(until, stream.next()).await {
                Err(_) | Ok(None) => break,
                Ok(Some(Err(err @ (Error::Disagree { .. } | Error::Unexpected { .. })))) => {
                    bail!("following: {err}")
                }
                Ok(Some(Err(_))) => break,
                Ok(Some(Ok(chunk))) => chunk,
            };
            let of = Some(node.load(Ordering::SeqCst)).filter(|node| *node != NONE);
            let span = world.span(client, of, invoked);
            invoked = span.completed;
            next = chunk.offset + chunk.bytes.len() as u64;
            chunks.push(Read { span, from: chunk.offset, bytes: chunk.bytes });
        }
        stall.check(&world, || format!("follower {client} has only {next} of {} bytes", world.end()))?;
    }
    Ok(History { followed: vec![Followed { from, chunks }], ..History::default() })
}

/// Follows the records live, and in pages, as [`follow`] does the bytes.
pub(crate) async fn follow_records(world: Arc<World>, client: usize, mut noise: Noise) -> Result<History> {
    let (mut records, mut stall) = (Vec::<ReadRecord>::new(), Stall(None));
    while (records.len() as u64) < world.count() {
        let (node, next) = (noise.below(world.nodes()), records.len() as u64);
        if noise.below(3) == 0 {
            let page = 1 + noise.below(50) as u64;
            record_page(&world, client, node, next, page, &mut records).await?;
        } else {
            let until = Instant::now() + millis(&mut noise, 4000);
            // A connection that breaks off or that there is none of is a break, as the end of the time is.
            let _ = timeout_at(until, live_records(&world, client, node, &mut records)).await;
        }
        stall.check(&world, || format!("follower {client} has only {} records", records.len()))?;
        sleep(millis(&mut noise, 50)).await;
    }
    Ok(History { followed_records: vec![FollowedRecords { from: 0, records }], ..History::default() })
}

async fn record_page(
    world: &World,
    client: usize,
    node: usize,
    from: u64,
    limit: u64,
    records: &mut Vec<ReadRecord>,
) -> Result<()> {
    let invoked = world.now();
    let Ok(page) = world.client_of(node)?.records(from, limit).await else { return Ok(()) };
    let mut page = Box::pin(page);
    while let Ok(Some(record)) = timeout(Duration::from_secs(3), page.next()).await {
        match record {
            Ok(record) => {
                let span = world.span(client, Some(node), invoked);
                records.push(ReadRecord { span, record });
            }
            Err(Error::Unexpected { what, .. }) if !what.contains("no record") => bail!("records: {what}"),
            Err(_) => break,
        }
    }
    Ok(())
}

/// Reads frames of `live=true` until the connection breaks.
async fn live_records(
    world: &World,
    client: usize,
    node: usize,
    records: &mut Vec<ReadRecord>,
) -> Result<()> {
    let address = world.address(node).to_string();
    let mut invoked = world.now();
    let stream = TcpStream::connect(&address).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    // It ends with the sender, or by itself.
    let connection = tokio::spawn(connection);
    let _ended = AbortOnDrop(connection.abort_handle());
    let request = hyper::Request::get(format!("/v1/records?from={}&live=true", records.len()))
        .header("host", &address)
        .header("accept", "application/octet-stream");
    let mut answer = sender.send_request(request.body(Empty::<Bytes>::new())?).await?;
    if answer.status() != 200 {
        bail!("{}", answer.status());
    }
    let mut buffer = BytesMut::new();
    while (records.len() as u64) < world.count() {
        let frame = answer.body_mut().frame().await.context("the end")??;
        buffer.extend_from_slice(frame.data_ref().map_or(&[][..], |data| &data[..]));
        while let Some(record) = framed(&mut buffer) {
            let span = world.span(client, Some(node), invoked);
            invoked = span.completed;
            records.push(ReadRecord { span, record });
        }
    }
    Ok(())
}

struct AbortOnDrop(tokio::task::AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The next record of a body of frames, if it is there whole. A frame of length 0 says only that the node is there.
fn framed(buffer: &mut BytesMut) -> Option<Record> {
    while buffer.first_chunk() == Some(&[0; 4]) {
        buffer.advance(4);
    }
    let length = u32::from_le_bytes(*buffer.first_chunk()?) as usize;
    if buffer.len() < 4 + length {
        return None;
    }
    let mut frame = buffer.split_to(4 + length).freeze();
    frame.advance(4);
    let index = frame.get_u64_le();
    let mut entry = [0; 88];
    frame.copy_to_slice(&mut entry);
    let Entry { offset, length, height, tx_hash, record_hash } = Entry::decode(&entry);
    let receipt = Receipt { index, offset: offset.0, length, height: height.0, tx_hash, blake3: record_hash };
    Some(Record { receipt, bytes: frame })
}

/// Asks single nodes for their length and reads random ranges, of which some begin beyond the end.
pub(crate) async fn ranges(world: Arc<World>, client: usize, mut noise: Noise) -> Result<History> {
    let mut history = History::default();
    while !world.is_stopped() {
        sleep(millis(&mut noise, 100)).await;
        let node = noise.below(world.nodes());
        let (dseq, invoked) = (world.client_of(node)?, world.now());
        let Ok(status) = dseq.status_of(world.address(node)).await else { continue };
        let span = world.span(client, Some(node), invoked);
        history.lengths.push(Length { span, length: status.length });
        let from = noise.next() % (status.length + 100);
        let to = from + noise.below(20_000) as u64;
        range(&world, client, node, from..to, &mut history).await?;
    }
    Ok(history)
}

async fn range(
    world: &World,
    client: usize,
    node: usize,
    range: std::ops::Range<u64>,
    history: &mut History,
) -> Result<()> {
    let (dseq, from, invoked) = (world.client_of(node)?, range.start, world.now());
    let mut reading = match dseq.read(range).await {
        Ok(reading) => reading,
        Err(Error::BeyondEnd { length, .. }) => {
            history.lengths.push(Length { span: world.span(client, Some(node), invoked), length });
            return Ok(());
        }
        Err(err @ (Error::Disagree { .. } | Error::Unexpected { .. })) => bail!("reading: {err}"),
        Err(_) => return Ok(()),
    };
    let mut bytes = Vec::new();
    while let Ok(Some(Ok(piece))) = timeout(Duration::from_secs(3), reading.next()).await {
        bytes.extend_from_slice(&piece);
    }
    let span = world.span(client, Some(node), invoked);
    history.reads.push(Read { span, from, bytes: bytes.into() });
    Ok(())
}

/// Asks single nodes for transactions that somebody submitted.
pub(crate) async fn look_ups(world: Arc<World>, client: usize, mut noise: Noise) -> Result<History> {
    let mut history = History::default();
    while !world.is_stopped() {
        sleep(millis(&mut noise, 40)).await;
        let Some(tx_hash) = world.any(&mut noise) else { continue };
        let node = noise.below(world.nodes());
        let wait = Duration::from_millis([0, 0, 300][noise.below(3)]);
        let (dseq, invoked) = (world.client_of(node)?, world.now());
        match dseq.receipt(tx_hash, wait).await {
            Ok(known) => {
                let span = world.span(client, Some(node), invoked);
                history.look_ups.push(LookUp { span, tx_hash, known });
            }
            Err(err @ (Error::Disagree { .. } | Error::Unexpected { .. })) => bail!("looking up: {err}"),
            Err(_) => {}
        }
    }
    Ok(history)
}
