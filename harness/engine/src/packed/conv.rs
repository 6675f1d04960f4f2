//! Convolutions of images with channels innermost, `[images, height, width, channels]`.
//!
//! A border has no cost of its own: an image is copied once into a buffer that is as much larger,
//! and a row of the window is a run of its bytes.
//!
//! What stands in the border depends on the grid. On an affine one it is the zero point, whose
//! products cancel. {-1, 1} has no zero, so only taps inside the image count: the border holds
//! -1, and the weights of those taps are added back. As many taps are outside in the same way at
//! all pixels of an edge or a corner, these are the few classes of pixels.

use rayon::prelude::*;

use super::activations::check_zero_point;
use super::error::{PackedError, dimension, length};
use super::finish::{Finish, Finished};
use super::isa::Isa;
use super::kernel::Kernel;
use super::product::{bases, sweep};
use super::tile::Rows;
use super::weights::{PANEL, Weights};

/// Dimensions of a convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Geometry {
    /// Height and width of an image.
    pub image: [usize; 2],
    /// Channels of an image.
    pub channels: usize,
    /// Height and width of the window.
    pub window: [usize; 2],
    /// Steps down and to the right.
    pub stride: [usize; 2],
    /// Border above, left, below and right.
    pub pads: [usize; 4],
}

impl Geometry {
    /// Height and width of the image with its border.
    pub(crate) fn bordered(&self) -> [usize; 2] {
        let [top, left, bottom, right] = self.pads;
        [self.image[0] + top + bottom, self.image[1] + left + right]
    }

    /// Height and width of the output.
    ///
    /// An error where a dimension is zero or absurd, or the window does not fit.
    pub fn output(&self) -> Result<[usize; 2], PackedError> {
        const SIDE: usize = 1 << 14;
        for (what, sides) in [
            ("the side of an image", self.image),
            ("the side of the window", self.window),
            ("the stride", self.stride),
        ] {
            dimension(what, sides[0], 1, SIDE)?;
            dimension(what, sides[1], 1, SIDE)?;
        }
        dimension("the number of channels", self.channels, 1, SIDE)?;
        for pad in self.pads {
            dimension("the border", pad, 0, SIDE)?;
        }
        let bordered = self.bordered();
        for (i, axis) in ["height", "width"].into_iter().enumerate() {
            let (window, image) = (self.window[i], bordered[i]);
            if window > image {
                return Err(PackedError::Window { axis, window, image });
            }
        }
        Ok([0, 1].map(|i| (bordered[i] - self.window[i]) / self.stride[i] + 1))
    }

    /// Of each output position along an axis, the taps that lie inside the image.
    fn inside(&self, axis: usize, outputs: usize) -> Vec<[usize; 2]> {
        let (pad, side, window) = (self.pads[axis], self.image[axis], self.window[axis]);
        let taps = |position: usize| {
            let first = position * self.stride[axis];
            let low = pad.saturating_sub(first).min(window);
            let high = (pad + side).saturating_sub(first).min(window);
            [low, high.max(low)]
        };
        (0..outputs).map(taps).collect()
    }
}

