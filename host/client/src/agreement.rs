//! Comparing nodes, cheaply: the hash of the whole sequence where nodes have equally much, and the last bytes that all have.

use futures_util::future::join_all;

use crate::Address;
use crate::answers::Status;
use crate::client::{Client, Inner};
use crate::error::{Error, Why};
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
        let found = self.inner.statuses().await?;
        let length = found.iter().map(|(_, status)| status.length).min().unwrap_or_default();
        self.compare_roots(&found)?;
        let count = length.min(OVERLAP_BYTES_MAX as u64);
        let compared = match count {
            0 => found.iter().map(|(node, _)| *node).collect(),
            _ => self.compare_bytes(&found, length - count, count).await?,
        };
        let nodes = compared.into_iter().map(|node| self.inner.nodes[node].clone()).collect();
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

    /// Answers which nodes were compared.
    async fn compare_bytes(
        &self,
        found: &[(usize, Status)],
        from: u64,
        count: u64,
    ) -> Result<Vec<usize>, Error> {
        let (mut first, mut compared, mut failures) = (None, Vec::new(), Vec::new());
        for (node, _) in found {
            let asked = match self.inner.bytes_at(*node, from, count).await {
                Ok(bytes) => Ok(bytes),
                Err(Trouble::Fatal(err)) => return Err(err),
                Err(Trouble::Refusal(refusal)) => Err(refusal.why),
                Err(Trouble::Behind { .. } | Trouble::Slow(_)) => {
                    Err(Why::Unexpected("it lacks bytes that it had a moment ago".to_owned()))
                }
            };
            // It answered just now; what it does not answer any more can't be compared.
            let bytes = match asked {
                Ok(bytes) => bytes,
                Err(why) => {
                    failures.push(self.inner.failure(*node, why));
                    continue;
                }
            };
            compared.push(*node);
            let Some((of, expected)) = &first else {
                first = Some((*node, bytes));
                continue;
            };
            if let Some(at) = bytes.iter().zip(expected).position(|(one, other)| one != other) {
                let [first, second] = [*of, *node].map(|node| self.inner.nodes[node].clone());
                return Err(Error::Disagree { offset: from.saturating_add(at as u64), first, second });
            }
        }
        if compared.is_empty() { Err(Error::of(failures)) } else { Ok(compared) }
    }
}

impl Inner {
    /// How far each node is that answers.
    ///
    /// # Errors
    ///
    /// When none does.
    pub(crate) async fn statuses(&self) -> Result<Vec<(usize, Status)>, Error> {
        let ask = |node: usize| async move {
            (node, self.status_of(&self.nodes[node], self.options.answer_timeout).await)
        };
        let (mut found, mut failures) = (Vec::new(), Vec::new());
        for (node, status) in join_all((0..self.nodes.len()).map(ask)).await {
            match status {
                Ok(status) => found.push((node, status)),
                Err(why) => failures.push(self.failure(node, why)),
            }
        }
        if found.is_empty() { Err(Error::of(failures)) } else { Ok(found) }
    }
}
