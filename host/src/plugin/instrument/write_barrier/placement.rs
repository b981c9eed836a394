//! Where marks must stand in one function.

use std::collections::BTreeSet;

use wasmparser::{MemArg, Operator};

use super::Marks;
use super::barrier::{Mark, What};
use crate::limits;
use crate::plugin::instrument::dirty_pages::{REACH_BYTES, Touched};

/// Longest store, in bytes.
const STORE_BYTES_MAX: u32 = 8;

/// How far from a marked address a store may begin and be covered.
const NEAR_BYTES: u32 = REACH_BYTES - STORE_BYTES_MAX;

/// What is known of a value on the operand stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    Unknown,
    Const(u32),
    /// A local, as it was when it had been set so often.
    Local {
        local: u32,
        version: u32,
    },
}

/// What the marks passed on every way to here cover.
#[derive(Clone, Copy, Debug)]
enum Covered {
    Whole,
    Pieces(Touched),
    /// What lies near `offset` from a local.
    Near {
        local: u32,
        version: u32,
        offset: u32,
    },
    /// Calls of a function, should it be silent.
    Call(u32),
}

/// The outermost of the loops that are open.
#[derive(Debug)]
struct Loop {
    at: usize,
    /// Blocks open around it.
    depth: usize,
    /// Whether anything in it needs the whole memory marked.
    stores: bool,
    calls: BTreeSet<u32>,
}

/// A call, until it is known whether it comes back.
#[derive(Clone, Copy, Debug)]
struct Calling {
    at: usize,
    function: u32,
}

/// Follows a function from its first instruction to its last, and decides where marks must stand.
#[derive(Debug, Default)]
pub(in crate::plugin) struct Marking {
    marks: Marks,
    /// How many of the marks are of single pieces.
    marked: u64,
    /// The upper end of the operand stack; of the `unknown` values below nothing is known.
    operands: Vec<Origin>,
    unknown: usize,
    /// How often each local has been set so far, in the order of the code.
    versions: Vec<u32>,
    covered: Vec<Covered>,
    /// For each open block, how much of `covered` comes from outside of it.
    outside: Vec<usize>,
    outermost_loop: Option<Loop>,
    calling: Option<Calling>,
}

impl Marking {
    /// What there is to mark.
    pub(in crate::plugin) fn into_marks(self) -> Marks {
        self.marks
    }

    /// Takes note of an instruction, before it has taken its operands.
    pub(in crate::plugin) fn see(&mut self, at: usize, operator: &Operator<'_>) {
        // Whatever a call has stored that ends in a trap is never put back.
        if let Some(calling) = self.calling.take_if(|_| !matches!(operator, Operator::Unreachable)) {
            self.call(calling);
        }
        self.calling = None;
        match operator {
            Operator::Call { function_index } => {
                self.calling = Some(Calling { at, function: *function_index });
            }
            Operator::LocalSet { local_index } | Operator::LocalTee { local_index } => {
                let version = self.version(*local_index);
                *version = version.saturating_add(1);
            }
            Operator::Loop { .. } => {
                if self.outermost_loop.is_none() {
                    let depth = self.outside.len();
                    self.outermost_loop = Some(Loop { at, depth, stores: false, calls: BTreeSet::new() });
                }
                self.outside.push(self.covered.len());
            }
            Operator::Block { .. } | Operator::If { .. } => self.outside.push(self.covered.len()),
            // What only one of the ways to here has marked is not covered.
            Operator::Else => self.covered.truncate(self.outside.last().copied().unwrap_or(0)),
            Operator::End => self.end(),
            Operator::MemoryCopy { .. } | Operator::MemoryFill { .. } | Operator::MemoryInit { .. } => {
                self.need(at, What::Bulk, None);
            }
            _ => {
                if let Some(memarg) = stores_to(operator) {
                    self.store(at, memarg);
                }
            }
        }
    }

    /// Takes note of the operand stack after an instruction; its height is the validator's. `results` is how many of the
    /// values the instruction has left, or more.
    pub(in crate::plugin) fn settle(&mut self, operator: &Operator<'_>, height: usize, results: usize) {
        let origin = match operator {
            Operator::I32Const { value } => Origin::Const(value.cast_unsigned()),
            Operator::LocalGet { local_index } | Operator::LocalTee { local_index } => {
                Origin::Local { local: *local_index, version: *self.version(*local_index) }
            }
            _ => Origin::Unknown,
        };
        let kept = height.saturating_sub(results);
        if is_control(operator)
            || kept < self.unknown
            || kept > self.unknown.saturating_add(self.operands.len())
        {
            self.operands.clear();
            self.unknown = if is_control(operator) { height } else { kept };
        }
        self.operands.truncate(kept.saturating_sub(self.unknown));
        self.operands.resize(height.saturating_sub(self.unknown), origin);
    }

    fn version(&mut self, local: u32) -> &mut u32 {
        let local = local as usize;
        if self.versions.len() <= local {
            self.versions.resize(local.saturating_add(1), 0);
        }
        &mut self.versions[local]
    }

