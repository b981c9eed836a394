//! `dseq doctor`: what is wrong with a node, and what to do about it.

use std::process::ExitCode;

use clap::ArgMatches;
use serde_json::json;

use super::{EXIT_FAILED, HomeArg, say};
use crate::api::health::State;
use crate::node::doctor::{self, Finding};

pub(super) const EXAMPLES: &str = "Examples:
  dseq doctor --home node
  dseq doctor --home node --json";

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    home: HomeArg,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: super::settings::NodeArgs,
}

pub(super) fn run(args: &Args, matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    let found = doctor::examine(&args.home.home, &super::settings::given(matches))?;
    let count = |state| found.iter().filter(|one| one.state == state).count();
    let failed = count(State::Failed);
    if args.json {
        say(serde_json::to_string_pretty(&json!({ "healthy": failed == 0, "findings": found }))?)?;
    } else {
        let lines: Vec<String> = found.iter().map(line).collect();
        say(format!(
            "{}\n\n{}",
            lines.join("\n"),
            summary(failed, count(State::Warning), count(State::Unknown))
        ))?;
    }
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::from(EXIT_FAILED) })
}

fn line(finding: &Finding) -> String {
    let state = match finding.state {
        State::Ok => "ok",
        State::Unknown => "unknown",
        State::Warning => "warning",
        State::Failed => "FAILED",
    };
    let head = format!("{state:<7}  {:<15}  {}", finding.check, finding.found);
    match &finding.remedy {
        Some(remedy) => format!("{head}\n{:<26}to do: {remedy}", ""),
        None => head,
    }
}

fn summary(failed: usize, warnings: usize, unknown: usize) -> String {
    let count =
        |number: usize, one: &str, many: &str| format!("{number} {}", if number == 1 { one } else { many });
    let mut said = match (failed, warnings) {
        (0, 0) => "Nothing that was looked at is wrong".to_owned(),
        (0, _) => format!("Nothing has failed; {}", count(warnings, "warning", "warnings")),
        (_, 0) => count(failed, "check failed", "checks failed"),
        _ => format!(
            "{}; {}",
            count(failed, "check failed", "checks failed"),
            count(warnings, "warning", "warnings")
        ),
    };
    if unknown > 0 {
        said.push_str(&format!("; {} be made from here", count(unknown, "check cannot", "checks cannot")));
    }
    said + "."
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_counted() {
        assert_eq!(summary(0, 0, 0), "Nothing that was looked at is wrong.");
        assert_eq!(summary(0, 1, 1), "Nothing has failed; 1 warning; 1 check cannot be made from here.");
        assert_eq!(summary(2, 0, 0), "2 checks failed.");
        assert_eq!(summary(1, 2, 3), "1 check failed; 2 warnings; 3 checks cannot be made from here.");
    }
}
