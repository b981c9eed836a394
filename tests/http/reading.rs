//! Clients that send slowly, too much, or nonsense.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use dseq::api::{Limits, Running, Stopping, body};

use super::client::Client;
use super::{hello, limits, serve, until};

/// Reached at once, compared with what a test may take.
const SOON: Duration = Duration::from_millis(50);
const BODY_BYTES_MAX: u64 = 1000;

/// Reads bodies of up to [`BODY_BYTES_MAX`], and says how long they were.
fn counting(_: Stopping) -> Router {
    async fn count(request: Request) -> Response {
        let (head, body): (_, Body) = request.into_parts();
        match body::whole(&head.headers, body, BODY_BYTES_MAX, |_| Ok(())).await {
            Ok(bytes) => bytes.len().to_string().into_response(),
            Err(problem) => problem.into_response(),
        }
    }
    Router::new().route("/", post(count)).route("/", get(|| async { "hello" }))
}

fn post_head(length: u64) -> String {
    format!("POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\n\r\n")
}

fn serve_bodies(limits: Limits) -> Running {
    serve(limits, counting)
}

#[test]
fn a_head_that_does_not_arrive_in_time_gets_408() {
    let http = serve(Limits { head_time_max: SOON, ..limits() }, hello);
    let mut client = Client::connect(http.address());
    client.send("GET / HTTP/1.1\r\nhost: local");
    let answer = client.answer();
    assert_eq!((answer.status, answer.problem_name().as_str()), (408, "request-timeout"));
    let problem = answer.problem();
    assert_eq!(
        (&problem["limit"], &problem["unit"], &problem["retry"]),
        (&50.into(), &"milliseconds".into(), &true.into())
    );
    assert_eq!(answer.header("connection"), "close");
    assert!(client.ends_silently());
    until("no connection left", || http.connections() == 0);
}

#[test]
fn a_head_that_trickles_gets_no_more_time_than_one_that_stops() {
    let http = serve(Limits { head_time_max: SOON, ..limits() }, hello);
    let mut client = Client::connect(http.address());
    client.send("GET / HTTP/1.1\r\n");
    // Each byte would be in time if it were counted from the one before.
    let sender = client.stream.try_clone().unwrap();
    let trickle = std::thread::spawn(move || {
        use std::io::Write;
        while (&sender).write_all(b"a").is_ok() {
            std::thread::sleep(SOON / 10);
        }
    });
    assert_eq!(client.answer().status, 408);
    drop(client);
    drop(http);
    trickle.join().unwrap();
}

#[test]
fn an_idle_connection_is_closed_without_a_word() {
    let http = serve(Limits { head_time_max: SOON, ..limits() }, hello);
    assert!(Client::connect(http.address()).ends_silently());
    let mut client = Client::connect(http.address());
    assert_eq!(client.get("/", "").answer().text(), "hello");
    assert!(client.ends_silently());
}

#[test]
fn a_body_that_trickles_gets_408() {
    let http = serve_bodies(Limits { body_time_max: SOON, linger: SOON, ..limits() });
    let mut client = Client::connect(http.address());
    client.send(post_head(1000));
    // As in a head: each byte would be in time if it were counted from the one before.
    let sender = client.stream.try_clone().unwrap();
    let trickle = std::thread::spawn(move || {
        use std::io::Write;
        while (&sender).write_all(b"a").is_ok() {
            std::thread::sleep(SOON / 10);
        }
    });
    let answer = client.answer();
    assert_eq!((answer.status, answer.problem_name().as_str()), (408, "request-timeout"));
    let problem = answer.problem();
    assert_eq!((&problem["limit"], &problem["unit"]), (&50.into(), &"milliseconds".into()));
    drop(client);
    until("no connection left", || http.connections() == 0);
    trickle.join().unwrap();
}

#[test]
fn a_body_that_is_announced_too_long_is_refused_before_it_is_sent() {
    let http = serve_bodies(limits());
    let mut client = Client::connect(http.address());
    client.send("POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1001\r\nexpect: 100-continue\r\n\r\n");
    let answer = client.answer();
    assert_eq!((answer.status, answer.problem_name().as_str()), (413, "body-too-large"));
    let problem = answer.problem();
    assert_eq!((&problem["limit"], &problem["actual"]), (&1000.into(), &1001.into()));
    assert_eq!((&problem["unit"], &problem["retry"]), (&"bytes".into(), &false.into()));
    client.end_sending();
    assert!(client.ends_silently());
}

#[test]
fn a_client_that_sends_on_still_reads_why_it_was_refused() {
    let http = serve_bodies(limits());
    for _ in 0..20 {
        let mut client = Client::connect(http.address());
        client.send(post_head(1 << 20)).send(vec![b'x'; 1 << 20]);
        assert_eq!(client.answer().problem_name(), "body-too-large");
    }
}

