//! wasmtime's own ways to run a module: Cranelift at each level of optimisation, and Pulley, which interprets.

use dseq::limits::{TABLE_ELEMENTS_MAX, WASM_STACK_BYTES};
use dseq::plugin::{Fault, Limits};
use wasmtime::{
    Config, Extern, Linker, OptLevel, Store, StoreLimits, StoreLimitsBuilder, Trap, Val, WasmFeatures,
};

/// The product's costs: all engines must come to the same fuel by them.
#[path = "../../host/src/plugin/engine/costs.rs"]
#[allow(dead_code, reason = "the families are for the engine's text")]
mod costs;

use super::driver::{Engine, Instance, Module, Stop};

/// One configuration of wasmtime.
pub(crate) struct Wasmtime {
    name: &'static str,
    engine: wasmtime::Engine,
}

/// All of them. What decides a result is set as the product does; how instances are allocated is not.
pub(crate) fn all() -> Vec<Wasmtime> {
    [
        ("cranelift, not optimised", OptLevel::None, None),
        ("cranelift, for speed", OptLevel::Speed, None),
        ("cranelift, for speed and size", OptLevel::SpeedAndSize, None),
        ("pulley", OptLevel::Speed, Some("pulley64")),
    ]
    .map(|(name, level, target)| {
        let mut config = Config::new();
        config.wasm_features(WasmFeatures::all(), false);
        config.wasm_features(
            WasmFeatures::BULK_MEMORY
                | WasmFeatures::CALL_INDIRECT_OVERLONG
                | WasmFeatures::FLOATS
                | WasmFeatures::MULTI_VALUE
                | WasmFeatures::MUTABLE_GLOBAL
                | WasmFeatures::SATURATING_FLOAT_TO_INT
                | WasmFeatures::SIGN_EXTENSION,
            true,
        );
        config.cranelift_nan_canonicalization(true).consume_fuel(true).cranelift_opt_level(level);
        config.operator_cost(costs::operator_cost());
        let stack = usize::try_from(WASM_STACK_BYTES).unwrap();
        config.async_stack_size(stack);
        config.max_wasm_stack(stack);
        if let Some(target) = target {
            config.target(target).unwrap();
        }
        Wasmtime { name, engine: wasmtime::Engine::new(&config).unwrap() }
    })
    .into()
}

impl Engine for Wasmtime {
    fn name(&self) -> &'static str {
        self.name
    }

    fn is_wasmtime(&self) -> bool {
        true
    }

    fn compile(&self, wasm: &[u8]) -> Box<dyn Module> {
        Box::new(
            wasmtime::Module::new(&self.engine, wasm)
                .unwrap_or_else(|error| panic!("{}: {error:#}", self.name)),
        )
    }
}

struct Running {
    store: Store<StoreLimits>,
    instance: wasmtime::Instance,
}

impl Module for wasmtime::Module {
    fn instance(&self, limits: &Limits) -> Result<Box<dyn Instance>, Stop> {
        let bounds = StoreLimitsBuilder::new()
            .memory_size(usize::try_from(limits.memory_bytes_max).unwrap())
            .table_elements(usize::try_from(TABLE_ELEMENTS_MAX).unwrap())
            .build();
        let mut store = Store::new(self.engine(), bounds);
        store.limiter(|bounds| bounds);
        // Filling tables and memory takes some.
        store.set_fuel(limits.fuel_max).unwrap();
        let instance =
            Linker::new(self.engine()).instantiate(&mut store, self).map_err(|error| stop(&error))?;
        Ok(Box::new(Running { store, instance }))
    }
}

impl Instance for Running {
    fn call(&mut self, export: &str, param: Option<i32>) -> Result<i64, Stop> {
        let function = self.instance.get_func(&mut self.store, export).unwrap();
        let params: Vec<Val> = param.into_iter().map(Val::I32).collect();
        let mut results = [Val::I32(0)];
        function.call(&mut self.store, &params, &mut results).map_err(|error| stop(&error))?;
        match results {
            [Val::I32(result)] => Ok(i64::from(result)),
            [Val::I64(result)] => Ok(result),
            other => panic!("{export} answers {other:?}"),
        }
    }

    fn memory(&mut self) -> &mut [u8] {
        self.instance.get_memory(&mut self.store, "memory").unwrap().data_mut(&mut self.store)
    }

    fn global(&mut self, export: &str) -> Option<i32> {
        let global = self.instance.get_export(&mut self.store, export).and_then(Extern::into_global)?;
        global.get(&mut self.store).i32()
    }

    fn set_fuel(&mut self, fuel: u64) {
        self.store.set_fuel(fuel).unwrap();
    }

    fn fuel_left(&mut self) -> u64 {
        self.store.get_fuel().unwrap()
    }
}

fn stop(error: &wasmtime::Error) -> Stop {
    let fault = match error.downcast_ref::<Trap>() {
        Some(Trap::UnreachableCodeReached) => Fault::Unreachable,
        Some(Trap::OutOfFuel) => Fault::OutOfFuel,
        Some(Trap::MemoryOutOfBounds) => Fault::MemoryOutOfBounds,
        Some(Trap::IntegerDivisionByZero) => Fault::DivisionByZero,
        Some(Trap::IntegerOverflow) => Fault::IntegerOverflow,
        Some(Trap::BadConversionToInteger) => Fault::BadConversion,
        Some(Trap::IndirectCallToNull) => Fault::NullCall,
        Some(Trap::BadSignature) => Fault::BadSignature,
        Some(Trap::TableOutOfBounds) => Fault::TableOutOfBounds,
        _ => return Stop::Engine(format!("{error:#}")),
    };
    Stop::Fault(fault)
}
