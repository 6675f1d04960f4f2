//! What becomes of sums before they reach memory.

use super::error::{PackedError, length};
use super::weights::PANEL;

/// What to make of the sums of a layer.
#[derive(Debug, Clone, Copy)]
pub enum Finish<'a> {
    /// Nothing: `i32`.
    Sums,
    /// Codes of an affine grid, one byte each.
    Requantize(&'a Requantize),
    /// Numbers of thresholds that were reached, one byte each.
    Codes(&'a Thresholds),
    /// Whether the only threshold was reached, eight outputs in a byte, the first one in its
    /// lowest bit: what a binary layer takes.
    Bits(&'a Thresholds),
}

/// The outcome, outputs innermost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finished {
    /// Of [`Finish::Sums`].
    Sums(Vec<i32>),
    /// Of all others.
    Bytes(Vec<u8>),
}

/// From sums to codes: `clamp(round(sum x scale + bias) + zero point)`, half to even, in FP32.
#[derive(Debug, Clone)]
pub struct Requantize {
    outputs: usize,
    scales: Vec<[f32; PANEL]>,
    biases: Vec<[f32; PANEL]>,
    zero_point: f32,
    ends: [f32; 2],
}

impl Requantize {
    /// A scale and a bias per output, both in steps of the output's grid, whose codes reach from
    /// `ends[0]` to `ends[1]`. A ReLU is a lower end at the zero point.
    pub fn new(
        scales: &[f32],
        biases: &[f32],
        zero_point: u8,
        ends: [u8; 2],
    ) -> Result<Self, PackedError> {
        length("the bias", scales.len(), biases.len())?;
        for (what, numbers) in [("scale", scales), ("bias", biases)] {
            if let Some(channel) = numbers.iter().position(|x| !x.is_finite()) {
                return Err(PackedError::NotFinite { what, channel });
            }
        }
        super::error::dimension("the lowest code", ends[0].into(), 0, ends[1].into())?;
        Ok(Self {
            outputs: scales.len(),
            scales: panels(scales),
            biases: panels(biases),
            zero_point: zero_point.into(),
            ends: ends.map(f32::from),
        })
    }

    #[inline(always)]
    fn apply(&self, panel: usize, sums: &[i32; PANEL]) -> [u8; PANEL] {
        let (scales, biases) = (&self.scales[panel], &self.biases[panel]);
        let mut out = [0; PANEL];
        for i in 0..PANEL {
            let code = (sums[i] as f32 * scales[i] + biases[i]).round_ties_even();
            out[i] = (code + self.zero_point).max(self.ends[0]).min(self.ends[1]) as i32 as u8;
        }
        out
    }
}

/// Thresholds of sums, per output: batch normalization, activation and quantization in one.
#[derive(Debug, Clone)]
pub struct Thresholds {
    outputs: usize,
    levels: u8,
    /// `[panel][threshold]`, with the sign of the sums that it is compared with.
    thresholds: Vec<[i32; PANEL]>,
    signs: Vec<[i32; PANEL]>,
}

impl Thresholds {
    /// `levels` thresholds for each output, `[outputs, levels]`, ascending. The code of a sum is
    /// the number of thresholds that are not above it; of an output that `falls` (a negative
    /// factor between sum and activation) the number of those that are not below it.
    pub fn new(levels: u8, thresholds: &[i32], falls: &[bool]) -> Result<Self, PackedError> {
        super::error::dimension("the number of thresholds", levels.into(), 1, 255)?;
        let (outputs, each) = (falls.len(), usize::from(levels));
        length("the thresholds", outputs * each, thresholds.len())?;
        let mut rows = thresholds.chunks_exact(each);
        if let Some(channel) = rows.position(|row| !row.is_sorted()) {
            return Err(PackedError::Unsorted { channel });
        }
        let signs: Vec<i32> = falls.iter().map(|falls| if *falls { -1 } else { 1 }).collect();
        let signs = panels(&signs);
        let mut packed = vec![[i32::MAX; PANEL]; outputs.div_ceil(PANEL) * each];
        for (i, threshold) in thresholds.iter().enumerate() {
            let (output, level) = (i / each, i % each);
            let signed = if falls[output] { threshold.saturating_neg() } else { *threshold };
            packed[output / PANEL * each + level][output % PANEL] = signed;
        }
        Ok(Self { outputs, levels, thresholds: packed, signs })
    }

    #[inline(always)]
    fn apply(&self, panel: usize, sums: &[i32; PANEL]) -> [u8; PANEL] {
        let each = usize::from(self.levels);
        let signs = &self.signs[panel];
        let mut counts = [0; PANEL];
        for thresholds in &self.thresholds[panel * each..][..each] {
            for i in 0..PANEL {
                counts[i] += i32::from(sums[i].wrapping_mul(signs[i]) >= thresholds[i]);
            }
        }
        let mut out = [0; PANEL];
        for i in 0..PANEL {
            out[i] = counts[i] as u8;
        }
        out
    }
}

/// Sixteen at a time, filled up with zeros.
fn panels<T: Copy + Default>(numbers: &[T]) -> Vec<[T; PANEL]> {
    let filled = |chunk: &[T]| {
        let mut panel = [T::default(); PANEL];
        panel[..chunk.len()].copy_from_slice(chunk);
        panel
    };
    numbers.chunks(PANEL).map(filled).collect()
}

impl Finish<'_> {
    /// Checks the number of outputs, and for bits that of thresholds.
    pub(crate) fn check(&self, outputs: usize) -> Result<(), PackedError> {
        let found = match self {
            Finish::Sums => outputs,
            Finish::Requantize(how) => how.outputs,
            Finish::Codes(how) => how.outputs,
            Finish::Bits(how) => {
                super::error::dimension("the number of thresholds", how.levels.into(), 1, 1)?;
                how.outputs
            }
        };
        if found == outputs {
            return Ok(());
        }
        Err(PackedError::Mismatch {
            what: "the number of outputs of the finish",
            expected: outputs.to_string(),
            found: found.to_string(),
            of: "the weights",
        })
    }

    /// Room for the outcome of `rows` rows.
    pub(crate) fn room(&self, rows: usize, outputs: usize) -> Finished {
        match self {
            Finish::Sums => Finished::Sums(vec![0; rows * outputs]),
            Finish::Requantize(_) | Finish::Codes(_) => Finished::Bytes(vec![0; rows * outputs]),
            Finish::Bits(_) => Finished::Bytes(vec![0; rows * outputs.div_ceil(8)]),
        }
    }

    /// The outcome in parts of `rows` rows each.
    pub(crate) fn sinks<'a>(
        &'a self,
        room: &'a mut Finished,
        rows: usize,
        outputs: usize,
    ) -> Vec<Sink<'a>> {
        match room {
            Finished::Sums(sums) => {
                sums.chunks_mut(rows * outputs).map(|out| Sink::Sums { out, outputs }).collect()
            }
            Finished::Bytes(bytes) => {
                let (each, bits) = match self {
                    Finish::Bits(_) => (outputs.div_ceil(8), true),
                    _ => (outputs, false),
                };
                let of = |out| match self {
                    Finish::Requantize(how) => Sink::Bytes { out, outputs, how },
                    Finish::Codes(how) | Finish::Bits(how) => Sink::Codes { out, each, how, bits },
                    Finish::Sums => Sink::Fold([0; PANEL]),
                };
                bytes.chunks_mut(rows * each).map(of).collect()
            }
        }
    }
}

