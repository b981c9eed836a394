//! `docs/settings.md`: every setting of a node, of its genesis, and of CometBFT as far as dseq changes it.

use super::{compare, heading, repository, row, source};
use dseq::limits;
use dseq::node::config::{HOME_ENV, NODES_ENV, Settings};
use dseq::node::engine::cometbft::{ENVIRONMENT, GARBAGE, GO_THREADS_MIN};
use dseq::rules::Limits;
use dseq::telemetry::RUST_LOG;

const INTRO: &str = "# Settings

This page is generated from the code (`tests/reference`).

## A node: `dseq.toml`

Each operator chooses these for a node; nodes of one network may differ. Flags override the environment, and the environment
overrides the file. `dseq config show` prints the values in force and where each comes from, `dseq config default` prints a
file with all of them, and `dseq config check` checks a node's.

";

const LIMITS: &str = "
## A network: limits in the genesis

The same on every node: they are part of the genesis, and fixed once the first block is committed. `--limit NAME=NUMBER` sets
them, for `dseq network create` and `dseq genesis set`.

";

const ENGINE: &str = "
## CometBFT: what dseq changes

CometBFT's settings are in each home's `config/config.toml`. `dseq init`, `dseq network join` and `dseq testnet start` write the values
below, and those that say who and where a node is: `moniker`, the addresses of `p2p`, `rpc` and `instrumentation`, and the peers in `p2p`. The
others stay as CometBFT has them. ";

#[test]
fn the_page_of_settings_is_what_the_code_says() {
    let mut page = INTRO.to_owned();
    page.push_str(&heading(&["setting", "default", "unit", "what it does", "why this default"]));
    for (key, value, _) in Settings::default().rows() {
        let value = if value.is_empty() { "empty".to_owned() } else { format!("`{value}`") };
        let (name, unit) = (format!("`{}`<br>`{}`<br>`{}`", key.name, key.flag, key.env), key.unit);
        page.push_str(&row(&[&name, &value, unit, &format!("{}.", key.help), &format!("{}.", key.reason)]));
    }
    page.push_str("\nOther environment variables:\n\n");
    page.push_str(&heading(&["variable", "what it does"]));
    for (name, what) in variables() {
        page.push_str(&row(&[&name, &what]));
    }
    page.push_str(LIMITS);
    page.push_str(&heading(&["limit", "default", "highest", "what it bounds"]));
    for (name, doc) in source::fields(&repository().join("host/format/src/rules.rs"), "Limits") {
        let (default, ceiling) = limit(&name);
        page.push_str(&row(&[
            &format!("`{name}`"),
            &default.to_string(),
            &ceiling.to_string(),
            &bound(&doc),
        ]));
    }
    for (place, when) in [
        ("networks/common/cometbft.toml", "On every node:"),
        ("networks/local/cometbft.toml", "On a local network (`make start`) also:"),
        (
            "networks/wide/cometbft.toml",
            "In a network over long distances (`dseq network create --profile wide`) also:",
        ),
        ("networks/common/genesis.toml", "In the genesis that CometBFT generates:"),
    ] {
        let lead = if place.starts_with("networks/common/c") { ENGINE } else { "\n" };
        page.push_str(&format!("{lead}{when}\n\n{}", heading(&["setting", "value", "why"])));
        let text = std::fs::read_to_string(repository().join(place)).unwrap();
        for (key, value, why) in explained(&text) {
            page.push_str(&row(&[&format!("`{key}`"), &format!("`{value}`"), &why]));
        }
    }
    compare("settings.md", &page);
}

/// What is heeded besides the settings, none of which is in the file.
fn variables() -> Vec<(String, String)> {
    let mut rows = vec![
        (format!("`{HOME_ENV}`"), "A node's home, for commands whose `--help` has it at `--home`.".to_owned()),
        (format!("`{NODES_ENV}`"), "Nodes to ask, as HOST:PORT of their HTTP, separated by commas, for `dseq submit`, `read`, `tail` and `receipt`. Unless set: `localhost:6900`.".to_owned()),
        (format!("`{RUST_LOG}`"), "[Directives](logs.md#levels) on top of `log_level`. Unless set: none.".to_owned()),
        ("`OTEL_*`".to_owned(), "[Where traces go](tracing.md). Unless set: nowhere.".to_owned()),
        ("`NO_COLOR`, `TERM`".to_owned(), "No colors on a terminal if `NO_COLOR` is set and not empty, or `TERM` is `dumb`.".to_owned()),
    ];
    let socket =
        "Folder for the ABCI socket, where its path in the home would be too long. Unless set: `/tmp`.";
    rows.push(("`TMPDIR`".to_owned(), socket.to_owned()));
    for (name, value) in GARBAGE {
        let what = match name {
            "GOGC" => {
                "By how many percent CometBFT's heap may grow beyond what is in use before garbage is collected: more memory, less CPU."
            }
            "GOMEMLIMIT" => "Memory beyond which CometBFT collects garbage more often.",
            other => panic!("{other} is new: say what it does"),
        };
        rows.push((format!("`{name}`"), format!("{what} Unless set: `{value}`.")));
    }
    rows.push(("`GOMAXPROCS`".to_owned(), format!("Threads that run CometBFT's code at once. Unless set: one for each processor, and at least {GO_THREADS_MIN}.")));
    rows.push((
        "`GODEBUG`, `GOTRACEBACK`".to_owned(),
        "Passed on to CometBFT, as Go defines them.".to_owned(),
    ));
    let is_said = |name: &&str| {
        ["PATH", "HOME"].contains(name) || rows.iter().any(|(names, _)| names.contains(&format!("`{name}`")))
    };
    assert!(ENVIRONMENT.iter().all(is_said), "CometBFT gets {ENVIRONMENT:?}");
    rows
}

fn limit(name: &str) -> (u64, u64) {
    let limits = Limits::default();
    match name {
        "tx_bytes_max" => (limits.tx_bytes_max, limits::TX_BYTES_CEILING),
        "record_bytes_max" => (limits.record_bytes_max, limits::RECORD_BYTES_CEILING),
        "fuel_max" => (limits.fuel_max, limits::FUEL_CEILING),
        "memory_bytes_max" => (limits.memory_bytes_max, limits::MEMORY_BYTES_CEILING),
        other => panic!("{other} is a new limit: add it here"),
    }
}

/// A limit's doc comment without the sentence about default and ceiling, which have columns of their own.
fn bound(doc: &str) -> String {
    let (before, after) = doc.split_once(" Default: ").unwrap();
    let (_, after) = after.split_once(". ").unwrap();
    format!("{before} {after}")
}

/// Each `key = value` of a file of overrides, with the comment above it. Keys without a comment between them share one.
fn explained(text: &str) -> Vec<(String, String, String)> {
    let mut rows = Vec::new();
    let (mut why, mut open) = (String::new(), false);
    for line in text.lines() {
        if let Some(comment) = line.strip_prefix('#') {
            why = if open { format!("{why} {}", comment.trim()) } else { comment.trim().to_owned() };
            open = true;
        } else {
            open = false;
            if let Some((key, value)) = line.split_once(" = ") {
                rows.push((key.to_owned(), value.to_owned(), why.clone()));
            }
        }
    }
    rows
}
