//! What compiled code does beyond its instructions, and so beyond their fuel.
//!
//! - Where a function is entered, its locals are set to zero, and each page of its frame is touched.
//! - Where branches arrive, each local set on some way there, and each value that a branch carries, may lie in another
//!   register or stack slot on each way. The compiler chooses which way has to move them all, and that may be one that sets
//!   none.
//!
//! So the host inserts pairs of `i32.const 0` and `drop`: each pair costs a unit and compiles to nothing.
//!
//! # Determinism
//!
//! How many there are follows from the bytecode alone. It is part of the engine id.

use crate::limits;
use crate::plugin::validate::Function;

/// So many units, in front of an instruction.
#[derive(Clone, Copy, Debug)]
pub(super) struct Charge {
    pub(super) at: usize,
    pub(super) units: u64,
}

/// What a function with such a frame is charged for, in the order of the code.
pub(super) fn charges(function: &Function, frame_bytes: u64) -> Vec<Charge> {
    let zeroed = function.locals.saturating_sub(limits::LOCALS_FREE) / limits::VALUES_PER_FUEL;
    let touched = frame_bytes / limits::FRAME_BYTES_PER_FUEL;
    let entry = Charge { at: function.code.start, units: zeroed.saturating_add(touched) };
    let joins = function.joins.iter().filter(|join| join.values > 0).map(|join| {
        let moved = join.values / limits::VALUES_PER_FUEL;
        Charge { at: join.at, units: limits::JOIN_FUEL.saturating_add(moved) }
    });
    let mut charges: Vec<_> = std::iter::once(entry).chain(joins).filter(|charge| charge.units > 0).collect();
    charges.sort_by_key(|charge| charge.at);
    charges
}
