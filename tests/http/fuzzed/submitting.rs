//! Bodies of transactions and of batches.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use serde_json::Value;

use super::{Asked, Node, TX_BYTES_MAX, fuzz};
use dseq::types::TxHash;

/// A transaction: one of the log, one that is refused, one that is new, one that is too long.
fn tx() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just(b"one".to_vec()),
        vec(any::<u8>(), 0..20).prop_map(|rest| [b"r", &rest[..]].concat()),
        vec(any::<u8>(), 1..TX_BYTES_MAX),
        vec(any::<u8>(), TX_BYTES_MAX..TX_BYTES_MAX + 3),
    ]
}

/// What a node says of a transaction, as the state in a batch.
fn state(node: &Node, tx: &[u8]) -> &'static str {
    match () {
        () if tx.len() > TX_BYTES_MAX => "rejected",
        () if node.records.iter().any(|held| held.text.as_bytes() == tx) => "committed",
        () if tx.starts_with(b"r") => "rejected",
        () => "pending",
    }
}

/// Parameters, and whether they are right. Waits for a commit are over soon: there is none.
fn params() -> impl Strategy<Value = (Vec<(String, String)>, bool)> {
    let good = [
        &[("wait", "checked")][..],
        &[("wait", "committed"), ("timeout", "0.02")],
        &[("timeout", "0.02")],
        &[("timeout", "0.020"), ("wait", "checked")],
    ];
    let bad = [
        &[("wait", "")][..],
        &[("wait", "Committed")],
        &[("timeout", "-1")],
        &[("timeout", "61"), ("wait", "none")],
        &[("timeout", "1e1")],
        &[("timeout", "")],
        &[("wait", "none"), ("wait", "none")],
        &[("wait", "none"), ("for", "1")],
    ];
    let good = proptest::sample::select(good.to_vec()).prop_map(|params| (params, true));
    let bad = proptest::sample::select(bad.to_vec()).prop_map(|params| (params, false));
    prop_oneof![3 => good, 1 => bad].prop_map(|(params, is_right)| {
        let owned = params.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        (owned.collect(), is_right)
    })
}

/// Whether the time to wait may be over, on a busy machine, before it is known what the model says: then it is pending.
fn hurries(query: &[(String, String)]) -> bool {
    query.iter().any(|(name, _)| name == "timeout")
}

#[test]
fn what_is_said_of_a_transaction_is_what_the_model_says() {
    fuzz(400, (tx(), params()), |node, (tx, (query, is_right))| {
        let hurries = hurries(&query);
        let asked = Asked {
            method: "POST",
            path: "/v1/submit".to_owned(),
            query,
            body: tx.clone(),
            ..Asked::default()
        };
        let Some(answer) = node.ask(&asked, false)? else { return Ok(()) };
        let expected = match state(node, &tx) {
            _ if !is_right => (400, "bad-parameter"),
            "rejected" if tx.len() > TX_BYTES_MAX => (413, "body-too-large"),
            "rejected" => (422, "rejected"),
            "committed" => (200, ""),
            _ => (202, ""),
        };
        let problem = answer.problem();
        if is_right && hurries && answer.status == 202 {
            return Ok(());
        }
        prop_assert_eq!((answer.status, problem.as_str()), expected);
        let document = answer.json();
        if answer.status < 300 || answer.status == 422 {
            let hash = TxHash::of(&tx).to_string();
            prop_assert_eq!(document["tx_hash"].as_str(), Some(hash.as_str()));
        }
        if answer.status == 200 {
            prop_assert_eq!(
                (&document["index"], &document["duplicate"]),
                (&Value::from(1), &Value::from(true))
            );
        }
        Ok(())
    });
}

/// How a transaction is written in a batch.
#[derive(Clone, Copy, Debug)]
enum Form {
    Data,
    /// As data, if it is no text.
    Text,
    /// With an empty line before it.
    Spaced,
}

fn line(tx: &[u8], form: Form) -> String {
    let data = || format!("{{\"data\":\"{}\"}}\n", data_encoding::BASE64.encode(tx));
    match (form, std::str::from_utf8(tx)) {
        (Form::Text, Ok(text)) => format!("{}\n", serde_json::json!({ "text": text })),
        (Form::Spaced, _) => format!("\n \r\n{}", data()),
        _ => data(),
    }
}

/// What makes a body one that is refused whole.
#[derive(Clone, Debug)]
enum Damage {
    CutBytes(usize),
    Append(Vec<u8>),
    NoType,
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        (1..4_usize).prop_map(Damage::CutBytes),
        prop_oneof![
            Just(b"{}\n".to_vec()),
            Just(b"{\"text\":1}\n".to_vec()),
            Just(b"{\"data\":\"=\"}\n".to_vec()),
            Just(vec![0xff; 5])
        ]
        .prop_map(Damage::Append),
        Just(Damage::NoType),
    ]
}

#[test]
fn a_batch_has_a_line_for_each_transaction_or_is_refused_whole() {
    let form = proptest::sample::select(&[Form::Data, Form::Text, Form::Spaced][..]);
    let strategy = (vec((tx(), form), 0..8), any::<bool>(), params(), option::weighted(0.3, damage()));
    fuzz(400, strategy, |node, (txs, as_lines, (query, is_right), damage)| {
        let mut body: Vec<u8> = if as_lines {
            txs.iter().flat_map(|(tx, form)| line(tx, *form).into_bytes()).collect()
        } else {
            let frame = |tx: &[u8]| [&u32::try_from(tx.len()).unwrap().to_le_bytes()[..], tx].concat();
            txs.iter().flat_map(|(tx, _)| frame(tx)).collect()
        };
        let media_type = if as_lines { "application/x-ndjson" } else { "application/octet-stream" };
        let mut headers = vec![("content-type", media_type.to_owned())];
        let refused = match damage {
            None => None,
            Some(Damage::NoType) => {
                headers.clear();
                Some((415, "unsupported-media-type"))
            }
            // A line may end without a line feed, and nothing can't be cut; a frame of no bytes is no other frame's end.
            Some(Damage::CutBytes(count)) => {
                prop_assume!(!txs.is_empty() && (!as_lines || count > 1));
                body.truncate(body.len() - count);
                Some((400, "bad-batch"))
            }
            Some(Damage::Append(bytes)) => {
                body.extend_from_slice(&bytes);
                // Other bytes than these may be frames.
                prop_assume!(as_lines || bytes[0] == 0xff);
                Some((400, "bad-batch"))
            }
        };
        let hurries = hurries(&query);
        let asked = Asked { method: "POST", path: "/v1/submit/batch".to_owned(), query, headers, body };
        let Some(answer) = node.ask(&asked, false)? else { return Ok(()) };
        let refused = if is_right { refused } else { Some((400, "bad-parameter")) };
        if let Some(refused) = refused {
            let problem = answer.problem();
            prop_assert_eq!((answer.status, problem.as_str()), refused);
            return Ok(());
        }
        prop_assert_eq!(answer.status, 200);
        let lines: Vec<&[u8]> = answer.body.split_inclusive(|byte| *byte == b'\n').collect();
        prop_assert_eq!(lines.len(), txs.len());
        for ((tx, _), line) in txs.iter().zip(lines) {
            let line: Value = serde_json::from_slice(line).unwrap();
            let hash = TxHash::of(tx).to_string();
            prop_assert_eq!(line["tx_hash"].as_str(), Some(hash.as_str()));
            if !(hurries && line["state"] == "pending") {
                prop_assert_eq!(line["state"].as_str(), Some(state(node, tx)), "{}", line);
            }
        }
        Ok(())
    });
}
