//! The generator: offers the plan's transactions, each when it is due.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{sleep_until, timeout_at};

use super::client::Answer;
use super::ledger::Ledger;
use super::node::Node;
use super::plan::{End, Pace, Plan};
use super::schedule::Schedule;
use super::transaction::Transactions;

/// What a generator works with.
pub(super) struct Generator {
    pub(super) plan: Plan,
    pub(super) clients: Vec<Arc<Node>>,
    pub(super) transactions: Arc<Transactions>,
    pub(super) ledger: Arc<Ledger>,
}

impl Generator {
    /// Offers all transactions, unless `stop` becomes true before. Returns when the last one has been sent off; what becomes
    /// of them is in the ledger.
    pub(super) async fn run(&self, mut stop: watch::Receiver<bool>) {
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => {}
            () = self.offer() => {}
        }
    }

    async fn offer(&self) {
        let permits = usize::try_from(self.plan.concurrency).unwrap_or(Semaphore::MAX_PERMITS);
        let permits = Arc::new(Semaphore::new(permits));
        let started = self.ledger.started();
        let mut schedule = match self.plan.pace {
            Pace::Closed => None,
            Pace::Open { rate, arrival } => Some(Schedule::new(rate, arrival, self.plan.seed)),
        };
        let over = match self.plan.end {
            End::Requests(_) => None,
            End::Duration(duration) => Some(duration),
        };
        let nodes = self.clients.len() as u64;
        for request in 0..self.plan.requests_max() {
            let scheduled = schedule.as_mut().and_then(Iterator::next);
            if over.is_some_and(|over| scheduled.is_some_and(|due| due >= over)) {
                return;
            }
            if let Some(due) = scheduled {
                sleep_until((started + due).into()).await;
            }
            let Some(permit) = self.permit(&permits, started, over, scheduled.is_some()).await else {
                return;
            };
            // In a closed loop a request is due as soon as there is room for it.
            let due = scheduled.unwrap_or_else(|| started.elapsed());
            let node = usize::try_from(request % nodes).expect("below the number of nodes");
            self.send(node, due, permit);
        }
    }

    /// Waits for room for one more. None: the run's time is over before; what an open loop has scheduled is sent all the same.
    async fn permit(
        &self,
        permits: &Arc<Semaphore>,
        started: Instant,
        over: Option<Duration>,
        scheduled: bool,
    ) -> Option<OwnedSemaphorePermit> {
        let permit = Arc::clone(permits).acquire_owned();
        let permit = match over {
            Some(over) if !scheduled => timeout_at((started + over).into(), permit).await.ok()?,
            _ => permit.await,
        };
        permit.ok()
    }

    fn send(&self, node: usize, due: Duration, permit: OwnedSemaphorePermit) {
        let client = Arc::clone(&self.clients[node]);
        let (ledger, transactions) = (Arc::clone(&self.ledger), Arc::clone(&self.transactions));
        let node = u16::try_from(node).expect("there are at most NODES_MAX");
        let number = ledger.begin(node, due, permit, |number| transactions.size(number));
        tokio::spawn(async move {
            let tx = transactions.bytes(number);
            let answer = client.submit(tx, || ledger.sent(number, Instant::now())).await;
            match answer {
                Answer::Taken => ledger.answered(number, Instant::now()),
                Answer::Committed(receipt) => {
                    let now = Instant::now();
                    ledger.answered(number, now);
                    ledger.committed(number, receipt, now);
                }
                Answer::Rejected { codespace, code, words } => {
                    ledger.answered(number, Instant::now());
                    ledger.rejected(number, &codespace, code, &words);
                }
                Answer::Failed(words) => ledger.failed(number, &words),
                Answer::Unknown(words) => ledger.unknown(number, &words),
            }
        });
    }
}
