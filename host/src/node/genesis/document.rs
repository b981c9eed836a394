//! A genesis document by CometBFT's own rules: what CometBFT would refuse at its start, found before it is started.
//!
//! The rules are those of `types/genesis.go`, `types/params.go` and `types/validator_set.go`; a test compares the results
//! with the real program's. What CometBFT fills in by itself is refused only where each node would fill in another value.

use std::collections::BTreeSet;

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::document_error::DocError;
use super::field::Field;
use crate::abci::{EngineBounds, VALIDATORS_MAX};
use crate::limits;

/// Maximum length of a chain id, in bytes.
pub const CHAIN_ID_BYTES_MAX: usize = 50;

/// Maximum height that a network may begin with: CometBFT counts in `int64`, and half of them are left.
const INITIAL_HEIGHT_MAX: i64 = 1 << 62;

/// Maximum sum of the validators' powers: CometBFT's `MaxTotalVotingPower`.
const TOTAL_POWER_MAX: i64 = i64::MAX / 8;

/// Maximum length of `consensus_params.authority.authority`, in bytes.
const AUTHORITY_BYTES_MAX: usize = 256;

/// A genesis document that CometBFT would take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GenesisDoc {
    /// The network's name.
    pub chain_id: String,
    /// Its first validators, in the order of the file; at least one.
    pub validators: Vec<Validator>,
    /// The parameters that our limits depend on.
    pub bounds: EngineBounds,
}

/// A validator of genesis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Validator {
    /// Type and base64 of its public key.
    pub key: (String, String),
    /// Its power; from 1.
    pub power: i64,
}

impl GenesisDoc {
    /// Checks a document, an object, of strict JSON ([`crate::json::read`]).
    ///
    /// # Errors
    ///
    /// The first thing in it that CometBFT would refuse.
    pub fn check(document: &Value) -> Result<Self, DocError> {
        let document = Field { place: String::new(), value: document };
        check_time(&document.get("genesis_time")?)?;
        let chain_id = check_chain_id(&document.get("chain_id")?)?;
        let height = document.get("initial_height")?;
        height.within(0, INITIAL_HEIGHT_MAX)?;
        let mut bounds = check_params(&document.get("consensus_params")?)?;
        let validators = check_validators(&document.get("validators")?)?;
        bounds.validators = validators.len() as u64;
        document.get("app_hash")?.hex()?;
        Ok(Self { chain_id, validators, bounds })
    }

    /// Sum of the validators' powers.
    #[must_use]
    pub fn total_power(&self) -> i64 {
        self.validators.iter().map(|validator| validator.power).sum()
    }
}

/// Without a time each node would take its own clock's, and no two would agree on the first block.
fn check_time(time: &Field<'_>) -> Result<(), DocError> {
    let expected = "an RFC 3339 time in UTC after the year 1, such as \"2026-01-31T12:00:00Z\"";
    let is_good = time.value.as_str().is_some_and(is_utc_time);
    if is_good { Ok(()) } else { Err(time.kind(expected)) }
}

/// Whether a text is `YYYY-MM-DDThh:mm:ss[.f]Z` and such a time exists, the zero time of Go being none.
fn is_utc_time(text: &str) -> bool {
    let Some((seconds, fraction)) = text.strip_suffix('Z').and_then(|text| text.split_at_checked(19)) else {
        return false;
    };
    let is_fraction = |text: &str| (1..=9).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    if !(fraction.is_empty() || fraction.strip_prefix('.').is_some_and(is_fraction)) {
        return false;
    }
    let shape = seconds.bytes().zip(*b"dddd-dd-ddTdd:dd:dd");
    if !shape.into_iter().all(|(found, wanted)| match wanted {
        b'd' => found.is_ascii_digit(),
        other => found == other,
    }) {
        return false;
    }
    let number = |from: usize, to: usize| seconds[from..to].parse::<u32>().unwrap_or(u32::MAX);
    let (year, month, day) = (number(0, 4), number(5, 7), number(8, 10));
    let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let days = match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => 0,
    };
    year > 1 && (1..=days).contains(&day) && number(11, 13) < 24 && number(14, 16) < 60 && number(17, 19) < 60
}

