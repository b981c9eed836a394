//! A page that makes its own name resolve to this machine gets nothing.

use dseq::api::Origins;

use super::client::{Answer, Client};
use super::{hello, limits, serve_for};

fn asked_for(host: &str, origins: &str) -> Answer {
    let http = serve_for(limits(), &Origins::parse(origins).unwrap(), hello);
    Client::connect(http.address()).send(format!("GET / HTTP/1.1\r\nhost: {host}\r\n\r\n")).answer()
}

#[test]
fn a_node_on_loopback_answers_for_itself_alone() {
    let refused = asked_for("rebound.example:6900", "");
    assert_eq!((refused.status, refused.problem_name().as_str()), (421, "foreign-host"));
    assert!(refused.problem()["detail"].as_str().unwrap().contains("\"rebound.example\""));
    for (host, origins) in [
        ("localhost:6900", ""),
        ("127.0.0.1:6900", ""),
        ("[::1]", ""),
        ("node.example", "https://node.example"),
        ("node.example", "*"),
    ] {
        assert_eq!(asked_for(host, origins).status, 200, "{host}");
    }
}

/// The answer to a request of which this is the head, but for its last line.
fn answered(head: &str, origins: &str) -> Answer {
    let http = serve_for(limits(), &Origins::parse(origins).unwrap(), hello);
    Client::connect(http.address()).send(format!("{head}\r\n")).answer()
}

#[test]
fn a_request_that_does_not_say_clearly_for_which_host_it_is_gets_400() {
    for origins in ["", "*"] {
        for head in [
            "GET / HTTP/1.1\r\n",
            "GET http://localhost/ HTTP/1.1\r\n",
            "GET / HTTP/1.1\r\nhost: localhost\r\nhost: localhost\r\n",
            "GET / HTTP/1.1\r\nhost: localhost:abc\r\n",
            "GET / HTTP/1.1\r\nhost: localhost:99999\r\n",
            "GET / HTTP/1.1\r\nhost: evil.example@localhost\r\n",
            "GET / HTTP/1.1\r\nhost: \u{e9}\r\n",
        ] {
            let answer = answered(head, origins);
            assert_eq!((answer.status, answer.problem_name().as_str()), (400, "bad-host"), "{head:?}");
        }
    }
}

#[test]
fn the_host_in_the_target_counts_and_the_one_in_the_header_does_not() {
    let refused = answered("GET http://evil.example/ HTTP/1.1\r\nhost: localhost\r\n", "");
    assert_eq!((refused.status, refused.problem_name().as_str()), (421, "foreign-host"));
    for head in [
        "GET http://localhost:6900/ HTTP/1.1\r\nhost: localhost:6900\r\n",
        "GET http://localhost/ HTTP/1.1\r\nhost: evil.example\r\n",
        // HTTP/1.0 has no such rule.
        "GET / HTTP/1.0\r\n",
        "GET / HTTP/1.0\r\nhost: localhost\r\n",
    ] {
        assert_eq!(answered(head, "").status, 200, "{head:?}");
    }
    let refused = answered("GET / HTTP/1.0\r\nhost: evil.example\r\n", "");
    assert_eq!(refused.problem_name(), "foreign-host");
}
