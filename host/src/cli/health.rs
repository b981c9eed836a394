//! `dseq health`: is a node well?

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::ArgMatches;
use serde::Serialize;

use super::duration::duration;
use super::{EXIT_FAILED, say};
use crate::api::health::{Check, State};
use crate::node::address;
use crate::node::config::HOME_ENV;
use crate::node::health::ask::{self, Found};
use crate::node::home::NodeHome;

pub(super) const EXAMPLES: &str = "Examples:
  dseq health --home node
  dseq health --url 127.0.0.1:6900 127.0.0.1:6901 --wait 30s";

/// Where a node is asked when neither a home nor a URL is given.
const DEFAULT_URL: &str = "http://127.0.0.1:6900";
/// How often a node is asked again while it is waited for.
const POLL: Duration = Duration::from_millis(250);

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The node's home; its HTTP address is taken from its settings
    #[arg(long, value_name = "DIR", env = HOME_ENV)]
    home: Option<PathBuf>,
    /// HTTP of one or more nodes instead [default without a home: http://127.0.0.1:6900]
    #[arg(long = "url", value_name = "URL", num_args = 1..)]
    urls: Vec<String>,
    /// Wait until all are well, for this long at most, e.g. 30s or 2m
    #[arg(long, value_name = "TIME", value_parser = duration)]
    wait: Option<Duration>,
    /// Ignore warnings, as /readyz does: can the node serve?
    #[arg(long)]
    ready: bool,
    /// A check that does not count; may be given several times
    #[arg(long, value_name = "CHECK")]
    exclude: Vec<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    http: super::settings::HttpArg,
}

/// One node's health, as `--json` prints it.
#[derive(Serialize)]
struct Node {
    node: String,
    healthy: bool,
    #[serde(flatten)]
    found: Found,
}

pub(super) fn run(args: &Args, matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    let subjects = subjects(args, matches)?;
    let began = Instant::now();
    let nodes = loop {
        let nodes: Vec<Node> = subjects.iter().map(|subject| subject.look(args)).collect();
        let healthy = nodes.iter().all(|node| node.healthy);
        if healthy || args.wait.is_none_or(|wait| began.elapsed() >= wait) {
            break nodes;
        }
        std::thread::sleep(POLL);
    };
    say(if args.json {
        serde_json::to_string_pretty(&nodes)?
    } else {
        nodes.iter().map(|node| described(node, args)).collect::<Vec<_>>().join("\n")
    })?;
    let healthy = nodes.iter().all(|node| node.healthy);
    Ok(if healthy { ExitCode::SUCCESS } else { ExitCode::from(EXIT_FAILED) })
}

/// Whom to ask.
enum Subject {
    Home(NodeHome, Option<String>),
    Url(String),
}

fn subjects(args: &Args, matches: &ArgMatches) -> anyhow::Result<Vec<Subject>> {
    if !args.urls.is_empty() {
        return Ok(args.urls.iter().map(|url| Subject::Url(with_scheme(url))).collect());
    }
    match &args.home {
        Some(home) => Ok(vec![of_home(home, matches)?]),
        None => Ok(vec![Subject::Url(DEFAULT_URL.to_owned())]),
    }
}

/// A home's HTTP is where its settings say; `--http` here stands for one that `dseq start` was given.
fn of_home(home: &Path, matches: &ArgMatches) -> anyhow::Result<Subject> {
    let home = NodeHome::open(home)?;
    let settings = super::settings::load(Some(&home), matches)?;
    Ok(Subject::Home(home, settings.http.value.map(address::url)))
}

/// `host:port` is taken as a URL too.
fn with_scheme(url: &str) -> String {
    if url.contains("://") { url.to_owned() } else { format!("http://{url}") }
}

impl Subject {
    fn look(&self, args: &Args) -> Node {
        let (node, found) = match self {
            Self::Home(home, url) => (home.root().display().to_string(), ask::home(home, url.as_deref())),
            Self::Url(url) => (url.clone(), ask::at(url)),
        };
        let healthy = !found.report.checks.iter().any(|check| counts(check, args));
        Node { node, healthy, found }
    }
}

/// Whether a check makes the node unhealthy.
fn counts(check: &Check, args: &Args) -> bool {
    let least = if args.ready { State::Failed } else { State::Warning };
    check.state >= least && !args.exclude.iter().any(|name| *name == check.name)
}

fn described(node: &Node, args: &Args) -> String {
    let word = match (node.healthy, args.ready) {
        (true, false) => "healthy",
        (true, true) => "ready",
        (false, false) => "unhealthy",
        (false, true) => "not ready",
    };
    let mut text = format!("{}: {word}", node.node);
    for check in node.found.report.checks.iter().filter(|check| check.state != State::Ok) {
        let state = match check.state {
            State::Ok => "ok",
            State::Unknown => "unknown",
            State::Warning => "warning",
            State::Failed => "failed",
        };
        let reason = check.reason.as_deref().unwrap_or("it does not say why");
        text.push_str(&format!("\n  {state:<7}  {}: {reason}", check.name));
    }
    if let Some(restarted) = &node.found.restarted {
        text.push_str(&format!("\n  {restarted}"));
    }
    text
}
