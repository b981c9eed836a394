//! Static validation of a module, before anything is compiled.
mod encoding;
mod error;
mod function;
mod module;

pub(super) use error::RESERVED_PREFIX;
pub use error::{GateError, Item, Named};
pub(super) use function::Function;
pub(super) use module::{Gated, gate};
pub use module::{Use, limits_used};
