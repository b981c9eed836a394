//! How a node is, over HTTP: for probes (`/livez`, `/readyz`) and for people and monitoring (`/health`, `/ready`).
//!
//! | route | answers |
//! |---|---|
//! | `/livez` | 200 as long as this process answers; no check is asked |
//! | `/readyz` | 200 `ok`, or 503 with a line for each check, in the form of Kubernetes: `?verbose`, `?exclude=NAME` |
//! | `/readyz/NAME` | the same for one check |
//! | `/ready` | the same as `/readyz` as JSON |
//! | `/health` | JSON; 503 also for what this node can serve with all the same |
//!
//! # Invariants
//!
//! A request reads the newest report and never causes a check: whoever floods these routes costs the node nothing else.
//! A report that is not replaced any more is not believed: it then fails the check `checks`.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::rejection::PathRejection;
use axum::extract::{FromRef, Path, Query, State as Of};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::{Deserialize, Serialize};

use super::json::Json;
use super::problem::{NO_SUCH_CHECK, Problem};
use super::{Listed, schemas};
use crate::printable;

/// The check of the checks: it fails when they do not run.
pub const CHECKS: &str = "checks";
/// The checks run every second, and the slowest wait some seconds for an answer. A report this old is not believed.
const STALE_AFTER: Duration = Duration::from_secs(15);

/// What a check found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// All is well.
    Ok,
    /// It cannot be checked from here, which is no failure.
    Unknown,
    /// Something is wrong that somebody must look at, and this node serves all the same.
    Warning,
    /// This node should get no requests.
    Failed,
}

/// One check's result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// Its name.
    pub name: Cow<'static, str>,
    /// What it found.
    pub state: State,
    /// Why, unless all is well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The results of all checks, in the order in which they are shown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// One for each check.
    pub checks: Vec<Check>,
}

impl Check {
    /// A check that found this.
    #[must_use]
    pub fn new(name: &'static str, state: State, reason: Option<String>) -> Self {
        Self { name: Cow::Borrowed(name), state, reason }
    }

    /// As a line of Kubernetes' form, which has no word for two of the states.
    fn line(&self) -> String {
        let (mark, word) = match self.state {
            State::Ok => ('+', "ok"),
            State::Unknown => ('?', "unknown"),
            State::Warning => ('!', "warning"),
            State::Failed => ('-', "failed"),
        };
        let reason = self.reason.as_ref().map_or_else(String::new, |reason| format!(": {reason}"));
        format!("[{mark}]{} {word}{}", self.name, printable::line(&reason))
    }
}

impl Report {
    /// Whether this node can serve.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.worst() < State::Failed
    }

    /// Whether nobody needs to look.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.worst() < State::Warning
    }

    fn worst(&self) -> State {
        self.checks.iter().map(|check| check.state).max().unwrap_or(State::Ok)
    }
}

/// The newest report, shared by the checker, which replaces it, and everybody who asks.
#[derive(Clone, Debug)]
pub struct Health(Arc<Mutex<Latest>>);

#[derive(Debug)]
struct Latest {
    report: Arc<Report>,
    /// When it was made; `None`: no check has run yet.
    made: Option<Instant>,
}

impl Default for Health {
    /// Before the first report: not ready.
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Latest { report: Arc::default(), made: None })))
    }
}

impl Health {
    /// Puts a new report in place of the last one.
    pub fn replace(&self, report: Report) {
        *self.latest() = Latest { report: Arc::new(report), made: Some(Instant::now()) };
    }

    /// The newest report, with the check that the checks run.
    #[must_use]
    pub fn report(&self) -> Report {
        self.report_at(Instant::now())
    }

