//! The rules that a network runs under, once InitChain has fixed them.

use std::sync::Arc;

use crate::plugin::Pipeline;
use crate::types::Height;

/// What InitChain fixed, ready to run.
#[derive(Clone)]
pub struct Rules {
    /// Height of the first block.
    pub initial_height: Height,
    /// The plugins, admitted and compiled.
    pub pipeline: Arc<Pipeline>,
}
