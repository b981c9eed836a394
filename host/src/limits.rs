//! Every bound of the host that is not set by genesis, with its unit and its reason.
//!
//! The bounds that *are* set by genesis (and so may differ between networks) are
//! [`Limits`](crate::plugin::Limits); the `*_CEILING` values here bound what genesis may ask for.

pub use dseq_format::limits::{
    FUEL_CEILING, MEMORY_BYTES_CEILING, PARAMS_BYTES_MAX, PARAMS_DEPTH_MAX, PLUGIN_NAME_BYTES_MAX,
    RECORD_BYTES_CEILING, TX_BYTES_CEILING, WASM_PAGE_BYTES,
};

/// Largest block of CometBFT, in bytes: its `MaxBlockSizeBytes`.
pub const BLOCK_BYTES_CEILING: u64 = 100 << 20;

/// Most transactions in a block this node proposes or votes for. Each costs a result and an entry on every node:
/// 65,536 of them make about 7 MiB of answers.
pub const BLOCK_TXS_MAX: u64 = 65_536;

/// Most bytes of records in a block this node proposes or votes for, unless one record alone is longer. All of them
/// are in memory at once between FinalizeBlock and Commit.
pub const BLOCK_RECORD_BYTES_MAX: u64 = 64 << 20;

/// Most fuel of the accepted transactions in a block this node proposes or votes for, unless one transaction alone takes
/// more. A unit takes at most two nanoseconds of one 2020s core (`bench-fuel` measures it), so this is less than two
/// seconds, below CometBFT's timeout for a proposal (3 s).
pub const BLOCK_FUEL_MAX: u64 = 800_000_000;

/// Longest pipeline, in plugins. The cost of a transaction is the sum over its plugins.
pub const PLUGINS_MAX: u64 = 16;

/// The same in a genesis file, where params are within the file, `app_state`, `dseq`, `pipeline` and their plugin.
pub const GENESIS_DEPTH_MAX: u64 = PARAMS_DEPTH_MAX + 5;

/// Largest plugin file, in bytes. Bounds the time and memory of compiling it.
pub const WASM_BYTES_MAX: u64 = 4 << 20;

/// Longest rejection message kept from a plugin, in bytes; a longer one is cut at a character boundary.
///
/// It is returned to the producer and never enters a hash; but what is kept costs fuel, which does. Part of the engine id.
pub const MESSAGE_BYTES_MAX: u64 = 1024;

/// Largest ABCI frame accepted from the socket, in bytes.
///
/// CometBFT's largest block is 100 MiB, and a request carries at most one block: a genesis that does not bound blocks
/// (`block.max_bytes` of -1, for which CometBFT proposes from its whole mempool) is refused.
pub const FRAME_BYTES_MAX: u64 = 128 << 20;

/// Most ABCI connections open at a time. CometBFT opens four; the rest is for tools and for a CometBFT that
/// reconnects before its old connections are seen to be gone. Each costs a thread.
pub const ABCI_CONNECTIONS_MAX: usize = 64;

/// Free space on the store's file system below which the node reports not ready and CheckTx refuses,
/// in bytes. Room for several of the largest blocks
/// ([`BLOCK_RECORD_BYTES_MAX`] and their entries), so that Commit does not meet ENOSPC first.
pub const DISK_FREE_BYTES_LOW: u64 = 512 << 20;

/// Memory that an instance begins with or grows by, and its table, cost a unit of fuel for so many bytes: what is touched
/// of it costs a page fault for each 4 KiB, some 1.5 us. Each byte the host copies, in or out, costs a unit, as those do
/// that the plugin copies itself. Part of the engine id, as the three below.
pub const MEMORY_BYTES_PER_FUEL: u64 = 2;

/// What the host does around every call, in units of fuel.
pub const CALL_FUEL: u64 = 500;

/// What making an instance takes, in units of fuel, beside its memory, its table and init.
pub const START_FUEL: u64 = 8_000;

/// Putting an instance back after a call costs a unit of fuel for so many bytes of its memory: as if all were copied.
pub const RESTORED_BYTES_PER_FUEL: u64 = 64;

