//! Clients that read slowly, or not at all.

use std::io::Read;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::routing::get;
use dseq::api::{Limits, Stopping};

use super::client::{Client, PATIENCE};
use super::{limits, serve, until};

const SOON: Duration = Duration::from_millis(200);
const CHUNK: usize = 64 << 10;

/// A body of that many bytes, made as it is read.
struct Zeros(u64);

impl hyper::body::Body for Zeros {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<hyper::body::Frame<Bytes>, Self::Error>>> {
        static ZEROS: [u8; CHUNK] = [0; CHUNK];
        if self.0 == 0 {
            return std::task::Poll::Ready(None);
        }
        let bytes = self.0.min(CHUNK as u64);
        self.0 -= bytes;
        let bytes = Bytes::from_static(&ZEROS[..usize::try_from(bytes).unwrap()]);
        std::task::Poll::Ready(Some(Ok(hyper::body::Frame::data(bytes))))
    }
}

fn zeros(bytes: u64) -> impl FnOnce(Stopping) -> Router {
    move |_| Router::new().route("/", get(move || async move { Body::new(Zeros(bytes)) }))
}

#[test]
fn a_reader_that_stops_is_disconnected_with_a_reset() {
    let http = serve(Limits { write_wait_max: SOON, ..limits() }, zeros(u64::MAX));
    let mut client = Client::connect(http.address());
    assert_eq!(client.get("/", "").head().0, 200);
    until("no connection left", || http.connections() == 0);
    let (_, was_reset) = client.rest();
    assert!(was_reset, "the kernel keeps bytes for a reader that does not read");
}

#[test]
fn a_reader_that_trickles_is_disconnected() {
    // The kernel's own bound must not be the one that is reached: it is as long, and it counts from the last byte.
    let http = serve(Limits { write_wait_max: SOON, write_bytes_min: 1 << 40, ..limits() }, zeros(u64::MAX));
    let mut client = Client::connect(http.address());
    assert_eq!(client.get("/", "").head().0, 200);
    let mut stream = client.stream.try_clone().unwrap();
    let mut taken = 0_u64;
    let mut bytes = vec![0; CHUNK];
    let began = std::time::Instant::now();
    while http.connections() > 0 {
        assert!(began.elapsed() < PATIENCE, "it goes on after {taken} bytes");
        // Steadily, and far more in each interval than the kernel wants to see, but less than the bound.
        taken += stream.read(&mut bytes).map_or(0, |count| count as u64);
        std::thread::sleep(SOON / 100);
    }
    assert!(taken > 0);
}

#[test]
fn memory_for_a_reader_that_stops_is_bounded() {
    let http = serve(limits(), zeros(u64::MAX));
    let mut client = Client::connect(http.address());
    assert_eq!(client.get("/", "").head().0, 200);
    let server_side = http.address();
    // What the kernel has queued to send stops growing well below what it would take without a bound (4 MiB).
    let queued = || {
        let sockets = procfs::net::tcp().unwrap();
        let ours = sockets.into_iter().find(|socket| {
            socket.local_address == server_side
                && socket.remote_address == client.stream.local_addr().unwrap()
        });
        ours.map_or(0, |socket| socket.tx_queue)
    };
    until("anything queued", || queued() > 0);
    let mut last = 0;
    while queued() > last {
        last = queued();
        std::thread::sleep(SOON);
    }
    assert!(last < 1 << 20, "{last}");
}
