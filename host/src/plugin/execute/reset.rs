//! Instances kept for the next call, each put back to where it was after `dseq_init`.
//!
//! Making an instance and telling it its params costs several times what a filter does with a transaction. So one that
//! ended a call well is put back by copying what it has touched and used again, if everything it could have changed is
//! within reach: see `rewrite`. To the plugin it is as fresh as any.
//!
//! # Invariants
//!
//! - An instance is kept only if its memory has the length it had after init (memory never shrinks) and memory and
//!   globals are the snapshot's again.
//! - One that trapped, or answered what it may not, is never kept.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use wasmtime::Val;

use super::instance::Live;
use super::parallel::instances_kept_max;
use crate::limits;

/// Instances all pipelines of the process keep together.
static KEPT: AtomicUsize = AtomicUsize::new(0);

/// What an instance was right after init.
struct Snapshot {
    memory: Vec<u8>,
    globals: Vec<Val>,
}

/// The instances of one plugin that wait for their next call.
pub(in crate::plugin) struct Warm {
    snapshot: Snapshot,
    kept: Mutex<Vec<Live>>,
}

impl Warm {
    /// Remembers what an instance is after init; `None` for one that is not worth keeping.
    pub(in crate::plugin) fn of(live: &mut Live) -> Option<Self> {
        let memory = live.memory.data(&live.store);
        if memory.len() as u64 > limits::RESTORED_MEMORY_BYTES_MAX {
            return None;
        }
        let memory = memory.to_vec();
        let globals = live.mutable_globals.iter().map(|global| global.get(&mut live.store)).collect();
        Some(Self { snapshot: Snapshot { memory, globals }, kept: Mutex::default() })
    }

    /// Length of an instance's memory after init.
    pub(in crate::plugin) fn memory_bytes(&self) -> u64 {
        self.snapshot.memory.len() as u64
    }

    /// An instance that is as after init, if one waits.
    pub(in crate::plugin) fn take(&self) -> Option<Live> {
        let live = self.kept.lock().unwrap_or_else(PoisonError::into_inner).pop()?;
        KEPT.fetch_sub(1, Ordering::Relaxed);
        Some(live)
    }

    /// Puts an instance back after a call that ended well, and keeps it if there is room.
    pub(in crate::plugin) fn put_back(&self, mut live: Live) {
        if !self.snapshot.restore(&mut live) {
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

impl Drop for Warm {
    fn drop(&mut self) {
        while self.take().is_some() {}
    }
}

impl Snapshot {
    /// Whether `live` is as it was after init again.
    fn restore(&self, live: &mut Live) -> bool {
        let Some(touched) = live.take_touched() else { return false };
        let memory = live.memory.data_mut(&mut live.store);
        if memory.len() != self.memory.len() {
            return false;
        }
        for bytes in touched.ranges(memory.len()) {
            memory[bytes.clone()].copy_from_slice(&self.memory[bytes]);
        }
        let mut globals = live.mutable_globals.iter().zip(&self.globals);
        globals.all(|(global, value)| global.set(&mut live.store, *value).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::super::call::Admitted;
    use crate::plugin::admit::admit;
    use crate::plugin::admit::compile::compile;
    use crate::plugin::spec::{CanonicalJson, Limits, PluginName, PluginSpec};
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
        let compiled = compile(std::slice::from_ref(&spec), &[wasm]).unwrap();
        admit(&spec, &Limits::default(), &compiled[0]).unwrap()
    }

    /// How many instances wait after each of three calls.
    fn kept(plugin: &Admitted) -> Vec<usize> {
        let after_a_call = |_| {
            plugin.call(b"tx").unwrap();
            plugin.warm.as_ref().map_or(0, |warm| warm.kept.lock().unwrap().len())
        };
        (0..3).map(after_a_call).collect()
    }

    #[test]
    fn an_instance_that_can_be_put_back_is_kept() {
        assert_eq!(kept(&admitted("2", "(global.set $g (i32.const 1))")), [1, 1, 1]);
    }

    #[test]
    fn an_instance_that_cannot_be_put_back_is_dropped() {
        assert_eq!(kept(&admitted("3", "")), [0, 0, 0], "too much memory to copy");
        assert_eq!(kept(&admitted("1", "(drop (memory.grow (i32.const 1)))")), [0, 0, 0], "it grew");
        assert_eq!(kept(&admitted("1", "unreachable")), [0, 0, 0], "it trapped");
    }
}
