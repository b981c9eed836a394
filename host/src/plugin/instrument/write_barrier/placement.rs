//! Where one function needs barriers.

use std::collections::BTreeSet;

use wasmparser::{
    BinaryReaderError, CompositeInnerType, FuncValidator, FunctionBody, MemArg, Operator, OperatorsReader,
    ValidatorResources, WasmModuleResources as _,
};

use super::barrier::{Barrier, FunctionBarriers, Pages};
use super::dirty_pages::{DirtyPages, MARGIN_BYTES};
use crate::limits;
use crate::plugin::validate::features;

/// Longest store, in bytes.
const STORE_BYTES_MAX: u32 = 8;

/// How far from a recorded address a store may begin and be covered.
const NEAR_BYTES: u32 = MARGIN_BYTES - STORE_BYTES_MAX;

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

/// What the barriers passed on every way to here cover.
#[derive(Clone, Copy, Debug)]
enum Covered {
    All,
    Pages(DirtyPages),
    /// What lies near `offset` from a local.
    Near {
        local: u32,
        version: u32,
        offset: u32,
    },
    /// Calls of a function, should it be barrier-free.
    Call(u32),
}

/// The outermost of the loops that are open.
#[derive(Debug)]
struct Loop {
    at: usize,
    /// Blocks open around it.
    depth: usize,
    /// Whether it stores anything that is not covered before it.
    stores: bool,
    calls: BTreeSet<u32>,
}

/// A call, until it is known whether it comes back.
#[derive(Clone, Copy, Debug)]
struct PendingCall {
    at: usize,
    function: u32,
}

/// Follows a function from its first instruction to its last, and decides where barriers must stand.
#[derive(Debug, Default)]
struct Placement {
    found: FunctionBarriers,
    /// How many of the barriers are of some pages.
    of_some_pages: u64,
    /// The upper end of the operand stack; of the `unknown` values below nothing is known.
    operands: Vec<Origin>,
    unknown: usize,
    /// How often each local has been set so far, in the order of the code.
    versions: Vec<u32>,
    covered: Vec<Covered>,
    /// For each open block, how much of `covered` comes from outside of it.
    outside: Vec<usize>,
    outermost_loop: Option<Loop>,
    pending: Option<PendingCall>,
}

/// Where a valid function needs barriers.
///
/// # Errors
///
/// Never for what is valid.
pub(super) fn place(
    validator: &mut FuncValidator<ValidatorResources>,
    body: &FunctionBody<'_>,
) -> Result<FunctionBarriers, BinaryReaderError> {
    let mut reader = body.get_binary_reader();
    validator.read_locals(&mut reader)?;
    reader.set_features(features());
    let mut operators = OperatorsReader::new(reader);
    let mut placement = Placement::default();
    while !operators.eof() {
        let (operator, at) = operators.read_with_offset()?;
        validator.op(at, &operator)?;
        placement.place(at, &operator);
        let height = validator.operand_stack_height() as usize;
        placement.follow_operands(&operator, height, results(&operator, validator.resources()));
    }
    Ok(placement.found)
}

/// How many values an instruction leaves on the stack, or more.
fn results(operator: &Operator<'_>, module: &ValidatorResources) -> usize {
    let ty = match operator {
        Operator::Call { function_index } => module.type_index_of_function(*function_index),
        Operator::CallIndirect { type_index, .. } => Some(*type_index),
        _ => return usize::from(!leaves_nothing(operator)),
    };
    match ty.and_then(|ty| module.sub_type_at(ty)).map(|ty| &ty.composite_type.inner) {
        Some(CompositeInnerType::Func(ty)) => ty.results().len(),
        _ => usize::MAX,
    }
}

impl Placement {
    /// Follows an instruction, before it has taken its operands.
    fn place(&mut self, at: usize, operator: &Operator<'_>) {
        // Where a call ends in a trap, its instance is never reset.
        if let Some(pending) = self.pending.take_if(|_| !matches!(operator, Operator::Unreachable)) {
            self.call(pending);
        }
        self.pending = None;
        match operator {
            Operator::Call { function_index } => {
                self.pending = Some(PendingCall { at, function: *function_index });
            }
            Operator::LocalSet { local_index } | Operator::LocalTee { local_index } => {
                let version = self.version(*local_index);
                *version = version.saturating_add(1);
            }
            Operator::Loop { .. } => {
                let depth = self.outside.len();
                let opened = || Loop { at, depth, stores: false, calls: BTreeSet::new() };
                self.outermost_loop.get_or_insert_with(opened);
                self.outside.push(self.covered.len());
            }
            Operator::Block { .. } | Operator::If { .. } => self.outside.push(self.covered.len()),
            // What only one of the ways to here has recorded is not covered.
            Operator::Else => self.covered.truncate(self.outside.last().copied().unwrap_or(0)),
            Operator::End => self.end(),
            Operator::MemoryCopy { .. } | Operator::MemoryFill { .. } | Operator::MemoryInit { .. } => {
                self.require(at, Pages::OfOperands, None);
            }
            _ => {
                if let Some(memarg) = stores_to(operator) {
                    self.store(at, memarg);
                }
            }
        }
    }

