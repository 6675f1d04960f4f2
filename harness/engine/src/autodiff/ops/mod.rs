//! Operations with their way back, one file each.

mod add;
mod clip;
mod conv;
mod flatten;
mod loss;
mod norm;
mod pick;
mod pool;
mod relu;
#[cfg(test)]
mod tests;

pub use add::add;
pub use clip::clip;
pub use conv::conv;
pub use flatten::{flatten, linear, transpose};
pub use loss::{cross_entropy, distillation};
pub use norm::{Moments, Norm, norm};
pub use pick::{Pick, pick};
pub use pool::{average_pool, global_average_pool, max_pool};
pub use relu::relu;

use pulp::Simd;

/// `value` where the mask's number is above zero, else zero.
#[inline(always)]
fn where_positive<S: Simd>(simd: S, mask: S::f32s, value: S::f32s) -> S::f32s {
    let zero = simd.splat_f32s(0.0);
    simd.select_f32s(simd.greater_than_f32s(mask, zero), value, zero)
}
