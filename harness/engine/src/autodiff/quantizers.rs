//! The quantizers of an artefact on a tape, forward only: what it gives without any runtime.

use std::collections::BTreeMap;

use quantbench_core::{Grid, Levels, Tensor};
use quantbench_graph::Artefact;

use super::map::{BLOCK, Lanes};
use super::network::{Network, NetworkError, Sites};
use super::ops::{Curve, curve};
use super::tape::{Tape, Value, Var};
use super::{Device, MapShape};

/// Puts weights and values of a network onto the grids of an artefact.
pub struct Quantizers<'a> {
    artefact: &'a Artefact,
    values: BTreeMap<&'a str, OnGrid>,
}

impl<'a> Quantizers<'a> {
    /// Of an artefact whose parts fit each other.
    pub fn of(artefact: &'a Artefact) -> Self {
        let values = artefact.activations.iter();
        Self { artefact, values: values.map(|(n, g)| (n.as_str(), OnGrid::new(g))).collect() }
    }
}

impl Sites for Quantizers<'_> {
    fn weight(&mut self, tape: &mut Tape, name: &str, value: Var) -> Var {
        match self.artefact.weights.get(name) {
            Some(weights) => tape.constant(Value::Flat(weights.dequantize())),
            None => value,
        }
    }

    fn value(&mut self, tape: &mut Tape, name: &str, value: Var) -> Var {
        let Some(grid) = self.values.get(name) else { return value };
        let none = tape.constant(Value::Flat(Tensor::new(vec![0], Vec::new())));
        curve(tape, value, none, grid.clone())
    }
}

/// The outputs `[images, classes]` of an artefact for images, by the engine's own kernels.
///
/// Biases are those of the graph; in an exported file those between 8-bit inputs and 8-bit weights
/// are rounded to the accumulator's scale.
///
/// # Errors
/// A node that they do not know, or images that do not fit.
pub fn outputs(
    artefact: &Artefact,
    device: &Device,
    images: &Tensor,
) -> Result<Tensor, NetworkError> {
    let keep: Vec<&str> = artefact.activations.keys().map(String::as_str).collect();
    let network = Network::new(&artefact.graph, &keep)?;
    let mut tape = Tape::new(device);
    let shape = |found: String| NetworkError::Shape {
        origin: artefact.graph.origin().to_string(),
        node: network.input().to_string(),
        found,
    };
    let map = device.map(images).ok_or_else(|| shape(format!("{:?}", images.dims)))?;
    let image = tape.constant(Value::Map(map));
    let inputs = BTreeMap::from([(network.input().to_string(), image)]);
    let parameters = network.parameters().iter();
    let parameters =
        parameters.map(|(n, t)| (n.clone(), tape.constant(Value::Flat(t.clone())))).collect();
    let mut sites = Quantizers::of(artefact);
    let run = network.run(&mut tape, inputs, &parameters, false, &mut sites)?;
    let Some(output) = run.values.get(network.output()) else {
        return Err(shape("no output".to_string()));
    };
    let logits = tape.map(*output);
    let MapShape { images, channels, .. } = logits.shape();
    Ok(Tensor::new(vec![images, channels * logits.shape().pixels()], logits.to_tensor().data))
}

/// A grid of a value, ready for many numbers.
#[derive(Debug, Clone)]
enum OnGrid {
    /// `scale (round(x / scale) + zero cut off at the ends, - zero)`.
    Even { scale: f32, low: f32, high: f32 },
    /// The level after the last threshold that is reached.
    Stairs { lowest: f32, steps: Vec<(f32, f32)> },
}

impl OnGrid {
    fn new(grid: &Grid) -> Self {
        let scale = grid.scale[0];
        let (low, high) = grid.code_range();
        let zero = grid.zero_point[0];
        match &grid.levels {
            Levels::Affine { .. } | Levels::Ternary => {
                Self::Even { scale, low: (low - zero) as f32, high: (high - zero) as f32 }
            }
            Levels::Binary => Self::Stairs { lowest: -scale, steps: vec![(0.0, scale)] },
            Levels::Table(table) => {
                let levels = table.row(0).iter().map(|v| scale * v);
                let thresholds = table.thresholds(0).into_iter().map(|t| scale * t);
                let lowest = scale * table.row(0)[0];
                Self::Stairs { lowest, steps: thresholds.zip(levels.skip(1)).collect() }
            }
        }
    }
}

impl Curve for OnGrid {
    #[inline(always)]
    fn value(&self, _: &[f32], x: &Lanes) -> Lanes {
        match self {
            Self::Even { scale, low, high } => {
                Lanes(x.0.map(|x| scale * (x / scale).round_ties_even().clamp(*low, *high)))
            }
            Self::Stairs { lowest, steps } => {
                let mut found = [*lowest; BLOCK];
                for (threshold, level) in steps {
                    for (found, x) in found.iter_mut().zip(x.0) {
                        *found = if x >= *threshold { *level } else { *found };
                    }
                }
                Lanes(found)
            }
        }
    }

    /// There is no way back.
    #[inline(always)]
    fn slope(&self, _: &[f32], _: &Lanes, gradient: &mut Lanes, _: &mut [Lanes]) {
        *gradient = Lanes::ZERO;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quantbench_core::{Bits, Table};

    #[test]
    fn numbers_go_where_their_grid_puts_them() {
        let bits = Bits::new(2).unwrap();
        let table = Table::new(vec![-1.0, 0.5, 2.0]);
        let binary = Grid { levels: Levels::Binary, ..Grid::activation(0.0, 3.0, bits) };
        let binary = Grid { bits: Bits::new(1).unwrap(), zero_point: vec![0], ..binary };
        let grids = [
            Grid::activation(-1.0, 2.0, bits),
            Grid::table(table.clone(), 0.5, bits),
            Grid::table(table.with_thresholds(vec![0.1, 0.2]), 0.5, bits),
            binary,
        ];
        for grid in grids {
            let fast = OnGrid::new(&grid);
            for i in -60..60 {
                let x = i as f32 / 17.0;
                let found = fast.value(&[], &Lanes([x; BLOCK])).0[0];
                assert_eq!(found, grid.round(x, 0), "{x} on {grid:?}");
            }
        }
    }
}
