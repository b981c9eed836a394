//! What can be wrong with a transaction, and the words for it.

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use core::fmt;

use crate::number::INTEGER_MAX;

/// Why a transaction is rejected, and the byte it is about, counted from 0.
///
/// In a box, because every step of the reader answers with one or none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem(Box<Place>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    at: usize,
    kind: Kind,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The grammar wants something else here.
    Expected { expected: &'static str, found: Option<u8> },
    /// A control character that is not escaped, in a string.
    Control,
    /// `012`.
    LeadingZero,
    /// Not UTF-8 from here on.
    Utf8,
    /// This name was already there in the same object; as JSON, with its quotes.
    Duplicate(String),
    /// A value within more arrays and objects than allowed.
    Deep { depth_max: u32 },
    /// An integer a double does not keep.
    Integer,
    /// A number beyond the largest double.
    TooLarge,
    /// Half of a character.
    Surrogate,
    /// Fields are required, and this is no object.
    NoObject { required: String },
    /// The object that begins here lacks this field.
    Missing { required: String },
}

impl Problem {
    #[cold]
    pub(crate) fn new(at: usize, kind: Kind) -> Self {
        Self(Box::new(Place { at, kind }))
    }

    #[cold]
    pub(crate) fn expected(tx: &[u8], at: usize, expected: &'static str) -> Self {
        let found = tx.get(at).copied();
        Self::new(at, Kind::Expected { expected, found })
    }

    pub(crate) fn duplicate(at: usize, name: &[u8]) -> Self {
        /// Longer names are cut: the place is what matters.
        const SHOWN_CHARS: usize = 64;
        let name = String::from_utf8_lossy(name);
        let cut = match name.char_indices().nth(SHOWN_CHARS) {
            Some((end, _)) => alloc::format!("{}...", &name[..end]),
            None => name.to_string(),
        };
        Self::new(at, Kind::Duplicate(cut))
    }

    /// The rejection's code: the table is in the crate's documentation.
    #[must_use]
    pub fn code(&self) -> u16 {
        match self.0.kind {
            Kind::Expected { .. } | Kind::Control | Kind::LeadingZero => 1,
            Kind::Utf8 => 2,
            Kind::Duplicate(_) => 3,
            Kind::Deep { .. } => 4,
            Kind::Integer | Kind::TooLarge => 5,
            Kind::Surrogate => 6,
            Kind::NoObject { .. } | Kind::Missing { .. } => 7,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "byte {}: ", self.0.at)?;
        match &self.0.kind {
            Kind::Expected { expected, found: Some(byte) } => {
                write!(f, "expected {expected}, found '{}'", byte.escape_ascii())
            }
            Kind::Expected { expected, found: None } => write!(f, "expected {expected}, but the text ends"),
            Kind::Control => f.write_str("a control character in a string; write it as an escape like \\n"),
            Kind::LeadingZero => f.write_str("a number that starts with a zero it does not need"),
            Kind::Utf8 => f.write_str("not UTF-8"),
            Kind::Duplicate(name) => write!(f, "the field {name} is already there in this object"),
            Kind::Deep { depth_max } => {
                write!(f, "arrays and objects within each other deeper than {depth_max}, which is depth_max")
            }
            Kind::Integer => write!(
                f,
                "an integer that canonical JSON (RFC 8785) cannot keep; integers go from -{INTEGER_MAX} to \
                 {INTEGER_MAX}: write it as a string"
            ),
            Kind::TooLarge => {
                f.write_str("a number beyond the largest double, about 1.8e308; write it as a string")
            }
            Kind::Surrogate => f.write_str("half of a character: a surrogate without its other half"),
            Kind::NoObject { required } => {
                write!(f, "not an object, and only one can have the required field {required:?}")
            }
            Kind::Missing { required } => write!(f, "this object lacks the required field {required:?}"),
        }
    }
}
