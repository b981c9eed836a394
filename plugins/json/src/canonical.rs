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

use crate::fields::{Field, Fields, Opened};
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
        inside: Inside::Nothing,
        text: Vec::with_capacity(tx.len()),
        fields: Fields::default(),
    };
    reader.document()?;
    Ok(Canonical { text: reader.text, fields: reader.fields })
}

/// An array or object that is not closed yet.
#[derive(Clone, Copy)]
enum Open {
    Array,
    /// Where it begins in the transaction, and what the fields need to know.
    Object(usize, Opened),
}

/// What one is in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Inside {
    Nothing,
    Array,
    Object,
}

struct Reader<'a> {
    /// Valid UTF-8.
    tx: &'a [u8],
    next: usize,
    rules: &'a Rules,
    open: Vec<Open>,
    /// The last of `open`.
    inside: Inside,
    text: Vec<u8>,
    fields: Fields,
}

impl Reader<'_> {
    fn document(&mut self) -> Result<(), Problem> {
        self.check_outermost()?;
        loop {
            // Behind a value come commas and closing brackets; behind an opening one comes a value again.
            if self.value()? {
                while self.is_closed()? {}
                if self.inside == Inside::Nothing {
                    return Ok(());
                }
            }
        }
    }

    fn check_outermost(&mut self) -> Result<(), Problem> {
        match (self.peek(), self.rules.required.first()) {
            (None | Some(b'{'), _) | (_, None) => Ok(()),
            (_, Some(name)) => Err(Problem::new(self.next, Kind::NoObject { required: name.clone() })),
        }
    }

    /// Reads a value, or the beginning of one that others are in; whether it is whole.
    fn value(&mut self) -> Result<bool, Problem> {
        match self.peek() {
            Some(b'"') => (self.next, _) = string(self.tx, self.next, &mut self.text)?,
            Some(b'-' | b'0'..=b'9') => self.next = number(self.tx, self.next, &mut self.text)?,
            Some(b'{') => return self.enter(Inside::Object),
            Some(b'[') => return self.enter(Inside::Array),
            Some(b't') => self.word(b"true")?,
            Some(b'f') => self.word(b"false")?,
            Some(b'n') => self.word(b"null")?,
            _ => return Err(self.expected("a value")),
        }
        Ok(true)
    }

    fn word(&mut self, word: &'static [u8]) -> Result<(), Problem> {
        if !self.tx[self.next..].starts_with(word) {
            return Err(self.expected("a value"));
        }
        self.next += word.len();
        self.text.extend_from_slice(word);
        Ok(())
    }

    /// Reads the bracket that opens an array or object, and the other one if nothing is in it; whether it is.
    fn enter(&mut self, inside: Inside) -> Result<bool, Problem> {
        let depth_max = self.rules.depth_max;
        if self.open.len() >= depth_max as usize {
            return Err(Problem::new(self.next, Kind::Deep { depth_max }));
        }
        if inside == Inside::Array {
            self.open.push(Open::Array);
            self.take(b'[');
        } else {
            self.open.push(Open::Object(self.next, self.fields.open(self.text.len())));
            self.take(b'{');
        }
        self.inside = inside;
        match (inside, self.peek()) {
            (Inside::Object, Some(b'}')) | (Inside::Array, Some(b']')) => self.close()?,
            (Inside::Object, _) => {
                self.name()?;
                return Ok(false);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Behind a value: whether what it is in ends here. Otherwise another value follows, or nothing.
    fn is_closed(&mut self) -> Result<bool, Problem> {
        let found = self.peek();
        match self.inside {
            Inside::Array => match found {
                Some(b',') => self.take(b','),
                Some(b']') => {
                    self.close()?;
                    return Ok(true);
                }
                _ => return Err(self.expected("a comma or the array's end")),
            },
            Inside::Object => {
                self.fields.end_value(self.text.len());
                match found {
                    Some(b',') => {
                        self.take(b',');
                        self.name()?;
                    }
                    Some(b'}') => {
                        self.close()?;
                        return Ok(true);
                    }
                    _ => return Err(self.expected("a comma or the object's end")),
                }
            }
            Inside::Nothing if found.is_none() => {}
            Inside::Nothing => return Err(self.expected("nothing after the document")),
        }
        Ok(false)
    }

    /// Reads the bracket that closes what one is in.
    fn close(&mut self) -> Result<(), Problem> {
        match self.open.pop() {
            Some(Open::Object(tx_at, opened)) => {
                self.fields.close(&self.text, opened)?;
                // The outermost one.
                let required: &[String] = if self.open.is_empty() { &self.rules.required } else { &[] };
                if let Some(required) = self.fields.missing(&self.text, opened, required) {
                    return Err(Problem::new(tx_at, Kind::Missing { required: required.clone() }));
                }
                self.fields.forget(opened);
                self.take(b'}');
            }
            _ => self.take(b']'),
        }
        self.inside = match self.open.last() {
            None => Inside::Nothing,
            Some(Open::Array) => Inside::Array,
            Some(Open::Object(..)) => Inside::Object,
        };
        Ok(())
    }

    /// A field's name and the colon after it.
    fn name(&mut self) -> Result<(), Problem> {
        if self.peek() != Some(b'"') {
            return Err(self.expected("a field's name in quotes"));
        }
        let (tx_at, start) = (self.next, self.text.len());
        let (next, plain) = string(self.tx, tx_at, &mut self.text)?;
        self.next = next;
        self.fields.begin(Field::new(tx_at, &self.text, start, plain));
        if self.peek() != Some(b':') {
            return Err(self.expected("a colon after the field's name"));
        }
        self.take(b':');
        Ok(())
    }

    /// The next byte that is no white space.
    fn peek(&mut self) -> Option<u8> {
        match self.tx.get(self.next) {
            Some(byte) if *byte > b' ' => Some(*byte),
            _ => self.peek_behind_space(),
        }
    }

    fn peek_behind_space(&mut self) -> Option<u8> {
        let rest = self.tx.get(self.next..)?;
        let space = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r')).count();
        self.next += space;
        rest.get(space).copied()
    }

    /// Takes the byte that was peeked at.
    fn take(&mut self, byte: u8) {
        self.next += 1;
        self.text.push(byte);
    }

    #[cold]
    fn expected(&self, what: &'static str) -> Problem {
        Problem::expected(self.tx, self.next, what)
    }
}