    fn report_at(&self, now: Instant) -> Report {
        let (report, made) = {
            let latest = self.latest();
            (Arc::clone(&latest.report), latest.made)
        };
        let age = made.map(|made| now.saturating_duration_since(made));
        let failure = match age {
            None => Some("the node is starting: no check has run yet".to_owned()),
            Some(age) if age >= STALE_AFTER => {
                Some(format!("no check has run for {} s, and they run every second", age.as_secs()))
            }
            Some(_) => None,
        };
        let state = if failure.is_some() { State::Failed } else { State::Ok };
        let mut checks = vec![Check::new(CHECKS, state, failure)];
        checks.extend(report.checks.iter().cloned());
        Report { checks }
    }

    fn latest(&self) -> MutexGuard<'_, Latest> {
        // It is only ever replaced as a whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FromRef<Arc<super::State>> for Health {
    fn from_ref(state: &Arc<super::State>) -> Self {
        state.health.clone()
    }
}

pub(super) const LISTED: &[Listed] = &[
    Listed { method: "GET", path: "/livez", what: "Whether the process answers" },
    Listed { method: "GET", path: "/readyz", what: "Whether the node can serve; ?verbose, ?exclude=CHECK" },
    Listed { method: "GET", path: "/readyz/{check}", what: "The same for one check" },
    Listed { method: "GET", path: "/ready", what: "As /readyz, as JSON" },
    Listed { method: "GET", path: "/health", what: "Whether anything is wrong, as JSON" },
];

/// The routes of this file.
pub(super) fn routes<S>() -> Router<S>
where
    S: Clone + Send + Sync + 'static,
    Health: FromRef<S>,
{
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/readyz/{check}", get(readyz_of))
        .route("/ready", get(ready))
        .route("/health", get(health))
}

/// What follows the `?`, as it was given.
type Pairs = Vec<(String, String)>;

#[utoipa::path(get, path = "/livez", responses((status = 200, description = "It does", body = String, content_type = "text/plain")), params(
    ("verbose" = Option<bool>, Query, description = "Show a line even if all is well"),
))]
pub(super) async fn livez(Query(query): Query<Pairs>) -> Response {
    let verbose = "[+]ping ok\nlivez check passed\n";
    text(StatusCode::OK, if is_verbose(&query) { verbose } else { "ok" }.to_owned())
}

#[utoipa::path(get, path = "/readyz", responses(
    (status = 200, description = "`ok`", body = String, content_type = "text/plain"),
    (status = 503, description = "A line for each check", body = String, content_type = "text/plain"),
), params(
    ("verbose" = Option<bool>, Query, description = "Show the lines even if all is well"),
    ("exclude" = Option<Vec<String>>, Query, description = "A check to ignore; may be repeated"),
))]
pub(super) async fn readyz(Of(health): Of<Health>, Query(query): Query<Pairs>) -> Response {
    let excluded: Vec<&str> =
        query.iter().filter(|(key, _)| key == "exclude").map(|(_, name)| name.as_str()).collect();
    let report = health.report();
    let (ready, body) = kubernetes(&report, &excluded);
    let is_quiet = ready && !is_verbose(&query);
    text(status(ready), if is_quiet { "ok".to_owned() } else { body })
}

#[utoipa::path(get, path = "/readyz/{check}", responses(
    (status = 200, description = "`ok`, or a line that says what somebody should look at", body = String, content_type = "text/plain"),
    (status = 404, description = "No check has this name: `no-such-check`", body = schemas::Problem, content_type = "application/problem+json"),
    (status = 503, description = "The line of the check", body = String, content_type = "text/plain"),
), params(("check" = String, Path, description = "Name of the check")))]
pub(super) async fn readyz_of(Of(health): Of<Health>, name: Result<Path<String>, PathRejection>) -> Response {
    // What is not UTF-8 names no check either.
    let name = name.map_or_else(|_| String::new(), |Path(name)| name);
    let report = health.report();
    let Some(check) = report.checks.iter().find(|check| check.name == *name) else {
        let names: Vec<&str> = report.checks.iter().map(|check| &*check.name).collect();
        let name = printable::line(&name);
        let detail = format!("there is no check \"{name}\"; the checks are {}", names.join(", "));
        return Problem::new(&NO_SUCH_CHECK, detail).into_response();
    };
    let ready = check.state < State::Failed;
    text(
        status(ready),
        if check.state == State::Ok { "ok".to_owned() } else { format!("{}\n", check.line()) },
    )
}

