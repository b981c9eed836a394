//! Random numbers that a seed decides: the same seed gives the same sizes, bytes and arrivals.

/// SplitMix64: small, fast and good enough for filler and arrivals; nothing here is a secret.
#[derive(Clone, Debug)]
pub(super) struct Random(u64);

impl Random {
    /// Numbers that this seed and this stream decide; streams of one seed have nothing to do with each other.
    pub(super) fn new(seed: u64, stream: u64) -> Self {
        let mut random = Self(seed);
        let seed = random.next() ^ stream.wrapping_mul(0xd134_2543_de82_ef95);
        Self(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 to `max`, both included.
    pub(super) fn up_to(&mut self, max: u64) -> u64 {
        match max.checked_add(1) {
            Some(count) => self.next() % count,
            None => self.next(),
        }
    }

    /// A number from 0 (included) to 1 (not included).
    pub(super) fn fraction(&mut self) -> f64 {
        // 53 bits: all that a double keeps.
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}
