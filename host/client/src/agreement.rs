//! Comparing nodes, cheaply: the hash of the whole sequence where nodes have equally much, and the last bytes that all have.

use futures_util::future::join_all;

use crate::Address;
use crate::answers::Status;
use crate::client::Client;
use crate::error::Error;
use crate::pull::{OVERLAP_BYTES_MAX, Trouble};

/// What nodes agree on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agreement {
    /// The length that all nodes which answer have committed.
    pub length: u64,
    /// How many of the last bytes before it were compared.
    pub compared: u64,
    /// The nodes that were compared.
    pub nodes: Vec<Address>,
}

impl Client {
    /// Compares all nodes that answer: the hashes of those with equally long sequences, and up to 4096 bytes before the
    /// shortest one's end.
    ///
    /// # Errors
    ///
    /// [`Error::Disagree`] and [`Error::RootsDisagree`] when they hold different bytes, [`Error::Unreachable`] when none
    /// answers.
    pub async fn compare(&self) -> Result<Agreement, Error> {
        let inner = &self.inner;
        let ask = |node: usize| async move {
            (node, inner.status_of(&inner.nodes[node], inner.options.answer_timeout).await)
        };
        let (mut found, mut failures) = (Vec::new(), Vec::new());
        for (node, status) in join_all((0..inner.nodes.len()).map(ask)).await {
            match status {
                Ok(status) => found.push((node, status)),
                Err(why) => failures.push(inner.failure(node, why)),
            }
        }
        let Some(length) = found.iter().map(|(_, status)| status.length).min() else {
            return Err(Error::of(failures));
        };
        self.compare_roots(&found)?;
        let count = length.min(OVERLAP_BYTES_MAX as u64);
        if count > 0 {
            self.compare_bytes(&found, length - count, count).await?;
        }
        let nodes = found.iter().map(|(node, _)| inner.nodes[*node].clone()).collect();
        Ok(Agreement { length, compared: count, nodes })
    }

    fn compare_roots(&self, found: &[(usize, Status)]) -> Result<(), Error> {
        for (at, (first, one)) in found.iter().enumerate() {
            let differs = |(_, other): &&(usize, Status)| {
                one.length == other.length && one.sequence_root != other.sequence_root
            };
            if let Some((second, _)) = found[at..].iter().find(differs) {
                let [first, second] = [first, second].map(|node| self.inner.nodes[*node].clone());
                return Err(Error::RootsDisagree { length: one.length, first, second });
            }
        }
        Ok(())
    }

    async fn compare_bytes(&self, found: &[(usize, Status)], from: u64, count: u64) -> Result<(), Error> {
        let mut first = None;
        for (node, _) in found {
            let bytes = match self.inner.bytes_at(*node, from, count).await {
                Ok(bytes) => bytes,
                Err(Trouble::Fatal(err)) => return Err(err),
                // It answered just now; what it does not answer any more can't be compared.
                Err(_) => continue,
            };
            let Some((of, expected)) = &first else {
                first = Some((*node, bytes));
                continue;
            };
            if let Some(at) = bytes.iter().zip(expected).position(|(one, other)| one != other) {
                let [first, second] = [*of, *node].map(|node| self.inner.nodes[node].clone());
                return Err(Error::Disagree { offset: from.saturating_add(at as u64), first, second });
            }
        }
        Ok(())
    }
}
