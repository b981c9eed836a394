//! How deep a plugin's calls may nest: counted in the bytecode, so that it is the same on every processor.
//!
//! A native stack overflows at a depth that depends on the compiler and the processor. So each function, before it is
//! compiled, is made to take its frame from a counter and give it back, and to stop itself when the counter does not
//! suffice. The counter starts at [`STACK_BYTES_MAX`](limits::STACK_BYTES_MAX); a frame is counted as more than any
//! compiler makes of it, so the native stack, which is longer than that, never decides. (Should it all the same, the
//! node stops: an engine's own stack overflow is no fault but fatal.)
//!
//! A function is not counted if all that it can come to call is known, has an end, and fits into
//! [`STACK_UNCOUNTED_BYTES_MAX`](limits::STACK_UNCOUNTED_BYTES_MAX) together with it. What it calls is not counted
//! either then, so there is only one such tree of calls at a time, and the native stack has space for it beyond what is
//! counted. Most functions of a filter are like that, and those that compute most.
//!
//! # Format
//!
//! What a counted function becomes, `c` being its frame's bytes:
//!
//! ```text
//! if left < c { left = -1; unreachable }      -1 tells the host why
//! left = left - c
//! block                                        the body as it was, but for:
//!   ...                                        return  ->  br out of the block
//! end
//! left = left + c
//! ```
//!
//! A branch to the end of the function is one out of the block now, by itself: the numbers of labels stay.
//!
//! # Determinism
//!
//! The instructions added cost fuel. What they are, and how a frame is counted, is part of the engine id.

use wasm_encoder::{BlockType, Instruction};

use crate::limits;
use crate::plugin::validate::Function;

/// Of every frame: return address, saved registers, alignment, space for the arguments of calls. In bytes.
const FRAME_BYTES: u64 = 256;

/// Of a parameter, a local or an operand, and of what becomes of one where branches meet, in bytes. A float is kept in 16; twice
/// that, because the compiler may keep a value and what it has become at the same time, or pass it on the stack.
const VALUE_BYTES: u64 = 32;

/// Of an instruction, in bytes. The compiler may keep its result until it is needed again, however far that is: it
/// knows equal results as one, and moves those that never change out of loops.
const INSTRUCTION_BYTES: u64 = 16;

/// What the counter holds after it did not suffice.
pub(in crate::plugin) const OVERFLOWN: i32 = -1;

/// The most that any compiler makes of a function's frame, in bytes, with what is `added` to the function beside counting.
pub(super) fn frame_bytes(function: &Function, added: Added) -> u64 {
    let values = function.locals.saturating_add(function.operands).saturating_add(function.arriving);
    let values = values.saturating_add(added.locals).saturating_mul(VALUE_BYTES);
    let instructions = function.instructions.saturating_add(added.instructions);
    FRAME_BYTES.saturating_add(values).saturating_add(instructions.saturating_mul(INSTRUCTION_BYTES))
}

/// What a function has more than its author gave it, without what is inserted to cost fuel: that compiles to nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Added {
    pub(super) locals: u64,
    pub(super) instructions: u64,
}

/// The instructions that count a frame.
pub(super) struct Counting {
    /// In front of the function's own.
    pub(super) before: [Instruction<'static>; 13],
    /// Behind them.
    pub(super) after: [Instruction<'static>; 5],
}

/// Which functions must be counted; `frames` are their frames' bytes.
pub(super) fn counted(functions: &[Function], frames: &[u64]) -> Vec<bool> {
    let mut counted = vec![true; functions.len()];
    let mut callers = vec![Vec::new(); functions.len()];
    for (caller, function) in functions.iter().enumerate() {
        function.callees.iter().for_each(|callee| callers[*callee as usize].push(caller));
    }
    // Of each function: callees that are counted, as far as known, and the deepest stack of the others.
    let mut counted_callees: Vec<usize> = functions.iter().map(|function| function.callees.len()).collect();
    let mut below = vec![0_u64; functions.len()];
    let mut ready: Vec<usize> =
        (0..functions.len()).filter(|function| counted_callees[*function] == 0).collect();
    while let Some(function) = ready.pop() {
        let bytes = frames[function].saturating_add(below[function]);
        if functions[function].calls_indirectly || bytes > limits::STACK_UNCOUNTED_BYTES_MAX {
            continue;
        }
        counted[function] = false;
        for caller in callers[function].iter().copied() {
            below[caller] = below[caller].max(bytes);
            counted_callees[caller] = counted_callees[caller].saturating_sub(1);
            if counted_callees[caller] == 0 {
                ready.push(caller);
            }
        }
    }
    counted
}

/// How a frame of so many bytes is counted by the global `left`; `block` is the type of a block with the function's
/// results.
pub(super) fn counting(frame_bytes: u64, left: u32, block: BlockType) -> Counting {
    // A frame beyond the whole counter is as good as any other that does not fit.
    let frame = i32::try_from(frame_bytes).unwrap_or(i32::MAX);
    let before = [
        Instruction::GlobalGet(left),
        Instruction::I32Const(frame),
        Instruction::I32LtU,
        Instruction::If(BlockType::Empty),
        Instruction::I32Const(OVERFLOWN),
        Instruction::GlobalSet(left),
        Instruction::Unreachable,
        Instruction::End,
        Instruction::GlobalGet(left),
        Instruction::I32Const(frame),
        Instruction::I32Sub,
        Instruction::GlobalSet(left),
        Instruction::Block(block),
    ];
    let after = [
        Instruction::GlobalGet(left),
        Instruction::I32Const(frame),
        Instruction::I32Add,
        Instruction::GlobalSet(left),
        Instruction::End,
    ];
    Counting { before, after }
}
