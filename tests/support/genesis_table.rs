//! Genesis files, each with one thing changed, and whether a node may begin with it.
//!
//! `dseq genesis verify` is held against this table without a network, CometBFT itself in the end-to-end tests: what it
//! refuses must be refused here, and what is good here it must take.

use serde_json::{Value, json};

/// What becomes of a genesis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Good for both.
    Good,
    /// CometBFT ends at once; we say so before, in words that contain these.
    Refused(&'static str),
    /// CometBFT would take it, or not end at once; we refuse it, in words that contain these.
    Ours(&'static str),
}

pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// The place of the change, as a JSON pointer.
    pub(crate) at: &'static str,
    /// What is put there; nothing: it is removed.
    pub(crate) value: Option<Value>,
    pub(crate) verdict: Verdict,
}

impl Case {
    /// The genesis with the change in it.
    pub(crate) fn apply(&self, good: &Value) -> Value {
        let mut edited = good.clone();
        let (parent, name) = self.at.rsplit_once('/').unwrap();
        let parent = edited.pointer_mut(parent).unwrap_or_else(|| panic!("no {}", self.at));
        match (parent, &self.value) {
            (Value::Object(members), Some(value)) => {
                members.insert(name.to_owned(), value.clone());
            }
            (Value::Object(members), None) => {
                members.remove(name);
            }
            (Value::Array(items), Some(value)) => items.insert(name.parse().unwrap(), value.clone()),
            _ => panic!("{}", self.at),
        }
        edited
    }
}

fn validator(key: &Value, power: &str) -> Value {
    json!({ "address": "", "pub_key": key, "power": power, "name": "" })
}

fn key(kind: &str, bytes: &[u8]) -> Value {
    json!({ "type": format!("tendermint/PubKey{kind}"), "value": data_encoding::BASE64.encode(bytes) })
}

/// For a genesis with one validator whose power is 10, blocks of 4 MiB and our default limits.
pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let mut case = |name, at, value: Option<Value>, verdict| cases.push(Case { name, at, value, verdict });
    document(&mut case);
    params(&mut case);
    validators(&mut case);
    cases
}

type Add<'a> = &'a mut dyn FnMut(&'static str, &'static str, Option<Value>, Verdict);

#[allow(clippy::too_many_lines, reason = "a table: one case after the other")]
fn document(case: Add<'_>) {
    use Verdict::{Good, Ours, Refused};
    case("as it is", "/chain_id", Some(json!("c")), Good);
    case("long chain id", "/chain_id", Some(json!("x".repeat(50))), Good);
    case("too long chain id", "/chain_id", Some(json!("x".repeat(51))), Refused("chain_id is 51 bytes long"));
    // 26 characters of two bytes each.
    case(
        "chain id counted in bytes",
        "/chain_id",
        Some(json!("é".repeat(26))),
        Refused("chain_id is 52 bytes"),
    );
    case(
        "empty chain id",
        "/chain_id",
        Some(json!("")),
        Refused("chain_id is \"\"; it must be a text of 1 to 50"),
    );
    case("no chain id", "/chain_id", None, Refused("chain_id is absent"));
    case(
        "chain id that is a number",
        "/chain_id",
        Some(json!(7)),
        Refused("chain_id is 7; it must be a text"),
    );

    case("no initial height", "/initial_height", None, Good);
    case("null initial height", "/initial_height", Some(Value::Null), Good);
    case("initial height 0", "/initial_height", Some(json!("0")), Good);
    case("later initial height", "/initial_height", Some(json!("1000000")), Good);
    case("negative initial height", "/initial_height", Some(json!("-1")), Refused("initial_height is -1"));
    case(
        "initial height without quotes",
        "/initial_height",
        Some(json!(1)),
        Refused("initial_height is the number 1; CometBFT wants 64-bit integers in quotes: \"1\""),
    );
    case("fraction", "/initial_height", Some(json!("1.5")), Refused("initial_height is \"1.5\""));
    case("plus sign", "/initial_height", Some(json!("+1")), Refused("initial_height is \"+1\""));
    case("leading zero", "/initial_height", Some(json!("01")), Refused("initial_height is \"01\""));
    case("empty number", "/initial_height", Some(json!("")), Refused("initial_height is \"\""));
    case(
        "more than int64",
        "/initial_height",
        Some(json!("9223372036854775808")),
        Refused("initial_height is \"92"),
    );
    case(
        "no heights left",
        "/initial_height",
        Some(json!("9223372036854775807")),
        Refused("initial_height is 9223"),
    );

    case("time of an instant", "/genesis_time", Some(json!("2024-02-29T23:59:59.123456789Z")), Good);
    case("no time", "/genesis_time", None, Ours("genesis_time is absent; it must be an RFC 3339 time"));
    case("zero time", "/genesis_time", Some(json!("0001-01-01T00:00:00Z")), Ours("genesis_time is \"0001-"));
    case(
        "time with an offset",
        "/genesis_time",
        Some(json!("2026-01-31T12:00:00+00:00")),
        Refused("genesis_time"),
    );
    case("time of no day", "/genesis_time", Some(json!("2025-02-29T00:00:00Z")), Refused("genesis_time"));
    case("time of no hour", "/genesis_time", Some(json!("2026-01-31T24:00:00Z")), Refused("genesis_time"));
    case("leap second", "/genesis_time", Some(json!("2016-12-31T23:59:60Z")), Refused("genesis_time"));
    case("date", "/genesis_time", Some(json!("2026-01-31")), Refused("genesis_time is \"2026-01-31\""));
    case("time that is a number", "/genesis_time", Some(json!(1_700_000_000)), Refused("genesis_time is 17"));
    case("empty time", "/genesis_time", Some(json!("")), Refused("genesis_time is \"\""));

    case("no app hash", "/app_hash", None, Good);
    case("empty app hash", "/app_hash", Some(json!("")), Good);
    case("app hash of half a byte", "/app_hash", Some(json!("abc")), Refused("app_hash is \"abc\""));
    case("app hash that is no hex", "/app_hash", Some(json!("xy")), Refused("app_hash is \"xy\""));
    case("unknown member", "/consensus", Some(json!({})), Good);
    case("no app state", "/app_state", None, Ours("this genesis was not made for dseq"));
    case(
        "app state of others",
        "/app_state",
        Some(json!({"auth": {}})),
        Ours("this genesis was not made for dseq"),
    );
}

