//! Readers of one node, many and rude: followers of events and silent connections up to what a node takes from one address,
//! others that knock beyond that, that come and go, that ask for absurd ranges, or that ask for everything and take nothing.
//!
//! They run in a process of their own, so that ending it ends them all, and come from other loopback addresses than the
//! producers, so that their limit is not the producers'. Each process has addresses of its own: for a minute after one has ended, the
//! kernel keeps its ports.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

/// Followers of events.
const FOLLOWERS: usize = 5_000;
/// Readers that ask for the whole sequence and take nothing.
const STALLED: usize = 20;
/// Connections without a request; a node ends them after 30 s. With the others, as many as a node takes from one address.
const SILENT: usize = 12_288 - FOLLOWERS - STALLED;
/// A node notices that a follower is gone when it writes to it, which it does every 15 s if nothing else comes.
const NOTICED_AFTER: Duration = Duration::from_secs(20);

/// The first of the ports that all these use.
const PORT_MIN: u16 = 10_000;

/// How long until the next connection beyond the limit: in five rounds of six seconds, 15,000.
const KNOCK_EVERY: Duration = Duration::from_millis(2);
/// How long until the next request of each guest.
const GUEST_EVERY: Duration = Duration::from_millis(10);
/// What they ask for: to follow, and what cannot be.
const GUEST: [&str; 4] = [
    FOLLOW,
    "GET /v1/sequence HTTP/1.1\r\nhost: localhost\r\nrange: bytes=99999999999999999999-\r\n\r\n",
    "GET /v1/sequence?offset=18446744073709551615&live=long-poll HTTP/1.1\r\nhost: localhost\r\n\r\n",
    "GET /v1/records?from=18446744073709551615&limit=18446744073709551615 HTTP/1.1\r\nhost: localhost\r\n\r\n",
];

const FOLLOW: &str = "GET /v1/sequence?offset=now&live=sse HTTP/1.1\r\nhost: localhost\r\n\r\n";
const WHOLE: &str = "GET /v1/sequence HTTP/1.1\r\nhost: localhost\r\n\r\n";
const NOTHING: &str = "";

/// The process; dropping it ends it, and waits until the node has room for another.
pub(super) struct Crowd(Child);

impl Drop for Crowd {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
        std::thread::sleep(NOTICED_AFTER);
    }
}

impl Crowd {
    /// Starts it; returns when all are there.
    pub(super) fn gather(http: SocketAddr) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["--crowd", "--http", &http.to_string()]).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().context("cannot start the readers")?;
        let mut said = child.stdout.take().context("no stdout")?;
        let crowd = Self(child);
        // One byte when all are there; none if it ended before.
        ensure!(std::io::Read::read(&mut said, &mut [0])? == 1, "the readers ended early");
        Ok(crowd)
    }
}

/// What the process does, until it is killed.
pub(super) fn run(http: SocketAddr) -> Result<()> {
    let [.., high, low] = std::process::id().to_be_bytes();
    // Those who stay, and the guests: whoever comes and goes.
    let (crowd, guests) = ([127, 1, high, low], [127, 2, high, low]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        for _ in 0..FOLLOWERS {
            let mut stream = open(http, crowd, FOLLOW).await?;
            let mut status = [0; 12];
            stream.read_exact(&mut status).await?;
            ensure!(status.ends_with(b"200"), "a follower was refused: {}", String::from_utf8_lossy(&status));
            tokio::spawn(async move { discard(&mut stream).await });
        }
        let mut stalled = Vec::new();
        for _ in 0..STALLED {
            stalled.push(open(http, crowd, WHOLE).await?);
        }
        for _ in 0..SILENT {
            let mut stream = open(http, crowd, NOTHING).await?;
            tokio::spawn(async move {
                loop {
                    discard(&mut stream).await;
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    if let Ok(again) = open(http, crowd, NOTHING).await {
                        stream = again;
                    }
                }
            });
        }
        tokio::spawn(repeat(KNOCK_EVERY, http, crowd, NOTHING));
        for request in GUEST {
            tokio::spawn(repeat(GUEST_EVERY, http, guests, request));
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        println!();
        std::future::pending::<()>().await;
        drop(stalled);
        Ok(())
    })
}

async fn open(http: SocketAddr, from: [u8; 4], request: &str) -> Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    // The kernel takes long to find a free port where most are in use.
    static PORT: AtomicU16 = AtomicU16::new(0);
    let free = (0..1_000).find(|_| {
        let port = PORT_MIN + PORT.fetch_add(1, Ordering::Relaxed) % (u16::MAX - PORT_MIN);
        socket.bind((from, port).into()).is_ok()
    });
    free.context("no port is free")?;
    let mut stream = socket.connect(http).await?;
    stream.write_all(request.as_bytes()).await?;
    Ok(stream)
}

/// Reads until the node ends it.
async fn discard(stream: &mut TcpStream) {
    let mut buffer = [0; 4096];
    while stream.read(&mut buffer).await.is_ok_and(|count| count > 0) {}
}

/// Connects, asks, reads some of the answer and goes away, again and again.
async fn repeat(every: Duration, http: SocketAddr, from: [u8; 4], request: &'static str) {
    let mut next = tokio::time::interval(every);
    loop {
        next.tick().await;
        tokio::spawn(async move {
            if let Ok(mut stream) = open(http, from, request).await {
                let _ = tokio::time::timeout(Duration::from_secs(1), stream.read(&mut [0; 4096])).await;
            }
        });
    }
}
