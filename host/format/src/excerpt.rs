//! Foreign text in errors: as much of it as tells a reader what it is, however long it is.
//!
//! Names, params, fields and hashes come from modules and genesis files, and libraries quote them in their own words.
//! An error holds an [`Excerpt`] of such a text, never the text.

use std::fmt;

use crate::printable;

/// What is kept of a text at its start, in characters.
const HEAD_CHARS: usize = 64;

/// The same of a library's words, which quote in their middle and say where at their end.
const WORDS_HEAD_CHARS: usize = 192;
const WORDS_TAIL_CHARS: usize = 64;

/// The beginning of a text, and how long all of it is. `{:?}` quotes and escapes what is kept.
#[derive(Clone, PartialEq, Eq)]
pub struct Excerpt(Box<Kept>);

/// On the heap, so that errors stay small.
#[derive(Clone, PartialEq, Eq)]
struct Kept {
    head: String,
    /// Length of the whole text in bytes, if `head` is not all of it.
    cut: Option<u64>,
}

impl Excerpt {
    /// The first 64 characters of a text.
    #[must_use]
    pub fn of(text: &str) -> Self {
        match text.char_indices().nth(HEAD_CHARS) {
            Some((end, _)) => Self::kept(&text[..end], Some(text.len() as u64)),
            None => Self::kept(text, None),
        }
    }
}

impl Excerpt {
    fn kept(head: &str, cut: Option<u64>) -> Self {
        Self(Box::new(Kept { head: head.to_owned(), cut }))
    }
}

impl From<&str> for Excerpt {
    fn from(text: &str) -> Self {
        Self::of(text)
    }
}

impl fmt::Display for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&printable::line(&self.0.head))?;
        self.0.cut.map_or(Ok(()), |bytes| write!(f, "... ({bytes} bytes)"))
    }
}

impl fmt::Debug for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0.head, f)?;
        self.0.cut.map_or(Ok(()), |bytes| write!(f, "... ({bytes} bytes)"))
    }
}

/// The words of a library's error, on one line, without the middle if they are long.
#[must_use]
pub fn words(error: &impl fmt::Display) -> String {
    let text = printable::line(&error.to_string()).into_owned();
    let place = |chars| text.char_indices().nth(chars).map(|(place, _)| place);
    let count = text.chars().count();
    match (place(WORDS_HEAD_CHARS), place(count.saturating_sub(WORDS_TAIL_CHARS))) {
        (Some(head), Some(tail)) if head < tail => {
            format!("{} ... {}", &text[..head], &text[tail..])
        }
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_at_a_character_and_its_length_shown() {
        assert_eq!(Excerpt::of("short").to_string(), "short");
        assert_eq!(format!("{:?}", Excerpt::of("a\n\"")), r#""a\n\"""#);
        let (whole, long) = ("é".repeat(64), "é".repeat(65));
        assert_eq!(Excerpt::of(&whole).to_string(), whole);
        assert_eq!(Excerpt::of(&long).to_string(), format!("{whole}... (130 bytes)"));
        assert_eq!(format!("{:?}", Excerpt::of(&long)), format!("\"{whole}\"... (130 bytes)"));
    }

    #[test]
    fn words_keep_their_beginning_and_their_end() {
        assert_eq!(words(&"é".repeat(256)), "é".repeat(256));
        let long = words(&format!("unknown field `{}`, at line 7", "é".repeat(100_000)));
        assert!(long.starts_with("unknown field `é") && long.ends_with("é`, at line 7"), "{long}");
        assert_eq!(long.chars().count(), 192 + 5 + 64);
    }
}
