//! What the plugins of the network do: verdicts, faults, fuel and time.
//!
//! # Limits
//!
//! A pipeline is fixed once a block is committed, and bounded in plugins; their names are the only values of a label that
//! come from genesis.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

use super::cells::{Histogram, Label, SHORT_SECONDS, Sharded};
use super::labels::Verdict;

/// Where fuel is counted: after the verdicts.
const FUEL: usize = Verdict::VALUES.len();

/// One plugin of the pipeline.
#[derive(Debug)]
pub struct Plugin {
    name: String,
    /// Calls by verdict, then fuel: one cache line for each thread.
    counts: Sharded,
    faults: Box<[(String, AtomicU64)]>,
    duration: Histogram,
}

impl Plugin {
    /// A plugin, and the names of the faults it can be counted with.
    #[must_use]
    pub fn new(name: &str, faults: &[String]) -> Self {
        Self {
            name: name.to_owned(),
            counts: Sharded::default(),
            faults: faults.iter().map(|fault| (fault.clone(), AtomicU64::new(0))).collect(),
            duration: Histogram::new(SHORT_SECONDS),
        }
    }

    /// A call ended with this verdict, for this much fuel.
    pub fn called(&self, verdict: Verdict, fuel: u64) {
        self.counts.add(verdict.index(), 1);
        self.counts.add(FUEL, fuel);
    }

    /// It ended with the fault at this place among those the plugin was made with.
    pub fn faulted(&self, fault: usize) {
        if let Some((_, count)) = self.faults.get(fault) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// It took this long.
    pub fn timed(&self, duration: Duration) {
        self.duration.observe(duration);
    }
}

/// The plugins of the pipeline in force.
#[derive(Debug, Default)]
pub(super) struct Plugins(RwLock<Arc<[Arc<Plugin>]>>);

impl Plugins {
    pub(super) fn replace(&self, plugins: Arc<[Arc<Plugin>]>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = plugins;
    }

    pub(super) fn each(&self) -> Arc<[Arc<Plugin>]> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A metric of each plugin.
pub(super) struct Of<'a> {
    pub(super) plugins: &'a [Arc<Plugin>],
    pub(super) what: What,
}

#[derive(Clone, Copy)]
pub(super) enum What {
    Calls,
    Faults,
    Fuel,
    Duration,
}

impl EncodeMetric for Of<'_> {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), std::fmt::Error> {
        for plugin in self.plugins {
            let name = ("plugin", plugin.name.as_str());
            let mut count = |labels: &[(&str, &str)], count: u64| {
                encoder.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&count, None)
            };
            match self.what {
                What::Calls => {
                    for (index, verdict) in Verdict::VALUES.iter().enumerate() {
                        count(&[name, (Verdict::NAME, verdict)], plugin.counts.sum(index))?;
                    }
                }
                What::Faults => {
                    for (fault, faults) in &plugin.faults {
                        count(&[name, ("fault", fault)], faults.load(Ordering::Relaxed))?;
                    }
                }
                What::Fuel => count(&[name], plugin.counts.sum(FUEL))?,
                What::Duration => plugin.duration.encode_into(&mut encoder.encode_family(&[name])?)?,
            }
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        match self.what {
            What::Calls | What::Faults | What::Fuel => MetricType::Counter,
            What::Duration => MetricType::Histogram,
        }
    }
}
