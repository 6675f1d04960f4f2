//! Weights onto uniform grids, one scale per output channel.

use std::collections::BTreeMap;

use quantbench_core::grid::SignedRange;
use quantbench_core::{Bits, Granularity, Grid, Levels, QuantTensor, Tensor};
use quantbench_graph::{Layer, WeightSite};
use rayon::prelude::*;

use super::ranges::{RangeEstimator, WeightStyle};
use crate::contract::{Context, Job, MethodError};

/// A per-channel grid of the given style: symmetric with the default signed range of the width,
/// or codes `0 ..= 2^b - 1` with zero points.
pub fn grid(
    scale: Vec<f32>,
    zero_point: Vec<i32>,
    axis: usize,
    style: WeightStyle,
    bits: Bits,
) -> Grid {
    match style {
        WeightStyle::Symmetric => {
            Grid::symmetric(scale, axis, bits, SignedRange::default_for(bits))
        }
        WeightStyle::Affine => Grid {
            levels: Levels::Affine { qmin: 0, qmax: (1 << bits.get()) - 1 },
            bits,
            granularity: Granularity::Channel { axis },
            scale,
            zero_point,
        },
    }
}

/// The values of each index of `axis`, in the order of the tensor.
pub fn channels(tensor: &Tensor, axis: usize) -> Vec<Vec<f32>> {
    let count = tensor.dims[axis];
    let inner: usize = tensor.dims[axis + 1..].iter().product();
    let mut out = vec![Vec::with_capacity(tensor.len() / count.max(1)); count];
    for (i, row) in tensor.data.chunks(inner.max(1)).enumerate() {
        out[i % count].extend_from_slice(row);
    }
    out
}

/// The inverse of [`channels`]: codes per channel back into the order of the tensor.
pub fn interleave(per_channel: &[Vec<i32>], dims: &[usize], axis: usize) -> Vec<i32> {
    let inner: usize = dims[axis + 1..].iter().product();
    let outer: usize = dims[..axis].iter().product();
    let mut codes = Vec::with_capacity(dims.iter().product());
    for o in 0..outer {
        for channel in per_channel {
            codes.extend_from_slice(&channel[o * inner..(o + 1) * inner]);
        }
    }
    codes
}

/// A layer's finite weights; the error names the initializer.
pub fn finite(job: &Job<'_>, name: &str) -> Result<Tensor, MethodError> {
    let tensor = job.graph.weight(name)?;
    if tensor.data.iter().all(|v| v.is_finite()) {
        Ok(tensor)
    } else {
        Err(MethodError::NotFinite { what: format!("weight {name:?}") })
    }
}

/// Number of channels whose values are all zero.
pub fn zero_channels(channels: &[Vec<f32>]) -> usize {
    channels.iter().filter(|c| c.iter().all(|&v| v == 0.0)).count()
}

/// The note about a layer's all-zero channels, if it has some.
pub fn zero_note(layer: &str, zeros: usize) -> Option<String> {
    (zeros > 0).then(|| format!("{layer}: {zeros} all-zero output channels stay zero"))
}

/// Quantizes a tensor per channel of `axis` with an estimator's range.
pub fn quantize(
    tensor: &Tensor,
    axis: usize,
    bits: Bits,
    style: WeightStyle,
    ranges: &dyn RangeEstimator,
) -> QuantTensor {
    let channels = channels(tensor, axis);
    let (scale, zero_point): (Vec<f32>, Vec<i32>) =
        channels.par_iter().map(|c| ranges.weights(c, style, bits)).unzip();
    let grid = grid(scale, zero_point, axis, style, bits);
    let codes: Vec<Vec<i32>> = channels
        .iter()
        .enumerate()
        .map(|(c, values)| values.iter().map(|&v| grid.code(v, c)).collect())
        .collect();
    let codes = interleave(&codes, &tensor.dims, axis);
    QuantTensor { dims: tensor.dims.clone(), grid, codes }
}

