//! What a function's control flow costs the compiler: branches, the values alive at them, and the locals that they join.

use wasmparser::{
    BlockType, FrameKind, FuncValidator, Operator, ValidatorResources, WasmModuleResources as _,
};

use super::types::{Arrival, Type};

/// Some of a function's locals, a bit for each.
#[derive(Default)]
struct LocalSet(Vec<u64>);

impl LocalSet {
    fn insert(&mut self, local: u32) {
        let (word, bit) = (local as usize / 64, local % 64);
        if self.0.len() <= word {
            self.0.resize(word.saturating_add(1), 0);
        }
        self.0[word] |= 1 << bit;
    }

    fn insert_all(&mut self, other: &Self) {
        if self.0.len() < other.0.len() {
            self.0.resize(other.0.len(), 0);
        }
        self.0.iter_mut().zip(&other.0).for_each(|(own, other)| *own |= other);
    }

    fn len(&self) -> u64 {
        self.0.iter().map(|word| u64::from(word.count_ones())).sum()
    }
}

/// Behind an instruction.
#[derive(Clone, Copy, Default)]
pub(super) struct Place {
    /// Whether nothing reaches the instruction: it is behind a branch that is always taken.
    pub(super) is_dead: bool,
    /// Where the next one lies.
    pub(super) next: usize,
    /// Locals and operands.
    pub(super) live: u64,
}

/// A block whose end is still to come.
#[derive(Default)]
struct OpenBlock {
    is_loop: bool,
    /// An `if`: its ways meet at its end even if no branch goes there.
    is_if: bool,
    /// Behind its first instruction.
    head: Place,
    /// Branches to it that can be taken.
    branches: u64,
    /// Values that a branch to it carries.
    values: u64,
    /// Ways to where branches to it arrive: from before it or through it, and the branches.
    ways: u64,
    /// Those among them that do not begin behind a branch that is always taken.
    live_ways: u64,
    /// The locals set in it.
    set: LocalSet,
}

impl OpenBlock {
    fn at(head: Place) -> Self {
        Self { head, ..Self::default() }
    }
}

/// What a function's control flow costs the compiler.
#[derive(Default)]
pub(super) struct ControlFlow<'a> {
    types: &'a [Type],
    /// Parameters and locals: alive everywhere, for all that is known here.
    pub(super) locals: u64,
    /// Blocks, branches and calls, and what becomes several of them.
    pub(super) branches: u64,
    /// Targets of branch tables.
    pub(super) targets: u64,
    /// Locals and operands at each of the branches, summed.
    pub(super) live_values: u64,
    /// Parameters and results of the functions called, summed over the calls.
    pub(super) call_values: u64,
    /// Values that branches hand to where they go, and blocks take and leave, summed.
    pub(super) branch_args: u64,
    /// Of each block the locals set in it, times the ways to where its branches arrive, summed: there the compiler
    /// joins what they may be, and its work grows with the square of how often it does.
    pub(super) phis: u64,
    /// Where branches arrive and where they do not go, in no order.
    pub(super) arrivals: Vec<Arrival>,
    /// The locals that any block joins.
    locals_with_phis: LocalSet,
    /// Most parameters of any block.
    pub(super) block_params_max: u64,
    open: Vec<OpenBlock>,
    /// Loops open now, and all there are.
    loops: u64,
    pub(super) loops_in_all: u64,
    /// Most loops open at any point.
    pub(super) loops_max: u64,
}

impl<'a> ControlFlow<'a> {
    pub(super) fn new(types: &'a [Type], locals: u64) -> Self {
        Self { types, locals, ..Self::default() }
    }

    /// The locals that any block joins, times the loops.
    pub(super) fn phis_by_loops(&self) -> u64 {
        self.locals_with_phis.len().saturating_mul(self.loops_in_all)
    }

    /// The locals, times the depth of the loops.
    pub(super) fn locals_in_loops(&self) -> u64 {
        self.locals.saturating_mul(self.loops_max)
    }

