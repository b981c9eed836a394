//! What of WebAssembly a plugin may be made of: one list for the validator and for the engine.

use wasmparser::WasmFeatures;

/// What a plugin may be made of. Everything else of wasm is off: threads, SIMD, relaxed SIMD, 64-bit and
/// multiple memories, GC, exceptions, tail calls, reference types, components.
pub(in crate::plugin) const FEATURES: &[(&str, WasmFeatures)] = &[
    // What rustc emits for memcpy and memset; its cost in fuel grows with the bytes.
    ("bulk-memory", WasmFeatures::BULK_MEMORY),
    // Only the padded encoding of call_indirect that rustc emits, without reference types behind it.
    ("call-indirect-overlong", WasmFeatures::CALL_INDIRECT_OVERLONG),
    // Floats are deterministic once NaNs are canonical; JSON needs them.
    ("floats", WasmFeatures::FLOATS),
    ("multi-value", WasmFeatures::MULTI_VALUE),
    // The shadow stack pointer may be exported.
    ("mutable-global", WasmFeatures::MUTABLE_GLOBAL),
    ("saturating-float-to-int", WasmFeatures::SATURATING_FLOAT_TO_INT),
    ("sign-extension", WasmFeatures::SIGN_EXTENSION),
];

/// [`FEATURES`] as one set.
pub(in crate::plugin) fn features() -> WasmFeatures {
    FEATURES.iter().fold(WasmFeatures::empty(), |all, (_, feature)| all | *feature)
}
