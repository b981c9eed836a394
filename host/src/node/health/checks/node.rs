//! The checks of this node by itself: its processes, its disk, its store, its pipeline.

use std::time::Duration;

use super::{Found, OK, failed, of_engine, unknown, warning};
use crate::node::health::quorum::{self, STALLED_AFTER};
use crate::node::health::snapshot::{Disk, Learned, Pipeline, Snapshot};
use crate::receipts::Coverage;

/// CometBFT opens a connection each for consensus, mempool, queries and snapshots.
const CONNECTIONS: usize = 4;
/// How long most peers may be ahead before this node counts as behind.
const BEHIND_AFTER: Duration = STALLED_AFTER;

pub(super) fn abci(snapshot: &Snapshot) -> Found {
    match snapshot.connections {
        0 => failed("CometBFT is not connected to the app"),
        count if count < CONNECTIONS => {
            failed(format!("CometBFT has {count} of its {CONNECTIONS} connections to the app"))
        }
        _ => OK,
    }
}

pub(super) fn engine(snapshot: &Snapshot) -> Found {
    match &snapshot.engine {
        Learned::Known(_) => OK,
        Learned::Unasked(why) => unknown(why.clone()),
        Learned::Silent(why) => failed(why.clone()),
    }
}

pub(super) fn sync(snapshot: &Snapshot) -> Found {
    of_engine(snapshot, |engine| {
        let height = snapshot.height;
        if engine.catching_up {
            return failed(format!("it fetches old blocks from its peers, and is at height {height}"));
        }
        match snapshot.behind {
            Some((blocks, since)) if since >= BEHIND_AFTER => failed(format!(
                "most of its persistent peers are {blocks} or more blocks ahead, and no block came in {} s after height {height}",
                since.as_secs()
            )),
            _ => OK,
        }
    })
}

pub(super) fn progress(snapshot: &Snapshot) -> Found {
    of_engine(snapshot, |engine| match snapshot.stalled {
        Some(since) if since >= STALLED_AFTER && !engine.catching_up => {
            let (why, height) = (quorum::stalled(since.as_secs()), snapshot.height);
            failed(format!("{why} after height {height}; {} in the mempool", engine.waiting))
        }
        _ => OK,
    })
}

pub(super) fn disk(snapshot: &Snapshot) -> Found {
    disks(&snapshot.disks)
}

/// The worst of some disks.
pub(super) fn disks(disks: &[Disk]) -> Found {
    let look = |disk: &Disk| {
        let Disk { path, free, low, wal_growth } = disk;
        let free = match free {
            Ok(free) => *free,
            Err(why) => return failed(why.clone()),
        };
        let has = format!("{} are free on the disk of {path}", bytes(free));
        let kept = format!("the node keeps {} free (disk_free_bytes_low)", bytes(*low));
        if free < *low {
            return failed(format!("{has}, and {kept}: it takes no transactions"));
        }
        if free.saturating_sub(*low) < *wal_growth {
            return warning(format!(
                "{has}; {kept}, and CometBFT's write-ahead log may still grow by {}",
                bytes(*wal_growth)
            ));
        }
        OK
    };
    disks.iter().map(look).max_by_key(|(state, _)| *state).unwrap_or(OK)
}

pub(super) fn store(snapshot: &Snapshot) -> Found {
    match &snapshot.store {
        Ok(()) => OK,
        Err(why) => failed(why.clone()),
    }
}

pub(super) fn pipeline(snapshot: &Snapshot) -> Found {
    match &snapshot.pipeline {
        Pipeline::NoGenesis => failed("the node has no genesis yet: CometBFT has not sent it"),
        Pipeline::Runs { id, committed: Some(committed), .. } if committed != id => {
            failed(format!("pipeline {id} runs, and the last block was committed under {committed}"))
        }
        Pipeline::Runs { missing: Some(why), .. } => {
            warning(format!("it runs as pinned, and would not start again: {why}"))
        }
        Pipeline::Runs { .. } => OK,
    }
}

/// What finds a transaction by its hash: without it, nobody can tell whether one that is submitted is committed already.
pub(super) fn receipts(snapshot: &Snapshot) -> Found {
    let Coverage { complete, indexed, count, trouble } = &snapshot.receipts;
    let refuses =
        "transactions that are submitted over HTTP and receipts of older ones are answered with 503";
    match (complete, trouble) {
        (true, None) => OK,
        (true, Some(why)) => warning(format!(
            "the index of receipts cannot be kept: {why}. Receipts are found without it as yet, because the sequence is short"
        )),
        (false, Some(why)) => failed(format!("the index of receipts cannot be kept: {why}; {refuses}")),
        (false, None) => failed(format!(
            "the index of receipts is being opened or built, and has {indexed} of {count} records; until then {refuses}"
        )),
    }
}