    /// Counts what an instruction costs that `validator` has not validated yet.
    pub(super) fn count(&mut self, operator: &Operator<'_>, validator: &FuncValidator<ValidatorResources>) {
        let weight = weight(operator);
        self.branches = self.branches.saturating_add(weight);
        let live_values = self.locals.saturating_add(u64::from(validator.operand_stack_height()));
        self.live_values = self.live_values.saturating_add(weight.saturating_mul(live_values));
        if let Operator::BrTable { targets } = operator {
            self.targets = self.targets.saturating_add(u64::from(targets.len()));
        }
        let call_values = self.call_values_of(operator, validator);
        self.call_values = self.call_values.saturating_add(call_values);
        if let Operator::Block { blockty } | Operator::Loop { blockty } | Operator::If { blockty } = operator
        {
            self.block_params_max = self.block_params_max.max(self.arity(*blockty).0);
        }
        let branch_args = self.branch_args_of(operator, validator);
        self.branch_args = self.branch_args.saturating_add(branch_args);
    }

    /// What a call passes to a function and gets from it.
    fn call_values_of(&self, operator: &Operator<'_>, validator: &FuncValidator<ValidatorResources>) -> u64 {
        let ty = match operator {
            Operator::Call { function_index } => {
                validator.resources().type_index_of_function(*function_index)
            }
            Operator::CallIndirect { type_index, .. } => Some(*type_index),
            _ => None,
        };
        let ty = ty.and_then(|index| self.types.get(index as usize));
        ty.map_or(0, |ty| ty.params.saturating_add(ty.results.len() as u64))
    }

    /// Values that a branch hands to where it goes, or that a block takes and leaves.
    fn branch_args_of(&self, operator: &Operator<'_>, validator: &FuncValidator<ValidatorResources>) -> u64 {
        match operator {
            Operator::Block { blockty } | Operator::Loop { blockty } | Operator::If { blockty } => {
                let (params, results) = self.arity(*blockty);
                params.saturating_add(results)
            }
            Operator::Br { relative_depth } | Operator::BrIf { relative_depth } => {
                self.arriving_at(validator, *relative_depth)
            }
            Operator::BrTable { targets } => {
                let labels = u64::from(targets.len()).saturating_add(1);
                self.arriving_at(validator, targets.default()).saturating_mul(labels)
            }
            _ => 0,
        }
    }

    /// Records the branches and joins that a valid instruction makes; `place` is where the next one begins.
    pub(super) fn follow(&mut self, operator: &Operator<'_>, place: Place) {
        match operator {
            Operator::Block { blockty } => {
                self.open_block(OpenBlock {
                    values: self.arity(*blockty).1,
                    ways: 1,
                    ..OpenBlock::at(place)
                });
            }
            Operator::If { blockty } => {
                let values = self.arity(*blockty).1;
                self.open_block(OpenBlock { is_if: true, values, ways: 2, ..OpenBlock::at(place) });
                self.arrive(place, 0);
            }
            Operator::Loop { blockty } => {
                let values = self.arity(*blockty).0;
                self.open_block(OpenBlock { is_loop: true, values, ways: 1, ..OpenBlock::at(place) });
                self.loops = self.loops.saturating_add(1);
                self.loops_in_all = self.loops_in_all.saturating_add(1);
                self.loops_max = self.loops_max.max(self.loops);
            }
            Operator::LocalSet { local_index } | Operator::LocalTee { local_index } => {
                if let Some(block) = self.open.last_mut() {
                    block.set.insert(*local_index);
                }
            }
            Operator::Br { relative_depth } => self.count_way(*relative_depth, place.is_dead),
            Operator::BrIf { relative_depth } => {
                self.count_way(*relative_depth, place.is_dead);
                self.arrive(place, 0);
            }
            Operator::BrTable { targets } => {
                self.count_way(targets.default(), place.is_dead);
                targets.targets().flatten().for_each(|depth| self.count_way(depth, place.is_dead));
            }
            Operator::Else => {
                self.end_way(place.is_dead);
                self.arrive(place, 0);
            }
            Operator::End => {
                self.end_way(place.is_dead);
                self.end_block(place);
            }
            _ => {}
        }
    }

