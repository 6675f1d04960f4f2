//! Correction of activations: an input of a part in float is moved until the values that its batch
//! norms read have, image by image, the moments that these know (Liu et al. 2023, section 3.3).

use std::collections::BTreeMap;

use quantbench_core::Tensor;
use quantbench_engine::autodiff::ops::{Moments, squared_error, total};
use quantbench_engine::autodiff::optim::{Adam, Group, Optimizer, Parameters, Rule};
use quantbench_engine::autodiff::{
    BLOCK, Back, Device, Lanes, Map, MapShape, Network, Op, Tape, Unchanged, Value, Var,
};
use quantbench_graph::Graph;
use rayon::prelude::*;

use super::pieces::Piece;
use super::settings::Correction;
use super::unfit;
use crate::contract::{Context, MethodError};
use crate::parts::vector::vectorised;

/// Added to variances before their root is taken.
const EPSILON: f32 = 1e-6;

/// The same part with its batch norms, if it has any that see more than a pixel; none also where
/// it cannot be cut out of the network with batch norms.
pub(super) fn with_norms(unfolded: &Graph, piece: &Piece) -> Result<Option<Network>, MethodError> {
    let behind = |value: &str| unfolded.producer(value).map(|at| at + 1);
    let from = if piece.input == unfolded.input() { Some(0) } else { behind(&piece.input) };
    let (Some(from), Some(to)) = (from, behind(&piece.output)) else { return Ok(None) };
    let is_cut = from == 0 || unfolded.cut(from).as_deref() == Some(&[piece.input.clone()][..]);
    if !is_cut || from >= to {
        return Ok(None);
    }
    let part = unfolded.segment(from..to, std::slice::from_ref(&piece.output))?;
    let network = Network::new(&part, &[])?;
    Ok((!network.norms().is_empty()).then_some(network))
}

/// All images' inputs of a part, corrected batch by batch.
pub(super) fn corrected(
    device: &Device,
    network: &Network,
    input: &Map,
    batch: usize,
    how: &Correction,
    method: &'static str,
    cx: &mut Context<'_>,
) -> Result<Map, MethodError> {
    let images = input.shape().images;
    let mut parts = Vec::new();
    for first in (0..images).step_by(batch) {
        cx.step(first, images, "correction of activations")?;
        let picked: Vec<usize> = (first..(first + batch).min(images)).collect();
        parts.push(correct(device, network, &input.gather(&picked), how, method)?);
    }
    Map::join(&parts).ok_or_else(|| unfit(method, "there are no images"))
}

/// One batch.
fn correct(
    device: &Device,
    network: &Network,
    start: &Map,
    how: &Correction,
    method: &'static str,
) -> Result<Map, MethodError> {
    let shape = start.shape();
    let mut parameters = Parameters::new();
    let group = Group { name: "input".to_string(), rate: 1.0, weight_decay: 0.0 };
    let group = parameters.add_group(group)?;
    parameters.add(group, "input", numbers(start))?;
    let mut optimizer = Optimizer::new(Rule::Adam(Adam::default()), parameters)?;
    let mut rate = Plateau::new(how.rate);
    for _ in 0..how.iterations {
        let mut tape = Tape::new(device);
        let now = lanes(device, shape, optimizer.parameters().all()[0].value());
        let input = tape.variable(Value::Map(now));
        let constants = network.parameters().iter();
        let constants: BTreeMap<String, Var> =
            constants.map(|(n, t)| (n.clone(), tape.constant(Value::Flat(t.clone())))).collect();
        let inputs = BTreeMap::from([(network.input().to_string(), input)]);
        let run = network.run(&mut tape, inputs, &constants, false, &mut Unchanged)?;
        let mut terms = Vec::new();
        for norm in network.norms() {
            let read = run.values.get(&norm.input).copied();
            let read = read.ok_or_else(|| unfit(method, "a batch norm's input is not known"))?;
            terms.extend(moments_error(&mut tape, read, &norm.moments).map(|v| (v, 1.0)));
        }
        let moved = squared_error(&mut tape, input, start.copy(), None);
        terms.extend(moved.map(|v| (v, (1.0 / how.freedom) as f32)));
        let loss = total(&mut tape, &terms);
        let value = tape.scalar(loss);
        if !value.is_finite() {
            let what = format!("correction of the input {:?}", network.input());
            return Err(MethodError::NotFinite { what });
        }
        let gradient = tape.backward(loss).map(input).map(|g| numbers(&g));
        optimizer.step(&[gradient], rate.rate)?;
        rate.seen(f64::from(value));
    }
    Ok(lanes(device, shape, optimizer.parameters().all()[0].value()))
}

