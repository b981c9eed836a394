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
    assert!(refused.problem()["detail"].as_str().unwrap().contains("rebound.example:6900"));
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