fn check_chain_id(chain_id: &Field<'_>) -> Result<String, DocError> {
    let text = chain_id.text()?;
    if !(1..=CHAIN_ID_BYTES_MAX).contains(&text.len()) {
        let found = if text.is_empty() { chain_id.quoted() } else { format!("{} bytes long", text.len()) };
        return Err(chain_id.value(found, format!("a text of 1 to {CHAIN_ID_BYTES_MAX} bytes")));
    }
    Ok(text.to_owned())
}

/// The consensus parameters. Where there are none, CometBFT has its own; where there are some, all must be there.
fn check_params(params: &Field<'_>) -> Result<EngineBounds, DocError> {
    if params.value.is_null() {
        let (block_bytes_max, block_gas_max) = (22_020_096, -1);
        return Ok(EngineBounds { block_bytes_max, block_gas_max, vote_extensions_height: 0, validators: 0 });
    }
    let ceiling = i64::try_from(limits::BLOCK_BYTES_CEILING).unwrap_or(i64::MAX);
    let block = params.get("block")?;
    let max_bytes = block.get("max_bytes")?;
    let block_bytes_max = max_bytes.int64()?;
    // No bound at all is good for CometBFT, so it is for ours to refuse.
    if block_bytes_max != -1 {
        max_bytes.within(1, ceiling)?;
    }
    let block_gas_max = block.get("max_gas")?.within(-1, i64::MAX)?;

    let evidence = params.get("evidence")?;
    evidence.get("max_age_num_blocks")?.within(1, i64::MAX)?;
    evidence.get("max_age_duration")?.within(1, i64::MAX)?;
    let at_most = if block_bytes_max == -1 { ceiling } else { block_bytes_max };
    evidence.get("max_bytes")?.within(0, at_most)?;

    let types = params.get("validator")?.get("pub_key_types")?;
    let known = types.list()?.iter().all(|kind| matches!(kind.as_str(), Some("ed25519" | "secp256k1")));
    if types.list()?.is_empty() || !known {
        return Err(types.kind("a list of \"ed25519\" or \"secp256k1\", or both"));
    }
    params.get("version")?.get("app")?.uint64()?;
    let authority = params.get("authority")?.get("authority")?;
    if authority.text()?.len() > AUTHORITY_BYTES_MAX {
        return Err(authority.value(authority.quoted(), format!("at most {AUTHORITY_BYTES_MAX} bytes")));
    }
    let vote_extensions_height =
        params.get("abci")?.get("vote_extensions_enable_height")?.within(0, i64::MAX)?;
    Ok(EngineBounds { block_bytes_max, block_gas_max, vote_extensions_height, validators: 0 })
}

fn check_validators(list: &Field<'_>) -> Result<Vec<Validator>, DocError> {
    let values = list.list()?;
    if values.is_empty() {
        let found = if list.value.is_null() { "absent" } else { "empty" };
        return Err(DocError::NoValidators { found });
    }
    if values.len() as u64 > VALIDATORS_MAX {
        return Err(list.value(format!("{} long", values.len()), format!("at most {VALIDATORS_MAX}")));
    }
    let (mut validators, mut keys, mut total) = (Vec::new(), BTreeSet::new(), 0);
    for (index, value) in values.iter().enumerate() {
        let field = Field { place: format!("validators[{index}]"), value };
        let key = check_key(&field)?;
        if !keys.insert(key.clone()) {
            return Err(DocError::SameKey { place: field.place });
        }
        field.get("name")?.text()?;
        let power = field.get("power")?;
        let found = power.within(1, TOTAL_POWER_MAX)?;
        total += found;
        if total > TOTAL_POWER_MAX {
            let sum = format!("{found}, which makes the sum of all {total}");
            return Err(power.value(sum, format!("such that all together have at most {TOTAL_POWER_MAX}")));
        }
        validators.push(Validator { key, power: found });
    }
    Ok(validators)
}

