//! The names, types and labels that other people's dashboards and alerts go by, and the page that explains them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use super::cells::Label as _;
use super::table::TABLE;
use super::*;

/// Metrics in which every family has at least one series.
fn used() -> Metrics {
    let identity = Identity { version: "1.2.3".to_owned(), engine: "e\"\\\n".to_owned(), engine_restarts: 2 };
    let metrics = Metrics::new(identity);
    let now = Now {
        height: 7,
        sequence_bytes: 11,
        records: 3,
        ready: true,
        disk_free_bytes: Some(1 << 40),
        disk_free_bytes_low: 1 << 30,
        memo_hits: 5,
        memo_misses: 6,
        instances_started: 2,
    };
    metrics.read_from(move || now);
    let plugin = Arc::new(Plugin::new("p", &["out_of_fuel".to_owned(), "unreachable".to_owned()]));
    metrics.run_plugins([Arc::clone(&plugin)].into());
    plugin.called(Verdict::Faulted, 100);
    plugin.faulted(1);
    plugin.timed(Duration::from_micros(3));
    metrics.checked(Status::Refused);
    metrics.refused(Reason::DiskLow);
    metrics.check_timed(Duration::from_micros(2));
    metrics.check_accepted(1, Instant::now());
    metrics.answered(Method::FinalizeBlock, Duration::from_millis(2));
    metrics.finalized(4, Duration::from_millis(2));
    metrics.staged(Duration::from_millis(1));
    metrics.commit_step(CommitStep::Sync, Duration::from_millis(5));
    metrics.answered(Method::Commit, Duration::from_millis(6));
    metrics.committed(&Block { accepted: 3, ..Block::default() }, [1, 2, 3].into_iter());
    metrics.voted(Vote::Reject);
    metrics.misbehaved(Misbehaviour::DuplicateVote);
    metrics.set_silent_validators(1);
    metrics.peer_violated();
    metrics.http().answered(Some("/metrics"), "GET", 200, Duration::from_millis(1));
    metrics
}

/// Name and labels of a line with a sample.
fn sample(line: &str) -> (&str, BTreeMap<&str, &str>) {
    let (series, _value) = line.rsplit_once(' ').unwrap();
    let Some((name, labels)) = series.split_once('{') else { return (series, BTreeMap::new()) };
    let labels = labels.strip_suffix('}').unwrap().split("\",");
    (name, labels.map(|label| label.trim_end_matches('"').split_once("=\"").unwrap()).collect())
}

/// Each family of an exposition: its type, and the names of the labels of its samples.
fn families(text: &str) -> BTreeMap<String, (String, BTreeSet<String>)> {
    let mut families = BTreeMap::new();
    let mut last = String::new();
    for line in text.lines().filter(|line| *line != "# EOF") {
        if let Some(typed) = line.strip_prefix("# TYPE ") {
            let (name, kind) = typed.split_once(' ').unwrap();
            last = name.to_owned();
            let new = families.insert(last.clone(), (kind.to_owned(), BTreeSet::new()));
            assert!(new.is_none(), "{name} twice");
        } else if !line.starts_with('#') {
            let (name, labels) = sample(line);
            assert!(name.starts_with(&last), "{name} after {last}");
            let family: &mut (String, BTreeSet<String>) = families.get_mut(&last).unwrap();
            family.1.extend(labels.into_keys().filter(|label| *label != "le").map(str::to_owned));
        }
    }
    families
}

/// A change here breaks dashboards, alerts and other people's queries without an error: it goes into the CHANGELOG.
/// `UPDATE=1` writes the golden anew.
#[test]
fn golden_names_types_and_labels() {
    let families = families(&used().encode(Format::Text).unwrap());
    let mut golden = String::new();
    for row in TABLE {
        let (kind, labels) = &families[&row.exposed_name()];
        let labels = labels.iter().cloned().collect::<Vec<_>>().join(",");
        writeln!(golden, "{} {kind} {{{labels}}}", row.exposed_name()).unwrap();
        let expected: BTreeSet<_> = row.labels.iter().copied().collect();
        if row.kind != MetricType::Info {
            assert_eq!(labels, expected.into_iter().collect::<Vec<_>>().join(","), "{}", row.name);
        }
    }
    assert_eq!(families.len(), TABLE.len(), "a metric is served that the table does not have");
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/telemetry/metrics/golden.txt");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&file, &golden).unwrap();
    }
    assert_eq!(golden, std::fs::read_to_string(&file).unwrap());
}