/// As people read sizes.
fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if count < 1024 {
        return format!("{count} bytes");
    }
    let exponent = count.ilog2() / 10;
    let (unit, shift) = match UNITS.get(exponent as usize - 1) {
        Some(unit) => (*unit, exponent * 10),
        None => ("EiB", 60),
    };
    let tenths = (u128::from(count) * 10) >> shift;
    format!("{}.{} {unit}", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::health::State;

    /// What a check finds after a change to what is well.
    fn after(check: fn(&Snapshot) -> Found, change: impl FnOnce(&mut Snapshot)) -> (State, String) {
        let mut snapshot = Snapshot::well();
        change(&mut snapshot);
        let (state, reason) = check(&snapshot);
        (state, reason.unwrap_or_default())
    }

    fn failure(reason: &str) -> (State, String) {
        (State::Failed, reason.to_owned())
    }

    const FINE: (State, String) = (State::Ok, String::new());

    #[test]
    fn fewer_connections_than_cometbft_opens_fail() {
        let with = |count| after(abci, |snapshot| snapshot.connections = count);
        assert_eq!(with(0), failure("CometBFT is not connected to the app"));
        assert_eq!(with(3), failure("CometBFT has 3 of its 4 connections to the app"));
        assert_eq!(with(5), FINE, "a tool may be connected too");
    }

    #[test]
    fn a_node_that_catches_up_or_is_left_behind_fails() {
        let found = after(sync, |snapshot| snapshot.engine_mut().catching_up = true);
        assert_eq!(found, failure("it fetches old blocks from its peers, and is at height 7"));
        let behind =
            |seconds| after(sync, |snapshot| snapshot.behind = Some((3, Duration::from_secs(seconds))));
        assert_eq!(behind(7), FINE);
        let why = "most of its persistent peers are 3 or more blocks ahead, and no block came in 8 s after height 7";
        assert_eq!(behind(8), failure(why));
    }

    #[test]
    fn no_block_fails_only_when_there_is_work() {
        let stalled = |seconds, catching_up| {
            after(progress, |snapshot| {
                snapshot.stalled = Some(Duration::from_secs(seconds));
                snapshot.engine_mut().waiting = 5;
                snapshot.engine_mut().catching_up = catching_up;
            })
        };
        assert_eq!(stalled(7, false), FINE);
        let why = "transactions wait, and no block came in 8 s after height 7; 5 in the mempool";
        assert_eq!(stalled(8, false), failure(why));
        assert_eq!(stalled(8, true), FINE, "its mempool is old then");
        assert_eq!(after(progress, |snapshot| snapshot.stalled = None), FINE);
    }

    #[test]
    fn a_disk_below_its_mark_fails_and_one_that_the_wal_may_fill_is_a_warning() {
        let free = |bytes| after(disk, |snapshot| snapshot.disks[0].free = Ok(bytes));
        let why = "511.9 MiB are free on the disk of /s, and the node keeps 512.0 MiB free (disk_free_bytes_low): it takes \
                   no transactions";
        assert_eq!(free((1 << 29) - 1), failure(why));
        let why = "512.0 MiB are free on the disk of /s; the node keeps 512.0 MiB free (disk_free_bytes_low), and CometBFT's \
                   write-ahead log may still grow by 1.0 GiB";
        assert_eq!(free(1 << 29), (State::Warning, why.to_owned()));
        assert_eq!(free((1 << 29) + (1 << 30)), FINE);
        let unknown = after(disk, |snapshot| snapshot.disks[0].free = Err("cannot ask".to_owned()));
        assert_eq!(unknown, failure("cannot ask"));
    }

    #[test]
    fn of_two_disks_the_worse_one_counts() {
        let found = after(disk, |snapshot| {
            let good = snapshot.disks[0].clone();
            snapshot.disks = vec![good.clone(), Disk { path: "/d".to_owned(), free: Ok(0), ..good }];
        });
        assert!(
            found.0 == State::Failed && found.1.starts_with("0 bytes are free on the disk of /d, "),
            "{found:?}"
        );
    }

    #[test]
    fn a_record_that_cannot_be_read_back_fails() {
        let found = after(store, |snapshot| snapshot.store = Err("record 4 is damaged".to_owned()));
        assert_eq!(found, failure("record 4 is damaged"));
    }

    #[test]
    fn another_pipeline_than_the_committed_one_fails_and_a_lost_file_is_a_warning() {
        let with = |runs: Pipeline| after(pipeline, |snapshot| snapshot.pipeline = runs);
        let runs = |committed: Option<&str>, missing: Option<&str>| Pipeline::Runs {
            id: "p".to_owned(),
            committed: committed.map(str::to_owned),
            missing: missing.map(str::to_owned),
        };
        assert_eq!(with(runs(None, None)), FINE);
        assert_eq!(with(Pipeline::NoGenesis).0, State::Failed);
        assert_eq!(
            with(runs(Some("q"), None)),
            failure("pipeline p runs, and the last block was committed under q")
        );
        let why = "it runs as pinned, and would not start again: no file";
        assert_eq!(with(runs(Some("p"), Some("no file"))), (State::Warning, why.to_owned()));
    }

    #[test]
    fn an_index_of_receipts_that_cannot_tell_fails_and_one_that_is_not_needed_yet_is_a_warning() {
        let with = |complete, trouble: Option<&str>| {
            after(receipts, |snapshot| {
                let trouble = trouble.map(str::to_owned);
                snapshot.receipts = Coverage { complete, indexed: 3, count: 9, trouble };
            })
        };
        assert_eq!(with(true, None), FINE);
        let (state, why) = with(true, Some("no space"));
        assert!(state == State::Warning && why.contains("cannot be kept: no space"), "{why}");
        let (state, why) = with(false, Some("no space"));
        assert!(state == State::Failed && why.contains("no space; transactions that are submitted"), "{why}");
        let (state, why) = with(false, None);
        assert!(state == State::Failed && why.contains("has 3 of 9 records"), "{why}");
    }

    #[test]
    fn sizes_are_written_as_people_read_them() {
        let written = [0, 1023, 1024, 1536 << 20, (1 << 40) - 1, u64::MAX].map(bytes);
        assert_eq!(written, ["0 bytes", "1023 bytes", "1.0 KiB", "1.5 GiB", "1023.9 GiB", "15.9 EiB"]);
    }
}