/// The address of a validator: the first 20 bytes of the SHA-256 of its Ed25519 key.
pub(crate) fn address_of(key: &[u8]) -> Vec<u8> {
    Sha256::digest(key)[..20].to_vec()
}

/// Key and address of a validator. An address that is absent CometBFT computes.
fn check_key(validator: &Field<'_>) -> Result<(String, String), DocError> {
    let key = validator.get("pub_key")?;
    let (kind, value) = (key.get("type")?, key.get("value")?);
    let length = match kind.text()? {
        "tendermint/PubKeyEd25519" => 32,
        "tendermint/PubKeySecp256k1" => 33,
        _ => {
            return Err(kind.kind("\"tendermint/PubKeyEd25519\" (or \"tendermint/PubKeySecp256k1\")"));
        }
    };
    let bytes = data_encoding::BASE64.decode(value.text()?.as_bytes()).ok();
    let Some(bytes) = bytes.filter(|bytes| bytes.len() == length) else {
        return Err(value.value(value.quoted(), format!("the base64 of a key of {length} bytes")));
    };
    let address = validator.get("address")?;
    let found = address.hex()?;
    if length == 32 {
        let expected = address_of(&bytes);
        if !found.is_empty() && found != expected {
            let expected = format!("{}, which is its key's", data_encoding::HEXUPPER.encode(&expected));
            return Err(address.value(address.quoted(), expected));
        }
    } else if !found.is_empty() {
        // It is a RIPEMD-160 digest, which nothing else here needs.
        return Err(address
            .kind("absent: dseq cannot check the address of a secp256k1 key, and CometBFT computes it"));
    }
    Ok((kind.text()?.to_owned(), value.text()?.to_owned()))
}

// Each rule is in the table of `tests/support/genesis_table.rs`, which CometBFT itself is held against too.
#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_time_is_one_that_go_reads_and_that_exists() {
        for good in [
            "2026-01-31T12:00:00Z",
            "2000-02-29T00:00:00.1Z",
            "0002-01-01T00:00:00Z",
            "9999-12-31T23:59:59.999999999Z",
        ] {
            assert!(is_utc_time(good), "{good}");
        }
        for bad in [
            "",
            "Z",
            "2026-01-31T12:00:00",
            "2026-01-31t12:00:00Z",
            "2026-01-31T12:00:00z",
            "2026-01-31 12:00:00Z",
            "2026-01-31T12:00:00.Z",
            "2026-01-31T12:00:00,5Z",
            "2026-01-31T12:00:00.1234567891Z",
            "2026-1-31T12:00:00Z",
            "1900-02-29T00:00:00Z",
            "2026-04-31T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-00-01T00:00:00Z",
            "2026-01-00T00:00:00Z",
            "2026-01-31T12:60:00Z",
            "0001-01-01T00:00:00Z",
            "0000-01-01T00:00:00Z",
            "+026-01-31T12:00:00Z",
            "ééééééééééé",
        ] {
            assert!(!is_utc_time(bad), "{bad}");
        }
    }

    #[test]
    fn there_are_at_most_so_many_validators_as_can_sign_a_commit() {
        let validators = |count: u64| {
            let validator = |index: u64| {
                let key = data_encoding::BASE64.encode(&index.to_le_bytes().repeat(4));
                json!({ "pub_key": { "type": "tendermint/PubKeyEd25519", "value": key }, "power": "1" })
            };
            let list = Value::Array((0..count).map(validator).collect());
            check_validators(&Field { place: "validators".to_owned(), value: &list }).map(|found| found.len())
        };
        assert_eq!(validators(VALIDATORS_MAX).unwrap() as u64, VALIDATORS_MAX);
        let message = validators(VALIDATORS_MAX + 1).unwrap_err().to_string();
        assert_eq!(message, "validators is 10001 long; it must be at most 10000");
    }

    #[test]
    fn what_is_repeated_of_a_value_is_short() {
        let long = json!({ "genesis_time": "x".repeat(100_000) });
        let message = GenesisDoc::check(&long).unwrap_err().to_string();
        assert!(message.len() < 300 && message.contains("..."), "{message}");
    }
}