#[test]
fn both_formats_say_the_same() {
    let metrics = used();
    let (text, open) = (metrics.encode(Format::Text).unwrap(), metrics.encode(Format::OpenMetrics).unwrap());
    assert!(open.ends_with("\n# EOF\n") && !text.contains("# EOF"));
    for line in ["# TYPE dseq_checks_total counter\n", "dseq_checks_total{status=\"refused\"} 1\n"] {
        assert!(text.contains(line), "{line}{text}");
    }
    for line in ["# TYPE dseq_checks counter\n", "dseq_checks_total{status=\"refused\"} 1\n"] {
        assert!(open.contains(line), "{line}{open}");
    }
    let series = |text: &str| {
        let samples = text.lines().filter(|line| !line.starts_with('#')).map(sample);
        // How a bound is written differs: 1e-6 and 1e-06.
        samples
            .filter(|(_, labels)| !labels.contains_key("le"))
            .map(|one| format!("{one:?}"))
            .collect::<BTreeSet<_>>()
    };
    assert_eq!(series(&text), series(&open));
}

#[test]
fn a_block_is_counted_where_it_belongs() {
    let metrics = used();
    let text = metrics.encode(Format::Text).unwrap();
    for line in [
        "dseq_transactions_total{status=\"accepted\"} 3",
        "dseq_stream_entries_total 3",
        "dseq_stream_latency_seconds_count 1",
        "dseq_block_processing_duration_seconds_count 1",
        "dseq_block_processing_duration_seconds_sum 0.008",
        "dseq_transaction_duration_seconds_sum{method=\"finalize_block\"} 0.0005",
        "dseq_commit_step_duration_seconds_count{step=\"sync\"} 1",
        "dseq_commit_step_duration_seconds_bucket{step=\"sync\",le=\"0.005\"} 1",
        "dseq_commit_step_duration_seconds_bucket{step=\"sync\",le=\"+Inf\"} 1",
        "dseq_proposals_total{vote=\"accept\"} 0",
        "dseq_proposals_total{vote=\"reject\"} 1",
        "dseq_silent_validators 1",
        "dseq_peer_violations_total 1",
        "dseq_misbehaviour_total{kind=\"duplicate_vote\"} 1",
        "dseq_misbehaviour_total{kind=\"light_client_attack\"} 0",
        "dseq_plugin_calls_total{plugin=\"p\",verdict=\"faulted\"} 1",
        "dseq_plugin_faults_total{plugin=\"p\",fault=\"unreachable\"} 1",
        "dseq_plugin_fuel_total{plugin=\"p\"} 100",
        "dseq_memo_lookups_total{result=\"hit\"} 5",
        "dseq_engine_restarts_total 2",
        "dseq_peer_disagreement 0",
        "dseq_http_requests_total{route=\"/metrics\",method=\"GET\",status=\"200\"} 1",
        "dseq_build_info{version=\"1.2.3\",engine=\"e\\\"\\\\\\n\"} 1",
    ] {
        assert!(text.lines().any(|one| one == line), "{line}\n{text}");
    }
    metrics.set_peer_disagreement(true);
    assert!(metrics.encode(Format::Text).unwrap().contains("\ndseq_peer_disagreement 1\n"));
}

/// `UPDATE=1` writes the page's table anew.
#[test]
fn the_page_explains_every_metric() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/metrics.md");
    let said = std::fs::read_to_string(&page).unwrap();
    let (start, end) = ("<!-- metrics: generated -->\n", "<!-- end -->\n");
    let (before, rest) = said.split_once(start).unwrap();
    let (_, after) = rest.split_once(end).unwrap();
    let mut table = String::from("| name | type | labels | unit | meaning |\n|---|---|---|---|---|\n");
    for row in TABLE {
        let labels: Vec<String> = row.labels.iter().map(|label| format!("`{label}`")).collect();
        let unit = ["seconds", "bytes", "fuel"]
            .into_iter()
            .find(|unit| row.name.split('_').any(|word| word == *unit));
        let (name, kind, labels) = (row.exposed_name(), row.kind.as_str(), labels.join(", "));
        writeln!(table, "| `{name}` | {kind} | {labels} | {} | {} |", unit.unwrap_or(""), row.help).unwrap();
    }
    table.push_str("\nValues of labels that are known beforehand:\n\n");
    let labels = [
        ("`status` of `dseq_checks_total` and `dseq_transactions_total`", Status::VALUES),
        ("`reason`", Reason::VALUES),
        ("`method` of `dseq_abci_request_duration_seconds`", Method::VALUES),
        ("`method` of `dseq_transaction_duration_seconds`", Stage::VALUES),
        ("`step`", CommitStep::VALUES),
        ("`vote`", Vote::VALUES),
        ("`kind`", Misbehaviour::VALUES),
        ("`verdict`", Verdict::VALUES),
    ];
    for (label, values) in labels {
        writeln!(table, "- {label}: {}", values.join(", ")).unwrap();
    }
    let expected = format!("{before}{start}{table}{end}{after}");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&page, &expected).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&page).unwrap(), expected, "run the test with UPDATE=1");
}
