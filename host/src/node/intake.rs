//! The way of a transaction from HTTP into the mempool: the pipeline first, on threads of its own, then CometBFT.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::sync::oneshot;
use tracing::Span;

use super::address::Address;
use super::engine::mempool::Mempool;
use crate::abci::{self, Check, InForce, Service};
use crate::api;
use crate::api::submit::{Checked, Counted, HandedOver, Intake, Overload};
use crate::plugin::spawn_with_large_stack;

/// Threads that examine transactions for HTTP, at its priority. A block's transactions have threads of their own.
const THREADS: usize = 2;

/// A transaction to be examined.
struct Job {
    tx: Bytes,
    answer: oneshot::Sender<Checked>,
    /// Of the request, for what is logged and traced meanwhile.
    span: Span,
}

/// Examines by the service, and hands over to the CometBFT beside it.
pub(super) struct NodeIntake {
    service: Service,
    in_force: InForce,
    mempool: Mempool,
    /// `None` only while it is dropped, which ends the threads.
    jobs: Option<Sender<Job>>,
    threads: Vec<JoinHandle<()>>,
}

impl NodeIntake {
    /// Starts the threads.
    ///
    /// # Errors
    ///
    /// The system gives none.
    pub(super) fn start(service: &Service, rpc: Address) -> io::Result<Self> {
        // How many wait in it is bounded by those who submit.
        let (jobs, waiting) = mpsc::channel();
        let waiting = Arc::new(Mutex::new(waiting));
        let threads = (0..THREADS).map(|index| {
            let (service, waiting) = (service.clone(), Arc::clone(&waiting));
            spawn_with_large_stack(format!("http-check-{index}"), move || examine(&service, &waiting))
        });
        let threads = threads.collect::<io::Result<_>>()?;
        let (in_force, service) = (service.in_force(), service.clone());
        Ok(Self { service, in_force, mempool: Mempool::at(rpc), jobs: Some(jobs), threads })
    }
}

impl Drop for NodeIntake {
    fn drop(&mut self) {
        drop(self.jobs.take());
        for thread in self.threads.drain(..) {
            // It catches its panics itself.
            let _ = thread.join();
        }
    }
}

impl Counted for abci::Counted {
    fn handed_over(&mut self) {
        Self::handed_over(self);
    }

    fn decided(self: Box<Self>) {
        Self::decided(*self);
    }
}

impl Intake for NodeIntake {
    fn tx_bytes_max(&self) -> Option<u64> {
        Some(self.in_force.pipeline()?.limits().tx_bytes_max)
    }

    fn overload(&self) -> Option<Overload> {
        let abci::Overload { wait, wait_max } = self.service.overload()?;
        Some(Overload { wait, wait_max })
    }

    fn count(&self, tx: &Bytes) -> Result<Box<dyn Counted>, Overload> {
        match self.service.count(tx) {
            Ok(counted) => Ok(Box::new(counted)),
            Err(abci::Overload { wait, wait_max }) => Err(Overload { wait, wait_max }),
        }
    }

    fn check(&self, tx: Bytes) -> BoxFuture<'_, Checked> {
        let (answer, answered) = oneshot::channel();
        let sent = self.jobs.as_ref().map(|jobs| jobs.send(Job { tx, answer, span: Span::current() }));
        Box::pin(async move {
            match sent {
                Some(Ok(())) => answered.await.unwrap_or(Checked::Failed),
                _ => Checked::Failed,
            }
        })
    }

    fn hand_over(&self, tx: Bytes) -> BoxFuture<'_, HandedOver> {
        Box::pin(async move { self.mempool.hand_over(&tx).await })
    }
}

/// A thread: examines one transaction after the other.
fn examine(service: &Service, waiting: &Mutex<Receiver<Job>>) {
    api::yield_to_consensus();
    loop {
        // The lock is held while waiting: whoever has it waits for a job, the others for the lock.
        let job = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Job { tx, answer, span }) = job else { return };
        let _request = span.entered();
        let checked = match catch_unwind(AssertUnwindSafe(|| service.check(&tx))) {
            Ok(Ok(Check::Unready(refusal))) => Checked::NotReady(refusal.message),
            Ok(Ok(Check::Examined(examined))) => match examined.record {
                Ok(_) => Checked::Accepted,
                Err(refusal) => Checked::Refused(refusal),
            },
            // CheckTx, which guesses as little, will meet it too, and end the node.
            Ok(Err(halt)) => {
                tracing::error!(%halt, "cannot examine a transaction");
                Checked::Failed
            }
            Err(_) => Checked::Failed,
        };
        // Whoever submitted it may be gone.
        let _ = answer.send(checked);
    }
}
