//! AVX-512 with the two integer instructions that make it worth having here.
#![allow(unsafe_code)] // `pulp` has tokens for VNNI and VPOPCNTDQ but not their instructions

use core::arch::x86_64::{__m512i, _mm512_dpbusd_epi32, _mm512_popcnt_epi32};

pulp::simd_type!({
    /// AVX-512 with VNNI and VPOPCNTDQ, as Ice Lake and Zen 4 brought it. Proof that the machine
    /// has them.
    #[allow(missing_docs)]
    pub struct Wide {
        pub sse: f!("sse"),
        pub sse2: f!("sse2"),
        pub fxsr: f!("fxsr"),
        pub sse3: f!("sse3"),
        pub ssse3: f!("ssse3"),
        pub sse4_1: f!("sse4.1"),
        pub sse4_2: f!("sse4.2"),
        pub popcnt: f!("popcnt"),
        pub avx: f!("avx"),
        pub avx2: f!("avx2"),
        pub bmi1: f!("bmi1"),
        pub bmi2: f!("bmi2"),
        pub fma: f!("fma"),
        pub lzcnt: f!("lzcnt"),
        pub avx512f: f!("avx512f"),
        pub avx512bw: f!("avx512bw"),
        pub avx512cd: f!("avx512cd"),
        pub avx512dq: f!("avx512dq"),
        pub avx512vl: f!("avx512vl"),
        pub avx512vnni: f!("avx512vnni"),
        pub avx512vpopcntdq: f!("avx512vpopcntdq"),
    }
});

// A token is taken by value to show that the instructions are there.
#[allow(clippy::unused_self)]
impl Wide {
    /// Adds the products of four unsigned and four signed bytes to each number (`vpdpbusd`).
    #[inline(always)]
    pub(crate) fn dot_bytes(self, sums: __m512i, bytes: __m512i, signed: __m512i) -> __m512i {
        // SAFETY: a token exists only where VNNI was detected (`try_new`).
        unsafe { _mm512_dpbusd_epi32(sums, bytes, signed) }
    }

    /// Bits that are set in each number (`vpopcntd`).
    #[inline(always)]
    pub(crate) fn count_bits(self, numbers: __m512i) -> __m512i {
        // SAFETY: a token exists only where VPOPCNTDQ was detected (`try_new`).
        unsafe { _mm512_popcnt_epi32(numbers) }
    }
}
