//! Values counted in bins of a given width: the part of a histogram's work that needs no histogram.

use super::{BINS, Extent, Guess, HALF, fits, power};
use crate::parts::vector::vectorised;

/// Bits of a value's position within its bin.
pub(super) const PLACE: u32 = 16;

/// Values that one [`Table`] takes at most: its counts have 24 bits.
const ROOM: usize = 1 << 23;

/// Bits of a [`Table::Moments`] entry below the count.
const COUNT_AT: u32 = 40;

/// Values that stay in the nearest cache between their sweep and their counting.
const BLOCK: usize = 1024;

/// Entries of [`Table::Counts`] that zeros are spread over, since adding to one and the same entry
/// again and again has to wait for the addition before.
const SPREAD: usize = 16;

/// Values as bins of a guessed width count them, not yet added to a histogram.
pub struct Counted(Vec<Part>);

impl Counted {
    /// Counts values.
    pub fn of(values: &[f32], guess: Guess) -> Self {
        Self(values.chunks(ROOM).map(|some| Part::of(some, guess)).collect())
    }

    /// What was counted, with the values.
    pub(super) fn parts(self, values: &[f32]) -> impl Iterator<Item = (&[f32], Part)> {
        values.chunks(ROOM).zip(self.0)
    }
}

/// What was seen of at most [`ROOM`] values.
pub(super) struct Part {
    pub(super) extent: Extent,
    pub(super) zeros: u64,
    pub(super) guess: Guess,
    /// None without a width, and as soon as a value did not fit.
    pub(super) table: Option<Table>,
}

impl Part {
    pub(super) fn of(values: &[f32], guess: Guess) -> Self {
        let table = guess.exponent.map(|_| Table::new(guess.moments));
        let mut part = Self { extent: Extent::EMPTY, zeros: 0, guess, table };
        vectorised(
            #[inline(always)]
            || part.add(values),
        );
        part
    }

    #[inline(always)]
    fn add(&mut self, values: &[f32]) {
        for block in values.chunks(BLOCK) {
            let (extent, zeros) = Extent::and_zeros(block);
            self.extent = self.extent.join(extent);
            self.zeros += zeros;
            let fits = extent.finite && fits(extent, self.guess.exponent);
            match (&mut self.table, self.guess.exponent) {
                (Some(Table::Counts(counts)), Some(exponent)) if fits => {
                    count(counts, block, exponent);
                }
                (Some(Table::Moments(sums)), Some(exponent)) if fits => {
                    add_places(sums, block, zeros, exponent);
                }
                _ => self.table = None,
            }
        }
    }
}

/// Integers per bin.
pub(super) enum Table {
    /// Counts, of zeros in [`SPREAD`] entries after the bins.
    Counts(Box<[u32]>),
    /// The count above [`COUNT_AT`] bits of the sum of places, and the sum of their squares. Zeros
    /// are counted in the bin that begins at zero.
    Moments(Box<[[u64; 2]]>),
}

impl Table {
    fn new(moments: bool) -> Self {
        if moments {
            Table::Moments(vec![[0; 2]; BINS].into_boxed_slice())
        } else {
            Table::Counts(vec![0; BINS + SPREAD].into_boxed_slice())
        }
    }
}

/// The count, the sum of places and the sum of their squares of an entry with moments.
pub(super) fn unpack([packed, squares]: [u64; 2]) -> (u64, u64, u64) {
    (packed >> COUNT_AT, packed & ((1 << COUNT_AT) - 1), squares)
}

/// Counts at most [`BLOCK`] values that fit.
#[inline(always)]
fn count(counts: &mut [u32], values: &[f32], exponent: i32) {
    // Adding 1.5 * 2^23 to a small integer leaves it in the low bits.
    const MAGIC: f32 = 12_582_912.0;
    let scale = power(-exponent) as f32;
    let mut indices = [0u32; BLOCK];
    for (i, (index, &v)) in indices.iter_mut().zip(values).enumerate() {
        // The product is exact, unless it vanishes; then only its sign is left to be respected.
        let place = (v * scale).floor();
        let place = if v < 0.0 { place.min(-1.0) } else { place };
        let place = (place + (MAGIC + HALF as f32)).to_bits().wrapping_sub(MAGIC.to_bits());
        *index = if v == 0.0 { (BINS + i % SPREAD) as u32 } else { place };
    }
    let Some(counts) = counts.first_chunk_mut::<{ BINS + SPREAD }>() else { return };
    for &index in &indices[..values.len()] {
        if let Some(n) = counts.get_mut(index as usize) {
            *n += 1;
        }
    }
}

/// Adds the places of at most [`BLOCK`] values that fit.
#[inline(always)]
fn add_places(sums: &mut [[u64; 2]], values: &[f32], zeros: u64, exponent: i32) {
    // Adding 1.5 * 2^52 leaves the nearest integer in the low bits: a rounding that every
    // instruction set can do to several values at once.
    const MAGIC: f64 = 6_755_399_441_055_744.0;
    let scale = power(PLACE as i32 - exponent);
    let mut codes = [0i32; BLOCK];
    for (code, &v) in codes.iter_mut().zip(values) {
        *code = (f64::from(v) * scale + MAGIC).to_bits() as i32;
    }
    let mut n = values.len();
    // After a ReLU half of all values are zero: moving the others together is cheaper than
    // counting zeros one by one in the same place.
    if zeros > 0 {
        n = 0;
        for i in 0..values.len() {
            let code = codes[i];
            codes[n] = code;
            n += usize::from(code != 0);
        }
        sums[HALF][0] += ((values.len() - n) as u64) << COUNT_AT;
    }
    let Some(sums) = sums.first_chunk_mut::<BINS>() else { return };
    for &code in &codes[..n] {
        let bin = &mut sums[((code >> PLACE) + HALF as i32) as usize % BINS];
        let place = u64::from(code as u32 % (1 << PLACE));
        bin[0] += (1 << COUNT_AT) + place;
        bin[1] += place * place;
    }
}
