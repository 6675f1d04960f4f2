//! What a step of a network does.

use std::collections::BTreeMap;
use std::sync::Arc;

use quantbench_core::Tensor;

use super::Sites;
use crate::autodiff::kernels::plan::Window;
use crate::autodiff::map::MapShape;
use crate::autodiff::ops::{self, Activation, Arithmetic, Moments, Moves, Norm};
use crate::autodiff::tape::{Tape, Value, Var};

/// What a node does; names are those of parameters.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    Conv {
        weight: String,
        bias: Option<String>,
        window: Window,
        groups: usize,
    },
    Linear {
        weight: String,
        bias: Option<String>,
        transposed: bool,
    },
    Norm {
        gamma: String,
        beta: String,
        state: usize,
        epsilon: f32,
        relu: bool,
    },
    /// `slope x + offset` per channel.
    Line {
        slope: Numbers,
        offset: Numbers,
    },
    Relu,
    Prelu {
        slope: String,
    },
    Clip {
        low: f32,
        high: f32,
    },
    Activation(Activation),
    Softmax {
        logarithm: bool,
    },
    Add {
        relu: bool,
    },
    Arithmetic {
        what: Arithmetic,
        operands: [Operand; 2],
    },
    /// Numbers of all inputs at other places.
    Place {
        moves: Vec<Arc<Moves>>,
        fill: f32,
    },
    AveragePool {
        window: Window,
        counted: [[usize; 2]; 2],
    },
    MaxPool(Window),
    GlobalAveragePool,
    GlobalMaxPool,
    /// The mean over the pixels that a move makes, and where the means go.
    Mean {
        before: Option<Arc<Moves>>,
        after: Option<Arc<Moves>>,
    },
    Same,
}

/// Numbers per channel.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Numbers {
    /// Constants.
    Fixed(Vec<f32>),
    /// A parameter.
    Trained(String),
}

/// One side of arithmetic.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Operand {
    /// The next input, spread first if it is smaller than the outcome.
    Input(Option<Arc<Moves>>),
    /// The same numbers for every image: channels, rows and columns, and their values.
    Fixed([usize; 3], Vec<f32>),
}

/// What a step reads besides its inputs.
pub(super) struct Context<'a> {
    pub(super) parameters: &'a BTreeMap<String, Var>,
    /// Weights as the sites have left them, for layers that share one.
    pub(super) weights: BTreeMap<String, Var>,
    pub(super) norms: &'a [super::RunningMoments],
    /// Moments of the batch at each norm.
    pub(super) moments: Vec<Option<Moments>>,
    pub(super) train: bool,
    pub(super) sites: &'a mut dyn Sites,
}

impl Context<'_> {
    /// A layer's weights.
    fn weight(&mut self, tape: &mut Tape, name: &str) -> Option<Var> {
        if let Some(weight) = self.weights.get(name) {
            return Some(*weight);
        }
        let weight = self.sites.weight(tape, name, *self.parameters.get(name)?);
        self.weights.insert(name.to_string(), weight);
        Some(weight)
    }

    /// A layer's bias if it has one, as `[channels]`.
    fn bias(&self, tape: &mut Tape, name: Option<&str>) -> Option<Var> {
        let bias = *self.parameters.get(name?)?;
        let Tensor { dims, data } = tape.flat(bias);
        let (dims, len) = (dims.len(), data.len());
        if dims == 1 { Some(bias) } else { ops::with_dims(tape, bias, &[len]) }
    }
}

impl Kind {
    /// Names of the parameters that it reads.
    pub(super) fn parameters(&self) -> Vec<&str> {
        match self {
            Kind::Conv { weight, bias, .. } | Kind::Linear { weight, bias, .. } => {
                std::iter::once(weight.as_str()).chain(bias.as_deref()).collect()
            }
            Kind::Norm { gamma, beta, .. } => vec![gamma, beta],
            Kind::Prelu { slope } => vec![slope],
            Kind::Line { slope, offset } => [slope, offset]
                .into_iter()
                .filter_map(|n| match n {
                    Numbers::Trained(name) => Some(name.as_str()),
                    Numbers::Fixed(_) => None,
                })
                .collect(),
            _ => Vec::new(),
        }
    }

