//! Products of codes of two bits by look-ups.
//!
//! Two activations, four bits, name a table; two weights, four bits, are the place in it, where
//! the sum of the two products stands. A shuffle of bytes (`pshufb`) so does two multiplications
//! and an addition for each of 32 outputs. The idea is that of DeepGEMM (Ganji et al., CVPR
//! Workshops 2023), whose tables hold one product; that two activations choose the table is ours.

use std::array::from_fn;

use super::arithmetic::Machine;
use super::finish::Sink;
use super::tile::Rows;
use super::weights::{Line, PANEL, Weights};

/// Added to each entry, so that none is negative: -2 x 3 x 2 is the lowest one.
const SHIFT: i32 = 12;
/// Groups of four look-ups whose sums stay within a byte: 3 x 4 x 18.
const CHUNK: usize = 3;
/// Rows at a time.
const ROWS: usize = 4;
/// Most look-ups whose sums stay within 16 bits: 18 each.
pub(crate) const LONGEST: usize = u16::MAX as usize / 18;

/// `TABLES[activations][weights]`.
static TABLES: [[u8; 16]; 16] = {
    let mut tables = [[0; 16]; 16];
    let mut i = 0;
    while i < 256 {
        let (a, w) = (i / 16, i % 16);
        let (low, high) = ((w as i32 & 3 ^ 2) - 2, (w as i32 >> 2 ^ 2) - 2);
        tables[a][w] = ((a as i32 & 3) * low + (a as i32 >> 2) * high + SHIFT) as u8;
        i += 1;
    }
    tables
};

/// What an instruction set offers for that, 32 outputs at a time.
pub(crate) trait Lookup: Machine {
    type Codes: Copy;
    type Part: Copy;
    type Sum: Copy;

    /// Weights of each of four look-ups, one after the other.
    fn codes(self, line: &Line) -> [Self::Codes; 4];
    /// Adds what stands in a table at the places of the weights.
    fn look(self, part: Self::Part, table: &[u8; 16], codes: Self::Codes) -> Self::Part;
    fn nothing(self) -> (Self::Sum, Self::Part);
    fn end(self, sum: Self::Sum, part: Self::Part) -> Self::Sum;
    fn numbers(self, sum: Self::Sum) -> [u16; 32];
}

/// All rows against all weights.
#[inline(always)]
pub(crate) fn run<L: Lookup>(
    machine: L,
    rows: Rows,
    weights: &Weights,
    bases: &[[i32; PANEL]],
    sink: &mut Sink,
) {
    let lines = weights.panel_lines();
    let pairs = weights.outputs.div_ceil(2 * PANEL);
    let whole = pairs - pairs % 2;
    for first in (0..whole).step_by(2) {
        let panels = each!(2, p => &weights.lines[(first + p) * lines..][..lines]);
        strip::<L, 2>(machine, rows, weights, panels, first, bases, sink);
    }
    for first in whole..pairs {
        let panels = [&weights.lines[first * lines..][..lines]];
        strip::<L, 1>(machine, rows, weights, panels, first, bases, sink);
    }
}

#[inline(always)]
fn strip<L: Lookup, const P: usize>(
    machine: L,
    rows: Rows,
    weights: &Weights,
    panels: [&[Line]; P],
    first: usize,
    bases: &[[i32; PANEL]],
    sink: &mut Sink,
) {
    let count = rows.offsets.len();
    let shift = SHIFT * (4 * weights.window[0] * weights.groups) as i32;
    for row in (0..count).step_by(ROWS) {
        let offsets = each!(ROWS, r => rows.offsets[(row + r).min(count - 1)]);
        let sums = tile::<L, P>(machine, rows, weights, offsets, panels);
        for p in 0..P {
            let mut out = [[[0; PANEL]; ROWS]; 2];
            for (r, sums) in sums.iter().enumerate() {
                for (i, number) in machine.numbers(sums[p]).into_iter().enumerate() {
                    out[i / PANEL][r][i % PANEL] = i32::from(number) - shift;
                }
            }
            for (half, out) in out.iter_mut().enumerate() {
                let panel = 2 * (first + p) + half;
                let Some(base) = bases.get(panel) else { continue };
                for out in out.iter_mut() {
                    for i in 0..PANEL {
                        out[i] += base[i];
                    }
                }
                sink.put(machine, row, panel, &out[..ROWS.min(count - row)]);
            }
        }
    }
}

#[inline(always)]
fn tile<L: Lookup, const P: usize>(
    machine: L,
    rows: Rows,
    weights: &Weights,
    offsets: [usize; ROWS],
    panels: [&[Line]; P],
) -> [[L::Sum; P]; ROWS] {
    let groups = weights.groups;
    let (nothing, none) = machine.nothing();
    let mut sums = [[nothing; P]; ROWS];
    let mut parts = [[none; P]; ROWS];
    let mut room = CHUNK;
    for segment in 0..weights.window[0] {
        let start = segment * rows.segment_stride;
        let a: [&[[u8; 4]]; ROWS] =
            each!(ROWS, r => &rows.bytes[offsets[r] + start..].as_chunks().0[..groups]);
        let w: [&[Line]; P] = each!(P, p => &panels[p][segment * groups..][..groups]);
        for g in 0..groups {
            let mut codes = [machine.codes(&w[0][g]); P];
            for p in 1..P {
                codes[p] = machine.codes(&w[p][g]);
            }
            for r in 0..ROWS {
                for i in 0..4 {
                    let table = &TABLES[usize::from(a[r][g][i] & 15)];
                    for p in 0..P {
                        parts[r][p] = machine.look(parts[r][p], table, codes[p][i]);
                    }
                }
            }
            room -= 1;
            if room == 0 {
                end::<L, P>(machine, &mut sums, &mut parts, none);
                room = CHUNK;
            }
        }
    }
    end::<L, P>(machine, &mut sums, &mut parts, none);
    sums
}

