//! Pools.

use rayon::prelude::*;

use crate::autodiff::kernels::depthwise;
use crate::autodiff::kernels::plan::{Plan, Window};
use crate::autodiff::map::{BLOCK, Lanes, Map};
use crate::autodiff::tape::{Back, Op, Tape, Value, Var};

/// Mean over a window, zeros around the maps included; none if it does not fit.
pub fn average_pool(tape: &mut Tape, input: Var, window: Window) -> Option<Var> {
    average_pool_of(tape, input, window, [window.before, window.after])
}

/// Mean over the part of a window that lies within the maps and so many rows and columns of zeros
/// before and after them.
///
/// None if the window does not fit, or covers nothing somewhere.
pub fn average_pool_of(
    tape: &mut Tape,
    input: Var,
    window: Window,
    counted: [[usize; 2]; 2],
) -> Option<Var> {
    let x = tape.map(input);
    let shape = x.shape();
    let size = [shape.height, shape.width];
    let plan = Plan::forward(&window, size)?;
    let share = Lanes([1.0 / window.taps() as f32; BLOCK]);
    let weights = vec![share; shape.blocks() * window.taps()];
    let mut y = x.device().dirty(shape.with(shape.channels, plan.output[0], plan.output[1]));
    depthwise::pass(x, &plan, &weights, &[], &mut y);
    let counts = counts(&window, size, plan.output, counted);
    if counts.contains(&0) {
        return None;
    }
    let taps = window.taps();
    let uneven = counts.iter().any(|n| *n != taps);
    let factors: Option<Vec<f32>> =
        uneven.then(|| counts.iter().map(|n| taps as f32 / *n as f32).collect());
    if let Some(factors) = &factors {
        scale(&mut y, factors);
    }
    let back = Plan::backward(&window, size)?;
    Some(tape.push(&[input], Value::Map(y), Average { input, back, weights, factors }))
}

/// For each output pixel, how many kernel positions count.
fn counts(
    window: &Window,
    size: [usize; 2],
    output: [usize; 2],
    [before, after]: [[usize; 2]; 2],
) -> Vec<usize> {
    let axis = |a: usize| -> Vec<usize> {
        let within = |at: usize| {
            at + before[a] >= window.before[a] && at < window.before[a] + size[a] + after[a]
        };
        let count = |o: usize| {
            (0..window.kernel[a])
                .filter(|k| within(o * window.stride[a] + k * window.dilation[a]))
                .count()
        };
        (0..output[a]).map(count).collect()
    };
    let (rows, columns) = (axis(0), axis(1));
    rows.iter().flat_map(|r| columns.iter().map(move |c| r * c)).collect()
}

/// Multiplies each pixel by a factor of its own.
fn scale(map: &mut Map, factors: &[f32]) {
    map.par_chunks_mut(factors.len().max(1)).for_each(|plane| {
        for (lanes, factor) in plane.iter_mut().zip(factors) {
            lanes.0.iter_mut().for_each(|v| *v *= factor);
        }
    });
}

/// Mean over all pixels; none of maps without pixels.
pub fn global_average_pool(tape: &mut Tape, input: Var) -> Option<Var> {
    let shape = tape.map(input).shape();
    let window = Window { kernel: [shape.height, shape.width], ..Window::square(1, 1, 0) };
    average_pool(tape, input, window)
}

struct Average {
    input: Var,
    back: Plan,
    weights: Vec<Lanes>,
    /// What each output pixel is multiplied by, where windows do not count as a whole.
    factors: Option<Vec<f32>>,
}

impl Op for Average {
    fn backward(&self, gradient: Value, back: &mut Back<'_>) {
        let Value::Map(mut gradient) = gradient else { return };
        if let Some(factors) = &self.factors {
            scale(&mut gradient, factors);
        }
        let input = back.map(self.input);
        let mut out = input.device().dirty(input.shape());
        depthwise::pass(&gradient, &self.back, &self.weights, &[], &mut out);
        back.give(self.input, Value::Map(out));
    }
}

/// Largest value within a window, of pixels inside the maps; the gradient goes to the first one.
/// None if the window does not fit or covers no pixel somewhere.
pub fn max_pool(tape: &mut Tape, input: Var, window: Window) -> Option<Var> {
    let x = tape.map(input);
    let shape = x.shape();
    let [height, width] = window.output([shape.height, shape.width])?;
    if (0..2).any(|a| window.before[a].max(window.after[a]) >= window.kernel[a]) {
        return None;
    }
    let mut y = x.device().dirty(shape.with(shape.channels, height, width));
    let (pixels, per_image) = (height * width, y.shape().per_image());
    let mut from = vec![[0u32; BLOCK]; y.len()];
    let rows = y.par_chunks_mut(per_image.max(1)).zip(from.par_chunks_mut(per_image.max(1)));
    rows.enumerate().for_each(|(n, (out, from))| {
        let image = x.image(n);
        for (i, (out, from)) in out.iter_mut().zip(from).enumerate() {
            let (block, at) = (i / pixels, i % pixels);
            let plane = block * shape.pixels();
            *out = Lanes([f32::NEG_INFINITY; BLOCK]);
            for (row, column) in
                inside(&window, [at / width, at % width], shape.height, shape.width)
            {
                let place = plane + row * shape.width + column;
                for (lane, &v) in image[place].0.iter().enumerate() {
                    if v > out.0[lane] {
                        out.0[lane] = v;
                        from[lane] = place as u32;
                    }
                }
            }
        }
    });
    Some(tape.push(&[input], Value::Map(y), Largest { input, from }))
}

/// The pixels of a window at an output pixel.
fn inside(
    window: &Window,
    at: [usize; 2],
    height: usize,
    width: usize,
) -> impl Iterator<Item = (usize, usize)> + '_ {
    (0..window.taps()).filter_map(move |t| {
        let k = [t / window.kernel[1], t % window.kernel[1]];
        let place = |a: usize| {
            (at[a] * window.stride[a] + k[a] * window.dilation[a]).checked_sub(window.before[a])
        };
        let (row, column) = (place(0)?, place(1)?);
        (row < height && column < width).then_some((row, column))
    })
}

struct Largest {
    input: Var,
    /// For each number of the output, where in its image the input's is.
    from: Vec<[u32; BLOCK]>,
}

impl Op for Largest {
    fn backward(&self, gradient: Value, back: &mut Back<'_>) {
        let Value::Map(gradient) = gradient else { return };
        let input = back.map(self.input);
        let mut out = input.device().zeros(input.shape());
        let (to, from) = (input.shape().per_image(), gradient.shape().per_image());
        out.par_chunks_mut(to.max(1)).enumerate().for_each(|(n, out)| {
            for (g, places) in gradient.image(n).iter().zip(&self.from[n * from..]) {
                for lane in 0..BLOCK {
                    out[places[lane] as usize].0[lane] += g.0[lane];
                }
            }
        });
        back.give(self.input, Value::Map(out));
    }
}
