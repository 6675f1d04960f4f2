//! Products of packed rows and packed weights.

use rayon::prelude::*;

use super::activations::Activations;
use super::error::PackedError;
use super::finish::{Finish, Finished, Sink};
use super::isa::Isa;
use super::kernel::Kernel;
use super::portable::Portable;
use super::tile::{Rows, Sweep};
use super::weights::{PANEL, Weights};

/// Rows that one thread multiplies with all weights, few enough for its second cache.
const ROWS: usize = 128;

/// `[rows, length]` times `[outputs, length]` transposed.
///
/// Errors where operands do not fit together, and where [`Kernel::runs_on`] has one.
pub fn product(
    isa: Isa,
    weights: &Weights,
    activations: &Activations,
    finish: &Finish,
) -> Result<Finished, PackedError> {
    let mut room = Finished::default();
    product_into(isa, weights, activations, finish, &mut room)?;
    Ok(room)
}

/// The same in memory that an earlier product left.
pub fn product_into(
    isa: Isa,
    weights: &Weights,
    activations: &Activations,
    finish: &Finish,
    room: &mut Finished,
) -> Result<(), PackedError> {
    fits(isa, weights, activations)?;
    finish.check(weights.outputs)?;
    let Activations { rows, stride, planes, .. } = *activations;
    let offsets: Vec<usize> = (0..rows).map(|row| row * stride).collect();
    let bases = bases(weights, activations.zero_point);
    finish.prepare(room, rows, weights.outputs);
    let sinks = finish.sinks(room, ROWS, weights.outputs);
    let parts: Vec<_> = sinks.into_iter().zip(offsets.chunks(ROWS)).collect();
    parts.into_par_iter().for_each(|(sink, offsets)| {
        let rows = Rows {
            bytes: &activations.bytes,
            offsets,
            classes: &[],
            planes,
            plane_stride: rows * stride,
            segment_stride: 0,
        };
        sweep(isa, rows, weights, &bases, sink);
    });
    Ok(())
}

/// Multiplies the same few rows `times` times with the same weights and keeps only a number that
/// depends on all sums: the speed of the innermost loop where nothing leaves the first cache.
pub fn micro_kernel(
    isa: Isa,
    weights: &Weights,
    activations: &Activations,
    times: usize,
) -> Result<i32, PackedError> {
    fits(isa, weights, activations)?;
    let Activations { rows, stride, planes, .. } = *activations;
    let offsets: Vec<usize> = (0..times * rows).map(|row| row % rows * stride).collect();
    let bases = bases(weights, activations.zero_point);
    let rows = Rows {
        bytes: &activations.bytes,
        offsets: &offsets,
        classes: &[],
        planes,
        plane_stride: rows * stride,
        segment_stride: 0,
    };
    match sweep(isa, rows, weights, &bases, Sink::Fold([0; PANEL])) {
        Sink::Fold(all) => Ok(all.iter().fold(0, |all, sum| all ^ sum)),
        _ => Ok(0),
    }
}

fn fits(isa: Isa, weights: &Weights, activations: &Activations) -> Result<(), PackedError> {
    weights.kernel.runs_on(isa)?;
    let mismatch = |what, expected: String, found: String| {
        Err(PackedError::Mismatch { what, expected, found, of: "the weights" })
    };
    if activations.kernel != weights.kernel {
        let names = [weights.kernel, activations.kernel].map(|kernel| kernel.name().to_string());
        let [expected, found] = names;
        return mismatch("the kernel that activations were packed for", expected, found);
    }
    if activations.length != weights.length() || weights.window[0] != 1 {
        let (expected, found) = (weights.length().to_string(), activations.length.to_string());
        return mismatch("the length of rows of activations", expected, found);
    }
    Ok(())
}

/// What is added to the sums of each output, so that they become those of `code - zero_point`
/// (of bits: of -1 and 1).
pub(crate) fn bases(weights: &Weights, zero_point: u8) -> Vec<[i32; PANEL]> {
    let mut bases = vec![[0; PANEL]; weights.panels()];
    if weights.kernel == Kernel::Binary {
        bases.fill([weights.length() as i32; PANEL]);
        return bases;
    }
    for tap in &weights.taps {
        for (base, sums) in bases.iter_mut().flatten().zip(tap.iter().flatten()) {
            *base -= i32::from(zero_point) * sums;
        }
    }
    bases
}

/// All rows against all weights on one thread; gives the sink back.
pub(crate) fn sweep<'a>(
    isa: Isa,
    rows: Rows<'a>,
    weights: &'a Weights,
    bases: &'a [[i32; PANEL]],
    sink: Sink<'a>,
) -> Sink<'a> {
    // Tiles are as large as registers allow.
    match isa {
        Isa::Portable => {
            let machine = Portable;
            pulp::NullaryFnOnce::call(Sweep::<_, 1, 1> { machine, rows, weights, bases, sink })
        }
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2(machine) => {
            machine.vectorize(Sweep::<_, 4, 1> { machine, rows, weights, bases, sink })
        }
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512(machine) => {
            machine.vectorize(Sweep::<_, 8, 2> { machine, rows, weights, bases, sink })
        }
    }
}
