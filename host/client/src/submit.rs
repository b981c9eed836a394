//! Handing in transactions, and learning what became of them.
//!
//! # Invariants
//!
//! - A transaction goes to a second node only if the first one certainly did not take it: it could not be reached, or said so
//!   (503 with a problem document of a node).
//! - When an answer is lost, nodes are asked for the transaction by its hash. What none of them knows is
//!   [`Error::OutcomeUnknown`]: it may still come out of a node that cannot be reached now.
//! - Whatever nodes do, the outcome is there [`LATE`] after the timeout.

use std::time::Duration;

use bytes::Bytes;
use dseq_format::types::TxHash;
use futures_util::stream::{FuturesUnordered, Stream, StreamExt};
use hyper::header::CONTENT_TYPE;
use hyper::{Method, StatusCode};
use tokio::time::{Instant, sleep, timeout};

use crate::answers::{Known, Rejection, SubmitAnswer, Submitted};
use crate::client::{Backoff, Client, Inner, later};
use crate::error::{Error, Problem, Why};
use crate::transport::{Answer, Request, nothing_within};

/// How much later than the timeout the outcome is there at the latest: first the answer counts as lost, and what is left is for
/// asking the nodes.
const LATE: Duration = Duration::from_secs(1);
/// How much later than the timeout an answer may come before it counts as lost.
const ANSWER_LATE: Duration = Duration::from_millis(500);
/// How much sooner than the timeout a node is asked to answer, at most, so that its answer is here in time.
const ANSWER_EARLY: Duration = Duration::from_millis(500);
/// The longest wait that a node takes in one request.
const WAIT_MAX: Duration = Duration::from_secs(60);
/// The pause between two questions to nodes that answer at once.
const FIND_OUT_PAUSE: Duration = Duration::from_millis(100);

/// What is waited for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wait {
    /// Until the node has the bytes. It has not looked at them yet, and may still reject them.
    None,
    /// Until the pipeline has accepted it and it was handed to the consensus engine, which may still drop it.
    Checked,
    /// Until it is committed, which is when it has a receipt.
    #[default]
    Committed,
}

/// How a transaction is handed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubmitOptions {
    /// What is waited for. Default: [`Wait::Committed`].
    pub wait: Wait,
    /// How long to wait for it. When an answer is lost, up to a second more is spent on finding out. Default: 10 s.
    pub timeout: Duration,
}

impl Default for SubmitOptions {
    fn default() -> Self {
        Self { wait: Wait::Committed, timeout: Duration::from_secs(10) }
    }
}

/// What came of handing a transaction to one node.
enum Handed {
    Done(Submitted),
    /// The node took it, or will; the outcome is to be found out.
    Taken,
    /// It certainly did not take it.
    NotTaken(Why, Option<Duration>),
    /// It may have taken it.
    Lost(Why),
    /// No node would take it.
    Refused(Why),
}

impl Client {
    /// Hands in a transaction, to another node if one does not take it.
    ///
    /// # Errors
    ///
    /// [`Error::OutcomeUnknown`] when the answer is lost and no node knows the transaction; [`Error::Unreachable`] and
    /// [`Error::Refused`] when certainly no node took it.
    pub async fn submit(&self, tx: impl Into<Bytes>, options: SubmitOptions) -> Result<Submitted, Error> {
        self.inner.submit(tx.into(), options).await
    }

    /// Hands in many transactions, so many at once. What became of each comes in their order; their order in the sequence is
    /// the same only if `at_once` is 1.
    pub fn submit_all(
        &self,
        txs: impl Stream<Item = Bytes> + Send,
        options: SubmitOptions,
        at_once: usize,
    ) -> impl Stream<Item = Result<Submitted, Error>> + Send {
        let client = self.clone();
        let submit = move |tx| {
            let client = client.clone();
            async move { client.submit(tx, options).await }
        };
        txs.map(submit).buffered(at_once.max(1))
    }
}

