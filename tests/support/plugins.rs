//! Plugins written by hand for tests, small enough to see what they do.
#![allow(dead_code, reason = "each test crate that includes this file uses a part of it")]

use dseq::plugin::{Limits, engine_id};
use dseq::types::PluginHash;
use serde_json::{Value, json};

/// Looks at the first byte: `!` is rejected with code 7 and the words "no shouting", `~` becomes "wave", `#` becomes
/// 1 MiB, `%` burns a good half of the default fuel, `@` traps, and anything else is accepted unchanged. Params must be
/// `{}`.
pub(crate) const MOODY_WAT: &str = r#"(module
  (memory (export "memory") 32)
  (data (i32.const 0) "wave")
  (data (i32.const 16) "no shouting")
  (data (i32.const 32) "these params are not for me")
  (global $out (mut i32) (i32.const 0))
  (func (export "dseq_abi_v1"))
  (func (export "dseq_buffer") (param i32) (result i32) (i32.const 1024))
  (func (export "dseq_output") (result i32) (global.get $out))
  (func (export "dseq_init") (param $len i32) (result i64)
    (if (i32.ne (local.get $len) (i32.const 2))
      (then
        (global.set $out (i32.const 32))
        (return (i64.const 0x0003_0001_0000001b))))
    (i64.const 0x0001_0000_00000000))
  (func (export "dseq_apply") (param $len i32) (result i64)
    (local $first i32) (local $turns i32)
    (local.set $first (i32.load8_u (i32.const 1024)))
    (if (i32.eq (local.get $first) (i32.const 33))
      (then
        (global.set $out (i32.const 16))
        (return (i64.const 0x0003_0007_0000000b))))
    (if (i32.eq (local.get $first) (i32.const 126))
      (then (return (i64.const 0x0002_0000_00000004))))
    (if (i32.eq (local.get $first) (i32.const 35))
      (then
        (global.set $out (i32.const 0))
        (return (i64.const 0x0002_0000_00100000))))
    (if (i32.eq (local.get $first) (i32.const 37))
      (then
        (loop $again
          (br_if $again (i32.lt_u
            (local.tee $turns (i32.add (local.get $turns) (i32.const 1)))
            (i32.const 40000000))))))
    (if (i32.eq (local.get $first) (i32.const 64))
      (then unreachable))
    (i64.const 0x0001_0000_00000000)))"#;

/// The bytes of [`MOODY_WAT`].
pub(crate) fn moody() -> Vec<u8> {
    wat::parse_str(MOODY_WAT).expect("the text above is a module")
}

/// An `app_state` whose pipeline is the moody plugin, carried inline.
pub(crate) fn moody_genesis() -> Value {
    genesis_of("moody", MOODY_WAT)
}

/// Goes as deep as its frames are allowed when told its params; with a transaction that begins with `!` it goes on for
/// ever, and accepts any other unchanged from as deep again.
///
/// Its frame is 256 bytes, three values of 32 and eleven instructions of 16: 528. So there is room for some 7,900 calls.
pub(crate) const DEEP_WAT: &str = r#"(module
  (memory (export "memory") 1)
  (func $deep (param i32)
    (if (local.get 0) (then (call $deep (i32.sub (local.get 0) (i32.const 1))))))
  (func (export "dseq_abi_v1"))
  (func (export "dseq_buffer") (param i32) (result i32) (i32.const 1024))
  (func (export "dseq_output") (result i32) (i32.const 0))
  (func (export "dseq_init") (param $len i32) (result i64)
    (call $deep (i32.const 7800))
    (i64.const 0x0001_0000_00000000))
  (func (export "dseq_apply") (param $len i32) (result i64)
    (call $deep (select (i32.const -1) (i32.const 7800)
      (i32.eq (i32.load8_u (i32.const 1024)) (i32.const 33))))
    (i64.const 0x0001_0000_00000000)))"#;

/// An `app_state` whose pipeline is this plugin, carried inline, with params `{}`.
fn genesis_of(name: &str, wat: &str) -> Value {
    let wasm = wat::parse_str(wat).expect("a test's WAT must parse");
    let (sha256, wasm) = (PluginHash::of(&wasm).to_string(), data_encoding::BASE64.encode(&wasm));
    genesis(&json!([{ "name": name, "sha256": sha256, "params": {}, "wasm": wasm }]))
}

/// An `app_state` whose pipeline is the deep plugin, carried inline.
pub(crate) fn deep_genesis() -> Value {
    genesis_of("deep", DEEP_WAT)
}

/// An `app_state` with the default limits and this pipeline.
pub(crate) fn genesis(pipeline: &Value) -> Value {
    let limits = Limits::default();
    json!({ "dseq": { "engine": engine_id().to_string(), "limits": limits, "pipeline": pipeline } })
}