#[inline(always)]
fn end<L: Lookup, const P: usize>(
    machine: L,
    sums: &mut [[L::Sum; P]; ROWS],
    parts: &mut [[L::Part; P]; ROWS],
    none: L::Part,
) {
    for r in 0..ROWS {
        for p in 0..P {
            sums[r][p] = machine.end(sums[r][p], parts[r][p]);
            parts[r][p] = none;
        }
    }
}

impl Lookup for super::portable::Portable {
    type Codes = [u8; 32];
    type Part = [u8; 32];
    type Sum = [u16; 32];

    #[inline(always)]
    fn codes(self, line: &Line) -> [[u8; 32]; 4] {
        let (low, high) = line.0.split_at(32);
        let take = |half: &[u8], shift: u32| from_fn(|i| half[i] >> shift & 15);
        [take(low, 0), take(low, 4), take(high, 0), take(high, 4)]
    }
    #[inline(always)]
    fn look(self, part: [u8; 32], table: &[u8; 16], codes: [u8; 32]) -> [u8; 32] {
        from_fn(|i| part[i] + table[usize::from(codes[i] & 15)])
    }
    #[inline(always)]
    fn nothing(self) -> ([u16; 32], [u8; 32]) {
        ([0; 32], [0; 32])
    }
    #[inline(always)]
    fn end(self, sum: [u16; 32], part: [u8; 32]) -> [u16; 32] {
        from_fn(|i| sum[i] + u16::from(part[i]))
    }
    #[inline(always)]
    fn numbers(self, sum: [u16; 32]) -> [u16; 32] {
        sum
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use core::arch::x86_64::{__m128i, __m256i};

    use pulp::x86::V3;

    use super::{Line, Lookup};
    use crate::packed::wide::Wide;

    impl Lookup for V3 {
        type Codes = __m256i;
        type Part = __m256i;
        type Sum = [__m256i; 2];

        #[inline(always)]
        fn codes(self, line: &Line) -> [__m256i; 4] {
            let [low, high]: [__m256i; 2] = pulp::cast(line.0);
            let (t, mask) = (self.avx2, self.avx._mm256_set1_epi8(15));
            [
                t._mm256_and_si256(low, mask),
                t._mm256_and_si256(t._mm256_srli_epi16::<4>(low), mask),
                t._mm256_and_si256(high, mask),
                t._mm256_and_si256(t._mm256_srli_epi16::<4>(high), mask),
            ]
        }
        #[inline(always)]
        fn look(self, part: __m256i, table: &[u8; 16], codes: __m256i) -> __m256i {
            let table: __m128i = pulp::cast(*table);
            let table = self.avx2._mm256_broadcastsi128_si256(table);
            self.avx2._mm256_add_epi8(part, self.avx2._mm256_shuffle_epi8(table, codes))
        }
        #[inline(always)]
        fn nothing(self) -> ([__m256i; 2], __m256i) {
            let zero = self.avx._mm256_setzero_si256();
            ([zero; 2], zero)
        }
        #[inline(always)]
        fn end(self, sum: [__m256i; 2], part: __m256i) -> [__m256i; 2] {
            let (t, zero) = (self.avx2, self.avx._mm256_setzero_si256());
            [
                t._mm256_add_epi16(sum[0], t._mm256_unpacklo_epi8(part, zero)),
                t._mm256_add_epi16(sum[1], t._mm256_unpackhi_epi8(part, zero)),
            ]
        }
        /// Unpacking left outputs 0 to 7 and 16 to 23 in one vector, the others in the other.
        #[inline(always)]
        fn numbers(self, sum: [__m256i; 2]) -> [u16; 32] {
            let t = self.avx2;
            let low = t._mm256_permute2x128_si256::<0x20>(sum[0], sum[1]);
            pulp::cast([low, t._mm256_permute2x128_si256::<0x31>(sum[0], sum[1])])
        }
    }

    /// With the vectors of AVX2: 64 outputs side by side would leave most layers half empty.
    impl Lookup for Wide {
        type Codes = __m256i;
        type Part = __m256i;
        type Sum = [__m256i; 2];

        #[inline(always)]
        fn codes(self, line: &Line) -> [__m256i; 4] {
            narrow(self).codes(line)
        }
        #[inline(always)]
        fn look(self, part: __m256i, table: &[u8; 16], codes: __m256i) -> __m256i {
            narrow(self).look(part, table, codes)
        }
        #[inline(always)]
        fn nothing(self) -> ([__m256i; 2], __m256i) {
            narrow(self).nothing()
        }
        #[inline(always)]
        fn end(self, sum: [__m256i; 2], part: __m256i) -> [__m256i; 2] {
            narrow(self).end(sum, part)
        }
        #[inline(always)]
        fn numbers(self, sum: [__m256i; 2]) -> [u16; 32] {
            narrow(self).numbers(sum)
        }
    }

    /// The part of AVX-512 that is AVX2.
    #[inline(always)]
    fn narrow(t: Wide) -> V3 {
        V3 {
            sse: t.sse,
            sse2: t.sse2,
            fxsr: t.fxsr,
            sse3: t.sse3,
            ssse3: t.ssse3,
            sse4_1: t.sse4_1,
            sse4_2: t.sse4_2,
            popcnt: t.popcnt,
            avx: t.avx,
            avx2: t.avx2,
            bmi1: t.bmi1,
            bmi2: t.bmi2,
            fma: t.fma,
            lzcnt: t.lzcnt,
        }
    }
}