impl Inner {
    async fn submit(&self, tx: Bytes, options: SubmitOptions) -> Result<Submitted, Error> {
        let tx_hash = TxHash::of(&tx);
        let began = Instant::now();
        let (deadline, give_up) = (later(began, options.timeout), later(began, self.options.retry_for));
        let mut backoff = Backoff::default();
        loop {
            let (mut failures, mut asked_for) = (Vec::new(), None);
            for node in self.order() {
                if !failures.is_empty() && Instant::now() >= deadline {
                    break;
                }
                match self.hand_to(node, &tx, tx_hash, options.wait, deadline).await {
                    Handed::Done(submitted) => {
                        self.prefer(node);
                        return Ok(submitted);
                    }
                    Handed::Taken => {
                        self.prefer(node);
                        return Ok(self
                            .outcome(tx_hash, deadline, deadline + LATE)
                            .await
                            .unwrap_or(Submitted::Pending { tx_hash }));
                    }
                    Handed::Lost(why) => {
                        self.avoid(node);
                        let why = self.failure(node, why).to_string();
                        let found = self.outcome(tx_hash, deadline + ANSWER_LATE, deadline + LATE).await;
                        return found.ok_or(Error::OutcomeUnknown { tx_hash, why });
                    }
                    Handed::Refused(why) => return Err(Error::of(vec![self.failure(node, why)])),
                    Handed::NotTaken(why, pause) => {
                        failures.push(self.failure(node, why));
                        asked_for = asked_for.max(pause);
                    }
                }
            }
            // A full mempool empties; a node that cannot be reached may not come back.
            let busy = failures.iter().any(|failure| matches!(failure.why, Why::Problem(_)));
            let until = if busy && give_up > began { deadline } else { give_up.min(deadline) };
            let pause = backoff.next(asked_for);
            if Instant::now() + pause > until {
                return Err(Error::of(failures));
            }
            sleep(pause).await;
        }
    }

    async fn hand_to(
        &self,
        node: usize,
        tx: &Bytes,
        tx_hash: TxHash,
        wait: Wait,
        deadline: Instant,
    ) -> Handed {
        let left = deadline.saturating_duration_since(Instant::now()).min(WAIT_MAX);
        let word = match wait {
            Wait::None => "none",
            Wait::Checked => "checked",
            Wait::Committed => "committed",
        };
        let held = left.saturating_sub(ANSWER_EARLY.min(left / 10));
        let request = Request {
            method: Method::POST,
            target: format!("/v1/submit?wait={word}&timeout={:.3}", held.as_secs_f64()),
            headers: vec![(CONTENT_TYPE, "application/octet-stream".to_owned())],
            body: tx.clone(),
            patience: left + ANSWER_LATE,
        };
        // The body of the answer, too.
        let handed = timeout(request.patience, self.hand(node, &request, tx_hash, wait)).await;
        handed.unwrap_or_else(|_| Handed::Lost(nothing_within(request.patience)))
    }

    async fn hand(&self, node: usize, request: &Request, tx_hash: TxHash, wait: Wait) -> Handed {
        let answer = match self.http.send(&self.nodes[node], request).await {
            Ok(answer) => answer,
            Err(why @ Why::NotConnected(_)) => return Handed::NotTaken(why, None),
            Err(why) => return Handed::Lost(why),
        };
        match answer.status {
            StatusCode::OK | StatusCode::ACCEPTED => match answer.json().await {
                Ok(SubmitAnswer::Committed { receipt, duplicate }) if receipt.tx_hash == tx_hash => {
                    Handed::Done(Submitted::Committed { receipt, duplicate: Some(duplicate) })
                }
                Ok(SubmitAnswer::Pending { tx_hash: of }) if of == tx_hash => match wait {
                    Wait::Committed => Handed::Taken,
                    Wait::None | Wait::Checked => Handed::Done(Submitted::Pending { tx_hash }),
                },
                Ok(_) => Handed::Lost(Why::Unexpected("the answer is about another transaction".to_owned())),
                Err(why) => Handed::Lost(why),
            },
            _ => refused(answer, tx_hash).await,
        }
    }

    /// What became of a transaction that a node may have; `None`: no node that answers knows it.
    async fn outcome(&self, tx_hash: TxHash, until: Instant, end: Instant) -> Option<Submitted> {
        match self.find_out(tx_hash, until, end).await.ok()? {
            Known::Committed { receipts } => {
                let receipt = receipts.first().copied()?;
                Some(Submitted::Committed { receipt, duplicate: None })
            }
            Known::Rejected(rejection) => Some(Submitted::Rejected(rejection)),
            Known::Pending => Some(Submitted::Pending { tx_hash }),
            Known::Unknown => None,
        }
    }

