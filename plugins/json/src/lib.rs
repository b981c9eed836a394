//! Valid JSON only, and its canonical form (RFC 8785) as the record: the same document is always the same bytes.
//!
//! | code | rejected |
//! |---|---|
//! | 1 | not JSON (RFC 8259) |
//! | 2 | not UTF-8 |
//! | 3 | a field that is there twice in one object |
//! | 4 | arrays and objects within each other deeper than `depth_max` |
//! | 5 | a number that the canonical form cannot keep |
//! | 6 | a string that holds half of a character |
//! | 7 | a required field is not there |
//!
//! Each message begins with the byte it is about, counted from 0.
//!
//! In reading order: [`canonical`] reads a document and puts its pieces together; `text` and `number` are the two kinds
//! of values that have many spellings; `fields` knows their order; [`Problem`] has the words for what is wrong.

extern crate alloc;

mod canonical;
mod fields;
mod number;
mod problem;
mod text;

pub use canonical::{Canonical, Rules, canonical};
pub use problem::Problem;
