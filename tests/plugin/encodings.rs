//! Encodings that newer proposals brought for what plugins may have: another release of the engine may read them
//! otherwise, so none is admitted.

use dseq::plugin::limits_used;

/// Its id and content.
type Section = (u8, &'static [u8]);

/// A module of these sections.
fn module(sections: &[Section]) -> Vec<u8> {
    let mut wasm = b"\0asm\x01\0\0\0".to_vec();
    for (id, content) in sections {
        wasm.extend([*id, u8::try_from(content.len()).unwrap()]);
        wasm.extend(*content);
    }
    wasm
}

const TYPE: Section = (1, b"\x01\x60\0\0");
const FUNCTION: Section = (3, b"\x01\0");
const CODE: Section = (10, b"\x01\x02\0\x0b");
const TABLE: Section = (4, b"\x01\x70\0\x01");
const MEMORY: Section = (5, b"\x01\0\x01");

/// Each beside its plain encoding, which passes.
#[test]
fn each_thing_has_one_encoding() {
    let refused: &[(&str, &[Section], &[Section])] = &[
        ("a final type without a supertype", &[TYPE], &[(1, b"\x01\x4f\0\x60\0\0")]),
        ("an open type without a supertype", &[TYPE], &[(1, b"\x01\x50\0\x60\0\0")]),
        ("a recursive group of one", &[TYPE], &[(1, b"\x01\x4e\x01\x60\0\0")]),
        ("a recursive group of none", &[TYPE], &[(1, b"\x01\x4e\0")]),
        ("a table of nullable references", &[TABLE], &[(4, b"\x01\x63\x70\0\x01")]),
        ("a table with an initial value", &[TABLE], &[(4, b"\x01\x40\0\x70\0\x01\xd0\x70\x0b")]),
        ("a 64-bit table", &[TABLE], &[(4, b"\x01\x70\x04\x01")]),
        ("a shared table", &[TABLE], &[(4, b"\x01\x70\x03\x01\x01")]),
        ("a 64-bit memory", &[MEMORY], &[(5, b"\x01\x04\x01")]),
        ("a shared memory", &[MEMORY], &[(5, b"\x01\x03\x01\x01")]),
        ("a page size", &[MEMORY], &[(5, b"\x01\x08\x01\x10")]),
        ("a shared global", &[(6, b"\x01\x7f\0\x41\0\x0b")], &[(6, b"\x01\x7f\x02\x41\0\x0b")]),
        ("a global of references", &[(6, b"\x01\x7f\0\x41\0\x0b")], &[(6, b"\x01\x70\0\xd0\x70\x0b")]),
        ("a group of no imports", &[TYPE], &[TYPE, (2, b"\x01\0\0\x7f\0")]),
        ("a tag", &[TYPE], &[TYPE, (13, b"\x01\0\0")]),
        (
            "padded flags of a data segment",
            &[MEMORY, (11, b"\x01\0\x41\0\x0b\0")],
            &[MEMORY, (11, b"\x01\x80\0\x41\0\x0b\0")],
        ),
        (
            "padded flags of an element segment",
            &[TABLE, (9, b"\x01\0\x41\0\x0b\0")],
            &[TABLE, (9, b"\x01\x80\0\x41\0\x0b\0")],
        ),
        (
            "elements of nullable references",
            &[TYPE, FUNCTION, TABLE, CODE],
            &[TYPE, FUNCTION, TABLE, (9, b"\x01\x05\x63\x70\x01\xd2\0\x0b"), CODE],
        ),
        (
            "a block of a padded type",
            &[TYPE, FUNCTION, (10, b"\x01\x08\0\x02\x7f\x41\0\x0b\x1a\x0b")],
            &[TYPE, FUNCTION, (10, b"\x01\x09\0\x02\xff\x7f\x41\0\x0b\x1a\x0b")],
        ),
        (
            "a local of references",
            &[TYPE, FUNCTION, (10, b"\x01\x04\x01\x01\x7f\x0b")],
            &[TYPE, FUNCTION, (10, b"\x01\x04\x01\x01\x70\x0b")],
        ),
        (
            "a load that names its memory",
            &[TYPE, FUNCTION, MEMORY, (10, b"\x01\x08\0\x41\0\x28\x02\0\x1a\x0b")],
            &[TYPE, FUNCTION, MEMORY, (10, b"\x01\x09\0\x41\0\x28\x42\0\0\x1a\x0b")],
        ),
        (
            "a padded index of the memory",
            &[TYPE, FUNCTION, MEMORY, (10, b"\x01\x05\0\x3f\0\x1a\x0b")],
            &[TYPE, FUNCTION, MEMORY, (10, b"\x01\x06\0\x3f\x80\0\x1a\x0b")],
        ),
    ];
    for (what, plain, other) in refused {
        let plain = limits_used(&module(plain)).map(drop);
        assert_eq!(plain, Ok(()), "the plain encoding beside {what}");
        let error = limits_used(&module(other)).expect_err(what).to_string();
        assert!(error.starts_with("not a module this engine accepts: "), "{what}: {error}");
    }
}

/// What the validator itself takes: the words are ours.
#[test]
fn a_refused_encoding_is_told_with_its_place() {
    let words = |sections: &[Section]| limits_used(&module(sections)).unwrap_err().to_string();
    assert_eq!(
        words(&[(1, b"\x01\x4f\0\x60\0\0")]),
        "not a module this engine accepts: a type is encoded as 0x4f, but must be 0x60 (at offset 0xb)"
    );
    assert_eq!(
        words(&[MEMORY, (11, b"\x01\x80\0\x41\0\x0b\0")]),
        "not a module this engine accepts: the kind of a data segment is encoded as 0x80, but must be 0x00 to 0x02 \
         (at offset 0x10)"
    );
}
