//! Counters and histograms that consensus writes and a scrape reads, without a lock between them.
//!
//! The library's own histogram and families are behind locks, which a scrape that loses its processor would hold against
//! Commit. Counters of CheckTx are also split by thread: several threads check at once, and one that increments what
//! another has just incremented waits for its cache line.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::{MetricType, TypedMetric};

/// One fewer threads have a shard of their own; all others share the last one.
const SHARDS: usize = 16;
const SHARED: usize = SHARDS - 1;
/// Counts that one [`Sharded`] can hold.
const COUNTS: usize = 16;
/// Upper bounds for one transaction or one call of a plugin, in seconds.
pub(super) const SHORT_SECONDS: &[f64] =
    &[1e-6, 2.5e-6, 5e-6, 1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 5e-3, 2.5e-2, 0.1, 1.0];

/// The shards that no thread owns, a bit for each.
static FREE: AtomicU32 = AtomicU32::new((1 << SHARED) - 1);

thread_local! {
    static OWNED: Owned = Owned::take();
}

/// The shard of a thread, which another one takes over when it ends.
struct Owned(usize);

impl Owned {
    fn take() -> Self {
        // Acquires what the owner before has counted, whose `drop` releases it.
        let taken = FREE.fetch_update(Ordering::AcqRel, Ordering::Acquire, |free| {
            (free != 0).then_some(free & free.wrapping_sub(1))
        });
        Self(taken.map_or(SHARED, |free| free.trailing_zeros() as usize))
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        if self.0 != SHARED {
            FREE.fetch_or(1 << self.0, Ordering::Release);
        }
    }
}

/// Two cache lines: processors fetch them in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Shard([AtomicU64; COUNTS]);

/// Counts that many threads add to at once. A thread adds to its own cache line, alone, so that it needs no locked
/// instruction; a scrape sums all.
#[derive(Debug, Default)]
pub(super) struct Sharded([Shard; SHARDS]);

impl Sharded {
    pub(super) fn add(&self, count: usize, more: u64) {
        // A thread that is ending has given its shard back.
        let shard = OWNED.try_with(|owned| owned.0).unwrap_or(SHARED);
        let count = &self.0[shard].0[count];
        if shard == SHARED {
            count.fetch_add(more, Ordering::Relaxed);
        } else {
            count.store(count.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
        }
    }

    pub(super) fn sum(&self, count: usize) -> u64 {
        let counts = self.0.iter().map(|shard| shard.0[count].load(Ordering::Relaxed));
        counts.fold(0, u64::wrapping_add)
    }
}

/// The values of a label: an enum, each variant with its text.
pub(super) trait Label: Copy + 'static {
    /// The label's name.
    const NAME: &'static str;
    /// The texts of its values.
    const VALUES: &'static [&'static str];
    /// The place of this one among them.
    fn index(self) -> usize;
}

