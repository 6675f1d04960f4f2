//! Batch norms of a network whose weights were projected onto a few levels, estimated anew on
//! images in the order of the graph.
//!
//! Batch norm is folded: re-estimation is a factor `|gamma| / s` on a channel's scale and a bias
//! `beta - m |gamma| / s`, where `m` and `s` are mean and standard deviation of the layer's output
//! without its bias in the network as it is by then.

use std::collections::BTreeMap;

use quantbench_core::{ImageSource, QuantTensor};
use quantbench_graph::{Graph, Layer, NormStats};

use super::channel_stats::{ChannelStats, of_outputs};
use super::levels::levels;
use super::weights::Quantized;
use crate::contract::{Context, Job, MethodError};

/// Factors beyond this come from a channel that is as good as constant on the images.
const LARGEST_FACTOR: f64 = 100.0;

/// Whether a scale can be stored and divided by.
pub fn usable(scale: f32) -> bool {
    scale > 0.0 && scale.is_finite() && (1.0 / scale).is_finite()
}

/// A network whose graph holds the values of its quantized weights.
pub struct Projected {
    /// The graph with the values of the quantized weights.
    pub graph: Graph,
    /// The quantized weights.
    pub weights: BTreeMap<String, QuantTensor>,
    /// What there is to say.
    pub notes: Vec<String>,
}

impl Projected {
    /// The job's network with these weights.
    pub fn new(job: &Job<'_>, quantized: Quantized) -> Result<Self, MethodError> {
        let Quantized { weights, notes } = quantized;
        let mut graph = job.graph.clone();
        for (name, tensor) in &weights {
            graph.set_weight(name, &tensor.dequantize())?;
        }
        Ok(Self { graph, weights, notes })
    }

    /// Estimates batch norms anew, level by level.
    pub fn reestimate(
        &mut self,
        job: &Job<'_>,
        images: &dyn ImageSource,
        cx: &mut Context<'_>,
    ) -> Result<(), MethodError> {
        let (mut layers, mut guarded) = (0, 0);
        let levels = levels(job.graph, job.layers);
        for (done, level) in levels.iter().enumerate() {
            cx.step(done, levels.len(), "batch norms")?;
            let normed: Vec<(&Layer, NormStats)> = level
                .iter()
                .map(|&i| &job.layers[i])
                .filter_map(|l| Some((l, job.graph.norm_stats(&l.output)?.clone())))
                .collect();
            let found: Vec<&Layer> = normed.iter().map(|(layer, _)| *layer).collect();
            let stats = of_outputs(&self.graph, &found, images, cx)?;
            for ((layer, norm), stats) in normed.iter().zip(&stats) {
                guarded += self.renorm(layer, norm, stats)?;
                layers += 1;
            }
        }
        self.notes.push(format!("batch norm re-estimated in {layers} layers"));
        if guarded > 0 {
            self.notes.push(format!("{guarded} nearly constant channels were only shifted"));
        }
        Ok(())
    }

    /// Rescales one layer's channels to the batch norm's mean and deviation; gives the number of
    /// channels that are nearly constant and therefore only shifted.
    fn renorm(
        &mut self,
        layer: &Layer,
        norm: &NormStats,
        stats: &ChannelStats,
    ) -> Result<usize, MethodError> {
        let old = self.graph.bias(layer)?.map_or_else(Vec::new, |bias| bias.data);
        let (mut bias, mut factors, mut guarded) = (Vec::new(), Vec::new(), 0);
        for c in 0..layer.channels() {
            let mean = stats.mean(c) - old.get(c).copied().map_or(0.0, f64::from);
            let factor = f64::from(norm.std[c]) / stats.deviation(c);
            let scale = self.weights.get(&layer.weight).map_or(1.0, |q| q.grid.scale[c]);
            let keep = !usable((f64::from(scale) * factor) as f32)
                || !(LARGEST_FACTOR.recip()..=LARGEST_FACTOR).contains(&factor);
            let factor = if keep { 1.0 } else { factor };
            guarded += usize::from(keep);
            factors.push(factor);
            bias.push((f64::from(norm.mean[c]) - mean * factor) as f32);
        }
        if let Some(quantized) = self.weights.get_mut(&layer.weight) {
            for (scale, factor) in quantized.grid.scale.iter_mut().zip(&factors) {
                *scale = (f64::from(*scale) * factor) as f32;
            }
            self.graph.set_weight(&layer.weight, &quantized.dequantize())?;
        } else {
            let mut weight = self.graph.weight(&layer.weight)?;
            let inner: usize = weight.dims[layer.axis + 1..].iter().product();
            for (i, row) in weight.data.chunks_mut(inner.max(1)).enumerate() {
                for w in row {
                    *w = (f64::from(*w) * factors[i % factors.len()]) as f32;
                }
            }
            self.graph.set_weight(&layer.weight, &weight)?;
        }
        self.graph.set_bias(layer, &bias)?;
        Ok(guarded)
    }
}
