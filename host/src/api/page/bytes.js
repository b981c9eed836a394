// Bytes for people to read, as text and as hexadecimal, and back.

const UTF8 = new TextDecoder("utf-8", { ignoreBOM: true });
/** What would not show, or would move what stands around it: controls, formats, separators, lone surrogates. */
const UNSEEN = /[\p{C}\p{Zl}\p{Zp}]/gu;
const ESCAPES = { "\n": "\\n", "\r": "\\r", "\t": "\\t", "\0": "\\0" };

/** A character that is not shown as itself. */
function escaped(character) {
  return ESCAPES[character] ?? `\\u{${character.codePointAt(0).toString(16)}}`;
}

/** Bytes as text: nodes, in which escapes are marked. What is not UTF-8 becomes U+FFFD. */
function textNodes(bytes) {
  const text = UTF8.decode(bytes);
  const nodes = [];
  let end = 0;
  for (const match of text.matchAll(UNSEEN)) {
    if (match.index > end) nodes.push(text.slice(end, match.index));
    nodes.push(make("i", { textContent: escaped(match[0]) }));
    end = match.index + match[0].length;
  }
  if (end < text.length) nodes.push(text.slice(end));
  return nodes;
}

const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));

/** Bytes in hexadecimal, without spaces. */
const hexOf = (bytes) => Array.from(bytes, (byte) => HEX[byte]).join("");

/** Bytes as `hexdump -C` shows them, a line for each `width`; `offset` is that of the first one in the sequence. */
function hexDump(bytes, offset, width) {
  const digits = Math.max(8, (offset + bytes.length).toString(16).length);
  const lines = [];
  for (let start = 0; start < bytes.length; start += width) {
    const row = bytes.subarray(start, start + width);
    const hex = Array.from(row, (byte) => HEX[byte]).join(" ").padEnd(width * 3 - 1);
    const text = Array.from(row, (byte) => (byte >= 32 && byte < 127 ? String.fromCharCode(byte) : "."));
    lines.push(`${(offset + start).toString(16).padStart(digits, "0")}  ${hex}  ${text.join("")}`);
  }
  return lines.join("\n");
}

/** The bytes that a text in hexadecimal stands for; spaces, line breaks, colons and `0x` are ignored. Throws what is wrong. */
function bytesOfHex(text) {
  const digits = text.replace(/0x|[\s:_,]/gi, "");
  const wrong = digits.match(/[^0-9a-f]/iu);
  if (wrong) throw new Error(`“${wrong[0]}” is not a hexadecimal digit.`);
  if (digits.length % 2 === 1) throw new Error(`${counted(digits.length, "digit")}: each byte takes two.`);
  return Uint8Array.from({ length: digits.length / 2 }, (_, i) => parseInt(digits.slice(2 * i, 2 * i + 2), 16));
}

const NARROW = matchMedia("(max-width: 40rem)");

/** How many bytes a line of a dump has here. */
const dumpWidth = () => (NARROW.matches ? 8 : 16);
