//! Where the fields of objects lie in the canonical text, and their order (RFC 8785, section 3.2.3).

use alloc::string::String;
use alloc::vec::Vec;
use core::cmp::Ordering;
use core::ops::Range;

use crate::problem::Problem;
use crate::text::{compare, compare_to_name};

/// A field of an object that is not closed yet.
#[derive(Clone, Copy)]
pub(crate) struct Field {
    /// Where its name stands in the transaction.
    tx_at: usize,
    /// Its name with the quotes, and its value, in the text.
    start: usize,
    name_end: usize,
    end: usize,
    /// The name is ASCII without escapes.
    plain: bool,
}

impl Field {
    pub(crate) fn new(tx_at: usize, start: usize, name_end: usize, plain: bool) -> Self {
        Self { tx_at, start, name_end, end: 0, plain }
    }

    /// The name without its quotes.
    fn name<'a>(&self, text: &'a [u8]) -> &'a [u8] {
        &text[self.start + 1..self.name_end - 1]
    }

    fn compare(&self, other: &Self, text: &[u8]) -> Ordering {
        compare(self.name(text), other.name(text), self.plain && other.plain)
    }
}

/// An object whose fields stand in another order than they should.
struct Unordered {
    /// Where it begins and ends in the text, brackets included.
    start: usize,
    end: usize,
    /// Its fields in [`Fields::ordered`].
    fields: Range<usize>,
}

/// The fields of all objects that need them remembered.
#[derive(Default)]
pub(crate) struct Fields {
    /// Those of open objects, the innermost's last.
    open: Vec<Field>,
    unordered: Vec<Unordered>,
    /// Where the fields of unordered objects begin and end, each object's in the order they should have.
    ordered: Vec<(usize, usize)>,
}

impl Fields {
    /// An object begins; where its fields will.
    pub(crate) fn open(&self) -> usize {
        self.open.len()
    }

    pub(crate) fn begin(&mut self, field: Field) {
        self.open.push(field);
    }

    /// The value of the last field of the innermost object ends here in the text.
    pub(crate) fn end_value(&mut self, text_len: usize) {
        if let Some(field) = self.open.last_mut() {
            field.end = text_len;
        }
    }

    /// The object that begins at `start`, with the fields from `first` on, is complete but for its closing bracket.
    /// Its fields are in order afterwards.
    pub(crate) fn close(&mut self, text: &[u8], start: usize, first: usize) -> Result<(), Problem> {
        let fields = &mut self.open[first..];
        if fields.windows(2).all(|pair| pair[0].compare(&pair[1], text) == Ordering::Less) {
            return Ok(());
        }
        fields.sort_unstable_by(|one, other| one.compare(other, text).then(one.tx_at.cmp(&other.tx_at)));
        let repeated = fields.windows(2).filter(|pair| pair[0].compare(&pair[1], text) == Ordering::Equal);
        if let Some(field) = repeated.map(|pair| pair[1]).min_by_key(|field| field.tx_at) {
            let name = &text[field.start..field.name_end];
            return Err(Problem::duplicate(field.tx_at, name));
        }
        let from = self.ordered.len();
        self.ordered.extend(fields.iter().map(|field| (field.start, field.end)));
        self.unordered.push(Unordered {
            start: start,
            end: text.len() + 1,
            fields: from..self.ordered.len(),
        });
        Ok(())
    }

    /// The first of these names that the object with the fields from `first` on lacks. It is closed.
    pub(crate) fn missing<'a>(&self, text: &[u8], first: usize, names: &'a [String]) -> Option<&'a String> {
        let fields = &self.open[first..];
        names.iter().find(|name| {
            fields.binary_search_by(|field| compare_to_name(field.name(text), field.plain, name)).is_err()
        })
    }

    /// Nobody will ask for the fields from `first` on again.
    pub(crate) fn forget(&mut self, first: usize) {
        self.open.truncate(first);
    }

    /// Whether every object's fields stood where they should.
    pub(crate) fn are_in_order(&self) -> bool {
        self.unordered.is_empty()
    }

    /// Hands out the text with its fields in the order they should have, piece by piece.
    pub(crate) fn in_order(&self, text: &[u8], mut piece: impl FnMut(&[u8])) {
        // Objects were noted when they closed; an outer one begins before those within it.
        let mut objects: Vec<&Unordered> = self.unordered.iter().collect();
        objects.sort_unstable_by_key(|object| object.start);
        // What is still to be handed out, the next last: from where to where, and whether a comma goes after it.
        let mut ahead = Vec::from([(0, text.len(), false)]);
        while let Some((start, end, comma)) = ahead.pop() {
            let next = objects.partition_point(|object| object.start < start);
            if let Some(object) = objects.get(next)
                && object.start < end
            {
                piece(&text[start..=object.start]);
                ahead.push((object.end - 1, end, comma));
                let fields = &self.ordered[object.fields.clone()];
                let commas = (0..fields.len()).map(|place| place + 1 < fields.len());
                ahead.extend(fields.iter().zip(commas).rev().map(|((start, end), comma)| (*start, *end, comma)));
                continue;
            }
            piece(&text[start..end]);
            if comma {
                piece(b",");
            }
        }
    }
}
