//! The bounds on the rules a genesis may set, each with its unit and its reason: a genesis beyond one is refused. The
//! host's own limits include these.

/// Maximum `tx_bytes_max` that a genesis may set, in bytes.
///
/// CometBFT's own ceiling for a block is 100 MiB; a transaction must fit in a block with room to spare.
pub const TX_BYTES_CEILING: u64 = 64 << 20;

/// Maximum `record_bytes_max` that a genesis may set, in bytes.
pub const RECORD_BYTES_CEILING: u64 = 64 << 20;

/// Maximum fuel that a genesis may allow one transaction, in fuel units: `fuel_max` times the number of plugins. Some
/// four seconds of one 2020s core: with more than the default, a block may take longer than CometBFT waits for a proposal
/// at first (3 s).
pub const FUEL_CEILING: u64 = 2_000_000_000;

/// Maximum `memory_bytes_max` that a genesis may set, in bytes.
pub const MEMORY_BYTES_CEILING: u64 = 256 << 20;

/// Size of one wasm page in bytes; `memory_bytes_max` is a multiple of it.
pub const WASM_PAGE_BYTES: u64 = 64 << 10;

/// Maximum length of a plugin's name, in bytes. It becomes part of each rejection's codespace.
pub const PLUGIN_NAME_BYTES_MAX: u64 = 32;

/// Maximum size of the canonical JSON of one plugin's params, in bytes.
pub const PARAMS_BYTES_MAX: u64 = 64 << 10;

/// Maximum depth of arrays and objects in one plugin's params. A reader of JSON has to stop somewhere; people who write
/// params by hand stop long before.
pub const PARAMS_DEPTH_MAX: u64 = 123;

const _: () =
    assert!(MEMORY_BYTES_CEILING.is_multiple_of(WASM_PAGE_BYTES), "memory is counted in whole pages");
const _: () = assert!(
    RECORD_BYTES_CEILING < MEMORY_BYTES_CEILING && TX_BYTES_CEILING < MEMORY_BYTES_CEILING,
    "a plugin must be able to hold its input and its output"
);
