//! One node as a load test over HTTP sees it: `POST /v1/submit` answers when the transaction is committed, so that nothing has to
//! be followed. The client library decides what an answer, or a lost one, means.

use std::ops::Range;
use std::time::{Duration, Instant};

use dseq_client::{Error, Options, SubmitOptions, Submitted, Wait};
use futures_util::StreamExt;
use tokio::sync::Semaphore;
use tokio::time::timeout_at;

use super::client::{Answer, NoAnswer, Position, Seen};
use crate::excerpt::words;
use crate::node::address::Address;
use crate::sequence::Receipt;
use crate::types::{Height, Offset};

/// Maximum time for a connection to be made, and for an answer that is no transaction's.
const PATIENCE: Duration = Duration::from_secs(10);

/// A client of one node.
pub(super) struct HttpClient {
    address: Address,
    client: dseq_client::Client,
    /// One for each connection: each transaction that is under way holds one.
    permits: Semaphore,
    timeout: Duration,
}

impl HttpClient {
    /// A client that waits this long for what becomes of a transaction, with so many connections at most.
    pub(super) fn new(address: Address, connections_max: usize, timeout: Duration) -> Result<Self, NoAnswer> {
        let node = address.to_string().parse().map_err(|err| NoAnswer(words(&err)))?;
        let options =
            Options { connect_timeout: PATIENCE, answer_timeout: PATIENCE, retry_for: Duration::ZERO };
        let client = dseq_client::Client::with_options(vec![node], options).map_err(|err| no_answer(&err))?;
        Ok(Self { address, client, permits: Semaphore::new(connections_max), timeout })
    }

    pub(super) fn address(&self) -> &Address {
        &self.address
    }

    /// Hands a transaction to the node and waits for what becomes of it; `sent` is called when it leaves.
    pub(super) async fn submit(&self, tx: Vec<u8>, mut sent: impl FnMut()) -> Answer {
        let deadline = Instant::now() + self.timeout;
        let Ok(Ok(_permit)) = timeout_at(deadline.into(), self.permits.acquire()).await else {
            return Answer::Failed("all connections were in use all the time".to_owned());
        };
        sent();
        let timeout = deadline.saturating_duration_since(Instant::now());
        match self.client.submit(tx, SubmitOptions { wait: Wait::Committed, timeout }).await {
            Ok(Submitted::Committed { receipt, .. }) => Answer::Committed(read(&receipt)),
            Ok(Submitted::Pending { .. }) => Answer::Unknown("not committed in time".to_owned()),
            Ok(Submitted::Rejected(rejection)) => Answer::Rejected {
                codespace: rejection.codespace,
                code: rejection.code,
                words: words(&rejection.detail),
            },
            Err(Error::OutcomeUnknown { why, .. }) => Answer::Unknown(words(&why)),
            Err(Error::Refused { problem, .. }) => Answer::Failed(problem.name().to_owned()),
            Err(err) => Answer::Failed(words(&err)),
        }
    }

    /// How far the node has committed.
    pub(super) async fn position(&self) -> Result<Position, NoAnswer> {
        let status = self.client.status().await.map_err(|err| no_answer(&err))?;
        Ok(Position { height: status.height, records: status.records })
    }

    /// Records by their indexes.
    pub(super) async fn records(&self, indexes: Range<u64>) -> Result<Vec<Seen>, NoAnswer> {
        let count = indexes.end.saturating_sub(indexes.start);
        let mut records =
            Box::pin(self.client.records(indexes.start, count).await.map_err(|err| no_answer(&err))?);
        let mut all = Vec::new();
        while let Some(record) = records.next().await {
            let record = record.map_err(|err| no_answer(&err))?;
            let (receipt, tx_hash) = (read(&record.receipt), record.receipt.tx_hash);
            all.push(Seen { receipt, tx_hash, bytes: record.bytes.into() });
        }
        if all.len() as u64 == count {
            return Ok(all);
        }
        Err(NoAnswer(format!("{} of {count} records from {} on", all.len(), indexes.start)))
    }
}

fn read(receipt: &dseq_client::Receipt) -> Receipt {
    let dseq_client::Receipt { index, offset, length, height, .. } = *receipt;
    Receipt { height: Height(height), index, offset: Offset(offset), length }
}

fn no_answer(err: &Error) -> NoAnswer {
    match err {
        Error::Unexpected { what, .. } => {
            NoAnswer(format!("it does not answer as a dseq node does ({what})"))
        }
        err => NoAnswer(words(err)),
    }
}
