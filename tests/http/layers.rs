//! What every answer has, whatever the route.

use axum::Router;
use axum::routing::{get, post};
use dseq::api::{Origins, RequestId, Stopping, TraceContext};

use super::client::{Answer, Client};
use super::{hello, limits, serve, serve_for};

#[test]
fn every_answer_has_a_request_id_a_trace_and_the_security_headers() {
    let http = serve(limits(), hello);
    let mut client = Client::connect(http.address());
    for path in ["/", "/nothing"] {
        let answer = client.get(path, "").answer();
        assert_eq!(answer.header("x-request-id").len(), 16, "{answer:?}");
        assert!(answer.header("traceparent").starts_with("00-"), "{answer:?}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert_eq!(answer.header("content-security-policy"), "default-src 'none'; frame-ancestors 'none'");
        assert_eq!(answer.header("cross-origin-resource-policy"), "same-origin");
        assert_eq!(answer.header("referrer-policy"), "no-referrer");
        assert_eq!(answer.header("cache-control"), "no-store");
        assert_eq!(answer.header("access-control-allow-origin"), "(none)");
        assert_eq!(answer.header("server"), "(none)");
    }
}

#[test]
fn a_handler_sees_the_clients_request_id_and_trace() {
    let http = serve(limits(), |_| {
        let told = |request: axum::extract::Request| async move {
            let (id, trace) =
                (request.extensions().get::<RequestId>(), request.extensions().get::<TraceContext>());
            format!(
                "{} {:032x} {:016x}",
                id.unwrap(),
                trace.unwrap().trace_id,
                trace.unwrap().parent_id.unwrap()
            )
        };
        Router::new().route("/", get(told))
    });
    let headers = "x-request-id: order-7\r\n\
                   traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n";
    let answer = Client::connect(http.address()).get("/", headers).answer();
    assert_eq!(answer.text(), "order-7 4bf92f3577b34da6a3ce929d0e0e4736 00f067aa0ba902b7");
    assert_eq!(answer.header("x-request-id"), "order-7");
    let out = answer.header("traceparent");
    assert!(out.starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-") && out.ends_with("-01"), "{out}");
    assert!(!out.contains("00f067aa0ba902b7"), "a span of its own: {out}");
}

#[test]
fn a_route_may_set_its_own_headers() {
    let http = serve(limits(), |_| {
        Router::new().route("/", get(|| async { ([("cache-control", "max-age=7")], "hello") }))
    });
    let answer = Client::connect(http.address()).get("/", "").answer();
    assert_eq!(answer.header("cache-control"), "max-age=7");
}

#[test]
fn a_handler_that_panics_is_a_500_and_the_connection_goes_on() {
    let http = serve(limits(), |_| {
        let panics = || async {
            assert!(std::hint::black_box(false), "a secret");
        };
        Router::new().route("/", get(|| async { "hello" })).route("/panic", get(panics))
    });
    let mut client = Client::connect(http.address());
    let answer = client.get("/panic", "").answer();
    assert_eq!((answer.status, answer.problem_name().as_str()), (500, "internal"));
    assert!(!answer.text().contains("secret"), "it may say what is nobody's business: {answer:?}");
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    assert_ne!(answer.header("x-request-id"), "(none)");
    assert_eq!(client.get("/", "").answer().text(), "hello");
}

fn page(_: Stopping) -> Router {
    Router::new().route("/", get(|| async { "read" })).route("/", post(|| async { "written" }))
}

/// What a page of `https://example.org` gets from a node with these origins: for GET, and for POST.
fn from_page(origins: &str) -> [Answer; 2] {
    let http = serve_for(limits(), &Origins::parse(origins).unwrap(), page);
    ["GET", "POST"].map(|method| {
        let mut client = Client::connect(http.address());
        let headers = "origin: https://example.org\r\nsec-fetch-site: cross-site\r\ncontent-length: 0\r\n";
        client.send(format!("{method} / HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n")).answer()
    })
}

#[test]
fn pages_of_other_origins_may_neither_read_nor_write() {
    for origins in ["", "https://other.example"] {
        let [read, written] = from_page(origins);
        assert_eq!(read.header("access-control-allow-origin"), "(none)");
        assert_eq!((written.status, written.problem_name().as_str()), (403, "cross-origin"));
    }
}

#[test]
fn pages_of_listed_origins_may_do_both() {
    for (origins, allowed) in [("https://example.org", "https://example.org"), ("*", "*")] {
        let [read, written] = from_page(origins);
        assert_eq!((read.text(), read.header("access-control-allow-origin")), ("read", allowed));
        assert_eq!((written.text(), written.header("access-control-allow-origin")), ("written", allowed));
    }
}

#[test]
fn a_preflight_of_a_listed_origin_is_answered() {
    let origins = Origins::parse("https://example.org").unwrap();
    let http = serve_for(limits(), &origins, page);
    let mut client = Client::connect(http.address());
    let asked = "origin: https://example.org\r\naccess-control-request-method: POST\r\n\
                 access-control-request-headers: traceparent\r\n";
    let answer = client.send(format!("OPTIONS / HTTP/1.1\r\nhost: localhost\r\n{asked}\r\n")).answer();
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("access-control-allow-origin"), "https://example.org");
    assert_eq!(answer.header("access-control-allow-methods"), "GET,HEAD,POST");
    assert_eq!(answer.header("access-control-allow-headers"), "traceparent");
    assert_eq!(answer.header("access-control-max-age"), "3600");
}

#[test]
fn what_is_no_browser_may_write() {
    let http = serve(limits(), page);
    let mut client = Client::connect(http.address());
    client.send("POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n");
    assert_eq!(client.answer().text(), "written");
}