    fn end(&mut self) {
        let outside = self.outside.pop().unwrap_or(0);
        self.covered.truncate(outside);
        let ended = self.outermost_loop.take_if(|outermost| outermost.depth == self.outside.len());
        match ended {
            Some(Loop { at, stores: true, .. }) => self.mark(at, What::Whole, Some(Covered::Whole)),
            Some(Loop { at, calls, .. }) => {
                calls.into_iter().for_each(|function| self.call_outside_of_loops(Calling { at, function }));
            }
            None => {}
        }
    }

    fn call(&mut self, calling: Calling) {
        self.marks.calls.insert(calling.function);
        match &mut self.outermost_loop {
            Some(outermost) => {
                self.marks.calls_in_loops.insert(calling.function);
                outermost.calls.insert(calling.function);
            }
            None => self.call_outside_of_loops(calling),
        }
    }

    fn call_outside_of_loops(&mut self, Calling { at, function }: Calling) {
        let is_covered = |covered: &Covered| match *covered {
            Covered::Whole => true,
            Covered::Call(called) => called == function,
            _ => false,
        };
        if !self.covered.iter().any(is_covered) {
            self.mark(at, What::Call(function), Some(Covered::Call(function)));
        }
    }

    fn store(&mut self, at: usize, memarg: &MemArg) {
        let offset = u32::try_from(memarg.offset).unwrap_or(u32::MAX);
        // The value lies on top of the address.
        let address =
            self.operands.len().checked_sub(2).map_or(Origin::Unknown, |place| self.operands[place]);
        match address {
            Origin::Const(start) => {
                let pieces = Touched::at(start.saturating_add(offset));
                self.need(at, What::Pieces(pieces), Some(Covered::Pieces(pieces)));
            }
            Origin::Local { local, version } if version == *self.version(local) => {
                // A local that points to a few members is marked itself, for all of them.
                let offset_marked = if offset <= NEAR_BYTES { 0 } else { offset };
                let near = |offset| Covered::Near { local, version, offset };
                if !self.is_near(&near(offset)) {
                    self.need(at, What::Local { local, offset: offset_marked }, Some(near(offset_marked)));
                }
            }
            _ => self.need(at, What::Whole, Some(Covered::Whole)),
        }
    }

    /// Whether marks near enough to a local cover a store. In a loop none does: the local may have been another at the
    /// mark, when the loop went round before.
    fn is_near(&self, store: &Covered) -> bool {
        let Covered::Near { local, version, offset } = *store else { return false };
        let covers = |covered: &Covered| {
            matches!(*covered, Covered::Near { local: of, version: when, offset: marked }
                if of == local && when == version && marked.abs_diff(offset) <= NEAR_BYTES)
        };
        self.outermost_loop.is_none() && self.covered.iter().any(covers)
    }

    /// Something is stored here that `what` would mark.
    fn need(&mut self, at: usize, what: What, covers: Option<Covered>) {
        self.marks.stores = true;
        let is_covered = |covered: &Covered| match (*covered, what) {
            (Covered::Whole, _) => true,
            (Covered::Pieces(marked), What::Pieces(pieces)) => marked.covers(pieces),
            _ => false,
        };
        if self.covered.iter().any(is_covered) {
            return;
        }
        if let Some(outermost) = &mut self.outermost_loop {
            outermost.stores = true;
        } else if what == What::Whole || self.marked == limits::FUNCTION_MARKS_MAX {
            self.mark(at, What::Whole, Some(Covered::Whole));
        } else {
            self.marked = self.marked.saturating_add(1);
            self.mark(at, what, covers);
        }
    }

    fn mark(&mut self, at: usize, what: What, covers: Option<Covered>) {
        self.marks.marks.push(Mark { at, what });
        self.covered.extend(covers);
    }
}

/// What an instruction other than a bulk one stores to.
fn stores_to<'a>(operator: &'a Operator<'_>) -> Option<&'a MemArg> {
    match operator {
        Operator::I32Store { memarg }
        | Operator::I64Store { memarg }
        | Operator::F32Store { memarg }
        | Operator::F64Store { memarg }
        | Operator::I32Store8 { memarg }
        | Operator::I32Store16 { memarg }
        | Operator::I64Store8 { memarg }
        | Operator::I64Store16 { memarg }
        | Operator::I64Store32 { memarg } => Some(memarg),
        _ => None,
    }
}

/// Whether other ways than through the instruction before may lead to behind this one, or none.
fn is_control(operator: &Operator<'_>) -> bool {
    matches!(
        operator,
        Operator::Block { .. }
            | Operator::Loop { .. }
            | Operator::If { .. }
            | Operator::Else
            | Operator::End
            | Operator::Br { .. }
            | Operator::BrIf { .. }
            | Operator::BrTable { .. }
            | Operator::Return
            | Operator::Unreachable
    )
}

/// Whether an instruction, no call, leaves nothing on the stack.
pub(in crate::plugin) fn leaves_nothing(operator: &Operator<'_>) -> bool {
    stores_to(operator).is_some()
        || matches!(
            operator,
            Operator::LocalSet { .. }
                | Operator::GlobalSet { .. }
                | Operator::Drop
                | Operator::MemoryCopy { .. }
                | Operator::MemoryFill { .. }
                | Operator::MemoryInit { .. }
        )
}
