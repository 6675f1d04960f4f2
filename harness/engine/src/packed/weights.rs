//! Weights in the order in which kernels read them.

use super::error::{PackedError, dimension, length};
use super::kernel::Kernel;
use super::layout::Layout;
use super::lut;

/// Outputs that lie side by side.
pub(crate) const PANEL: usize = 16;

/// Most numbers in one sum, so that none leaves `i32`.
pub(crate) const LONGEST: usize = 1 << 16;

/// As many bytes as a cache line has: four of each output of a panel.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub(crate) struct Line(pub(crate) [u8; 64]);

/// Packed weights of a product or of a convolution.
///
/// Outputs are cut into panels of sixteen (of 32 for [`Kernel::Int2`]), filled up with zeros.
#[derive(Debug, Clone)]
pub struct Weights {
    pub(crate) kernel: Kernel,
    pub(crate) outputs: usize,
    /// Rows and columns of the window, numbers of a pixel.
    pub(crate) window: [usize; 3],
    /// Groups of activations in a segment, that is a row of the window.
    pub(crate) groups: usize,
    pub(crate) lines: Vec<Line>,
    /// Sums of the weights of each tap, `[tap][panel]`.
    pub(crate) taps: Vec<Vec<[i32; PANEL]>>,
}

impl Weights {
    /// Packs `codes`, `[outputs, length]`, for a product. Binary ones are -1 and 1.
    pub fn pack(
        kernel: Kernel,
        outputs: usize,
        length: usize,
        codes: &[i8],
    ) -> Result<Self, PackedError> {
        Self::pack_window(kernel, outputs, [1, 1, length], codes)
    }

    /// Packs `codes`, `[outputs, rows, columns, channels]`, for a convolution.
    pub(crate) fn pack_window(
        kernel: Kernel,
        outputs: usize,
        window: [usize; 3],
        codes: &[i8],
    ) -> Result<Self, PackedError> {
        let [rows, columns, channels] = window;
        dimension("the number of outputs", outputs, 1, usize::MAX / LONGEST)?;
        let numbers = rows.saturating_mul(columns).saturating_mul(channels);
        dimension("the number of products in a sum", numbers, 1, LONGEST)?;
        length("the weight", outputs * numbers, codes.len())?;
        check(kernel, codes)?;
        let segment = columns * kernel.layout().bytes(channels);
        let groups = segment.div_ceil(kernel.group());
        if kernel == Kernel::Int2 {
            dimension("the number of look-ups in a sum", rows * groups * 4, 1, lut::LONGEST)?;
        }
        let mut weights = Self {
            kernel,
            outputs,
            window,
            groups,
            lines: Vec::new(),
            taps: sums(codes, outputs, rows * columns, channels),
        };
        weights.fill(codes);
        Ok(weights)
    }

    /// Panels of sixteen outputs.
    pub(crate) fn panels(&self) -> usize {
        self.outputs.div_ceil(PANEL)
    }

    /// Lines of one panel (of 32 outputs for [`Kernel::Int2`]).
    pub(crate) fn panel_lines(&self) -> usize {
        self.window[0] * self.groups * self.kernel.lines()
    }

    /// Numbers in one sum.
    pub(crate) fn length(&self) -> usize {
        self.window.iter().product()
    }

    /// Of the last group of a segment, the bits that belong to it.
    pub(crate) fn tail(&self) -> u32 {
        let segment = self.window[1] * self.kernel.layout().bytes(self.window[2]);
        match segment % 4 {
            0 => u32::MAX,
            bytes => u32::MAX >> (8 * (4 - bytes)),
        }
    }

