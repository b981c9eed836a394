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
use crate::app::{CODESPACE, Code, Refusal, Status};
use crate::excerpt::Excerpt;
use crate::sequence::{Committed, FoundRecord, ReadError, Reader};

const PATHS: &str = "/status, /record/<index>, /offset/<offset>";

/// Why a query has no answer.
struct Refused {
    code: Code,
    message: String,
}

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
        Err(Refused { code, message }) => ResponseQuery {
            code: code.value(),
            codespace: CODESPACE.to_owned(),
            log: message,
            height,
            ..Default::default()
        },
    }
}

fn refuse_unsupported(committed: &Committed, request: &RequestQuery) -> Result<(), Refused> {
    let latest = committed.head.height();
    let unsupported = |message| Err(Refused { code: Code::Unsupported, message });
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
) -> Result<ResponseQuery, Refused> {
    if path == "/status" {
        return Ok(status(&Status::of(committed, unready())));
    }
    if let Some(index) = path.strip_prefix("/record/") {
        return Ok(record(reader.find_record(committed, number(path, index)?)?));
    }
    if let Some(offset) = path.strip_prefix("/offset/") {
        return Ok(record(reader.find_offset(committed, number(path, offset)?)?));
    }
    let message = format!("unknown path {:?}; the paths are {PATHS}", Excerpt::of(path));
    Err(Refused { code: Code::UnknownPath, message })
}

fn number(path: &str, text: &str) -> Result<u64, Refused> {
    // Digits alone: Rust would take a plus sign as well.
    let number = text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten();
    number.ok_or_else(|| Refused {
        code: Code::BadArgument,
        message: format!(
            "{:?} in path {:?} is not a number from 0 to {}",
            Excerpt::of(text),
            Excerpt::of(path),
            u64::MAX
        ),
    })
}

fn status(status: &Status) -> ResponseQuery {
    ResponseQuery { value: Bytes::from(json!(status).to_string()), ..Default::default() }
}

fn record(FoundRecord { place, bytes }: FoundRecord) -> ResponseQuery {
    ResponseQuery {
        value: Bytes::from(bytes),
        info: json!(place).to_string(),
        index: to_i64(place.index),
        ..Default::default()
    }
}

impl From<ReadError> for Refused {
    fn from(error: ReadError) -> Self {
        let code = match error {
            ReadError::Io(_) | ReadError::Damaged { .. } => Code::ReadFailed,
            ReadError::NoSuchRecord { .. } | ReadError::NoSuchOffset { .. } => Code::NotFound,
        };
        Self { code, message: error.to_string() }
    }
}
