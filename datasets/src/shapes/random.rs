//! The generator's own source of randomness: SplitMix64, integers only.
//!
//! Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.
//! The bytes of every image hang on it, so it is never changed: a new data set gets a new name.

/// A SplitMix64 stream.
pub(super) struct Random(u64);

impl Random {
    /// The stream of image `index` of a split: each image has its own, so that any number of
    /// threads makes the same images.
    pub(super) fn of_image(split: u64, index: u64) -> Self {
        let mut seed = Self(split);
        let high = seed.bits();
        Self(high ^ index.wrapping_mul(0xD1B5_4A32_D192_ED03))
    }

    /// Sixty-four uniform bits.
    pub(super) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number in `low..=high`; the bias of the multiply-shift is below 2^-24 for our ranges.
    pub(super) fn between(&mut self, low: i32, high: i32) -> i32 {
        let span = (high - low + 1) as u64;
        low + (((self.bits() >> 32) * span) >> 32) as i32
    }

    /// True once in `n` times.
    pub(super) fn one_in(&mut self, n: i32) -> bool {
        self.between(1, n) == 1
    }
}
