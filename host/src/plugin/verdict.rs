//! What becomes of a transaction, from the guest's return value to the response: four types, one for each stage.
//!
//! ```text
//! Answer    one call's return value, unpacked and not yet checked: a kind, a code, a length
//!   │  reads the output, checks every bound; a trap or a broken bound is a fault
//!   ▼
//! Verdict   one plugin on one input: unchanged, replaced by bytes, rejected or faulted; Step adds what it cost
//!   │  the next plugin gets the output; the first rejection or fault ends the pipeline
//!   ▼
//! Outcome   the pipeline on one transaction: the verdict that decided, its plugin, the fuel of all (kept in the memo)
//!   │  app: the size checks before it, the transaction's hash, the code and codespace of a refusal
//!   ▼
//! Examined  the app on one transaction: hash, fuel, and the record or a Refusal; CheckTx, proposals and blocks use it
//! ```

use std::mem::size_of;
use std::sync::Arc;

use bytes::Bytes;

use super::fault::Fault;
use crate::rules::PluginName;
use crate::types::Fuel;

/// What one plugin says of one input: the transaction, or the output of the plugin before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Accepted as it is.
    Unchanged,
    /// Accepted, replaced by these bytes: the host's own copy of the output, at least one.
    Replaced(Bytes),
    /// Rejected.
    Rejected {
        /// The plugin's own code, from 1 to 999.
        code: u16,
        /// The plugin's message to the producer. It enters no hash.
        message: String,
    },
    /// The plugin broke its contract.
    Faulted {
        /// How.
        fault: Fault,
        /// The plugin's panic message, or empty. It enters no hash.
        message: String,
    },
}

impl Verdict {
    /// What it is, in a word.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Unchanged => "unchanged",
            Self::Replaced(_) => "replaced",
            Self::Rejected { .. } => "rejected",
            Self::Faulted { .. } => "faulted",
        }
    }
}

/// One call of one plugin: its verdict, and what it cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Fuel it spent; all of `fuel_max` if it faulted.
    pub fuel: Fuel,
    /// Length of the plugin's memory after the call, in bytes.
    pub memory_bytes: u64,
    /// What the plugin says.
    pub verdict: Verdict,
}

/// What the pipeline makes of one transaction, and what that cost.
///
/// 16 bytes while no plugin changes the transaction, which is the common case: the memo holds hundreds of thousands of
/// them, and a look-up costs the cache lines it misses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Fuel of every plugin that ran.
    pub fuel: Fuel,
    /// The last verdict that is not [`Verdict::Unchanged`], and its plugin. `None`: all plugins left the transaction
    /// unchanged.
    decisive: Option<Arc<(Arc<PluginName>, Verdict)>>,
}

const _: () = assert!(size_of::<Outcome>() == 16);

impl Outcome {
    /// The outcome before any plugin has run: unchanged, for no fuel.
    pub(super) fn unchanged() -> Self {
        Self { fuel: Fuel(0), decisive: None }
    }

    /// Adds what the next plugin did.
    pub(super) fn push(&mut self, plugin: &Arc<PluginName>, step: Step) {
        self.fuel = Fuel(self.fuel.0.saturating_add(step.fuel.0));
        if step.verdict != Verdict::Unchanged {
            self.decisive = Some(Arc::new((Arc::clone(plugin), step.verdict)));
        }
    }

    /// The pipeline's verdict: the first rejection or fault; else the last replacement; else unchanged.
    #[must_use]
    pub fn verdict(&self) -> &Verdict {
        self.decisive.as_deref().map_or(&Verdict::Unchanged, |(_, verdict)| verdict)
    }

    /// The plugin that rejected or faulted, or else the last that replaced the transaction, and its verdict; `None` if all
    /// plugins left it unchanged.
    #[must_use]
    pub fn decisive(&self) -> Option<(&PluginName, &Verdict)> {
        self.decisive.as_deref().map(|(plugin, verdict)| (&**plugin, verdict))
    }

    /// Whether the transaction adds a record.
    #[must_use]
    pub fn is_accepted(&self) -> bool {
        matches!(self.verdict(), Verdict::Unchanged | Verdict::Replaced(_))
    }

    /// The record that the transaction `tx` adds; `None` if it was rejected or a plugin faulted.
    #[must_use]
    pub fn record<'a>(&'a self, tx: &'a Bytes) -> Option<&'a Bytes> {
        match self.verdict() {
            Verdict::Unchanged => Some(tx),
            Verdict::Replaced(record) => Some(record),
            Verdict::Rejected { .. } | Verdict::Faulted { .. } => None,
        }
    }

    /// Bytes it holds on the heap.
    pub(super) fn heap_bytes(&self) -> u64 {
        let Some((_, verdict)) = self.decisive.as_deref() else { return 0 };
        let more = match verdict {
            Verdict::Replaced(record) => record.len() as u64,
            Verdict::Rejected { message, .. } | Verdict::Faulted { message, .. } => message.len() as u64,
            Verdict::Unchanged => 0,
        };
        // The two counters of the outer `Arc` are beside what it holds.
        more.saturating_add(size_of::<(Arc<PluginName>, Verdict, [usize; 2])>() as u64)
    }
}
