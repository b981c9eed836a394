//! One connection, from its acceptance to its end.

use std::convert::Infallible;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tower::ServiceExt;

use super::limits::BUFFER_BYTES_MAX;
use super::problem::{Problem, REQUEST_TIMEOUT};
use super::socket::Socket;
use super::{Limits, Stopping};

/// Who is at the other end of the connection that a request came on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client(pub SocketAddr);

/// Serves a connection until it ends, by either side's will.
pub(super) async fn serve(
    stream: TcpStream,
    client: SocketAddr,
    router: Router,
    limits: Arc<Limits>,
    stopping: Stopping,
) {
    let Ok(socket) = Socket::new(stream, &limits) else { return };
    // Boxed, because hyper wants a future that can be moved.
    let answer = service_fn(move |request| Box::pin(answer(router.clone(), client, request)));
    let mut connection = http1::Builder::new()
        // Without a timer the timeout does nothing.
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_time_max)
        .max_buf_size(BUFFER_BYTES_MAX)
        // A client that has sent all it wants to send still gets its answer.
        .half_close(true)
        .serve_connection(TokioIo::new(socket), answer);
    let mut is_ending = false;
    let ended = loop {
        tokio::select! {
            ended = poll_fn(|cx| connection.poll_without_shutdown(cx)) => break ended,
            () = stopping.wait(), if !is_ending => {
                is_ending = true;
                std::pin::Pin::new(&mut connection).graceful_shutdown();
            }
        }
    };
    if let Err(err) = &ended {
        tracing::debug!(%client, error = err as &dyn std::error::Error, "HTTP connection failed");
    }
    let parts = connection.into_parts();
    let Some(mut stream) = parts.io.into_inner().into_stream() else { return };
    // An idle connection is closed without a word: its client would take one for the answer to its next request.
    if ended.is_err_and(|err| err.is_timeout()) && !parts.read_buf.is_empty() {
        let slow = Problem::new(&REQUEST_TIMEOUT, "the head of the request did not arrive in time");
        let answer = slow.exceeding_time(limits.head_time_max, None).raw_response();
        // The buffer of a connection on which nothing waits has room for it; one that is gone does not need it.
        let _ = stream.write_all(&answer).await;
    }
    close(stream, limits.linger).await;
}

async fn answer(
    router: Router,
    client: SocketAddr,
    request: hyper::Request<Incoming>,
) -> Result<Response, Infallible> {
    let mut request: Request = request.map(Body::new);
    request.extensions_mut().insert(Client(client));
    router.oneshot(request).await
}

/// Answers a connection that is one too many, and closes it.
pub(super) async fn refuse(mut stream: TcpStream, problem: Problem, linger: Duration) {
    if stream.write_all(&problem.raw_response()).await.is_ok() {
        close(stream, linger).await;
    }
}

/// Closes our side, and waits a little for the client's: what arrives at a socket that is closed on both sides makes the
/// kernel discard what the client has not read yet.
async fn close(mut stream: TcpStream, linger: Duration) {
    let discard = async {
        stream.shutdown().await?;
        let mut bytes = [0; 4096];
        while stream.read(&mut bytes).await? > 0 {}
        Ok::<_, std::io::Error>(())
    };
    // Either way the connection is over.
    let _ = tokio::time::timeout(linger, discard).await;
}
