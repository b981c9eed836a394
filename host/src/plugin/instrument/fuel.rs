//! What compiled code does beyond its instructions, and so beyond their fuel.
//!
//! - Where a function is entered, its locals are set to zero, and each page of its frame is touched.
//! - A branch goes to code that the nearest cache may not hold: code that never runs may lie between any two pieces that do.
//! - Where branches arrive, and behind those not taken, the compiler may have put any value into another place, register or
//!   stack, than it was in before. It may have done that for other ways, which are never taken.
//! - Where several ways meet, that also holds for more values than there are registers: for each local set on one of them,
//!   and each value that a branch carries.
//!
//! A branch to the end of the function is not charged: it is the only one of its call, which costs four times as much.
//!
//! So the host inserts `nop`s: each costs a unit and compiles to nothing.
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
    let arrivals = function.arrivals.iter().map(|arrival| {
        let moved = arrival.live.min(limits::REGISTERS) / limits::REGISTERS_PER_FUEL;
        let joined = arrival.joined / limits::VALUES_PER_FUEL;
        let units = limits::ARRIVAL_FUEL.saturating_add(moved).saturating_add(joined);
        Charge { at: arrival.at, units }
    });
    let mut charges: Vec<_> =
        std::iter::once(entry).chain(arrivals).filter(|charge| charge.units > 0).collect();
    charges.sort_by_key(|charge| charge.at);
    charges
}
