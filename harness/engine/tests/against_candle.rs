//! Values and gradients against those of candle, another autodiff engine, on random shapes and on
//! every instruction set of the machine.

#![allow(clippy::unwrap_used)] // Helpers of tests are tests.

use candle_core as candle;
use proptest::prelude::*;
use quantbench_core::Tensor;
use quantbench_core::rng::Rng;
use quantbench_engine::autodiff::{Back, Device, Isa, Op, Tape, Value, Var, Window, ops};

/// How far numbers may be apart, relative to the largest of their tensor.
const NEAR: f32 = 1e-4;

/// A tensor that both engines get.
enum Given {
    /// As feature maps here.
    Map(Tensor),
    /// As it is: parameters.
    Flat(Tensor),
}

impl Given {
    fn tensor(&self) -> &Tensor {
        match self {
            Given::Map(tensor) | Given::Flat(tensor) => tensor,
        }
    }
}

/// Numbers between -1 and 1.
fn noise(dims: &[usize], seed: u64) -> Tensor {
    let mut rng = Rng::from_parts(&["against candle", &seed.to_string()]);
    let data = (0..dims.iter().product()).map(|_| 2.0 * rng.unit_f32() - 1.0);
    Tensor::new(dims.to_vec(), data.collect())
}

/// The sum of an output's numbers times given ones, so that every number has a gradient of its own.
struct Weighted {
    input: Var,
    weights: Tensor,
}

impl Op for Weighted {
    fn backward(&self, _: Value, back: &mut Back<'_>) {
        let gradient = match back.value(self.input) {
            Value::Map(map) => Value::Map(map.device().map(&self.weights).unwrap()),
            Value::Flat(_) => Value::Flat(self.weights.clone()),
        };
        back.give(self.input, gradient);
    }
}

/// The output and the gradients of all that is given.
type Outcome = (Vec<f32>, Vec<Vec<f32>>);

fn ours(isa: Isa, given: &[Given], build: &dyn Fn(&mut Tape, &[Var]) -> Option<Var>) -> Outcome {
    let device = Device::with(isa);
    let mut tape = Tape::new(&device);
    let vars: Vec<Var> = given
        .iter()
        .map(|given| match given {
            Given::Map(tensor) => tape.variable(Value::Map(device.map(tensor).unwrap())),
            Given::Flat(tensor) => tape.parameter(tensor),
        })
        .collect();
    let y = build(&mut tape, &vars).unwrap();
    let output = match tape.value(y) {
        Value::Map(map) => map.to_tensor(),
        Value::Flat(tensor) => tensor.clone(),
    };
    let weights = noise(&output.dims, 99);
    let one = Value::Flat(Tensor::new(vec![1], vec![1.0]));
    let loss = tape.push(&[y], one, Weighted { input: y, weights });
    let mut gradients = tape.backward(loss);
    let gradients = given
        .iter()
        .zip(vars)
        .map(|(given, var)| match given {
            Given::Map(_) => gradients.map(var).unwrap().to_tensor().data,
            Given::Flat(_) => gradients.flat(var).unwrap().data,
        })
        .collect();
    (output.data, gradients)
}

type Build<'a> = &'a dyn Fn(&[candle::Tensor]) -> candle::Result<candle::Tensor>;

fn theirs(given: &[Given], build: Build<'_>) -> candle::Result<Outcome> {
    let cpu = candle::Device::Cpu;
    let vars: Vec<candle::Var> = given
        .iter()
        .map(|given| {
            let Tensor { dims, data } = given.tensor();
            candle::Var::from_slice(data, dims.as_slice(), &cpu)
        })
        .collect::<candle::Result<_>>()?;
    let inputs: Vec<candle::Tensor> = vars.iter().map(|v| v.as_tensor().clone()).collect();
    let y = build(&inputs)?;
    // As many dimensions as our maps have, for the same weights; a loss is one number.
    let dims = match *y.dims() {
        [] => vec![1],
        [n, c] => vec![n, c, 1, 1],
        ref dims => dims.to_vec(),
    };
    let y = y.reshape(dims.as_slice())?;
    let weights = candle::Tensor::from_slice(&noise(&dims, 99).data, dims.as_slice(), &cpu)?;
    let gradients = (&y * weights)?.sum_all()?.backward()?;
    let numbers = |tensor: &candle::Tensor| tensor.flatten_all()?.to_vec1::<f32>();
    let all = inputs.iter().map(|v| numbers(gradients.get(v).unwrap()));
    Ok((numbers(&y)?, all.collect::<candle::Result<_>>()?))
}

