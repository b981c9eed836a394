//! The SDK's reader of params against another reader of JSON: what genesis can say, a plugin reads.
use dseq::plugin::{CanonicalJson, Limits, Pipeline};
use dseq_sdk::{Param, ParamError, Params, Value};
use proptest::prelude::*;
use serde_json::{Map, Number, json};

use super::gallery::built;
use super::spec;

/// A plugin's view of any JSON, told in the other reader's words.
struct Tree(serde_json::Value);

impl Param for Tree {
    const EXPECTED: &'static str = "any value that a plugin can read";

    fn read(value: Value<'_>) -> Result<Self, ParamError> {
        let unexpected = || ParamError::unexpected::<Self>(value);
        let tree = if value.is_null() {
            serde_json::Value::Null
        } else if let Some(flag) = value.as_bool() {
            flag.into()
        } else if let Some(text) = value.as_string() {
            text.into()
        } else if let Some(elements) = value.elements() {
            elements.map(|element| Ok(Self::read(element)?.0)).collect::<Result<Vec<_>, _>>()?.into()
        } else if let Some(fields) = value.fields() {
            let mut map = Map::new();
            for (name, field) in fields {
                let name = name.as_string().ok_or_else(unexpected)?;
                if map.insert(name, Self::read(field)?.0).is_some() {
                    return Err(ParamError::new("a name is there twice"));
                }
            }
            map.into()
        } else {
            // What is left is a number.
            let integer = value.as_u64().map(Number::from).or_else(|| value.as_i64().map(Number::from));
            integer.ok_or_else(unexpected)?.into()
        };
        Ok(Self(tree))
    }
}

impl Params for Tree {}

fn trees() -> impl Strategy<Value = serde_json::Value> {
    let integers = -((1_i64 << 53) - 1)..1_i64 << 53;
    let leaves = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        integers.prop_map(Into::into),
        any::<String>().prop_map(Into::into),
        // What has to be escaped, and what takes two units of UTF-16.
        "[\\x00-\\x1f\"\\\\/\u{7f}-\u{a0}\u{2028}\u{ffff}😀]{0,8}".prop_map(Into::into),
    ];
    leaves.prop_recursive(8, 64, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Into::into),
            prop::collection::btree_map(any::<String>(), inner, 0..8)
                .prop_map(|fields| Map::from_iter(fields).into()),
        ]
    })
}

/// Bytes of a JSON text, some of them replaced.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let damage = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4);
    (trees(), any::<bool>(), damage).prop_map(|(tree, pretty, damage)| {
        let text = if pretty { format!("{tree:#}") } else { tree.to_string() };
        let mut bytes = text.into_bytes();
        for (index, byte) in damage {
            let index = index.index(bytes.len());
            bytes[index] = byte;
        }
        bytes
    })
}

proptest! {
    #[test]
    fn what_genesis_says_is_what_the_plugin_reads(tree in trees()) {
        let params = CanonicalJson::parse(&tree.to_string()).unwrap();
        let read = Tree::parse(params.as_str().as_bytes());
        prop_assert_eq!(read?.0, tree);
    }

    #[test]
    fn white_space_and_escapes_change_nothing(tree in trees()) {
        let escaped: String = format!("{tree:#}")
            .encode_utf16()
            .map(|unit| match u8::try_from(unit) {
                Ok(byte @ 0..=0x7e) => char::from(byte).to_string(),
                _ => format!("\\u{unit:04x}"),
            })
            .collect();
        prop_assert_eq!(Tree::parse(escaped.as_bytes())?.0, tree);
    }

    /// A text that one of the readers takes, the other takes for the same, but for what this one is strict about.
    #[test]
    fn a_damaged_text_is_refused_unless_it_is_json(text in damaged()) {
        let other = serde_json::from_slice::<serde_json::Value>(&text);
        match (Tree::parse(&text), other) {
            (Ok(Tree(read)), Ok(other)) => prop_assert_eq!(read, other),
            (Ok(Tree(read)), Err(error)) => prop_assert!(false, "read {read}, but {error}"),
            (Err(refusal), Ok(other)) => {
                let words = refusal.message();
                let is_strict = ["any value that a plugin can read", "is there twice", "nest deeper"];
                prop_assert!(is_strict.iter().any(|reason| words.contains(reason)), "{words}: {other}");
            }
            (Err(_), Err(_)) => {}
        }
    }
}

/// What a plugin's init costs with these params, in fuel.
fn init_fuel(plugin: &str, params: &serde_json::Value) -> u64 {
    let modules = [built(plugin)];
    let mut spec = spec(Limits::default(), &modules);
    spec.plugins[0].params = CanonicalJson::parse(&params.to_string()).unwrap();
    Pipeline::admit(spec, &modules).unwrap().init_fuel().0
}

/// A transaction whose instance cannot be reset is charged for init as well.
#[test]
fn params_cost_little_to_read() {
    let string = |len: usize| init_fuel("json", &json!({ "required": ["x".repeat(len)] }));
    let for_each_byte = (string(2000) - string(1000)) / 1000;
    assert!(for_each_byte <= 40, "{for_each_byte} for each byte of a string");

    let producers = |count: u64| {
        let producer = |n| json!({ "name": "alice", "key": format!("{:064x}", n << 32) });
        let producers: Vec<_> = (1..=count).map(producer).collect();
        init_fuel("signed", &json!({ "context": "my-chain", "producers": producers }))
    };
    let for_each = (producers(20) - producers(10)) / 10;
    assert!(for_each <= 30_000, "{for_each} for each object of a name and a key");
}