/// The numbers of a map as they lie in memory.
fn numbers(map: &Map) -> Tensor {
    let data: Vec<f32> = map.iter().flat_map(|l| l.0).collect();
    Tensor::new(vec![data.len()], data)
}

/// The inverse of [`numbers`].
fn lanes(device: &Device, shape: MapShape, numbers: &Tensor) -> Map {
    let mut map = device.zeros(shape);
    for (to, from) in map.iter_mut().zip(numbers.data.chunks_exact(BLOCK)) {
        to.0.copy_from_slice(from);
    }
    map
}

/// A learning rate that falls to a tenth when the loss has not fallen for 100 iterations: PyTorch's
/// `ReduceLROnPlateau` with its defaults, but for the patience and a smallest rate of 1e-5.
struct Plateau {
    rate: f64,
    best: f64,
    bad: usize,
}

impl Plateau {
    fn new(rate: f64) -> Self {
        Self { rate, best: f64::INFINITY, bad: 0 }
    }

    fn seen(&mut self, loss: f64) {
        if loss < self.best * (1.0 - 1e-4) {
            self.best = loss;
            self.bad = 0;
            return;
        }
        self.bad += 1;
        if self.bad > 100 {
            self.rate = (0.1 * self.rate).max(self.rate.min(1e-5));
            self.bad = 0;
        }
    }
}

/// The squared distances of each image's mean and standard deviation per channel from those given,
/// summed over channels and averaged over images; none for maps of one pixel.
fn moments_error(tape: &mut Tape, input: Var, known: &Moments) -> Option<Var> {
    let x = tape.map(input);
    let shape = x.shape();
    let pixels = shape.pixels();
    if pixels < 2 || shape.images == 0 || known.mean.len() != shape.channels {
        return None;
    }
    let per_image = shape.per_image().max(1);
    let slopes: Vec<Slope> = (0..shape.images)
        .into_par_iter()
        .flat_map_iter(|n| x.image(n).chunks(pixels).map(Slope::of))
        .collect();
    let scale = 1.0 / shape.images as f32;
    let mut loss = 0f64;
    let mut slopes = slopes;
    for (i, slope) in slopes.iter_mut().enumerate() {
        let block = i % shape.blocks();
        for lane in 0..BLOCK {
            let c = block * BLOCK + lane;
            if c >= shape.channels {
                // What fills a block up has no moments.
                (slope.flat.0[lane], slope.steep.0[lane]) = (0.0, 0.0);
                continue;
            }
            let deviation = slope.steep.0[lane];
            let mean = slope.mean.0[lane] - known.mean[c];
            let spread = deviation - (known.variance[c] + EPSILON).sqrt();
            loss += f64::from(mean * mean) + f64::from(spread * spread);
            slope.flat.0[lane] = 2.0 * scale * mean / pixels as f32;
            slope.steep.0[lane] = 2.0 * scale * spread / (deviation * (pixels - 1) as f32);
        }
    }
    let value = Tensor::new(vec![1], vec![loss as f32 * scale]);
    let op = MomentsError { input, slopes, pixels, per_image };
    Some(tape.push(&[input], Value::Flat(value), op))
}

/// The gradient of one block of an image is `flat + steep (x - mean)`.
struct Slope {
    mean: Lanes,
    flat: Lanes,
    /// The standard deviation at first.
    steep: Lanes,
}

impl Slope {
    /// Mean and standard deviation of the pixels of a block.
    fn of(pixels: &[Lanes]) -> Self {
        vectorised(
            #[inline(always)]
            || {
                let mut mean = [0f32; BLOCK];
                for pixel in pixels {
                    for (m, v) in mean.iter_mut().zip(&pixel.0) {
                        *m += v;
                    }
                }
                let mean = mean.map(|m| m / pixels.len() as f32);
                let mut squares = [0f32; BLOCK];
                for pixel in pixels {
                    for ((s, v), m) in squares.iter_mut().zip(&pixel.0).zip(&mean) {
                        *s += (v - m) * (v - m);
                    }
                }
                let count = (pixels.len() - 1) as f32;
                let deviation = squares.map(|s| (s / count + EPSILON).sqrt());
                Self { mean: Lanes(mean), flat: Lanes::ZERO, steep: Lanes(deviation) }
            },
        )
    }
}

struct MomentsError {
    input: Var,
    slopes: Vec<Slope>,
    pixels: usize,
    per_image: usize,
}

