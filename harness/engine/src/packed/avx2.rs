//! Blocks as two vectors of AVX2.

use core::arch::x86_64::__m256i;

use pulp::x86::V3;

use super::arithmetic::Machine;
use super::weights::Line;

type Block = [__m256i; 2];

/// Bits that are set in each byte: a look-up of each half.
#[inline(always)]
fn count(t: V3, bits: __m256i) -> __m256i {
    let table = [0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4];
    let table: __m256i = pulp::cast::<[[u8; 16]; 2], _>([table; 2]);
    let mask = t.avx._mm256_set1_epi8(15);
    let low = t.avx2._mm256_and_si256(bits, mask);
    let high = t.avx2._mm256_and_si256(t.avx2._mm256_srli_epi16::<4>(bits), mask);
    let low = t.avx2._mm256_shuffle_epi8(table, low);
    t.avx2._mm256_add_epi8(low, t.avx2._mm256_shuffle_epi8(table, high))
}

impl Machine for V3 {
    type Block = Block;
    /// 255 x 8 x 2 eight times stays within 16 bits.
    const NARROW: usize = 8;
    /// Eight bits fifteen times stay within a signed byte.
    const COUNTS: usize = 15;

    #[inline(always)]
    fn load(self, line: &Line) -> Block {
        pulp::cast(line.0)
    }
    #[inline(always)]
    fn splat(self, bytes: [u8; 4]) -> Block {
        [self.avx._mm256_set1_epi32(i32::from_le_bytes(bytes)); 2]
    }
    #[inline(always)]
    fn zero(self) -> Block {
        [self.avx._mm256_setzero_si256(); 2]
    }
    #[inline(always)]
    fn add(self, a: Block, b: Block) -> Block {
        let t = self.avx2;
        [t._mm256_add_epi32(a[0], b[0]), t._mm256_add_epi32(a[1], b[1])]
    }
    #[inline(always)]
    fn sub(self, a: Block, b: Block) -> Block {
        let t = self.avx2;
        [t._mm256_sub_epi32(a[0], b[0]), t._mm256_sub_epi32(a[1], b[1])]
    }
    #[inline(always)]
    fn xor(self, a: Block, b: Block) -> Block {
        let t = self.avx2;
        [t._mm256_xor_si256(a[0], b[0]), t._mm256_xor_si256(a[1], b[1])]
    }
    #[inline(always)]
    fn and(self, a: Block, b: Block) -> Block {
        let t = self.avx2;
        [t._mm256_and_si256(a[0], b[0]), t._mm256_and_si256(a[1], b[1])]
    }
    #[inline(always)]
    fn store(self, block: Block) -> [i32; 16] {
        pulp::cast(block)
    }
    #[inline(always)]
    fn block(self, numbers: &[i32; 16]) -> Block {
        pulp::cast(*numbers)
    }
    #[inline(always)]
    fn at_least(self, a: Block, b: Block) -> u16 {
        let below = |i: usize| pulp::cast(self.avx2._mm256_cmpgt_epi32(b[i], a[i]));
        let (low, high) = (below(0), below(1));
        let bits = self.avx._mm256_movemask_ps(low) | self.avx._mm256_movemask_ps(high) << 8;
        !bits as u16
    }
    #[inline(always)]
    fn saturating(self, sum: Block, a: Block, w: Block) -> Block {
        let (t, ones) = (self.avx2, self.avx._mm256_set1_epi16(1));
        let low = t._mm256_madd_epi16(t._mm256_maddubs_epi16(a[0], w[0]), ones);
        let high = t._mm256_madd_epi16(t._mm256_maddubs_epi16(a[1], w[1]), ones);
        self.add(sum, [low, high])
    }
    #[inline(always)]
    fn words(self, sum: Block, a: Block, w: Block) -> Block {
        let t = self.avx2;
        self.add(sum, [t._mm256_madd_epi16(a[0], w[0]), t._mm256_madd_epi16(a[1], w[1])])
    }
    /// AVX2 has no such instruction and `Kernel::runs_on` says so; this one is exact all the same.
    #[inline(always)]
    fn dot(self, sum: Block, a: Block, w: Block) -> Block {
        let t = self.avx2;
        let mut out = sum;
        for i in 0..2 {
            let even = t._mm256_and_si256(a[i], self.avx._mm256_set1_epi16(255));
            let odd = t._mm256_srli_epi16::<8>(a[i]);
            let even_weights = t._mm256_srai_epi16::<8>(t._mm256_slli_epi16::<8>(w[i]));
            let odd_weights = t._mm256_srai_epi16::<8>(w[i]);
            let even = t._mm256_madd_epi16(even, even_weights);
            let odd = t._mm256_madd_epi16(odd, odd_weights);
            out[i] = t._mm256_add_epi32(out[i], t._mm256_add_epi32(even, odd));
        }
        out
    }
    #[inline(always)]
    fn nibbles(self, w: Block) -> [Block; 2] {
        let (t, mask) = (self.avx2, self.avx._mm256_set1_epi8(15));
        let eight = self.avx._mm256_set1_epi8(8);
        let mut out = [w; 2];
        for i in 0..2 {
            let high = t._mm256_srli_epi16::<4>(w[i]);
            out[0][i] = t._mm256_sub_epi8(t._mm256_and_si256(w[i], mask), eight);
            out[1][i] = t._mm256_sub_epi8(t._mm256_and_si256(high, mask), eight);
        }
        out
    }
    #[inline(always)]
    fn narrow(self, part: Block, a: Block, w: Block) -> Block {
        let t = self.avx2;
        let low = t._mm256_add_epi16(part[0], t._mm256_maddubs_epi16(a[0], w[0]));
        [low, t._mm256_add_epi16(part[1], t._mm256_maddubs_epi16(a[1], w[1]))]
    }
    #[inline(always)]
    fn narrow_begin(self, _sum: Block) -> Block {
        self.zero()
    }
    #[inline(always)]
    fn narrow_end(self, sum: Block, part: Block) -> Block {
        let ones = self.avx._mm256_set1_epi16(1);
        self.words(sum, part, [ones; 2])
    }
    #[inline(always)]
    fn count(self, part: Block, bits: Block) -> Block {
        let t = self.avx2;
        let low = t._mm256_add_epi8(part[0], count(self, bits[0]));
        [low, t._mm256_add_epi8(part[1], count(self, bits[1]))]
    }
    #[inline(always)]
    fn discount(self, part: Block, bits: Block) -> Block {
        let t = self.avx2;
        let low = t._mm256_sub_epi8(part[0], count(self, bits[0]));
        [low, t._mm256_sub_epi8(part[1], count(self, bits[1]))]
    }
    #[inline(always)]
    fn count_begin(self, _sum: Block) -> Block {
        self.zero()
    }
    #[inline(always)]
    fn count_end(self, sum: Block, part: Block) -> Block {
        let ones = self.avx._mm256_set1_epi8(1);
        self.saturating(sum, [ones; 2], part)
    }
}
