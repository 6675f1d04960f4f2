//! Convolutions with one channel per group: u8 x i8, exact.
//!
//! Sixteen channels of a pixel lie side by side. There is nothing to share between outputs, so
//! plain loops are left to the compiler, once for each instruction set.

use rayon::prelude::*;

use super::arithmetic::Machine;
use super::conv::Geometry;
use super::error::{PackedError, dimension, length};
use super::finish::{Finish, Finished, Sink};
use super::isa::Isa;
use super::portable::Portable;
use super::weights::{LONGEST, PANEL};

/// A depthwise convolution of images `[images, height, width, channels]`.
#[derive(Debug, Clone)]
pub struct Depthwise {
    geometry: Geometry,
    output: [usize; 2],
    zero_point: u8,
    /// `[tap][panel]`.
    weights: Vec<Vec<[i8; PANEL]>>,
    bases: Vec<[i32; PANEL]>,
}

impl Depthwise {
    /// Takes `codes`, `[channels, height, width]`. The border counts as the zero point.
    pub fn new(geometry: Geometry, codes: &[i8], zero_point: u8) -> Result<Self, PackedError> {
        let output = geometry.output()?;
        let taps = geometry.window[0] * geometry.window[1];
        dimension("the number of products in a sum", taps, 1, LONGEST)?;
        length("the weight", geometry.channels * taps, codes.len())?;
        let panels = geometry.channels.div_ceil(PANEL);
        let mut weights = vec![vec![[0; PANEL]; panels]; taps];
        let mut bases = vec![[0; PANEL]; panels];
        for (channel, codes) in codes.chunks_exact(taps).enumerate() {
            let (panel, lane) = (channel / PANEL, channel % PANEL);
            for (weights, code) in weights.iter_mut().zip(codes) {
                weights[panel][lane] = *code;
                bases[panel][lane] -= i32::from(*code) * i32::from(zero_point);
            }
        }
        Ok(Self { geometry, output, zero_point, weights, bases })
    }

    /// Height and width of the output.
    pub fn output(&self) -> [usize; 2] {
        self.output
    }

    /// Convolves images of one code per byte and finishes the sums.
    pub fn run(&self, isa: Isa, codes: &[u8], finish: &Finish) -> Result<Finished, PackedError> {
        let mut room = Finished::default();
        self.run_into(isa, codes, finish, &mut room)?;
        Ok(room)
    }

    /// The same in memory that an earlier layer left.
    pub fn run_into(
        &self,
        isa: Isa,
        codes: &[u8],
        finish: &Finish,
        room: &mut Finished,
    ) -> Result<(), PackedError> {
        let Geometry { image: [height, width], channels, .. } = self.geometry;
        finish.check(channels)?;
        let each = height * width * channels;
        length("the image", codes.len().div_ceil(each).max(1) * each, codes.len())?;
        let rows = self.output[0] * self.output[1];
        finish.prepare(room, codes.len() / each * rows, channels);
        let sinks = finish.sinks(room, rows, channels);
        let parts: Vec<_> = sinks.into_iter().zip(codes.chunks_exact(each)).collect();
        let [tall, wide] = self.geometry.bordered();
        let border = vec![[self.zero_point; PANEL]; tall * wide * self.bases.len()];
        parts.into_par_iter().for_each_init(
            || border.clone(),
            |buffer, (sink, image)| {
                self.fill(image, buffer);
                match isa {
                    Isa::Portable => {
                        let machine = Portable;
                        pulp::NullaryFnOnce::call(Slide { machine, conv: self, buffer, sink });
                    }
                    #[cfg(target_arch = "x86_64")]
                    Isa::Avx2(machine) => {
                        machine.vectorize(Slide { machine, conv: self, buffer, sink });
                    }
                    #[cfg(target_arch = "x86_64")]
                    Isa::Avx512(machine) => {
                        machine.vectorize(Slide { machine, conv: self, buffer, sink });
                    }
                }
            },
        );
        Ok(())
    }

    /// Copies an image into the middle of the border, channels filled up to whole panels.
    fn fill(&self, image: &[u8], buffer: &mut [[u8; PANEL]]) {
        let Geometry { image: [_, width], channels, pads: [top, left, ..], .. } = self.geometry;
        let (wide, panels) = (self.geometry.bordered()[1], self.bases.len());
        for (i, pixel) in image.chunks_exact(channels).enumerate() {
            let at = ((top + i / width) * wide + left + i % width) * panels;
            for (out, codes) in buffer[at..][..panels].iter_mut().zip(pixel.chunks(PANEL)) {
                out[..codes.len()].copy_from_slice(codes);
            }
        }
    }
}

struct Slide<'a, M> {
    machine: M,
    conv: &'a Depthwise,
    buffer: &'a [[u8; PANEL]],
    sink: Sink<'a>,
}

impl<M: Machine> pulp::NullaryFnOnce for Slide<'_, M> {
    type Output = ();

    #[inline(always)]
    fn call(mut self) {
        let Depthwise { geometry, output, weights, bases, .. } = self.conv;
        let (wide, panels) = (geometry.bordered()[1], bases.len());
        for row in 0..output[0] * output[1] {
            let (y, x) =
                (row / output[1] * geometry.stride[0], row % output[1] * geometry.stride[1]);
            for (panel, base) in bases.iter().enumerate() {
                let mut sums = *base;
                for (tap, weights) in weights.iter().enumerate() {
                    let (dy, dx) = (tap / geometry.window[1], tap % geometry.window[1]);
                    let codes = &self.buffer[((y + dy) * wide + x + dx) * panels + panel];
                    for i in 0..PANEL {
                        sums[i] += i32::from(codes[i]) * i32::from(weights[panel][i]);
                    }
                }
                self.sink.put(self.machine, row, panel, &[sums]);
            }
        }
    }
}
