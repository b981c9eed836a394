//! A node's routes over a real log to which a test commits blocks.

use dseq::api::{self, Limits, Running, Tail};
use dseq::sequence::{HashedRecord, Log, Staging};
use dseq::types::{AppHash, Height, PipelineId, TxHash};

use super::client::Client;
pub(crate) use super::state::state;
use super::{limits, serve, until};

pub(crate) struct Node {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) log: Log,
    pub(crate) http: Running,
    tail: Tail,
    height: u64,
}

/// A node without blocks.
pub(crate) fn node() -> Node {
    node_with(limits())
}

pub(crate) fn node_with(limits: Limits) -> Node {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::open(dir.path()).unwrap();
    let (reader, mut tail) = (log.reader(), None);
    let http = serve(limits, |stopping| {
        let state = state(reader, stopping);
        tail = Some(state.tail.clone());
        api::router(state)
    });
    Node { dir, log, http, tail: tail.unwrap(), height: 0 }
}

impl Node {
    /// Commits a block, and returns when followers have been told.
    pub(crate) fn commit<R: AsRef<[u8]>>(&mut self, records: &[R]) {
        self.commit_untold(records);
        until("told", || self.tail.now().prefix().height() == Height(self.height));
    }

    pub(crate) fn commit_untold<R: AsRef<[u8]>>(&mut self, records: &[R]) {
        self.height += 1;
        commit(&mut self.log, self.height, records);
    }

    pub(crate) fn connect(&self) -> Client {
        Client::connect(self.http.address())
    }
}

pub(crate) fn commit<R: AsRef<[u8]>>(log: &mut Log, height: u64, records: &[R]) {
    let mut staging = Staging::begin(log.head(), Height(height));
    for record in records {
        let record = record.as_ref();
        staging.push(TxHash::of(record), &HashedRecord::of(record.to_vec())).unwrap();
    }
    log.commit(&staging.finish(), AppHash::default(), PipelineId::default()).unwrap();
}