    /// Asks all nodes for a transaction, each again and again, until one knows its outcome, or until `until`. Each is asked once at
    /// least, and no answer is waited for beyond `end`.
    ///
    /// # Errors
    ///
    /// When no node answers.
    pub(crate) async fn find_out(
        &self,
        tx_hash: TxHash,
        until: Instant,
        end: Instant,
    ) -> Result<Known, Error> {
        let is_outcome = |known: &Known| matches!(known, Known::Committed { .. } | Known::Rejected(_));
        // One that does not answer keeps no other one from being asked again.
        let ask = |node| async move {
            loop {
                let began = Instant::now();
                let held = until.saturating_duration_since(began).min(WAIT_MAX / 2);
                let answer = self.known_to(node, tx_hash, held, end).await;
                if answer.as_ref().is_ok_and(is_outcome) || Instant::now() >= until {
                    return (node, answer);
                }
                sleep(FIND_OUT_PAUSE.saturating_sub(began.elapsed())).await;
            }
        };
        let mut answers: FuturesUnordered<_> = self.order().map(ask).collect();
        let (mut failures, mut best) = (Vec::new(), None);
        while let Some((node, answer)) = answers.next().await {
            match answer {
                Ok(known) if is_outcome(&known) => return Ok(known),
                Ok(_) if best == Some(Known::Pending) => {}
                Ok(known) => best = Some(known),
                Err(why) => failures.push(self.failure(node, why)),
            }
        }
        best.ok_or_else(|| Error::of(failures))
    }

    /// What one node knows of a transaction.
    async fn known_to(
        &self,
        node: usize,
        tx_hash: TxHash,
        wait: Duration,
        end: Instant,
    ) -> Result<Known, Why> {
        let mut target = format!("/v1/receipts/{tx_hash}");
        if !wait.is_zero() {
            target.push_str(&format!("?wait={:.3}", wait.as_secs_f64()));
        }
        let patience = end.saturating_duration_since(Instant::now());
        let request = Request::get(target, patience);
        let ask = async {
            match self.http.ask(&self.nodes[node], &request, &[StatusCode::OK]).await {
                Ok(answer) => Ok(answer.json::<crate::answers::ReceiptAnswer>().await?.into()),
                Err(refusal) => match refusal.why {
                    Why::Problem(problem) if problem.name() == "unknown-transaction" => Ok(Known::Unknown),
                    why => Err(why),
                },
            }
        };
        timeout(patience, ask).await.unwrap_or_else(|_| Err(nothing_within(patience)))
    }
}

/// What it means that a node answers with an error.
async fn refused(answer: Answer, tx_hash: TxHash) -> Handed {
    let refusal = answer.refusal().await;
    let status = refusal.status.unwrap_or_default();
    match refusal.why {
        Why::Problem(problem) if problem.name() == "rejected" => {
            Handed::Done(Submitted::Rejected(rejection(&problem, tx_hash)))
        }
        // No node takes what is longer than the network's limit.
        Why::Problem(problem) if problem.name() == "body-too-large" => {
            Handed::Done(Submitted::Rejected(rejection(&problem, tx_hash)))
        }
        // All that a node says with 503 of a submission is why it did not take it.
        Why::Problem(problem) if status == StatusCode::SERVICE_UNAVAILABLE && problem.is_of_a_node() => {
            Handed::NotTaken(Why::Problem(problem), refusal.retry_after)
        }
        // The request itself is at fault, or did not get through whole: nothing was taken.
        Why::Problem(problem) if status.is_client_error() && problem.retry => {
            Handed::NotTaken(Why::Problem(problem), refusal.retry_after)
        }
        why if status.is_client_error() => Handed::Refused(why),
        why => Handed::Lost(why),
    }
}

fn rejection(problem: &Problem, tx_hash: TxHash) -> Rejection {
    let code = problem.number("code").and_then(|code| u32::try_from(code).ok());
    Rejection {
        tx_hash,
        plugin: problem.text("plugin").map(str::to_owned),
        codespace: problem.text("codespace").unwrap_or_default().to_owned(),
        code: code.unwrap_or_default(),
        detail: problem.detail.clone(),
    }
}
