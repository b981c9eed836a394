//! Transactions, results and hashes as a scenario writes them.

use bytes::Bytes;
use data_encoding::HEXLOWER;
use serde_json::Value;
use tendermint_proto::v0_38::abci::ExecTxResult;

/// Longer lists are cut: no scenario is about the hundredth transaction.
const LISTED_MAX: usize = 10;

pub(super) fn app_hash(hash: &Bytes) -> String {
    format!("app hash {}", HEXLOWER.encode(hash))
}

/// Receipt of an accepted transaction, or why it was not.
pub(super) fn outcome(result: &ExecTxResult) -> String {
    let accepted = result.code == 0;
    assert_eq!((!result.data.is_empty(), result.events.len()), (accepted, usize::from(accepted)));
    if !accepted {
        return format!("{} {}: {}", result.codespace, result.code, result.log);
    }
    let fields: Vec<u64> =
        result.data.chunks(8).map(|field| u64::from_le_bytes(field.try_into().unwrap())).collect();
    let [height, index, offset, length] = fields[..] else {
        panic!("{} bytes of receipt", result.data.len())
    };
    format!("{height}/{index}/{offset}+{length}")
}

/// A line for each transaction.
pub(super) fn table(txs: &[Bytes], outcomes: &[String]) -> String {
    let names: Vec<String> = txs.iter().map(tx_as_text).collect();
    let width = names.iter().map(String::len).max().unwrap_or(0);
    names.iter().zip(outcomes).map(|(name, outcome)| format!("{name:<width$}  {outcome}\n")).collect()
}

/// Transactions that were chosen from others.
pub(super) fn listed(chosen: &[Bytes], from: &[Bytes]) -> String {
    if chosen.is_empty() {
        return "nothing".to_owned();
    }
    if chosen.len() > LISTED_MAX {
        assert_eq!(chosen, &from[..chosen.len()]);
        return format!("the first {} of {}", chosen.len(), from.len());
    }
    chosen.iter().map(tx_as_text).collect::<Vec<_>>().join(" ")
}

pub(super) fn members(object: &Value) -> Vec<String> {
    object.as_object().unwrap().iter().map(|(name, value)| format!("{name}: {value}")).collect()
}

pub(super) fn bytes_as_text(bytes: &[u8]) -> String {
    match bytes {
        [first, rest @ ..] if rest.len() > 100 && rest.iter().all(|byte| byte == first) => {
            format!("{}*{}", first.escape_ascii(), bytes.len())
        }
        _ => format!("\"{}\", {} bytes", bytes.escape_ascii(), bytes.len()),
    }
}

fn tx_as_text(tx: &Bytes) -> String {
    match tx.first() {
        None => "\"\"".to_owned(),
        Some(first) if tx.len() > 20 => format!("{}*{}", first.escape_ascii(), tx.len()),
        Some(_) => tx.escape_ascii().to_string(),
    }
}

pub(super) fn parse_txs(words: &[&str]) -> Vec<Bytes> {
    words.iter().flat_map(|word| parse_tx(word)).map(Bytes::from).collect()
}

fn parse_tx(word: &str) -> Vec<Vec<u8>> {
    if word == "\"\"" {
        return vec![Vec::new()];
    }
    if let Some((text, times)) = word.split_once('*') {
        return vec![text.repeat(times.parse().unwrap()).into_bytes()];
    }
    if let Some((text, numbers)) = word.split_once('{') {
        let (first, last) = numbers.trim_end_matches('}').split_once("..").unwrap();
        let (first, last): (u64, u64) = (first.parse().unwrap(), last.parse().unwrap());
        return (first..=last).map(|number| format!("{text}{number}").into_bytes()).collect();
    }
    vec![word.as_bytes().to_vec()]
}

/// The text with the first 8 digits in place of each hash.
pub(super) fn with_short_hashes(text: &str) -> String {
    let hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
    let mut short = String::new();
    let mut rest = text;
    while let Some(start) = rest.find(hex) {
        let digits = rest[start..].find(|c| !hex(c)).unwrap_or(rest.len() - start);
        let shown = if digits == 64 { 8 } else { digits };
        short.push_str(&rest[..start + shown]);
        rest = &rest[start + digits..];
    }
    short + rest
}
