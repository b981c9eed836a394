//! One instance of one plugin: how it is made, and how it is called.
//!
//! # Invariants
//!
//! - The host trusts no pointer and no length of a plugin: each range is checked before memory is read or written.
//!
//! # Determinism
//!
//! Memory grows up to the limit in genesis and never beyond, whatever the host could spare; memory the host
//! cannot give below that limit is fatal, not an answer. The stack is counted in the bytecode: see `stack`.

use bytes::Bytes;
use wasmtime::{
    Extern, Global, Instance, InstancePre, Memory, ModuleExport, ResourceLimiter, Store, TypedFunc, Val,
    WasmParams, WasmResults,
};

use crate::limits;
use crate::plugin::abi::{self, Answer};
use crate::plugin::fault::{Fault, Stop};
use crate::plugin::instrument::OVERFLOWN;
use crate::plugin::instrument::write_barrier::DirtyPages;
use crate::plugin::verdict::Verdict;
use crate::rules::Limits;
use crate::types::Fuel;

/// The exports the host uses, looked up once so that no call looks up a name.
pub(in crate::plugin) struct Exports {
    pub(in crate::plugin) memory: ModuleExport,
    pub(in crate::plugin) buffer: ModuleExport,
    pub(in crate::plugin) init: ModuleExport,
    pub(in crate::plugin) apply: ModuleExport,
    pub(in crate::plugin) output: ModuleExport,
    /// The counter of `stack`.
    pub(in crate::plugin) stack_left: ModuleExport,
    /// The write barrier's dirty pages, if instances are to be reset.
    pub(in crate::plugin) dirty_pages: Option<ModuleExport>,
    /// Where the plugin says why it panicked, if it does.
    pub(in crate::plugin) panic: Option<ModuleExport>,
    /// All globals that can change, if instances are to be reset.
    pub(in crate::plugin) mutable_globals: Vec<ModuleExport>,
}

/// The genesis limits the engine asks about while a plugin runs.
pub(in crate::plugin) struct Limiter {
    memory_bytes_max: u64,
}

impl ResourceLimiter for Limiter {
    fn memory_growing(
        &mut self,
        _current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(desired as u64 <= self.memory_bytes_max && maximum.is_none_or(|maximum| desired <= maximum))
    }

    /// Growth that `memory_growing` refuses never comes here, so this is the host running out of memory. The
    /// plugin must not see it as a failed `memory.grow`: other nodes would have had the memory.
    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        Err(error.context("the host could not give memory that genesis allows"))
    }

    /// Only asked for initial tables, which admission has seen fit: no instruction grows a table.
    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(desired as u64 <= limits::TABLE_ELEMENTS_MAX && maximum.is_none_or(|maximum| desired <= maximum))
    }
}

/// What a call costs in fuel for what the host does around it, beside the bytes it copies and the memory it grows by.
#[derive(Clone, Copy, Debug)]
pub(in crate::plugin) struct Charge {
    /// Each call.
    pub(in crate::plugin) call: u64,
    /// One that makes the memory grow.
    pub(in crate::plugin) growing: u64,
}

/// The result of `dseq_init`.
pub(in crate::plugin) enum Init {
    /// Starting the instance and init took this fuel.
    Accepted {
        fuel: Fuel,
    },
    Refused {
        code: u16,
        message: String,
    },
}

/// An instance that accepted its params, ready for one transaction.
pub(in crate::plugin) struct Live {
    pub(in crate::plugin) store: Store<Limiter>,
    pub(in crate::plugin) memory: Memory,
    /// Every global that can change; empty if instances are not reset.
    pub(in crate::plugin) mutable_globals: Vec<Global>,
    /// Set by the write barrier in the plugin's code; `None` if instances are not reset.
    dirty_pages: Option<Global>,
    /// Where the host has written since the last reset.
    written: DirtyPages,
    instance: Instance,
    buffer: TypedFunc<i32, i32>,
    apply: TypedFunc<i32, i64>,
    output: ModuleExport,
    stack_left: ModuleExport,
    panic: Option<ModuleExport>,
    limits: Limits,
    /// What the present call costs beside its own work.
    charge: Charge,
    /// Length of the memory when the present call began.
    memory_bytes_before: u64,
}