/// Where sums of sixteen outputs go.
pub(crate) enum Sink<'a> {
    Sums {
        out: &'a mut [i32],
        outputs: usize,
    },
    Bytes {
        out: &'a mut [u8],
        outputs: usize,
        how: &'a Requantize,
    },
    Codes {
        out: &'a mut [u8],
        each: usize,
        how: &'a Thresholds,
        bits: bool,
    },
    /// Nowhere: all are combined, so that none can be left out.
    Fold([i32; PANEL]),
}

impl Sink<'_> {
    /// Takes the sums of a row.
    #[inline(always)]
    pub(crate) fn put(&mut self, row: usize, panel: usize, sums: &[i32; PANEL]) {
        match self {
            Sink::Sums { out, outputs } => write(out, *outputs, row, panel, sums),
            Sink::Bytes { out, outputs, how } => {
                write(out, *outputs, row, panel, &how.apply(panel, sums));
            }
            Sink::Codes { out, each, how, bits: false } => {
                write(out, *each, row, panel, &how.apply(panel, sums));
            }
            Sink::Codes { out, each, how, bits: true } => {
                let codes = how.apply(panel, sums);
                let bits = codes.iter().rev().fold(0u16, |bits, code| bits << 1 | u16::from(*code));
                let from = row * *each + 2 * panel;
                let to = (from + 2).min((row + 1) * *each);
                out[from..to].copy_from_slice(&bits.to_le_bytes()[..to - from]);
            }
            Sink::Fold(all) => {
                for (all, sum) in all.iter_mut().zip(sums) {
                    *all ^= sum;
                }
            }
        }
    }
}

#[inline(always)]
fn write<T: Copy>(out: &mut [T], outputs: usize, row: usize, panel: usize, numbers: &[T; PANEL]) {
    let out = &mut out[row * outputs + panel * PANEL..(row + 1) * outputs];
    match out.first_chunk_mut::<PANEL>() {
        Some(out) => *out = *numbers,
        None => out.copy_from_slice(&numbers[..out.len()]),
    }
}
