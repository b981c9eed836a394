//! How the server ends.

use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::routing::get;
use dseq::api::{Limits, Stopping};
use hyper::body::Frame;

use super::client::Client;
use super::{hello, limits, serve, until};

/// A body that sends one line and then stays open. With `heeds`, it ends when the server stops.
fn live(stopping: Stopping, heeds: bool) -> Body {
    let (sender, receiver) = tokio::sync::mpsc::channel::<Bytes>(1);
    tokio::spawn(async move {
        let _ = sender.send(Bytes::from_static(b"line\n")).await;
        if !heeds {
            std::future::pending::<()>().await;
        }
        stopping.wait().await;
        let _ = sender.send(Bytes::from_static(b"bye\n")).await;
    });
    Body::new(Lines(receiver))
}

struct Lines(tokio::sync::mpsc::Receiver<Bytes>);

impl hyper::body::Body for Lines {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.0.poll_recv(cx).map(|line| line.map(|line| Ok(Frame::data(line))))
    }
}

#[test]
fn live_bodies_end_whole_when_the_server_does() {
    let http = serve(limits(), |stopping| {
        Router::new().route("/", get(move || async move { live(stopping, true) }))
    });
    let mut clients: Vec<Client> = (0..10).map(|_| Client::connect(http.address())).collect();
    for client in &mut clients {
        assert_eq!(client.get("/", "").head().0, 200);
        assert_eq!((client.line().as_str(), client.line().as_str()), ("5", "line\n"));
    }
    // Idle ones are in nobody's way.
    let idle = Client::connect(http.address());
    until("all there", || http.connections() == 11);
    let stopped = std::thread::spawn(move || http.stop());
    for client in clients {
        let (rest, was_reset) = client.rest();
        assert_eq!(
            (String::from_utf8(rest).unwrap().as_str(), was_reset),
            ("4\r\nbye\n\r\n0\r\n\r\n", false)
        );
    }
    assert!(idle.ends_silently());
    assert_eq!(stopped.join().unwrap(), 0);
}

#[test]
fn a_request_in_progress_is_answered_before_the_end() {
    let (began, is_begun) = std::sync::mpsc::channel();
    let http = serve(limits(), |stopping| {
        Router::new().route(
            "/",
            get(move || async move {
                began.send(()).unwrap();
                stopping.wait().await;
                tokio::time::sleep(Duration::from_millis(50)).await;
                "answered"
            }),
        )
    });
    let address = http.address();
    let mut client = Client::connect(address);
    client.get("/", "");
    is_begun.recv().unwrap();
    let stopped = std::thread::spawn(move || http.stop());
    let answer = client.answer();
    assert_eq!((answer.text(), answer.header("connection")), ("answered", "close"));
    assert!(client.ends_silently());
    assert_eq!(stopped.join().unwrap(), 0);
    assert!(std::net::TcpStream::connect(address).is_err(), "it still listens");
}

#[test]
fn what_does_not_end_is_cut_off() {
    let http = serve(Limits { grace: Duration::from_millis(50), ..limits() }, |stopping| {
        Router::new().route("/", get(move || async move { live(stopping, false) }))
    });
    let mut client = Client::connect(http.address());
    assert_eq!(client.get("/", "").head().0, 200);
    assert_eq!(http.stop(), 1);
    let (rest, _) = client.rest();
    assert_eq!(String::from_utf8(rest).unwrap(), "5\r\nline\n\r\n", "it must not look complete");
}

#[test]
fn a_server_that_is_dropped_ends_at_once() {
    let http = serve(limits(), hello);
    let client = Client::connect(http.address());
    until("there", || http.connections() == 1);
    drop(http);
    assert!(client.ends_silently());
}

#[test]
fn a_port_that_is_taken_is_named_with_what_to_do() {
    let http = serve(limits(), hello);
    let refused = dseq::api::Server::bind(http.address(), limits()).unwrap_err().to_string();
    let expected = format!("cannot listen on {} for HTTP: the port is taken; free it, or ", http.address());
    assert!(refused.starts_with(&expected), "{refused}");
    let (address, _) = (http.address(), http.stop());
    // Another test may have been given the port meanwhile, for as long as that one takes.
    until("free", || dseq::api::Server::bind(address, limits()).is_ok());
}
