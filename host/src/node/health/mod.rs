//! How a node is: checks that run every second in threads of their own, and the last report for whoever asks.
//!
//! ```text
//! look      CometBFT's RPC, disks, store, plugins ──┐
//! survey    the other nodes, in its own thread    ──┼──> snapshot ── checks ──> api::health, served over HTTP
//! observed  committed blocks                      ──┘
//! ```
//!
//! - [`quorum`]: how much voting power decides a block;
//! - [`ask`]: asks a node's HTTP how it is, and its home if nobody answers.
//!
//! # Invariants
//!
//! - Nothing here runs because somebody asks, or makes consensus wait: a committed block costs a lock, a pointer, and a look-up for each
//!   validator.
//! - A check fails only on what is known. What cannot be asked is unknown, which does not count against the node.

pub mod ask;
mod checks;
mod cut_off;
mod look;
mod observed;
pub mod quorum;
mod silent;
mod snapshot;
mod survey;
mod trends;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use cut_off::CutOffs;
use look::{Disks, EngineLook, ReadBack};
use observed::Missed;
use silent::Silence;
use snapshot::{Agreement, Answer, Engine, Learned, Silent, Snapshot, Survey, Violation};
use survey::Surveyor;
use trends::Trends;

pub use checks::names;
pub use observed::Observed;

use crate::abci::InForce;
use crate::abci::transport::Connections;
use crate::api::health::{Health, State};
use crate::node::home::NodeHome;
use crate::node::names::Names;
use crate::receipts::Receipts;
use crate::sequence::Reader;
use crate::telemetry::metrics::Metrics;

/// The checks of how other validators and nodes behave, but for what blocks prove.
pub const CONDUCT: [&str; 3] = ["proposals", "signing", "messages"];

/// How often the checks run.
const EVERY: Duration = Duration::from_secs(1);
/// The pause between two surveys, and how much longer it is for each node.
const SURVEY_EVERY: Duration = Duration::from_millis(1500);
const SURVEY_EVERY_FOR_EACH: Duration = Duration::from_millis(200);

/// What the check `disk` finds in a home, whether or not its node runs.
#[must_use]
pub fn disk(home: &NodeHome, disk_free_bytes_low: u64) -> (State, Option<String>) {
    checks::disks(&Disks::new(home, disk_free_bytes_low).look())
}

/// What the checks look at. None of it keeps the log open.
pub struct Subject {
    /// The committed prefix.
    pub reader: Reader,
    /// The pipeline in force.
    pub in_force: InForce,
    /// Who is connected to it.
    pub connections: Connections,
    /// What it committed.
    pub observed: Observed,
    /// What finds transactions by their hash.
    pub receipts: Receipts,
    /// The node's home.
    pub home: NodeHome,
    /// What messages call validators and nodes.
    pub names: Arc<Names>,
    /// Where its plugins are.
    pub plugins_dir: PathBuf,
    /// Free space below which it takes no transactions, in bytes.
    pub disk_free_bytes_low: u64,
    /// Where to report whether a peer holds other bytes.
    pub metrics: Arc<Metrics>,
}

/// The running checks; they end when this is dropped.
#[derive(Debug)]
pub struct Checker {
    is_over: Arc<AtomicBool>,
}

