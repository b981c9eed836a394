//! The network's plugins in order, and what they make of a transaction.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use tracing::field::Empty;

use super::admit::{self, AdmitError, compile};
use super::engine;
use super::execute::{Admitted, on_large_stack};
use super::fault::Fatal;
use super::memo::{HashedTx, Memo};
use super::observe::{CallObserver, PipelineCounts};
use super::verdict::{Outcome, Step};
use crate::bounded::Bounds;
use crate::limits;
use crate::rules::{Limits, PipelineSpec};
use crate::types::{Fuel, PipelineId, TxHash};

/// The plugins of the network, admitted and ready. A pure function of the transaction's bytes.
///
/// Without plugins it accepts every transaction unchanged, for no fuel.
pub struct Pipeline {
    spec: PipelineSpec,
    id: PipelineId,
    plugins: Vec<Admitted>,
    memo: Memo,
    observer: Option<Arc<dyn CallObserver>>,
}

impl Pipeline {
    /// Checks everything genesis says about the plugins, and compiles them. `modules` are the plugins' bytes, in
    /// the order of `spec.plugins`.
    ///
    /// # Errors
    ///
    /// The first thing that is not as genesis says or as a plugin must be, or a host that cannot run the engine.
    pub fn admit(spec: PipelineSpec, modules: &[Vec<u8>]) -> Result<Self, AdmitError> {
        Self::within(Some(admit::BOUNDS), spec, modules)
    }

    /// The same for a pipeline whose network runs already, and this node in it: however long it takes to compile on this
    /// machine.
    ///
    /// # Errors
    ///
    /// As [`Self::admit`].
    pub fn restore(spec: PipelineSpec, modules: &[Vec<u8>]) -> Result<Self, AdmitError> {
        Self::within(None, spec, modules)
    }

    fn within(bounds: Option<Bounds>, spec: PipelineSpec, modules: &[Vec<u8>]) -> Result<Self, AdmitError> {
        admit::check_engine(spec.engine)?;
        spec.limits.validate()?;
        check_plugins(&spec, modules)?;
        // Building the engine looks at files of the system: done here, so that threads of ours touch no file but the
        // one that has opened the log, and every failure of a file can be tested.
        engine::engine().map_err(|reason| AdmitError::Host { reason })?;
        let compiled = compile(&spec.plugins, modules, bounds)?;
        let admit_all = || {
            let plugins = spec.plugins.iter().zip(&compiled);
            plugins
                .map(|(plugin, compiled)| admit::admit(plugin, &spec.limits, compiled))
                .collect::<Result<_, _>>()
        };
        // Each plugin's init runs in there, so the caller's stack must not matter.
        let admitted = on_large_stack(admit_all)
            .map_err(|error| AdmitError::Host { reason: format!("no thread: {error}") })?;
        let plugins = admitted?;
        let id = spec.id();
        Ok(Self { spec, id, plugins, memo: Memo::new(), observer: None })
    }

    /// Shows each call of a plugin to this observer.
    #[must_use]
    pub fn observed_by(self, observer: Arc<dyn CallObserver>) -> Self {
        Self { observer: Some(observer), ..self }
    }

    /// What it has done so far. Takes no lock.
    #[must_use]
    pub fn counts(&self) -> PipelineCounts {
        let (memo_hits, memo_misses) = self.memo.hits_and_misses();
        let started = self.plugins.iter().map(|plugin| plugin.instances_started.load(Ordering::Relaxed));
        PipelineCounts { memo_hits, memo_misses, instances_started: started.fold(0, u64::wrapping_add) }
    }

    /// The hash of the rules, part of every app hash.
    #[must_use]
    pub fn id(&self) -> PipelineId {
        self.id
    }

    /// The rules.
    #[must_use]
    pub fn spec(&self) -> &PipelineSpec {
        &self.spec
    }