impl Live {
    /// Makes a fresh instance and hands it its params.
    pub(in crate::plugin) fn start(
        pre: &InstancePre<Limiter>,
        exports: &Exports,
        limits: Limits,
        params: &str,
        charge: Charge,
    ) -> Result<(Self, Init), Stop> {
        let mut live = Self::instantiate(pre, exports, limits, charge)?;
        let init = live.init(&exports.init, params.as_bytes())?;
        Ok((live, init))
    }

    fn instantiate(
        pre: &InstancePre<Limiter>,
        exports: &Exports,
        limits: Limits,
        charge: Charge,
    ) -> Result<Self, Stop> {
        const STEP: &str = "making a fresh instance";
        let limiter = Limiter { memory_bytes_max: limits.memory_bytes_max };
        let mut store = Store::new(pre.module().engine(), limiter);
        store.limiter(|limiter| limiter);
        store.set_fuel(limits.fuel_max).map_err(|error| Stop::from_engine(STEP, &error))?;
        let instance = pre.instantiate(&mut store).map_err(|error| Stop::from_engine(STEP, &error))?;
        let memory = instance
            .get_module_export(&mut store, &exports.memory)
            .and_then(Extern::into_memory)
            .ok_or_else(|| gone(abi::MEMORY))?;
        let mut global = |export: &ModuleExport| {
            let global = instance.get_module_export(&mut store, export).and_then(Extern::into_global);
            global.ok_or_else(|| gone("a global"))
        };
        let mutable_globals = exports.mutable_globals.iter().map(&mut global).collect::<Result<_, _>>()?;
        let dirty_pages = exports.dirty_pages.as_ref().map(&mut global).transpose()?;
        let buffer = typed(instance, &mut store, abi::BUFFER, &exports.buffer)?;
        let apply = typed(instance, &mut store, abi::APPLY, &exports.apply)?;
        let memory_bytes_before = memory.data_size(&store) as u64;
        Ok(Self {
            store,
            memory,
            mutable_globals,
            dirty_pages,
            written: DirtyPages::default(),
            instance,
            buffer,
            apply,
            output: exports.output,
            stack_left: exports.stack_left,
            panic: exports.panic,
            limits,
            charge,
            memory_bytes_before,
        })
    }

    /// Length of the memory now.
    pub(in crate::plugin) fn memory_bytes(&self) -> u64 {
        self.memory.data_size(&self.store) as u64
    }

    /// Gives it the fuel of one call, and takes back what the call as such and copying its input cost.
    fn refuel(&mut self, input: &[u8]) -> Result<(), Stop> {
        self.memory_bytes_before = self.memory_bytes();
        let charged = self.charge.call.saturating_add(input.len() as u64);
        let fuel = self.limits.fuel_max.checked_sub(charged).ok_or(Fault::OutOfFuel)?;
        self.store.set_fuel(fuel).map_err(|error| Stop::from_engine("refuelling", &error))
    }

    /// What the call took of its fuel, with what its output costs, and the memory it grew by.
    fn fuel_spent(&self, output: u64) -> Result<Fuel, Stop> {
        let left = self.store.get_fuel().map_err(|error| Stop::from_engine("reading the fuel", &error))?;
        let grown = self.memory_bytes().saturating_sub(self.memory_bytes_before);
        let growing = if grown > 0 { self.charge.growing } else { 0 };
        let more = output.saturating_add(grown / limits::MEMORY_BYTES_PER_FUEL).saturating_add(growing);
        let left = left.checked_sub(more).ok_or(Fault::OutOfFuel)?;
        Ok(Fuel(self.limits.fuel_max.saturating_sub(left)))
    }

