//! Who decides in a network, and what part a home has in it.

use crate::node::engine::config::EngineConfig;
use crate::node::engine::key_files;
use crate::node::genesis::document::{GenesisDoc, Validator};
use crate::node::home::NodeHome;

/// Powers that are listed one by one.
const POWERS_SHOWN_MAX: usize = 10;

/// A home's part in its network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The validator of this index.
    Validator(usize),
    /// It has all blocks and no vote.
    FullNode,
    /// Its key is elsewhere: with a remote signer, or in a file that cannot be read.
    Unknown,
}

impl Part {
    /// What part a home has, by the public key in its files.
    #[must_use]
    pub fn of(home: &NodeHome, doc: &GenesisDoc) -> Self {
        let Some(key) = public_key(home) else { return Self::Unknown };
        let place = doc.validators.iter().position(|validator| validator.key == key);
        place.map_or(Self::FullNode, Self::Validator)
    }
}

/// Type and base64 of the key with which a home votes.
fn public_key(home: &NodeHome) -> Option<(String, String)> {
    EngineConfig::read(home).ok().filter(|_| !key_files::is_remote(home))?;
    let key = key_files::validator(home).ok()??;
    Some((key.kind, key.value))
}

/// The validators of a network and a home's part among them, in a sentence.
#[must_use]
pub fn describe(doc: &GenesisDoc, part: Option<Part>) -> String {
    let validators = count(&doc.validators);
    let total = doc.total_power();
    match part {
        None => validators,
        Some(Part::Unknown) => format!("{validators}; this node's key is not in its home"),
        Some(Part::FullNode) => {
            format!("{validators}; this node is not a validator: it is a full node and has no vote")
        }
        Some(Part::Validator(_)) if doc.validators.len() == 1 => {
            "1 validator: this node decides alone".to_owned()
        }
        Some(Part::Validator(index)) => {
            let power = doc.validators.get(index).map_or(0, |validator| validator.power);
            // Blocks take more than two thirds; wider, so that nothing overflows.
            let alone = i128::from(power) * 3 > i128::from(total) * 2;
            let alone = if alone { ": more than two thirds, so it decides alone" } else { "" };
            format!("{validators}; this node is validators[{index}] with power {power} of {total}{alone}")
        }
    }
}

fn count(validators: &[Validator]) -> String {
    let power = validators.first().map_or(0, |first| first.power);
    match validators.len() {
        1 => format!("1 validator with power {power}"),
        n if validators.iter().all(|validator| validator.power == power) => {
            format!("{n} validators with power {power} each")
        }
        n => {
            let shown = validators.iter().take(POWERS_SHOWN_MAX).map(|one| one.power.to_string());
            let more = if n > POWERS_SHOWN_MAX { ", ..." } else { "" };
            format!("{n} validators with powers {}{more}", shown.collect::<Vec<_>>().join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::abci::EngineBounds;

    fn doc(powers: &[i64]) -> GenesisDoc {
        let validators = powers.iter().enumerate().map(|(index, power)| Validator {
            key: ("tendermint/PubKeyEd25519".to_owned(), index.to_string()),
            power: *power,
        });
        let bounds =
            EngineBounds { block_bytes_max: 1, block_gas_max: -1, vote_extensions_height: 0, validators: 1 };
        GenesisDoc { chain_id: "c".to_owned(), validators: validators.collect(), bounds }
    }

    #[test]
    fn it_is_said_who_decides() {
        for (powers, part, words) in [
            (&[10][..], Some(Part::Validator(0)), "1 validator: this node decides alone"),
            (&[10], None, "1 validator with power 10"),
            (
                &[10],
                Some(Part::FullNode),
                "1 validator with power 10; this node is not a validator: it is a full node and has no vote",
            ),
            (
                &[10, 10, 10],
                Some(Part::Validator(2)),
                "3 validators with power 10 each; this node is validators[2] with power 10 of 30",
            ),
            (
                &[21, 10],
                Some(Part::Validator(0)),
                "2 validators with powers 21, 10; this node is validators[0] with power 21 of 31: more than two thirds, so \
                 it decides alone",
            ),
            (
                &[20, 10],
                Some(Part::Validator(0)),
                "2 validators with powers 20, 10; this node is validators[0] with power 20 of 30",
            ),
            (
                &[1, 2],
                Some(Part::Unknown),
                "2 validators with powers 1, 2; this node's key is not in its home",
            ),
        ] {
            assert_eq!(describe(&doc(powers), part), words);
        }
    }

    #[test]
    fn a_home_is_found_by_its_key_unless_that_is_elsewhere() {
        let dir = tempfile::tempdir().unwrap();
        let home = NodeHome::new(dir.path());
        fs::create_dir(dir.path().join("config")).unwrap();
        let write = |config: &str, key: &str| {
            fs::write(home.cometbft_config(), config).unwrap();
            let key =
                format!("{{\"pub_key\":{{\"type\":\"tendermint/PubKeyEd25519\",\"value\":\"{key}\"}}}}");
            fs::write(dir.path().join("config/priv_validator_key.json"), key).unwrap();
        };
        write("", "1");
        assert_eq!(Part::of(&home, &doc(&[1, 1])), Part::Validator(1));
        assert_eq!(Part::of(&home, &doc(&[1])), Part::FullNode);
        write("priv_validator_laddr = \"tcp://signer:1\"", "1");
        assert_eq!(Part::of(&home, &doc(&[1, 1])), Part::Unknown);
    }
}
