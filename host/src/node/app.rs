//! The app of one node: opens its log and its pipeline once, and serves what needs them until asked to stop.

use std::path::PathBuf;
use std::sync::Arc;

use crate::abci::transport::{ListenAddr, Server, ShutdownHandle};
use crate::abci::{Halt, Metered, Service, ServiceOptions, count_block};
use crate::app::{CommittedBlock, Misbehavior, MisbehaviorKind};
use crate::plugin::engine_id;
use crate::sequence::Log;
use crate::telemetry::metrics::{Identity, Metrics};

/// What the app needs to run.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// Where CometBFT connects to.
    pub listen: ListenAddr,
    /// The folder of the log.
    pub sequence_dir: PathBuf,
    /// The node's other folders, and what it watches.
    pub service: ServiceOptions,
    /// How often a supervisor has restarted the node before this.
    pub engine_restarts: u64,
}

/// Opens the node's state, listens, and serves until shut down.
///
/// `on_ready` is called once with the handle that shuts the server down, as soon as it listens.
///
/// # Errors
///
/// The reason the app cannot start or had to stop by itself; see [`Halt::exit_code`].
pub fn run(options: &RunOptions, on_ready: impl FnOnce(ShutdownHandle)) -> Result<(), Halt> {
    let log = Log::open(&options.sequence_dir)?;
    let metrics = Arc::new(Metrics::new(Identity {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        engine: engine_id().to_string(),
        engine_restarts: options.engine_restarts,
    }));
    let counting = Arc::clone(&metrics);
    let on_commit = move |block: &CommittedBlock| {
        count_block(&counting, block);
        log_block(block);
    };
    let service = Service::open(log, &options.service, Arc::clone(&metrics), on_commit)?;
    let server = Server::bind(&options.listen)?;
    tracing::info!(listen = %options.listen, "serving ABCI");
    on_ready(server.shutdown_handle());
    server.run(Metered::new(service, metrics))
}

/// Logs a committed block, and what it proves of validators.
fn log_block(block: &CommittedBlock) {
    let head = &block.committed.head;
    let (height, length) = (head.height().0, head.length());
    let records = block.results.iter().filter(|result| result.receipt.is_ok()).count();
    tracing::debug!(height, length, records, "block committed");
    for proven in &block.misbehavior {
        log_misbehavior(height, proven);
    }
}

/// Logs what a validator did, with what to do: once on each node, and again only by a node that replays the chain.
fn log_misbehavior(block: u64, proven: &Misbehavior) {
    let (kind, deed) = match proven.kind {
        MisbehaviorKind::DuplicateVote => {
            ("duplicate vote", "signed two different votes at one height (double signing)")
        }
        MisbehaviorKind::LightClientAttack => {
            ("light client attack", "signed a block for light clients that the network did not make")
        }
        MisbehaviorKind::Unknown => ("unknown", "broke the rules of consensus"),
    };
    tracing::error!(
        validator = %proven.validator,
        power = proven.power,
        total_power = proven.total_power,
        kind,
        height = proven.height,
        time = proven.time.as_deref().unwrap_or("unknown"),
        block,
        "a validator {deed}: its key runs in two places, or was stolen, or its priv_validator_state.json was lost; \
         its operator has to stop all nodes with this key but one. Its vote still counts: \
         if validators with a third of the power do this, nodes can disagree"
    );
}
