//! Every so many rows and columns, and zeros for channels that were not there: shortcuts without
//! parameters (He et al. 2016, option A).

use rayon::prelude::*;

use crate::autodiff::map::{BLOCK, Map};
use crate::autodiff::tape::{Back, Op, Tape, Value, Var};

/// Which numbers of maps are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pick {
    /// First row and column that is taken.
    pub start: [usize; 2],
    /// Steps to the next ones.
    pub every: [usize; 2],
    /// Rows and columns that are taken.
    pub size: [usize; 2],
    /// Channels of zeros before those of the input.
    pub before: usize,
    /// Channels of zeros after them.
    pub after: usize,
}

/// Takes rows and columns of maps and adds channels of zeros.
///
/// None if rows or columns are asked for that the maps do not have.
pub fn pick(tape: &mut Tape, input: Var, pick: Pick) -> Option<Var> {
    let x = tape.map(input);
    let shape = x.shape();
    for (a, have) in [shape.height, shape.width].into_iter().enumerate() {
        let last = pick.start[a] + pick.size[a].checked_sub(1)? * pick.every[a];
        if last >= have {
            return None;
        }
    }
    let channels = shape.channels + pick.before + pick.after;
    let mut y = x.device().zeros(shape.with(channels, pick.size[0], pick.size[1]));
    let (per_image, pixels) = (y.shape().per_image(), y.shape().pixels());
    y.par_chunks_mut(per_image.max(1)).enumerate().for_each(|(n, out)| {
        let from = x.image(n);
        pick.each(x, |c, to, at| {
            let c_to = c + pick.before;
            let value = from[c / BLOCK * shape.pixels() + at].0[c % BLOCK];
            out[c_to / BLOCK * pixels + to].0[c_to % BLOCK] = value;
        });
    });
    Some(tape.push(&[input], Value::Map(y), Picked { input, pick }))
}

impl Pick {
    /// Calls with each channel of a map, and the positions of the pixel that is written and of the
    /// one that is taken.
    fn each(&self, input: &Map, mut call: impl FnMut(usize, usize, usize)) {
        for c in 0..input.shape().channels {
            for to in 0..self.size[0] * self.size[1] {
                let (y, x) = (to / self.size[1], to % self.size[1]);
                let row = self.start[0] + y * self.every[0];
                let column = self.start[1] + x * self.every[1];
                call(c, to, row * input.shape().width + column);
            }
        }
    }
}

struct Picked {
    input: Var,
    pick: Pick,
}

impl Op for Picked {
    fn backward(&self, gradient: Value, back: &mut Back<'_>) {
        let Value::Map(gradient) = gradient else { return };
        let input = back.map(self.input);
        let (shape, pixels) = (input.shape(), gradient.shape().pixels());
        let mut out = input.device().zeros(shape);
        out.par_chunks_mut(shape.per_image().max(1)).enumerate().for_each(|(n, out)| {
            let from = gradient.image(n);
            self.pick.each(input, |c, to, at| {
                let c_to = c + self.pick.before;
                let value = from[c_to / BLOCK * pixels + to].0[c_to % BLOCK];
                out[c / BLOCK * shape.pixels() + at].0[c % BLOCK] = value;
            });
        });
        back.give(self.input, Value::Map(out));
    }
}
