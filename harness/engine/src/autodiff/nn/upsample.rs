//! Larger maps.

use crate::autodiff::ops::{self, Moves};
use crate::autodiff::tape::{Tape, Var};

/// Maps with every pixel several times in each direction: the nearest neighbour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Upsample {
    /// How many times.
    pub factor: usize,
}

impl Upsample {
    /// The larger maps; none if they would be too large to be numbered.
    pub fn run(&self, tape: &mut Tape, input: Var) -> Option<Var> {
        let shape = tape.map(input).shape();
        let size = [shape.channels, shape.height, shape.width];
        ops::rearrange(tape, input, Moves::upsample(size, self.factor)?)
    }
}
