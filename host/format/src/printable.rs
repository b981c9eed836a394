//! Text that is safe to print: no character in it moves the cursor, colors a terminal, reorders the line or hides.
//!
//! Everything this program prints or logs passes here, once, on its way out, because much of it was written by somebody
//! else: plugins and the names inside them, genesis files, file names, CometBFT. A plugin's words pass as one [`line()`] when
//! they become part of an error, of a line, or of `log` in a transaction's result, so that they cannot begin a line either.
//! Never before: what a plugin said is what costs fuel.
//!
//! # Format
//!
//! A character that is not shown is written as JSON writes it: `\n`, `\t`, `\r`, and `\u` with four hexadecimal digits
//! (two of them, a surrogate pair, above U+FFFF). So JSON that passes here is still the same JSON. Backslashes stay as
//! they are.
//!
//! Not shown are control and format characters (ESC, the bidirectional ones, zero width, tags), line and paragraph
//! separators, spaces other than U+0020, what is private or not assigned, and letters and marks that are invisible.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::OnceLock;

/// One line of text: line breaks and tabs are escaped too, so it cannot begin a line.
#[must_use]
pub fn line(text: &str) -> Cow<'_, str> {
    escaped(text, is_shown)
}

/// Text of several lines; its line breaks and tabs stay.
#[must_use]
pub fn text(text: &str) -> Cow<'_, str> {
    escaped(text, |one| is_shown(one) || matches!(one, '\n' | '\t'))
}

fn escaped(text: &str, stays: impl Fn(char) -> bool) -> Cow<'_, str> {
    let Some(first) = text.find(|one| !stays(one)) else { return Cow::Borrowed(text) };
    let (before, rest) = text.split_at(first);
    let mut shown = before.to_owned();
    for one in rest.chars() {
        match one {
            one if stays(one) => shown.push(one),
            '\n' => shown.push_str("\\n"),
            '\r' => shown.push_str("\\r"),
            '\t' => shown.push_str("\\t"),
            one => {
                for unit in one.encode_utf16(&mut [0; 2]) {
                    // Writing to a String cannot fail.
                    let _ = write!(shown, "\\u{unit:04x}");
                }
            }
        }
    }
    Cow::Owned(shown)
}

/// Which characters of each page of 256 are printable, one bit for each, once one of the page has been met. To look one up in the
/// standard library takes up to 250 ns, so a page takes up to 64 us, once. Beyond U+1FFFF it takes little.
static PAGES: [OnceLock<[u64; 4]>; 512] = [const { OnceLock::new() }; 512];

/// Whether a terminal shows this character and does nothing else.
fn is_shown(one: char) -> bool {
    if one.is_ascii() {
        return !one.is_ascii_control();
    }
    let code = u32::from(one);
    let Some(page) = PAGES.get((code >> 8) as usize) else { return is_printable_uncached(one) };
    let printable = page.get_or_init(|| {
        let mut shown = [0; 4];
        for at in (0..256).filter(|at| char::from_u32((code & !0xff) | at).is_some_and(is_printable_uncached))
        {
            shown[(at >> 6) as usize] |= 1 << (at & 63);
        }
        shown
    });
    (printable[(code >> 6 & 3) as usize] >> (code & 63)) & 1 == 1
}

fn is_printable_uncached(one: char) -> bool {
    // The standard library escapes what it holds not to be printable (the categories C, Zl, Zp and Zs), and marks only
    // where they have no letter before them.
    let mut bytes = [b'a', 0, 0, 0, 0];
    let length = one.encode_utf8(&mut bytes[1..]).len();
    let is_printable =
        std::str::from_utf8(&bytes[..=length]).is_ok_and(|text| text.escape_debug().count() == 2);
    is_printable && !is_invisible(one)
}

/// Letters and marks that Unicode calls default-ignorable: they show nothing, and can carry what is not seen.
fn is_invisible(one: char) -> bool {
    matches!(
        one,
        '\u{34f}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{ffa0}' | '\u{e0100}'..='\u{e01ef}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What must never come out as it is, one of each kind, and how it is written.
    const NASTY: &[(char, &str)] = &[
        ('\0', "\\u0000"),
        ('\u{7}', "\\u0007"),
        ('\u{8}', "\\u0008"),
        ('\r', "\\r"),
        ('\u{1b}', "\\u001b"),
        ('\u{7f}', "\\u007f"),
        ('\u{85}', "\\u0085"),
        ('\u{9b}', "\\u009b"),
        ('\u{a0}', "\\u00a0"),
        ('\u{ad}', "\\u00ad"),
        ('\u{34f}', "\\u034f"),
        ('\u{61c}', "\\u061c"),
        ('\u{200b}', "\\u200b"),
        ('\u{200d}', "\\u200d"),
        ('\u{200f}', "\\u200f"),
        ('\u{2028}', "\\u2028"),
        ('\u{2029}', "\\u2029"),
        ('\u{202e}', "\\u202e"),
        ('\u{2060}', "\\u2060"),
        ('\u{2066}', "\\u2066"),
        ('\u{3164}', "\\u3164"),
        ('\u{e000}', "\\ue000"),
        ('\u{fe0f}', "\\ufe0f"),
        ('\u{feff}', "\\ufeff"),
        ('\u{fff9}', "\\ufff9"),
        ('\u{e0041}', "\\udb40\\udc41"),
        ('\u{e0100}', "\\udb40\\udd00"),
        ('\u{10ffff}', "\\udbff\\udfff"),
    ];

    #[test]
    fn what_is_not_shown_is_written_as_json_writes_it() {
        for (one, expected) in NASTY {
            assert_eq!(line(&format!("a{one}b")), format!("a{expected}b"));
            assert_eq!(text(&format!("{one}\n")), format!("{expected}\n"));
            let json = serde_json::to_string(&one.to_string()).unwrap();
            let same: String = serde_json::from_str(&text(&json)).unwrap();
            assert_eq!(same, one.to_string());
        }
        assert_eq!(line("a\nb\tc"), "a\\nb\\tc");
        assert_eq!(text("a\nb\tc"), "a\nb\tc");
    }

    #[test]
    fn the_cache_agrees_with_the_lookup() {
        for one in ('\0'..='\u{1ffff}').filter(|one| !one.is_ascii()) {
            assert_eq!(is_shown(one), is_printable_uncached(one), "{one:?}");
        }
    }

    #[test]
    fn text_that_people_read_stays_as_it_is() {
        for kept in
            ["", "C:\\x \"y\" 'z' {}", "zwölf", "e\u{301}", "日本語", "हिन्दी", "שלום", "سلام", "😀", "✓ → ─ µ"]
        {
            assert!(matches!(line(kept), Cow::Borrowed(same) if same == kept), "{kept}");
        }
    }
}
