//! The app hash of a log: what consensus agrees on after each block.

use dseq_format::app_hash::AppHashInput;

use crate::sequence::Head;
use crate::types::{AppHash, PipelineId};

/// The app hash of a log under the given rules.
#[must_use]
pub fn app_hash(head: &Head, pipeline: PipelineId) -> AppHash {
    let input = AppHashInput {
        length: head.length(),
        count: head.count(),
        sequence_root: head.sequence_root(),
        records_root: head.records_root(),
        pipeline,
    };
    input.hash()
}
