//! What a run offers to a network, and the bounds of it.

use std::time::Duration;

use serde::Serialize;

use super::transaction::TX_BYTES_MIN;
use crate::limits::TX_BYTES_CEILING;
use crate::node::address::Address;

/// Maximum number of requests of a run. Each takes 72 bytes of memory until the end: 360 MB.
pub const REQUESTS_MAX: u64 = 5_000_000;
/// Maximum number of transactions that are offered and not yet decided. More of them than CometBFT's mempool holds would
/// only be refused.
pub const CONCURRENCY_MAX: u64 = 50_000;
/// Maximum number of nodes of a run: those of the largest local network.
pub const NODES_MAX: usize = 32;
/// Maximum rate of an open loop, in transactions a second: far above what a network of CometBFT's carries.
pub const RATE_MAX: f64 = 100_000.0;
/// Maximum duration of a run.
pub const DURATION_MAX: Duration = Duration::from_secs(24 * 3600);
/// Maximum time to wait for one transaction: latencies are kept in 32 bits of microseconds.
pub const TIMEOUT_MAX: Duration = Duration::from_secs(3600);

/// What a run does.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The nodes' addresses, of their RPC or of their HTTP; transactions go to each in turn.
    pub nodes: Vec<Address>,
    /// How transactions get to them.
    pub via: Via,
    /// When it has offered enough.
    pub end: End,
    /// When each transaction is offered.
    pub pace: Pace,
    /// Maximum number of transactions that are offered and not yet decided.
    pub concurrency: u64,
    /// How large they are.
    pub sizes: Sizes,
    /// What they look like.
    pub format: Format,
    /// How long to wait for one transaction's commit before it counts as unknown.
    pub timeout: Duration,
    /// Decides sizes, filler and arrivals.
    pub seed: u64,
}

/// How transactions get to nodes, and records from them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// CometBFT's RPC: `broadcast_tx_sync`, and each block is read.
    Rpc,
    /// The node's HTTP: `POST /v1/submit`, which answers when it is committed.
    Http,
}

/// When a run has offered enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// After so many requests.
    Requests(u64),
    /// After so long.
    Duration(Duration),
}

/// When each transaction is offered.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// The next one as soon as one is decided.
    Closed,
    /// By a schedule, whatever the network does.
    Open {
        /// Transactions a second.
        rate: f64,
        /// How they are spread.
        arrival: Arrival,
    },
}

/// How the requests of an open loop are spread over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Arrival {
    /// Evenly.
    Constant,
    /// As those of many producers who know nothing of each other.
    Poisson,
}

/// Sizes of transactions in bytes, both ends included; between them all are equally frequent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Sizes {
    /// The smallest.
    pub min: u64,
    /// The largest.
    pub max: u64,
}

/// What transactions look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// One line of printable ASCII, without a line feed.
    Text,
    /// A JSON object with one string, for pipelines that accept nothing else.
    Json,
}

/// A plan that cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// No node, or too many.
    #[error("a run takes 1 to {NODES_MAX} nodes, not {nodes}")]
    Nodes {
        /// How many.
        nodes: usize,
    },
    /// The same node twice: its share would be double.
    ///
    /// Name each node once.
    #[error("node {node} is named twice")]
    NodeTwice {
        /// The node.
        node: Address,
    },
    /// None, or too many requests.
    #[error("--requests takes 1 to {REQUESTS_MAX}, not {requests}; for more, do several runs")]
    Requests {
        /// How many.
        requests: u64,
    },
    /// No time, or too long.
    #[error("--duration takes more than 0 s and at most 24 h, not {seconds} s")]
    Duration {
        /// How long.
        seconds: f64,
    },
    /// None at once, or too many.
    #[error("--concurrency takes 1 to {CONCURRENCY_MAX}, not {concurrency}")]
    Concurrency {
        /// How many.
        concurrency: u64,
    },
    /// A rate beyond the bounds.
    #[error("--rate takes more than 0 and at most {RATE_MAX} transactions a second, not {rate}")]
    Rate {
        /// The rate.
        rate: f64,
    },
    /// A size that a transaction cannot have.
    #[error(
        "--size takes {TX_BYTES_MIN} to {TX_BYTES_CEILING} bytes, or a range of them such as 100..4096, not {min}..{max}: \
         each transaction begins with the run's id and its number"
    )]
    Sizes {
        /// The smallest.
        min: u64,
        /// The largest.
        max: u64,
    },
    /// No time to wait, or too long.
    #[error("--timeout takes more than 0 s and at most 1 h, not {seconds} s")]
    Timeout {
        /// How long.
        seconds: f64,
    },
}

