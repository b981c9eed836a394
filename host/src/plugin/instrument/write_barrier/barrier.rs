//! A barrier: which pages it records as dirty, and the instructions that do it.

use std::collections::BTreeSet;

use wasm_encoder::Instruction;

use super::dirty_pages::{DirtyPages, PAGE_SHIFT};

/// Locals that a function gets if it needs any: the operands of a bulk instruction.
pub(super) const OPERAND_LOCALS: u32 = 3;

/// What is to be inserted in front of an instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Barrier {
    /// Where the instruction begins.
    pub(super) at: usize,
    pub(super) records: Pages,
}

/// Which pages a barrier records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pages {
    All,
    /// Known from constants.
    Known(DirtyPages),
    /// The page of a local's value and an offset.
    OfLocal {
        local: u32,
        offset: u32,
    },
    /// Those that a bulk instruction writes to, by its three operands: where to, what or from where, how much.
    OfOperands,
    /// In front of a call: all, if the function called is barrier-free and stores; else none.
    IfStores(u32),
}

/// Where one function needs barriers, as far as that can be said without the others.
#[derive(Debug, Default)]
pub(super) struct FunctionBarriers {
    /// In the order of the code.
    pub(super) barriers: Vec<Barrier>,
    /// Whether it has any store at all.
    pub(super) stores: bool,
    /// What it calls and comes back from.
    pub(super) calls: BTreeSet<u32>,
    pub(super) calls_in_loops: BTreeSet<u32>,
}

impl Barrier {
    /// Whether it needs [`OPERAND_LOCALS`].
    pub(super) fn takes_operands(&self) -> bool {
        self.records == Pages::OfOperands
    }

    /// Whether it records less than all pages.
    pub(super) fn is_of_some_pages(&self) -> bool {
        !matches!(self.records, Pages::All | Pages::IfStores(_))
    }

    /// Has it record all pages instead.
    pub(super) fn of_all_pages(&self) -> Self {
        Self { at: self.at, records: Pages::All }
    }

    /// The instructions; `dirty` is the global they set, `first_operand` the first of [`OPERAND_LOCALS`].
    pub(super) fn instructions(&self, dirty: u32, first_operand: u32) -> Vec<Instruction<'static>> {
        use Instruction::{
            GlobalGet, GlobalSet, I32Add, I32And, I32Const, I32Or, I32Shl, I32ShrU, I32Sub, LocalGet,
            LocalSet, LocalTee,
        };
        let shift = I32Const(PAGE_SHIFT.cast_signed());
        let add =
            |more: &[Instruction<'static>]| [&[GlobalGet(dirty)], more, &[I32Or, GlobalSet(dirty)]].concat();
        match self.records {
            Pages::All | Pages::IfStores(_) => vec![I32Const(-1), GlobalSet(dirty)],
            Pages::Known(pages) => add(&[I32Const(pages.bits())]),
            Pages::OfLocal { local, offset: 0 } => {
                add(&[I32Const(1), LocalGet(local), shift, I32ShrU, I32Shl])
            }
            Pages::OfLocal { local, offset } => {
                let offset = I32Const(offset.cast_signed());
                add(&[I32Const(1), LocalGet(local), offset, I32Add, shift, I32ShrU, I32Shl])
            }
            Pages::OfOperands => {
                let start = first_operand;
                let (value, len) = (start.saturating_add(1), start.saturating_add(2));
                let operands =
                    [LocalSet(len), LocalSet(value), LocalTee(start), LocalGet(value), LocalGet(len)];
                let from_start = [I32Const(-1), LocalGet(start), shift.clone(), I32ShrU, I32Shl];
                let last = [LocalGet(start), LocalGet(len), I32Add, I32Const(1), I32Sub, shift, I32ShrU];
                let to_last = [&[I32Const(-1), I32Const(31)], last.as_slice(), &[I32Sub, I32ShrU]].concat();
                let pages = [from_start.as_slice(), &to_last, &[I32And]].concat();
                [operands.as_slice(), &add(&pages)].concat()
            }
        }
    }
}
