//! Which functions of a module have no barriers, because loops call them; their callers have barriers for them.

use std::collections::BTreeSet;

use super::barrier::{Barrier, FunctionBarriers, Pages};

/// The functions of a module that have no barriers.
pub(super) struct BarrierFree {
    free: Vec<bool>,
    /// Of the barrier-free ones: whether they store, or a barrier-free one that they call does.
    stores: Vec<bool>,
}

impl BarrierFree {
    /// `entered` are the functions that may be called from outside of the code: by the host, or through a table.
    pub(super) fn among(functions: &[FunctionBarriers], entered: &BTreeSet<u32>) -> Self {
        let mut free = vec![false; functions.len()];
        let mut found: Vec<u32> =
            functions.iter().flat_map(|function| &function.calls_in_loops).copied().collect();
        while let Some(index) = found.pop() {
            let function = index as usize;
            if !entered.contains(&index) && !std::mem::replace(&mut free[function], true) {
                found.extend(&functions[function].calls);
            }
        }
        let stores = Self::that_store(functions, &free);
        Self { free, stores }
    }

    /// From each barrier-free function that stores back to the barrier-free ones that call it.
    fn that_store(functions: &[FunctionBarriers], free: &[bool]) -> Vec<bool> {
        let mut callers = vec![Vec::new(); functions.len()];
        for (caller, function) in functions.iter().enumerate().filter(|(caller, _)| free[*caller]) {
            function.calls.iter().for_each(|callee| callers[*callee as usize].push(caller));
        }
        let mut stores = vec![false; functions.len()];
        let mut found: Vec<usize> =
            (0..functions.len()).filter(|function| free[*function] && functions[*function].stores).collect();
        while let Some(function) = found.pop() {
            if free[function] && !std::mem::replace(&mut stores[function], true) {
                found.extend(&callers[function]);
            }
        }
        stores
    }

    /// The barriers that a function gets, in the order of the code.
    pub(super) fn barriers<'a>(
        &'a self,
        index: usize,
        function: &'a FunctionBarriers,
    ) -> impl Iterator<Item = &'a Barrier> {
        let is_free = self.free[index];
        function.barriers.iter().filter(move |barrier| match barrier.records {
            _ if is_free => false,
            Pages::IfStores(callee) => self.stores[callee as usize],
            _ => true,
        })
    }
}
