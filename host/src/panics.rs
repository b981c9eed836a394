//! What a caught panic said.

use std::any::Any;

/// The text of a panic raised with a message, as `panic!` and `expect` do.
#[must_use]
pub fn panic_message(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}