#[allow(clippy::too_many_lines, reason = "a table: one case after the other")]
fn params(case: Add<'_>) {
    use Verdict::{Good, Ours, Refused};
    case("no consensus params", "/consensus_params", None, Good);
    case(
        "empty consensus params",
        "/consensus_params",
        Some(json!({})),
        Refused("block.max_bytes is absent"),
    );
    case("params that are a list", "/consensus_params", Some(json!([])), Refused("must be an object"));
    case("no block", "/consensus_params/block", None, Refused("consensus_params.block.max_bytes is absent"));
    for (name, at, value, verdict) in [
        ("largest block", "/consensus_params/block/max_bytes", "104857600", Good),
        ("too large block", "/consensus_params/block/max_bytes", "104857601", Refused("from 1 to 104857600")),
        (
            "empty block",
            "/consensus_params/block/max_bytes",
            "0",
            Refused("consensus_params.block.max_bytes is 0"),
        ),
        ("negative block", "/consensus_params/block/max_bytes", "-2", Refused("block.max_bytes is -2")),
        (
            "unbounded block",
            "/consensus_params/block/max_bytes",
            "-1",
            Ours("max_bytes is -1, no bound at all"),
        ),
        (
            "block without room",
            "/consensus_params/block/max_bytes",
            "1048576",
            Ours("limits.tx_bytes_max is 1048576, but a block has room for a transaction of at most"),
        ),
        (
            "gas",
            "/consensus_params/block/max_gas",
            "1000000",
            Ours("block.max_gas is 1000000; it must be -1"),
        ),
        ("no gas", "/consensus_params/block/max_gas", "0", Ours("block.max_gas is 0; it must be -1")),
        ("negative gas", "/consensus_params/block/max_gas", "-2", Refused("block.max_gas is -2")),
        ("no evidence", "/consensus_params/evidence/max_bytes", "0", Good),
        ("evidence as large as a block", "/consensus_params/evidence/max_bytes", "4194304", Good),
        (
            "evidence over a block",
            "/consensus_params/evidence/max_bytes",
            "4194305",
            Refused("from 0 to 4194304"),
        ),
        (
            "negative evidence",
            "/consensus_params/evidence/max_bytes",
            "-1",
            Refused("evidence.max_bytes is -1"),
        ),
        ("no age", "/consensus_params/evidence/max_age_num_blocks", "0", Refused("max_age_num_blocks is 0")),
        ("no duration", "/consensus_params/evidence/max_age_duration", "0", Refused("max_age_duration is 0")),
        (
            "duration as people write it",
            "/consensus_params/evidence/max_age_duration",
            "48h",
            Refused("\"48h\""),
        ),
        ("app version", "/consensus_params/version/app", "18446744073709551615", Good),
        ("negative app version", "/consensus_params/version/app", "-1", Refused("version.app is \"-1\"")),
        (
            "vote extensions",
            "/consensus_params/abci/vote_extensions_enable_height",
            "1",
            Ours("vote_extensions_enable_height is 1; it must be 0"),
        ),
        (
            "negative vote extensions",
            "/consensus_params/abci/vote_extensions_enable_height",
            "-1",
            Refused("vote_extensions_enable_height is -1"),
        ),
    ] {
        case(name, at, Some(json!(value)), verdict);
    }
    case(
        "block without quotes",
        "/consensus_params/block/max_bytes",
        Some(json!(4_194_304)),
        Refused(
            "block.max_bytes is the number 4194304; CometBFT wants 64-bit integers in quotes: \"4194304\"",
        ),
    );
    case("no max gas", "/consensus_params/block/max_gas", None, Ours("block.max_gas is 0; it must be -1"));
    case("no evidence params", "/consensus_params/evidence", None, Refused("max_age_num_blocks is absent"));
    case("no version", "/consensus_params/version", None, Good);
    case("no abci", "/consensus_params/abci", None, Good);
    case("no key types", "/consensus_params/validator", None, Refused("pub_key_types is absent"));
    let types = "/consensus_params/validator/pub_key_types";
    case("empty key types", types, Some(json!([])), Refused("pub_key_types is empty"));
    case("two key types", types, Some(json!(["ed25519", "secp256k1"])), Good);
    case(
        "unknown key type",
        types,
        Some(json!(["ed25519", "rsa"])),
        Refused("pub_key_types is [\"ed25519\",\"rsa\"]"),
    );
    case("key types that are a text", types, Some(json!("ed25519")), Refused("pub_key_types is \"ed25519\""));
}