    /// Panel by panel, group by group.
    fn fill(&mut self, codes: &[i8]) {
        let kernel = self.kernel;
        let (wide, per_output) = if kernel == Kernel::Int2 { (32, 2) } else { (PANEL, 4) };
        let numbers = self.length();
        let per_segment = numbers / self.window[0];
        let mut segment = vec![0; self.groups * kernel.group()];
        self.lines =
            vec![Line([blank(kernel); 64]); self.outputs.div_ceil(wide) * self.panel_lines()];
        for (output, codes) in codes.chunks_exact(numbers).enumerate() {
            for (row, codes) in codes.chunks_exact(per_segment).enumerate() {
                for plane in 0..kernel.lines() {
                    segment.fill(0);
                    write(kernel, codes, self.window[2], plane, &mut segment);
                    let first = output / wide * self.panel_lines()
                        + row * self.groups * kernel.lines()
                        + plane;
                    for (group, bytes) in segment.chunks_exact(kernel.group()).enumerate() {
                        let line = &mut self.lines[first + group * kernel.lines()].0;
                        put(kernel, bytes, output % wide, per_output, line);
                    }
                }
            }
        }
    }
}

/// A byte of weights that are zero.
fn blank(kernel: Kernel) -> u8 {
    if kernel == Kernel::Int4 { 0x88 } else { 0 }
}

/// Writes one output's part of a line.
fn put(kernel: Kernel, bytes: &[u8], output: usize, per_output: usize, line: &mut [u8; 64]) {
    match kernel {
        // Four codes in low halves of bytes and the next four in high ones, 8 added to each.
        Kernel::Int4 => {
            for i in 0..4 {
                let nibble = |code: u8| code.wrapping_add(8) & 15;
                line[output * 4 + i] = nibble(bytes[i]) | nibble(bytes[4 + i]) << 4;
            }
        }
        // Two pairs in a byte, 32 outputs side by side.
        Kernel::Int2 => {
            for i in 0..per_output {
                line[i * 32 + output] = bytes[2 * i] | bytes[2 * i + 1] << 4;
            }
        }
        _ => line[output * per_output..][..per_output].copy_from_slice(bytes),
    }
}

/// Writes codes as activations of the kernel lie.
fn write(kernel: Kernel, codes: &[i8], channels: usize, plane: usize, out: &mut [u8]) {
    let mapped = |map: fn(i8) -> u8| codes.iter().map(|code| map(*code)).collect::<Vec<u8>>();
    match kernel {
        Kernel::Int8Exact => {
            for (out, code) in out.chunks_exact_mut(2).zip(codes) {
                out.copy_from_slice(&i16::from(*code).to_le_bytes());
            }
        }
        Kernel::Int2 => Layout::Pairs.write(&mapped(|c| c as u8 & 3), channels, out),
        Kernel::Binary => Layout::Bits.write(&mapped(|c| u8::from(c > 0)), channels, out),
        Kernel::Ternary if plane == 0 => {
            Layout::Bits.write(&mapped(|c| u8::from(c > 0)), channels, out);
        }
        Kernel::Ternary => Layout::Bits.write(&mapped(|c| u8::from(c < 0)), channels, out),
        _ => Layout::Bytes.write(&mapped(|c| c as u8), channels, out),
    }
}

/// Sums of the weights of each tap, `[tap][panel]`.
fn sums(codes: &[i8], outputs: usize, taps: usize, channels: usize) -> Vec<Vec<[i32; PANEL]>> {
    let mut sums = vec![vec![[0; PANEL]; outputs.div_ceil(PANEL)]; taps];
    for (i, codes) in codes.chunks_exact(channels).enumerate() {
        let (output, tap) = (i / taps, i % taps);
        sums[tap][output / PANEL][output % PANEL] = codes.iter().map(|c| i32::from(*c)).sum();
    }
    sums
}

fn check(kernel: Kernel, codes: &[i8]) -> Result<(), PackedError> {
    let range = kernel.weights();
    let wrong = |code: &i8| !range.contains(code) || (kernel == Kernel::Binary && *code == 0);
    let Some(at) = codes.iter().position(wrong) else { return Ok(()) };
    let allowed = match kernel {
        Kernel::Binary => "-1 or 1".to_string(),
        _ => format!("{} to {}", range.start(), range.end()),
    };
    let value = codes[at].into();
    Err(PackedError::Code { what: "the weight", at, value, allowed, kernel: kernel.name() })
}
