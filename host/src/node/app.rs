//! The app of one node: opens its log and its pipeline once, and serves what needs them until asked to stop.

use std::path::PathBuf;

use crate::abci::transport::{ListenAddr, Server, ShutdownHandle};
use crate::abci::{Halt, Service, ServiceOptions};
use crate::api::health::Health;
use crate::app::{CommittedBlock, Misbehavior, MisbehaviorKind};
use crate::node::health::{self, Checker, Observed, Subject};
use crate::node::home::NodeHome;
use crate::sequence::Log;

/// What the app needs to run.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// Where CometBFT connects to.
    pub listen: ListenAddr,
    /// The folder of the log.
    pub sequence_dir: PathBuf,
    /// The node's other folders, and what it watches.
    pub service: ServiceOptions,
    /// The node's home, for the checks of its health; none: there are no checks.
    pub home: Option<NodeHome>,
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
    let observed = Observed::new(log.reader().committed());
    let on_commit = {
        let observed = observed.clone();
        move |block: &CommittedBlock| {
            log_block(block);
            observed.take(block);
        }
    };
    let service = Service::open(log, &options.service, on_commit)?;
    let server = Server::bind(&options.listen)?;
    let health = Health::default();
    let _checker =
        options.home.clone().map(|home| start_checks(options, home, &service, &server, observed, &health));
    tracing::info!(listen = %options.listen, "serving ABCI");
    on_ready(server.shutdown_handle());
    server.run(service)
}

/// Starts the checks of the node's health; without them it runs and is not ready.
fn start_checks(
    options: &RunOptions,
    home: NodeHome,
    service: &Service,
    server: &Server,
    observed: Observed,
    health: &Health,
) -> Option<Checker> {
    let subject = Subject {
        reader: service.reader(),
        in_force: service.in_force(),
        connections: server.connections(),
        observed,
        home,
        plugins_dir: options.service.plugins_dir.clone(),
        disk_free_bytes_low: options.service.disk_free_bytes_low,
    };
    let started = health::start(subject, health.clone());
    started.map_err(|error| tracing::error!(%error, "cannot start the checks of the node's health")).ok()
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