    /// Computes; none if an input does not fit. All inputs and parameters are there.
    pub(super) fn run(
        &self,
        tape: &mut Tape,
        inputs: &[Var],
        context: &mut Context<'_>,
    ) -> Option<Var> {
        let x = *inputs.first()?;
        match self {
            Kind::Conv { weight, bias, window, groups } => {
                let mut w = context.weight(tape, weight)?;
                let b = context.bias(tape, bias.as_deref());
                if let [outputs, inputs, columns] = *tape.flat(w).dims.as_slice() {
                    w = ops::with_dims(tape, w, &[outputs, inputs, 1, columns])?;
                }
                ops::conv(tape, x, w, b, *window, *groups)
            }
            Kind::Linear { weight, bias, transposed } => {
                let mut w = context.weight(tape, weight)?;
                let b = context.bias(tape, bias.as_deref());
                if *transposed {
                    w = ops::transpose(tape, w);
                }
                ops::linear(tape, x, w, b)
            }
            Kind::Norm { gamma, beta, state, epsilon, relu } => {
                let frozen = (!context.train).then(|| &context.norms[*state].moments);
                let how = Norm { epsilon: *epsilon, frozen, relu: *relu };
                let [g, b] = [gamma, beta].map(|name| context.parameters.get(name).copied());
                let (y, found) = ops::norm(tape, x, g?, b?, &how)?;
                context.moments[*state] = context.train.then_some(found);
                Some(y)
            }
            Kind::Line { slope, offset } => line(tape, x, [slope, offset], context.parameters),
            Kind::Relu => Some(ops::relu(tape, x)),
            Kind::Prelu { slope } => ops::prelu(tape, x, *context.parameters.get(slope)?),
            Kind::Clip { low, high } => Some(ops::clip(tape, x, *low, *high)),
            Kind::Activation(activation) => Some(ops::activate(tape, x, *activation)),
            Kind::Softmax { logarithm } => Some(ops::softmax(tape, x, *logarithm)),
            Kind::Add { relu } => ops::add(tape, x, *inputs.get(1)?, *relu),
            Kind::Arithmetic { what, operands } => arithmetic(tape, *what, operands, inputs),
            Kind::Place { moves, fill } => {
                let parts: Vec<_> = inputs.iter().copied().zip(moves.iter().cloned()).collect();
                ops::place(tape, &parts, *fill)
            }
            Kind::AveragePool { window, counted } => {
                ops::average_pool_of(tape, x, *window, *counted)
            }
            Kind::MaxPool(window) => ops::max_pool(tape, x, *window),
            Kind::GlobalAveragePool => ops::global_average_pool(tape, x),
            Kind::GlobalMaxPool => {
                let MapShape { height, width, .. } = tape.map(x).shape();
                let window = Window { kernel: [height, width], ..Window::square(1, 1, 0) };
                ops::max_pool(tape, x, window)
            }
            Kind::Mean { before, after } => {
                let x = moved(tape, x, before.as_ref())?;
                let mean = ops::global_average_pool(tape, x)?;
                moved(tape, mean, after.as_ref())
            }
            Kind::Same => Some(x),
        }
    }
}

fn moved(tape: &mut Tape, input: Var, moves: Option<&Arc<Moves>>) -> Option<Var> {
    match moves {
        Some(moves) => ops::place(tape, &[(input, moves.clone())], 0.0),
        None => Some(input),
    }
}

/// A norm whose moments change nothing.
fn line(
    tape: &mut Tape,
    input: Var,
    numbers: [&Numbers; 2],
    parameters: &BTreeMap<String, Var>,
) -> Option<Var> {
    let channels = tape.map(input).shape().channels;
    let mut vars = Vec::with_capacity(2);
    for numbers in numbers {
        vars.push(match numbers {
            Numbers::Trained(name) => *parameters.get(name)?,
            Numbers::Fixed(values) => {
                let values = Tensor::new(vec![values.len()], values.clone());
                tape.constant(Value::Flat(values))
            }
        });
    }
    let still = Moments { mean: vec![0.0; channels], variance: vec![1.0; channels] };
    let how = Norm { epsilon: 0.0, frozen: Some(&still), relu: false };
    ops::norm(tape, input, vars[0], vars[1], &how).map(|(y, _)| y)
}

fn arithmetic(
    tape: &mut Tape,
    what: Arithmetic,
    operands: &[Operand; 2],
    inputs: &[Var],
) -> Option<Var> {
    let images = tape.map(*inputs.first()?).shape().images;
    let mut next = inputs.iter();
    let mut sides = Vec::with_capacity(2);
    for operand in operands {
        sides.push(match operand {
            Operand::Input(moves) => moved(tape, *next.next()?, moves.as_ref())?,
            Operand::Fixed([channels, height, width], values) => {
                let dims = vec![images, *channels, *height, *width];
                let map = tape.device().map(&Tensor::new(dims, values.repeat(images)))?;
                tape.constant(Value::Map(map))
            }
        });
    }
    ops::arithmetic(tape, what, sides[0], sides[1])
}
