//! One mark: what it says, and the instructions that say it.

use wasm_encoder::Instruction;

use crate::plugin::instrument::dirty_pages::{PIECE_SHIFT, Touched};

/// Locals that a function gets if it needs any: what a bulk instruction takes.
pub(in crate::plugin) const TAKEN_LOCALS: u32 = 3;

/// What is to be inserted in front of an instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::plugin) struct Mark {
    /// Where the instruction begins.
    pub(in crate::plugin) at: usize,
    pub(super) what: What,
}

/// What a mark says of what is stored to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    Whole,
    Pieces(Touched),
    /// The piece of a local's value and an offset.
    Local {
        local: u32,
        offset: u32,
    },
    /// Three operands: where the bulk instruction writes, what, and how much.
    Bulk,
    /// As the whole memory, if this function is silent and stores; else nothing.
    Call(u32),
}

impl Mark {
    /// Whether it needs [`TAKEN_LOCALS`].
    pub(in crate::plugin) fn takes_operands(&self) -> bool {
        self.what == What::Bulk
    }

    /// Whether it says less than the whole memory.
    pub(in crate::plugin) fn is_of_pieces(&self) -> bool {
        !matches!(self.what, What::Whole | What::Call(_))
    }

    /// Has it say the whole memory instead.
    pub(in crate::plugin) fn whole(&self) -> Self {
        Self { at: self.at, what: What::Whole }
    }

    /// The instructions; `first_taken` is the first of [`TAKEN_LOCALS`].
    pub(in crate::plugin) fn instructions(
        &self,
        touched: u32,
        first_taken: u32,
    ) -> Vec<Instruction<'static>> {
        use Instruction::{
            GlobalGet, GlobalSet, I32Add, I32And, I32Const, I32Or, I32Shl, I32ShrU, I32Sub, LocalGet,
            LocalSet, LocalTee,
        };
        let shift = I32Const(PIECE_SHIFT.cast_signed());
        let add = |more: &[Instruction<'static>]| {
            [&[GlobalGet(touched)], more, &[I32Or, GlobalSet(touched)]].concat()
        };
        match self.what {
            What::Whole | What::Call(_) => vec![I32Const(-1), GlobalSet(touched)],
            What::Pieces(pieces) => add(&[I32Const(pieces.bits())]),
            What::Local { local, offset: 0 } => add(&[I32Const(1), LocalGet(local), shift, I32ShrU, I32Shl]),
            What::Local { local, offset } => {
                let offset = I32Const(offset.cast_signed());
                add(&[I32Const(1), LocalGet(local), offset, I32Add, shift, I32ShrU, I32Shl])
            }
            What::Bulk => {
                let start = first_taken;
                let (what, len) = (start.saturating_add(1), start.saturating_add(2));
                let operands =
                    [LocalSet(len), LocalSet(what), LocalTee(start), LocalGet(what), LocalGet(len)];
                let from_start = [I32Const(-1), LocalGet(start), shift.clone(), I32ShrU, I32Shl];
                let last = [LocalGet(start), LocalGet(len), I32Add, I32Const(1), I32Sub, shift, I32ShrU];
                let to_last = [&[I32Const(-1), I32Const(31)], last.as_slice(), &[I32Sub, I32ShrU]].concat();
                let pieces = [from_start.as_slice(), &to_last, &[I32And]].concat();
                [operands.as_slice(), &add(&pieces)].concat()
            }
        }
    }
}
