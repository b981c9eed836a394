//! The network's plugins in order, and what they make of a transaction.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::admit::{self, AdmitError, compile};
use super::engine;
use super::execute::{Admitted, Called, Ruling, on_large_stack};
use super::fault::{Fatal, Fault};
use super::memo::{HashedTx, Judged, Memo};
use super::spec::{Limits, PipelineSpec, PluginName};
use crate::limits;
use crate::types::{Fuel, PipelineId};

/// What the pipeline made of one transaction, and what that cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The fuel of every plugin that ran.
    pub fuel: Fuel,
    /// What became of the transaction.
    pub verdict: Verdict,
}

/// What becomes of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It adds this record.
    Accepted {
        /// The transaction's own bytes (shared, not copied) where no plugin replaced them; else a copy of the
        /// last output.
        record: Bytes,
    },
    /// A plugin rejected it.
    Rejected {
        /// The first that did.
        plugin: PluginName,
        /// The plugin's own code, from 1 to 999.
        code: u16,
        /// The plugin's words to the producer. They enter no hash.
        message: String,
    },
    /// A plugin broke its contract over it.
    Faulted {
        /// The first that did.
        plugin: PluginName,
        /// How.
        fault: Fault,
        /// Its words about its panic, or empty. They enter no hash.
        message: String,
    },
}

/// What one plugin of the pipeline made of what it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Its name.
    pub plugin: PluginName,
    /// What it took.
    pub fuel: Fuel,
    /// Length of its memory when it ended, in bytes.
    pub memory_bytes: u64,
    /// What it decided.
    pub ruling: Ruling,
}

/// The plugins of the network, admitted and ready. A pure function of the transaction's bytes.
///
/// Without plugins it accepts every transaction unchanged, for no fuel.
pub struct Pipeline {
    spec: PipelineSpec,
    id: PipelineId,
    plugins: Vec<Admitted>,
    memo: Memo,
}

impl Pipeline {
    /// Checks everything genesis says about the plugins, and compiles them. `modules` are the plugins' bytes, in
    /// the order of `spec.plugins`.
    ///
    /// # Errors
    ///
    /// The first thing that is not as genesis says or as a plugin must be, or a host that cannot run the engine.
    pub fn admit(spec: PipelineSpec, modules: &[Vec<u8>]) -> Result<Self, AdmitError> {
        admit::check_engine(spec.engine)?;
        spec.limits.validate()?;
        check_plugins(&spec, modules)?;
        // Building the engine looks at files of the system: done here, so that threads of ours touch no file but the
        // one that has opened the log, and every failure of a file can be tested.
        engine::engine().map_err(|reason| AdmitError::Host { reason })?;
        let compiled = compile(&spec.plugins, modules)?;
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
        Ok(Self { spec, id, plugins, memo: Memo::new() })
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

    /// Judges one transaction: on the calling thread if its stack is large enough (see [`on_large_stack`]), else on one that is made
    /// for it.
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
        let judged = self.judge(tx.tx(), |_, _| ())?;
        self.memo.insert(tx, &judged);
        Ok(self.outcome(judged, tx.tx()))
    }

    /// What [`Self::apply`] would answer, if that takes no plugin's work: it is remembered, or there are no plugins.
    #[must_use]
    pub fn known(&self, tx: &HashedTx<'_>) -> Option<Outcome> {
        if self.plugins.is_empty() {
            return Some(Outcome { fuel: Fuel(0), verdict: Verdict::Accepted { record: tx.tx().clone() } });
        }
        self.memo.get(tx).map(|judged| self.outcome(judged, tx.tx()))
    }

    /// Judges one transaction as [`Self::apply`] does, and tells what each plugin that ran made of it. Nothing is
    /// remembered, and nothing was.
    ///
    /// # Errors
    ///
    /// When this host cannot be trusted to go on.
    pub fn steps(&self, tx: &Bytes) -> Result<Vec<Step>, Fatal> {
        let mut steps = Vec::new();
        self.judge(tx, |plugin, Called { fuel, memory_bytes, ruling }| {
            let (plugin, ruling) = (plugin.clone(), ruling.clone());
            steps.push(Step { plugin, fuel: *fuel, memory_bytes: *memory_bytes, ruling });
        })?;
        Ok(steps)
    }

    /// Runs the plugins in order until one rejects or faults; `see` is shown each call.
    fn judge(&self, tx: &Bytes, see: impl FnMut(&PluginName, &Called) + Send) -> Result<Judged, Fatal> {
        on_large_stack(|| self.judge_here(tx, see)).unwrap_or_else(|error| {
            Err(Fatal { plugin: None, step: "starting a thread", reason: error.to_string() })
        })
    }

    fn judge_here(&self, tx: &Bytes, mut see: impl FnMut(&PluginName, &Called)) -> Result<Judged, Fatal> {
        let mut fuel = 0_u64;
        let mut replaced: Option<Bytes> = None;
        for (position, plugin) in self.plugins.iter().enumerate() {
            let called = plugin.call(replaced.as_ref().unwrap_or(tx))?;
            see(&plugin.name, &called);
            fuel = fuel.saturating_add(called.fuel.0);
            match called.ruling {
                Ruling::Unchanged => {}
                Ruling::Replaced(record) => replaced = Some(record),
                ruling @ (Ruling::Rejected { .. } | Ruling::Faulted { .. }) => {
                    return Ok(Judged { fuel: Fuel(fuel), ruling, plugin: position });
                }
            }
        }
        let ruling = replaced.map_or(Ruling::Unchanged, Ruling::Replaced);
        let last = self.plugins.len().saturating_sub(1);
        Ok(Judged { fuel: Fuel(fuel), ruling, plugin: last })
    }

    fn outcome(&self, judged: Judged, tx: &Bytes) -> Outcome {
        let name = || self.plugins[judged.plugin].name.clone();
        let verdict = match judged.ruling {
            Ruling::Unchanged => Verdict::Accepted { record: tx.clone() },
            Ruling::Replaced(record) => Verdict::Accepted { record },
            Ruling::Rejected { code, message } => Verdict::Rejected { plugin: name(), code, message },
            Ruling::Faulted { fault, message } => Verdict::Faulted { plugin: name(), fault, message },
        };
        Outcome { fuel: judged.fuel, verdict }
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
