//! The client: which node is asked, and what happens when it does not answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hyper::StatusCode;
use tokio::time::{Instant, sleep};

use crate::Address;
use crate::answers::{Pipeline, Status};
use crate::error::{Error, Failure, Why};
use crate::transport::{Answer, Http, Refusal, Request};

/// The first pause when no node could answer; each further one is twice as long.
const BACKOFF_MIN: Duration = Duration::from_millis(50);
/// The longest pause between two rounds of questions.
const BACKOFF_MAX: Duration = Duration::from_secs(2);
/// The longest pause that a node may ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(5);

/// Times that bound what a client waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// How long one node may take to accept a connection. Default: 2 s.
    pub connect_timeout: Duration,
    /// How long one node may take to begin its answer. Default: 10 s.
    pub answer_timeout: Duration,
    /// How long nodes are asked again after none of them could answer, with pauses between. Zero: each is asked once.
    /// Default: 3 s.
    pub retry_for: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(2),
            answer_timeout: Duration::from_secs(10),
            retry_for: Duration::from_secs(3),
        }
    }
}

/// A client of one network, by the addresses of one or several of its nodes.
///
/// It asks the first node. When a node does not answer, or cannot answer now, it goes on with the next one and stays there.
/// Clones share this choice and their connections.
#[derive(Clone)]
pub struct Client {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) http: Http,
    pub(crate) nodes: Vec<Address>,
    pub(crate) options: Options,
    /// The node that is asked first.
    preferred: AtomicUsize,
}

/// So much later, ten years at most: a clock need not reach further.
pub(crate) fn later(than: Instant, by: Duration) -> Instant {
    const TEN_YEARS: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
    than + by.min(TEN_YEARS)
}

/// Pauses between rounds of questions to all nodes.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    rounds: u32,
}

impl Backoff {
    /// The next pause; `asked_for` is what a node has asked for. Up to half as much is added at random, so that clients that were
    /// refused together do not come back together.
    pub(crate) fn next(&mut self, asked_for: Option<Duration>) -> Duration {
        let pause = BACKOFF_MIN.saturating_mul(1 << self.rounds.min(10)).min(BACKOFF_MAX);
        self.rounds = self.rounds.saturating_add(1);
        let least = asked_for.map_or(pause, |asked| asked.min(RETRY_AFTER_MAX).max(pause));
        least.mul_f64(1.0 + fastrand::f64() / 2.0)
    }
}

impl Client {
    /// A client of these nodes, each as `HOST:PORT`.
    ///
    /// # Errors
    ///
    /// When a text is no address, or there is none.
    pub fn new<A: AsRef<str>>(nodes: impl IntoIterator<Item = A>) -> Result<Self, Error> {
        let nodes: Result<Vec<Address>, _> = nodes.into_iter().map(|node| node.as_ref().parse()).collect();
        Self::with_options(nodes?, Options::default())
    }

    /// A client of these nodes.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn with_options(nodes: Vec<Address>, options: Options) -> Result<Self, Error> {
        if nodes.is_empty() {
            return Err(Error::NoNodes);
        }
        let (http, preferred) = (Http::new(&options), AtomicUsize::new(0));
        Ok(Self { inner: Arc::new(Inner { http, nodes, options, preferred }) })
    }

    /// The nodes, in the order in which they were given.
    #[must_use]
    pub fn nodes(&self) -> &[Address] {
        &self.inner.nodes
    }

    /// How far the network is, as the first node that answers says.
    ///
    /// # Errors
    ///
    /// When no node answers.
    pub async fn status(&self) -> Result<Status, Error> {
        self.inner.json("/v1/status").await
    }

    /// How far one node is.
    ///
    /// # Errors
    ///
    /// When it does not answer.
    pub async fn status_of(&self, node: &Address) -> Result<Status, Error> {
        let status = self.inner.status_of(node, self.inner.options.answer_timeout).await;
        status.map_err(|why| Error::of(vec![Failure { node: node.clone(), why }]))
    }

    /// The rules of the network.
    ///
    /// # Errors
    ///
    /// When no node answers, or none knows them yet.
    pub async fn pipeline(&self) -> Result<Pipeline, Error> {
        self.inner.json("/v1/pipeline").await
    }
}

impl Inner {
    /// The nodes in the order in which they are asked now.
    pub(crate) fn order(&self) -> impl Iterator<Item = usize> + use<> {
        let (first, count) = (self.preferred.load(Ordering::Relaxed), self.nodes.len());
        (0..count).map(move |step| (first + step) % count)
    }

    /// From now on, this node is asked first.
    pub(crate) fn prefer(&self, node: usize) {
        self.preferred.store(node, Ordering::Relaxed);
    }

    /// If this node is the one that is asked first, it is not any more.
    pub(crate) fn avoid(&self, node: usize) {
        let next = (node + 1) % self.nodes.len();
        // Somebody else may have chosen another one by now.
        let _ = self.preferred.compare_exchange(node, next, Ordering::Relaxed, Ordering::Relaxed);
    }

