//! Runs the CheckTx of one connection in parallel and keeps their answers in order.
use rayon::prelude::*;
use tendermint_abci::Application;
use tendermint_proto::v0_38::abci::{RequestCheckTx, ResponseCheckTx};

use super::dispatch::{self, HandlerPanic};
use crate::limits;

/// The workers that the CheckTx of every connection share.
pub(super) struct CheckPool {
    pool: rayon::ThreadPool,
}

impl CheckPool {
    pub(super) fn new(workers: usize) -> Result<Self, rayon::ThreadPoolBuildError> {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(workers)
            .stack_size(limits::ABCI_STACK_BYTES)
            .thread_name(|index| format!("check-{index}"))
            .build()?;
        Ok(Self { pool })
    }

    /// Checks every transaction; the answers are in the order of the requests.
    pub(super) fn check_txs<A: Application + Sync>(
        &self,
        app: &A,
        requests: Vec<RequestCheckTx>,
    ) -> Result<Vec<ResponseCheckTx>, HandlerPanic> {
        // Handing one transaction to another thread costs more than most checks.
        if requests.len() < 2 || self.pool.current_num_threads() < 2 {
            return requests.into_iter().map(|request| dispatch::check_tx(app, request)).collect();
        }
        self.pool
            .install(|| requests.into_par_iter().map(|request| dispatch::check_tx(app, request)).collect())
    }
}
