//! Every bound of the host that genesis does not set, with its unit, its reason, and what happens beyond it.
//!
//! The bounds that genesis sets, and that may so differ between networks, are [`Limits`](crate::rules::Limits); the
//! `*_CEILING` values bound what genesis may ask for.
//!
//! Bounds on modules, fuel and the stack are part of the engine id: another value makes another engine, with which a running
//! network cannot go on.

pub use dseq_format::limits::{
    FUEL_CEILING, MEMORY_BYTES_CEILING, PARAMS_BYTES_MAX, PARAMS_DEPTH_MAX, PLUGIN_NAME_BYTES_MAX,
    RECORD_BYTES_CEILING, TX_BYTES_CEILING, WASM_PAGE_BYTES,
};

// Blocks. A node proposes no block beyond these, and votes against one: other values make nodes of a network disagree.

/// Maximum size of a block in CometBFT, in bytes: its `MaxBlockSizeBytes`. A genesis that asks for more is refused.
pub const BLOCK_BYTES_CEILING: u64 = 100 << 20;

/// Maximum number of transactions in a block. Each costs a result and an entry on every node: 65,536 of them make about
/// 7 MiB of answers.
///
/// A node proposes no block beyond it, and votes against one.
pub const BLOCK_TXS_MAX: u64 = 65_536;

/// Maximum size of all records of a block, in bytes, unless one record alone is longer. All of them are in memory at once
/// between FinalizeBlock and Commit.
///
/// A node proposes no block beyond it, and votes against one.
pub const BLOCK_RECORD_BYTES_MAX: u64 = 64 << 20;

/// Maximum fuel of the accepted transactions of a block, unless one transaction alone takes more. A unit takes at most 2.5
/// nanoseconds of one 2020s core (`bench-fuel` measures it, and fails beyond it), so this is two seconds, below CometBFT's
/// timeout for a proposal (3 s).
///
/// A node proposes no block beyond it, and votes against one.
pub const BLOCK_FUEL_MAX: u64 = 800_000_000;

// Genesis and the files it names. A genesis beyond these is refused, at `dseq genesis` and at the start of a node.

/// Maximum number of plugins in a pipeline. A transaction costs the sum over its plugins.
///
/// A genesis beyond it is refused.
pub const PLUGINS_MAX: u64 = 16;

/// Maximum depth of arrays and objects in a genesis file: parameters are inside the file, `app_state`, `dseq`, `pipeline` and their
/// plugin.
///
/// A genesis beyond it is refused.
pub const GENESIS_DEPTH_MAX: u64 = PARAMS_DEPTH_MAX + 5;

/// Maximum size of a plugin's file, in bytes. It bounds the time and memory that compiling it takes.
///
/// A larger file is refused, by `dseq plugin check`, by `dseq genesis` and at the start of a node.
pub const WASM_BYTES_MAX: u64 = 4 << 20;

// The host itself.

/// Maximum size of a plugin's rejection message, in bytes; a longer one is cut at a character boundary.
///
/// The message goes to the producer and into no hash, but copying it costs fuel, which does. Part of the engine id.
pub const MESSAGE_BYTES_MAX: u64 = 1024;

/// Maximum size of an ABCI frame, in bytes. A longer one ends its connection.
///
/// CometBFT's largest block is 100 MiB, and a request carries at most one block: a genesis that does not bound blocks
/// (`block.max_bytes` of -1, for which CometBFT proposes from its whole mempool) is refused.
pub const FRAME_BYTES_MAX: u64 = 128 << 20;

/// Maximum number of open ABCI connections; further ones are closed. CometBFT opens four; the rest is for tools, and for a
/// CometBFT that reconnects before its old connections are seen to be gone. Each costs a thread.
pub const ABCI_CONNECTIONS_MAX: usize = 64;

/// Default of `disk_free_bytes_low`: with less free space on the log's file system, in bytes, CheckTx refuses and the node
/// reports that it is not ready. Enough for several of the largest blocks ([`BLOCK_RECORD_BYTES_MAX`] and their entries), so
/// that Commit does not meet ENOSPC first.
pub const DISK_FREE_BYTES_LOW: u64 = 512 << 20;

/// Maximum length of the sequence, in bytes: the largest offset a file can have. A record beyond it is refused.
pub const SEQUENCE_BYTES_MAX: u64 = (1 << 63) - 1;

// What the host's own work for a plugin costs in fuel.

/// Bytes of an instance's first memory, and of its growth, for a unit of fuel: each 4 KiB that is touched
/// costs a page fault, some 1.5 us. Each byte the host copies, in or out, costs a unit, like a byte that the plugin copies.
pub const MEMORY_BYTES_PER_FUEL: u64 = 2;