    pub(crate) fn failure(&self, node: usize, why: Why) -> Failure {
        Failure { node: self.nodes[node].clone(), why }
    }

    pub(crate) async fn status_of(&self, node: &Address, patience: Duration) -> Result<Status, Why> {
        let request = Request::get("/v1/status", patience);
        let answer = self.http.ask(node, &request, &[StatusCode::OK]).await.map_err(|refusal| refusal.why)?;
        answer.json().await
    }

    /// Asks as [`Inner::ask`] does, for an answer that is no data.
    pub(crate) async fn json<T: serde::de::DeserializeOwned>(&self, target: &str) -> Result<T, Error> {
        let request = Request::get(target, self.options.answer_timeout);
        let (node, answer) = self.ask_all(&request, true).await?;
        answer.json().await.map_err(|why| Error::of(vec![self.failure(node, why)]))
    }

    /// Asks one node after the other, and all of them again for a while; only what changes nothing may be asked this way.
    pub(crate) async fn ask(&self, request: &Request) -> Result<(usize, Answer), Error> {
        self.ask_all(request, false).await
    }

    async fn ask_all(&self, request: &Request, whole: bool) -> Result<(usize, Answer), Error> {
        let deadline = later(Instant::now(), self.options.retry_for);
        let mut backoff = Backoff::default();
        loop {
            let (mut failures, mut asked_for, mut not_found) = (Vec::new(), None, false);
            for node in self.order() {
                let (node_address, hoped_for) = (&self.nodes[node], &[StatusCode::OK]);
                let answer = if whole {
                    self.http.ask_whole(node_address, request, hoped_for).await
                } else {
                    self.http.ask(node_address, request, hoped_for).await
                };
                match answer {
                    Ok(answer) => {
                        self.prefer(node);
                        return Ok((node, answer));
                    }
                    Err(refusal) => {
                        let final_answer = !refusal.may_change();
                        let Refusal { why, status, retry_after } = refusal;
                        not_found |= status == Some(StatusCode::NOT_FOUND);
                        asked_for = asked_for.max(retry_after);
                        failures.push(self.failure(node, why));
                        if final_answer {
                            return Err(Error::of(failures.split_off(failures.len() - 1)));
                        }
                    }
                }
            }
            let pause = backoff.next(asked_for);
            // What is not there now may be later; whether to wait for it, the caller knows.
            if not_found || Instant::now() + pause > deadline {
                return Err(Error::of(failures));
            }
            sleep(pause).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_bound_and_a_node_may_ask_for_more() {
        let mut backoff = Backoff::default();
        let about = |least: u128| least..=least * 3 / 2;
        for least in [50, 100, 200, 400, 800, 1600, 2000, 2000] {
            assert!(about(least).contains(&backoff.next(None).as_millis()), "{least}");
        }
        let after = |seconds| Backoff::default().next(Some(Duration::from_secs(seconds))).as_millis();
        assert!(about(1000).contains(&after(1)) && about(5000).contains(&after(999)));
        let several: Vec<u128> = (0..20).map(|_| after(1)).collect();
        assert!(several.iter().any(|pause| *pause != several[0]), "{several:?}");
    }

    #[tokio::test]
    async fn waiting_for_ever_is_no_defect() {
        let forever = Duration::MAX;
        let options = Options { retry_for: forever, answer_timeout: forever, ..Options::default() };
        let client = Client::with_options(vec!["localhost:1".parse().unwrap()], options).unwrap();
        let options = crate::SubmitOptions { timeout: forever, ..crate::SubmitOptions::default() };
        let submitting = client.submit("x", options);
        assert!(tokio::time::timeout(Duration::from_millis(200), submitting).await.is_err());
        for wait in [Duration::ZERO, forever] {
            let asking = client.receipt(dseq_format::types::TxHash::of(b"x"), wait);
            drop(tokio::time::timeout(Duration::from_millis(200), asking).await);
        }
    }

    #[test]
    fn a_node_is_kept_until_it_fails() {
        let client = Client::new(["a:1", "b:1", "c:1"]).unwrap();
        let order = || client.inner.order().collect::<Vec<_>>();
        assert_eq!(order(), [0, 1, 2]);
        client.inner.prefer(2);
        assert_eq!(order(), [2, 0, 1]);
        client.inner.avoid(1);
        assert_eq!(order(), [2, 0, 1], "it is not the one that is asked first");
        client.inner.avoid(2);
        assert_eq!(order(), [0, 1, 2]);
    }

    #[test]
    fn a_client_has_nodes() {
        assert!(matches!(Client::new([""; 0]), Err(Error::NoNodes)));
        assert!(matches!(Client::new(["localhost"]), Err(Error::Address(_))));
    }
}
