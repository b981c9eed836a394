//! The canonical form: the examples of RFC 8785, and the crates the host uses for params as a second opinion.
#![allow(clippy::unwrap_used, reason = "a test's helpers may panic, as its tests may")]

use json::{Rules, canonical};
use proptest::prelude::*;
use serde_json::{Map, Value};

fn rules() -> Rules {
    Rules { depth_max: 64, required: Vec::new() }
}

/// The canonical form, or code and words.
fn made(tx: impl AsRef<[u8]>) -> Result<String, (u16, String)> {
    let document =
        canonical(tx.as_ref(), &rules()).map_err(|problem| (problem.code(), problem.to_string()))?;
    let mut text = Vec::new();
    document.pieces(|piece| text.extend_from_slice(piece));
    Ok(String::from_utf8(text).expect("JSON is UTF-8"))
}

#[track_caller]
fn is(tx: &str, text: &str) {
    assert_eq!(made(tx).as_deref(), Ok(text), "{tx}");
}

/// Section 3.2.2: primitive values of all kinds.
#[test]
fn the_example_of_rfc_8785() {
    is(
        r#"{
            "numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
            "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
            "literals": [null, true, false]
        }"#,
        r#"{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"string":"€$\u000f\nA'B\"\\\\\"/"}"#,
    );
}

