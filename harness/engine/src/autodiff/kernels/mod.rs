//! Arithmetic on maps, compiled for several instruction sets.
//!
//! Work is spread over images (rayon). Whatever is summed over images is summed in groups of
//! [`GROUP`] images whose sums are then added in order, so that no result depends on the number of
//! threads.

pub(crate) mod conv;
pub(crate) mod conv_weight;
pub(crate) mod depthwise;
pub(crate) mod plan;
pub(crate) mod pointwise;
#[cfg(test)]
pub(crate) mod tests;
pub(crate) mod winograd;

use pulp::Simd;

use super::map::Lanes;

/// Images whose contributions to a sum are added by one thread.
pub(crate) const GROUP: usize = 8;

/// Vector `part` of a block.
#[inline(always)]
pub(crate) fn load<S: Simd>(lanes: &Lanes, part: usize) -> S::f32s {
    S::as_simd_f32s(&lanes.0).0[part]
}

/// Writes vector `part` of a block.
#[inline(always)]
pub(crate) fn store<S: Simd>(lanes: &mut Lanes, part: usize, value: S::f32s) {
    S::as_mut_simd_f32s(&mut lanes.0).0[part] = value;
}

/// `a b + c`, rounded once where the instruction set can do that in one go.
#[inline(always)]
pub(crate) fn multiply_add<S: Simd>(simd: S, a: S::f32s, b: S::f32s, c: S::f32s) -> S::f32s {
    // Without such an instruction every lane would be a call of the C library.
    if S::F32_LANES > 4 || S::REGISTER_COUNT >= 32 {
        simd.mul_add_e_f32s(a, b, c)
    } else {
        simd.add_f32s(simd.mul_f32s(a, b), c)
    }
}
