//! A load test against four real nodes: what it says is so, and what it writes is whole.

use std::os::unix::fs::symlink;

use serde_json::Value;

use crate::one_node::shell;
use crate::pages::block;
use crate::support::{Testnet, dseq, run};

/// The commands of the page: for two seconds instead of a minute, at a rate that any machine carries, and on this network.
fn by_the_page(net: &Testnet) {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("build")).unwrap();
    symlink(net.dir(), dir.path().join("build/localnet")).unwrap();
    let rpc = |node: usize| format!("localhost:{}", net.nodes()[node].ports.rpc);
    let page = block("docs/load.md", "Load testing", 1);
    let page = page.replace("--rate 500", "--rate 20").replace("--duration 1m", "--duration 2s");
    let page = page.replace("10.0.0.1:26657", &rpc(0)).replace("10.0.0.2:26657", &rpc(1));
    for command in page.lines() {
        let (code, said) = run(&mut shell(dir.path(), command));
        assert_eq!(code == 0, !said.contains("INVALID RUN"), "{command}: {said}");
    }
    assert!(dir.path().join("load.html").exists(), "{page}");
}

#[test]
#[ignore = "needs CometBFT; run by make e2e"]
fn a_load_test_verifies_what_four_nodes_committed() {
    let net = Testnet::new();
    let (code, said) = run(&mut dseq(&["load", "--dir", net.dir()]));
    assert!(code == 1 && said.contains("no local network in "), "{said}");
    net.started();

    let files = ["load.csv", "load.hgrm", "load.html"].map(|name| format!("{}/{name}", net.dir()));
    let [csv, hgrm, html] = &files;
    let mut command = dseq(&["load", "--dir", net.dir(), "--requests", "80", "--concurrency", "9", "--json"]);
    command.args(["--size", "100..4096", "--csv", csv, "--hgrm", hgrm, "--report", html]);
    let output = command.output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), &report["good"]), (Some(0), &true.into()), "{report}");
    assert_eq!(report["counts"]["committed"], 80, "{report}");
    assert_eq!(report["verification"]["nodes"].as_array().unwrap().len(), 4, "{report}");
    // Every byte of the sequence is of this run, and each transaction is where the file says.
    let bytes = net.settled();
    let text = std::fs::read_to_string(csv).unwrap();
    let mut total = 0;
    for row in text.lines().skip(1) {
        let columns: Vec<&str> = row.split(',').collect();
        let number = |column: usize| columns[column].parse::<usize>().unwrap();
        let (length, offset) = (number(2), number(11));
        let head = format!("load-{}-{:08x};", report["run"].as_str().unwrap(), number(0));
        assert!(bytes[offset..offset + length].starts_with(head.as_bytes()), "{row}");
        total += length;
    }
    assert_eq!(total, bytes.len());
    assert!(std::fs::read_to_string(hgrm).unwrap().contains("Total count    =           80]"));
    let page = std::fs::read_to_string(html).unwrap();
    assert!(page.contains("</main>") && !page.contains("http") && !page.contains("<script"), "{page}");

    // An open loop at a rate that any machine carries; one node of four.
    let node = format!("localhost:{}", net.nodes()[1].ports.rpc);
    let (code, said) = run(&mut dseq(&["load", "--node", &node, "--rate", "20", "--duration", "2s"]));
    assert!(
        said.contains("Verified: each of the ") && said.contains("in the sequence of the node"),
        "{said}"
    );
    // A machine that is very busy may be late, and must say so.
    assert_eq!(code == 0, !said.contains("INVALID RUN"), "{said}");

    by_the_page(&net);

    let (code, said) = net.stop();
    assert_eq!(code, 0, "{said}");
    let (code, said) = run(&mut dseq(&["load", "--dir", net.dir()]));
    assert!(code == 1 && said.contains("no node of the network in "), "{said}");
}
