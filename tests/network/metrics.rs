//! CometBFT's metrics: off until somebody wants them.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::symlink;

use crate::one_node::shell;
use crate::pages::block;
use crate::support::{Testnet, free_base_port, processes, run};

/// What is served under `/metrics` at this port, if anything listens there.
fn scraped(port: u16) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    write!(stream, "GET /metrics HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    Some(answer)
}

/// All nodes serve metrics, as was said when they were started.
fn serve(net: &Testnet, said: &str) {
    for node in net.nodes() {
        let port = node.ports.metrics;
        assert!(said.contains(&format!("http://localhost:{port}/metrics")), "{said}");
        let metrics = scraped(port).unwrap();
        assert!(metrics.contains("cometbft_consensus_height"), "{metrics}");
    }
}

#[test]
#[ignore = "needs CometBFT; run by make e2e"]
fn metrics_are_served_once_they_are_asked_for() {
    let mut net = Testnet::new();
    let said = net.started();
    let nodes = net.nodes();
    assert!(!said.contains("/metrics"), "{said}");
    assert!(nodes.iter().all(|node| scraped(node.ports.metrics).is_none()));

    let (code, said) = run(net.start_command().arg("--metrics"));
    assert_eq!(code, 1, "{said}");
    assert!(said.starts_with("error: node0 runs without metrics, "), "{said}");
    assert!(nodes.iter().all(|node| processes(&node.home).iter().all(|id| id.is_alive())));

    // By the page, on which the network also moves to other ports.
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("build")).unwrap();
    symlink(net.dir(), dir.path().join("build/localnet")).unwrap();
    let page = block("docs/operating.md", "The local network", 1);
    let (follow, others) = page.split_once('\n').unwrap();
    let (code, said) = run(&mut shell(dir.path(), &format!("timeout --signal=INT 2 {follow}")));
    assert!(code == 124 && said.contains("node0 "), "{said}");
    net.base_port = free_base_port();
    let others = others.replace("27000", &net.base_port.to_string());
    let (code, said) = run(&mut shell(dir.path(), &others));
    assert_eq!(code, 0, "{said}");
    assert_eq!(net.nodes()[0].ports.p2p, net.base_port, "{said}");
    serve(&net, &said);

    assert_eq!(net.stop().0, 0);
    serve(&net, &net.started());
}
