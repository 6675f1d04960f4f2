//! Random numbers by place, so that they do not depend on the order in which places are visited.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use crate::autodiff::kernels::{load, store};
use crate::autodiff::map::{BLOCK, Lanes, Map, MapShape};

/// A random function of places: an integer hash (the finaliser of MurmurHash3, A. Appleby) of
/// place and seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chance {
    seed: u32,
    /// Images before the first one of a map.
    before: usize,
}

impl Chance {
    /// The function of a seed and two numbers, for example an iteration and a site.
    pub fn new(seed: u64, first: u64, second: u64) -> Self {
        let mut h = seed ^ first.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        h = (h ^ (h >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        h ^= second.wrapping_mul(0x94d0_49bb_1331_11eb);
        h = (h ^ (h >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Self { seed: (h ^ (h >> 31)) as u32, before: 0 }
    }

    /// The same function for a map that follows so many images of a batch.
    #[must_use]
    pub fn after(self, images: usize) -> Self {
        Self { before: self.before + images, ..self }
    }

    /// Where an image of a map begins.
    pub(crate) fn place(self, image: usize, per_image: usize) -> usize {
        (self.before + image) * per_image
    }

    /// For each channel of a block at a place, one if its number is below a share of one, else
    /// zero.
    #[inline(always)]
    pub(crate) fn below(self, place: usize, share: f32) -> Lanes {
        // Numbers of 24 bits, which FP32 holds.
        let limit = (share * (1 << 24) as f32) as u32;
        let first = (place as u32).wrapping_mul(BLOCK as u32);
        let mut below = [0f32; BLOCK];
        for (lane, below) in below.iter_mut().enumerate() {
            let mut h = first.wrapping_add(lane as u32).wrapping_mul(0x9e37_79b1) ^ self.seed;
            h = (h ^ (h >> 16)).wrapping_mul(0x85eb_ca6b);
            h = (h ^ (h >> 13)).wrapping_mul(0xc2b2_ae35);
            *below = if ((h ^ (h >> 16)) >> 8) < limit { 1.0 } else { 0.0 };
        }
        Lanes(below)
    }

    /// The images at some positions, each number from `a` with that probability and else from `b`;
    /// none if the shapes of these differ.
    ///
    /// # Panics
    /// If there is no image at a position: a bug of the caller.
    pub fn mix(self, a: &Map, b: &Map, picked: &[usize], share: f32) -> Option<Map> {
        if a.shape() != b.shape() {
            return None;
        }
        let isa = a.device().isa;
        let mut out = a.device().dirty(MapShape { images: picked.len(), ..a.shape() });
        let per_image = a.shape().per_image();
        out.par_chunks_mut(per_image.max(1)).zip(picked).enumerate().for_each(|(n, (out, at))| {
            let (a, b) = (a.image(*at), b.image(*at));
            isa.run(Mix { chance: self, share, a, b, at: self.place(n, per_image), out });
        });
        Some(out)
    }
}

/// One image.
struct Mix<'a> {
    chance: Chance,
    share: f32,
    a: &'a [Lanes],
    b: &'a [Lanes],
    at: usize,
    out: &'a mut [Lanes],
}

impl WithSimd for Mix<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let zero = simd.splat_f32s(0.0);
        let numbers = self.out.iter_mut().zip(self.a.iter().zip(self.b));
        for (i, (out, (a, b))) in numbers.enumerate() {
            let taken = self.chance.below(self.at + i, self.share);
            for part in 0..BLOCK / S::F32_LANES {
                let mask = simd.greater_than_f32s(load::<S>(&taken, part), zero);
                let mixed = simd.select_f32s(mask, load::<S>(a, part), load::<S>(b, part));
                store::<S>(out, part, mixed);
            }
        }
    }
}
