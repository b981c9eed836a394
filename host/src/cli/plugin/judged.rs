//! What became of one transaction, for people and for programs.

use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::{Value, json};

use super::{shown, table};
use crate::plugin::{Fatal, Fault, Pipeline, PluginName, Ruling, Step};
use crate::printable;

/// One transaction, judged without anything remembered of an earlier one.
pub(super) struct Judged {
    pub(super) end: End,
    /// What each plugin that ran did.
    pub(super) steps: Vec<Step>,
    /// Whether there is more than one plugin, so that they have to be named.
    several: bool,
    pub(super) took: Duration,
}

/// How it ended for the transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It is the record.
    Unchanged,
    /// The record is this.
    Replaced(Bytes),
    /// A plugin rejected it.
    Rejected { plugin: PluginName, code: u16, message: String },
    /// A plugin broke its contract over it; `message` is what the plugin says about its panic.
    Faulted { plugin: PluginName, fault: Fault, message: String },
    /// No plugin was asked: no network takes a transaction of this length.
    Refused { bytes: u64, max: u64 },
}

/// Judges one transaction on the calling thread, which needs the stack that plugins need.
pub(super) fn judge(pipeline: &Pipeline, tx: &Bytes) -> Result<Judged, Fatal> {
    let (bytes, max) = (tx.len() as u64, pipeline.limits().tx_bytes_max);
    let several = pipeline.spec().plugins.len() > 1;
    if bytes == 0 || bytes > max {
        let (end, steps) = (End::Refused { bytes, max }, Vec::new());
        return Ok(Judged { end, steps, several, took: Duration::ZERO });
    }
    let started = Instant::now();
    let steps = pipeline.steps(tx)?;
    let took = started.elapsed();
    let mut end = End::Unchanged;
    for Step { plugin, ruling, .. } in &steps {
        match ruling.clone() {
            Ruling::Unchanged => {}
            Ruling::Replaced(record) => end = End::Replaced(record),
            Ruling::Rejected { code, message } => {
                end = End::Rejected { plugin: plugin.clone(), code, message };
            }
            Ruling::Faulted { fault, message } => {
                end = End::Faulted { plugin: plugin.clone(), fault, message };
            }
        }
    }
    Ok(Judged { end, steps, several, took })
}

impl End {
    /// The word for it, as `--json` says it and counts go by.
    pub(super) fn verdict(&self) -> &'static str {
        match self {
            Self::Unchanged | Self::Replaced(_) => "accepted",
            Self::Rejected { .. } => "rejected",
            Self::Faulted { .. } => "faulted",
            Self::Refused { .. } => "refused",
        }
    }

    /// Whether that is no plugin at work, but something to be mended: the plugin or the input.
    pub(super) fn is_failure(&self) -> bool {
        matches!(self, Self::Faulted { .. } | Self::Refused { .. })
    }

    /// The verdict in one line; `names` says whether the plugin has to be named.
    pub(super) fn line(&self, names: bool) -> String {
        let by = |plugin: &PluginName| if names { format!("by {plugin}, ") } else { String::new() };
        let what = match self {
            Self::Unchanged => "unchanged".to_owned(),
            Self::Replaced(record) => format!("as {} bytes: {}", record.len(), shown(record)),
            Self::Rejected { plugin, code, message } => {
                format!("{}code {code}: {}", by(plugin), printable::line(message))
            }
            Self::Faulted { plugin, fault, message } => {
                format!("{}code {}: {}", by(plugin), fault.code(), fault.told(message))
            }
            Self::Refused { bytes, max } => refusal(*bytes, *max),
        };
        format!("{:<9}  {what}", self.verdict())
    }

    /// The verdict for programs; `tx` is the transaction it is about.
    pub(super) fn json(&self, tx: &[u8]) -> Value {
        let verdict = self.verdict();
        let accepted =
            |record| json!({ "verdict": verdict, "record_hex": data_encoding::HEXLOWER.encode(record) });
        match self {
            Self::Unchanged => accepted(tx),
            Self::Replaced(record) => accepted(record),
            Self::Rejected { plugin, code, message } => {
                json!({ "verdict": verdict, "plugin": plugin.as_str(), "code": code, "message": message })
            }
            Self::Faulted { plugin, fault, message } => json!({
                "verdict": verdict,
                "plugin": plugin.as_str(),
                "code": fault.code(),
                "fault": fault.to_string(),
                "message": message,
            }),
            Self::Refused { bytes, max } => json!({ "verdict": verdict, "message": refusal(*bytes, *max) }),
        }
    }
}

fn refusal(bytes: u64, max: u64) -> String {
    format!("the transaction has {bytes} bytes; a network takes 1 to {max}")
}

impl Judged {
    /// The fuel of every plugin that ran.
    pub(super) fn fuel(&self) -> u64 {
        self.steps.iter().fold(0, |sum, step| sum.saturating_add(step.fuel.0))
    }

    /// The largest memory of a plugin that ran.
    pub(super) fn memory_bytes(&self) -> u64 {
        self.steps.iter().map(|step| step.memory_bytes).max().unwrap_or_default()
    }

    /// The verdict in one line.
    pub(super) fn line(&self) -> String {
        self.end.line(self.several)
    }

    /// All there is to say, on several lines.
    pub(super) fn text(&self) -> String {
        let us = self.took.as_secs_f64() * 1e6;
        let mut text = format!(
            "{}\nfuel       {}\nmemory     {} bytes\ntime       {us:.1} us, the first call's",
            self.line(),
            self.fuel(),
            self.memory_bytes()
        );
        if self.several {
            let mut rows = vec![["plugin", "decision", "fuel", "memory"].map(str::to_owned).to_vec()];
            rows.extend(self.steps.iter().map(|step| {
                let decision = match &step.ruling {
                    Ruling::Unchanged => "unchanged".to_owned(),
                    Ruling::Replaced(record) => format!("replaced by {} bytes", record.len()),
                    Ruling::Rejected { .. } => "rejected".to_owned(),
                    Ruling::Faulted { .. } => "faulted".to_owned(),
                };
                let (fuel, memory) = (step.fuel.to_string(), step.memory_bytes.to_string());
                vec![step.plugin.to_string(), decision, fuel, memory]
            }));
            text.push_str(&format!("\n\n{}", table(&rows)));
        }
        text
    }

    /// All there is to say about this transaction, for programs.
    pub(super) fn json(&self, tx: &Bytes) -> Value {
        let mut report = self.end.json(tx);
        report["fuel"] = self.fuel().into();
        report["memory_bytes"] = self.memory_bytes().into();
        report["microseconds"] = u64::try_from(self.took.as_micros()).unwrap_or(u64::MAX).into();
        let step = |step: &Step| json!({ "plugin": step.plugin.as_str(), "fuel": step.fuel.0, "memory_bytes": step.memory_bytes });
        report["steps"] = self.steps.iter().map(step).collect();
        report
    }
}
