//! Operations with their way back, one file each.

mod activation;
mod add;
mod arithmetic;
mod chance;
mod clip;
mod conv;
mod curve;
mod embed;
mod fake_quant;
mod fake_quant_flat;
mod flatten;
mod functions;
mod join;
mod loss;
mod moments_loss;
mod moves;
mod norm;
mod picked_error;
mod pool;
mod prelu;
mod relu;
mod slopes;
mod softmax;
mod squared_error;
#[cfg(test)]
pub(crate) mod tests;
mod total;

pub use activation::{Activation, activate};
pub use add::add;
pub use arithmetic::{Arithmetic, arithmetic};
pub use chance::Chance;
pub use clip::clip;
pub use conv::conv;
pub use curve::{Curve, curve};
pub use embed::embed;
pub use fake_quant::{Affine, fake_quantize};
pub use fake_quant_flat::{Ends, fake_quantize_flat};
pub use flatten::{flatten, linear, reshape, transpose, with_dims};
pub use join::join;
pub use loss::{cross_entropy, distillation};
pub use moments_loss::moments_loss;
pub use moves::{Moves, place, rearrange, size_of};
pub use norm::{Moments, Norm, norm};
pub use picked_error::picked_error;
pub use pool::{average_pool, average_pool_of, global_average_pool, max_pool};
pub use prelu::prelu;
pub use relu::relu;
pub use slopes::with_slopes;
pub use softmax::softmax;
pub use squared_error::squared_error;
pub use total::total;

use pulp::Simd;

use crate::autodiff::kernels::pointwise::Update;
use crate::autodiff::map::{BLOCK, Map};

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

/// Sets what fills the last block up to zero, where arithmetic may have made something of it that
/// is no number.
fn clear_filling(map: &mut Map) {
    let shape = map.shape();
    let last = shape.blocks().saturating_sub(1);
    let (lanes, skip) = (shape.lanes(last), last * shape.pixels());
    if lanes < BLOCK {
        for image in map.chunks_mut(shape.per_image().max(1)) {
            image[skip..].iter_mut().for_each(|v| v.0[lanes..].fill(0.0));
        }
    }
}
