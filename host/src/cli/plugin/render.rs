//! Runs one transaction through a pipeline and renders its outcome and steps as text and as JSON.

use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::{Value, json};

use super::{shown, table};
use crate::app::{Refusal, refuse_by_size};
use crate::plugin::{Fatal, Outcome, Pipeline, PluginName, PluginSpec, Step, Verdict};
use crate::printable;

/// A transaction run through a pipeline, without the memo.
pub(super) struct Trace<'a> {
    plugins: &'a [PluginSpec],
    pub(super) outcome: Result<Outcome, Refusal>,
    /// One for each plugin that ran, in the order of `plugins`.
    steps: Vec<Step>,
    pub(super) took: Duration,
}

/// Runs one transaction on the calling thread, whose stack must be large enough for plugins: see `on_large_stack`.
pub(super) fn trace<'a>(pipeline: &'a Pipeline, tx: &Bytes) -> Result<Trace<'a>, Fatal> {
    let plugins = &pipeline.spec().plugins[..];
    if let Some(refusal) = refuse_by_size(pipeline, tx) {
        return Ok(Trace { plugins, outcome: Err(refusal), steps: Vec::new(), took: Duration::ZERO });
    }
    let started = Instant::now();
    let (outcome, steps) = pipeline.trace(tx)?;
    Ok(Trace { plugins, outcome: Ok(outcome), steps, took: started.elapsed() })
}

/// The outcome in one word, as in `--json` and in counts.
pub(super) fn word(outcome: &Result<Outcome, Refusal>) -> &'static str {
    match outcome.as_ref().map(Outcome::verdict) {
        Ok(Verdict::Unchanged | Verdict::Replaced(_)) => "accepted",
        Ok(Verdict::Rejected { .. }) => "rejected",
        Ok(Verdict::Faulted { .. }) => "faulted",
        Err(_) => "refused",
    }
}

/// Whether the plugin or the input is broken. A rejection is not a failure: the plugin did its job.
pub(super) fn is_failure(outcome: &Result<Outcome, Refusal>) -> bool {
    matches!(word(outcome), "faulted" | "refused")
}

/// The outcome in one line; `names` says whether to name the plugin.
pub(super) fn line(outcome: &Result<Outcome, Refusal>, names: bool) -> String {
    let by = |plugin: &PluginName| if names { format!("by {plugin}, ") } else { String::new() };
    let what = match outcome.as_ref().map(Outcome::decisive) {
        Ok(None | Some((_, Verdict::Unchanged))) => "unchanged".to_owned(),
        Ok(Some((_, Verdict::Replaced(record)))) => as_record(record),
        Ok(Some((plugin, Verdict::Rejected { code, message }))) => {
            format!("{}code {code}: {}", by(plugin), printable::line(message))
        }
        Ok(Some((plugin, Verdict::Faulted { fault, message }))) => {
            format!("{}code {}: {}", by(plugin), fault.code(), fault.with(message))
        }
        Err(refusal) => refusal.message.clone(),
    };
    format!("{:<9}  {what}", word(outcome))
}

/// The beginning of a record, and its length.
pub(super) fn as_record(record: &[u8]) -> String {
    format!("as {} bytes: {}", record.len(), shown(record))
}

/// The outcome of the transaction `tx` for programs.
pub(super) fn json(outcome: &Result<Outcome, Refusal>, tx: &[u8]) -> Value {
    let verdict = word(outcome);
    let accepted =
        |record| json!({ "verdict": verdict, "record_hex": data_encoding::HEXLOWER.encode(record) });
    match outcome.as_ref().map(Outcome::decisive) {
        Ok(None | Some((_, Verdict::Unchanged))) => accepted(tx),
        Ok(Some((_, Verdict::Replaced(record)))) => accepted(record),
        Ok(Some((plugin, Verdict::Rejected { code, message }))) => {
            json!({ "verdict": verdict, "plugin": plugin.as_str(), "code": code, "message": message })
        }
        Ok(Some((plugin, Verdict::Faulted { fault, message }))) => json!({
            "verdict": verdict,
            "plugin": plugin.as_str(),
            "code": fault.code(),
            "fault": fault.to_string(),
            "message": message,
        }),
        Err(refusal) => json!({ "verdict": verdict, "message": refusal.message }),
    }
}

impl Trace<'_> {
    /// The fuel of every plugin that ran.
    pub(super) fn fuel(&self) -> u64 {
        self.outcome.as_ref().map_or(0, |outcome| outcome.fuel.0)
    }

    /// The largest memory of a plugin that ran.
    fn memory_bytes(&self) -> u64 {
        self.steps.iter().map(|step| step.memory_bytes).max().unwrap_or_default()
    }

    /// With several plugins, the one that rejects has to be named.
    fn names(&self) -> bool {
        self.plugins.len() > 1
    }

    /// The outcome in one line.
    pub(super) fn line(&self) -> String {
        line(&self.outcome, self.names())
    }

    /// Everything, on several lines.
    pub(super) fn text(&self) -> String {
        let us = self.took.as_secs_f64() * 1e6;
        let mut text = format!(
            "{}\nfuel       {}\nmemory     {} bytes\ntime       {us:.1} us (first call)",
            self.line(),
            self.fuel(),
            self.memory_bytes()
        );
        if self.names() {
            let mut rows = vec![["plugin", "verdict", "fuel", "memory"].map(str::to_owned).to_vec()];
            rows.extend(self.plugins.iter().zip(&self.steps).map(|(plugin, step)| {
                let verdict = match &step.verdict {
                    Verdict::Unchanged => "unchanged".to_owned(),
                    Verdict::Replaced(record) => format!("replaced by {} bytes", record.len()),
                    Verdict::Rejected { .. } => "rejected".to_owned(),
                    Verdict::Faulted { .. } => "faulted".to_owned(),
                };
                vec![plugin.name.to_string(), verdict, step.fuel.0.to_string(), step.memory_bytes.to_string()]
            }));
            text.push_str(&format!("\n\n{}", table(&rows)));
        }
        text
    }

    /// Everything about the transaction `tx`, for programs.
    pub(super) fn json(&self, tx: &Bytes) -> Value {
        let mut report = json(&self.outcome, tx);
        report["fuel"] = self.fuel().into();
        report["memory_bytes"] = self.memory_bytes().into();
        report["microseconds"] = u64::try_from(self.took.as_micros()).unwrap_or(u64::MAX).into();
        let steps = self.plugins.iter().zip(&self.steps).map(|(plugin, step)| {
            json!({ "plugin": plugin.name.as_str(), "fuel": step.fuel.0, "memory_bytes": step.memory_bytes })
        });
        report["steps"] = steps.collect();
        report
    }
}
