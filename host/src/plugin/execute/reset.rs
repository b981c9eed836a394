//! Resetting an instance to its state right after `dseq_init`, by copying only what a call may have changed.
//!
//! An instance's state is its memory and its mutable globals, for plugins that keep to those (others are never reset).
//! Which bytes of the memory a call may have changed, the write barrier in the plugin's code has recorded, and the host for
//! what it wrote itself: see `instrument/write_barrier`.
//!
//! # Invariants
//!
//! - After a reset memory and globals equal the snapshot's, and the memory has the length it had after init (memory never
//!   shrinks, so an instance whose memory has grown is not reset). Held by `tests/fuzz/write_barrier.rs`.

use wasmtime::Val;

use super::instance::Live;
use crate::limits;

/// What an instance was right after init.
pub(super) struct Snapshot {
    memory: Vec<u8>,
    globals: Vec<Val>,
}

impl Snapshot {
    /// Of an instance right after init; `None` if its memory is so long that resetting it does not pay.
    pub(super) fn of(live: &mut Live) -> Option<Self> {
        let memory = live.memory.data(&live.store);
        if memory.len() as u64 > limits::RESET_MEMORY_BYTES_MAX {
            return None;
        }
        let memory = memory.to_vec();
        let globals = live.mutable_globals.iter().map(|global| global.get(&mut live.store)).collect();
        Some(Self { memory, globals })
    }

    /// Length of the memory after init.
    pub(super) fn memory_bytes(&self) -> u64 {
        self.memory.len() as u64
    }

    /// Resets an instance; whether it is as it was after init again.
    pub(super) fn reset(&self, live: &mut Live) -> bool {
        let Some(dirty) = live.take_dirty_pages() else { return false };
        let memory = live.memory.data_mut(&mut live.store);
        if memory.len() != self.memory.len() {
            return false;
        }
        for bytes in dirty.ranges(memory.len()) {
            memory[bytes.clone()].copy_from_slice(&self.memory[bytes]);
        }
        let mut globals = live.mutable_globals.iter().zip(&self.globals);
        globals.all(|(global, value)| global.set(&mut live.store, *value).is_ok())
    }
}
