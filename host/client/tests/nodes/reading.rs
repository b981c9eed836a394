//! Each byte once and in order, whatever happens to nodes; and never a byte of a node that has others.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dseq_client::{Client, Error, FollowFrom, FollowOptions, Notice, Options};
use futures_util::StreamExt;

use crate::mock::{Log, Node, Reply, nobody};
use crate::{client_of, hasty, options};

/// Bytes of which no two pieces are the same.
fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|at| u8::try_from((at * at / 7 + at) % 251).unwrap()).collect()
}

async fn read(client: &Client, range: std::ops::Range<u64>) -> Result<Vec<u8>, Error> {
    let mut reading = client.read(range).await?;
    let mut all = Vec::new();
    while let Some(piece) = reading.next().await {
        all.extend_from_slice(&piece?);
    }
    Ok(all)
}

/// Follows until there are so many bytes.
async fn follow(
    client: &Client,
    from: FollowFrom,
    options: FollowOptions,
    until: usize,
) -> Result<Vec<u8>, Error> {
    let mut chunks = Box::pin(client.follow(from, options));
    let (mut all, mut next) = (Vec::new(), None);
    while all.len() < until {
        let chunk = chunks.next().await.unwrap()?;
        assert!(next.is_none_or(|next| next == chunk.offset), "a gap or a repeat");
        next = Some(chunk.offset + chunk.bytes.len() as u64);
        all.extend_from_slice(&chunk.bytes);
    }
    Ok(all)
}

#[tokio::test]
async fn a_range_is_read_as_far_as_it_is_committed() {
    let all = bytes(1000);
    let node = Log::new(&all, 600).node();
    let client = client_of([&node]);
    let reading = client.read(100..=199).await.unwrap();
    assert_eq!((reading.range(), reading.committed()), (100..200, 600));
    assert_eq!(read(&client, 100..200).await.unwrap(), all[100..200]);
    assert_eq!(read(&client, 500..1000).await.unwrap(), all[500..600]);
    assert_eq!(client.read(..).await.unwrap().range(), 0..600);
    assert_eq!(client.read(600..).await.unwrap().range(), 600..600);
    assert_eq!(read(&client, 300..300).await.unwrap(), b"");
    let err = client.read(601..).await.err().unwrap();
    assert!(matches!(err, Error::BeyondEnd { offset: 601, length: 600 }), "{err}");
    let empty = Log::new(&all, 0).node();
    assert_eq!(client_of([&empty]).read(..).await.unwrap().range(), 0..0);
}

#[tokio::test]
async fn a_body_that_is_cut_is_gone_on_with_at_another_node() {
    let all = bytes(50_000);
    let logs = [Log::new(&all, 50_000), Log::new(&all, 50_000)];
    let nodes = logs.each_ref().map(Log::node);
    let client = client_of(&nodes);
    logs[0].cut_next.store(true, Ordering::SeqCst);
    assert_eq!(read(&client, 0..50_000).await.unwrap(), all);
    assert_eq!(nodes[1].targets().len(), 2, "the overlap, and the rest");
    // With one node alone it is asked again.
    logs[0].cut_next.store(true, Ordering::SeqCst);
    assert_eq!(read(&client_of(&nodes[..1]), 7..50_000).await.unwrap(), all[7..]);
}

#[tokio::test]
async fn a_range_that_one_node_does_not_have_comes_from_another_one() {
    let all = bytes(1000);
    let (behind, ahead) = (Log::new(&all, 100).node(), Log::new(&all, 1000).node());
    let client = hasty(vec![nobody(), behind.address.clone(), ahead.address.clone()]);
    assert_eq!(read(&client, 200..900).await.unwrap(), all[200..900]);
}

#[tokio::test]
async fn wrong_bytes_at_another_node_are_an_error_of_its_own() {
    let all = bytes(10_000);
    let mut other = all.clone();
    let first = Log::new(&all, 10_000);
    first.cut_next.store(true, Ordering::SeqCst);
    // Among the last bytes before the cut.
    other[9_950] ^= 1;
    let nodes = [first.node(), Log::new(&other, 10_000).node()];
    let err = read(&client_of(&nodes), 0..10_000).await.unwrap_err();
    let Error::Disagree { offset, first, second } = err else { panic!("{err}") };
    assert_eq!((offset, &first, &second), (9_950, &nodes[0].address, &nodes[1].address));
    // The node of before may have come back with something else.
    let (before, after) = (Log::new(&all, 10_000), Log::new(&other, 10_000));
    before.cut_next.store(true, Ordering::SeqCst);
    let requests = AtomicU64::new(0);
    let node = Node::start(move |request| match requests.fetch_add(1, Ordering::SeqCst) {
        0 => before.answer(request),
        _ => after.answer(request),
    });
    let err = read(&client_of([&node]), 0..10_000).await.unwrap_err();
    assert!(matches!(err, Error::Disagree { offset: 9_950, .. }), "{err}");
}