    fn init(&mut self, init: &ModuleExport, params: &[u8]) -> Result<Init, Stop> {
        self.refuel(params)?;
        let params_len = self.write_input(params)?;
        let init: TypedFunc<i32, i64> = typed(self.instance, &mut self.store, abi::INIT, init)?;
        let packed = self.invoke(abi::INIT, &init, params_len)?;
        match Answer::unpack(packed)? {
            Answer::Accept => Ok(Init::Accepted { fuel: self.fuel_spent(0)? }),
            Answer::Reject { code, len } => Ok(Init::Refused { code, message: self.message(len)? }),
            Answer::Replace { .. } => Err(Fault::BadVerdict.into()),
        }
    }

    /// Runs the plugin on one input: its verdict, and the fuel it spent.
    pub(in crate::plugin) fn apply(&mut self, input: &[u8], charge: Charge) -> Result<(Fuel, Verdict), Stop> {
        self.charge = charge;
        self.refuel(input)?;
        let tx_len = self.write_input(input)?;
        let apply = self.apply.clone();
        let packed = self.invoke(abi::APPLY, &apply, tx_len)?;
        match Answer::unpack(packed)? {
            Answer::Accept => {
                self.check_record_len(input.len() as u64)?;
                Ok((self.fuel_spent(0)?, Verdict::Unchanged))
            }
            Answer::Replace { len } => {
                let len_64 = u64::from(len);
                self.check_record_len(len_64)?;
                let start = self.output_start()?;
                let fuel = self.fuel_spent(len_64)?;
                Ok((fuel, Verdict::Replaced(Bytes::copy_from_slice(self.output(start, len)?))))
            }
            Answer::Reject { code, len } => {
                let message = self.message(len)?;
                let fuel = (message.len() as u64).saturating_mul(limits::MESSAGE_BYTE_FUEL);
                Ok((self.fuel_spent(fuel)?, Verdict::Rejected { code, message }))
            }
        }
    }

    fn check_record_len(&self, len: u64) -> Result<(), Stop> {
        if len == 0 {
            return Err(Fault::OutputEmpty.into());
        }
        if len > self.limits.record_bytes_max {
            return Err(Fault::OutputTooLarge.into());
        }
        Ok(())
    }

    /// Asks for a buffer, fills it, and answers with the length as wasm knows it.
    fn write_input(&mut self, input: &[u8]) -> Result<i32, Stop> {
        let len = u32::try_from(input.len()).map_err(|_| Stop::Fatal {
            step: "handing over the input",
            reason: format!("its {} bytes are beyond any wasm memory", input.len()),
        })?;
        let wasm_len = len.cast_signed();
        let buffer = self.buffer.clone();
        let start = self.invoke(abi::BUFFER, &buffer, wasm_len)?;
        let memory = self.memory.data_mut(&mut self.store);
        let place = abi::range(memory.len(), start, len).ok_or(Fault::BadBuffer)?;
        self.written = self.written.union(DirtyPages::of_range(&place));
        memory[place].copy_from_slice(input);
        Ok(wasm_len)
    }

    /// The pages that may have changed since this was last asked; `None` if nothing records them.
    pub(super) fn take_dirty_pages(&mut self) -> Option<DirtyPages> {
        let written = std::mem::take(&mut self.written);
        let recorded = self.dirty_pages?;
        let bits = recorded.get(&mut self.store).i32()?;
        recorded.set(&mut self.store, Val::I32(0)).ok()?;
        Some(written.union(DirtyPages::from_bits(bits)))
    }

    /// Asks where the output lies.
    fn output_start(&mut self) -> Result<i32, Stop> {
        let output: TypedFunc<(), i32> = typed(self.instance, &mut self.store, abi::OUTPUT, &self.output)?;
        self.invoke(abi::OUTPUT, &output, ())
    }

    /// The `len` bytes the plugin left in its output.
    fn output(&self, start: i32, len: u32) -> Result<&[u8], Stop> {
        let memory = self.memory.data(&self.store);
        let range = abi::range(memory.len(), start, len).ok_or(Fault::BadOutput)?;
        Ok(&memory[range])
    }