/// What an element of a table takes, in bytes: a pointer.
pub const TABLE_ELEMENT_BYTES: u64 = 8;

/// What the frames of a plugin's nested calls may take together, in bytes as the host counts them: about a thousand
/// calls of an ordinary function. Part of the engine id.
pub const STACK_BYTES_MAX: i32 = 4 << 20;

/// Frames of a function and of all it can come to call, up to so many bytes together, are not counted. Part of the engine
/// id.
pub const STACK_UNCOUNTED_BYTES_MAX: u64 = 64 << 10;

/// Native stack a plugin's call may use, in bytes: what is counted, one tree of calls that is not, and the engine's own
/// way in and out. It must never decide anything.
pub const WASM_STACK_BYTES: u64 = STACK_BYTES_MAX as u64 + STACK_UNCOUNTED_BYTES_MAX + (64 << 10);

/// Native stack of every thread on which plugins run, in bytes: [`WASM_STACK_BYTES`], and as much again for the host.
/// Only what is touched is ever backed by memory.
pub const PLUGIN_THREAD_STACK_BYTES: usize = 9 << 20;

// The bounds on what a module may be. `cargo run --release --example bench-admission` measures what the worst modules
// within them that we know of take to be compiled: at most 14 s and 320 MiB, on one core of an ordinary server.
// All are part of the engine id. A change must leave a module that is the worst by each bound at once below 20 s and
// 500 MiB.

/// The modules of a pipeline together may have this many times each limit of one module.
/// Sixteen that are each the worst would otherwise keep a node from starting for minutes.
pub const PIPELINE_MODULES_MAX: u64 = 4;

/// Types of a plugin's functions, at most. rustc makes some dozens.
pub const MODULE_TYPES_MAX: u64 = 1_000;

/// Functions of a plugin, at most: each costs the compiler some time before its first instruction.
pub const MODULE_FUNCTIONS_MAX: u64 = 10_000;

/// Globals of a plugin, at most. rustc makes three.
pub const MODULE_GLOBALS_MAX: u64 = 1_000;

/// Exports of a plugin, at most. The ABI has six.
pub const MODULE_EXPORTS_MAX: u64 = 1_000;

/// Name of an export, in bytes.
pub const EXPORT_NAME_BYTES_MAX: u64 = 1_000;

/// Data segments of a plugin, and element segments, at most.
pub const MODULE_SEGMENTS_MAX: u64 = 1_000;

/// Entries of all element segments of a plugin together, at most: one for each function whose address is taken, and each
/// of those costs the compiler a way in from outside. A plugin with the regex crate has 588.
pub const MODULE_ELEMENTS_MAX: u64 = 5_000;

/// Code of all functions of a plugin, in bytes.
pub const MODULE_CODE_BYTES_MAX: u64 = 1 << 20;

/// Code of one function, in bytes: the compiler's work grows faster than its length.
pub const FUNCTION_BYTES_MAX: u64 = 128 << 10;

/// Blocks, branches and calls in one function, at most: the compiler's work grows with their square. What becomes several
/// of them counts so often: a call through a table and an instruction on a range of memory four times, one on a range of
/// a table 25 times.
pub const FUNCTION_BRANCHES_MAX: u64 = 5_000;

/// The same in all functions of a plugin together.
pub const MODULE_BRANCHES_MAX: u64 = 500_000;

/// Targets of all `br_table` of one function, at most.
pub const FUNCTION_BRANCH_TARGETS_MAX: u64 = 20_000;

/// Loops within loops of one function, at most: the compiler's work grows with the square of the depth. People stop
/// long before.
pub const FUNCTION_LOOP_DEPTH_MAX: u64 = 25;

/// Locals and operands at each block, branch and call of one function, summed: the compiler follows each value through
/// all of them.
pub const FUNCTION_ALIVE_AT_BRANCHES_MAX: u64 = 500_000;

/// Values that the branches of one function carry, and its blocks take and leave, summed: the compiler gives each a place
/// where it arrives. What rustc makes carries next to none.
pub const FUNCTION_CARRIED_MAX: u64 = 20_000;

