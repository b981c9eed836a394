//! The plugin `hex` as it is shipped: its verdicts through the wall, its fuel.
use dseq::plugin::{Fault, HashedTx, Limits, Pipeline, Verdict};

use super::gallery::built;
use super::{admit, apply, record, rejection};

fn hex() -> Pipeline {
    admit(Limits::default(), &[built("hex")]).unwrap()
}

#[test]
fn text_becomes_the_bytes_it_names() {
    let pipeline = hex();
    for (tx, bytes) in [(&b"0xDEADBEEF"[..], &b"\xde\xad\xbe\xef"[..]), (b"0X00", b"\0"), (b"0x2d", b"-")] {
        assert_eq!(record(&pipeline, tx), bytes);
    }
}

/// Short inputs lie in a buffer of the plugin's own, long ones in memory it allocates and grows for them.
#[test]
fn a_text_of_any_length_becomes_its_bytes() {
    let pipeline = hex();
    for len in [1, 100, 8_191, 8_192, 20_000, (1 << 19) - 1, 1] {
        let bytes: Vec<u8> = (0..len).map(|n: u32| n.to_le_bytes()[0] ^ n.to_le_bytes()[1]).collect();
        let tx = bytes::Bytes::from(format!("0x{}", data_encoding::HEXLOWER.encode(&bytes)));
        let outcome = pipeline.apply(&HashedTx::of(&tx)).unwrap();
        assert!(outcome.record(&tx).unwrap() == &bytes, "{len} bytes");
    }
}

#[test]
fn a_refusal_reaches_the_producer_in_words() {
    let pipeline = hex();
    let refused = |tx| rejection(&apply(&pipeline, tx));
    let words = |code, text: &str| (code, text.to_owned());
    assert_eq!(refused(b"DEADBEEF"), words(1, "the transaction is not hexadecimal: it must start with 0x"));
    assert_eq!(refused(b"0x"), words(2, "there is no digit after 0x"));
    assert_eq!(refused(b"0xabc"), words(3, "3 digits make no whole bytes; give an even number of them"));
    assert_eq!(refused(b"0x0g"), words(4, "'g' at byte 3 is no hexadecimal digit"));
    let line_break = "the transaction ends with a line break or a space; send it without";
    assert_eq!(refused(b"0xab\n"), words(4, line_break));
}

/// A plugin's memory runs out where genesis says, as its fault and nobody else's.
#[test]
fn memory_that_genesis_does_not_give_is_a_fault() {
    let limits = Limits { memory_bytes_max: 128 << 10, ..Limits::default() };
    let pipeline = admit(limits, &[built("hex")]).unwrap();
    let tx = bytes::Bytes::from(format!("0x{}", "ab".repeat(100_000)));
    match pipeline.apply(&HashedTx::of(&tx)).unwrap().verdict() {
        Verdict::Faulted { fault: Fault::Unreachable, message } => {
            assert!(message.ends_with(": memory allocation of 200002 bytes failed"), "{message}");
        }
        other => panic!("expected a fault, got {other:?}"),
    }
    assert_eq!(record(&pipeline, b"0xab"), b"\xab"[..]);
}

/// Fuel is part of every transaction's result. A change here forks the networks that run this plugin.
#[test]
fn its_fuel_is_fixed() {
    let pipeline = hex();
    let fuel = [&b"0xDEADBEEF"[..], b"DEADBEEF", b"0xabc"].map(|tx| apply(&pipeline, tx).fuel.0);
    assert_eq!(fuel, [8335, 8885, 11956]);
}
