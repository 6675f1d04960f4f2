//! Pools.

use rayon::prelude::*;

use crate::autodiff::kernels::depthwise;
use crate::autodiff::kernels::plan::{Plan, Window};
use crate::autodiff::map::{BLOCK, Lanes};
use crate::autodiff::tape::{Back, Op, Tape, Value, Var};

/// Mean over a window, zeros around the maps included; none if it does not fit.
pub fn average_pool(tape: &mut Tape, input: Var, window: Window) -> Option<Var> {
    let x = tape.map(input);
    let shape = x.shape();
    let size = [shape.height, shape.width];
    let plan = Plan::forward(&window, size)?;
    let share = Lanes([1.0 / window.taps() as f32; BLOCK]);
    let weights = vec![share; shape.blocks() * window.taps()];
    let mut y = x.device().dirty(shape.with(shape.channels, plan.output[0], plan.output[1]));
    depthwise::pass(x, &plan, &weights, &[], &mut y);
    let back = Plan::backward(&window, size)?;
    Some(tape.push(&[input], Value::Map(y), Average { input, back, weights }))
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
}

impl Op for Average {
    fn backward(&self, gradient: Value, back: &mut Back<'_>) {
        let Value::Map(gradient) = gradient else { return };
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
