//! A log to measure reading with: `serve` writes a sequence and serves it, for comparisons with other servers of the same
//! file; `follow` measures how soon followers have what was committed.
//!
//! Figures for people: nothing is decided here. `run` in this folder calls both.
#![allow(clippy::unwrap_used, reason = "a panic is the report")]

#[path = "../../http/state.rs"]
mod state;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use dseq::api::{self, Limits, Origins, Running, Server, layered};
use dseq::sequence::{HashedRecord, Log, Staging};
use dseq::types::{AppHash, Height, PipelineId, TxHash};

use self::state::state;

const USAGE: &str = "usage: bench-read serve DIR MIB | bench-read follow FOLLOWERS BLOCKS";
/// Size of a block of `serve`.
const BLOCK_BYTES: usize = 8 << 20;
/// What a block of `follow` brings, and how long it is until the next one.
const RECORD_BYTES: usize = 256;
const PAUSE: Duration = Duration::from_millis(20);

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve", dir, mib] => serve(Path::new(dir), mib.parse().expect(USAGE)),
        ["follow", followers, blocks] => {
            follow(followers.parse().expect(USAGE), blocks.parse().expect(USAGE));
        }
        _ => panic!("{USAGE}"),
    }
}

fn commit(log: &mut Log, record: Vec<u8>) {
    let mut staging = Staging::begin(log.head(), Height(log.head().height().0 + 1));
    staging.push(TxHash::of(&record), &HashedRecord::of(record)).unwrap();
    log.commit(&staging.finish(), AppHash::default(), PipelineId::default()).unwrap();
}

fn start(log: &Log) -> Running {
    let server = Server::bind("127.0.0.1:0".parse().unwrap(), Limits::default()).unwrap();
    let (address, limits) = (server.address(), server.limits());
    let state = state(log.reader(), server.stopping());
    let router = layered(api::router(state), address, limits, &Origins::Own, Arc::default());
    server.start(router).unwrap()
}

/// Serves a sequence until standard input ends.
fn serve(dir: &Path, mib: usize) {
    let mut log = Log::open(dir).unwrap();
    let mut seed = log.head().length();
    while log.head().length() < (mib as u64) << 20 {
        let next = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33).to_le_bytes()[0]
        };
        commit(&mut log, std::iter::repeat_with(next).take(BLOCK_BYTES).collect());
    }
    let running = start(&log);
    println!("{}", running.address());
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
    running.stop();
}

/// Prints how long after Commit a follower of events has the data, and how long Commit takes, without followers and with.
fn follow(followers: usize, blocks: usize) {
    let dir = tempfile::tempdir_in(".").unwrap();
    let mut log = Log::open(dir.path()).unwrap();
    commit(&mut log, vec![0; RECORD_BYTES]);
    let running = start(&log);
    let mut without = Vec::new();
    for _ in 0..blocks {
        let began = Instant::now();
        commit(&mut log, vec![0; RECORD_BYTES]);
        without.push(began.elapsed());
        thread::sleep(PAUSE);
    }
    let open = |_| {
        let mut stream = TcpStream::connect(running.address()).unwrap();
        stream
            .write_all(b"GET /v1/sequence?offset=now&live=sse HTTP/1.1\r\nhost: localhost\r\n\r\n")
            .unwrap();
        // The head and the first control event.
        stream.read_exact(&mut [0; 64]).unwrap();
        stream
    };
    let mut streams: Vec<TcpStream> = (0..followers).map(open).collect();
    let (sender, received) = mpsc::channel();
    // One of them is watched; the rest are read by one thread each hundred, and slower ones only make it harder.
    let watched = streams.swap_remove(followers / 2);
    let marker = |height: u64| format!("id: {:020}\nevent: data", height * RECORD_BYTES as u64);
    let first = log.head().height().0 + 1;
    thread::spawn(move || watch(watched, (first..first + blocks as u64).map(marker), &sender));
    for chunk in
        streams.chunks_mut(100).map(|chunk| chunk.iter().map(|s| s.try_clone().unwrap()).collect::<Vec<_>>())
    {
        thread::spawn(move || discard(chunk));
    }
    thread::sleep(Duration::from_secs(1));
    let (mut with, mut delivery) = (Vec::new(), Vec::new());
    for _ in 0..blocks {
        let began = Instant::now();
        commit(&mut log, vec![0; RECORD_BYTES]);
        let committed = Instant::now();
        with.push(committed - began);
        let arrived: Instant = received.recv_timeout(Duration::from_secs(60)).unwrap();
        delivery.push(arrived.saturating_duration_since(committed));
        thread::sleep(PAUSE);
    }
    report("commit without followers", without);
    report(&format!("commit with {followers} followers"), with);
    report(&format!("from commit to one of {followers} followers"), delivery);
}

/// Reads a stream of events, and says when each of these texts has come.
fn watch(mut stream: TcpStream, texts: impl Iterator<Item = String>, arrived: &mpsc::Sender<Instant>) {
    let mut buffer = vec![0; 1 << 16];
    let mut text = String::new();
    for expected in texts {
        while !text.contains(&expected) {
            let count = stream.read(&mut buffer).unwrap();
            text.push_str(&String::from_utf8_lossy(&buffer[..count]));
        }
        if arrived.send(Instant::now()).is_err() {
            return;
        }
        text.clear();
    }
}

fn discard(mut streams: Vec<TcpStream>) {
    let mut buffer = vec![0; 1 << 16];
    loop {
        for stream in &mut streams {
            // It blocks until each has its next event; all get every one.
            if stream.read(&mut buffer).is_err() {
                return;
            }
        }
    }
}

fn report(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let at = |share: usize| times[(times.len() - 1) * share / 100].as_secs_f64() * 1000.0;
    println!("{what}: p50 {:.2} ms, p99 {:.2} ms, max {:.2} ms", at(50), at(99), at(100));
}
