//! What compiled code does beyond what its instructions say, and so beyond their fuel.
//!
//! - Where a function is entered, its locals are set to zero, and each page of its frame is touched.
//! - Where branches arrive, each local that is set on one of the ways may have another place on each of them; the
//!   compiler chooses which way has to move them all, and that may be one that sets none.
//!
//! So there are instructions there that compile to nothing, `i32.const 0` and `drop`, each pair of which costs a unit.
//!
//! # Determinism
//!
//! How many there are is counted from the bytecode alone, as more than what any compiler is known to do. It is part of
//! the engine id.

use crate::limits;
use crate::plugin::validate::Function;

/// So many units, in front of an instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Charge {
    pub(super) at: usize,
    pub(super) units: u64,
}

/// What a function with such a frame is charged for, in the order of the code.
pub(super) fn charges(function: &Function, frame_bytes: u64) -> Vec<Charge> {
    let zeroed = function.locals.saturating_sub(limits::LOCALS_FREE) / limits::LOCALS_PER_FUEL;
    let touched = frame_bytes / limits::FRAME_BYTES_PER_FUEL;
    let entry = Charge { at: function.code.start, units: zeroed.saturating_add(touched) };
    let moved = |locals: u64| locals.saturating_sub(limits::JOINED_LOCALS_FREE) / limits::LOCALS_PER_FUEL;
    let joins = function.joins.iter().map(|join| Charge { at: join.at, units: moved(join.locals) });
    let mut charges: Vec<_> = std::iter::once(entry).chain(joins).filter(|charge| charge.units > 0).collect();
    charges.sort_by_key(|charge| charge.at);
    charges
}
