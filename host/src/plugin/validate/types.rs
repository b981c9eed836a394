//! A validated module, and how much of each limit it uses.

use std::collections::BTreeSet;
use std::ops::Range;

use wasmparser::{SectionLimited, ValType};

use super::error::{Item, ValidateError};

/// Name of the estimate in messages and in [`Use`].
pub(super) const COMPILE_WORK: &str = "units of compile work";

/// How much of one limit a module uses: of the limits on each of several, what the one has that comes closest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Use {
    /// Of what.
    pub what: &'static str,
    /// How many there are.
    pub found: u64,
    /// The limit.
    pub max: u64,
    /// Of a limit on each of several: the one that has the most.
    pub item: Option<Item>,
}

/// A valid module within all limits.
#[derive(Debug)]
pub(in crate::plugin) struct ValidModule<'a> {
    pub(in crate::plugin) wasm: &'a [u8],
    /// The sections in order: id, and place of the content.
    pub(in crate::plugin) sections: Vec<(u8, Range<usize>)>,
    pub(in crate::plugin) types: Items,
    pub(in crate::plugin) globals: Items,
    pub(in crate::plugin) exports: Items,
    pub(in crate::plugin) mutable_globals: Vec<u32>,
    /// Names and indices of the globals that are exported.
    pub(in crate::plugin) exported_globals: Vec<(String, u32)>,
    /// In the order of their indices.
    pub(in crate::plugin) functions: Vec<Function>,
    /// Those that can be called from outside of the code: by the host, or through a table.
    pub(in crate::plugin) entered: BTreeSet<u32>,
    /// Whether all of an instance's state is its memory and its globals.
    pub(in crate::plugin) keeps_to_memory_and_globals: bool,
    /// Length of the memory at first, in bytes.
    pub(in crate::plugin) memory_bytes: u64,
    /// Of its table, at first.
    pub(in crate::plugin) table_elements: u64,
    /// Passive element segments.
    pub(in crate::plugin) passive_segments: u64,
    /// The elements of all of these.
    pub(in crate::plugin) passive_elements: u64,
    /// Each limit that was checked, in that order.
    pub(in crate::plugin) used: Vec<Use>,
}

impl ValidModule<'_> {
    /// Takes note of how much of a limit is used: of several items the one that uses most.
    pub(super) fn count(&mut self, new: Use) {
        let same = |old: &&mut Use| old.what == new.what && old.item.is_some() == new.item.is_some();
        match self.used.iter_mut().find(same) {
            Some(old) if old.found >= new.found => {}
            Some(old) => *old = new,
            None => self.used.push(new),
        }
    }

    /// Counts what a module has, and refuses more than its limit.
    pub(super) fn check(&mut self, what: &'static str, found: u64, max: u64) -> Result<(), ValidateError> {
        self.count(Use { what, found, max, item: None });
        if found > max {
            Err(ValidateError::TooMany { what, found, max, unoptimised: false })
        } else {
            Ok(())
        }
    }

    /// The same for one of several.
    pub(super) fn check_item(
        &mut self,
        item: Item,
        what: &'static str,
        found: u64,
        max: u64,
    ) -> Result<(), ValidateError> {
        self.count(Use { what, found, max, item: Some(item) });
        if found > max {
            Err(ValidateError::Item { item: item.into(), what, found, max, unoptimised: false })
        } else {
            Ok(())
        }
    }
}

/// A section's items: how many, and where the first lies.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::plugin) struct Items {
    pub(in crate::plugin) count: u32,
    pub(in crate::plugin) first: usize,
}

impl<T> From<&SectionLimited<'_, T>> for Items {
    fn from(section: &SectionLimited<'_, T>) -> Self {
        Self { count: section.count(), first: section.original_position() }
    }
}

/// A place in a function's code that a branch goes to, or that stands behind one.
#[derive(Clone, Copy, Debug)]
pub(in crate::plugin) struct Arrival {
    /// The instruction there.
    pub(in crate::plugin) at: usize,
    /// Locals and operands there.
    pub(in crate::plugin) live: u64,
    /// If there are several ways there: locals that are set on some of them, and values that branches carry there.
    pub(in crate::plugin) joined: u64,
}

/// What a function takes of its caller's stack, as far as the bytecode says, and what it calls.
#[derive(Debug)]
pub(in crate::plugin) struct Function {
    /// Its body: locals, then instructions.
    pub(in crate::plugin) body: Range<usize>,
    /// Its instructions.
    pub(in crate::plugin) code: Range<usize>,
    pub(in crate::plugin) results: Vec<ValType>,
    /// Parameters and locals.
    pub(in crate::plugin) locals: u64,
    /// Most values on the operand stack at any point.
    pub(in crate::plugin) operands: u64,
    /// Number of instructions.
    pub(in crate::plugin) instructions: u64,
    /// Values that branches carry, and locals that meet where they arrive, summed.
    pub(in crate::plugin) arriving: u64,
    /// Where branches arrive and where they do not go, in no order.
    pub(in crate::plugin) arrivals: Vec<Arrival>,
    /// The functions it calls by their index.
    pub(in crate::plugin) callees: BTreeSet<u32>,
    /// Whether it calls any through a table.
    pub(in crate::plugin) calls_indirectly: bool,
}

/// A function's type, or a block's.
#[derive(Debug)]
pub(super) struct Type {
    pub(super) params: u64,
    pub(super) results: Vec<ValType>,
}
