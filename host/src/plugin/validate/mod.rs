//! Static validation: which modules may be plugins, decided from their bytes before anything is compiled.
//!
//! ```text
//! bytes of a .wasm file ──> validate ──> ValidModule, or the first rule it breaks (ValidateError)
//! ```
//!
//! `module` goes through the sections and checks the limits on a module as a whole; `encoding` checks the bytes of each
//! section; `function` goes through the instructions of each function, `control_flow` counts its branches and what is
//! alive at them, and `compile_work` estimates what compiling it costs. `features` is the list of what of WebAssembly is
//! allowed. `types` is what comes out, `error` why nothing does. What is decided here is part of the engine id (`gate`,
//! `module-limits`, `compile-work` and `wasm-features` in the engine text).
//!
//! # Invariants
//!
//! - No module is compiled, instrumented or trusted in any other way before it has passed [`validate`].
//! - The limit comes before the work: the validator never reads more items than a limit allows, so that refusing a
//!   module takes bounded time and memory. What each limit may be, and why, is in [`limits`](crate::limits).
mod compile_work;
mod control_flow;
mod encoding;
mod error;
mod features;
mod function;
mod module;
mod types;

pub(super) use compile_work::terms_text;
pub(super) use error::RESERVED_PREFIX;
pub use error::{Item, Named, ValidateError};
pub(super) use features::{FEATURES, features};
pub use module::limits_used;
pub(super) use module::validate;
pub use types::Use;
pub(super) use types::{Function, ValidModule};