impl Drop for Checker {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

/// What the two threads tell each other.
#[derive(Debug, Default)]
struct Shared {
    /// This node's id and what its CometBFT says; `None`: it does not answer.
    engine: Option<(String, Engine)>,
    survey: Survey,
}

type Exchange = Arc<Mutex<Shared>>;

fn lock(exchange: &Exchange) -> MutexGuard<'_, Shared> {
    // Each of its fields is only ever replaced as a whole.
    exchange.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts the checks, whose reports go to `health`.
///
/// # Errors
///
/// When a thread cannot be started.
pub fn start(subject: Subject, health: Health) -> io::Result<Checker> {
    let is_over = Arc::new(AtomicBool::new(false));
    let exchange = Exchange::default();
    let (over, shared, observed) = (Arc::clone(&is_over), Arc::clone(&exchange), subject.observed.clone());
    look::spawn("health-peers", move || survey_on(&shared, &observed, &over))?;
    let over = Arc::clone(&is_over);
    look::spawn("health", move || check_on(&subject, &health, &exchange, &over))?;
    Ok(Checker { is_over })
}

fn check_on(subject: &Subject, health: &Health, exchange: &Exchange, is_over: &AtomicBool) {
    let mut engine_look = EngineLook::new(&subject.home);
    let disks = Disks::new(&subject.home, subject.disk_free_bytes_low);
    let mut read_back = ReadBack::new(subject.plugins_dir.clone());
    let mut trends = Trends::at(subject.reader.committed().head.height().0);
    let mut others = Others { silence: Silence::default(), cut_offs: CutOffs::new(&subject.home) };
    while !is_over.load(Ordering::Relaxed) {
        let began = Instant::now();
        let engine = engine_look.look();
        let survey = {
            let mut shared = lock(exchange);
            shared.engine = match &engine {
                Learned::Known(engine) => Some((engine_look.id.clone(), engine.clone())),
                Learned::Unasked(_) | Learned::Silent(_) => None,
            };
            shared.survey.clone()
        };
        let height = subject.reader.committed().head.height().0;
        let has_work = matches!(&engine, Learned::Known(engine) if engine.waiting > 0);
        let ahead = trends::ahead_of(height, heights_of_peers(&survey));
        let now = Instant::now();
        let (stalled, behind) = trends.take(height, has_work, ahead, now);
        let (store, pipeline) = read_back.look(&subject.reader, &subject.in_force);
        let (silent, violations) = others.look(subject, &engine, &survey, height);
        let snapshot = Snapshot {
            connections: subject.connections.count(),
            height,
            engine,
            stalled,
            block_age: trends.block_age(now),
            behind,
            survey,
            disks: disks.look(),
            store,
            pipeline,
            receipts: subject.receipts.coverage(),
            misdeeds: subject.observed.misdeeds(),
            accused: subject.observed.accused(Instant::now()),
            silent,
            violations,
            names: Arc::clone(&subject.names),
        };
        let differs = |seen: &snapshot::Seen| {
            seen.is_peer && seen.is_trusted && matches!(seen.agreement, Agreement::Differs { .. })
        };
        subject.metrics.set_peer_disagreement(snapshot.survey.nodes.values().any(differs));
        health.replace(checks::run(&snapshot));
        thread::sleep(EVERY.saturating_sub(began.elapsed()));
    }
}

/// How other validators and nodes behave, from one look to the next.
struct Others {
    silence: Silence,
    cut_offs: CutOffs,
}

impl Others {
    /// Looks at them; what becomes known is logged and counted.
    fn look(
        &mut self,
        subject: &Subject,
        engine: &Learned<Engine>,
        survey: &Survey,
        height: u64,
    ) -> (Option<Vec<Silent>>, Vec<Violation>) {
        let (names, metrics, now) = (&*subject.names, &*subject.metrics, Instant::now());
        if let Learned::Known(engine) = engine {
            self.cut_offs.know(engine);
        }
        let silent = self.silent(engine, survey, &subject.observed.missed(), height, now);
        if let (Learned::Known(engine), Some(silent)) = (engine, &silent) {
            self.silence.log(silent, engine.validator.as_deref(), names);
            metrics.set_silent_validators(silent.len() as u64);
        }
        (silent, self.cut_offs.look(names, metrics, now))
    }
}

impl Others {
    /// Which validators are up and sign or propose nothing; none: it is not known which are up.
    fn silent(
        &mut self,
        engine: &Learned<Engine>,
        survey: &Survey,
        missed: &BTreeMap<String, Missed>,
        height: u64,
        now: Instant,
    ) -> Option<Vec<Silent>> {
        let Learned::Known(engine) = engine else { return None };
        // While this node catches up, it sees who signed old blocks, and that says nothing about who is up.
        if engine.catching_up {
            return None;
        }
        let up = validators_up(engine, survey, height);
        let silent = self.silence.take(&up, missed, height, now);
        let is_own = |validator: &String| engine.validator.as_ref() == Some(validator);
        let knows_others = engine.peers.is_empty() || !up.iter().all(is_own);
        (knows_others || !silent.is_empty()).then_some(silent)
    }
}

/// The validators that are connected, by the network's file, or else by what peers that the operator named say; and this node's
/// own. A named peer that says that it has fewer blocks than the others is left out: it catches up.
fn validators_up(engine: &Engine, survey: &Survey, height: u64) -> BTreeSet<String> {
    let mut heights = heights_of_peers(survey);
    heights.sort_unstable();
    // Of several, half: one alone may say anything. Heights of one survey are of one time.
    let tip = heights.get(heights.len() / 2).map_or(height, |half| height.min(*half));
    let is_behind = |seen: &&snapshot::Seen| {
        let Answer::Answers { height, .. } = seen.answer else { return false };
        seen.is_trusted && height.saturating_add(silent::BLOCKS) < tip
    };
    let of_peer = |id: &String| {
        let seen = survey.nodes.get(id);
        if seen.filter(is_behind).is_some() {
            return None;
        }
        let answer = seen.filter(|seen| seen.is_trusted).map(|seen| &seen.answer);
        match (engine.members.get(id), answer) {
            (Some(validator), _) => Some(validator.clone()),
            (None, Some(Answer::Answers { validator, .. })) => validator.clone(),
            (None, _) => None,
        }
    };
    let own = engine.validator.clone().filter(|_| !engine.catching_up);
    engine.peers.iter().filter_map(|peer| of_peer(&peer.id)).chain(own).collect()
}

/// Heights of trusted peers.
fn heights_of_peers(survey: &Survey) -> Vec<u64> {
    let height = |seen: &snapshot::Seen| match seen.answer {
        Answer::Answers { height, .. } if seen.is_peer && seen.is_trusted => Some(height),
        Answer::Answers { .. } | Answer::Hangs | Answer::Unreachable(_) => None,
    };
    survey.nodes.values().filter_map(height).collect()
}

fn survey_on(exchange: &Exchange, observed: &Observed, is_over: &AtomicBool) {
    let mut surveyor = Surveyor::default();
    while !is_over.load(Ordering::Relaxed) {
        let engine = lock(exchange).engine.clone();
        // A survey that fails, because no thread can be started for one, leaves what it asks for unknown.
        let survey = engine.and_then(|(id, engine)| {
            catch_unwind(AssertUnwindSafe(|| surveyor.survey(&id, &engine, observed))).ok()
        });
        let survey = survey.unwrap_or_default();
        let pause = if survey.is_done {
            let nodes = u32::try_from(survey.nodes.len()).unwrap_or(u32::MAX);
            SURVEY_EVERY.saturating_add(SURVEY_EVERY_FOR_EACH.saturating_mul(nodes))
        } else {
            EVERY
        };
        lock(exchange).survey = survey;
        thread::sleep(pause);
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// Who is found to be silent after a minute in which three of four validators signed nothing, if this is how it looks.
    fn after_a_minute(change: impl Fn(&mut Snapshot)) -> Option<Vec<String>> {
        let home = NodeHome::new(Path::new("/nonexistent"));
        let mut others = Others { silence: Silence::default(), cut_offs: CutOffs::new(&home) };
        let lost = Missed { signatures: 900, proposals: 900, turn: 4 };
        let missed = ["V1", "V2", "V3"].map(|one| (one.to_owned(), lost)).into();
        let (mut snapshot, begin) = (Snapshot::well(), Instant::now());
        snapshot.engine_mut().trusted = Arc::new((1..=3).map(|number| format!("id{number}")).collect());
        for number in 1..=3 {
            let answer = Answer::Answers { validator: Some(format!("V{number}")), height: 1000 };
            snapshot.peer_mut(number).answer = answer;
        }
        change(&mut snapshot);
        let mut found = None;
        for second in [0, 20, 40, 60] {
            let now = begin + Duration::from_secs(second);
            found = others.silent(&snapshot.engine, &snapshot.survey, &missed, 1000 + second, now);
        }
        Some(found?.into_iter().map(|one| one.validator).collect())
    }

    #[test]
    fn only_nodes_that_the_operator_named_can_have_a_validator_called_silent() {
        assert_eq!(after_a_minute(|_| ()).unwrap(), ["V1", "V2", "V3"]);
        let named = after_a_minute(|snapshot| snapshot.peer_mut(3).is_trusted = false);
        assert_eq!(named.unwrap(), ["V1", "V2"], "a stranger says that it is V3");
        let member = after_a_minute(|snapshot| {
            snapshot.peer_mut(3).is_trusted = false;
            snapshot.engine_mut().members = Arc::new([("id3".to_owned(), "V3".to_owned())].into());
        });
        assert_eq!(member.unwrap(), ["V1", "V2", "V3"], "the network's file says it");
    }

    #[test]
    fn a_validator_whose_node_catches_up_is_not_called_silent() {
        let found = after_a_minute(|snapshot| {
            snapshot.peer_mut(3).answer = Answer::Answers { validator: Some("V3".to_owned()), height: 500 };
        });
        assert_eq!(found.unwrap(), ["V1", "V2"]);
        // One that boasts puts nobody behind.
        let found = after_a_minute(|snapshot| {
            snapshot.peer_mut(3).answer =
                Answer::Answers { validator: Some("V3".to_owned()), height: u64::MAX };
        });
        assert_eq!(found.unwrap(), ["V1", "V2", "V3"]);
    }

    #[test]
    fn who_is_silent_is_unknown_without_an_answer_or_a_peer_that_is_known() {
        assert_eq!(after_a_minute(|snapshot| snapshot.engine = Learned::Silent("it hangs".to_owned())), None);
        assert_eq!(after_a_minute(|snapshot| snapshot.engine_mut().catching_up = true), None);
        assert_eq!(after_a_minute(|snapshot| snapshot.survey = Survey::default()), None);
        assert_eq!(after_a_minute(|snapshot| snapshot.engine_mut().peers.clear()), Some(Vec::new()));
    }
}
