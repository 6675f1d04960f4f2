//! Functions of numbers one by one, with parameters that are trained along.

use pulp::{Simd, WithSimd};
use quantbench_core::Tensor;
use rayon::prelude::*;

use crate::autodiff::isa::Isa;
use crate::autodiff::map::{BLOCK, Lanes, Map};
use crate::autodiff::tape::{Back, Op, Tape, Value, Var};

/// A function of one number and some parameters, for as many numbers as lie side by side.
///
/// Both functions should be `#[inline(always)]` and loop over lanes, so that they are compiled for
/// every instruction set.
pub trait Curve: Clone + Send + Sync + 'static {
    /// The values at `x` with parameters `p`.
    fn value(&self, p: &[f32], x: &Lanes) -> Lanes;

    /// Turns the gradient of the values at `x` into that of `x`, and adds to `sums`, one for each
    /// parameter, what it gives to the parameters.
    fn slope(&self, p: &[f32], x: &Lanes, gradient: &mut Lanes, sums: &mut [Lanes]);
}

/// A curve over a map or a tensor; `parameters` is a tensor in one piece.
pub fn curve<C: Curve>(tape: &mut Tape, input: Var, parameters: Var, curve: C) -> Var {
    let isa = tape.device().isa;
    let p = &tape.flat(parameters).data;
    let value = match tape.value(input) {
        Value::Map(x) => Value::Map(of_map(&curve, p, x)),
        Value::Flat(x) => Value::Flat(of_tensor(isa, &curve, p, x)),
    };
    tape.push(&[input, parameters], value, Curved { input, parameters, curve })
}

fn of_map<C: Curve>(curve: &C, p: &[f32], x: &Map) -> Map {
    let (shape, isa) = (x.shape(), x.device().isa);
    let mut y = x.device().dirty(shape);
    y.par_chunks_mut(shape.per_image().max(1)).enumerate().for_each(|(n, out)| {
        let blocks = out.chunks_mut(shape.pixels()).zip(x.image(n).chunks(shape.pixels()));
        for (block, (out, input)) in blocks.enumerate() {
            isa.run(Forward { curve, p, input, out: &mut *out });
            empty(out, shape.lanes(block));
        }
    });
    y
}

/// Numbers per work item of a tensor.
const CHUNK: usize = 1 << 12;

fn of_tensor<C: Curve>(isa: Isa, curve: &C, p: &[f32], x: &Tensor) -> Tensor {
    let mut data = vec![0.0; x.data.len()];
    data.par_chunks_mut(CHUNK).zip(x.data.par_chunks(CHUNK)).for_each(|(out, input)| {
        let input = lanes(input);
        let mut made = vec![Lanes::ZERO; input.len()];
        isa.run(Forward { curve, p, input: &input, out: &mut made });
        unpack(&made, out);
    });
    Tensor::new(x.dims.clone(), data)
}

/// Sets what fills a block up to zero.
fn empty(block: &mut [Lanes], lanes: usize) {
    if lanes < BLOCK {
        for v in block {
            v.0[lanes..].fill(0.0);
        }
    }
}

fn lanes(numbers: &[f32]) -> Vec<Lanes> {
    let one = |part: &[f32]| {
        let mut lanes = Lanes::ZERO;
        lanes.0[..part.len()].copy_from_slice(part);
        lanes
    };
    numbers.chunks(BLOCK).map(one).collect()
}

fn unpack(lanes: &[Lanes], numbers: &mut [f32]) {
    for (part, lanes) in numbers.chunks_mut(BLOCK).zip(lanes) {
        part.copy_from_slice(&lanes.0[..part.len()]);
    }
}

struct Forward<'a, C> {
    curve: &'a C,
    p: &'a [f32],
    input: &'a [Lanes],
    out: &'a mut [Lanes],
}

impl<C: Curve> WithSimd for Forward<'_, C> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for (out, input) in self.out.iter_mut().zip(self.input) {
            *out = self.curve.value(self.p, input);
        }
    }
}

/// Turns gradients of the output into those of the input; gives those of the parameters.
struct Backward<'a, C> {
    curve: &'a C,
    p: &'a [f32],
    input: &'a [Lanes],
    gradient: &'a mut [Lanes],
}