    /// A rejection's message.
    fn message(&mut self, len: u32) -> Result<String, Stop> {
        if len == 0 {
            return Ok(String::new());
        }
        let start = self.output_start()?;
        Ok(message_text(self.output(start, len)?))
    }

    fn invoke<P: WasmParams, R: WasmResults>(
        &mut self,
        name: &'static str,
        func: &TypedFunc<P, R>,
        params: P,
    ) -> Result<R, Stop> {
        func.call(&mut self.store, params).map_err(|error| match Stop::from_engine(name, &error) {
            Stop::Fault { fault: Fault::Unreachable, message, detail } if self.is_overflown() => {
                Stop::Fault { fault: Fault::StackOverflow, message, detail }
            }
            Stop::Fault { fault: Fault::Unreachable, detail, .. } => {
                Stop::Fault { fault: Fault::Unreachable, message: self.panic_message(), detail }
            }
            stop => stop,
        })
    }

    /// Whether the plugin was stopped because its frame did not fit.
    fn is_overflown(&mut self) -> bool {
        let left =
            self.instance.get_module_export(&mut self.store, &self.stack_left).and_then(Extern::into_global);
        left.is_some_and(|left| left.get(&mut self.store).i32() == Some(OVERFLOWN))
    }

    /// What the plugin says about its panic; empty if it says nothing, or points outside of its memory.
    fn panic_message(&mut self) -> String {
        let mut words = || {
            let panic = self.instance.get_module_export(&mut self.store, self.panic.as_ref()?)?;
            let place = panic.into_global()?.get(&mut self.store).i32()?;
            let memory = self.memory.data(&self.store);
            let (place, _) = memory[abi::range(memory.len(), place, 8)?].as_chunks();
            let [start, len] = [*place.first()?, *place.get(1)?].map(u32::from_le_bytes);
            Some(message_text(&memory[abi::range(memory.len(), start.cast_signed(), len)?]))
        };
        words().unwrap_or_default()
    }
}

/// A plugin's message as text: valid UTF-8 of bounded length. What is kept costs fuel, so escaping comes later.
fn message_text(words: &[u8]) -> String {
    let max = usize::try_from(limits::MESSAGE_BYTES_MAX).unwrap_or(usize::MAX);
    // A few bytes more than are kept, so that a character on the edge is seen whole before the cut.
    let words = &words[..words.len().min(max.saturating_add(4))];
    let mut message = String::from_utf8_lossy(words).into_owned();
    message.truncate(message.floor_char_boundary(max));
    message
}

/// An export admission has seen, of a type it has checked.
fn typed<P: WasmParams, R: WasmResults>(
    instance: Instance,
    store: &mut Store<Limiter>,
    name: &'static str,
    export: &ModuleExport,
) -> Result<TypedFunc<P, R>, Stop> {
    let func = instance.get_module_export(&mut *store, export).and_then(Extern::into_func);
    let func = func.ok_or_else(|| gone(name))?;
    func.typed(&*store).map_err(|error| Stop::from_engine(name, &error))
}

fn gone(name: &'static str) -> Stop {
    Stop::Fatal { step: name, reason: "the export is gone".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_bounded_by_genesis_and_by_what_the_plugin_declares() {
        let mut limiter = Limiter { memory_bytes_max: 131_072 };
        assert!(limiter.memory_growing(65_536, 131_072, None).unwrap());
        assert!(!limiter.memory_growing(65_536, 196_608, None).unwrap());
        assert!(!limiter.memory_growing(65_536, 131_072, Some(65_536)).unwrap());
    }

    /// To the plugin it would be a failed `memory.grow`, which other nodes do not see.
    #[test]
    fn memory_the_host_cannot_give_is_fatal() {
        let mut limiter = Limiter { memory_bytes_max: 131_072 };
        let error = limiter.memory_grow_failed(wasmtime::Error::msg("out of memory")).unwrap_err();
        assert!(matches!(Stop::from_engine("dseq_apply", &error), Stop::Fatal { .. }), "{error:#}");
    }
}
