//! The node's page in a real browser, on a real network: submit, see it arrive, follow it on another node, lose the node and
//! have it back.
//!
//! Run by `make test-page`; skips aloud where Chromium is not installed. `DSEQ_PAGE_SHOTS=DIR` leaves screenshots there.

use rustix::process::Signal;

use crate::chromium::{Chromium, Tab};
use crate::support::{Testnet, gallery, processes};

const DESK: (u32, u32) = (1280, 800);
const PHONE: (u32, u32) = (360, 740);

/// A network whose plugin refuses what is not JSON, and a browser; `None` without one.
fn started() -> Option<(Testnet, Chromium)> {
    let Some(chromium) = Chromium::start() else {
        eprintln!("SKIPPED: chromium cannot be run; on Debian and Ubuntu: apt-get install chromium");
        return None;
    };
    let net = Testnet::with(vec!["--plugin".to_owned(), gallery("json")]);
    net.started();
    Some((net, chromium))
}

fn url(net: &Testnet, node: usize) -> String {
    format!("http://127.0.0.1:{}", net.nodes()[node].ports.http)
}

/// Submits by keyboard, as somebody at the page does.
fn submit(chromium: &mut Chromium, tab: &Tab, text: &str) {
    chromium.type_into(tab, "#submit-text", text);
    chromium.press(tab, "Enter", 13, 2);
}

/// Whether the newest submission has come to this state.
fn outcome(state: &str) -> String {
    format!("document.querySelector('#submissions > li')?.className === '{state}'")
}

/// Whether the tail shows this.
fn shown(text: &str) -> String {
    format!("document.getElementById('lines').innerText.includes({text:?})")
}

fn is_visible(id: &str) -> String {
    format!("document.getElementById('{id}').checkVisibility()")
}

/// Leaves a picture for somebody to look at, if one is wanted.
fn picture(chromium: &mut Chromium, tab: &Tab, name: &str) {
    if let Some(dir) = std::env::var_os("DSEQ_PAGE_SHOTS") {
        let bytes = chromium.screenshot(tab);
        std::fs::write(std::path::Path::new(&dir).join(name), bytes).unwrap();
    }
}

/// No complaints, and nobody asked but these nodes.
fn assert_clean(chromium: &Chromium, hosts: &[String]) {
    assert!(chromium.complaints.is_empty(), "{:#?}", chromium.complaints);
    let foreign: Vec<_> = chromium.asked.iter().filter(|asked| !hosts.contains(asked)).collect();
    assert!(foreign.is_empty(), "pages asked {foreign:?}");
}

