//! Operations with their way back, one file each.

mod add;
mod chance;
mod clip;
mod conv;
mod curve;
mod fake_quant;
mod fake_quant_flat;
mod flatten;
mod join;
mod loss;
mod norm;
mod pick;
mod picked_error;
mod pool;
mod relu;
mod slopes;
mod squared_error;
#[cfg(test)]
mod tests;
mod total;

pub use add::add;
pub use chance::Chance;
pub use clip::clip;
pub use conv::conv;
pub use curve::{Curve, curve};
pub use fake_quant::{Affine, fake_quantize};
pub use fake_quant_flat::{Ends, fake_quantize_flat};
pub use flatten::{flatten, linear, transpose};
pub use join::join;
pub use loss::{cross_entropy, distillation};
pub use norm::{Moments, Norm, norm};
pub use pick::{Pick, pick};
pub use picked_error::picked_error;
pub use pool::{average_pool, global_average_pool, max_pool};
pub use relu::relu;
pub use slopes::with_slopes;
pub use squared_error::squared_error;
pub use total::total;

use pulp::Simd;

use crate::autodiff::kernels::pointwise::Update;

/// `value` where the mask's number is above zero, else zero.
#[inline(always)]
fn where_positive<S: Simd>(simd: S, mask: S::f32s, value: S::f32s) -> S::f32s {
    let zero = simd.splat_f32s(0.0);
    simd.select_f32s(simd.greater_than_f32s(mask, zero), value, zero)
}

/// A gradient where the output is above zero, else zero.
#[derive(Clone, Copy)]
struct WherePositive;

impl Update<1> for WherePositive {
    #[inline(always)]
    fn apply<S: Simd>(&self, simd: S, gradient: S::f32s, [y]: [S::f32s; 1]) -> S::f32s {
        where_positive(simd, y, gradient)
    }
}
