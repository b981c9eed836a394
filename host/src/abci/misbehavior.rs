//! Validators that broke the rules of consensus: CometBFT proves them in a decided block, and people have to know.
//!
//! A piece of evidence is in one block only, and is logged when that block is committed: once on each node, and again only
//! by a node that replays the chain.

use tendermint_proto::v0_38::abci::{Misbehavior, MisbehaviorType};

use crate::types::Height;

/// Logs what a committed block proves, one error for each validator, with what to do.
pub(super) fn log(block: Height, misbehavior: &[Misbehavior]) {
    for one in misbehavior {
        let (address, power) = one.validator.as_ref().map_or((String::new(), 0), |validator| {
            (data_encoding::HEXUPPER.encode(&validator.address), validator.power)
        });
        let (kind, deed) = match one.r#type() {
            MisbehaviorType::DuplicateVote => {
                ("duplicate vote", "signed two different votes at one height (double signing)")
            }
            MisbehaviorType::LightClientAttack => {
                ("light client attack", "signed a block for light clients that the network did not make")
            }
            MisbehaviorType::Unknown => ("unknown", "broke the rules of consensus"),
        };
        let time = one.time.and_then(|time| serde_json::to_value(time).ok());
        let time = time.as_ref().and_then(|time| time.as_str()).unwrap_or("unknown");
        tracing::error!(
            validator = %address,
            power,
            total_power = one.total_voting_power,
            kind,
            height = one.height,
            time,
            block = block.0,
            "a validator {deed}: its key runs in two places, or was stolen, or its priv_validator_state.json was lost; \
             its operator has to stop all nodes with this key but one. Its vote still counts: \
             if validators with a third of the power do this, nodes can disagree"
        );
    }
}
