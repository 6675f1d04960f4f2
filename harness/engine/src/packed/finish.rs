//! What becomes of sums before they reach memory.

use super::arithmetic::Machine;
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

impl Default for Finished {
    /// Room for nothing.
    fn default() -> Self {
        Finished::Bytes(Vec::new())
    }
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
}

/// Thresholds of sums, per output: batch normalization, activation and quantization in one.
#[derive(Debug, Clone)]
pub struct Thresholds {
    outputs: usize,
    levels: u8,
    /// `[panel][threshold]`, inverted bit by bit like the sums that they are compared with:
    /// inverting turns the order round, and no number has too large a negative.
    levels_at: Vec<[i32; PANEL]>,
    masks: Vec<[i32; PANEL]>,
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
        let masks: Vec<i32> = falls.iter().map(|falls| if *falls { -1 } else { 0 }).collect();
        let masks = panels(&masks);
        let mut packed = vec![[i32::MAX; PANEL]; outputs.div_ceil(PANEL) * each];
        for (i, threshold) in thresholds.iter().enumerate() {
            let (output, level) = (i / each, i % each);
            let mask = if falls[output] { -1 } else { 0 };
            packed[output / PANEL * each + level][output % PANEL] = threshold ^ mask;
        }
        Ok(Self { outputs, levels, levels_at: packed, masks })
    }

    /// Thresholds that each sum reached.
    #[inline(always)]
    fn count(&self, panel: usize, sums: &[i32; PANEL]) -> [i32; PANEL] {
        let each = usize::from(self.levels);
        let masks = &self.masks[panel];
        let mut counts = [0; PANEL];
        for thresholds in &self.levels_at[panel * each..][..each] {
            for i in 0..PANEL {
                counts[i] += i32::from(sums[i] ^ masks[i] >= thresholds[i]);
            }
        }
        counts
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

    /// Makes room for the outcome of `rows` rows, from memory that is there already if it can.
    pub(crate) fn prepare(&self, room: &mut Finished, rows: usize, outputs: usize) {
        match (self, &mut *room) {
            (Finish::Sums, Finished::Sums(sums)) => sums.resize(rows * outputs, 0),
            (Finish::Sums, _) => *room = Finished::Sums(vec![0; rows * outputs]),
            (_, Finished::Bytes(bytes)) => bytes.resize(rows * self.bytes(outputs), 0),
            _ => *room = Finished::Bytes(vec![0; rows * self.bytes(outputs)]),
        }
    }

    /// Bytes of a row of the outcome.
    fn bytes(&self, outputs: usize) -> usize {
        if matches!(self, Finish::Bits(_)) { outputs.div_ceil(8) } else { outputs }
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
                let each = self.bytes(outputs);
                let bits = matches!(self, Finish::Bits(_));
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
    /// Takes the sums of rows from `first` on.
    #[inline(always)]
    pub(crate) fn put<M: Machine>(
        &mut self,
        machine: M,
        first: usize,
        panel: usize,
        rows: &[[i32; PANEL]],
    ) {
        match self {
            Sink::Sums { out, outputs } => {
                let mut out = Panel::new(out, *outputs, first, panel);
                for sums in rows {
                    out.write(sums);
                }
            }
            Sink::Bytes { out, outputs, how } => {
                let mut out = Panel::new(out, *outputs, first, panel);
                // By value: the compiler cannot know that writing codes leaves them alone.
                let (scales, biases) = (how.scales[panel], how.biases[panel]);
                let (zero_point, ends) = (how.zero_point, how.ends);
                for sums in rows {
                    let mut codes = [0; PANEL];
                    for i in 0..PANEL {
                        let code = (sums[i] as f32 * scales[i] + biases[i]).round_ties_even();
                        let code = code + zero_point;
                        // Not `max` and `min`, which ask what is not a number first.
                        let code = if code > ends[0] { code } else { ends[0] };
                        let code = if code < ends[1] { code } else { ends[1] };
                        // A whole number below 256 stands in the lowest bits of this sum.
                        codes[i] = (code + 8_388_608.0).to_bits() as u8;
                    }
                    out.write(&codes);
                }
            }
            Sink::Codes { out, each, how, bits: false } => {
                let mut out = Panel::new(out, *each, first, panel);
                for sums in rows {
                    let counts = how.count(panel, sums);
                    let mut codes = [0; PANEL];
                    for i in 0..PANEL {
                        codes[i] = counts[i] as u8;
                    }
                    out.write(&codes);
                }
            }
            Sink::Codes { out, each, how, bits: true } => {
                let thresholds = machine.block(&how.levels_at[panel]);
                let masks = machine.block(&how.masks[panel]);
                for (row, sums) in rows.iter().enumerate() {
                    let sums = machine.xor(machine.block(sums), masks);
                    let bits = machine.at_least(sums, thresholds);
                    let row = &mut out[(first + row) * *each..][..*each];
                    match row[2 * panel..].first_chunk_mut() {
                        Some(row) => *row = bits.to_le_bytes(),
                        None => row[2 * panel] = bits.to_le_bytes()[0],
                    }
                }
            }
            Sink::Fold(all) => {
                for sums in rows {
                    for i in 0..PANEL {
                        all[i] ^= sums[i];
                    }
                }
            }
        }
    }
}

/// Writes less than a panel. Apart, since the compiler makes one call of both cases otherwise.
#[inline(never)]
fn write_part<T: Copy>(row: &mut [T], numbers: &[T; PANEL]) {
    row.copy_from_slice(&numbers[..row.len()]);
}

/// A panel's part of rows of outputs.
struct Panel<'a, T> {
    out: &'a mut [T],
    outputs: usize,
    /// First output.
    from: usize,
}

impl<'a, T: Copy> Panel<'a, T> {
    #[inline(always)]
    fn new(out: &'a mut [T], outputs: usize, first: usize, panel: usize) -> Self {
        Self { out: &mut out[first * outputs..], outputs, from: panel * PANEL }
    }

    /// Writes the next row.
    #[inline(always)]
    fn write(&mut self, numbers: &[T; PANEL]) {
        let (row, rest) = std::mem::take(&mut self.out).split_at_mut(self.outputs);
        let row = &mut row[self.from..];
        match row.first_chunk_mut::<PANEL>() {
            Some(row) => *row = *numbers,
            None => write_part(row, numbers),
        }
        self.out = rest;
    }
}
