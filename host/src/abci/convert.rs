//! The state machine's results as CometBFT's messages, and what it takes from them.

use bytes::Bytes;
use data_encoding::HEXUPPER;
use tendermint_proto::v0_38::abci as wire;
use tendermint_proto::v0_38::abci::{Event, EventAttribute, ExecTxResult, ResponseCheckTx};
use tendermint_proto::v0_38::types::BlockIdFlag;

use crate::app::{
    Conduct, Examined, Misbehavior, MisbehaviorKind, Refusal, TxResult, ValidatorAddress, Voter,
};
use crate::sequence::Receipt;
use crate::types::{Fuel, Height};

/// Type of the one event of an accepted transaction.
const RECORD_EVENT: &str = "dseq.record";

/// A height as CometBFT sends it; negative ones do not exist in the protocol and become 0, which no block has.
pub(super) fn height_from_wire(height: i64) -> Height {
    Height(u64::try_from(height).unwrap_or(0))
}

pub(super) fn height_to_wire(height: Height) -> i64 {
    to_i64(height.0)
}

/// Protobuf has `int64` where the quantity is never negative; everything sent this way is far below its maximum.
pub(super) fn to_i64(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn gas(fuel: Fuel) -> i64 {
    to_i64(fuel.0)
}

/// What a transaction takes of a proposal, in bytes: as an element of a protobuf `repeated bytes` field it has a tag
/// and a length before it. CometBFT panics on a proposal that is larger than it asked for.
pub(super) fn proposal_bytes(tx: &Bytes) -> u64 {
    let prefix = 1 + prost::length_delimiter_len(tx.len());
    prefix as u64 + tx.len() as u64
}

pub(super) fn check_response(examined: Examined) -> ResponseCheckTx {
    let gas = gas(examined.fuel);
    let answer = ResponseCheckTx { gas_wanted: gas, gas_used: gas, ..Default::default() };
    match examined.record {
        Ok(_) => answer,
        Err(refusal) => ResponseCheckTx { gas_wanted: gas, gas_used: gas, ..check_refused(refusal) },
    }
}

pub(super) fn check_refused(refusal: Refusal) -> ResponseCheckTx {
    let Refusal { code, codespace, message } = refusal;
    ResponseCheckTx { code, codespace, log: message, ..Default::default() }
}

pub(super) fn tx_result(result: &TxResult) -> ExecTxResult {
    let gas = gas(result.fuel);
    let answer = ExecTxResult { gas_wanted: gas, gas_used: gas, ..Default::default() };
    match &result.receipt {
        Ok(receipt) => ExecTxResult {
            data: Bytes::copy_from_slice(&receipt.encode()),
            events: vec![record_event(receipt)],
            ..answer
        },
        Err(Refusal { code, codespace, message }) => {
            ExecTxResult { code: *code, codespace: codespace.clone(), log: message.clone(), ..answer }
        }
    }
}

fn record_event(receipt: &Receipt) -> Event {
    let attribute =
        |key: &str, value: u64| EventAttribute { key: key.to_owned(), value: value.to_string(), index: true };
    Event {
        r#type: RECORD_EVENT.to_owned(),
        attributes: vec![
            attribute("offset", receipt.offset.0),
            attribute("length", receipt.length),
            attribute("index", receipt.index),
        ],
    }
}

/// `None`: no key of CometBFT's has such an address.
fn validator_address(bytes: &[u8]) -> Option<ValidatorAddress> {
    bytes.try_into().ok().map(ValidatorAddress)
}

/// What CometBFT says of validators with a decided block.
pub(super) fn conduct(block: &wire::RequestFinalizeBlock) -> Conduct {
    let votes = block.decided_last_commit.iter().flat_map(|commit| &commit.votes);
    let voter = |vote: &wire::VoteInfo| {
        let wire::Validator { address, power } = vote.validator.as_ref()?;
        Some(Voter {
            validator: validator_address(address)?,
            power: u64::try_from(*power).unwrap_or(0),
            // A vote for no block commits none either.
            signed: vote.block_id_flag == i32::from(BlockIdFlag::Commit),
        })
    };
    Conduct {
        misbehavior: block.misbehavior.iter().map(misbehavior).collect(),
        proposer: validator_address(&block.proposer_address),
        voters: votes.filter_map(voter).collect(),
    }
}

/// What CometBFT proves of a validator in a decided block.
fn misbehavior(proven: &wire::Misbehavior) -> Misbehavior {
    let (validator, power) = proven
        .validator
        .as_ref()
        .map_or((String::new(), 0), |validator| (HEXUPPER.encode(&validator.address), validator.power));
    let kind = match proven.r#type() {
        wire::MisbehaviorType::DuplicateVote => MisbehaviorKind::DuplicateVote,
        wire::MisbehaviorType::LightClientAttack => MisbehaviorKind::LightClientAttack,
        wire::MisbehaviorType::Unknown => MisbehaviorKind::Unknown,
    };
    // Its serializer writes RFC 3339.
    let time = proven.time.and_then(|time| serde_json::to_value(time).ok());
    let time = time.and_then(|time| time.as_str().map(str::to_owned));
    Misbehavior {
        kind,
        validator,
        power,
        total_power: proven.total_voting_power,
        height: proven.height,
        time,
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use tendermint_proto::v0_38::types::Data;

    use super::*;

    #[test]
    fn a_transaction_takes_of_a_proposal_what_it_takes_of_the_message() {
        for length in [0, 1, 127, 128, 16_383, 16_384, 1 << 21] {
            let tx = vec![7; length];
            let message = Data { txs: vec![tx.clone()] };
            assert_eq!(proposal_bytes(&Bytes::from(tx)), message.encoded_len() as u64, "{length} bytes");
        }
    }
}
