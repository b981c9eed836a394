//! What the integration tests share.

pub(crate) mod client;
pub(crate) mod consensus;
pub(crate) mod plugins;
