//! Softmax over the channels of each pixel.

use crate::autodiff::map::{BLOCK, Lanes, Map};
use crate::autodiff::tape::{Back, Op, Tape, Value, Var};

/// `e^x` over its sum over the channels, or the logarithm of that.
pub fn softmax(tape: &mut Tape, input: Var, logarithm: bool) -> Var {
    let x = tape.map(input);
    let mut y = x.device().zeros(x.shape());
    each_pixel(&mut y, |image, pixel, write| {
        let row: Vec<f64> =
            (0..x.shape().channels).map(|c| f64::from(x.at(image, c, pixel))).collect();
        let top = row.iter().fold(f64::NEG_INFINITY, |m, v| m.max(*v));
        let sum: f64 = row.iter().map(|v| (v - top).exp()).sum();
        for (c, v) in row.iter().enumerate() {
            let log = v - top - sum.ln();
            write(c, if logarithm { log } else { log.exp() } as f32);
        }
    });
    tape.push(&[input], Value::Map(y), Softmax { input, logarithm })
}

/// Calls with image and pixel, and a function that writes a channel.
fn each_pixel(map: &mut Map, mut call: impl FnMut(usize, usize, &mut dyn FnMut(usize, f32))) {
    let shape = map.shape();
    for image in 0..shape.images {
        for pixel in 0..shape.pixels() {
            let out: &mut [Lanes] = map;
            call(image, pixel, &mut |c, v| {
                let vector = image * shape.per_image() + c / BLOCK * shape.pixels() + pixel;
                out[vector].0[c % BLOCK] = v;
            });
        }
    }
}

struct Softmax {
    input: Var,
    logarithm: bool,
}

impl Op for Softmax {
    fn backward(&self, gradient: Value, back: &mut Back<'_>) {
        let Value::Map(gradient) = gradient else { return };
        let y = back.output();
        let channels = y.shape().channels;
        let mut out = y.device().zeros(y.shape());
        each_pixel(&mut out, |image, pixel, write| {
            let at = |map: &Map, c| f64::from(map.at(image, c, pixel));
            let sum: f64 = (0..channels)
                .map(|c| at(&gradient, c) * if self.logarithm { 1.0 } else { at(y, c) })
                .sum();
            for c in 0..channels {
                let (g, y) = (at(&gradient, c), at(y, c));
                write(c, if self.logarithm { g - y.exp() * sum } else { y * (g - sum) } as f32);
            }
        });
        back.give(self.input, Value::Map(out));
    }
}
