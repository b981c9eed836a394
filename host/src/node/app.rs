//! The app of one node: opens its log and its pipeline once, and serves what needs them until asked to stop: ABCI to
//! CometBFT, and HTTP to everybody else.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use crate::abci::transport::{ListenAddr, Server, ShutdownHandle};
use crate::abci::{EXIT_FAILED, Halt, Metered, OwnVotes, Service, ServiceOptions, count_block};
use crate::api::health::Health;
use crate::api::submit::{Bounds, Intake, Submissions};
use crate::api::{self, Limits, Origins};
use crate::app::{CommittedBlock, Misbehavior, MisbehaviorKind, RejectedProposal};
use crate::node::address::Address;
use crate::node::engine::data::EngineData;
use crate::node::engine::key_files;
use crate::node::engine::listen;
use crate::node::health::{self, Checker, Observed, Subject};
use crate::node::home::NodeHome;
use crate::node::intake::NodeIntake;
use crate::node::names::Names;
use crate::node::preflight::Hold;
use crate::plugin::engine_id;
use crate::receipts::Receipts;
use crate::sequence::{self, Log};
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
    /// The node's home, which the checks of its health look at; none: there are no checks, and so it is never ready.
    pub home: Option<NodeHome>,
    /// Whether `dseq start` runs this, and CometBFT with the keys of the same home.
    pub supervised: bool,
    /// HTTP; none: it is not served.
    pub http: Option<HttpOptions>,
}

/// How HTTP is served.
#[derive(Clone, Debug)]
pub struct HttpOptions {
    /// Where.
    pub listen: SocketAddr,
    /// Pages of which other origins may use it.
    pub cors_origins: Origins,
}

/// Why the app ended.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// What serves consensus cannot start, or had to stop by itself.
    #[error(transparent)]
    Halt(#[from] Halt),
    /// HTTP cannot start.
    #[error(transparent)]
    Http(#[from] api::BindError),
}

impl RunError {
    /// The process's exit code: 78 when trying again cannot help, 1 otherwise.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Halt(halt) => halt.exit_code(),
            Self::Http(_) => EXIT_FAILED,
        }
    }
}

/// Opens the node's state, listens, and serves until shut down.
///
/// `on_ready` is called once with the handle that shuts the server down, as soon as it listens. HTTP is there before, and
/// ends after ABCI.
///
/// # Errors
///
/// The reason the app cannot start or had to stop by itself; see [`RunError::exit_code`].
pub fn run(options: &RunOptions, on_ready: impl FnOnce(ShutdownHandle)) -> Result<(), RunError> {
    let log = Log::open(&options.sequence_dir).map_err(Halt::from)?;
    let metrics = Arc::new(Metrics::new(Identity {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        engine: engine_id().to_string(),
        engine_restarts: options.engine_restarts,
    }));
    let observed = Observed::new(log.reader().committed());
    let height = log.head().height().0;
    let receipts = Receipts::open(log.reader(), options.home.as_ref().map(NodeHome::receipts_index))
        .map_err(api::BindError::Threads)?;
    let names = Arc::new(options.home.as_ref().map(Names::of).unwrap_or_default());
    let on_commit = {
        let (metrics, observed, receipts) = (Arc::clone(&metrics), observed.clone(), receipts.clone());
        let names = Arc::clone(&names);
        move |block: &CommittedBlock| {
            count_block(&metrics, block);
            log_block(block, &names);
            observed.take(block);
            receipts.take(block);
        }
    };
    let service = Service::open(log, &options.service, Arc::clone(&metrics), on_commit)?;
    service.answer_from(receipts.clone());
    service.on_rejected_proposal({
        let (observed, names) = (observed.clone(), Arc::clone(&names));
        move |rejected| {
            log_rejected_proposal(rejected, &names);
            observed.take_rejected(rejected, Instant::now());
        }
    });
    let voting = options.home.as_ref().filter(|_| options.supervised);
    if let Some(own_votes) = voting.and_then(|home| own_votes(home, height)) {
        service.watch_over(own_votes);
    }
    let server = Server::bind(&options.listen).map_err(Halt::from)?;
    let health = Health::default();
    let http = match options
        .http
        .as_ref()
        .map(|http| serve_http(http, options, &service, receipts.clone(), &health))
        .transpose()
    {
        // A port that somebody took while the node restarts by itself must not end a validator.
        Err(error) if options.engine_restarts > 0 => {
            tracing::error!(%error, "HTTP is not served until the next restart");
            None
        }
        served => served?,
    };
    // Nobody else asks how the node is.
    let checked = options.home.as_ref().filter(|_| http.is_some());
    let watched = (observed, receipts, names);
    let _checker = checked.map(|home| start_checks(options, home, &service, &server, watched, health));
    tracing::info!(listen = %options.listen, "serving ABCI");
    on_ready(server.shutdown_handle());
    // After a failure nothing that is asked over HTTP is answered any more: it is cut off.
    server.run(Metered::new(service, metrics))?;
    if let Some(http) = http {
        http.stop();
    }
    Ok(())
}

/// Watches over the votes of a home's validator key, whose log has this height; none: CometBFT does not sign with it here.
fn own_votes(home: &NodeHome, height: u64) -> Option<OwnVotes> {
    // `dseq recover` lets CometBFT run with a key that is thrown away.
    let is_recovering = !matches!(Hold::Recovering.read(home), Ok(None));
    if is_recovering || key_files::is_remote(home) {
        return None;
    }
    let address = key_files::validator(home).ok()??.address()?;
    let address = data_encoding::HEXUPPER.decode(address.as_bytes()).ok()?;
    let (data, rpc) = (EngineData::of(home), listen::rpc(home).map(|rpc| rpc.reached_locally()));
    // A log that is rebuilt from CometBFT's blocks shows votes that a record may have lost, and proves nothing either.
    Some(OwnVotes::new(address, height, move || {
        if rpc.as_ref().is_some_and(is_refused) { None } else { data.recorded_height().ok().flatten() }
    }))
}