    /// Follows the operand stack over an instruction, after which the validator says its height. `results` is how many of
    /// the values the instruction has left, or more.
    fn follow_operands(&mut self, operator: &Operator<'_>, height: usize, results: usize) {
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
            Some(Loop { at, stores: true, .. }) => self.add(at, Pages::All, Some(Covered::All)),
            Some(Loop { at, calls, .. }) => {
                calls
                    .into_iter()
                    .for_each(|function| self.call_outside_of_loops(PendingCall { at, function }));
            }
            None => {}
        }
    }

    fn call(&mut self, pending: PendingCall) {
        self.found.calls.insert(pending.function);
        match &mut self.outermost_loop {
            Some(outermost) => {
                self.found.calls_in_loops.insert(pending.function);
                outermost.calls.insert(pending.function);
            }
            None => self.call_outside_of_loops(pending),
        }
    }

    fn call_outside_of_loops(&mut self, PendingCall { at, function }: PendingCall) {
        let is_covered = |covered: &Covered| match *covered {
            Covered::All => true,
            Covered::Call(called) => called == function,
            _ => false,
        };
        if !self.covered.iter().any(is_covered) {
            self.add(at, Pages::IfStores(function), Some(Covered::Call(function)));
        }
    }

    fn store(&mut self, at: usize, memarg: &MemArg) {
        let offset = u32::try_from(memarg.offset).unwrap_or(u32::MAX);
        // The value lies on top of the address.
        let address =
            self.operands.len().checked_sub(2).map_or(Origin::Unknown, |place| self.operands[place]);
        match address {
            Origin::Const(start) => {
                let pages = DirtyPages::of_address(start.saturating_add(offset));
                self.require(at, Pages::Known(pages), Some(Covered::Pages(pages)));
            }
            Origin::Local { local, version } if version == *self.version(local) => {
                // A local that points to a few members is recorded itself, for all of them.
                let offset_recorded = if offset <= NEAR_BYTES { 0 } else { offset };
                let near = |offset| Covered::Near { local, version, offset };
                if !self.is_near(&near(offset)) {
                    self.require(
                        at,
                        Pages::OfLocal { local, offset: offset_recorded },
                        Some(near(offset_recorded)),
                    );
                }
            }
            _ => self.require(at, Pages::All, Some(Covered::All)),
        }
    }

    /// Whether barriers near enough to a local cover a store. In a loop none does: the local may have been another at the
    /// barrier, when the loop went round before.
    fn is_near(&self, store: &Covered) -> bool {
        let Covered::Near { local, version, offset } = *store else { return false };
        let covers = |covered: &Covered| {
            matches!(*covered, Covered::Near { local: of, version: when, offset: recorded }
                if of == local && when == version && recorded.abs_diff(offset) <= NEAR_BYTES)
        };
        self.outermost_loop.is_none() && self.covered.iter().any(covers)
    }

    /// Something is stored here, in pages that a barrier of `records` would record.
    fn require(&mut self, at: usize, records: Pages, covers: Option<Covered>) {
        self.found.stores = true;
        let is_covered = |covered: &Covered| match (*covered, records) {
            (Covered::All, _) => true,
            (Covered::Pages(recorded), Pages::Known(pages)) => recorded.contains(pages),
            _ => false,
        };
        if self.covered.iter().any(is_covered) {
            return;
        }
        if let Some(outermost) = &mut self.outermost_loop {
            outermost.stores = true;
        } else if records == Pages::All || self.of_some_pages == limits::FUNCTION_BARRIERS_MAX {
            self.add(at, Pages::All, Some(Covered::All));
        } else {
            self.of_some_pages = self.of_some_pages.saturating_add(1);
            self.add(at, records, covers);
        }
    }

    fn add(&mut self, at: usize, records: Pages, covers: Option<Covered>) {
        self.found.barriers.push(Barrier { at, records });
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
fn leaves_nothing(operator: &Operator<'_>) -> bool {
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
