//! `abci_query`: what the log and the node say, through the engine's RPC.
//!
//! | path | answer |
//! |---|---|
//! | `/status` | `value`: JSON with height, length, records, both roots, app hash, pipeline id; `ready`: whether a new transaction would be looked at now, and if not, the `reason` (else `null`); `disk_low`: whether the disk is nearly full |
//! | `/record/<index>` | `value`: the record's bytes; `info`: JSON with where it lies; `index`: its index |
//! | `/offset/<offset>` | the same, for the record that holds the byte at this offset |

use bytes::Bytes;
use serde_json::json;
use tendermint_proto::v0_38::abci::{RequestQuery, ResponseQuery};

use super::convert::{height_from_wire, height_to_wire, to_i64};
use crate::app::{Code, Refusal, Status};
use crate::excerpt::Excerpt;
use crate::sequence::{Committed, FoundRecord, ReadError, Reader};

const PATHS: &str = "/status, /record/<index>, /offset/<offset>";

/// Answers a query; `unready` says why a new transaction would be refused now, whatever its bytes.
pub(super) fn answer(
    reader: &Reader,
    unready: impl FnOnce() -> Option<Refusal>,
    request: &RequestQuery,
) -> ResponseQuery {
    let committed = reader.committed();
    let height = height_to_wire(committed.head.height());
    let answered = refuse_unsupported(&committed, request)
        .and_then(|()| route(reader, &committed, unready, &request.path));
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

fn status(status: &Status) -> ResponseQuery {
    ResponseQuery { value: Bytes::from(json!(status).to_string()), ..Default::default() }
}

fn record(found: Result<FoundRecord, ReadError>) -> Result<ResponseQuery, Refusal> {
    let FoundRecord { place, bytes } = found.map_err(|error| {
        let code = match error {
            ReadError::Io(_) | ReadError::Damaged { .. } => Code::ReadFailed,
            ReadError::NoSuchRecord { .. } | ReadError::NoSuchOffset { .. } => Code::NotFound,
        };
        Refusal::by_host(code, error.to_string())
    })?;
    Ok(ResponseQuery {
        value: Bytes::from(bytes),
        info: json!(place).to_string(),
        index: to_i64(place.index),
        ..Default::default()
    })
}