/// Defines a [`Label`] in a module beside this one, so that a label has no other value than these.
macro_rules! label {
    ($(#[$doc:meta])* $vis:vis $type:ident = $name:literal { $($(#[$value_doc:meta])* $value:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        $vis enum $type {
            $($(#[$value_doc])* $value,)*
        }

        impl super::cells::Label for $type {
            const NAME: &'static str = $name;
            const VALUES: &'static [&'static str] = &[$($text),*];

            fn index(self) -> usize {
                self as usize
            }
        }
    };
}
pub(super) use label;

/// One counter for each value of a label. All are there from the start, so that the first increase is seen as one.
#[derive(Debug)]
pub(super) struct Counters<L> {
    counts: Box<Sharded>,
    label: std::marker::PhantomData<fn(L)>,
}

impl<L: Label> Default for Counters<L> {
    fn default() -> Self {
        const { assert!(L::VALUES.len() <= COUNTS, "a `Sharded` has no room for so many values") };
        Self { counts: Box::default(), label: std::marker::PhantomData }
    }
}

impl<L: Label> Counters<L> {
    pub(super) fn add(&self, value: L, more: u64) {
        self.counts.add(value.index(), more);
    }
}

impl<L: Label> EncodeMetric for Counters<L> {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), std::fmt::Error> {
        for (index, value) in L::VALUES.iter().enumerate() {
            let labels = [(L::NAME, *value)];
            encoder
                .encode_family(&labels)?
                .encode_counter::<NoLabelSet, _, u64>(&self.counts.sum(index), None)?;
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Counter
    }
}

/// A histogram of durations.
#[derive(Debug)]
pub(super) struct Histogram {
    /// Upper bounds in seconds, ascending; what is longer counts in the last of `counts`.
    bounds: &'static [f64],
    counts: Box<[AtomicU64]>,
    nanos: AtomicU64,
}

impl Histogram {
    pub(super) fn new(bounds: &'static [f64]) -> Self {
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self { bounds, counts, nanos: AtomicU64::new(0) }
    }

    pub(super) fn observe(&self, duration: Duration) {
        let seconds = duration.as_secs_f64();
        let bucket = self.bounds.partition_point(|bound| *bound < seconds);
        self.counts[bucket].fetch_add(1, Ordering::Relaxed);
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.nanos.fetch_add(nanos, Ordering::Relaxed);
    }

    /// How many durations were observed.
    #[cfg(test)]
    pub(super) fn count(&self) -> u64 {
        self.counts.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }

    /// Encodes it for the label set that `encoder` has.
    pub(super) fn encode_into(&self, encoder: &mut MetricEncoder<'_>) -> Result<(), std::fmt::Error> {
        let counts: Vec<u64> = self.counts.iter().map(|count| count.load(Ordering::Relaxed)).collect();
        let bounds = self.bounds.iter().copied().chain([f64::INFINITY]);
        let buckets: Vec<(f64, u64)> = bounds.zip(counts.iter().copied()).collect();
        let sum = Duration::from_nanos(self.nanos.load(Ordering::Relaxed)).as_secs_f64();
        encoder.encode_histogram::<NoLabelSet>(sum, counts.iter().sum(), &buckets, None)
    }
}

impl TypedMetric for Histogram {
    const TYPE: MetricType = MetricType::Histogram;
}

impl EncodeMetric for Histogram {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), std::fmt::Error> {
        self.encode_into(&mut encoder)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}

/// One histogram for each value of a label.
#[derive(Debug)]
pub(super) struct Histograms<L> {
    each: Box<[Histogram]>,
    label: std::marker::PhantomData<fn(L)>,
}

impl<L: Label> Histograms<L> {
    pub(super) fn new(bounds: &'static [f64]) -> Self {
        let each = L::VALUES.iter().map(|_| Histogram::new(bounds)).collect();
        Self { each, label: std::marker::PhantomData }
    }

    pub(super) fn observe(&self, value: L, duration: Duration) {
        self.each[value.index()].observe(duration);
    }
}

impl<L: Label> EncodeMetric for Histograms<L> {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), std::fmt::Error> {
        for (value, histogram) in L::VALUES.iter().zip(&self.each) {
            histogram.encode_into(&mut encoder.encode_family(&[(L::NAME, *value)])?)?;
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn what_several_threads_add_is_summed() {
        let sharded = Sharded::default();
        thread::scope(|scope| {
            for _ in 0..2 * SHARDS {
                scope.spawn(|| (0..1000).for_each(|_| sharded.add(COUNTS - 1, 2)));
            }
        });
        // One after the other, they take over each other's shards.
        for _ in 0..2 * SHARDS {
            thread::scope(|scope| scope.spawn(|| sharded.add(COUNTS - 1, 1)).join().unwrap());
        }
        assert_eq!(sharded.sum(COUNTS - 1), (4000 + 2) * SHARDS as u64);
        assert_eq!(sharded.sum(0), 0);
    }

    #[test]
    fn a_duration_counts_in_the_first_bucket_that_holds_it() {
        let histogram = Histogram::new(&[0.001, 0.01]);
        for micros in [0, 1000, 1001, 10_000, 10_001, 60_000_000] {
            histogram.observe(Duration::from_micros(micros));
        }
        let counts: Vec<u64> = histogram.counts.iter().map(|count| count.load(Ordering::Relaxed)).collect();
        assert_eq!(counts, [2, 2, 2]);
        assert_eq!(histogram.nanos.load(Ordering::Relaxed), 60_022_002_000);
    }
}
