//! Proposals: which transactions this node would put in a block, and whether it votes for somebody else's.

use bytes::Bytes;

use super::examine::examine_all;
use crate::plugin::{Fatal, Pipeline};

/// Picks the transactions of a proposal: those the pipeline accepts, in order, as long as they fit.
///
/// `bytes_max` bounds their size as CometBFT counts it: as the repeated field of a protobuf message. CometBFT
/// panics on a proposal that is larger.
///
/// # Errors
///
/// [`Fatal`] when this host could not run the pipeline.
pub fn prepare(pipeline: &Pipeline, txs: Vec<Bytes>, bytes_max: u64) -> Result<Vec<Bytes>, Fatal> {
    let examined = examine_all(pipeline, &txs)?;
    let mut used = 0_u64;
    let fits = |tx: &Bytes| {
        used = used.saturating_add(protobuf_bytes(tx));
        used <= bytes_max
    };
    let accepted = txs.into_iter().zip(examined).filter(|(_, examined)| examined.verdict.is_ok());
    Ok(accepted.map(|(tx, _)| tx).take_while(fits).collect())
}

/// Whether to vote for a proposal: only if the pipeline accepts every transaction in it.
///
/// # Errors
///
/// [`Fatal`] when this host could not run the pipeline.
pub fn process(pipeline: &Pipeline, txs: &[Bytes]) -> Result<bool, Fatal> {
    Ok(examine_all(pipeline, txs)?.iter().all(|examined| examined.verdict.is_ok()))
}

/// Size of one transaction in a protobuf `repeated bytes` field: tag, length, bytes.
fn protobuf_bytes(tx: &Bytes) -> u64 {
    let length = tx.len() as u64;
    let prefix = 1_u64.saturating_add(prost::length_delimiter_len(tx.len()) as u64);
    length.saturating_add(prefix)
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use tendermint_proto::v0_38::types::Data;

    use super::*;

    #[test]
    fn sizes_are_those_of_the_protobuf_message() {
        for length in [1, 127, 128, 16_383, 16_384, 1 << 21] {
            let tx = vec![7; length];
            let message = Data { txs: vec![tx.clone()] };
            assert_eq!(protobuf_bytes(&Bytes::from(tx)), message.encoded_len() as u64, "{length} bytes");
        }
    }
}
