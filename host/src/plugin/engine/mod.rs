//! The one wasm engine of the process, its costs in fuel (`costs`), and its identity (`id`).
//!
//! # Determinism
//!
//! Every setting that could change what a plugin computes is made here, and either stands in the engine
//! text or has one value that no setting changes. Settings that only decide speed or address space are
//! free to differ between hosts.

mod costs;
mod id;

use std::sync::OnceLock;

use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig,
    ProfilingStrategy, Strategy, WasmBacktraceDetails, WasmFeatures,
};

pub use self::id::{engine_id, engine_text};
use super::execute::{instances_kept_max, processors};
use super::validate::features;
use crate::limits;

/// Addresses for each instance's memory, in bytes: all that a 32-bit address can reach, and so no bounds checks in the code.
const MEMORY_RESERVATION_BYTES: u64 = 4 << 30;

/// Addresses behind each memory, in bytes: what the static offsets of loads and stores can reach.
const MEMORY_GUARD_BYTES: u64 = 32 << 20;

/// Addresses that the process needs beside those of its instances, in bytes: the program, threads' stacks, data.
const ADDRESSES_BESIDE_BYTES: u64 = 1 << 30;

/// Dirty memory of an ended instance that is reset by copying rather than by unmapping, in bytes.
/// Unmapping costs a page fault for each page the next instance touches, several times the copy.
const KEEP_RESIDENT_BYTES: usize = 1 << 20;

/// The same for its table. A page, because the engine clears a table of no more than that without asking the kernel
/// what was touched; asking costs most of a microsecond.
const TABLE_KEEP_RESIDENT_BYTES: usize = 4096;

/// The one engine of the process. It reserves address space (4 GiB for each instance that may live at once)
/// and next to no memory.
pub(super) fn engine() -> Result<&'static Engine, String> {
    static ENGINE: OnceLock<Result<Engine, String>> = OnceLock::new();
    ENGINE
        .get_or_init(|| {
            let config = config().map_err(|error| error.to_string())?;
            Engine::new(&config).map_err(|error| format!("{error:#}{}", remedy()))
        })
        .as_ref()
        .map_err(Clone::clone)
}

/// What to do about an engine that cannot be made: nearly always it lacks addresses.
fn remedy() -> String {
    let reserved = if cfg!(feature = "small-address-space") { 0 } else { pool_bytes() };
    let allowed = rustix::process::getrlimit(rustix::process::Resource::As).current;
    match allowed {
        Some(allowed) if allowed < reserved.saturating_add(ADDRESSES_BESIDE_BYTES) => format!(
            "; the engine reserves {reserved} bytes of address space (not of memory), and this process may have {allowed} \
             in all: raise that (`ulimit -v unlimited`, in a systemd unit LimitAS=infinity), or build dseq with \
             `--features small-address-space`, which needs far fewer and is slower"
        ),
        _ => String::new(),
    }
}

/// The addresses of all slots for instances, in bytes.
fn pool_bytes() -> u64 {
    let memory = MEMORY_RESERVATION_BYTES.saturating_add(MEMORY_GUARD_BYTES);
    instances_max().map_or(0, |instances| memory.saturating_mul(instances.into()))
}

/// The only place where a wasm engine is configured.
fn config() -> Result<Config, std::num::TryFromIntError> {
    let mut config = Config::new();

    // What a plugin may be made of: nothing, then the list.
    config.wasm_features(WasmFeatures::all(), false);
    config.wasm_features(features(), true);

    // What can change a result.
    config.strategy(Strategy::Cranelift);
    config.cranelift_nan_canonicalization(true); // NaN bits differ between processors.
    config.consume_fuel(true); // The only clock a plugin has.
    config.operator_cost(costs::operator_cost());
    config.epoch_interruption(false); // Would stop a plugin by wall-clock time.
    let stack_bytes = usize::try_from(limits::WASM_STACK_BYTES)?;
    config.async_stack_size(stack_bytes); // Of stacks that nothing here makes; the engine wants it as long.
    config.max_wasm_stack(stack_bytes);

    // What must not: nothing of the environment is read, nothing but the module is compiled.
    config.wasm_backtrace_details(WasmBacktraceDetails::Disable); // The default asks an environment variable.
    config.wasm_backtrace_max_frames(None); // Backtraces differ between hosts; a fault is its code.
    config.debug_info(false);
    config.native_unwind_info(false);
    config.generate_address_map(false);
    config.profiler(ProfilingStrategy::None);
    // A plugin's own compiler has optimised it: optimising again saves no time (the median over the shapes of `bench-fuel` is the
    // same), an optimiser's mistake could fork the network, and most modules built to compile slowly exploit the optimiser.
    config.cranelift_opt_level(OptLevel::None);

    config.memory_init_cow(true);
    if cfg!(feature = "small-address-space") {
        on_demand(&mut config);
    } else {
        pooled(&mut config)?;
    }
    Ok(config)
}

/// Fresh instances at the price of a few microseconds: slots are mapped once, and a new instance sees the module's
/// initial memory copy-on-write.
fn pooled(config: &mut Config) -> Result<(), std::num::TryFromIntError> {
    config.memory_reservation(MEMORY_RESERVATION_BYTES);
    config.memory_guard_size(MEMORY_GUARD_BYTES);
    config.memory_may_move(false);
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pooling()?));
    Ok(())
}

/// Fresh instances where address space is short: each memory as long as it is used, with bounds checks in the code. The
/// same results, more slowly.
fn on_demand(config: &mut Config) {
    config.memory_reservation(0);
    config.memory_guard_size(0);
    config.memory_reservation_for_growth(0);
    config.allocation_strategy(InstanceAllocationStrategy::OnDemand);
}

/// Instances that may live at once: one for each thread that could run a plugin, and those kept for the next call.
/// CheckTx and blocks have a thread for each processor, each connection has its own; running out would be fatal, and
/// more only costs address space.
fn instances_max() -> Result<u32, std::num::TryFromIntError> {
    let running = processors().saturating_mul(2).saturating_add(limits::ABCI_CONNECTIONS_MAX);
    u32::try_from(running.saturating_add(instances_kept_max()))
}

/// Slots for instances. No bound here may be reached before the one in genesis or in the engine text.
fn pooling() -> Result<PoolingAllocationConfig, std::num::TryFromIntError> {
    let instances_max = instances_max()?;
    let mut pool = PoolingAllocationConfig::new();
    pool.total_core_instances(instances_max);
    pool.total_memories(instances_max);
    pool.total_tables(instances_max);
    pool.max_memories_per_module(1);
    pool.max_tables_per_module(1);
    pool.max_memory_size(usize::try_from(limits::MEMORY_BYTES_CEILING)?);
    pool.table_elements(usize::try_from(limits::TABLE_ELEMENTS_MAX)?);
    pool.linear_memory_keep_resident(KEEP_RESIDENT_BYTES);
    pool.table_keep_resident(TABLE_KEEP_RESIDENT_BYTES);
    pool.pagemap_scan(Enabled::Auto); // Lets the kernel say which pages were touched, where it can (Linux 6.7).
    Ok(pool)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_outside_the_list_are_off() {
        let engine = engine().unwrap();
        assert_eq!(engine.get_wasm_features(), features());
        assert_eq!(engine.get_cranelift_nan_canonicalization(), Some(true));
        assert!(engine.get_consume_fuel() && !engine.get_epoch_interruption());
    }
}
