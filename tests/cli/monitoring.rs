//! What `networks/local/monitoring` asks of Prometheus: names that are served, and rules that do what they say.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use dseq::telemetry::metrics::{Format, Metrics, Plugin, Status, Verdict};
use serde_json::Value;

const FOLDER: &str = "networks/local/monitoring";
const GOLDEN: &str = include_str!("../../host/src/telemetry/metrics/golden.txt");
/// What Prometheus adds, and what CometBFT serves: a test against the real ones asks for all of it.
const OTHERS: [&str; 8] = [
    "up",
    "cometbft_mempool_size",
    "cometbft_consensus_height",
    "cometbft_p2p_peers",
    "process_resident_memory_bytes",
    "process_cpu_seconds_total",
    "process_open_fds",
    "process_max_fds",
];

fn workspace_file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

fn read(name: &str) -> String {
    std::fs::read_to_string(workspace_file(&format!("{FOLDER}/{name}"))).unwrap()
}

/// Every word of a query that looks like a metric's name.
fn metrics_in(query: &str) -> BTreeSet<String> {
    let words = query.split(|c: char| !c.is_alphanumeric() && c != '_');
    let is_metric = |word: &&str| {
        ["dseq_", "cometbft_", "process_"].iter().any(|start| word.starts_with(start)) || *word == "up"
    };
    words.filter(is_metric).map(str::to_owned).collect()
}

/// The dashboard's queries, each with its panel's title.
fn queries() -> Vec<(String, String)> {
    let dashboard: Value = serde_json::from_str(&read("dashboard.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let of_panel = |panel: &Value| {
        let targets = panel["targets"].as_array().cloned().unwrap_or_default();
        targets.iter().map(|target| (text(&panel["title"]), text(&target["expr"]))).collect::<Vec<_>>()
    };
    panels.iter().flat_map(of_panel).collect()
}

#[test]
fn dashboard_and_alerts_ask_only_for_metrics_that_are_served() {
    let mut served: BTreeSet<String> = OTHERS.map(str::to_owned).into();
    for line in GOLDEN.lines() {
        let mut words = line.split(' ');
        let (name, kind) = (words.next().unwrap(), words.next().unwrap());
        let suffixes: &[&str] = if kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
        served.extend(suffixes.iter().map(|suffix| format!("{name}{suffix}")));
    }
    let alerts = read("alerts.yml");
    let expressions = alerts.lines().filter(|line| !line.trim_start().starts_with('#'));
    let mut asked: Vec<(String, String)> =
        expressions.map(|line| ("alerts.yml".to_owned(), line.to_owned())).collect();
    asked.extend(queries());
    assert!(asked.len() > 80, "{}", asked.len());
    for (place, query) in asked {
        for name in metrics_in(&query) {
            assert!(served.contains(&name), "{place} asks for {name}, which nobody serves");
        }
    }
}

#[test]
fn every_alert_has_a_reason_a_case_in_which_it_fires_and_a_line_in_the_page() {
    let (alerts, cases) = (read("alerts.yml"), read("alerts_test.yml"));
    let page = std::fs::read_to_string(workspace_file("docs/metrics.md")).unwrap();
    let lines: Vec<&str> = alerts.lines().collect();
    let mut count = 0;
    for (number, line) in lines.iter().enumerate() {
        let Some(name) = line.trim().strip_prefix("- alert: ") else { continue };
        count += 1;
        assert!(lines[number - 1].trim().starts_with("# "), "{name} has no reason");
        assert!(cases.contains(&format!("- alertname: {name}\n")), "{name} fires in no case");
        assert!(
            cases.contains(&format!("{{ alertname: {name}, eval_time: 15m, exp_alerts: [] }}")),
            "{name}"
        );
        assert!(page.contains(&format!("| `{name}` |")), "{name} is not in docs/metrics.md");
    }
    assert_eq!(page.matches("| `Dseq").count(), count, "docs/metrics.md has alerts that are gone");
}

/// Runs promtool with this input; `None`, and says so, where it is not installed.
fn promtool(args: &[&str], input: &str) -> Option<(bool, String)> {
    let mut command = Command::new("promtool");
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(err) => {
            eprintln!("SKIPPED: promtool cannot be run ({err}); it comes with the package prometheus");
            return None;
        }
    };
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    Some((output.status.success(), String::from_utf8(said).unwrap()))
}

#[test]
fn promtool_finds_the_rules_right_and_they_fire_when_they_should() {
    let path = |name: &str| workspace_file(&format!("{FOLDER}/{name}")).to_str().unwrap().to_owned();
    for args in [
        ["check", "config", &path("prometheus.yml")],
        ["check", "rules", &path("alerts.yml")],
        ["test", "rules", &path("alerts_test.yml")],
    ] {
        let Some((success, said)) = promtool(&args, "") else { return };
        assert!(success, "{args:?}: {said}");
    }
}

#[test]
fn promtool_reads_what_we_serve_and_has_nothing_to_say_about_names() {
    let metrics = Metrics::default();
    let plugin = Arc::new(Plugin::new("p", &["unreachable".to_owned()]));
    plugin.called(Verdict::Replaced, 5);
    metrics.run_plugins([plugin].into());
    metrics.checked(Status::Accepted);
    metrics.http().answered(Some("/metrics"), "GET", 200, Duration::from_millis(1));
    let text = metrics.encode(Format::Text).unwrap();
    let Some((success, said)) = promtool(&["check", "metrics"], &text) else { return };
    assert!(success && said.is_empty(), "{said}");
}
