//! `abci_query`: reading the committed log through the engine's RPC.
//!
//! | path | answer |
//! |---|---|
//! | `/status` | `value`: JSON with height, length, records, both roots, app hash, pipeline id |
//! | `/record/<index>` | `value`: the record's bytes; `info`: JSON with where it lies; `index`: its index |
//! | `/offset/<offset>` | the same, for the record that holds the byte at this offset |

use bytes::Bytes;
use serde_json::json;
use tendermint_proto::v0_38::abci::{RequestQuery, ResponseQuery};

use super::convert::{height_from_wire, height_to_wire, to_i64};
use crate::app::{CODESPACE, Code};
use crate::sequence::{Committed, Entry, ReadError, Reader};

const PATHS: &str = "/status, /record/<index>, /offset/<offset>";

/// Why a query has no answer.
struct Refused {
    code: Code,
    message: String,
}

pub(super) fn answer(reader: &Reader, request: &RequestQuery) -> ResponseQuery {
    let committed = reader.committed();
    let height = height_to_wire(committed.head.height());
    let answered =
        refuse_unsupported(&committed, request).and_then(|()| route(reader, &committed, &request.path));
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

fn route(reader: &Reader, committed: &Committed, path: &str) -> Result<ResponseQuery, Refused> {
    if path == "/status" {
        return Ok(status(committed));
    }
    if let Some(index) = path.strip_prefix("/record/") {
        let index = number(path, index)?;
        return record(reader, index, reader.entry(index)?);
    }
    if let Some(offset) = path.strip_prefix("/offset/") {
        let (index, entry) = reader.entry_at(number(path, offset)?)?;
        return record(reader, index, entry);
    }
    let message = format!("unknown path {path:?}; the paths are {PATHS}");
    Err(Refused { code: Code::UnknownPath, message })
}

fn number(path: &str, text: &str) -> Result<u64, Refused> {
    text.parse().map_err(|_| Refused {
        code: Code::BadArgument,
        message: format!("{text:?} in path {path:?} is not a number from 0 to {}", u64::MAX),
    })
}

fn status(committed: &Committed) -> ResponseQuery {
    let status = json!({
        "height": committed.head.height().0,
        "length": committed.head.length(),
        "records": committed.head.count(),
        "sequence_root": committed.head.sequence_root().to_string(),
        "records_root": committed.head.records_root().to_string(),
        "app_hash": committed.app_hash.to_string(),
        "pipeline": committed.pipeline.to_string(),
    });
    ResponseQuery { value: Bytes::from(status.to_string()), ..Default::default() }
}

fn record(reader: &Reader, index: u64, entry: Entry) -> Result<ResponseQuery, Refused> {
    let mut bytes = vec![0; usize::try_from(entry.length).unwrap_or(0)];
    reader.read(entry.offset.0, &mut bytes)?;
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
            ReadError::Io(_) => Code::ReadFailed,
            ReadError::NoSuchRecord { .. } | ReadError::NoSuchOffset { .. } => Code::NotFound,
        };
        Self { code, message: error.to_string() }
    }
}
