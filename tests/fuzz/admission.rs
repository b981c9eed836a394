//! Modules: nothing panics over one, what is refused is refused in words, and what is valid the engine takes.

use std::fs;
use std::path::Path;

use bytes::Bytes;
use dseq::plugin::{
    AdmitError, CanonicalJson, Limits, Pipeline, PipelineSpec, PluginName, PluginSpec, engine_id,
    instrumented, limits_used,
};
use dseq::types::PluginHash;

use super::mutate::{flip, mutate};
use super::noise::Noise;
use super::{fuzz, generated, smith};

#[test]
fn a_module_of_any_bytes_is_refused() {
    fuzz("bytes", 20_000, |noise| {
        let len = noise.below(300);
        let mut bytes = noise.bytes(len);
        if noise.below(4) > 0 {
            bytes.splice(0..0, *b"\0asm\x01\0\0\0");
        }
        admit(&bytes);
    });
}

#[test]
fn a_changed_module_is_refused_or_works() {
    let good = good();
    let admitted = std::cell::Cell::new(0);
    fuzz("changed modules", 3_000, |noise| {
        let good = &good[noise.below(good.len())];
        admitted.set(admitted.get() + u64::from(admit(&changed(noise, good))));
    });
    println!("{} were admitted", admitted.get());
    assert!(admitted.get() > 0, "none was admitted: the changes are too coarse");
}

#[test]
fn a_changed_random_module_is_refused_or_works() {
    fuzz("changed random modules", 200, |noise| {
        let (wasm, _) = smith::module(noise.next());
        admit(&changed(noise, &wasm));
    });
}

/// The hostile modules, which use every corner of what is admitted; the short ones, so that changes hit what matters.
fn good() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/hostile/modules");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let modules = files.iter().map(|file| wat::parse_file(file).unwrap());
    let modules = modules.chain(generated::all().into_iter().map(|(_, _, wasm)| wasm));
    modules.filter(|wasm| wasm.len() < 1_000).collect()
}

/// Mostly without a change of length, which sections rarely survive.
fn changed(noise: &mut Noise, wasm: &[u8]) -> Vec<u8> {
    if noise.below(4) == 0 { mutate(noise, wasm) } else { flip(noise, wasm) }
}

/// Whether it was admitted, and run on a transaction.
fn admit(wasm: &[u8]) -> bool {
    let valid = limits_used(wasm);
    assert_eq!(instrumented(wasm).map(drop), valid.clone().map(drop), "one validation");
    if let Ok(used) = &valid {
        assert!(used.iter().all(|used| used.found <= used.max), "{used:?}");
    }
    let limits = Limits { fuel_max: 600_000, memory_bytes_max: 1 << 20, ..Limits::default() };
    let plugin = PluginSpec {
        name: PluginName::try_from("fuzzed".to_owned()).unwrap(),
        sha256: PluginHash::of(wasm),
        params: CanonicalJson::default(),
    };
    let spec = PipelineSpec { engine: engine_id(), limits, plugins: vec![plugin] };
    match (valid, Pipeline::admit(spec, &[wasm.to_vec()])) {
        (Err(refusal), Err(AdmitError::Invalid { source, .. })) => {
            assert_eq!(refusal, source);
            assert!(!refusal.to_string().is_empty());
            false
        }
        (Err(refusal), other) => panic!("validation says {refusal}, admission {:?}", other.map(drop)),
        (
            Ok(_),
            Err(
                error @ (AdmitError::Invalid { .. }
                | AdmitError::Module { .. }
                | AdmitError::CompileTime { .. }
                | AdmitError::CompileMemory { .. }
                | AdmitError::Host { .. }),
            ),
        ) => {
            panic!("it is valid, but: {error}");
        }
        (Ok(_), Err(_)) => false,
        (Ok(_), Ok(pipeline)) => {
            let trace = pipeline.trace(&Bytes::from_static(b"a transaction"));
            assert_eq!(trace.unwrap_or_else(|fatal| panic!("{fatal}")).1.len(), 1);
            true
        }
    }
}
