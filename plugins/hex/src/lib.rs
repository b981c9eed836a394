//! Text like `0xDEADBEEF` becomes the bytes it names, so that producers with nothing but text at hand submit any bytes.
//!
//! | code | rejected |
//! |---|---|
//! | 1 | the text does not start with `0x` |
//! | 2 | there is no digit after it |
//! | 3 | an odd number of digits |
//! | 4 | something that is no hexadecimal digit |
#![cfg_attr(target_arch = "wasm32", no_std)]

use dseq_sdk::{Output, Plugin, Refusal, Verdict};

/// Takes no params: `{}`. Digits may be upper or lower case, and so may the `x`.
pub struct Hex;

impl Plugin for Hex {
    type Params = ();

    fn init((): ()) -> Result<Self, Refusal> {
        Ok(Self)
    }

    fn apply(&self, tx: &[u8], out: &mut Output) -> Verdict {
        let Some((b"0x" | b"0X", digits)) = tx.split_at_checked(2) else {
            return out.reject(1, "the transaction is not hexadecimal: it must start with 0x");
        };
        if digits.is_empty() {
            return out.reject(2, "there is no digit after 0x");
        }
        let (pairs, odd) = digits.as_chunks();
        for (index, pair) in (0..).zip(pairs) {
            match byte(*pair) {
                Ok(byte) => out.write(&[byte]),
                Err(place) => return no_digit(digits, 2 * index + place, out),
            }
        }
        match odd {
            [] => Verdict::Replace,
            [last] if digit(*last).is_none() => no_digit(digits, digits.len() - 1, out),
            _ => {
                let count = digits.len();
                out.reject(3, format_args!("{count} digits make no whole bytes; give an even number of them"))
            }
        }
    }
}

/// Rejects what stands at this place among the digits.
fn no_digit(digits: &[u8], place: usize, out: &mut Output) -> Verdict {
    if digits[place..].trim_ascii().is_empty() {
        return out.reject(4, "the transaction ends with a line break or a space; send it without");
    }
    // Counted from the start of the transaction, as an editor would.
    let (at, found) = (place + 2, digits[place].escape_ascii());
    out.reject(4, format_args!("'{found}' at byte {at} is no hexadecimal digit"))
}

/// The byte that two digits name, or which of them is none.
fn byte(pair: [u8; 2]) -> Result<u8, usize> {
    let digit = |place: usize| digit(pair[place]).ok_or(place);
    Ok(digit(0)? << 4 | digit(1)?)
}

fn digit(text: u8) -> Option<u8> {
    match text {
        digit @ b'0'..=b'9' => Some(digit - b'0'),
        digit @ b'a'..=b'f' => Some(digit - b'a' + 10),
        digit @ b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

dseq_sdk::export!(Hex);

#[cfg(test)]
mod tests {
    use dseq_sdk::testing::{Outcome, Tester};

    use super::*;

    fn apply(tx: impl AsRef<[u8]>) -> Outcome {
        Tester::<Hex>::new("{}").unwrap().apply(tx)
    }

    #[test]
    fn digits_become_bytes_in_either_case() {
        assert_eq!(apply("0xDEADbeef"), Outcome::replaced(b"\xde\xad\xbe\xef"));
        assert_eq!(apply("0X00ff"), Outcome::replaced(b"\x00\xff"));
        let all: Vec<u8> = (0..=255).collect();
        let text: String = all.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(apply(format!("0x{text}")), Outcome::replaced(all));
    }

    #[test]
    fn each_refusal_says_what_is_wrong_and_where() {
        for (tx, code, message) in [
            (&b"DEADBEEF"[..], 1, "the transaction is not hexadecimal: it must start with 0x"),
            (b"0", 1, "the transaction is not hexadecimal: it must start with 0x"),
            (b"0x", 2, "there is no digit after 0x"),
            (b"0xabc", 3, "3 digits make no whole bytes; give an even number of them"),
            (b"0xab-0", 4, "'-' at byte 4 is no hexadecimal digit"),
            (b"0x0\xff", 4, "'\\xff' at byte 3 is no hexadecimal digit"),
            (b"0xabg", 4, "'g' at byte 4 is no hexadecimal digit"),
            (b"0xab\n", 4, "the transaction ends with a line break or a space; send it without"),
            (b"0xab\r\n", 4, "the transaction ends with a line break or a space; send it without"),
            (b"0xa ", 4, "the transaction ends with a line break or a space; send it without"),
            (b"0x\n", 4, "the transaction ends with a line break or a space; send it without"),
            (b"0xa\nb", 4, "'\\n' at byte 3 is no hexadecimal digit"),
        ] {
            assert_eq!(apply(tx), Outcome::rejected(code, message));
        }
    }

    #[test]
    fn params_are_refused_because_they_would_do_nothing() {
        let refusal = Tester::<Hex>::new(r#"{"case":"upper"}"#).err().unwrap();
        assert_eq!(refusal.message(), "this plugin takes no params; write {}");
    }
}