impl Plan {
    /// Checks that the plan is within its bounds.
    ///
    /// # Errors
    ///
    /// With the first bound that it is beyond.
    pub fn check(&self) -> Result<(), PlanError> {
        let nodes = self.nodes.len();
        if nodes == 0 || nodes > NODES_MAX {
            return Err(PlanError::Nodes { nodes });
        }
        let twice = |(at, node): &(usize, &Address)| self.nodes.iter().take(*at).any(|other| other == *node);
        if let Some((_, node)) = self.nodes.iter().enumerate().find(twice) {
            return Err(PlanError::NodeTwice { node: node.clone() });
        }
        match self.end {
            End::Requests(requests) if requests == 0 || requests > REQUESTS_MAX => {
                return Err(PlanError::Requests { requests });
            }
            End::Duration(duration) if duration.is_zero() || duration > DURATION_MAX => {
                return Err(PlanError::Duration { seconds: duration.as_secs_f64() });
            }
            _ => {}
        }
        if self.concurrency == 0 || self.concurrency > CONCURRENCY_MAX {
            return Err(PlanError::Concurrency { concurrency: self.concurrency });
        }
        // Written so that a rate that is not a number is refused too.
        if let Pace::Open { rate, .. } = self.pace
            && !(rate > 0.0 && rate <= RATE_MAX)
        {
            return Err(PlanError::Rate { rate });
        }
        let Sizes { min, max } = self.sizes;
        if min < TX_BYTES_MIN || min > max || max > TX_BYTES_CEILING {
            return Err(PlanError::Sizes { min, max });
        }
        if self.timeout.is_zero() || self.timeout > TIMEOUT_MAX {
            return Err(PlanError::Timeout { seconds: self.timeout.as_secs_f64() });
        }
        Ok(())
    }

    /// Maximum number of requests.
    #[must_use]
    pub fn requests_max(&self) -> u64 {
        match self.end {
            End::Requests(requests) => requests,
            End::Duration(_) => REQUESTS_MAX,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> Plan {
        Plan {
            nodes: vec![Address::loopback(1)],
            via: Via::Rpc,
            end: End::Requests(1),
            pace: Pace::Closed,
            concurrency: 1,
            sizes: Sizes { min: 256, max: 256 },
            format: Format::Text,
            timeout: Duration::from_secs(1),
            seed: 0,
        }
    }

    #[test]
    fn what_is_beyond_a_bound_is_refused_with_the_bound_and_what_was_given() {
        let refusal = |change: &dyn Fn(&mut Plan)| {
            let mut plan = plan();
            change(&mut plan);
            plan.check().unwrap_err().to_string()
        };
        plan().check().unwrap();
        assert_eq!(refusal(&|plan| plan.nodes.clear()), "a run takes 1 to 32 nodes, not 0");
        let twice = refusal(&|plan| plan.nodes.push(Address::loopback(1)));
        assert_eq!(twice, "node 127.0.0.1:1 is named twice");
        let many = refusal(&|plan| plan.end = End::Requests(5_000_001));
        assert_eq!(many, "--requests takes 1 to 5000000, not 5000001; for more, do several runs");
        let none = refusal(&|plan| plan.end = End::Duration(Duration::ZERO));
        assert_eq!(none, "--duration takes more than 0 s and at most 24 h, not 0 s");
        let at_once = refusal(&|plan| plan.concurrency = 0);
        assert_eq!(at_once, "--concurrency takes 1 to 50000, not 0");
        for rate in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let refusal = refusal(&|plan| plan.pace = Pace::Open { rate, arrival: Arrival::Constant });
            assert!(refusal.starts_with("--rate takes more than 0"), "{refusal}");
        }
        for (min, max) in [(47, 100), (100, 99), (100, TX_BYTES_CEILING + 1)] {
            let refusal = refusal(&|plan| plan.sizes = Sizes { min, max });
            assert!(refusal.starts_with("--size takes 48 to "), "{refusal}");
        }
        let timeout = refusal(&|plan| plan.timeout = Duration::from_secs(3601));
        assert_eq!(timeout, "--timeout takes more than 0 s and at most 1 h, not 3601 s");
    }
}
