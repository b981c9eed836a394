//! One call of one plugin: an instance as it is after init, one transaction, its answer.
//!
//! # Invariants
//!
//! - What a plugin keeps in memory or globals cannot survive a call: its instance is reset to its state right after init
//!   (`reset`), or dropped.
//!
//! # Determinism
//!
//! What a call is charged does not depend on which instance it gets. If instances can be reset, each call pays for that,
//! and one that makes the memory grow, so that its instance is lost, for starting another. If not, each call pays
//! for starting one: its memory, its table and init, whether or not the host has to do all of it again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use wasmtime::InstancePre;

use super::instance::{Charge, Exports, Init, Limiter, Live};
use super::pool::Pool;
use crate::limits;
use crate::plugin::fault::{Fatal, Stop};
use crate::plugin::verdict::{Step, Verdict};
use crate::rules::{Limits, PluginName};
use crate::types::Fuel;

/// A module that passed admission, ready to be called.
///
/// Its imports are none, its exports are those of ABI v1 with their types, and it accepts its params.
pub(in crate::plugin) struct Admitted {
    pub(in crate::plugin) name: Arc<PluginName>,
    /// Canonical JSON, handed to each fresh instance.
    pub(in crate::plugin) params: String,
    pub(in crate::plugin) limits: Limits,
    pub(in crate::plugin) pre: InstancePre<Limiter>,
    pub(in crate::plugin) exports: Exports,
    /// What making an instance takes, before init.
    pub(in crate::plugin) start_fuel: Fuel,
    /// What making an instance and init take together: the same each time.
    pub(in crate::plugin) init_fuel: Fuel,
    /// Where instances wait for their next call; `None` if they cannot be reset, or it does not pay.
    pub(in crate::plugin) pool: Option<Pool>,
    /// Instances made for a call so far.
    pub(in crate::plugin) instances_started: AtomicU64,
}

impl Admitted {
    /// Runs the plugin on one input: the transaction, or what the plugin before made of it.
    pub(in crate::plugin) fn call(&self, input: &[u8]) -> Result<Step, Fatal> {
        self.try_call(input).map_err(|(step, reason)| Fatal {
            plugin: Some((*self.name).clone()),
            step,
            reason,
        })
    }

    fn try_call(&self, input: &[u8]) -> Result<Step, (&'static str, String)> {
        let kept = self.pool.as_ref().and_then(Pool::take);
        let mut live = match kept {
            Some(live) => live,
            None => self.start_again()?,
        };
        let ended = live.apply(input, self.charge());
        let memory_bytes = live.memory_bytes();
        match ended {
            Ok((fuel, verdict)) => {
                if let Some(pool) = &self.pool {
                    pool.give_back(live);
                }
                Ok(Step { fuel, memory_bytes, verdict })
            }
            Err(Stop::Fault { fault, message, detail }) => {
                tracing::debug!(plugin = %self.name, %fault, reason = message, detail, "plugin faulted");
                let verdict = Verdict::Faulted { fault, message };
                Ok(Step { fuel: Fuel(self.limits.fuel_max), memory_bytes, verdict })
            }
            Err(Stop::Fatal { step, reason }) => Err((step, reason)),
        }
    }

    /// Makes a fresh instance and hands it its params.
    pub(in crate::plugin) fn start(&self) -> Result<(Live, Init), Stop> {
        let charge = Charge { call: self.start_fuel.0, growing: 0 };
        Live::start(&self.pre, &self.exports, self.limits, &self.params, charge)
    }

    /// What each call costs for what the host does around it.
    fn charge(&self) -> Charge {
        let start = self.init_fuel.0;
        match &self.pool {
            Some(pool) => {
                let reset = pool.memory_bytes() / limits::RESET_BYTES_PER_FUEL;
                Charge { call: limits::CALL_FUEL.saturating_add(reset), growing: start }
            }
            None => Charge { call: limits::CALL_FUEL.saturating_add(start), growing: 0 },
        }
    }

    /// As [`Self::start`], after admission has seen init succeed. Anything else now means that this host does
    /// not compute the same thing twice.
    fn start_again(&self) -> Result<Live, (&'static str, String)> {
        self.instances_started.fetch_add(1, Ordering::Relaxed);
        let reason = match self.start() {
            Ok((live, Init::Accepted { .. })) => return Ok(live),
            Ok((_, Init::Refused { code, .. })) => format!("rejected with code {code}"),
            Err(Stop::Fault { fault, detail, .. }) => format!("{fault} ({detail})"),
            Err(Stop::Fatal { step, reason }) => return Err((step, reason)),
        };
        Err(("dseq_init, which accepted the same params at admission,", reason))
    }
}
