//! Asks a node how it is: its HTTP, and if nobody answers there, its home.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::look;
use crate::api::health::{Check, Report, State};
use crate::excerpt::words;
use crate::node::address;
use crate::node::config::{Given, Settings};
use crate::node::home::NodeHome;
use crate::node::home::access;
use crate::node::process::running::Running;

/// How long a node may take to answer; it only reads out its last report.
const PATIENCE: Duration = Duration::from_secs(3);
/// Maximum size of an answer, in bytes.
const ANSWER_BYTES_MAX: u64 = 1 << 20;
/// A restart is mentioned for this long.
const RESTART_IS_RECENT: Duration = Duration::from_secs(600);

/// The name of the check that a node answers at all.
pub const RUNS: &str = "runs";

/// How a node is, as far as it could be found out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Found {
    /// Its checks. If it does not answer, there is one, [`RUNS`], which says why.
    #[serde(flatten)]
    pub report: Report,
    /// Its last restart, if that was not long ago.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restarted: Option<String>,
}

/// Asks the node at a URL, e.g. `http://127.0.0.1:6900`.
#[must_use]
pub fn at(url: &str) -> Found {
    Found { report: get(url).unwrap_or_else(does_not_run), restarted: None }
}

/// Asks the node of a home where its settings say that it answers.
#[must_use]
pub fn running(node: &NodeHome) -> Found {
    let (settings, _) = Settings::gather(Some(node), &Given::new());
    home(node, settings.http.value.map(address::url).as_deref())
}

/// Asks the node of a home, whose HTTP is at this URL; `None`: it serves none.
#[must_use]
pub fn home(home: &NodeHome, url: Option<&str>) -> Found {
    if let Err(denied) = access::check(&Running::file(home)) {
        return Found { report: does_not_run(denied.to_string()), restarted: None };
    }
    let running = Running::read(home).filter(|running| running.supervisor.is_alive());
    let asked = url.map_or_else(|| Err("it serves no HTTP: set `http` in its dseq.toml".to_owned()), get);
    // `dseq serve` alone has no record: then only its HTTP tells.
    let Some(running) = running else {
        let report = asked.unwrap_or_else(|why| does_not_run(format!("the node does not run ({why})")));
        return Found { report, restarted: None };
    };
    let recent = running.restart.as_ref().filter(|restart| restart.age() < RESTART_IS_RECENT);
    let restarted = recent.map(|restart| {
        let times = if restart.failures > 1 {
            format!(", {} times in a row", restart.failures)
        } else {
            String::new()
        };
        format!("restarted {} s ago{times}: {}", restart.age().as_secs(), restart.why)
    });
    let report = asked.unwrap_or_else(|why| does_not_run(unanswered(&running, why)));
    Found { report, restarted }
}

/// Why a node that has a supervisor does not answer.
fn unanswered(running: &Running, why: String) -> String {
    match (running.app, &running.restart) {
        (None, Some(restart)) => format!("the node restarts: {}", restart.why),
        (None, None) => "the node starts".to_owned(),
        (Some(app), _) if app.is_stopped() => look::stopped("the app", app).unwrap_or(why),
        (Some(_), Some(restart)) if running.cometbft.is_none() => {
            format!("the node starts again, after: {}", restart.why)
        }
        (Some(_), _) if running.cometbft.is_none() => "the node starts".to_owned(),
        (Some(_), _) => format!("the node runs and does not answer: {why}"),
    }
}

fn does_not_run(why: String) -> Report {
    Report { checks: vec![Check::new(RUNS, State::Failed, Some(why))] }
}

/// What `/health` answers.
#[derive(Deserialize)]
struct Answer {
    checks: Vec<Check>,
}

fn get(url: &str) -> Result<Report, String> {
    let config = ureq::Agent::config_builder()
        .timeout_global(Some(PATIENCE))
        .http_status_as_error(false)
        .max_redirects(0)
        .build();
    let url = format!("{}/health", url.trim_end_matches('/'));
    let no_answer = |err: ureq::Error| format!("no answer from {url}: {err}");
    let mut response = ureq::Agent::from(config).get(&url).call().map_err(no_answer)?;
    let body = response.body_mut().with_config().limit(ANSWER_BYTES_MAX);
    let text = body.read_to_string().map_err(no_answer)?;
    let answer: Result<Answer, _> = serde_json::from_str(&text);
    match answer {
        Ok(answer) if !answer.checks.is_empty() => Ok(Report { checks: answer.checks }),
        _ => Err(format!("{url} answered {}, which is no report of dseq's", words(&text.trim()))),
    }
}