#[test]
fn chunks_that_come_to_too_much_are_refused() {
    let http = serve_bodies(limits());
    let mut client = Client::connect(http.address());
    client.send("POST / HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n");
    for _ in 0..11 {
        client.send(format!("64\r\n{}\r\n", "x".repeat(100)));
    }
    let answer = client.answer();
    assert_eq!((answer.status, answer.problem_name().as_str()), (413, "body-too-large"));
    assert_eq!(answer.problem().get("actual"), None);
}

#[test]
fn bodies_up_to_the_limit_are_taken_announced_or_not() {
    let http = serve_bodies(limits());
    let mut client = Client::connect(http.address());
    client.send(post_head(1000)).send("x".repeat(1000));
    assert_eq!(client.answer().text(), "1000");
    client.send("POST / HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n");
    client.send(format!("3e8\r\n{}\r\n0\r\n\r\n", "x".repeat(1000)));
    assert_eq!(client.answer().text(), "1000");
}

#[test]
fn a_body_that_ends_too_early_or_has_malformed_chunks_is_incomplete() {
    let http = serve_bodies(limits());
    let mut client = Client::connect(http.address());
    client.send(post_head(10)).send("12345").end_sending();
    let answer = client.answer();
    assert_eq!((answer.status, answer.problem_name().as_str()), (400, "body-incomplete"));

    let mut client = Client::connect(http.address());
    client.send("POST / HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\nnonsense\r\n");
    let answer = client.answer();
    assert_eq!((answer.status, answer.problem_name().as_str()), (400, "body-incomplete"));
}

#[test]
fn a_client_that_ends_its_side_still_gets_its_answer() {
    let http = serve(limits(), |_| {
        Router::new().route(
            "/",
            get(|| async {
                // The end of the client's side is seen before the answer is there.
                tokio::time::sleep(SOON).await;
                "hello"
            }),
        )
    });
    let mut client = Client::connect(http.address());
    client.get("/", "").end_sending();
    assert_eq!(client.answer().text(), "hello");
    assert!(client.ends_silently());
    until("no connection left", || http.connections() == 0);
}

#[test]
fn a_head_that_is_too_large_gets_431() {
    let http = serve(limits(), hello);
    let refused = |head: String| {
        let mut client = Client::connect(http.address());
        client.send(format!("GET / HTTP/1.1\r\nhost: localhost\r\n{head}\r\n"));
        let answer = client.answer();
        assert_eq!((answer.status, answer.problem_name().as_str()), (431, "head-too-large"), "{answer:?}");
        answer.problem()
    };
    let problem = refused(format!("x: {}\r\n", "x".repeat(16 << 10)));
    assert_eq!((&problem["limit"], &problem["unit"]), (&16_384.into(), &"bytes".into()));
    assert!(problem["actual"].as_u64().unwrap() > 16_384);
    let problem = refused((0..64).map(|number| format!("x{number}: y\r\n")).collect());
    assert_eq!((&problem["limit"], &problem["actual"]), (&64.into(), &65.into()));

    let mut client = Client::connect(http.address());
    let fields: String = (0..63).map(|number| format!("x{number}: y\r\n")).collect();
    assert_eq!(client.get("/", &fields).answer().text(), "hello");
}

#[test]
fn a_head_that_no_buffer_holds_gets_431_from_hyper() {
    let http = serve(limits(), hello);
    for head in [format!("x: {}", "x".repeat(1 << 20)), "x: y\r\n".repeat(101) + "\r\n"] {
        let mut client = Client::connect(http.address());
        let sender = client.stream.try_clone().unwrap();
        let sending = std::thread::spawn(move || {
            use std::io::Write;
            // It may be refused before it is sent whole.
            let _ = (&sender).write_all(format!("GET / HTTP/1.1\r\nhost: localhost\r\n{head}").as_bytes());
        });
        assert_eq!(client.answer().status, 431);
        drop(client);
        sending.join().unwrap();
    }
}

#[test]
fn garbage_after_a_request_ends_the_connection_after_its_answer() {
    let http = serve(limits(), hello);
    let mut client = Client::connect(http.address());
    client.send("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n\0\u{1}garbage \r\n\r\nGET / HTTP/1.1\r\n\r\n");
    assert_eq!(client.answer().text(), "hello");
    assert_eq!(client.answer().status, 400);
    client.end_sending();
    assert!(client.ends_silently());
    until("no connection left", || http.connections() == 0);
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let http = serve_bodies(limits());
    let mut client = Client::connect(http.address());
    let bodies = 1..=50;
    let all: String = bodies.clone().map(|n| post_head(n) + &"x".repeat(n.try_into().unwrap())).collect();
    client.send(all);
    for expected in bodies {
        assert_eq!(client.answer().text(), expected.to_string());
    }
}