/// Images, one after the other.
#[derive(Debug, Clone, Copy)]
pub enum Input<'a> {
    /// One code per byte.
    Codes(&'a [u8]),
    /// Bits as [`Finish::Bits`] leaves them: each pixel begins with a new byte. For
    /// [`Kernel::Binary`], and for [`Kernel::Ternary`] with activations of one bit.
    Bits(&'a [u8]),
}

/// A convolution with packed weights.
#[derive(Debug, Clone)]
pub struct Conv {
    geometry: Geometry,
    output: [usize; 2],
    weights: Weights,
    bits: u8,
    /// The border, one plane after the other; kernels may read a little past the last pixel.
    template: Vec<u8>,
    plane_stride: usize,
    offsets: Vec<usize>,
    classes: Vec<u32>,
    bases: Vec<[i32; PANEL]>,
}

impl Conv {
    /// Packs `codes`, `[outputs, height, width, channels]`. Activations have `bits` bits and a
    /// zero point, as for [`Activations`](super::Activations).
    pub fn new(
        kernel: Kernel,
        geometry: Geometry,
        outputs: usize,
        codes: &[i8],
        bits: u8,
        zero_point: u8,
    ) -> Result<Self, PackedError> {
        let output = geometry.output()?;
        kernel.check_bits(bits)?;
        check_zero_point(kernel, zero_point, bits)?;
        let Geometry { channels, window: [height, width], .. } = geometry;
        let weights = Weights::pack_window(kernel, outputs, [height, width, channels], codes)?;
        let (classes, bases) = classes(&geometry, output, &weights, zero_point);
        let mut conv = Self {
            geometry,
            output,
            weights,
            bits,
            template: Vec::new(),
            plane_stride: 0,
            offsets: Vec::new(),
            classes,
            bases,
        };
        conv.lay_out(zero_point);
        Ok(conv)
    }

    /// Height and width of the output.
    pub fn output(&self) -> [usize; 2] {
        self.output
    }

    /// Convolves images and finishes the sums.
    pub fn run(&self, isa: Isa, input: Input, finish: &Finish) -> Result<Finished, PackedError> {
        let mut room = Finished::default();
        self.run_into(isa, input, finish, &mut room)?;
        Ok(room)
    }

    /// The same in memory that an earlier layer left.
    pub fn run_into(
        &self,
        isa: Isa,
        input: Input,
        finish: &Finish,
        room: &mut Finished,
    ) -> Result<(), PackedError> {
        let kernel = self.weights.kernel;
        kernel.runs_on(isa)?;
        finish.check(self.weights.outputs)?;
        let pixels = self.geometry.image[0] * self.geometry.image[1];
        let (data, each) = match input {
            Input::Codes(codes) => {
                kernel.check_codes("the image", codes, self.bits)?;
                (codes, pixels * self.geometry.channels)
            }
            Input::Bits(_) if self.bits != 1 => {
                return Err(PackedError::Bits { kernel: kernel.name() });
            }
            Input::Bits(bits) => (bits, pixels * self.geometry.channels.div_ceil(8)),
        };
        length("the image", data.len().div_ceil(each).max(1) * each, data.len())?;
        let rows = self.offsets.len();
        finish.prepare(room, data.len() / each * rows, self.weights.outputs);
        let sinks = finish.sinks(room, rows, self.weights.outputs);
        let parts: Vec<_> = sinks.into_iter().zip(data.chunks_exact(each)).collect();
        parts.into_par_iter().for_each_init(
            || self.template.clone(),
            |buffer, (sink, image)| {
                self.fill(matches!(input, Input::Bits(_)), image, buffer);
                let rows = Rows {
                    bytes: buffer,
                    offsets: &self.offsets,
                    classes: &self.classes,
                    planes: kernel.planes(self.bits),
                    plane_stride: self.plane_stride,
                    segment_stride: self.row_bytes(),
                };
                sweep(isa, rows, &self.weights, &self.bases, sink);
            },
        );
        Ok(())
    }

    fn pixel_bytes(&self) -> usize {
        self.weights.kernel.layout().bytes(self.geometry.channels)
    }

    fn row_bytes(&self) -> usize {
        self.geometry.bordered()[1] * self.pixel_bytes()
    }

    /// Writes the border and finds where windows begin.
    fn lay_out(&mut self, zero_point: u8) {
        let (kernel, channels) = (self.weights.kernel, self.geometry.channels);
        let [height, width] = self.geometry.bordered();
        let (pixel, row) = (self.pixel_bytes(), self.row_bytes());
        self.plane_stride = height * row + kernel.group();
        let planes = kernel.planes(self.bits);
        self.template = vec![0; planes * self.plane_stride];
        let border = vec![zero_point; width * channels];
        for (plane, buffer) in self.template.chunks_exact_mut(self.plane_stride).enumerate() {
            for row in buffer.chunks_exact_mut(row).take(height) {
                if planes == 1 {
                    kernel.layout().write(&border, channels, row);
                } else {
                    kernel.layout().write_plane(&border, channels, planes - 1 - plane, row);
                }
            }
        }
        let [down, right] = self.geometry.stride;
        let columns = self.output[1];
        self.offsets = (0..self.output[0])
            .flat_map(|y| (0..columns).map(move |x| y * down * row + x * right * pixel))
            .collect();
    }

    /// Copies an image into the middle of the border.
    fn fill(&self, packed: bool, image: &[u8], buffer: &mut [u8]) {
        let (layout, channels) = (self.weights.kernel.layout(), self.geometry.channels);
        let [top, left, ..] = self.geometry.pads;
        let (pixel, row) = (self.pixel_bytes(), self.row_bytes());
        let width = self.geometry.image[1] * pixel;
        let planes = self.weights.kernel.planes(self.bits);
        for (plane, buffer) in buffer.chunks_exact_mut(self.plane_stride).enumerate() {
            let lines = image.chunks_exact(image.len() / self.geometry.image[0]);
            for (y, line) in lines.enumerate() {
                let out = &mut buffer[(top + y) * row + left * pixel..][..width];
                if packed {
                    out.copy_from_slice(line);
                } else if planes == 1 {
                    layout.write(line, channels, out);
                } else {
                    layout.write_plane(line, channels, planes - 1 - plane, out);
                }
            }
        }
    }
}

/// Classes of pixels and what is added to the sums of each, `[class][panel]`.
fn classes(
    geometry: &Geometry,
    output: [usize; 2],
    weights: &Weights,
    zero_point: u8,
) -> (Vec<u32>, Vec<[i32; PANEL]>) {
    let plain = bases(weights, zero_point);
    if weights.kernel != Kernel::Binary {
        return (Vec::new(), plain);
    }
    let axes = [0, 1].map(|axis| geometry.inside(axis, output[axis]));
    let kinds = axes.clone().map(|mut taps| {
        taps.sort_unstable();
        taps.dedup();
        taps
    });
    let kind = |axis: usize, at: usize| kinds[axis].binary_search(&axes[axis][at]).unwrap_or(0);
    let across = kinds[1].len();
    let classes = (0..output[0])
        .flat_map(|y| (0..output[1]).map(move |x| (y, x)))
        .map(|(y, x)| (kind(0, y) * across + kind(1, x)) as u32)
        .collect();
    let mut all = Vec::new();
    for rows in &kinds[0] {
        for columns in &kinds[1] {
            let mut bases = plain.clone();
            for (tap, sums) in weights.taps.iter().enumerate() {
                let (y, x) = (tap / geometry.window[1], tap % geometry.window[1]);
                if !(rows[0]..rows[1]).contains(&y) || !(columns[0]..columns[1]).contains(&x) {
                    for (base, sum) in bases.iter_mut().flatten().zip(sums.iter().flatten()) {
                        *base += sum;
                    }
                }
            }
            all.extend(bases);
        }
    }
    (classes, all)
}
