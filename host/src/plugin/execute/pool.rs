//! Instances kept for the next call of the same plugin.
//!
//! Making an instance and handing it its params costs several times what a filter does with a transaction. So an instance
//! that ended a call well is reset and used again. To the plugin it is as fresh as any.
//!
//! # Invariants
//!
//! - An instance is kept only after a reset, so what it answers does not depend on the calls before.
//! - An instance that trapped, or answered what it may not, is never kept.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use super::instance::Live;
use super::parallel::instances_kept_max;
use super::reset::Snapshot;

/// Instances all pipelines of the process keep together.
static KEPT: AtomicUsize = AtomicUsize::new(0);

/// The instances of one plugin that wait for their next call.
pub(in crate::plugin) struct Pool {
    snapshot: Snapshot,
    kept: Mutex<Vec<Live>>,
}

impl Pool {
    /// A pool for instances like this one, which is as after init; `None` if resetting one does not pay.
    pub(in crate::plugin) fn of(live: &mut Live) -> Option<Self> {
        Some(Self { snapshot: Snapshot::of(live)?, kept: Mutex::default() })
    }

    /// Length of an instance's memory after init.
    pub(super) fn memory_bytes(&self) -> u64 {
        self.snapshot.memory_bytes()
    }

    /// An instance that is as after init, if one waits.
    pub(super) fn take(&self) -> Option<Live> {
        let live = self.kept.lock().unwrap_or_else(PoisonError::into_inner).pop()?;
        KEPT.fetch_sub(1, Ordering::Relaxed);
        Some(live)
    }

    /// Resets an instance after a call that ended well, and keeps it if the process may keep another.
    pub(super) fn give_back(&self, mut live: Live) {
        if !self.snapshot.reset(&mut live) {
            return;
        }
        let kept = KEPT.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |kept| {
            (kept < instances_kept_max()).then(|| kept.saturating_add(1))
        });
        if kept.is_ok() {
            self.kept.lock().unwrap_or_else(PoisonError::into_inner).push(live);
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        while self.take().is_some() {}
    }
}

#[cfg(test)]
mod tests {
    use super::super::call::Admitted;
    use crate::plugin::admit::{admit, compile};
    use crate::rules::{CanonicalJson, Limits, PluginName, PluginSpec};
    use crate::types::PluginHash;

    fn admitted(memory: &str, apply: &str) -> Admitted {
        let wasm = wat::parse_str(format!(
            r#"(module (memory (export "memory") {memory}) (global $g (mut i32) (i32.const 0))
                (func (export "dseq_abi_v1"))
                (func (export "dseq_buffer") (param i32) (result i32) (i32.const 1024))
                (func (export "dseq_init") (param i32) (result i64) (i64.const 0x0001000000000000))
                (func (export "dseq_apply") (param i32) (result i64) {apply} (i64.const 0x0001000000000000))
                (func (export "dseq_output") (result i32) (i32.const 0)))"#
        ));
        let wasm = wasm.unwrap();
        let spec = PluginSpec {
            name: PluginName::try_from("p".to_owned()).unwrap(),
            sha256: PluginHash::of(&wasm),
            params: CanonicalJson::default(),
        };
        let compiled = compile(std::slice::from_ref(&spec), &[wasm], None).unwrap();
        admit(&spec, &Limits::default(), &compiled[0]).unwrap()
    }

    /// How many instances wait after each of three calls.
    fn kept(plugin: &Admitted) -> Vec<usize> {
        let after_a_call = |_| {
            plugin.call(b"tx").unwrap();
            plugin.pool.as_ref().map_or(0, |pool| pool.kept.lock().unwrap().len())
        };
        (0..3).map(after_a_call).collect()
    }

    #[test]
    fn an_instance_that_can_be_reset_is_kept() {
        assert_eq!(kept(&admitted("2", "(global.set $g (i32.const 1))")), [1, 1, 1]);
    }

    #[test]
    fn an_instance_that_cannot_be_reset_is_dropped() {
        assert_eq!(kept(&admitted("3", "")), [0, 0, 0], "too much memory to copy");
        assert_eq!(kept(&admitted("1", "(drop (memory.grow (i32.const 1)))")), [0, 0, 0], "it grew");
        assert_eq!(kept(&admitted("1", "unreachable")), [0, 0, 0], "it trapped");
    }
}
