//! A TCP proxy that hands on every byte after a fixed time, in both directions.
//!
//! It delays what is on its way and limits nothing: what is sent at 10 MB/s arrives at 10 MB/s, later. So connections have the
//! delay of a long distance, but neither its losses nor the slow start of its TCP.
//!
//! # Limits
//!
//! [`CHUNKS_MAX`] chunks of [`CHUNK_BYTES`] are on their way in each direction of a connection; then the sender waits.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

const CHUNK_BYTES: usize = 64 << 10;
const CHUNKS_MAX: usize = 1024;

/// Takes connections until the task is ended, and hands them on to `to` with this delay each way.
pub(crate) async fn serve(listener: TcpListener, to: SocketAddr, one_way: Duration) {
    while let Ok((near, _)) = listener.accept().await {
        tokio::spawn(connect(near, to, one_way));
    }
}

async fn connect(near: TcpStream, to: SocketAddr, one_way: Duration) {
    // The dialling end waits for the distance as well.
    tokio::time::sleep(2 * one_way).await;
    let Ok(far) = TcpStream::connect(to).await else { return };
    let (_, _) = (near.set_nodelay(true), far.set_nodelay(true));
    let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
    tokio::spawn(hand_on(near_in, far_out, one_way));
    hand_on(far_in, near_out, one_way).await;
}

async fn hand_on(
    mut from: impl AsyncRead + Unpin,
    to: impl AsyncWrite + Unpin + Send + 'static,
    after: Duration,
) {
    let (send, receive) = mpsc::channel(CHUNKS_MAX);
    tokio::spawn(deliver(receive, to));
    loop {
        let mut chunk = vec![0; CHUNK_BYTES];
        let Ok(length @ 1..) = from.read(&mut chunk).await else { return };
        chunk.truncate(length);
        if send.send((Instant::now() + after, chunk)).await.is_err() {
            return;
        }
    }
}

async fn deliver(mut receive: mpsc::Receiver<(Instant, Vec<u8>)>, mut to: impl AsyncWrite + Unpin) {
    while let Some((due, chunk)) = receive.recv().await {
        sleep_until(due).await;
        if to.write_all(&chunk).await.is_err() {
            return;
        }
    }
    let _ = to.shutdown().await;
}