impl<C: Curve> WithSimd for Backward<'_, C> {
    type Output = Vec<f64>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> Vec<f64> {
        // So many sums are added in FP32 before they go to FP64.
        const RUN: usize = 64;
        let mut totals = vec![0f64; self.p.len()];
        let mut sums = vec![Lanes::ZERO; self.p.len()];
        for (gradient, input) in self.gradient.chunks_mut(RUN).zip(self.input.chunks(RUN)) {
            sums.fill(Lanes::ZERO);
            for (gradient, input) in gradient.iter_mut().zip(input) {
                self.curve.slope(self.p, input, gradient, &mut sums);
            }
            for (total, sum) in totals.iter_mut().zip(&sums) {
                *total += sum.0.iter().map(|v| f64::from(*v)).sum::<f64>();
            }
        }
        totals
    }
}

struct Curved<C> {
    input: Var,
    parameters: Var,
    curve: C,
}

impl<C: Curve> Op for Curved<C> {
    fn backward(&self, gradient: Value, back: &mut Back<'_>) {
        let parameters = back.flat(self.parameters);
        let (p, dims) = (&parameters.data, parameters.dims.clone());
        let (gradient, sums) = match gradient {
            Value::Map(mut gradient) => {
                let sums = self.through_map(p, back.map(self.input), &mut gradient);
                (Value::Map(gradient), sums)
            }
            Value::Flat(mut gradient) => {
                let isa = back.isa();
                let sums = self.through_tensor(isa, p, back.flat(self.input), &mut gradient);
                (Value::Flat(gradient), sums)
            }
        };
        let mut totals = vec![0f64; p.len()];
        for part in sums {
            totals.iter_mut().zip(part).for_each(|(total, more)| *total += more);
        }
        let totals = totals.into_iter().map(|v| v as f32).collect();
        back.give(self.input, gradient);
        back.give(self.parameters, Value::Flat(Tensor::new(dims, totals)));
    }
}

impl<C: Curve> Curved<C> {
    /// The sums of each image.
    fn through_map(&self, p: &[f32], x: &Map, gradient: &mut Map) -> Vec<Vec<f64>> {
        let (shape, isa) = (x.shape(), x.device().isa);
        let images = gradient.par_chunks_mut(shape.per_image().max(1)).enumerate();
        let of_image = |(n, gradient): (usize, &mut [Lanes])| {
            let mut sums = vec![0f64; p.len()];
            let blocks = gradient.chunks_mut(shape.pixels()).zip(x.image(n).chunks(shape.pixels()));
            for (block, (gradient, input)) in blocks.enumerate() {
                empty(gradient, shape.lanes(block));
                let more = isa.run(Backward { curve: &self.curve, p, input, gradient });
                sums.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
            }
            sums
        };
        images.map(of_image).collect()
    }

