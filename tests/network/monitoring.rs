//! The real Prometheus against a network: every query of the dashboard has an answer, no alert fires while all is well,
//! and the right ones do when a node is sick.
//!
//! Run by `make monitor-test`; skips aloud where Prometheus is not installed.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::support::{Testnet, ask, free_base_port, processes, run, until, workspace_file};

const FOLDER: &str = "networks/local/monitoring";

fn is_installed(program: &str) -> bool {
    let tried = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    tried.is_ok_and(|status| status.success())
}

/// A Prometheus with a folder of its own, which ends with the test.
struct Prometheus {
    child: Child,
    port: u16,
}

impl Prometheus {
    /// Runs it with the repository's files, the addresses and intervals changed.
    fn start(dir: &Path, net: &Testnet) -> Self {
        let mut config = fs::read_to_string(workspace_file(&format!("{FOLDER}/prometheus.yml"))).unwrap();
        for (number, node) in net.nodes().iter().enumerate() {
            for (default, port) in [(6900 + number, node.ports.http), (26670 + number, node.ports.metrics)] {
                let (default, ours) = (format!("\"127.0.0.1:{default}\""), format!("\"127.0.0.1:{port}\""));
                assert!(config.contains(&default), "{default} in {config}");
                config = config.replace(&default, &ours);
            }
        }
        let config = config.replace(": 5s", ": 2s").replace(": 4s", ": 2s");
        fs::write(dir.join("prometheus.yml"), config).unwrap();
        let alerts = fs::read_to_string(workspace_file(&format!("{FOLDER}/alerts.yml"))).unwrap();
        let alerts = alerts.replace("for: 1m", "for: 10s").replace("for: 30s", "for: 10s");
        fs::write(dir.join("alerts.yml"), alerts).unwrap();
        let port = free_base_port();
        let log = File::create(dir.join("prometheus.log")).unwrap();
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", dir.join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", dir.join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn();
        Self { child: child.unwrap(), port }
    }

    /// The series that a query finds now; `None` while it does not answer.
    fn query(&self, query: &str) -> Option<Vec<Value>> {
        let encoded: String = query.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let answer = ask(self.port, &format!("api/v1/query?query={encoded}"))?;
        assert_eq!(answer["status"], "success", "{query}: {answer}");
        Some(answer["data"]["result"].as_array().unwrap().clone())
    }

    /// Whether a query finds a number, rather than nothing or the quotient of two zeros.
    fn finds_a_number(&self, query: &str) -> bool {
        let is_number = |series: &Value| series["value"][1].as_str().is_some_and(|value| value != "NaN");
        self.query(query).is_some_and(|found| found.iter().any(is_number))
    }

    /// The alerts that fire, each with its node.
    fn firing(&self) -> BTreeSet<(String, String)> {
        let found = self.query("ALERTS{alertstate=\"firing\"}").unwrap();
        let text = |series: &Value, label: &str| series["metric"][label].as_str().unwrap_or("").to_owned();
        found.iter().map(|series| (text(series, "alertname"), text(series, "node"))).collect()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let _ = self.child.wait();
    }
}

/// Every query of the dashboard, with its panel's title.
fn dashboard() -> Vec<(String, String)> {
    let text = fs::read_to_string(workspace_file(&format!("{FOLDER}/dashboard.json"))).unwrap();
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let mut queries = Vec::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let query = target["expr"].as_str().unwrap().replace("$__rate_interval", "30s");
            queries.push((panel["title"].as_str().unwrap().to_owned(), query));
        }
    }
    assert!(queries.len() > 30, "{}", queries.len());
    queries
}

/// Calls `work` while transactions go to the first three nodes, some dozens a second.
fn under_load<R>(net: &Testnet, work: impl FnOnce() -> R) -> R {
    let stop = AtomicBool::new(false);
    let ports: Vec<u16> = net.nodes()[..3].iter().map(|node| node.ports.rpc).collect();
    std::thread::scope(|scope| {
        for port in ports {
            let stop = &stop;
            scope.spawn(move || {
                for n in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let _ = ask(port, &format!("broadcast_tx_sync?tx=\"{port}-{n}\""));
                    std::thread::sleep(Duration::from_millis(30));
                }
            });
        }
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        stop.store(true, Ordering::Relaxed);
        done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Looks for this long; nothing may fire.
fn nothing_fires(prometheus: &Prometheus, how_long: Duration, when: &str) {
    let started = Instant::now();
    while started.elapsed() < how_long {
        assert_eq!(prometheus.firing(), BTreeSet::new(), "{when}");
        std::thread::sleep(Duration::from_secs(1));
    }
}

#[test]
#[ignore = "needs CometBFT and Prometheus; run by make monitor-test"]
fn no_panel_is_empty_and_the_alerts_of_a_sick_node_fire_and_end() {
    if !is_installed("prometheus") {
        eprintln!("SKIPPED: prometheus cannot be run; on Debian and Ubuntu: apt-get install prometheus");
        return;
    }
    let net = Testnet::new();
    let (code, said) = run(net.start_command().arg("--metrics"));
    assert_eq!(code, 0, "{said}");
    let dir = tempfile::tempdir().unwrap();
    let prometheus = Prometheus::start(dir.path(), &net);
    until("eight targets that are up", || {
        let up = prometheus.query("sum(up)")?;
        (up.first()?["value"][1] == "8").then_some(())
    });
    nothing_fires(&prometheus, Duration::from_secs(30), "an idle network");

    under_load(&net, || {
        for (title, query) in dashboard() {
            until(&format!("answer for the panel {title:?}: {query}"), || {
                prometheus.finds_a_number(&query).then_some(())
            });
        }
        nothing_fires(&prometheus, Duration::from_secs(20), "a network under load");

        // CometBFT of the last node stops without ending; its app goes on.
        let cometbft = processes(&net.nodes()[3].home)[2];
        assert!(cometbft.signal(Signal::STOP).unwrap());
        let expected =
            ["DseqEngineDown", "DseqNodeBehind"].map(|alert| (alert.to_owned(), "node3".to_owned()));
        // It is still connected, and signs nothing: the others may say so.
        let names_it = |alert: &str| alert == "DseqMemberAtFault";
        until("alerts of the node that stands still", || {
            let firing = prometheus.firing();
            let is_expected = |(alert, node): &(String, String)| node == "node3" || names_it(alert);
            assert!(firing.iter().all(is_expected), "{firing:?}");
            expected.iter().all(|alert| firing.contains(alert)).then_some(())
        });
        // It is gone if the supervisor has given it up meanwhile; then another one catches up.
        let _ = cometbft.signal(Signal::CONT);
        until("end of its alerts", || {
            let firing = prometheus.firing();
            let is_over = !firing.iter().any(|(alert, _)| names_it(alert));
            (is_over && expected.iter().all(|alert| !firing.contains(alert))).then_some(())
        });

        // The app of another one is killed, and started again with its supervisor's count.
        assert!(processes(&net.nodes()[2].home)[1].signal(Signal::KILL).unwrap());
        let restarted = ("DseqRestarted".to_owned(), "node2".to_owned());
        until("alert of the node that was restarted", || {
            prometheus.firing().contains(&restarted).then_some(())
        });
    });
    drop(prometheus);
    net.settled();
}
