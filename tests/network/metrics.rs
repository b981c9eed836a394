//! CometBFT's metrics: off until somebody wants them.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::support::{Testnet, processes, run};

/// What is served under `/metrics` at this port, if anything listens there.
fn scraped(port: u16) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    write!(stream, "GET /metrics HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    Some(answer)
}

#[test]
#[ignore = "needs CometBFT; run by make e2e"]
fn metrics_are_served_once_they_are_asked_for() {
    let net = Testnet::new();
    let said = net.started();
    let nodes = net.nodes();
    let url = |port: u16| format!("http://localhost:{port}/metrics");
    assert!(!said.contains("/metrics"), "{said}");
    assert!(nodes.iter().all(|node| scraped(node.ports.metrics).is_none()));

    let (code, said) = run(net.start_command().arg("--metrics"));
    assert_eq!(code, 1, "{said}");
    assert!(said.starts_with("error: node0 runs without metrics, "), "{said}");
    assert!(nodes.iter().all(|node| processes(&node.home).iter().all(|id| id.is_alive())));

    assert_eq!(net.stop().0, 0);
    for start in ["--metrics", "--timeout=120"] {
        let (code, said) = run(net.start_command().arg(start));
        assert_eq!(code, 0, "{said}");
        for node in &nodes {
            assert!(said.contains(&url(node.ports.metrics)), "{said}");
            let metrics = scraped(node.ports.metrics).unwrap();
            assert!(metrics.contains("cometbft_consensus_height"), "{metrics}");
        }
        assert_eq!(net.stop().0, 0);
    }
}
