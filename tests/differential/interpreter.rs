//! wasmi: an interpreter by other people, which shares no code with wasmtime.
//!
//! It counts no fuel here, its own being another: what runs out of fuel in the product is not tried on it. Nor are plugins
//! that put out the bits of a NaN they computed: wasm leaves those to the engine, ours makes them canonical, wasmi leaves
//! them to the processor.

use dseq::plugin::{Fault, Limits};
use wasmi::errors::{ErrorKind, InstantiationError, TableError};
use wasmi::{Config, Linker, Store, StoreLimits, StoreLimitsBuilder, TrapCode, Val};

use super::driver::{Engine, Instance, Module, Stop};

pub(crate) struct Wasmi(wasmi::Engine);

impl Wasmi {
    pub(crate) fn new() -> Self {
        let mut config = Config::default();
        // The counter in the module must be what ends a recursion.
        config.set_max_stack_height(256 << 20).set_max_recursion_depth(1 << 20);
        config.consume_fuel(false);
        Self(wasmi::Engine::new(&config))
    }
}

impl Engine for Wasmi {
    fn name(&self) -> &'static str {
        "wasmi"
    }

    fn is_wasmtime(&self) -> bool {
        false
    }

    fn compile(&self, wasm: &[u8]) -> Box<dyn Module> {
        Box::new(wasmi::Module::new(&self.0, wasm).unwrap_or_else(|error| panic!("wasmi: {error}")))
    }
}

struct Running {
    store: Store<StoreLimits>,
    instance: wasmi::Instance,
    /// As much as it was given.
    fuel: u64,
}

impl Module for wasmi::Module {
    fn instance(&self, limits: &Limits) -> Result<Box<dyn Instance>, Stop> {
        let bounds =
            StoreLimitsBuilder::new().memory_size(usize::try_from(limits.memory_bytes_max).unwrap()).build();
        let mut store = Store::new(self.engine(), bounds);
        store.limiter(|bounds| bounds);
        let linker = Linker::new(self.engine());
        let instance = linker.instantiate_and_start(&mut store, self).map_err(|error| stop(&error))?;
        Ok(Box::new(Running { store, instance, fuel: 0 }))
    }
}

impl Instance for Running {
    fn call(&mut self, export: &str, param: Option<i32>) -> Result<i64, Stop> {
        let function = self.instance.get_func(&self.store, export).unwrap();
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
        self.instance.get_memory(&self.store, "memory").unwrap().data_mut(&mut self.store)
    }

    fn global(&mut self, export: &str) -> Option<i32> {
        self.instance.get_global(&self.store, export)?.get(&self.store).i32()
    }

    fn set_fuel(&mut self, fuel: u64) {
        self.fuel = fuel;
    }

    fn fuel_left(&mut self) -> u64 {
        self.fuel
    }
}

fn stop(error: &wasmi::Error) -> Stop {
    let fault = match error.as_trap_code() {
        Some(TrapCode::UnreachableCodeReached) => Fault::Unreachable,
        Some(TrapCode::MemoryOutOfBounds) => Fault::MemoryOutOfBounds,
        Some(TrapCode::IntegerDivisionByZero) => Fault::DivisionByZero,
        Some(TrapCode::IntegerOverflow) => Fault::IntegerOverflow,
        Some(TrapCode::BadConversionToInteger) => Fault::BadConversion,
        Some(TrapCode::IndirectCallToNull) => Fault::NullCall,
        Some(TrapCode::BadSignature) => Fault::BadSignature,
        Some(TrapCode::TableOutOfBounds) => Fault::TableOutOfBounds,
        // Traps of the standard that wasmi has no code for.
        _ => match error.kind() {
            ErrorKind::Table(TableError::CopyOutOfBounds) => Fault::TableOutOfBounds,
            ErrorKind::Instantiation(InstantiationError::ElementSegmentDoesNotFit { .. }) => {
                Fault::TableOutOfBounds
            }
            _ => return Stop::Engine(error.to_string()),
        },
    };
    Stop::Fault(fault)
}
