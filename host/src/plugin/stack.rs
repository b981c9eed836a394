//! How deep a plugin's calls may nest: counted in the bytecode, so that it is the same on every processor.
//!
//! A native stack overflows at a depth that depends on the compiler and the processor. So each function, before it is
//! compiled, is made to take its frame from a counter and give it back, and to stop itself when the counter does not
//! suffice. The counter starts at [`STACK_BYTES_MAX`](limits::STACK_BYTES_MAX); a frame is counted as more than any
//! compiler makes of it, so the native stack, which is longer than that, never decides. (Should it all the same, the
//! node stops: an engine's own stack overflow is no fault but fatal.)
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

use wasm_encoder::{BlockType, Encode, Instruction};
use wasmparser::{BinaryReader, BinaryReaderError, Operator, OperatorsReader};

use super::body::Function;
use super::engine;
use crate::limits;

/// Of every frame: return address, saved registers, alignment, room for the arguments of calls. In bytes.
const FRAME_BYTES: u64 = 256;

/// Of a parameter, a local or an operand, and of what becomes of one where branches meet, in bytes. None is longer than
/// 8; twice that, because the compiler may keep a value and what it has become at the same time.
const VALUE_BYTES: u64 = 16;

/// Of an instruction, in bytes. The compiler may keep its result until it is needed again, however far that is: it
/// knows equal results as one, and moves those that never change out of loops.
const INSTRUCTION_BYTES: u64 = 16;

/// What the counter holds after it did not suffice.
pub(super) const OVERFLOWN: i32 = -1;

/// The most that any compiler makes of a function's frame, in bytes.
pub(super) fn frame_bytes(function: &Function) -> u64 {
    let values = function.locals.saturating_add(function.operands).saturating_add(function.joined);
    let values = values.saturating_mul(VALUE_BYTES);
    let instructions = function.instructions.saturating_mul(INSTRUCTION_BYTES);
    FRAME_BYTES.saturating_add(values).saturating_add(instructions)
}

/// Whether a function's frame must be counted. A short one that calls nobody need not: there is only one at a time, and
/// the native stack has room for it beyond what is counted.
fn is_counted(function: &Function) -> bool {
    function.calls || frame_bytes(function) > limits::STACK_LEAF_BYTES_MAX
}

/// A function's body with its frame counted by the global `left`; `None` where it may stay as it is. `block` is the type
/// of a block with the function's results.
pub(super) fn counted(
    wasm: &[u8],
    function: &Function,
    left: u32,
    block: BlockType,
) -> Result<Option<Vec<u8>>, BinaryReaderError> {
    if !is_counted(function) {
        return Ok(None);
    }
    // A frame beyond the whole counter is as good as any other that does not fit.
    let frame = i32::try_from(frame_bytes(function)).unwrap_or(i32::MAX);
    let mut body = wasm[function.body.start..function.code.start].to_vec();
    let prologue = [
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
    let epilogue = [
        Instruction::GlobalGet(left),
        Instruction::I32Const(frame),
        Instruction::I32Add,
        Instruction::GlobalSet(left),
        Instruction::End,
    ];
    prologue.iter().for_each(|instruction| instruction.encode(&mut body));
    copy_code(wasm, function, &mut body)?;
    epilogue.iter().for_each(|instruction| instruction.encode(&mut body));
    Ok(Some(body))
}

/// Copies the instructions; `return` becomes a branch out of all blocks.
fn copy_code(wasm: &[u8], function: &Function, body: &mut Vec<u8>) -> Result<(), BinaryReaderError> {
    let code = &wasm[function.code.clone()];
    let start = function.code.start;
    let reader = BinaryReader::new_features(code, start, engine::features());
    let mut operators = OperatorsReader::new(reader);
    // Blocks open at this point: the label of the one around them all.
    let mut depth = 0_u32;
    while !operators.eof() {
        let from = operators.original_position();
        let operator = operators.read()?;
        let to = operators.original_position();
        match operator {
            Operator::Return => Instruction::Br(depth).encode(body),
            _ => body.extend_from_slice(&wasm[from..to]),
        }
        match operator {
            Operator::Block { .. } | Operator::Loop { .. } | Operator::If { .. } => {
                depth = depth.saturating_add(1);
            }
            Operator::End => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Ok(())
}