/// A report as JSON, under a word that says all.
#[derive(Serialize)]
struct Summary {
    status: &'static str,
    checks: Vec<Check>,
}

#[utoipa::path(get, path = "/ready", responses(
    (status = 200, description = "The node can serve", body = schemas::Health),
    (status = 503, description = "It cannot", body = schemas::Health),
))]
pub(super) async fn ready(Of(health): Of<Health>) -> Response {
    let report = health.report();
    let ready = report.is_ready();
    json(status(ready), if ready { "ready" } else { "not ready" }, report)
}

#[utoipa::path(get, path = "/health", responses(
    (status = 200, description = "Nobody needs to look", body = schemas::Health),
    (status = 503, description = "Somebody has to", body = schemas::Health),
))]
pub(super) async fn health(Of(health): Of<Health>) -> Response {
    let report = health.report();
    let healthy = report.is_healthy();
    json(status(healthy), if healthy { "healthy" } else { "unhealthy" }, report)
}

/// `?verbose`, whatever value it is given.
fn is_verbose(query: &Pairs) -> bool {
    query.iter().any(|(key, _)| key == "verbose")
}

fn status(good: bool) -> StatusCode {
    if good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

/// The lines of Kubernetes' form, and whether all that is not excluded is well enough.
fn kubernetes(report: &Report, excluded: &[&str]) -> (bool, String) {
    let mut body = String::new();
    let mut ready = true;
    for check in &report.checks {
        if excluded.contains(&&*check.name) {
            let _ = writeln!(body, "[+]{} excluded: ok", check.name);
            continue;
        }
        ready &= check.state < State::Failed;
        body.push_str(&check.line());
        body.push('\n');
    }
    let unknown = |name: &&&str| !report.checks.iter().any(|check| check.name == **name);
    let unknown: Vec<String> =
        excluded.iter().filter(unknown).map(|name| format!("\"{}\"", printable::line(name))).collect();
    if !unknown.is_empty() {
        let _ = writeln!(body, "warn: some checks cannot be excluded: no matches for {}", unknown.join(","));
    }
    let _ = writeln!(body, "readyz check {}", if ready { "passed" } else { "failed" });
    (ready, body)
}

fn text(status: StatusCode, body: String) -> Response {
    (status, body).into_response()
}

fn json(code: StatusCode, status: &'static str, report: Report) -> Response {
    let body = Json(Summary { status, checks: report.checks });
    (code, body).into_response()
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::Request;
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use super::*;

    fn health(states: &[(&'static str, State)]) -> Health {
        let check = |(name, state): &(&'static str, State)| {
            Check::new(name, *state, (*state != State::Ok).then(|| format!("because of {name}")))
        };
        let health = Health::default();
        health.replace(Report { checks: states.iter().map(check).collect() });
        health
    }

    fn get(health: &Health, path: &str) -> (u16, String) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let router = routes::<Health>().with_state(health.clone());
            let response = router.oneshot(Request::get(path).body(Body::empty()).unwrap()).await.unwrap();
            let code = response.status().as_u16();
            let body = response.into_body().collect().await.unwrap().to_bytes();
            (code, String::from_utf8(body.to_vec()).unwrap())
        })
    }

    #[test]
    fn a_node_that_is_well_answers_ok_and_shows_each_check_when_asked() {
        let health = health(&[("engine", State::Ok), ("peers", State::Unknown)]);
        for path in ["/livez", "/readyz", "/readyz?exclude=peers", "/readyz/engine"] {
            assert_eq!(get(&health, path), (200, "ok".to_owned()), "{path}");
        }
        assert_eq!(get(&health, "/livez?verbose").1, "[+]ping ok\nlivez check passed\n");
        let lines = "[+]checks ok\n[+]engine ok\n[?]peers unknown: because of peers\nreadyz check passed\n";
        for path in ["/readyz?verbose", "/readyz?verbose=1"] {
            assert_eq!(get(&health, path), (200, lines.to_owned()), "{path}");
        }
        let json = r#"{"status":"healthy","checks":[{"name":"checks","state":"ok"},{"name":"engine","state":"ok"},{"name":"peers","state":"unknown","reason":"because of peers"}]}"#;
        let json = format!("{json}\n");
        assert_eq!(get(&health, "/health"), (200, json.clone()));
        assert_eq!(get(&health, "/ready"), (200, json.replace("healthy", "ready")));
    }

    #[test]
    fn a_failed_check_makes_the_node_not_ready_and_says_why_without_being_asked() {
        let health = health(&[("engine", State::Failed), ("disk", State::Warning)]);
        let lines = "[+]checks ok\n[-]engine failed: because of engine\n[!]disk warning: because of disk\nreadyz check failed\n";
        assert_eq!(get(&health, "/readyz"), (503, lines.to_owned()));
        assert_eq!(get(&health, "/readyz/engine"), (503, "[-]engine failed: because of engine\n".to_owned()));
        assert_eq!(get(&health, "/readyz/disk"), (200, "[!]disk warning: because of disk\n".to_owned()));
        assert_eq!(get(&health, "/livez").0, 200);
        let (code, body) = get(&health, "/ready");
        assert!(code == 503 && body.starts_with(r#"{"status":"not ready","#), "{body}");
    }

    #[test]
    fn a_warning_is_unhealthy_and_still_ready() {
        let health = health(&[("agreement", State::Warning)]);
        assert_eq!(get(&health, "/readyz"), (200, "ok".to_owned()));
        assert_eq!(get(&health, "/ready").0, 200);
        let (code, body) = get(&health, "/health");
        assert!(code == 503 && body.starts_with(r#"{"status":"unhealthy","#), "{body}");
    }

    #[test]
    fn an_excluded_check_does_not_count_and_an_unknown_name_is_said() {
        let health = health(&[("engine", State::Failed), ("disk", State::Failed)]);
        assert_eq!(get(&health, "/readyz?exclude=engine").0, 503);
        let (code, body) = get(&health, "/readyz?verbose&exclude=engine&exclude=disk&exclude=%1B%5B31m");
        let lines = "[+]checks ok\n[+]engine excluded: ok\n[+]disk excluded: ok\n\
                     warn: some checks cannot be excluded: no matches for \"\\u001b[31m\"\nreadyz check passed\n";
        assert_eq!((code, body.as_str()), (200, lines));
        let (code, body) = get(&health, "/readyz/peer");
        let detail = r#"there is no check \"peer\"; the checks are checks, engine, disk"#;
        assert!(code == 404 && body.contains(detail), "{body}");
    }

    #[test]
    fn before_the_first_report_and_when_reports_stop_the_node_is_not_ready() {
        let starting = Health::default();
        let (code, body) = get(&starting, "/readyz");
        assert!(code == 503 && body.starts_with("[-]checks failed: the node is starting"), "{body}");
        let health = health(&[("engine", State::Ok)]);
        let later = |seconds: u64| health.report_at(Instant::now() + Duration::from_secs(seconds));
        assert!(later(5).is_healthy());
        let stale = later(20);
        assert!(!stale.is_ready());
        let reason = stale.checks[0].reason.as_deref().unwrap();
        assert!(reason.starts_with("no check has run for "), "{reason}");
    }

    #[test]
    fn a_reason_stays_on_its_line() {
        let health = Health::default();
        let reason = Some("two\nlines\u{1b}[31m".to_owned());
        health.replace(Report { checks: vec![Check::new("engine", State::Failed, reason)] });
        let (_, body) = get(&health, "/readyz");
        assert_eq!(body.lines().count(), 3, "{body:?}");
        assert!(!body.contains('\u{1b}'), "{body:?}");
    }
}