/// Fuel for what the host does around every call.
pub const CALL_FUEL: u64 = 500;

/// Fuel for making an instance, without its memory, its table, its passive segments and init.
pub const START_FUEL: u64 = 8_000;

/// Bytes of an instance's memory for a unit of fuel when it is reset after a call, as if all of it were copied.
pub const RESET_BYTES_PER_FUEL: u64 = 32;

/// Fuel for each byte of a rejection message: it is copied, and escaped where it cannot be shown.
pub const MESSAGE_BYTE_FUEL: u64 = 16;

/// Fuel for each element of a table that an instance starts with. It is cleared, and the engine fills it in when it is first
/// used: 24 ns for each where a `table.copy` uses all of them.
pub const TABLE_ELEMENT_FUEL: u64 = 16;

/// Fuel for each element of a passive segment, and for the segment: the engine makes a reference of each element for every instance,
/// 86 ns, and a list of them.
pub const PASSIVE_ELEMENT_FUEL: u64 = 50;

// What compiled code costs in fuel beyond its instructions.

/// Locals of a function that cost nothing when it is entered; all of them are set to zero.
pub const LOCALS_FREE: u64 = 100;

/// Fuel of a place where a branch arrives or is not taken: 17 ns if the code that is jumped over is long enough that no cache
/// near the processor holds all of it, and no branch is remembered.
pub const ARRIVAL_FUEL: u64 = 8;

/// Locals beyond those that are free, or values that are joined, that cost one unit together: to set or move one takes 0.35 ns, and up
/// to 0.7 where the nearest cache does not hold them all.
pub const VALUES_PER_FUEL: u64 = 2;

/// Values that a processor keeps in registers, at most; so many may have to be moved wherever a branch arrives or is not taken.
pub const REGISTERS: u64 = 28;

/// Locals and operands, at most [`REGISTERS`] of them, that cost one unit together where a branch arrives or is not taken: to load
/// and store that many took 12 ns with a long frame, and less with a short one.
pub const REGISTERS_PER_FUEL: u64 = 4;

/// Bytes of a function's frame that cost one unit when it is entered: each page of it is touched. The frame is the counted one, which
/// is longer than the real one.
pub const FRAME_BYTES_PER_FUEL: u64 = 4_096;

// The stack. A call that nests deeper is a fault, decided by a counter in the bytecode.

/// Maximum size of the frames of a plugin's nested calls together, in bytes as the host counts them: about a thousand calls of an
/// ordinary function.
///
/// A call that nests deeper is a fault.
pub const STACK_BYTES_MAX: i32 = 4 << 20;

/// Maximum size of the frames of a function and of all it can come to call, in bytes, that are not counted.
pub const STACK_UNCOUNTED_BYTES_MAX: u64 = 64 << 10;

/// Native stack that a plugin's call may use, in bytes: what is counted, one tree of calls that is not, and the engine's own
/// way in and out. It must never decide anything.
pub const WASM_STACK_BYTES: u64 = STACK_BYTES_MAX as u64 + STACK_UNCOUNTED_BYTES_MAX + (64 << 10);

/// Native stack of every thread on which plugins run, in bytes: [`WASM_STACK_BYTES`], and as much again for the host.
/// Only what is touched is ever backed by memory.
pub const PLUGIN_THREAD_STACK_BYTES: usize = 9 << 20;

// What compiling may take. Unlike the other bounds on modules these two are measured, so they depend on the machine, and are not
// part of the engine id. They hold wherever a genesis is made, verified or first used. A node whose log has blocks compiles what
// its network runs, however long that takes.

/// Maximum processor time for compiling one module, in seconds. A plugin with the regex crate takes 1.5.
///
/// A module beyond it is refused while it is compiled.
pub const COMPILE_SECONDS_MAX: u64 = 15;

/// Maximum growth of the process's memory while it compiles one module, in bytes. A plugin with the regex crate takes 40 MiB.
///
/// A module beyond it is refused while it is compiled.
pub const COMPILE_MEMORY_BYTES_MAX: u64 = 400 << 20;

// What a module may be. A module beyond these is refused before it is compiled, with the item, the limit and what was found.
// `cargo run --release --example bench-admission` measures what bad modules take to compile. A change must leave every module
// below 20 s and 500 MiB; the few that pass here and exceed the two bounds above are refused by those.

/// The modules of a pipeline together may have this many times each limit of one module. Sixteen that are each the
/// worst would otherwise keep a node from starting for minutes. The same holds for the time that compiling takes.
pub const PIPELINE_MODULES_MAX: u64 = 4;

