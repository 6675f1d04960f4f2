//! What a method that trains grids has to say about them.

use std::collections::BTreeMap;

use quantbench_core::{Bits, Grid, Tensor};
use quantbench_engine::autodiff::{Map, Tape, Var};

/// Weights on a grid, before batch norm is folded: `scale (code - zero)` for codes from `low` to
/// `high`, with a scale for all or one per output channel.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Codes {
    /// One code per weight, in the order of the tensor, zero being 0.
    pub(crate) each: Vec<i32>,
    /// Scales.
    pub(crate) scale: Vec<f32>,
    /// Smallest code.
    pub(crate) low: i32,
    /// Largest code.
    pub(crate) high: i32,
}

/// Grids of weights and activations that are trained with the network.
pub(crate) trait Grids {
    /// Begins the grid of a layer's weights.
    fn start_weight(&mut self, name: &str, weights: &Tensor, bits: Bits);

    /// Begins the grid of a value, of which a first batch is seen.
    fn start_value(&mut self, name: &str, seen: &Map, bits: Bits);

    /// The parameters of all grids with their values at the start.
    fn parameters(&self) -> Vec<(String, Tensor)>;

    /// Weights on their grid; with its parameters as they were at the start where the tape does
    /// not have them.
    fn weight(&self, tape: &mut Tape, name: &str, value: Var, vars: &BTreeMap<String, Var>) -> Var;

    /// A value on its grid, likewise.
    fn value(&self, tape: &mut Tape, name: &str, value: Var, vars: &BTreeMap<String, Var>) -> Var;

    /// The codes of trained weights; none if they have no grid.
    fn codes(
        &self,
        name: &str,
        weights: &Tensor,
        parameters: &BTreeMap<String, Tensor>,
    ) -> Option<Codes>;

    /// The trained grids of values.
    fn values(&self, parameters: &BTreeMap<String, Tensor>) -> BTreeMap<String, Grid>;
}