    /// The bounds the network agreed on.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.spec.limits
    }

    /// What starting an instance of each plugin takes, init included. It is charged to each transaction whose instances
    /// cannot be reset.
    #[must_use]
    pub fn init_fuel(&self) -> Fuel {
        let fuel = self.plugins.iter().map(|plugin| plugin.init_fuel.0);
        Fuel(fuel.fold(0, u64::saturating_add))
    }

    /// Runs the plugins on one transaction, unless its outcome is in the memo: on the calling thread if its stack is large
    /// enough (see [`on_large_stack`]), else on one that is made for it.
    ///
    /// The caller has seen to it that the transaction is neither empty nor longer than `tx_bytes_max`.
    ///
    /// # Errors
    ///
    /// When this host cannot be trusted to go on; nothing is remembered then.
    pub fn apply(&self, tx: &HashedTx<'_>) -> Result<Outcome, Fatal> {
        if let Some(outcome) = self.known(tx) {
            return Ok(outcome);
        }
        let outcome = self.run(tx.tx(), Some(tx.hash()), |_| ())?;
        self.memo.insert(tx, outcome.clone());
        Ok(outcome)
    }

    /// What [`Self::apply`] would answer, if that takes no plugin's work: it is in the memo, or there are no plugins.
    #[must_use]
    pub fn known(&self, tx: &HashedTx<'_>) -> Option<Outcome> {
        if self.plugins.is_empty() {
            return Some(Outcome::unchanged());
        }
        self.memo.get(tx)
    }

    /// Runs the plugins on one transaction as [`Self::apply`] does, without the memo, and returns the step of each plugin
    /// that ran, in order.
    ///
    /// # Errors
    ///
    /// When this host cannot be trusted to go on.
    pub fn trace(&self, tx: &Bytes) -> Result<(Outcome, Vec<Step>), Fatal> {
        let mut steps = Vec::new();
        let outcome = self.run(tx, None, |step| steps.push(step.clone()))?;
        Ok((outcome, steps))
    }

    fn run(&self, tx: &Bytes, hash: Option<TxHash>, see: impl FnMut(&Step) + Send) -> Result<Outcome, Fatal> {
        on_large_stack(|| self.run_here(tx, hash, see)).unwrap_or_else(|error| {
            Err(Fatal { plugin: None, step: "starting a thread", reason: error.to_string() })
        })
    }

    /// Calls the plugins in order until one rejects or faults; `see` gets each step. Only traces need the hash.
    fn run_here(
        &self,
        tx: &Bytes,
        hash: Option<TxHash>,
        mut see: impl FnMut(&Step),
    ) -> Result<Outcome, Fatal> {
        let mut outcome = Outcome::unchanged();
        for (place, plugin) in self.plugins.iter().enumerate() {
            let Some(input) = outcome.record(tx) else { break };
            let span = tracing::trace_span!(
                target: "dseq::traces", "plugin",
                plugin = %plugin.name, tx = hash.map(display), fuel = Empty, verdict = Empty
            );
            let before = self.observer.as_ref().map(|observer| observer.before(place));
            let step = span.in_scope(|| plugin.call(input))?;
            if let (Some(observer), Some(before)) = (&self.observer, before) {
                observer.after(place, before, &step);
            }
            span.record("fuel", step.fuel.0).record("verdict", step.verdict.name());
            see(&step);
            outcome.push(&plugin.name, step);
        }
        Ok(outcome)
    }
}

fn check_plugins(spec: &PipelineSpec, modules: &[Vec<u8>]) -> Result<(), AdmitError> {
    let plugins = spec.plugins.len() as u64;
    if plugins > limits::PLUGINS_MAX {
        return Err(AdmitError::TooManyPlugins { found: plugins });
    }
    if plugins != modules.len() as u64 {
        return Err(AdmitError::ModuleCount { plugins, modules: modules.len() as u64 });
    }
    let Limits { tx_bytes_max, record_bytes_max, fuel_max, .. } = spec.limits;
    if fuel_max.saturating_mul(plugins) > limits::FUEL_CEILING {
        return Err(AdmitError::TooMuchFuel { fuel_max, plugins });
    }
    if plugins == 0 && tx_bytes_max > record_bytes_max {
        return Err(AdmitError::RecordsTooShort { tx_bytes_max, record_bytes_max });
    }
    let mut names = BTreeSet::new();
    for plugin in &spec.plugins {
        if !names.insert(&plugin.name) {
            return Err(AdmitError::DuplicateName { plugin: plugin.name.clone() });
        }
    }
    Ok(())
}
