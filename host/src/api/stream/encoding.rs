//! How bytes of a media type are sent: in a body as they are, in an event as a protocol of lines allows.

use axum::body::Body;
use axum::http::HeaderValue;
use bytes::Bytes;
use data_encoding::BASE64;

/// How bytes are put into events, and into bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Base64 in events, on one line: bytes of any kind, such as a sequence.
    Base64,
    /// Text, line by line. The line ends of an event are all alike, so carriage returns are lost.
    Text,
    /// JSON messages, each with a comma behind it: sent as an array. They are one line each, and not divided.
    Json,
}

impl Encoding {
    /// The encoding for a media type.
    #[must_use]
    pub fn of(media_type: &HeaderValue) -> Self {
        let name = media_type.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim();
        match name.to_ascii_lowercase() {
            name if name == "application/json" => Self::Json,
            name if name.starts_with("text/") => Self::Text,
            _ => Self::Base64,
        }
    }

    /// Whether any part of the bytes can be sent alone.
    pub(super) fn is_divisible(self) -> bool {
        self != Self::Json
    }

    /// A body that is not sent in pieces.
    pub(super) fn whole(self, bytes: &Bytes) -> Body {
        if self == Self::Json { Body::from(array(bytes)) } else { Body::from(bytes.clone()) }
    }

    /// How many of these bytes fit for an event: text is not divided within a character, if it is UTF-8.
    pub(super) fn fit(self, bytes: &[u8]) -> usize {
        match std::str::from_utf8(bytes) {
            Err(err) if self == Self::Text && err.error_len().is_none() && err.valid_up_to() > 0 => {
                err.valid_up_to()
            }
            _ => bytes.len(),
        }
    }

    /// Writes the lines of an event that are its data.
    pub(super) fn data(self, bytes: &[u8], out: &mut Vec<u8>) {
        match self {
            Self::Base64 => {
                out.extend_from_slice(b"data:");
                let start = out.len();
                out.resize(start + BASE64.encode_len(bytes.len()), 0);
                BASE64.encode_mut(bytes, &mut out[start..]);
                out.push(b'\n');
            }
            Self::Text => {
                for line in lines(bytes) {
                    // One space behind the colon would be taken away.
                    out.extend_from_slice(if line.starts_with(b" ") { b"data: " } else { b"data:" });
                    out.extend_from_slice(line);
                    out.push(b'\n');
                }
            }
            Self::Json => {
                out.extend_from_slice(b"data:");
                out.extend_from_slice(&array(bytes));
                out.push(b'\n');
            }
        }
    }
}

fn array(messages: &[u8]) -> Vec<u8> {
    let messages = messages.strip_suffix(b",").unwrap_or(messages);
    [b"[", messages, b"]"].concat()
}

/// Lines as events know them: each of `\n`, `\r\n` and `\r` ends one. What is behind the last one is a line, too.
fn lines(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut lines = Vec::new();
    while let Some(end) = bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
        lines.push(&bytes[..end]);
        let rest = &bytes[end..];
        bytes = rest.strip_prefix(b"\r\n").unwrap_or(&rest[1..]);
    }
    lines.push(bytes);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(encoding: Encoding, bytes: &[u8]) -> String {
        let mut out = Vec::new();
        encoding.data(bytes, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn each_media_type_has_its_encoding() {
        let of = |name: &str| Encoding::of(&name.parse().unwrap());
        assert_eq!(of("application/octet-stream"), Encoding::Base64);
        assert_eq!(of("image/png"), Encoding::Base64);
        assert_eq!(of("Text/Plain; charset=utf-8"), Encoding::Text);
        assert_eq!(of("application/json;charset=utf-8"), Encoding::Json);
    }

    #[test]
    fn no_data_can_end_its_event() {
        assert_eq!(data(Encoding::Base64, b"\n\nevent: x\xff"), "data:CgpldmVudDogeP8=\n");
        assert_eq!(
            data(Encoding::Text, b"a\n\nb\r\n\r\rc\n"),
            "data:a\ndata:\ndata:b\ndata:\ndata:\ndata:c\ndata:\n"
        );
        assert_eq!(data(Encoding::Text, b" a"), "data:  a\n");
        assert_eq!(data(Encoding::Json, b"{\"a\":1},2,"), "data:[{\"a\":1},2]\n");
        assert_eq!(data(Encoding::Json, b""), "data:[]\n");
    }

    #[test]
    fn text_is_divided_between_characters() {
        assert_eq!(Encoding::Text.fit("aé".as_bytes()), 3);
        assert_eq!(Encoding::Text.fit(&"aé".as_bytes()[..2]), 1);
        assert_eq!(Encoding::Text.fit(b"\xc3"), 1, "it goes on, whatever it is");
        assert_eq!(Encoding::Text.fit(b"a\xffb"), 3);
        assert_eq!(Encoding::Base64.fit(b"a\xc3"), 2);
    }
}