/// Section 3.2.3: names in the order of their UTF-16, where U+1F600 comes before U+FB33.
#[test]
fn fields_are_ordered_as_utf_16() {
    is(
        r#"{"\u20ac":"Euro Sign","\r":"Carriage Return","\ufb33":"Hebrew Letter Dalet With Dagesh","1":"One",
            "\ud83d\ude00":"Emoji: Grinning Face","\u0080":"Control","\u00f6":"Latin Small Letter O With Diaeresis"}"#,
        "{\"\\r\":\"Carriage Return\",\"1\":\"One\",\"\u{80}\":\"Control\",\"ö\":\"Latin Small Letter O With Diaeresis\",\
         \"€\":\"Euro Sign\",\"😀\":\"Emoji: Grinning Face\",\"\u{fb33}\":\"Hebrew Letter Dalet With Dagesh\"}",
    );
    is(r#"{"a\"":1,"a!":2,"a":3,"":4}"#, r#"{"":4,"a":3,"a!":2,"a\"":1}"#);
    is(r#"{"]":1,"\\":2,"[":3}"#, r#"{"[":3,"\\":2,"]":1}"#);
}

/// Appendix B, as far as JSON can say these doubles.
#[test]
fn numbers_are_written_as_ecmascript_does() {
    for (literal, text) in [
        ("0.0", "0"),
        ("-0.0", "0"),
        ("-0", "0"),
        ("5e-324", "5e-324"),
        ("-5e-324", "-5e-324"),
        ("1.7976931348623157e308", "1.7976931348623157e+308"),
        ("-1.7976931348623157e308", "-1.7976931348623157e+308"),
        ("9.999999999999997e22", "9.999999999999997e+22"),
        ("1e23", "1e+23"),
        ("1.0000000000000001e23", "1.0000000000000001e+23"),
        ("1e21", "1e+21"),
        ("9.999999999999997e-7", "9.999999999999997e-7"),
        ("0.000001", "0.000001"),
        ("333333333.3333332", "333333333.3333332"),
        ("333333333.33333325", "333333333.33333325"),
        ("333333333.3333333", "333333333.3333333"),
        ("333333333.3333334", "333333333.3333334"),
        ("333333333.33333343", "333333333.33333343"),
        ("-0.0000033333333333333333", "-0.0000033333333333333333"),
        ("1424953923781206.25", "1424953923781206.2"),
        ("1.0", "1"),
        ("10e-1", "1"),
        ("1E+2", "100"),
        ("-1.50", "-1.5"),
        ("1e-400", "0"),
        ("9007199254740991", "9007199254740991"),
        ("-9007199254740991", "-9007199254740991"),
        ("9007199254740991.0", "9007199254740991"),
        ("123456789012345", "123456789012345"),
    ] {
        is(literal, text);
    }
}

#[test]
fn integers_a_double_does_not_keep_are_refused_however_they_are_written() {
    for literal in [
        "9007199254740992",
        "-9007199254740992",
        "9007199254740992.0",
        "9007199254740993e0",
        "1e20",
        "99999999999999999999",
        "10000000000000000000000000000000000000000",
    ] {
        let words = "byte 3: an integer that canonical JSON (RFC 8785) cannot keep; integers go from \
                     -9007199254740991 to 9007199254740991: write it as a string";
        assert_eq!(made(format!("[ [{literal}]]")), Err((5, words.to_owned())), "{literal}");
    }
    let words = "byte 0: a number beyond the largest double, about 1.8e308; write it as a string";
    for literal in ["1e309", "-1e309", "1e99999999999999999999"] {
        assert_eq!(made(literal), Err((5, words.to_owned())), "{literal}");
    }
}

#[test]
fn strings_keep_what_they_stand_for() {
    is(r#""\u0000\u001F\b\t\n\f\r\u007f\u0080\/""#, "\"\\u0000\\u001f\\b\\t\\n\\f\\r\u{7f}\u{80}/\"");
    is(r#""\uD83D\uDE00""#, "\"😀\"");
    is("\"😀é\"", "\"😀é\"");
    is(r#""\uffff\u2028""#, "\"\u{ffff}\u{2028}\"");
}

#[test]
fn white_space_goes() {
    is(" \t\r\n{ \"a\" : [ 1 , { } , [ ] ] \n}\r\n", r#"{"a":[1,{},[]]}"#);
}

#[test]
fn objects_are_ordered_within_each_other() {
    is(
        r#"{"c":{"b":{"z":1,"y":[{"q":0,"p":{}}]},"a":2},"b":[],"a":{"2":2,"1":{"d":4,"c":3}}}"#,
        r#"{"a":{"1":{"c":3,"d":4},"2":2},"b":[],"c":{"a":2,"b":{"y":[{"p":{},"q":0}],"z":1}}}"#,
    );
}

#[test]
fn each_problem_is_named_with_its_place() {
    for (tx, code, words) in [
        (&b" "[..], 1, "byte 1: expected a value, but the text ends"),
        (b"\xff", 2, "byte 0: not UTF-8"),
        (b"\"ab\xe2\x82\"", 2, "byte 3: not UTF-8"),
        (b"{\"a\":1,}", 1, "byte 7: expected a field's name in quotes, found '}'"),
        (b"{a:1}", 1, "byte 1: expected a field's name in quotes, found 'a'"),
        (b"{\"a\" 1}", 1, "byte 5: expected a colon after the field's name, found '1'"),
        (b"[1,]", 1, "byte 3: expected a value, found ']'"),
        (b"[1 2]", 1, "byte 3: expected a comma or the array's end, found '2'"),
        (b"[1", 1, "byte 2: expected a comma or the array's end, but the text ends"),
        (b"{\"a\":1", 1, "byte 6: expected a comma or the object's end, but the text ends"),
        (b"[}", 1, "byte 1: expected a value, found '}'"),
        (b"1 2", 1, "byte 2: expected nothing after the document, found '2'"),
        (b"nul", 1, "byte 0: expected a value, found 'n'"),
        (b"nulls", 1, "byte 4: expected nothing after the document, found 's'"),
        (b"NaN", 1, "byte 0: expected a value, found 'N'"),
        (b"'a'", 1, "byte 0: expected a value, found '\\''"),
        (b"\xef\xbb\xbf1", 1, "byte 0: expected a value, found '\\xef'"),
        (b"+1", 1, "byte 0: expected a value, found '+'"),
        (b".5", 1, "byte 0: expected a value, found '.'"),
        (b"-", 1, "byte 1: expected a digit, but the text ends"),
        (b"1.", 1, "byte 2: expected a digit, but the text ends"),
        (b"1.e5", 1, "byte 2: expected a digit, found 'e'"),
        (b"1e+", 1, "byte 3: expected a digit, but the text ends"),
        (b"[01]", 1, "byte 1: a number that starts with a zero it does not need"),
        (b"-00", 1, "byte 0: a number that starts with a zero it does not need"),
        (b"\"a", 1, "byte 2: expected the string's closing quote, but the text ends"),
        (b"\"\\x\"", 1, "byte 2: expected one of \"\\/bfnrtu after the backslash, found 'x'"),
        (b"\"\\u12g4\"", 1, "byte 5: expected a hexadecimal digit, found 'g'"),
        (b"\"\\u+123\"", 1, "byte 3: expected a hexadecimal digit, found '+'"),
        (b"\"a\nb\"", 1, "byte 2: a control character in a string; write it as an escape like \\n"),
        (b"\"\\ud800\"", 6, "byte 1: half of a character: a surrogate without its other half"),
        (b"\"a\\udc00\\ud800\"", 6, "byte 2: half of a character: a surrogate without its other half"),
        (b"\"\\ud800\\u0041\"", 6, "byte 1: half of a character: a surrogate without its other half"),
        (b"{\"a\":1,\"b\":2,\"\\u0061\":3}", 3, "byte 13: the field \"a\" is already there in this object"),
        (b"{\"b\":{\"\":1,\"\":2},\"b\":1}", 3, "byte 11: the field \"\" is already there in this object"),
        (b"{\"b\":1,\"a\":2,\"a\":3,\"b\":4}", 3, "byte 13: the field \"a\" is already there in this object"),
    ] {
        assert_eq!(made(tx), Err((code, words.to_owned())), "{}", tx.escape_ascii());
    }
}

#[test]
fn a_long_name_is_cut_in_the_message() {
    let name = "é".repeat(100);
    let Err((3, words)) = made(format!("{{\"{name}\":1,\"{name}\":2}}")) else { panic!("twice the same") };
    let shown = "é".repeat(63);
    assert_eq!(words, format!("byte 206: the field \"{shown}... is already there in this object"));
}

#[test]
fn depth_is_counted_in_arrays_and_objects() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let mixed = |pairs: usize| format!("{}1{}", "{\"b\":[".repeat(pairs), "],\"a\":0}".repeat(pairs));
    is(&nested(64), &nested(64));
    assert_eq!(made(mixed(32)).map(|text| text.len()), Ok(mixed(32).len()));
    let deep = |at| {
        Err((
            4,
            format!("byte {at}: arrays and objects within each other deeper than 64, which is depth_max"),
        ))
    };
    assert_eq!(made(nested(65)), deep(64));
    assert_eq!(made(mixed(33)), deep(192));
    assert_eq!(made("[".repeat(1 << 20)), deep(64));
}

#[test]
fn required_fields_are_those_of_the_outermost_object() {
    let rules = Rules { depth_max: 8, required: vec!["id".to_owned(), "é\"".to_owned()] };
    let problem = |tx: &str| {
        canonical(tx.as_bytes(), &rules).err().map(|problem| (problem.code(), problem.to_string()))
    };
    let missing =
        |at, name: &str| Some((7, format!("byte {at}: this object lacks the required field {name:?}")));
    assert_eq!(problem(r#"{"é\"":null,"id":1,"a":{}}"#), None);
    assert_eq!(problem(r#"{"id":1,"\u00e9\u0022":2}"#), None);
    assert_eq!(problem(r#" {"é\"":1,"a":{"id":1}}"#), missing(1, "id"));
    assert_eq!(problem(r#"{"id":1}"#), missing(0, "é\""));
    let words = "byte 0: not an object, and only one can have the required field \"id\"";
    assert_eq!(problem(r#"[{"id":1}]"#), Some((7, words.to_owned())));
    assert_eq!(problem(""), Some((1, "byte 0: expected a value, but the text ends".to_owned())));
}

/// Values whose numbers the plugin takes.
fn values() -> impl Strategy<Value = Value> {
    let numbers = prop_oneof![
        (-9_007_199_254_740_991_i64..=9_007_199_254_740_991).prop_map(Value::from),
        any::<i16>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        (-1e6..1e6).prop_map(|number: f64| Value::from((number * 100.0).round() / 100.0)),
    ];
    let numbers = numbers.prop_filter("integers beyond 2^53 - 1 are refused", |number| {
        number.as_f64().is_none_or(|number| number.abs() <= 9_007_199_254_740_991.0 || number.abs() >= 1e21)
    });
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        numbers,
        names().prop_map(Value::from)
    ];
    leaf.prop_recursive(6, 64, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
            prop::collection::vec((names(), inner), 0..8)
                .prop_map(|fields| Value::Object(fields.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

/// Strings of all that is special, and short ones, so that names begin alike.
fn names() -> impl Strategy<Value = String> {
    let characters = prop_oneof![
        prop::sample::select(
            "ab\"\\/\u{0}\u{8}\t\n\u{c}\r\u{1f} \u{7f}\u{80}é€\u{d7ff}\u{e000}\u{fb33}\u{ffff}😀\u{10ffff}"
                .chars()
                .collect::<Vec<_>>()
        ),
        any::<char>(),
    ];
    prop::collection::vec(characters, 0..6).prop_map(|characters| characters.into_iter().collect())
}

/// One of the many ways to write a value: order of fields, white space and escapes drawn from `seed`.
fn written(value: &Value, seed: &mut u64) -> String {
    let mut draw = |below: u64| {
        *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (*seed >> 33) % below
    };
    let space = " ".repeat(usize::try_from(draw(3)).unwrap());
    match value {
        Value::Object(fields) => {
            let mut fields: Vec<(&String, &Value)> = fields.iter().collect();
            for place in (1..fields.len()).rev() {
                fields.swap(place, usize::try_from(draw(place as u64 + 1)).unwrap());
            }
            let fields = fields.into_iter().map(|(name, value)| {
                let name = written(&Value::from(name.as_str()), seed);
                format!("{name}{space}:\n{}", written(value, seed))
            });
            let fields = fields.collect::<Vec<_>>().join(",\t");
            format!("{space}{{{fields}{space}}}{space}")
        }
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(|item| written(item, seed)).collect();
            format!("{space}[{}]\r", items.join(&format!("{space},{space}")))
        }
        Value::String(text) => {
            let units: Vec<u16> = text.encode_utf16().collect();
            let escaped = units.iter().map(|unit| format!("\\u{unit:04X}")).collect::<String>();
            match draw(3) {
                0 => format!("{space}\"{escaped}\""),
                _ => format!("{space}{value}"),
            }
        }
        _ => format!("{space}{value}"),
    }
}

/// The short way of decimals against the long way, which an exponent makes every number go.
#[test]
fn decimals_are_written_as_their_doubles() {
    for whole in ["0", "1", "10", "100", "12345", "123456789", "12345678901234", "123456789012345"] {
        for fraction in [
            "0",
            "00",
            "5",
            "50",
            "05",
            "25",
            "00001",
            "000001",
            "0000001",
            "0000010",
            "1234567890123",
            "999999999",
        ] {
            for sign in ["", "-"] {
                let decimal = format!("{sign}{whole}.{fraction}");
                assert_eq!(made(&decimal), made(format!("{decimal}e0")), "{decimal}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn every_spelling_of_a_value_has_the_form_the_hosts_crate_gives_it(value in values(), seed in any::<u64>()) {
        let tx = written(&value, &mut { seed });
        let text = made(&tx).unwrap_or_else(|problem| panic!("{tx}: {problem:?}"));
        prop_assert_eq!(&text, &serde_json_canonicalizer::to_string(&value).unwrap());
        // What is canonical stays as it is.
        prop_assert!(canonical(text.as_bytes(), &rules()).is_ok_and(|again| again.is(text.as_bytes())));
        prop_assert!(tx == text || !canonical(tx.as_bytes(), &rules()).is_ok_and(|document| document.is(tx.as_bytes())));
    }

    #[test]
    fn random_decimals_are_written_as_their_doubles(decimal in "-?(0|[1-9][0-9]{0,8})\\.[0-9]{1,9}") {
        prop_assert_eq!(made(&decimal), made(format!("{decimal}e0")), "{}", decimal);
    }

    #[test]
    fn any_bytes_end_in_a_document_or_in_a_problem_of_theirs(
        tx in r#"[{}\[\],:"\\/bnu0189deE+. \n\x00-]{0,24}"#, rest in prop::collection::vec(any::<u8>(), 0..3),
    ) {
        let tx = [tx.as_bytes(), &rest].concat();
        let made = made(&tx);
        let theirs = serde_json::from_slice::<Value>(&tx);
        let at = |words: &str| words["byte ".len()..].split(':').next().unwrap().parse::<usize>().unwrap();
        match made {
            Ok(_) => prop_assert!(theirs.is_ok(), "{}: {theirs:?}", tx.escape_ascii()),
            Err((code, words)) => {
                prop_assert!(at(&words) <= tx.len(), "{words}");
                prop_assert!(theirs.is_err() || matches!(code, 3..=5), "{}: {words}", tx.escape_ascii());
            }
        }
    }

    #[test]
    fn what_is_json_to_the_hosts_crate_is_json_and_nothing_else(
        value in values(), seed in any::<u64>(), place in any::<prop::sample::Index>(), byte in any::<u8>(), kind in 0..3,
    ) {
        let mut tx = written(&value, &mut { seed }).into_bytes();
        let place = place.index(tx.len());
        match kind {
            0 => tx[place] = byte,
            1 => tx.insert(place, b"{}[]\",:\\0e.-"[usize::from(byte) % 12]),
            _ => drop(tx.remove(place)),
        }
        let theirs = serde_json::from_slice::<Value>(&tx);
        match made(&tx) {
            Ok(_) => prop_assert!(theirs.is_ok(), "{}: {theirs:?}", tx.escape_ascii()),
            // Rules that their reader does not have.
            Err((3..=5, _)) => {}
            Err((code, words)) => prop_assert!(theirs.is_err(), "{}: {code} {words}", tx.escape_ascii()),
        }
    }
}