/// Quantized weights by initializer, with what there is to say about them.
#[derive(Debug, Default)]
pub struct Quantized {
    /// By initializer name.
    pub weights: BTreeMap<String, QuantTensor>,
    /// All-zero channels.
    pub notes: Vec<String>,
}

/// Quantizes the weights of every site of the job with `round`, which gets the finite weights, the
/// layer and the site with its width.
///
/// An initializer that several layers share is quantized once: at the largest of their widths, of
/// equal ones for the first of them.
pub fn quantize_sites(
    job: &Job<'_>,
    cx: &mut Context<'_>,
    round: impl Fn(&Tensor, &Layer, &WeightSite) -> QuantTensor,
) -> Result<Quantized, MethodError> {
    let mut out = Quantized::default();
    let sites = &job.sites.weights;
    for (done, site) in sites.iter().enumerate() {
        let layer = &job.layers[site.layer];
        cx.step(done, sites.len(), "weights")?;
        if !is_widest(job, done) {
            continue;
        }
        let tensor = finite(job, &layer.weight)?;
        let zeros = zero_channels(&channels(&tensor, layer.axis));
        out.notes.extend(zero_note(&layer.name, zeros));
        out.weights.insert(layer.weight.clone(), round(&tensor, layer, site));
    }
    Ok(out)
}

/// The site that decides the width of each initializer, in the order of the job's sites.
pub fn widest_sites<'j>(job: &Job<'j>) -> Vec<&'j WeightSite> {
    let sites = &job.sites.weights;
    sites.iter().enumerate().filter(|(at, _)| is_widest(job, *at)).map(|(_, s)| s).collect()
}

/// Whether no other site of the same initializer is wider, or as wide and earlier.
fn is_widest(job: &Job<'_>, at: usize) -> bool {
    let sites = &job.sites.weights;
    let weight = |site: &WeightSite| &job.layers[site.layer].weight;
    sites.iter().enumerate().all(|(i, other)| {
        let ahead = other.bits > sites[at].bits || (other.bits == sites[at].bits && i < at);
        !(ahead && weight(other) == weight(&sites[at]))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parts::ranges::MinMax;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn codes_are_those_of_the_grid(
            o in 1usize..4, c in 1usize..5, i in 1usize..4, b in 2u8..=8, affine: bool, axis in 0usize..3,
            seed in 0u32..1000,
        ) {
            let n = o * c * i;
            let data = (0..n as u32).map(|k| ((k * 37 + seed) % 101) as f32 / 50.0 - 1.0).collect();
            let tensor = Tensor::new(vec![o, c, i], data);
            let style = if affine { WeightStyle::Affine } else { WeightStyle::Symmetric };
            let q = quantize(&tensor, axis, Bits::new(b).unwrap(), style, &MinMax);
            prop_assert_eq!(&q, &q.grid.quantize(&tensor).unwrap());
            // Min-max clips nothing: no error exceeds half a step (a whole one where the zero
            // point was rounded).
            let (_, count, inner) = q.grid.layout(&tensor.dims);
            for (k, (a, b)) in tensor.data.iter().zip(&q.dequantize().data).enumerate() {
                let step = q.grid.scale[(k / inner) % count];
                prop_assert!((a - b).abs() <= 0.5001 * step);
            }
        }
    }

    #[test]
    fn zero_channels_are_counted() {
        let tensor = Tensor::new(vec![3, 2], vec![0.0, 0.0, 1.0, 0.0, 0.0, 0.0]);
        assert_eq!(zero_channels(&channels(&tensor, 0)), 2);
        assert_eq!(zero_note("conv1", 0), None);
        let q = quantize(&tensor, 0, Bits::EIGHT, WeightStyle::Symmetric, &MinMax);
        assert_eq!(q.grid.scale[0], 1.0);
        assert_eq!(q.codes, [0, 0, 127, 0, 0, 0]);
    }
}
