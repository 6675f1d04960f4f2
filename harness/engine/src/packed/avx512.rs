//! Blocks as one vector of AVX-512.

use core::arch::x86_64::__m512i;

use super::arithmetic::Machine;
use super::weights::Line;
use super::wide::Wide;

impl Machine for Wide {
    type Block = __m512i;
    const NARROW: usize = usize::MAX;
    const COUNTS: usize = usize::MAX;

    #[inline(always)]
    fn load(self, line: &Line) -> __m512i {
        pulp::cast(line.0)
    }
    #[inline(always)]
    fn splat(self, bytes: [u8; 4]) -> __m512i {
        self.avx512f._mm512_set1_epi32(i32::from_le_bytes(bytes))
    }
    #[inline(always)]
    fn zero(self) -> __m512i {
        self.avx512f._mm512_setzero_si512()
    }
    #[inline(always)]
    fn add(self, a: __m512i, b: __m512i) -> __m512i {
        self.avx512f._mm512_add_epi32(a, b)
    }
    #[inline(always)]
    fn sub(self, a: __m512i, b: __m512i) -> __m512i {
        self.avx512f._mm512_sub_epi32(a, b)
    }
    #[inline(always)]
    fn xor(self, a: __m512i, b: __m512i) -> __m512i {
        self.avx512f._mm512_xor_si512(a, b)
    }
    #[inline(always)]
    fn and(self, a: __m512i, b: __m512i) -> __m512i {
        self.avx512f._mm512_and_si512(a, b)
    }
    #[inline(always)]
    fn store(self, block: __m512i) -> [i32; 16] {
        pulp::cast(block)
    }
    #[inline(always)]
    fn block(self, numbers: &[i32; 16]) -> __m512i {
        pulp::cast(*numbers)
    }
    #[inline(always)]
    fn at_least(self, a: __m512i, b: __m512i) -> u16 {
        self.avx512f._mm512_cmpge_epi32_mask(a, b)
    }
    #[inline(always)]
    fn saturating(self, sum: __m512i, a: __m512i, w: __m512i) -> __m512i {
        let pairs = self.avx512bw._mm512_maddubs_epi16(a, w);
        let ones = self.avx512f._mm512_set1_epi32(0x0001_0001);
        self.add(sum, self.avx512bw._mm512_madd_epi16(pairs, ones))
    }
    #[inline(always)]
    fn words(self, sum: __m512i, a: __m512i, w: __m512i) -> __m512i {
        self.add(sum, self.avx512bw._mm512_madd_epi16(a, w))
    }
    #[inline(always)]
    fn dot(self, sum: __m512i, a: __m512i, w: __m512i) -> __m512i {
        self.dot_bytes(sum, a, w)
    }
    #[inline(always)]
    fn nibbles(self, w: __m512i) -> [__m512i; 2] {
        let (mask, eight) = (self.avx512f._mm512_set1_epi8(15), self.avx512f._mm512_set1_epi8(8));
        let high = self.avx512bw._mm512_srli_epi16::<4>(w);
        let less = self.avx512bw;
        [
            less._mm512_sub_epi8(self.and(w, mask), eight),
            less._mm512_sub_epi8(self.and(high, mask), eight),
        ]
    }
    #[inline(always)]
    fn narrow(self, part: __m512i, a: __m512i, w: __m512i) -> __m512i {
        self.dot_bytes(part, a, w)
    }
    #[inline(always)]
    fn narrow_begin(self, sum: __m512i) -> __m512i {
        sum
    }
    #[inline(always)]
    fn narrow_end(self, _sum: __m512i, part: __m512i) -> __m512i {
        part
    }
    #[inline(always)]
    fn count(self, part: __m512i, bits: __m512i) -> __m512i {
        self.add(part, self.count_bits(bits))
    }
    #[inline(always)]
    fn discount(self, part: __m512i, bits: __m512i) -> __m512i {
        self.avx512f._mm512_sub_epi32(part, self.count_bits(bits))
    }
    #[inline(always)]
    fn count_begin(self, sum: __m512i) -> __m512i {
        sum
    }
    #[inline(always)]
    fn count_end(self, _sum: __m512i, part: __m512i) -> __m512i {
        part
    }
}
