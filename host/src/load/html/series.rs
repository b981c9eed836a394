//! What the charts draw: the run cut into pieces of equal length.

use std::time::Duration;

use crate::load::ledger::{Closed, Slot, histogram};
use crate::load::report::millis;

/// Pieces of the throughput, at most about this many.
const PIECES: f64 = 80.0;
/// Dots of single requests, at most.
const DOTS_MAX: usize = 3000;
/// Fewest requests of a piece of which percentiles are drawn, so that a line says something.
const REQUESTS_MIN: u64 = 5;

/// Latencies of the requests that were due in one piece of time.
pub(super) struct Bucket {
    /// The middle of the piece.
    pub(super) seconds: f64,
    pub(super) p50: f64,
    pub(super) p99: f64,
}

/// What the charts draw.
pub(super) struct Series {
    /// Length of the run.
    pub(super) seconds: f64,
    /// Length of a piece.
    pub(super) width: f64,
    /// When single requests were due, and their latency in ms.
    pub(super) requests: Vec<(f64, f64)>,
    pub(super) latency: Vec<Bucket>,
    pub(super) latency_max: f64,
    /// For each piece, how many were committed at each node.
    pub(super) commits: Vec<Vec<u64>>,
}

impl Series {
    pub(super) fn of(closed: &Closed, nodes: usize) -> Self {
        let slots = &closed.slots;
        let end = closed.last_commit.max(slots.last().map_or(0, |slot| slot.due)).max(1);
        let seconds = end as f64 / 1e6;
        let width = piece(seconds / PIECES);
        let width_micros = width * 1e6;
        // Whole microseconds: a piece is a round number of tenths of a second, or more.
        let micros = u64::try_from(Duration::from_secs_f64(width).as_micros()).unwrap_or(u64::MAX).max(1);
        let at = |moment: u64| usize::try_from(moment / micros).unwrap_or(usize::MAX);
        let mut commits = vec![vec![0; nodes]; at(end) + 1];
        for slot in slots {
            if let Some(latency) = slot.committed() {
                commits[at(slot.due.saturating_add(latency))][usize::from(slot.node)] += 1;
            }
        }
        let stride = slots.len().div_ceil(DOTS_MAX).max(1);
        let point = |slot: &Slot| Some((slot.due as f64 / 1e6, millis(slot.committed()?)));
        let requests: Vec<(f64, f64)> = slots.iter().step_by(stride).filter_map(point).collect();
        let latency = latency(slots, width_micros);
        let latency_max = millis(closed.latencies.max());
        Self { seconds, width, requests, latency, latency_max, commits }
    }
}

/// Slots are in order of when they were due.
fn latency(slots: &[Slot], width_micros: f64) -> Vec<Bucket> {
    let piece = |slot: &Slot| (slot.due as f64 / width_micros).floor();
    let mut micros = histogram();
    let mut buckets = Vec::new();
    for of_piece in slots.chunk_by(|a, b| piece(a) == piece(b)) {
        micros.reset();
        of_piece.iter().filter_map(Slot::committed).for_each(|value| micros.saturating_record(value.max(1)));
        if micros.len() >= REQUESTS_MIN {
            let at = |quantile| millis(micros.value_at_quantile(quantile));
            let seconds = (piece(&of_piece[0]) + 0.5) * width_micros / 1e6;
            buckets.push(Bucket { seconds, p50: at(0.5), p99: at(0.99) });
        }
    }
    buckets
}

/// A round length at or above this one, at least a tenth of a second: blocks come no faster.
fn piece(seconds: f64) -> f64 {
    let seconds = seconds.max(0.1);
    let power = 10_f64.powf(seconds.log10().floor());
    [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|factor| factor * power)
        .find(|length| *length >= seconds * 0.999_999)
        .unwrap_or(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_round() {
        let round = [0.01, 0.1, 0.11, 0.3, 1.0, 7.0, 55.0].map(piece);
        assert_eq!(
            round.map(|length| format!("{length:.2}")),
            ["0.10", "0.10", "0.20", "0.50", "1.00", "10.00", "100.00"]
        );
    }
}