/// Whether nobody listens there. CometBFT serves RPC only after it has replayed the blocks that it had stored, and before it
/// gets others.
fn is_refused(rpc: &Address) -> bool {
    let connected = TcpStream::connect(rpc.to_string());
    connected.is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
}

/// Starts HTTP, which sees what is committed and what the service says of itself.
fn serve_http(
    http: &HttpOptions,
    options: &RunOptions,
    service: &Service,
    receipts: Receipts,
    health: &Health,
) -> Result<api::Running, api::BindError> {
    let HttpOptions { listen, cors_origins } = http;
    let (server, asked) = (api::Server::bind(*listen, Limits::default())?, service.clone());
    let (dir, in_force) = (options.sequence_dir.clone(), service.in_force());
    let tail = api::Tail::start(service.reader(), move || {
        sequence::chain_of(&dir).ok().flatten().map(|chain| chain.chain_id)
    });
    let intake = intake(options, service).map_err(api::BindError::Threads)?;
    let submissions = Submissions::new(intake, receipts, server.stopping(), Bounds::DEFAULT);
    let state = api::State {
        reader: service.reader(),
        tail: tail.map_err(api::BindError::Threads)?,
        status: Arc::new(move || asked.status()),
        rules: Arc::new(move || in_force.pipeline().map(|pipeline| pipeline.spec().clone())),
        metrics: service.metrics(),
        health: health.clone(),
        submissions,
        stopping: server.stopping(),
    };
    let address = server.address();
    tracing::info!(listen = %address, "serving HTTP");
    if !address.ip().is_loopback() {
        tracing::warn!(
            listen = %address,
            "HTTP listens beyond this machine, without authentication or encryption: whoever reaches it can read the whole \
             sequence and the state of this node; put a proxy with TLS in front of it, or set `http` to a loopback address"
        );
    }
    let (router, limits) = (api::router(state), server.limits());
    let running = server.start(api::layered(router, address, limits, cors_origins, service.metrics()))?;
    service.metrics().http().read_connections_from(running.count_connections());
    Ok(running)
}

/// What takes transactions to CometBFT; or why nothing does.
fn intake(options: &RunOptions, service: &Service) -> std::io::Result<Result<Arc<dyn Intake>, &'static str>> {
    let Some(rpc) = options.home.as_ref().and_then(listen::rpc) else {
        return Ok(Err(
            "this node does not know its CometBFT's RPC: `rpc.laddr` in config/config.toml of its home names no TCP address",
        ));
    };
    let started = NodeIntake::start(service, rpc.reached_locally())?;
    Ok(Ok(Arc::new(started)))
}

/// Starts the checks of the node's health; without them it runs and is not ready.
fn start_checks(
    options: &RunOptions,
    home: &NodeHome,
    service: &Service,
    server: &Server,
    (observed, receipts, names): (Observed, Receipts, Arc<Names>),
    health: Health,
) -> Option<Checker> {
    let subject = Subject {
        reader: service.reader(),
        in_force: service.in_force(),
        connections: server.connections(),
        observed,
        receipts,
        home: home.clone(),
        names,
        plugins_dir: options.service.plugins_dir.clone(),
        disk_free_bytes_low: options.service.disk_free_bytes_low,
        metrics: service.metrics(),
    };
    let started = health::start(subject, health);
    started.map_err(|error| tracing::error!(%error, "cannot start the checks of the node's health")).ok()
}

/// Logs that this node rejects a proposal, with the proposer that the block names.
fn log_rejected_proposal(rejected: &RejectedProposal, names: &Names) {
    let RejectedProposal { height, proposer, objection } = rejected;
    let who = names.validator(proposer);
    tracing::warn!(
        height,
        validator = %proposer,
        "rejecting a block proposed in the name of {who}: {objection}"
    );
}

/// Logs a committed block, and what it proves of validators.
fn log_block(block: &CommittedBlock, names: &Names) {
    let head = &block.committed.head;
    let (height, length) = (head.height().0, head.length());
    let records = block.results.iter().filter(|result| result.receipt.is_ok()).count();
    tracing::debug!(height, length, records, "block committed");
    for proven in &block.conduct.misbehavior {
        log_misbehavior(height, proven, names);
    }
}

/// Logs what a validator did, with what to do: once on each node, and again only by a node that replays the chain.
fn log_misbehavior(block: u64, proven: &Misbehavior, names: &Names) {
    let who = names.validator(&proven.validator);
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
        "the validator {who} {deed}: its key runs in two places, or was stolen, or its priv_validator_state.json was lost; \
         its operator has to stop all nodes with this key but one. Its vote still counts: \
         if validators with a third of the power do this, nodes can disagree"
    );
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_missing_record_is_unknown_and_an_rpc_that_is_refused_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        let data = EngineData::of(&NodeHome::new(dir.path()));
        assert_eq!(data.recorded_height().unwrap(), None);
        fs::create_dir(dir.path().join("data")).unwrap();
        fs::write(data.signing_state(), r#"{"height": "7", "round": 0, "step": 3}"#).unwrap();
        assert_eq!(data.recorded_height().unwrap(), Some(7));

        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let rpc = Address::loopback(listener.local_addr().unwrap().port());
        assert!(!is_refused(&rpc));
        drop(listener);
        assert!(is_refused(&rpc));
    }
}