#[tokio::test]
async fn no_node_is_asked_longer_than_it_is_to_be() {
    let err = read(&hasty(vec![nobody(), nobody()]), 0..1).await.unwrap_err();
    assert!(matches!(err, Error::Unreachable { .. }), "{err}");
    let stranger = Node::start(|_| Reply::new("404 Not Found", "", b"404 page not found"));
    let err = read(&client_of([&stranger]), 0..1).await.unwrap_err();
    assert!(matches!(err, Error::Unexpected { .. }), "{err}");
    assert!(err.to_string().contains("404 page not found"), "{err}");
}

#[tokio::test]
async fn a_busy_node_is_asked_again() {
    let all = bytes(10);
    let log = Log::new(&all, 10);
    let node = log.node();
    log.busy.store(true, Ordering::SeqCst);
    let freed = Arc::clone(&log);
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(120)).await;
        freed.busy.store(false, Ordering::SeqCst);
    });
    assert_eq!(read(&client_of([&node]), 0..10).await.unwrap(), all);
}

#[tokio::test]
async fn a_follower_sees_each_byte_once_through_cuts_and_failures() {
    let all = bytes(20_000);
    let logs = [Log::new(&all, 0), Log::new(&all, 0)];
    let nodes = logs.each_ref().map(Log::node);
    let writer = logs.clone();
    let writing = tokio::spawn(async move {
        for step in 1..=20 {
            // One node or the other is first, and each fails at times.
            writer[step % 2].commit(step * 1000);
            writer[step % 2].cut_next.store(step % 3 == 0, Ordering::SeqCst);
            writer[(step + 1) % 2].busy.store(step % 5 == 0, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(30)).await;
            writer[(step + 1) % 2].commit(step * 1000);
            writer[(step + 1) % 2].busy.store(false, Ordering::SeqCst);
        }
    });
    let client = client_of(&nodes);
    assert_eq!(follow(&client, FollowFrom::Start, FollowOptions::default(), 20_000).await.unwrap(), all);
    writing.await.unwrap();
    let last = follow(&client, FollowFrom::Last(100), FollowOptions::default(), 100).await.unwrap();
    assert_eq!(last, all[19_900..]);
    let rest = follow(&client, FollowFrom::Offset(5), FollowOptions::default(), 19_995).await.unwrap();
    assert_eq!(rest, all[5..]);
}

#[tokio::test]
async fn a_follower_begins_at_the_end_and_waits() {
    let all = bytes(30);
    let log = Log::new(&all, 10);
    let node = log.node();
    let waiting = tokio::spawn({
        let client = client_of([&node]);
        async move { follow(&client, FollowFrom::End, FollowOptions::default(), 20).await }
    });
    while !node.targets().iter().any(|target| target.contains("long-poll")) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    log.commit(30);
    assert_eq!(waiting.await.unwrap().unwrap(), all[10..]);
    let polls = node.targets();
    assert!(
        polls.iter().all(|target| !target.contains("cursor") || target.ends_with("&cursor=7")),
        "{polls:?}"
    );
}

#[tokio::test]
async fn a_node_that_is_behind_is_left_for_another_one_and_waited_for() {
    let all = bytes(1000);
    let logs = [Log::new(&all, 100), Log::new(&all, 1000)];
    let nodes = logs.each_ref().map(Log::node);
    let from_500 = FollowFrom::Offset(500);
    let found = follow(&client_of(&nodes), from_500, FollowOptions::default(), 500).await.unwrap();
    assert_eq!(found, all[500..]);
    let notices = Arc::<Mutex<Vec<Notice>>>::default();
    let noted = Arc::clone(&notices);
    let follow_options = FollowOptions::default().on_notice(move |notice| noted.lock().unwrap().push(notice));
    let waiting = tokio::spawn({
        let client = client_of(&nodes[..1]);
        async move { follow(&client, from_500, follow_options, 500).await }
    });
    while notices.lock().unwrap().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let first = notices.lock().unwrap()[0].clone();
    assert!(matches!(first, Notice::Behind { offset: 500, length: Some(100), .. }), "{first:?}");
    logs[0].commit(1000);
    assert_eq!(waiting.await.unwrap().unwrap(), all[500..]);
    let impatient = FollowOptions::default().patience(Duration::ZERO);
    let err = follow(&client_of(&nodes[..1]), FollowFrom::Offset(2000), impatient, 1).await.unwrap_err();
    assert!(matches!(err, Error::BeyondEnd { offset: 2000, length: 1000 }), "{err}");
}

