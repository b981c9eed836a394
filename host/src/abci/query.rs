//! `abci_query`: reading the committed log through the engine's RPC.
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
use crate::app::{CODESPACE, Code, Refusal};
use crate::excerpt::Excerpt;
use crate::sequence::{Committed, ReadError, Reader};

const PATHS: &str = "/status, /record/<index>, /offset/<offset>";

/// Why a query has no answer.
struct Refused {
    code: Code,
    message: String,
}

/// Answers a query; `unready` says why a new transaction would be refused now, whatever its bytes.
pub(super) fn answer(
    reader: &Reader,
    unready: &dyn Fn() -> Option<Refusal>,
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
    unready: &dyn Fn() -> Option<Refusal>,
    path: &str,
) -> Result<ResponseQuery, Refused> {
    if path == "/status" {
        return Ok(status(committed, unready().as_ref()));
    }
    if let Some(index) = path.strip_prefix("/record/") {
        let index = number(path, index)?;
        return record(reader, committed, index);
    }
    if let Some(offset) = path.strip_prefix("/offset/") {
        let (offset, length) = (number(path, offset)?, committed.head.length());
        // The reader may have seen a later block by now; the answer is of the height it names.
        if offset >= length {
            return Err(ReadError::NoSuchOffset { offset, length }.into());
        }
        let (index, _) = reader.entry_at(offset)?;
        return record(reader, committed, index);
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

fn status(committed: &Committed, unready: Option<&Refusal>) -> ResponseQuery {
    let status = json!({
        "height": committed.head.height().0,
        "length": committed.head.length(),
        "records": committed.head.count(),
        "sequence_root": committed.head.sequence_root().to_string(),
        "records_root": committed.head.records_root().to_string(),
        "app_hash": committed.app_hash.to_string(),
        "pipeline": committed.pipeline.to_string(),
        "ready": unready.is_none(),
        "reason": unready.map(|refusal| &refusal.message),
        "disk_low": unready.is_some_and(|refusal| refusal.code == Code::DiskLow.value()),
    });
    ResponseQuery { value: Bytes::from(status.to_string()), ..Default::default() }
}

fn record(reader: &Reader, committed: &Committed, index: u64) -> Result<ResponseQuery, Refused> {
    let count = committed.head.count();
    if index >= count {
        return Err(ReadError::NoSuchRecord { index, count }.into());
    }
    let (entry, bytes) = reader.record(index)?;
    let place = json!({
        "index": index,
        "offset": entry.offset.0,
        "length": entry.length,
        "height": entry.height.0,
        "tx_hash": entry.tx_hash.to_string(),
        "blake3": entry.record_hash.to_string(),
    });
    Ok(ResponseQuery {
        value: Bytes::from(bytes),
        info: place.to_string(),
        index: to_i64(index),
        ..Default::default()
    })
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