/// Locals set in each block of one function, times the ways to where its branches arrive, summed: the compiler joins them
/// there, and its work grows with the square of the sum. 80,000 compile in about a second, 1.6 million take minutes. A plugin
/// with the regex crate has 62,840.
pub const FUNCTION_JOINED_MAX: u64 = 80_000;

/// Locals joined of all functions of a plugin together.
pub const MODULE_JOINED_MAX: u64 = 350_000;

/// Locals of one function that any of its blocks joins, times all its loops: the compiler may have to carry each of the ones
/// round each of the others, and its work grows with the square of the product. 15,000 take it about a second; a plugin
/// with the regex crate has 9,366.
pub const FUNCTION_JOINED_BY_LOOPS_MAX: u64 = 15_000;

/// The same of all functions of a plugin together. A plugin with the regex crate has 28,943.
pub const MODULE_JOINED_BY_LOOPS_MAX: u64 = 45_000;

/// Parameters of a type, at most: of a function each is a register or a place on the stack of each call.
pub const TYPE_PARAMS_MAX: u64 = 100;

/// Results of a type, at most.
pub const TYPE_RESULTS_MAX: u64 = 16;

/// Parameters and locals of one function, at most. A few bytes can declare four billion, and the compiler follows each
/// through every loop.
pub const FUNCTION_LOCALS_MAX: u64 = 2_000;

/// Parameters and locals of one function times its loops within loops, at most: the compiler may have to carry each of
/// the ones round each of the others.
pub const FUNCTION_LOCALS_IN_LOOPS_MAX: u64 = 25_000;

/// Largest table of a plugin, in elements: room for every function a plugin of [`WASM_BYTES_MAX`] could
/// sensibly take the address of.
pub const TABLE_ELEMENTS_MAX: u64 = 65_536;

/// Largest memory of an instance that is put back for the next call, in bytes: 32 pieces of 4 KiB, a bit of one number for
/// each. To copy all of them takes some 2.5 us; a fresh instance, which is what longer ones get, some 4 us. Part of the
/// engine id, as the bounds below: they decide where marks stand, and marks cost fuel.
pub const RESTORED_MEMORY_BYTES_MAX: u64 = 128 << 10;

/// Most mutable globals of an instance that is put back for the next call. rustc makes one: the stack pointer.
pub const RESTORED_GLOBALS_MAX: u64 = 16;

/// Most marks of single pieces of memory in one function; from then on the whole memory is marked.
pub const FUNCTION_BARRIERS_MAX: u64 = 16;

/// The same in all functions of a plugin together: each is up to 24 instructions more for the compiler.
pub const MODULE_BARRIERS_MAX: u64 = 2_000;

/// Accepted transactions whose results the pipeline remembers. Several times CometBFT's mempool, so that what CheckTx
/// computed is still there when its block is decided. About 26 MiB when full.
pub const MEMO_ENTRIES_MAX: u64 = 262_144;

/// Records the pipeline remembers, in bytes, beyond what the entries themselves take.
pub const MEMO_BYTES_MAX: u64 = 64 << 20;

/// Refusals the pipeline remembers, in transactions, beside those: a refused transaction comes again when its producer
/// tries again, and when a bad proposer puts it into a block. About 12 MiB when full, with [`MEMO_REFUSED_BYTES_MAX`].
pub const MEMO_REFUSED_ENTRIES_MAX: u64 = 32_768;

/// Messages of refusals the pipeline remembers, in bytes, beyond what the entries themselves take.
pub const MEMO_REFUSED_BYTES_MAX: u64 = 8 << 20;

/// Longest sequence, in bytes: the largest offset a file can have.
pub const SEQUENCE_BYTES_MAX: u64 = (1 << 63) - 1;

const _: () =
    assert!(4 * BLOCK_RECORD_BYTES_MAX < DISK_FREE_BYTES_LOW, "room for several of the largest blocks");
const _: () = assert!(BLOCK_FUEL_MAX <= FUEL_CEILING, "what a block may spend, genesis may allow one transaction");
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