#[test]
#[ignore = "needs Chromium and CometBFT; run by make test-page"]
fn what_is_submitted_arrives_with_its_receipt_and_on_another_node() {
    let Some((net, mut chromium)) = started() else { return };
    let hosts = [url(&net, 0), url(&net, 1)];
    let here = chromium.open(&hosts[0], DESK, "light");
    let there = chromium.open(&hosts[1], PHONE, "dark");
    for tab in [&here, &there] {
        chromium.until(tab, "connection", "document.getElementById('link').textContent === 'live'");
        chromium.until(tab, "pipeline", "document.getElementById('pipeline').innerText.includes('json')");
    }
    submit(&mut chromium, &here, r#"{"first": "<b>bytes</b>"}"#);
    chromium.until(&here, "receipt", &outcome("committed"));
    for tab in [&here, &there] {
        chromium.until(tab, "record in the tail", &shown(r#"{"first":"<b>bytes</b>"}\n"#));
        chromium.until(tab, "length", "document.getElementById('length').textContent === '25'");
    }
    // As hexadecimal, on both.
    for tab in [&here, &there] {
        chromium.value(tab, "document.getElementById('as-hex').click()");
        chromium.until(tab, "dump", &shown("00000000  7b 22 66 69 72 73 74 22"));
    }
    // Nothing is wider than a phone.
    chromium.until(&there, "narrow page", "document.documentElement.scrollWidth <= innerWidth");

    submit(&mut chromium, &here, "{");
    chromium.until(&here, "rejection", &outcome("rejected"));
    let said = chromium.value(&here, "document.querySelector('#submissions > li').innerText");
    assert!(said.as_str().unwrap().contains("plugin json"), "{said}");

    // Both look-ups lead to the record, and the block has it.
    let hash = chromium.value(
        &here,
        "[...document.querySelectorAll('#submissions a')].find((a) => a.hash.startsWith('#hash=')).hash",
    );
    for address in [hash.as_str().unwrap(), "#offset=24", "#index=0"] {
        chromium.value(&there, &format!("location.hash = {address:?}"));
        chromium.until(
            &there,
            "found record",
            "document.querySelector('#found .dump')?.innerText.startsWith('00000000  7b 22')",
        );
        chromium.value(&there, "document.getElementById('found').replaceChildren()");
    }
    chromium.value(
        &here,
        "[...document.querySelectorAll('#submissions a')].find((a) => a.hash.startsWith('#height=')).click()",
    );
    chromium.until(&here, "block", "document.querySelectorAll('#found tbody tr').length === 1");
    chromium.until(
        &there,
        "agreement",
        "document.getElementById('agreement').textContent === '✓ peers agree'",
    );
    picture(&mut chromium, &here, "desk.png");
    picture(&mut chromium, &there, "phone.png");
    assert_clean(&chromium, &hosts);
}

#[test]
#[ignore = "needs Chromium and CometBFT; run by make test-page"]
fn the_page_says_that_the_node_is_gone_and_goes_on_without_a_gap_when_it_is_back() {
    let Some((net, mut chromium)) = started() else { return };
    let hosts = [url(&net, 0), url(&net, 1)];
    let here = chromium.open(&hosts[0], DESK, "dark");
    let there = chromium.open(&hosts[1], DESK, "light");
    submit(&mut chromium, &here, "1");
    chromium.until(&here, "receipt", &outcome("committed"));
    chromium.until(&here, "first record", &shown("1\\n"));

    for id in processes(&net.nodes()[0].home) {
        id.signal(Signal::KILL).unwrap();
    }
    chromium.until(&here, "banner", &is_visible("banner"));
    picture(&mut chromium, &here, "lost.png");
    // What is submitted now has no answer; the page finds out by the hash what became of it.
    submit(&mut chromium, &here, "2");
    chromium.until(&here, "state without an answer", &outcome("pending"));
    submit(&mut chromium, &there, "3");
    chromium.until(&there, "receipt", &outcome("committed"));

    net.started();
    chromium.until(&here, "return", &format!("!{}", is_visible("banner")));
    chromium.until(&here, "record that it missed", &shown("3\\n"));
    // It never got to a node, and the page says so.
    chromium.until(&here, "known outcome", &outcome("failed"));
    chromium.value(&here, "document.querySelector('#submissions button').click()");
    chromium.until(&here, "receipt", &outcome("committed"));
    for tab in [&here, &there] {
        chromium.until(tab, "the last record", &shown("2\\n"));
        let lines =
            "[...document.querySelectorAll('#lines > li')].map((line) => line.firstChild.textContent).join()";
        assert_eq!(chromium.value(tab, lines), "0,1,2");
    }
    assert_clean(&chromium, &hosts);
}

#[test]
#[ignore = "needs Chromium and CometBFT; run by make test-page"]
fn the_description_has_a_page_that_shows_every_route() {
    let Some((net, mut chromium)) = started() else { return };
    let host = url(&net, 0);
    let tab = chromium.open(&format!("{host}/docs/api"), DESK, "light");
    let routes = dseq::api::listed().count() + 1; // and one part about problems
    chromium.until(&tab, "routes", &format!("document.querySelectorAll('article').length === {routes}"));
    let ids =
        "[...document.querySelectorAll('nav a')].every((a) => document.getElementById(a.hash.slice(1)))";
    assert_eq!(chromium.value(&tab, ids), true);
    picture(&mut chromium, &tab, "api.png");
    assert_clean(&chromium, &[host]);
}