    fn arrive(&mut self, Place { next: at, live, .. }: Place, joined: u64) {
        self.arrivals.push(Arrival { at, live, joined });
    }

    fn open_block(&mut self, block: OpenBlock) {
        self.open.push(OpenBlock { live_ways: block.ways, ..block });
    }

    /// The end of a block, or of an arm of one.
    fn end_way(&mut self, is_dead: bool) {
        if let Some(block) = self.open.last_mut() {
            // Nothing goes from a loop's end to its head.
            block.live_ways = block.live_ways.saturating_sub(u64::from(is_dead && !block.is_loop));
        }
    }

    fn end_block(&mut self, end: Place) {
        // None: the end of the function, where no local is needed any more.
        let Some(block) = self.open.pop() else { return };
        let set = block.set.len();
        self.phis = self.phis.saturating_add(block.ways.saturating_mul(set));
        if block.is_if || block.branches > 0 {
            let joined = if block.live_ways > 1 { block.values.saturating_add(set) } else { 0 };
            self.arrive(if block.is_loop { block.head } else { end }, joined);
        }
        if block.ways > 1 {
            self.locals_with_phis.insert_all(&block.set);
        }
        if let Some(outer) = self.open.last_mut() {
            outer.set.insert_all(&block.set);
        }
        self.loops = self.loops.saturating_sub(u64::from(block.is_loop));
    }

    /// A branch so many blocks out; one out of all of them leaves the function.
    fn count_way(&mut self, depth: u32, is_dead: bool) {
        let place = self.open.len().checked_sub(1).and_then(|last| last.checked_sub(depth as usize));
        if let Some(block) = place.and_then(|place| self.open.get_mut(place)) {
            block.ways = block.ways.saturating_add(1);
            block.live_ways = block.live_ways.saturating_add(u64::from(!is_dead));
            block.branches = block.branches.saturating_add(u64::from(!is_dead));
        }
    }

    /// How many values a branch so many blocks out carries. All targets of a table take the same.
    fn arriving_at(&self, validator: &FuncValidator<ValidatorResources>, depth: u32) -> u64 {
        let frame = usize::try_from(depth).ok().and_then(|depth| validator.get_control_frame(depth));
        frame.map_or(0, |frame| {
            let (params, results) = self.arity(frame.block_type);
            if frame.kind == FrameKind::Loop { params } else { results }
        })
    }

    /// Values a block takes, and leaves.
    fn arity(&self, block: BlockType) -> (u64, u64) {
        match block {
            BlockType::Empty => (0, 0),
            BlockType::Type(_) => (0, 1),
            BlockType::FuncType(index) => {
                self.types.get(index as usize).map_or((0, 0), |ty| (ty.params, ty.results.len() as u64))
            }
        }
    }
}

/// How many blocks, branches and calls the compiler makes of an instruction.
fn weight(operator: &Operator<'_>) -> u64 {
    match operator {
        Operator::Block { .. }
        | Operator::Loop { .. }
        | Operator::If { .. }
        | Operator::Else
        | Operator::Br { .. }
        | Operator::BrIf { .. }
        | Operator::BrTable { .. }
        | Operator::Return
        | Operator::Call { .. } => 1_u64,
        // Checks, each with a branch of its own, around a call of the engine.
        Operator::CallIndirect { .. }
        | Operator::MemoryGrow { .. }
        | Operator::MemoryCopy { .. }
        | Operator::MemoryFill { .. }
        | Operator::MemoryInit { .. }
        | Operator::DataDrop { .. }
        | Operator::ElemDrop { .. } => 4,
        // The same, and a loop over the elements with a call in it.
        Operator::TableInit { .. } | Operator::TableCopy { .. } => 25,
        _ => 0,
    }
}
