//! `abci_query`: what the log and the node say, through the engine's RPC.
//!
//! | path | answer |
//! |---|---|
//! | `/status` | `value`: JSON with height, length, records, both roots, app hash, pipeline id; `ready`: whether a new transaction would be looked at now, and if not, the `reason` (else `null`); `disk_low`: whether the disk is nearly full |
//! | `/record/<index>` | `value`: the record's bytes; `info`: JSON with where it lies; `index`: its index |
//! | `/offset/<offset>` | the same, for the record that holds the byte at this offset |
//! | `/tx/<hash>` | `value`: JSON with what became of the transaction with this SHA-256: as `GET /v1/receipts/<hash>` answers it over HTTP |

use bytes::Bytes;
use serde_json::json;
use tendermint_proto::v0_38::abci::{RequestQuery, ResponseQuery};

use super::convert::{height_from_wire, height_to_wire, to_i64};
use crate::app::{Code, Refusal, Status};
use crate::excerpt::Excerpt;
use crate::receipts::{Document, Found, Known, PENDING_AGE_MAX, Receipts};
use crate::sequence::{Committed, FoundRecord, ReadError, Reader};
use crate::types::TxHash;

const PATHS: &str = "/status, /record/<index>, /offset/<offset>, /tx/<hash>";

/// Answers a query; `unready` says why a new transaction would be refused now, whatever its bytes.
pub(super) fn answer(
    reader: &Reader,
    receipts: Option<&Receipts>,
    unready: impl FnOnce() -> Option<Refusal>,
    request: &RequestQuery,
) -> ResponseQuery {
    let committed = reader.committed();
    let height = height_to_wire(committed.head.height());
    let answered = refuse_unsupported(&committed, request)
        .and_then(|()| route(reader, receipts, &committed, unready, &request.path));
    match answered {
        Ok(response) => ResponseQuery { height, ..response },
        Err(Refusal { code, codespace, message }) => {
            ResponseQuery { code, codespace, log: message, height, ..Default::default() }
        }
    }
}

fn refuse_unsupported(committed: &Committed, request: &RequestQuery) -> Result<(), Refusal> {
    let latest = committed.head.height();
    let unsupported = |message| Err(Refusal::by_host(Code::Unsupported, message));
    if request.prove {
        return unsupported("there are no proofs yet; ask without prove".to_owned());
    }
    if request.height != 0 && height_from_wire(request.height) != latest {
        return unsupported(format!(
            "only the latest height {latest} can be queried, not {}; ask without a height",
            request.height
        ));
    }
    Ok(())
}

fn route(
    reader: &Reader,
    receipts: Option<&Receipts>,
    committed: &Committed,
    unready: impl FnOnce() -> Option<Refusal>,
    path: &str,
) -> Result<ResponseQuery, Refusal> {
    if path == "/status" {
        return Ok(status(&Status::of(committed, unready())));
    }
    if let Some(index) = path.strip_prefix("/record/") {
        return record(reader.find_record(committed, number(path, index)?));
    }
    if let Some(offset) = path.strip_prefix("/offset/") {
        return record(reader.find_offset(committed, number(path, offset)?));
    }
    if let (Some(hash), Some(receipts)) = (path.strip_prefix("/tx/"), receipts) {
        return transaction(receipts, path, hash);
    }
    let message = format!("unknown path {:?}; the paths are {PATHS}", Excerpt::of(path));
    Err(Refusal::by_host(Code::UnknownPath, message))
}

fn number(path: &str, text: &str) -> Result<u64, Refusal> {
    // Digits alone: Rust would take a plus sign as well.
    let number = text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten();
    number.ok_or_else(|| {
        let (text, path) = (Excerpt::of(text), Excerpt::of(path));
        let message = format!("{text:?} in path {path:?} is not a number from 0 to {}", u64::MAX);
        Refusal::by_host(Code::BadArgument, message)
    })
}

fn transaction(receipts: &Receipts, path: &str, text: &str) -> Result<ResponseQuery, Refusal> {
    let hash = text.parse::<TxHash>().map_err(|err| {
        Refusal::by_host(Code::BadArgument, format!("the hash in path {:?}: {err}", Excerpt::of(path)))
    })?;
    let found = receipts.find(hash).map_err(unreadable)?;
    if let Some(document) = Document::of(hash, &found) {
        return Ok(ResponseQuery { value: Bytes::from(json!(document).to_string()), ..Default::default() });
    }
    let (code, message) = match found {
        Found { complete: false, .. } => (
            Code::IndexBuilding,
            "the index of transactions is being built; ask again in a few seconds".to_owned(),
        ),
        Found { known: Known::Overdue, .. } => {
            let seconds = PENDING_AGE_MAX.as_secs();
            let message = format!(
                "transaction {hash} was handed to CometBFT more than {seconds} s ago and is not committed: \
                 CometBFT may have lost it; submitting the same bytes again is safe"
            );
            (Code::NotFound, message)
        }
        _ => (Code::NotFound, format!("this node does not know transaction {hash}")),
    };
    Err(Refusal::by_host(code, message))
}

fn status(status: &Status) -> ResponseQuery {
    ResponseQuery { value: Bytes::from(json!(status).to_string()), ..Default::default() }
}

fn record(found: Result<FoundRecord, ReadError>) -> Result<ResponseQuery, Refusal> {
    let FoundRecord { place, bytes } = found.map_err(unreadable)?;
    Ok(ResponseQuery {
        value: Bytes::from(bytes),
        info: json!(place).to_string(),
        index: to_i64(place.index),
        ..Default::default()
    })
}

#[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` hands over")]
fn unreadable(error: ReadError) -> Refusal {
    let code = match error {
        ReadError::Io(_) | ReadError::Damaged { .. } => Code::ReadFailed,
        ReadError::NoSuchRecord { .. } | ReadError::NoSuchOffset { .. } => Code::NotFound,
    };
    Refusal::by_host(code, error.to_string())
}