/// Maximum number of types. rustc makes some dozens.
///
/// A module beyond it is refused before it is compiled.
pub const MODULE_TYPES_MAX: u64 = 1_000;

/// Maximum number of functions: each costs the compiler some time before its first instruction.
///
/// A module beyond it is refused before it is compiled.
pub const MODULE_FUNCTIONS_MAX: u64 = 10_000;

/// Maximum number of globals. rustc makes three.
///
/// A module beyond it is refused before it is compiled.
pub const MODULE_GLOBALS_MAX: u64 = 1_000;

/// Maximum number of exports. The ABI has six.
///
/// A module beyond it is refused before it is compiled.
pub const MODULE_EXPORTS_MAX: u64 = 1_000;

/// Maximum size of an export's name, in bytes.
///
/// A module beyond it is refused before it is compiled.
pub const EXPORT_NAME_BYTES_MAX: u64 = 1_000;

/// Maximum number of data segments, and of element segments.
///
/// A module beyond it is refused before it is compiled.
pub const MODULE_SEGMENTS_MAX: u64 = 1_000;

/// Maximum number of entries of all element segments together: one for each function whose address is taken, and each
/// of those costs the compiler an entry from outside. A plugin with the regex crate has 588.
///
/// A module beyond it is refused before it is compiled.
pub const MODULE_ELEMENTS_MAX: u64 = 5_000;

/// Maximum size of the code of all functions, in bytes.
///
/// A module beyond it is refused before it is compiled.
pub const MODULE_CODE_BYTES_MAX: u64 = 1 << 20;

/// Maximum size of the code of one function, in bytes: the compiler's work grows faster than its length.
///
/// A module beyond it is refused before it is compiled.
pub const FUNCTION_BYTES_MAX: u64 = 128 << 10;

/// Maximum work of the compiler on all functions together, in units of at most about a microsecond of one core, as estimated from
/// their instructions, branches, calls, loops and locals: much of the compiler's work grows with the square of those. A plugin
/// with the regex crate has 11.2 million.
///
/// A module beyond it is refused before it is compiled.
pub const MODULE_COMPILE_WORK_MAX: u64 = 15_000_000;

/// Maximum number of blocks, branches and calls in one function: the compiler's work grows with their square. What compiles
/// to several of them counts as several: a call through a table and an instruction on a range of memory as four, one on a range
/// of a table as 25.
///
/// A module beyond it is refused before it is compiled.
pub const FUNCTION_BRANCHES_MAX: u64 = 5_000;

/// Maximum number of targets of all `br_table` of one function.
///
/// A module beyond it is refused before it is compiled.
pub const FUNCTION_BRANCH_TARGETS_MAX: u64 = 20_000;

/// Maximum number of parameters of a block, loop or if. A branch back to a loop hands on all of them. rustc makes none.
///
/// A module beyond it is refused before it is compiled.
pub const BLOCK_PARAMS_MAX: u64 = 8;

/// Maximum depth of loops within loops: the compiler's work grows with its square. People stop long before.
///
/// A module beyond it is refused before it is compiled.
pub const FUNCTION_LOOP_DEPTH_MAX: u64 = 25;

/// Maximum sum of the live values (locals and operands) at each block, branch and call of one function: the compiler follows
/// each value through all of them.
///
/// A module beyond it is refused before it is compiled.
pub const FUNCTION_LIVE_VALUES_MAX: u64 = 600_000;

/// Maximum number of branch arguments in one function: values that its branches carry, and that its blocks take and leave. The
/// compiler gives each a place where it arrives, and for each of those one in every block of the function: 20,000 beside 5,000
/// branches take it more than a gigabyte. What rustc makes carries next to none.
///
/// A module beyond it is refused before it is compiled.
pub const FUNCTION_BRANCH_ARGS_MAX: u64 = 4_000;

/// Maximum number of phis in one function: locals set in a block, times the ways out of it, summed over the blocks. The
/// compiler joins their values there, and its work grows with the square of the sum. 80,000 take two to three
/// seconds, 1.6 million take minutes. A plugin with the regex crate has 62,840.
///
/// A module beyond it is refused before it is compiled.
pub const FUNCTION_PHIS_MAX: u64 = 80_000;

/// Maximum number of locals of one function that have phis, times its loops: the compiler may have to carry each of the locals
/// round each of the loops, and its work grows with the square of the product. 15,000 take it two to three seconds; a
/// plugin with the regex crate has 9,366.
///
/// A module beyond it is refused before it is compiled.
pub const FUNCTION_PHIS_BY_LOOPS_MAX: u64 = 15_000;

