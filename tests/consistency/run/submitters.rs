//! Clients that submit: unique transactions, the same bytes from two at once, the same bytes again, bytes that the rules
//! refuse, and requests of which nobody reads the answer.
//!
//! The pipeline is `lines`: a record is its transaction, with a line feed at the end if that is missing, and a transaction with
//! another line feed is rejected.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use bytes::Bytes;
use dseq::types::TxHash;
use dseq_client::{Client, Error, SubmitOptions, Submitted, Wait};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::history::{History, Outcome, Submission};
use super::world::{World, millis};
use crate::noise::Noise;

/// Longest rest between two submissions of one client, in milliseconds.
const REST_MILLIS_MAX: usize = 120;

pub(crate) struct Submitter {
    world: Arc<World>,
    client: usize,
    noise: Noise,
    /// A client of each node alone, and one of all.
    clients: Vec<Client>,
    number: u64,
    /// The last transaction of which the outcome is open.
    open: Option<Bytes>,
    pub(crate) history: History,
}

/// Submits until the run is over.
pub(crate) async fn submit(world: Arc<World>, client: usize, noise: Noise) -> Result<History> {
    let mut submitter = Submitter::new(world, client, noise)?;
    while !submitter.world.is_stopped() {
        submitter.one().await?;
        sleep(millis(&mut submitter.noise, REST_MILLIS_MAX)).await;
    }
    Ok(submitter.history)
}

impl Submitter {
    pub(crate) fn new(world: Arc<World>, client: usize, mut noise: Noise) -> Result<Self> {
        let mut clients: Vec<Client> =
            (0..world.nodes()).map(|node| world.client_of(node)).collect::<Result<_>>()?;
        clients.push(world.client_from(noise.below(world.nodes()))?);
        Ok(Self { world, client, noise, clients, number: 0, open: None, history: History::default() })
    }

    async fn one(&mut self) -> Result<()> {
        match self.noise.below(20) {
            0..2 => self.cut_off().await,
            2..4 => {
                let tx = self.refused();
                self.hand_in(tx).await
            }
            4..6 => self.twice_at_once().await,
            6..9 if self.open.is_some() => {
                let tx = self.open.take().unwrap_or_default();
                self.hand_in(tx).await
            }
            _ => {
                let tx = self.unique();
                self.hand_in(tx).await
            }
        }
    }

    /// A transaction that nobody else submits.
    pub(crate) fn unique(&mut self) -> Bytes {
        self.number += 1;
        let padding = match self.noise.below(20) {
            0 => 5000 + self.noise.below(60_000),
            _ => self.noise.below(200),
        };
        let end = ["\n", ""][self.noise.below(2)];
        let text = format!("client {} number {} {}{end}", self.client, self.number, ".".repeat(padding));
        let tx = Bytes::from(text);
        let mut record = tx.to_vec();
        if end.is_empty() {
            record.push(b'\n');
        }
        self.note(&tx, Some(record.into()));
        tx
    }

    fn refused(&mut self) -> Bytes {
        self.number += 1;
        let tx = Bytes::from(format!("client {} number {}\n\n", self.client, self.number));
        self.note(&tx, None);
        tx
    }

    fn note(&mut self, tx: &Bytes, record: Option<Bytes>) {
        let tx_hash = TxHash::of(tx);
        self.history.expected.insert(tx_hash, record);
        self.world.note(tx_hash);
    }

    /// One of its clients, and the node if that has only one.
    fn any_client(&mut self) -> (Client, Option<usize>) {
        let nodes = self.world.nodes();
        let node = self.noise.below(nodes * 2).min(nodes);
        (self.clients[node].clone(), (node < nodes).then_some(node))
    }

    fn options(&mut self) -> SubmitOptions {
        let wait = match self.noise.below(10) {
            0 => Wait::None,
            1 => Wait::Checked,
            _ => Wait::Committed,
        };
        SubmitOptions { wait, timeout: Duration::from_millis(100) + millis(&mut self.noise, 2500) }
    }

