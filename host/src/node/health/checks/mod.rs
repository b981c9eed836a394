//! The checks: each a function of one snapshot.

mod conduct;
mod network;
mod node;

use super::snapshot::{Disk, Engine, Learned, Snapshot};
use crate::api::health::{Check, Report, State};

/// What a check found, and why.
type Found = (State, Option<String>);

/// One check.
type Look = fn(&Snapshot) -> Found;

/// Every check, in the order in which they are shown: what the others need comes first.
const ALL: &[(&str, Look)] = &[
    ("abci", node::abci),
    ("engine", node::engine),
    ("sync", node::sync),
    ("peers", network::peers),
    ("progress", node::progress),
    ("disk", node::disk),
    ("store", node::store),
    ("pipeline", node::pipeline),
    ("receipts", node::receipts),
    ("double-signing", network::double_signing),
    ("proposals", conduct::proposals),
    ("signing", conduct::signing),
    ("messages", conduct::messages),
    ("agreement", network::agreement),
];

/// The checks' names, in the same order.
pub fn names() -> impl Iterator<Item = &'static str> {
    ALL.iter().map(|(name, _)| *name)
}

/// Runs all checks.
pub(super) fn run(snapshot: &Snapshot) -> Report {
    let check = |(name, look): &(&'static str, Look)| {
        let (state, reason) = look(snapshot);
        Check::new(name, state, reason)
    };
    Report { checks: ALL.iter().map(check).collect() }
}

/// What is found of some disks alone.
pub(super) fn disks(disks: &[Disk]) -> Found {
    node::disks(disks)
}

const OK: Found = (State::Ok, None);

fn unknown(reason: impl Into<String>) -> Found {
    (State::Unknown, Some(reason.into()))
}

fn warning(reason: impl Into<String>) -> Found {
    (State::Warning, Some(reason.into()))
}

fn failed(reason: impl Into<String>) -> Found {
    (State::Failed, Some(reason.into()))
}

/// What a check finds that needs CometBFT's answer.
fn of_engine(snapshot: &Snapshot, look: impl FnOnce(&Engine) -> Found) -> Found {
    match &snapshot.engine {
        Learned::Known(engine) => look(engine),
        Learned::Unasked(_) => unknown("CometBFT's RPC cannot be asked; see the check engine"),
        Learned::Silent(_) => unknown("CometBFT's RPC does not answer; see the check engine"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_is_well_passes_every_check() {
        let report = run(&Snapshot::well());
        assert!(
            report.checks.iter().all(|check| (check.state, &check.reason) == (State::Ok, &None)),
            "{report:?}"
        );
        assert_eq!(report.checks.len(), names().count());
        let mut sorted: Vec<_> = names().collect();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(sorted.len(), ALL.len(), "names are used once each");
    }

    #[test]
    fn a_cometbft_that_does_not_answer_fails_one_check_and_leaves_the_others_unknown() {
        let mut snapshot = Snapshot::well();
        snapshot.engine = Learned::Silent("it hangs".to_owned());
        snapshot.survey = Default::default();
        snapshot.silent = None;
        let states = |snapshot: &Snapshot, wanted: State| -> Vec<String> {
            let report = run(snapshot);
            report
                .checks
                .iter()
                .filter(|check| check.state == wanted)
                .map(|check| check.name.to_string())
                .collect()
        };
        assert_eq!(states(&snapshot, State::Failed), ["engine"]);
        let unknown = ["sync", "peers", "progress", "signing", "agreement"];
        assert_eq!(states(&snapshot, State::Unknown), unknown);
        snapshot.engine = Learned::Unasked("no CometBFT in this home".to_owned());
        assert_eq!(states(&snapshot, State::Failed), Vec::<String>::new());
        assert_eq!(states(&snapshot, State::Unknown)[1..], unknown);
    }

    #[test]
    fn the_page_lists_every_check_in_order() {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/health.md");
        let page = std::fs::read_to_string(page).unwrap();
        let (_, checks) = page.split_once("\n## Checks\n").unwrap();
        let (checks, _) = checks.split_once("\n## ").unwrap();
        let rows = checks.lines().filter_map(|line| line.strip_prefix("| `"));
        let listed: Vec<&str> = rows.map(|row| row.split('`').next().unwrap()).collect();
        let expected: Vec<&str> = std::iter::once(crate::api::health::CHECKS).chain(names()).collect();
        assert_eq!(listed, expected);
    }
}
