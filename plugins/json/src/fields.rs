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
    /// Its first eight bytes, zeros behind a shorter one. Names in which they differ need not be looked at.
    head: u64,
}

impl Field {
    /// The field whose name, read at `tx_at`, is all of the text from `start` on.
    pub(crate) fn new(tx_at: usize, text: &[u8], start: usize, plain: bool) -> Self {
        let name = &text[start + 1..text.len() - 1];
        let (mut head, len) = ([0; 8], name.len().min(8));
        head[..len].copy_from_slice(&name[..len]);
        let head = u64::from_be_bytes(head);
        Self { tx_at, start, name_end: text.len(), end: 0, plain, head }
    }

    /// The name without its quotes.
    fn name<'a>(&self, text: &'a [u8]) -> &'a [u8] {
        &text[self.start + 1..self.name_end - 1]
    }

    fn compare(&self, other: &Self, text: &[u8]) -> Ordering {
        let plain = self.plain && other.plain;
        if plain && self.head != other.head {
            return self.head.cmp(&other.head);
        }
        compare(self.name(text), other.name(text), plain)
    }
}

/// An object whose fields stand in another order than they should, or around such a one.
struct Unordered {
    /// Where it begins and ends in the text, brackets included.
    start: usize,
    end: usize,
    /// Its fields in [`Fields::ordered`]; none if they stand in order.
    fields: Range<usize>,
    /// How many of these are within it. They come right after it.
    within: usize,
}

/// The fields of all objects that need them remembered.
#[derive(Default)]
pub(crate) struct Fields {
    /// Those of open objects, the innermost's last.
    open: Vec<Field>,
    /// In the order in which they begin.
    unordered: Vec<Unordered>,
    /// Where the fields of unordered objects begin and end, each object's in the order they should have.
    ordered: Vec<(usize, usize)>,
}

/// Where an open object's fields and what is within it begin.
#[derive(Clone, Copy)]
pub(crate) struct Opened {
    field: usize,
    unordered: usize,
}

/// Part of the text that is to be handed out.
struct Part {
    start: usize,
    end: usize,
    /// Which of [`Fields::unordered`] lie in it.
    unordered: Range<usize>,
    /// Whether a comma goes after it.
    comma: bool,
}

impl Fields {
    /// An object begins at `start`.
    pub(crate) fn open(&mut self, start: usize) -> Opened {
        let opened = Opened { field: self.open.len(), unordered: self.unordered.len() };
        self.unordered.push(Unordered { start, end: start, fields: 0..0, within: 0 });
        opened
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

    /// An object is complete but for its closing bracket. Its fields are in order afterwards.
    pub(crate) fn close(&mut self, text: &[u8], opened: Opened) -> Result<(), Problem> {
        let within = self.unordered.len() - opened.unordered - 1;
        let fields = &mut self.open[opened.field..];
        let from = self.ordered.len();
        if !fields.windows(2).all(|pair| pair[0].compare(&pair[1], text) == Ordering::Less) {
            fields.sort_unstable_by(|one, other| one.compare(other, text).then(one.tx_at.cmp(&other.tx_at)));
            let repeated =
                fields.windows(2).filter(|pair| pair[0].compare(&pair[1], text) == Ordering::Equal);
            if let Some(field) = repeated.map(|pair| pair[1]).min_by_key(|field| field.tx_at) {
                return Err(Problem::duplicate(field.tx_at, &text[field.start..field.name_end]));
            }
            self.ordered.extend(fields.iter().map(|field| (field.start, field.end)));
        } else if within == 0 {
            self.unordered.pop();
            return Ok(());
        }
        let object = &mut self.unordered[opened.unordered];
        (object.end, object.fields, object.within) = (text.len() + 1, from..self.ordered.len(), within);
        Ok(())
    }

    /// The first of these names that an object, which is closed, lacks.
    pub(crate) fn missing<'a>(&self, text: &[u8], opened: Opened, names: &'a [String]) -> Option<&'a String> {
        let fields = &self.open[opened.field..];
        names.iter().find(|name| {
            fields.binary_search_by(|field| compare_to_name(field.name(text), field.plain, name)).is_err()
        })
    }

    /// Nobody will ask for the fields of this object again, which is closed.
    pub(crate) fn forget(&mut self, opened: Opened) {
        self.open.truncate(opened.field);
    }

    /// Whether every object's fields stood where they should.
    pub(crate) fn are_in_order(&self) -> bool {
        self.unordered.is_empty()
    }

    /// Hands out the text with its fields in the order they should have, piece by piece.
    pub(crate) fn in_order(&self, text: &[u8], mut piece: impl FnMut(&[u8])) {
        // What is still to be handed out, the next last.
        let mut ahead = Vec::new();
        ahead.push(Part { start: 0, end: text.len(), unordered: 0..self.unordered.len(), comma: false });
        while let Some(part) = ahead.pop() {
            let Some(next) = part.unordered.clone().find(|next| !self.unordered[*next].fields.is_empty())
            else {
                piece(&text[part.start..part.end]);
                if part.comma {
                    piece(b",");
                }
                continue;
            };
            let object = &self.unordered[next];
            piece(&text[part.start..=object.start]);
            let within = next + 1..next + 1 + object.within;
            ahead.push(Part { start: object.end - 1, unordered: within.end..part.unordered.end, ..part });
            // The last field in order is handed out last and has no comma after it.
            for place in object.fields.clone().rev() {
                let (start, end) = self.ordered[place];
                let before = |end: usize| {
                    within.start + self.unordered[within.clone()].partition_point(|object| object.start < end)
                };
                let comma = place + 1 < object.fields.end;
                ahead.push(Part { start, end, unordered: before(start)..before(end), comma });
            }
        }
    }
}