    async fn hand_in(&mut self, tx: Bytes) -> Result<()> {
        let ((client, node), options) = (self.any_client(), self.options());
        let submission = submit_by(&self.world, self.client, &client, node, &tx, options).await?;
        self.keep(tx, submission);
        Ok(())
    }

    /// At a node alone, with patience: for the end of a run.
    pub(crate) async fn hand_to(&mut self, node: usize, tx: Bytes, patience: Duration) -> Result<()> {
        let options = SubmitOptions { wait: Wait::Committed, timeout: patience };
        let client = self.clients[node].clone();
        let submission = submit_by(&self.world, self.client, &client, Some(node), &tx, options).await?;
        self.keep(tx, submission);
        Ok(())
    }

    async fn twice_at_once(&mut self) -> Result<()> {
        let tx = self.unique();
        let (one, other) = ((self.any_client(), self.options()), (self.any_client(), self.options()));
        let pause = millis(&mut self.noise, 30);
        let (world, number) = (self.world.clone(), self.client);
        let first = submit_by(&world, number, &one.0.0, one.0.1, &tx, one.1);
        let second = async {
            sleep(pause).await;
            submit_by(&world, number, &other.0.0, other.0.1, &tx, other.1).await
        };
        let (first, second) = tokio::join!(first, second);
        self.keep(tx.clone(), first?);
        self.keep(tx, second?);
        Ok(())
    }

    fn keep(&mut self, tx: Bytes, submission: Submission) {
        if matches!(submission.outcome, Outcome::Pending | Outcome::Unknown | Outcome::Failed(_)) {
            self.open = Some(tx);
        }
        self.history.submissions.push(submission);
    }

    /// A request whose connection ends before its answer, or before the end of its body.
    async fn cut_off(&mut self) -> Result<()> {
        let (tx, node) = (self.unique(), self.noise.below(self.world.nodes()));
        let whole = self.noise.below(3) > 0;
        let sent = if whole { tx.len() } else { self.noise.below(tx.len()) };
        let query = ["", "?wait=none", "?wait=checked", "?timeout=0.05"][self.noise.below(4)];
        let (address, pause) = (self.world.address(node).to_string(), millis(&mut self.noise, 60));
        let head = format!(
            "POST /v1/submit{query} HTTP/1.1\r\nhost: {address}\r\ncontent-length: {}\r\n\r\n",
            tx.len()
        );
        let request = [head.as_bytes(), &tx[..sent]].concat();
        let invoked = self.world.now();
        let outcome = match timeout(Duration::from_millis(500), TcpStream::connect(&address)).await {
            Ok(Ok(mut stream)) => {
                // A node that is stopped takes what fits into the buffers of the kernels.
                let _ = timeout(Duration::from_millis(500), stream.write_all(&request)).await;
                sleep(pause).await;
                if whole { Outcome::Unknown } else { Outcome::Failed("the body was cut off".to_owned()) }
            }
            Ok(Err(_)) | Err(_) => Outcome::Failed("cannot connect".to_owned()),
        };
        let span = self.world.span(self.client, Some(node), invoked);
        self.keep(tx.clone(), Submission { span, tx_hash: TxHash::of(&tx), outcome });
        Ok(())
    }
}

async fn submit_by(
    world: &World,
    number: usize,
    client: &Client,
    node: Option<usize>,
    tx: &Bytes,
    options: SubmitOptions,
) -> Result<Submission> {
    let invoked = world.now();
    let answer = client.submit(tx.clone(), options).await;
    let span = world.span(number, node, invoked);
    let outcome = match answer {
        Ok(Submitted::Committed { receipt, duplicate }) => Outcome::Committed { receipt, duplicate },
        Ok(Submitted::Pending { .. }) => Outcome::Pending,
        Ok(Submitted::Rejected(_)) => Outcome::Rejected,
        Err(Error::OutcomeUnknown { .. }) => Outcome::Unknown,
        Err(err @ (Error::Unreachable { .. } | Error::Refused { .. })) => Outcome::Failed(err.to_string()),
        Err(err) => bail!("submitting: {err}"),
    };
    Ok(Submission { span, tx_hash: TxHash::of(tx), outcome })
}