fn near(found: &[f32], want: &[f32], what: &str) -> Result<(), TestCaseError> {
    prop_assert_eq!(found.len(), want.len(), "{}", what);
    let largest = want.iter().fold(0f32, |m, v| m.max(v.abs()));
    for (i, (f, w)) in found.iter().zip(want).enumerate() {
        prop_assert!((f - w).abs() <= NEAR * largest, "{what} {i}: {f} against {w}");
    }
    Ok(())
}

/// Whether both engines agree.
fn agree(
    what: &str,
    given: &[Given],
    here: &dyn Fn(&mut Tape, &[Var]) -> Option<Var>,
    there: Build<'_>,
) -> Result<(), TestCaseError> {
    let want = theirs(given, there).unwrap();
    for isa in Isa::available() {
        let found = ours(isa, given, here);
        near(&found.0, &want.0, &format!("{what} on {}: output", isa.name()))?;
        for (i, (found, want)) in found.1.iter().zip(&want.1).enumerate() {
            near(found, want, &format!("{what} on {}: gradient of input {i}", isa.name()))?;
        }
    }
    Ok(())
}

/// Channels in, channels out and groups: none, some, or each channel on its own.
fn channels() -> impl Strategy<Value = (usize, usize, usize)> {
    prop_oneof![
        (1usize..36, 1usize..36).prop_map(|(i, o)| (i, o, 1)),
        (1usize..5, 1usize..5, 2usize..9).prop_map(|(i, o, g)| (i * g, o * g, g)),
        (2usize..36).prop_map(|c| (c, c, c)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn convolutions(
        (inputs, outputs, groups) in channels(), n in 1usize..6, height in 3usize..9, more in 0usize..3,
        kernel in 1usize..4, stride in 1usize..3, pad in 0usize..3, seed in 0u64..1000,
    ) {
        // Candle 0.9.2 has no gradient where windows leave unlike rests of rows and of columns.
        let width = height + more * stride;
        let given = [
            Given::Map(noise(&[n, inputs, height, width], seed)),
            Given::Flat(noise(&[outputs, inputs / groups, kernel, kernel], seed + 1)),
            Given::Flat(noise(&[outputs], seed + 2)),
        ];
        agree(
            "conv",
            &given,
            &|tape, v| {
                let window = Window::square(kernel, stride, pad);
                ops::conv(tape, v[0], v[1], Some(v[2]), window, groups)
            },
            &|v| {
                let bias = v[2].reshape((1, outputs, 1, 1))?;
                v[0].conv2d(&v[1], pad, stride, 1, groups)?.broadcast_add(&bias)
            },
        )?;
    }

    #[test]
    fn linear_layers_with_cross_entropy(
        n in 1usize..9, inputs in 1usize..70, classes in 2usize..40, seed in 0u64..1000,
    ) {
        let given = [
            Given::Map(noise(&[n, inputs], seed)),
            Given::Flat(noise(&[classes, inputs], seed + 1)),
            Given::Flat(noise(&[classes], seed + 2)),
        ];
        let label = |i: usize| (i as u64 * 7 + seed) % classes as u64;
        let labels: Vec<u16> = (0..n).map(|i| label(i) as u16).collect();
        let linear = |v: &[candle::Tensor]| v[0].matmul(&v[1].t()?)?.broadcast_add(&v[2]);
        agree("linear", &given, &|tape, v| ops::linear(tape, v[0], v[1], Some(v[2])), &linear)?;
        agree(
            "cross entropy",
            &given,
            &|tape, v| {
                let z = ops::linear(tape, v[0], v[1], Some(v[2]))?;
                ops::cross_entropy(tape, z, &labels, 0.0)
            },
            &|v| {
                let z = linear(v)?;
                let top = z.max_keepdim(1)?.detach();
                let z = z.broadcast_sub(&top)?;
                let log = z.broadcast_sub(&z.exp()?.sum_keepdim(1)?.log()?)?;
                let labels: Vec<u32> = labels.iter().map(|l| u32::from(*l)).collect();
                let labels = candle::Tensor::from_vec(labels, (n, 1), v[0].device())?;
                log.gather(&labels, 1)?.mean_all()?.neg()
            },
        )?;
    }

    #[test]
    fn norms_of_the_batch_and_rectified_linear_units(
        n in 2usize..9, c in 1usize..36, h in 1usize..6, w in 1usize..6, relu in any::<bool>(),
        seed in 0u64..1000,
    ) {
        let given = [
            Given::Map(noise(&[n, c, h, w], seed)),
            Given::Flat(noise(&[c], seed + 1)),
            Given::Flat(noise(&[c], seed + 2)),
        ];
        agree(
            "norm",
            &given,
            &|tape, v| {
                // Not so small that two values of one channel are a matter of rounding.
                let how = ops::Norm { epsilon: 1e-2, frozen: None, relu };
                Some(ops::norm(tape, v[0], v[1], v[2], &how)?.0)
            },
            &|v| {
                let centred = v[0].broadcast_sub(&v[0].mean_keepdim((0, 2, 3))?)?;
                let variance = centred.sqr()?.mean_keepdim((0, 2, 3))?;
                let unit = centred.broadcast_div(&(variance + 1e-2)?.sqrt()?)?;
                let [gamma, beta] = [&v[1], &v[2]].map(|p| p.reshape((1, c, 1, 1)));
                let y = unit.broadcast_mul(&gamma?)?.broadcast_add(&beta?)?;
                if relu { y.relu() } else { Ok(y) }
            },
        )?;
    }

    #[test]
    fn pools(
        n in 1usize..5, c in 1usize..36, times in [1usize..4, 1usize..4], kernel in 1usize..4,
        seed in 0u64..1000,
    ) {
        // Candle has gradients of pools without overlap or padding alone.
        let [rows, columns] = times;
        let given = [Given::Map(noise(&[n, c, rows * kernel, columns * kernel], seed))];
        let window = Window::square(kernel, kernel, 0);
        agree(
            "average pool",
            &given,
            &|tape, v| ops::average_pool(tape, v[0], window),
            &|v| v[0].avg_pool2d(kernel),
        )?;
        agree(
            "max pool",
            &given,
            &|tape, v| ops::max_pool(tape, v[0], window),
            // Of maxima along axes: the gradient of candle 0.9.2's max_pool2d is divided by the
            // size of the window.
            &|v| v[0].reshape(vec![n, c, rows, kernel, columns, kernel])?.max(5)?.max(3),
        )?;
        agree(
            "rectified global average",
            &given,
            &|tape, v| {
                let positive = ops::relu(tape, v[0]);
                ops::global_average_pool(tape, positive)
            },
            &|v| v[0].relu()?.mean_keepdim((2, 3)),
        )?;
    }

    #[test]
    fn gates_and_functions_between_layers(
        n in 1usize..5, c in 1usize..36, h in 1usize..5, w in 1usize..5, seed in 0u64..1000,
    ) {
        let dims = [n, c, h, w];
        let given = [Given::Map(noise(&dims, seed)), Given::Map(noise(&dims, seed + 1))];
        agree(
            "gates",
            &given,
            &|tape, v| {
                let gate = ops::activate(tape, v[0], ops::Activation::Tanh);
                let wide = ops::activate(tape, v[1], ops::Activation::Erf);
                let y = ops::arithmetic(tape, ops::Arithmetic::Multiply, gate, wide)?;
                Some(ops::activate(tape, y, ops::Activation::Elu(0.5)))
            },
            &|v| (v[0].tanh()? * v[1].erf()?)?.elu(0.5),
        )?;
    }
}