impl Op for MomentsError {
    fn backward(&self, gradient: Value, back: &mut Back<'_>) {
        let Value::Flat(gradient) = gradient else { return };
        let factor = gradient.data[0];
        let mut out = back.map(self.input).copy();
        let blocks = self.per_image / self.pixels;
        out.par_chunks_mut(self.per_image).enumerate().for_each(|(n, image)| {
            for (block, pixels) in image.chunks_mut(self.pixels).enumerate() {
                let slope = &self.slopes[n * blocks + block];
                vectorised(
                    #[inline(always)]
                    || {
                        for pixel in pixels.iter_mut() {
                            for lane in 0..BLOCK {
                                let off = pixel.0[lane] - slope.mean.0[lane];
                                let g = slope.flat.0[lane] + slope.steep.0[lane] * off;
                                pixel.0[lane] = factor * g;
                            }
                        }
                    },
                );
            }
        });
        back.give(self.input, Value::Map(out));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use quantbench_graph::testing::tiny_resnet;

    proptest! {
        #[test]
        fn gradients_are_those_of_differences(
            values in prop::collection::vec(-1f32..1.0, 2 * 18 * 6), at in 0usize..216,
        ) {
            let device = Device::new();
            let dims = vec![2, 18, 2, 3];
            let known = Moments { mean: vec![0.1; 18], variance: vec![0.5; 18] };
            let loss = |data: &[f32]| {
                let mut tape = Tape::new(&device);
                let map = device.map(&Tensor::new(dims.clone(), data.to_vec())).unwrap();
                let x = tape.variable(Value::Map(map));
                let error = moments_error(&mut tape, x, &known).unwrap();
                (f64::from(tape.scalar(error)), tape.backward(error).map(x).unwrap())
            };
            let found = f64::from(loss(&values).1.to_tensor().data[at]);
            let moved = |by: f32| {
                let mut values = values.clone();
                values[at] += by;
                loss(&values).0
            };
            let want = (moved(0.02) - moved(-0.02)) / 0.04;
            prop_assert!((found - want).abs() < 0.02 * want.abs() + 4e-3, "{found} {want}");
        }
    }

    #[test]
    fn the_rate_falls_where_the_loss_stands_still() {
        let mut rate = Plateau::new(1e-3);
        (0..50).for_each(|i| rate.seen(f64::from(100 - i)));
        (0..101).for_each(|_| rate.seen(60.0));
        assert!((rate.rate - 1e-4).abs() < 1e-12);
        (0..1000).for_each(|_| rate.seen(60.0));
        assert!((rate.rate - 1e-5).abs() < 1e-12);
    }

    #[test]
    fn corrected_inputs_lead_to_the_moments_of_the_norms() {
        let graph = Graph::from_bytes(&tiny_resnet(7), "tiny").unwrap();
        let graph = graph.fold_constants().unwrap();
        let network = Network::new(&graph, &[]).unwrap();
        let device = Device::new();
        let mut dims = vec![4];
        dims.extend(graph.image_dims());
        let count: usize = dims.iter().product();
        let data = (0..count).map(|i| (i * 37 % 101) as f32 / 25.0 - 1.0).collect();
        let input = device.map(&Tensor::new(dims, data)).unwrap();
        let how = |iterations, freedom| Correction { iterations, rate: 0.02, freedom };
        let error = |x: &Map| {
            let mut tape = Tape::new(&device);
            let x = tape.constant(Value::Map(x.copy()));
            let constants = network.parameters().iter();
            let constants: BTreeMap<String, Var> = constants
                .map(|(n, t)| (n.clone(), tape.constant(Value::Flat(t.clone()))))
                .collect();
            let inputs = BTreeMap::from([(network.input().to_string(), x)]);
            let run = network.run(&mut tape, inputs, &constants, false, &mut Unchanged).unwrap();
            let of = |norm: &quantbench_engine::autodiff::RunningMoments| {
                let error = moments_error(&mut tape, run.values[&norm.input], &norm.moments);
                f64::from(tape.scalar(error.unwrap()))
            };
            network.norms().iter().map(of).sum::<f64>()
        };
        let go = |how: &Correction| correct(&device, &network, &input, how, "test").unwrap();
        assert_eq!(go(&how(0, 1.0)).to_tensor(), input.to_tensor());
        let (free, held) = (go(&how(100, 100.0)), go(&how(100, 1e-3)));
        let (before, after) = (error(&input), error(&free));
        assert!(after < 0.5 * before, "{after} after, {before} before");
        // What may not move stays nearer to where it was.
        let moved = |x: &Map| {
            let pairs = x.to_tensor().data.into_iter().zip(input.to_tensor().data);
            pairs.map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>()
        };
        assert!(moved(&held) < 0.5 * moved(&free));
    }
}