fn validators(case: Add<'_>) {
    use Verdict::{Good, Refused};
    case("no validators", "/validators", None, Refused("validators is absent"));
    case("empty validators", "/validators", Some(json!([])), Refused("validators is empty"));
    case("validators that are an object", "/validators", Some(json!({})), Refused("validators is an object"));
    case("second validator", "/validators/1", Some(validator(&key("Ed25519", &[3; 32]), "1")), Good);
    let secp = key("Secp256k1", &[2; 33]);
    case("key of another type", "/validators/1", Some(validator(&secp, "1")), Good);
    let mut addressed = validator(&secp, "1");
    addressed["address"] = json!("00".repeat(20));
    case(
        "address that cannot be checked",
        "/validators/1",
        Some(addressed),
        Refused("dseq cannot check the address"),
    );
    let second = |power: &str| Some(validator(&key("Ed25519", &[3; 32]), power));
    case("no power", "/validators/1", second("0"), Refused("validators[1].power is 0"));
    case("negative power", "/validators/1", second("-1"), Refused("validators[1].power is -1"));
    case("most power", "/validators/1", second("1152921504606846965"), Good);
    case(
        "too much together",
        "/validators/1",
        second("1152921504606846966"),
        Refused("which makes the sum of all"),
    );
    case(
        "too much power",
        "/validators/1",
        second("1152921504606846976"),
        Refused("validators[1].power is 1152"),
    );
    case(
        "power that overflows",
        "/validators/1",
        second("9223372036854775807"),
        Refused("validators[1].power is 9"),
    );
    let same = json!([validator(&key("Ed25519", &[3; 32]), "1"), validator(&key("Ed25519", &[3; 32]), "2")]);
    case("validator twice", "/validators", Some(same), Refused("validators[1] has the same key as another"));
    let short = Some(validator(&key("Ed25519", &[3; 31]), "1"));
    case("short key", "/validators/1", short, Refused("the base64 of a key of 32 bytes"));
    let unknown = Some(validator(&key("Rsa", &[3; 32]), "1"));
    case(
        "unknown key",
        "/validators/1",
        unknown,
        Refused("validators[1].pub_key.type is \"tendermint/PubKeyRsa\""),
    );
    case("key that is a text", "/validators/0/pub_key", Some(json!("AAAA")), Refused("pub_key is \"AAAA\""));
    case("no key", "/validators/0/pub_key", None, Refused("validators[0].pub_key.type is absent"));
    case(
        "wrong address",
        "/validators/0/address",
        Some(json!("00".repeat(20))),
        Refused("which is its key's"),
    );
    case("address that is no hex", "/validators/0/address", Some(json!("zz")), Refused("address is \"zz\""));
    case("no address", "/validators/0/address", None, Good);
    case("name that is a number", "/validators/0/name", Some(json!(7)), Refused("validators[0].name is 7"));
    case("power without quotes", "/validators/0/power", Some(json!(10)), Refused("power is the number 10"));
}
