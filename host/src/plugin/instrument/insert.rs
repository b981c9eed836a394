//! Putting instructions into a function: the write barrier's in front of stores, those that cost fuel where compiled code does
//! more than it says, and the stack counter's around all of it.

use wasm_encoder::{Encode, Instruction, ValType};
use wasmparser::{BinaryReader, BinaryReaderError, Operator, OperatorsReader};

use super::fuel::Charge;
use super::stack::{Added, Counting};
use crate::plugin::validate::{Function, features};

/// Costs a unit of fuel, and compiles to nothing.
const UNIT: Instruction<'static> = Instruction::Nop;

/// What goes into a function's code beside its counting.
#[derive(Default)]
pub(super) struct Insertions {
    /// In front of the instruction there, in the order of the code.
    pub(super) instructions: Vec<(usize, Vec<Instruction<'static>>)>,
    /// More locals, of type i32.
    pub(super) locals: u32,
    /// In the order of the code.
    pub(super) charges: Vec<Charge>,
}

impl Insertions {
    /// What its frame grows by: nothing is left of its charges once they are compiled.
    pub(super) fn added(&self) -> Added {
        let instructions = self.instructions.iter().map(|(_, instructions)| instructions.len() as u64);
        Added { locals: u64::from(self.locals), instructions: instructions.sum() }
    }

    /// The function's body with all that is inserted.
    ///
    /// # Errors
    ///
    /// Never for a valid module.
    pub(super) fn body(
        &self,
        wasm: &[u8],
        function: &Function,
        counting: Option<&Counting>,
    ) -> Result<Vec<u8>, BinaryReaderError> {
        if counting.is_none() && self.instructions.is_empty() && self.charges.is_empty() {
            return Ok(wasm[function.body.clone()].to_vec());
        }
        let mut body = Vec::with_capacity(function.body.len().saturating_mul(2));
        locals(wasm, function, self.locals, &mut body)?;
        let (before, after) =
            counting.map_or((&[][..], &[][..]), |counting| (&counting.before, &counting.after));
        before.iter().for_each(|instruction| instruction.encode(&mut body));
        self.copy_code(wasm, function, counting.is_some(), &mut body)?;
        after.iter().for_each(|instruction| instruction.encode(&mut body));
        Ok(body)
    }

    /// Copies the instructions, with what is inserted in front of some of them. Where all of them have been put into a
    /// block, `return` becomes a branch out of all blocks.
    fn copy_code(
        &self,
        wasm: &[u8],
        function: &Function,
        is_in_block: bool,
        body: &mut Vec<u8>,
    ) -> Result<(), BinaryReaderError> {
        let code = &wasm[function.code.clone()];
        let reader = BinaryReader::new_features(code, function.code.start, features());
        let mut operators = OperatorsReader::new(reader);
        let mut inserted = self.instructions.iter().peekable();
        let mut charges = self.charges.iter().peekable();
        // Blocks open at this point: the label of the one around them all.
        let mut depth = 0_u32;
        while !operators.eof() {
            let from = operators.original_position();
            let operator = operators.read()?;
            let to = operators.original_position();
            while let Some((_, instructions)) = inserted.next_if(|(at, _)| *at == from) {
                instructions.iter().for_each(|instruction| instruction.encode(body));
            }
            while let Some(charge) = charges.next_if(|charge| charge.at == from) {
                (0..charge.units).for_each(|_| UNIT.encode(body));
            }
            match operator {
                Operator::Return if is_in_block => Instruction::Br(depth).encode(body),
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
        debug_assert!(inserted.next().is_none() && charges.next().is_none(), "in the order of the code");
        Ok(())
    }
}

/// The declarations of the function's locals, and of `more`.
fn locals(wasm: &[u8], function: &Function, more: u32, body: &mut Vec<u8>) -> Result<(), BinaryReaderError> {
    let declared = &wasm[function.body.start..function.code.start];
    if more == 0 {
        body.extend_from_slice(declared);
        return Ok(());
    }
    let mut reader = BinaryReader::new(declared, function.body.start);
    let groups = reader.read_var_u32()?;
    groups.saturating_add(1).encode(body);
    body.extend_from_slice(reader.read_bytes(reader.bytes_remaining())?);
    more.encode(body);
    ValType::I32.encode(body);
    Ok(())
}