#[tokio::test]
async fn a_node_that_brings_nothing_is_left_when_another_one_has_more() {
    let all = bytes(1000);
    let logs = [Log::new(&all, 100), Log::new(&all, 100)];
    let nodes = logs.each_ref().map(Log::node);
    let client = client_of(&nodes);
    let mut chunks = Box::pin(client.follow(FollowFrom::Start, FollowOptions::default()));
    assert_eq!(chunks.next().await.unwrap().unwrap().bytes, all[..100]);
    logs[1].commit(1000);
    assert_eq!(chunks.next().await.unwrap().unwrap().bytes, all[100..]);
    assert!(nodes[1].targets().iter().any(|target| target.contains("long-poll")));
}

#[tokio::test]
async fn a_follower_does_not_take_another_nodes_bytes() {
    let (all, mut other) = (bytes(1000), bytes(1000));
    other[499] ^= 1;
    let logs = [Log::new(&all, 500), Log::new(&other, 1000)];
    let nodes = logs.each_ref().map(Log::node);
    let client = Client::with_options(
        nodes.iter().map(|node| node.address.clone()).collect(),
        Options { retry_for: Duration::ZERO, ..options() },
    )
    .unwrap();
    let mut chunks = Box::pin(client.follow(FollowFrom::Start, FollowOptions::default()));
    let first = chunks.next().await.unwrap().unwrap();
    assert_eq!(first.bytes, all[..500]);
    logs[0].busy.store(true, Ordering::SeqCst);
    let err = chunks.next().await.unwrap().unwrap_err();
    assert!(matches!(err, Error::Disagree { offset: 499, .. }), "{err}");
    assert!(chunks.next().await.is_none(), "nothing comes after an error");
}

#[tokio::test]
async fn nodes_are_compared_by_their_roots_and_their_last_bytes() {
    let (all, mut other) = (bytes(9000), bytes(9000));
    other[10] ^= 1;
    let compare = async |logs: [Arc<Log>; 2]| {
        let nodes = logs.each_ref().map(Log::node);
        let mut addresses: Vec<_> = nodes.iter().map(|node| node.address.clone()).collect();
        addresses.push(nobody());
        hasty(addresses).compare().await
    };
    let agreed = compare([Log::new(&all, 9000), Log::new(&all, 8000)]).await.unwrap();
    assert_eq!((agreed.length, agreed.compared, agreed.nodes.len()), (8000, 4096, 2));
    let err = compare([Log::new(&all, 9000), Log::new(&other, 9000)]).await.unwrap_err();
    assert!(matches!(err, Error::RootsDisagree { length: 9000, .. }), "{err}");
    let err = compare([Log::new(&all, 900), Log::new(&other, 9000)]).await.unwrap_err();
    assert!(matches!(err, Error::Disagree { offset: 10, .. }), "{err}");
    let agreed = compare([Log::new(&all, 0), Log::new(&all, 900)]).await.unwrap();
    assert_eq!((agreed.length, agreed.compared), (0, 0));
}

#[tokio::test]
async fn a_node_that_lacks_bytes_which_it_had_a_moment_ago_is_not_compared_and_said_if_it_is_alone() {
    let log = Log::new(&bytes(900), 900);
    // As after a restart with an older copy of its home.
    let (had, has) = (Arc::clone(&log), Log::new(&bytes(900), 0));
    let forgets = Node::start(move |request| match request.target.as_str() {
        "/v1/status" => had.answer(request),
        _ => has.answer(request),
    });
    let err = hasty(vec![forgets.address.clone()]).compare().await.unwrap_err();
    assert!(matches!(&err, Error::Unexpected { node, .. } if *node == forgets.address), "{err}");
    assert!(err.to_string().contains("lacks bytes that it had a moment ago"), "{err}");
    let other = log.node();
    let agreed = hasty(vec![forgets.address.clone(), other.address.clone()]).compare().await.unwrap();
    assert_eq!(agreed.nodes, std::slice::from_ref(&other.address));
}