/// Maximum number of parameters of a type: each is a register or a place on the stack of each call.
///
/// A module beyond it is refused before it is compiled.
pub const TYPE_PARAMS_MAX: u64 = 100;

/// Maximum number of results of a type.
///
/// A module beyond it is refused before it is compiled.
pub const TYPE_RESULTS_MAX: u64 = 16;

/// Maximum number of parameters and locals of one function. A few bytes can declare four billion, and the compiler follows
/// each through every loop.
///
/// A module beyond it is refused before it is compiled.
pub const FUNCTION_LOCALS_MAX: u64 = 2_000;

/// Maximum number of parameters and locals of one function times the depth of its loops: the compiler may have to carry each of
/// the locals round each of the loops.
///
/// A module beyond it is refused before it is compiled.
pub const FUNCTION_LOCALS_IN_LOOPS_MAX: u64 = 25_000;

/// Maximum number of elements of a table: enough for every function whose address a plugin of [`WASM_BYTES_MAX`] could
/// sensibly take.
///
/// A module beyond it is refused before it is compiled.
pub const TABLE_ELEMENTS_MAX: u64 = 65_536;

// Which instances are reset after a call and used again; the others are made anew for each call, which is slower and otherwise
// the same. These decide where write barriers stand, and write barriers cost fuel: part of the engine id.

/// Maximum memory of an instance that is reset, in bytes: 32 pages of 4 KiB, a bit of one integer for each. To copy all of
/// them takes some 2.5 us; a new instance takes some 4 us.
///
/// Beyond it each call gets a new instance, which is slower and otherwise the same.
pub const RESET_MEMORY_BYTES_MAX: u64 = 128 << 10;

/// Maximum number of mutable globals of an instance that is reset. rustc makes one: the stack pointer.
///
/// Beyond it each call gets a new instance, which is slower and otherwise the same.
pub const RESET_GLOBALS_MAX: u64 = 16;

/// Maximum number of write barriers for single pages in one function; further stores count as a store to all of memory.
pub const FUNCTION_BARRIERS_MAX: u64 = 16;

/// Maximum number of the same in all functions together: each is up to 24 instructions more for the compiler.
pub const MODULE_BARRIERS_MAX: u64 = 2_000;

// The memo. What does not fit any more is forgotten, and its transaction runs again.

/// Maximum number of accepted transactions in the memo. Several times CometBFT's mempool, so that what CheckTx computed
/// is still there when its block is decided. About 26 MiB when full.
///
/// Beyond it entries are forgotten, and their transactions run again.
pub const MEMO_ENTRIES_MAX: u64 = 262_144;

/// Maximum size of the records in the memo, in bytes, beyond what the entries themselves take.
///
/// Beyond it entries are forgotten, and their transactions run again.
pub const MEMO_BYTES_MAX: u64 = 64 << 20;

/// Maximum number of refused transactions in the memo, beside those: a refused transaction comes again when its producer
/// tries again, and when a bad proposer puts it into a block. About 12 MiB when full, with [`MEMO_REFUSED_BYTES_MAX`].
///
/// Beyond it entries are forgotten, and their transactions run again.
pub const MEMO_REFUSED_ENTRIES_MAX: u64 = 32_768;

/// Maximum size of the messages of refused transactions in the memo, in bytes, beyond what the entries themselves take.
///
/// Beyond it entries are forgotten, and their transactions run again.
pub const MEMO_REFUSED_BYTES_MAX: u64 = 8 << 20;

const _: () =
    assert!(4 * BLOCK_RECORD_BYTES_MAX < DISK_FREE_BYTES_LOW, "room for several of the largest blocks");
const _: () =
    assert!(BLOCK_FUEL_MAX <= FUEL_CEILING, "what a block may spend, genesis may allow one transaction");
const _: () = assert!(TX_BYTES_CEILING < FRAME_BYTES_MAX, "a transaction must fit in a frame");
const _: () =
    assert!(2 * WASM_STACK_BYTES < PLUGIN_THREAD_STACK_BYTES as u64, "the native stack must never decide");

#[cfg(test)]
mod tests {
    use super::*;

    /// Nodes that bound blocks otherwise vote otherwise: with nodes of both kinds in a network, blocks that some of
    /// them propose are voted down by the others. A change here belongs under "Consensus-breaking" in the CHANGELOG.
    #[test]
    fn the_bounds_of_a_block_are_fixed() {
        assert_eq!(
            (BLOCK_TXS_MAX, BLOCK_RECORD_BYTES_MAX, BLOCK_FUEL_MAX),
            (65_536, 67_108_864, 800_000_000)
        );
    }
}
