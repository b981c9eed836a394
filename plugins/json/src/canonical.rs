//! JSON text in, its canonical form (RFC 8785) out.
//!
//! One pass writes the canonical text in the order of the transaction and notes where each field lies; an object whose
//! fields turn out not to be in order is put right afterwards ([`Fields`]), so that a field within many such objects is
//! moved once and not once for each of them.
//!
//! # Limits
//!
//! Nothing here calls itself: what is open is a list, so no text, however deep, meets the end of a stack.

use alloc::string::String;
use alloc::vec::Vec;

use crate::fields::{Field, Fields};
use crate::number::number;
use crate::problem::{Kind, Problem};
use crate::text::string;

/// What a transaction must be beyond JSON.
pub struct Rules {
    /// Most arrays and objects within each other.
    pub depth_max: u32,
    /// Fields the outermost object must have.
    pub required: Vec<String>,
}

/// A document in its canonical form.
pub struct Canonical {
    /// Its text but for the order of fields.
    text: Vec<u8>,
    fields: Fields,
}

impl Canonical {
    /// Hands out the canonical text, piece by piece.
    pub fn pieces(&self, piece: impl FnMut(&[u8])) {
        self.fields.in_order(&self.text, piece);
    }

    /// Whether these bytes are the canonical text.
    #[must_use]
    pub fn is(&self, bytes: &[u8]) -> bool {
        self.fields.are_in_order() && self.text == bytes
    }
}

/// Makes a document canonical.
///
/// # Errors
///
/// What is wrong with it, and where.
pub fn canonical(tx: &[u8], rules: &Rules) -> Result<Canonical, Problem> {
    if let Err(error) = core::str::from_utf8(tx) {
        return Err(Problem::new(error.valid_up_to(), Kind::Utf8));
    }
    let mut reader = Reader {
        tx,
        next: 0,
        rules,
        open: Vec::new(),
        text: Vec::with_capacity(tx.len()),
        fields: Fields::default(),
    };
    reader.document()?;
    Ok(Canonical { text: reader.text, fields: reader.fields })
}

/// An array or object that is not closed yet.
#[derive(Clone, Copy)]
struct Open {
    /// Where it begins, in the transaction and in the canonical text.
    tx_at: usize,
    text_at: usize,
    /// How many fields were open before it; nothing for an array.
    object: Option<usize>,
}

/// Where one is after reading a piece of a document.
enum Place {
    /// Before a value.
    Value,
    /// Behind one.
    Behind,
}

struct Reader<'a> {
    /// Valid UTF-8.
    tx: &'a [u8],
    next: usize,
    rules: &'a Rules,
    open: Vec<Open>,
    text: Vec<u8>,
    fields: Fields,
}

impl Reader<'_> {
    fn document(&mut self) -> Result<(), Problem> {
        let mut place = Place::Value;
        loop {
            let found = self.peek();
            place = match (place, self.open.last().copied()) {
                (Place::Value, _) => self.value(found)?,
                (Place::Behind, Some(open)) => self.behind(open, found)?,
                (Place::Behind, None) if found.is_none() => return Ok(()),
                (Place::Behind, None) => return Err(self.expected("nothing after the document")),
            };
        }
    }

    fn value(&mut self, found: Option<u8>) -> Result<Place, Problem> {
        if self.open.is_empty() && found != Some(b'{')
            && let Some(required) = self.rules.required.first()
            && found.is_some()
        {
            return Err(Problem::new(self.next, Kind::NoObject { required: required.clone() }));
        }
        match found {
            Some(b'{') => return self.enter(b'{'),
            Some(b'[') => return self.enter(b'['),
            Some(b'"') => (self.next, _) = string(self.tx, self.next, &mut self.text)?,
            Some(b'-' | b'0'..=b'9') => self.next = number(self.tx, self.next, &mut self.text)?,
            Some(b't') => self.word(b"true")?,
            Some(b'f') => self.word(b"false")?,
            Some(b'n') => self.word(b"null")?,
            _ => return Err(self.expected("a value")),
        }
        Ok(Place::Behind)
    }

    fn word(&mut self, word: &'static [u8]) -> Result<(), Problem> {
        if !self.tx[self.next..].starts_with(word) {
            return Err(self.expected("a value"));
        }
        self.next += word.len();
        self.text.extend_from_slice(word);
        Ok(())
    }

    fn enter(&mut self, bracket: u8) -> Result<Place, Problem> {
        let depth_max = self.rules.depth_max;
        if self.open.len() >= depth_max as usize {
            return Err(Problem::new(self.next, Kind::Deep { depth_max }));
        }
        let object = (bracket == b'{').then(|| self.fields.open());
        let open = Open { tx_at: self.next, text_at: self.text.len(), object };
        self.open.push(open);
        self.take(bracket);
        let closing = if object.is_some() { b'}' } else { b']' };
        if self.peek() == Some(closing) {
            return self.close(open, closing);
        }
        if object.is_some() {
            self.name()?;
        }
        Ok(Place::Value)
    }

    /// Behind a value in `open`: another one follows, or it closes.
    fn behind(&mut self, open: Open, found: Option<u8>) -> Result<Place, Problem> {
        let closing = if open.object.is_some() { b'}' } else { b']' };
        if open.object.is_some() {
            self.fields.end_value(self.text.len());
        }
        match found {
            Some(b',') => {
                self.take(b',');
                if open.object.is_some() {
                    self.name()?;
                }
                Ok(Place::Value)
            }
            Some(byte) if byte == closing => self.close(open, closing),
            _ if open.object.is_some() => Err(self.expected("a comma or the object's end")),
            _ => Err(self.expected("a comma or the array's end")),
        }
    }

    fn close(&mut self, open: Open, closing: u8) -> Result<Place, Problem> {
        if let Some(first_field) = open.object {
            // The outermost one.
            let required: &[String] = if self.open.len() == 1 { &self.rules.required } else { &[] };
            self.fields.close(&self.text, open.text_at, first_field)?;
            if let Some(required) = self.fields.missing(&self.text, first_field, required) {
                return Err(Problem::new(open.tx_at, Kind::Missing { required: required.clone() }));
            }
            self.fields.forget(first_field);
        }
        self.open.pop();
        self.take(closing);
        Ok(Place::Behind)
    }

    /// A field's name and the colon after it.
    fn name(&mut self) -> Result<(), Problem> {
        if self.peek() != Some(b'"') {
            return Err(self.expected("a field's name in quotes"));
        }
        let (tx_at, start) = (self.next, self.text.len());
        let (next, plain) = string(self.tx, tx_at, &mut self.text)?;
        self.next = next;
        self.fields.begin(Field::new(tx_at, start, self.text.len(), plain));
        if self.peek() != Some(b':') {
            return Err(self.expected("a colon after the field's name"));
        }
        self.take(b':');
        Ok(())
    }

    /// The next byte that is no white space.
    fn peek(&mut self) -> Option<u8> {
        while let Some(byte) = self.tx.get(self.next) {
            if !matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
                return Some(*byte);
            }
            self.next += 1;
        }
        None
    }

    /// Takes the byte that was peeked at.
    fn take(&mut self, byte: u8) {
        self.next += 1;
        self.text.push(byte);
    }

    fn expected(&self, what: &'static str) -> Problem {
        Problem::expected(self.tx, self.next, what)
    }
}
