//! Squared error of maps against some images of a larger batch: the loss of reconstruction, with
//! its gradient found in the same pass over memory.

use std::cell::RefCell;

use pulp::{Simd, WithSimd};
use quantbench_core::Tensor;
use rayon::prelude::*;

use crate::autodiff::kernels::{load, store};
use crate::autodiff::map::{BLOCK, Lanes, Map, MapShape};
use crate::autodiff::tape::{Back, Op, Tape, Value, Var};

/// Mean over images and pixels of the squared error summed over channels, of maps against the
/// images of `targets` at the positions `picked`; with `rectified` of `max(., 0)` of the maps. The
/// mean is over `of` images: over all of a batch, of which these may be a part.
///
/// The same as [`super::relu`] and [`super::squared_error`] of gathered targets, in one pass. None
/// if shapes, numbers of images or positions do not fit.
pub fn picked_error(
    tape: &mut Tape,
    input: Var,
    targets: &Map,
    picked: &[usize],
    of: usize,
    rectified: bool,
) -> Option<Var> {
    let x = tape.map(input);
    let shape = x.shape();
    let places = of * shape.pixels();
    let fits = MapShape { images: picked.len(), ..targets.shape() } == shape
        && picked.iter().all(|p| *p < targets.shape().images);
    if !fits || places == 0 {
        return None;
    }
    let isa = x.device().isa;
    let mut slopes = x.device().dirty(shape);
    let scale = 2.0 / places as f32;
    let sums: Vec<f64> = slopes
        .par_chunks_mut(shape.per_image().max(1))
        .enumerate()
        .map(|(n, slopes)| {
            let (input, target) = (x.image(n), targets.image(picked[n]));
            isa.run(Image { shape, input, target, scale, rectified, slopes })
        })
        .collect();
    let loss = sums.iter().sum::<f64>() / places as f64;
    let value = Value::Flat(Tensor::new(vec![1], vec![loss as f32]));
    Some(tape.push(&[input], value, PickedError { input, slopes: RefCell::new(Some(slopes)) }))
}

/// One image: the sum of its squared errors, and the gradient of the loss.
struct Image<'a> {
    shape: MapShape,
    input: &'a [Lanes],
    target: &'a [Lanes],
    scale: f32,
    rectified: bool,
    slopes: &'a mut [Lanes],
}

impl WithSimd for Image<'_> {
    type Output = f64;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f64 {
        let pixels = self.shape.pixels();
        let (zero, scale) = (simd.splat_f32s(0.0), simd.splat_f32s(self.scale));
        let blocks = self.slopes.chunks_mut(pixels);
        let blocks = blocks.zip(self.input.chunks(pixels).zip(self.target.chunks(pixels)));
        let mut total = 0f64;
        for (block, (slopes, (input, target))) in blocks.enumerate() {
            let mut squares = Lanes::ZERO;
            for part in 0..BLOCK / S::F32_LANES {
                let mut sum = zero;
                for ((slope, x), t) in slopes.iter_mut().zip(input).zip(target) {
                    let (x, t) = (load::<S>(x, part), load::<S>(t, part));
                    let y = if self.rectified { simd.max_f32s(x, zero) } else { x };
                    let d = simd.sub_f32s(y, t);
                    sum = simd.add_f32s(sum, simd.mul_f32s(d, d));
                    let g = simd.mul_f32s(d, scale);
                    let passes = simd.greater_than_f32s(x, zero);
                    let g = if self.rectified { simd.select_f32s(passes, g, zero) } else { g };
                    store::<S>(slope, part, g);
                }
                store::<S>(&mut squares, part, sum);
            }
            // What fills a block up does not count.
            let channels = &squares.0[..self.shape.lanes(block)];
            total += channels.iter().map(|v| f64::from(*v)).sum::<f64>();
        }
        total
    }
}

struct PickedError {
    input: Var,
    slopes: RefCell<Option<Map>>,
}

impl Op for PickedError {
    fn backward(&self, gradient: Value, back: &mut Back<'_>) {
        let Value::Flat(gradient) = gradient else { return };
        // The way back is gone once.
        let Some(mut slopes) = self.slopes.take() else { return };
        let factor = gradient.data[0];
        if factor != 1.0 {
            slopes.iter_mut().flat_map(|l| &mut l.0).for_each(|v| *v *= factor);
        }
        back.give(self.input, Value::Map(slopes));
    }
}