    /// The sums of each part.
    fn through_tensor(
        &self,
        isa: Isa,
        p: &[f32],
        x: &Tensor,
        gradient: &mut Tensor,
    ) -> Vec<Vec<f64>> {
        let parts = gradient.data.par_chunks_mut(CHUNK).zip(x.data.par_chunks(CHUNK));
        let of_part = |(numbers, input): (&mut [f32], &[f32])| {
            let (mut gradient, input) = (lanes(numbers), lanes(input));
            let sums =
                isa.run(Backward { curve: &self.curve, p, input: &input, gradient: &mut gradient });
            unpack(&gradient, numbers);
            sums
        };
        parts.map(of_part).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::autodiff::Device;
    use proptest::prelude::*;

    /// `a x^2 + b`.
    #[derive(Clone)]
    struct Parabola;

    impl Curve for Parabola {
        #[inline(always)]
        fn value(&self, p: &[f32], x: &Lanes) -> Lanes {
            Lanes(x.0.map(|x| p[0] * x * x + p[1]))
        }

        #[inline(always)]
        fn slope(&self, p: &[f32], x: &Lanes, gradient: &mut Lanes, sums: &mut [Lanes]) {
            for i in 0..BLOCK {
                let (x, g) = (x.0[i], gradient.0[i]);
                sums[0].0[i] += g * x * x;
                sums[1].0[i] += g;
                gradient.0[i] = g * 2.0 * p[0] * x;
            }
        }
    }

    proptest! {
        #[test]
        fn maps_and_tensors_get_the_same_values_and_gradients_on_every_instruction_set(
            n in 1usize..4, c in 1usize..40, side in 1usize..5, seed in 0u32..100,
        ) {
            let count = n * c * side * side;
            let number = |i: usize| ((i as u32 * 37 + seed * 11) % 17) as f32 / 8.0 - 1.0;
            let x = Tensor::new(vec![n, c, side, side], (0..count).map(number).collect());
            let p = Tensor::new(vec![2], vec![0.5, -0.25]);
            for isa in Isa::available() {
                let device = Device::with(isa);
                let mut outcomes = Vec::new();
                for flat in [true, false] {
                    let mut tape = Tape::new(&device);
                    let map = || Value::Map(device.map(&x).unwrap());
                    let value = if flat { Value::Flat(x.clone()) } else { map() };
                    let input = tape.variable(value);
                    let parameters = tape.parameter(&p);
                    let y = curve(&mut tape, input, parameters, Parabola);
                    // A second time, so that gradients arrive that are not all one.
                    let z = curve(&mut tape, y, parameters, Parabola);
                    let values = match tape.value(z) {
                        Value::Map(map) => map.to_tensor(),
                        Value::Flat(tensor) => tensor.clone(),
                    };
                    let data = values.data.iter().map(|v| f64::from(*v)).sum::<f64>() as f32;
                    let total = Value::Flat(Tensor::new(vec![1], vec![data]));
                    let total = tape.push(&[z], total, Summed(z));
                    let mut gradients = tape.backward(total);
                    let of_x = if flat {
                        gradients.flat(input).unwrap()
                    } else {
                        gradients.map(input).unwrap().to_tensor()
                    };
                    outcomes.push((values, of_x, gradients.flat(parameters).unwrap()));
                }
                let (flat, map) = (&outcomes[0], &outcomes[1]);
                prop_assert_eq!(&flat.0, &map.0);
                prop_assert_eq!(&flat.1, &map.1);
                for (a, b) in flat.2.data.iter().zip(&map.2.data) {
                    prop_assert!((a - b).abs() <= 1e-4 * a.abs().max(1.0), "{a} {b}");
                }
                for (i, x) in x.data.iter().enumerate() {
                    let y = 0.5 * x * x - 0.25;
                    prop_assert!((flat.0.data[i] - (0.5 * y * y - 0.25)).abs() < 1e-6);
                    prop_assert!((flat.1.data[i] - y * x).abs() < 1e-6);
                }
                // d/da of a (a x^2 + b)^2 + b, and d/db.
                let of_a: f64 = x.data.iter().map(|x| f64::from(*x)).map(|x| {
                    let y = 0.5 * x * x - 0.25;
                    y * y + y * x * x
                }).sum();
                let of_b: f64 = x.data.iter().map(|x| f64::from(*x)).map(|x| {
                    0.5 * x * x - 0.25 + 1.0
                }).sum();
                prop_assert!((f64::from(flat.2.data[0]) - of_a).abs() < 1e-3 * of_a.abs().max(1.0));
                prop_assert!((f64::from(flat.2.data[1]) - of_b).abs() < 1e-3 * of_b.abs().max(1.0));
            }
        }
    }

    /// Gives each number the gradient of a sum.
    struct Summed(Var);

    impl Op for Summed {
        fn backward(&self, _: Value, back: &mut Back<'_>) {
            let ones = match back.value(self.0) {
                Value::Map(map) => {
                    let mut ones = map.copy();
                    ones.fill(Lanes([1.0; BLOCK]));
                    Value::Map(ones)
                }
                Value::Flat(tensor) => {
                    Value::Flat(Tensor::new(tensor.dims.clone(), vec![1.0; tensor.data.len()]))
                }
            };
            back.give(self.0, ones);
        }
    }
}
