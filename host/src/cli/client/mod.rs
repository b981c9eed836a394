//! The commands that write to a network and read from it, over the nodes' HTTP: what they share.

mod data;
pub(super) mod read;
pub(super) mod receipt;
pub(super) mod submit;
pub(super) mod tail;

use std::future::Future;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use dseq_client::{Address, Client, Error, Options, Receipt, TxHash};

use crate::node::config::NODES_ENV;

pub(super) const EXIT_NOT_FOUND: u8 = 3;
pub(super) const EXIT_REJECTED: u8 = 4;
pub(super) const EXIT_UNKNOWN: u8 = 5;
pub(super) const EXIT_UNREACHABLE: u8 = 6;
pub(super) const EXIT_DISAGREE: u8 = 7;

/// As `--help` of these commands shows them.
pub(super) const EXIT_CODES: &str = "Exit codes: 0 success, 1 failure, 2 usage, 3 not found or not committed yet, 4 rejected, 5 outcome unknown, 6 no node can be reached, 7 nodes disagree";

/// How long a command goes on asking nodes of which none answers. What restarts is back by then; a wrong port is soon noticed.
const RETRY_FOR: Duration = Duration::from_secs(1);

/// Which nodes are asked.
#[derive(Debug, clap::Args)]
pub(super) struct NodesArg {
    /// Nodes, by the address of their HTTP, not of CometBFT's RPC; the next one is used when one fails
    #[arg(
        long = "node",
        value_name = "HOST:PORT",
        env = NODES_ENV,
        value_delimiter = ',',
        default_value = "localhost:6900"
    )]
    nodes: Vec<Address>,
}

impl NodesArg {
    fn client(&self) -> anyhow::Result<Client> {
        let options = Options { retry_for: RETRY_FOR, ..Options::default() };
        Ok(Client::with_options(self.nodes.clone(), options)?)
    }
}

/// Runs a command to its end.
fn run_on_runtime(work: impl Future<Output = anyhow::Result<ExitCode>>) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("cannot start")?;
    let ended = runtime.block_on(work);
    // A thread may still wait for a line of standard input.
    runtime.shutdown_background();
    ended
}

/// The exit code that an error of the client means; `None`: no special one.
pub(super) fn exit_code(err: &Error) -> Option<u8> {
    match err {
        Error::Unreachable { .. } => Some(EXIT_UNREACHABLE),
        Error::OutcomeUnknown { .. } => Some(EXIT_UNKNOWN),
        Error::Disagree { .. } | Error::RecordsDisagree { .. } | Error::RootsDisagree { .. } => {
            Some(EXIT_DISAGREE)
        }
        Error::BeyondEnd { .. } | Error::NoSuchRecord { .. } => Some(EXIT_NOT_FOUND),
        _ => None,
    }
}

/// A receipt in a line, behind the state of its transaction.
fn receipt_line(receipt: &Receipt) -> String {
    let Receipt { index, offset, length, height, tx_hash, .. } = receipt;
    format!("committed  index {index}  offset {offset}  length {length}  height {height}  tx {tx_hash}")
}

fn state_line(state: &str, tx_hash: &TxHash, more: &str) -> String {
    let separator = if more.is_empty() { "" } else { "  " };
    format!("{state:<9}  tx {tx_hash}{separator}{more}")
}

/// A place in the sequence, as `--from` and `--until` take it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Position {
    At(u64),
    /// So much before the end.
    Last(u64),
}

const END: Position = Position::Last(0);

impl Position {
    fn resolve(self, end: u64) -> u64 {
        match self {
            Self::At(at) => at,
            Self::Last(count) => end.saturating_sub(count),
        }
    }
}

fn position(text: &str) -> Result<Position, String> {
    let parsed = match text {
        "start" => Some(Position::At(0)),
        "end" => Some(END),
        _ => match text.strip_prefix('-') {
            Some(count) => count.parse().ok().map(Position::Last),
            None => text.parse().ok().map(Position::At),
        },
    };
    parsed.ok_or_else(|| "expected an offset, start, end, or -N for N before the end".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_counts_from_the_start_or_from_the_end() {
        let resolved = |text: &str| position(text).map(|position| position.resolve(100));
        assert_eq!(
            ["0", "start", "70", "end", "-30", "-200"].map(resolved).map(Result::unwrap),
            [0, 0, 70, 100, 70, 0]
        );
        for bad in ["", "-", "+1x", "1.5", "begin", "--1"] {
            assert!(position(bad).is_err(), "{bad}");
        }
    }
}
