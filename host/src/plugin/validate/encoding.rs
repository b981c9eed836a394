//! The encodings that a plugin may use: of all that the validator reads, what every engine of the last ten years does.
//!
//! The features that are off say which *meaning* is refused. Newer proposals also brought other bytes for an old meaning:
//! a function's type may be a recursive group of one, `funcref` a nullable reference, a segment's flags a padded number.
//! A validator takes those or not as its version likes, and a patch release of the engine would split the network over
//! it. So the bytes are on a list here. Numbers may be padded (LEB128), as the specification has it and linkers do.
//!
//! Instructions need no such list: none of the features that are on has two encodings of one.

use std::ops::RangeInclusive;

use wasmparser::{BinaryReader, ConstExpr};

use super::error::ValidateError;
use super::features::features;

/// `i32`, `i64`, `f32`, `f64`.
const NUMBER: RangeInclusive<u8> = 0x7c..=0x7f;

/// `funcref`.
const REFERENCE: RangeInclusive<u8> = 0x70..=0x70;

/// Checks the encoding of a section that is valid; `offset` is where its content begins in the module.
///
/// # Errors
///
/// The first byte that is not on the list.
pub(super) fn check(id: u8, content: &[u8], offset: usize) -> Result<(), ValidateError> {
    let item = match id {
        1 => function_type,
        2 => import,
        4 => table,
        5 => memory,
        6 => global,
        7 => export,
        9 => element_segment,
        11 => data_segment,
        // Custom sections are left out of what is compiled, and of the others the validator takes one encoding only.
        0 | 3 | 10 | 12 => return Ok(()),
        _ => {
            let reason = format!("section {id} has no place in a plugin (at offset {offset:#x})");
            return Err(ValidateError::Invalid { reason });
        }
    };
    let mut reader = BinaryReader::new_features(content, offset, features());
    for _ in 0..reader.read_var_u32()? {
        item(&mut reader)?;
    }
    Ok(())
}

/// Imports have been refused already; a group of none is left.
fn import(reader: &mut BinaryReader<'_>) -> Result<(), ValidateError> {
    let at = reader.original_position();
    Err(ValidateError::Invalid {
        reason: format!("an import section that names nothing (at offset {at:#x})"),
    })
}

/// Reads a byte that must be one of those.
fn byte(reader: &mut BinaryReader<'_>, what: &str, allowed: RangeInclusive<u8>) -> Result<u8, ValidateError> {
    let at = reader.original_position();
    let found = reader.read_u8()?;
    if allowed.contains(&found) {
        return Ok(found);
    }
    let (first, last) = allowed.into_inner();
    let expected =
        if first == last { format!("{first:#04x}") } else { format!("{first:#04x} to {last:#04x}") };
    let reason = format!("{what} is encoded as {found:#04x}, but must be {expected} (at offset {at:#x})");
    Err(ValidateError::Invalid { reason })
}

fn function_type(reader: &mut BinaryReader<'_>) -> Result<(), ValidateError> {
    byte(reader, "a type", 0x60..=0x60)?;
    for what in ["a parameter's type", "a result's type"] {
        for _ in 0..reader.read_var_u32()? {
            byte(reader, what, NUMBER)?;
        }
    }
    Ok(())
}

fn table(reader: &mut BinaryReader<'_>) -> Result<(), ValidateError> {
    byte(reader, "a table's element type", REFERENCE)?;
    memory(reader)
}

/// Of a memory, and of a table: a flag for the maximum, then one or two numbers.
fn memory(reader: &mut BinaryReader<'_>) -> Result<(), ValidateError> {
    let has_maximum = byte(reader, "the kind of a memory's or table's limits", 0..=1)? == 1;
    reader.read_var_u32()?;
    if has_maximum {
        reader.read_var_u32()?;
    }
    Ok(())
}

fn global(reader: &mut BinaryReader<'_>) -> Result<(), ValidateError> {
    byte(reader, "a global's type", NUMBER)?;
    byte(reader, "a global's mutability", 0..=1)?;
    reader.read::<ConstExpr<'_>>()?;
    Ok(())
}

fn export(reader: &mut BinaryReader<'_>) -> Result<(), ValidateError> {
    reader.read_string()?;
    byte(reader, "an export's kind", 0..=3)?;
    reader.read_var_u32()?;
    Ok(())
}

fn element_segment(reader: &mut BinaryReader<'_>) -> Result<(), ValidateError> {
    let flags = byte(reader, "the kind of an element segment", 0..=7)?;
    let (is_active, says_more, has_expressions) = (flags & 1 == 0, flags & 3 != 0, flags & 4 != 0);
    if is_active {
        if flags & 2 != 0 {
            reader.read_var_u32()?;
        }
        reader.read::<ConstExpr<'_>>()?;
    }
    if says_more {
        let kind = if has_expressions { REFERENCE } else { 0..=0 };
        byte(reader, "the element type of a segment", kind)?;
    }
    for _ in 0..reader.read_var_u32()? {
        if has_expressions {
            reader.read::<ConstExpr<'_>>()?;
        } else {
            reader.read_var_u32()?;
        }
    }
    Ok(())
}

fn data_segment(reader: &mut BinaryReader<'_>) -> Result<(), ValidateError> {
    let flags = byte(reader, "the kind of a data segment", 0..=2)?;
    if flags == 2 {
        reader.read_var_u32()?;
    }
    if flags != 1 {
        reader.read::<ConstExpr<'_>>()?;
    }
    let bytes = reader.read_var_u32()?;
    reader.read_bytes(usize::try_from(bytes).unwrap_or(usize::MAX))?;
    Ok(())
}
