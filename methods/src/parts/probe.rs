//! How much the predictions suffer when one layer alone is quantized.
//!
//! Each layer is probed from where it stands: the FP32 values in front of it are known from the
//! layer before, and all widths of the layer run side by side in one network that starts there.
//! Over a network of equal layers that halves the work of whole forward passes, and each layer's
//! part is prepared by the runtime once and not once per width.

use quantbench_core::{Bits, ImageSource, QuantTensor, Tensor};
use quantbench_engine::{Feed, Part};
use quantbench_graph::{Graph, Layer, WeightSite};

use super::divergence::Reference;
use super::weights::finite;
use crate::contract::{Context, Job, MethodError};

/// Values of a cut that are held at the same time: 128 MiB of them.
const HELD: usize = 1 << 25;

/// Mean divergence of each site at each width: rows in the order of `sites`, which must be that
/// of the graph, columns in the order of `widths`.
///
/// The divergence is that of the FP32 network's softmax from the one of the network with only
/// this layer's weights rounded, averaged over the images; each image is read once. Memory does
/// not grow with the number of images, but holds all versions of all weights.
pub fn divergences(
    job: &Job<'_>,
    sites: &[&WeightSite],
    widths: &[Bits],
    round: impl Fn(&Tensor, &Layer, Bits) -> QuantTensor,
    images: &dyn ImageSource,
    cx: &mut Context<'_>,
) -> Result<Vec<Vec<f64>>, MethodError> {
    let mut probes = Vec::with_capacity(sites.len());
    for site in sites {
        let layer = &job.layers[site.layer];
        cx.step(probes.len(), sites.len(), "rounding")?;
        let weight = finite(job, &layer.weight)?;
        let versions = widths.iter().map(|&bits| round(&weight, layer, bits).dequantize());
        probes.push(Probe { layer, versions: versions.collect(), sums: vec![0.0; widths.len()] });
    }
    if probes.is_empty() {
        return Ok(Vec::new());
    }
    let chunk = chunk(job, &probes);
    let chunks = images.len().div_ceil(chunk);
    for (done, start) in (0..images.len()).step_by(chunk).enumerate() {
        let image = images.batch(start, chunk)?;
        let mut walk = Walk::new(job.graph, image, cx)?;
        for i in 0..probes.len() {
            cx.step(done * probes.len() + i, chunks * probes.len(), "sensitivities")?;
            walk.measure(&mut probes[i], cx)?;
        }
    }
    let count = images.len().max(1) as f64;
    Ok(probes.iter().map(|p| p.sums.iter().map(|sum| sum / count).collect()).collect())
}

/// A layer with its rounded weights by width, and the divergences so far.
struct Probe<'a> {
    layer: &'a Layer,
    versions: Vec<Tensor>,
    sums: Vec<f64>,
}

/// Images that are worked on at the same time, so that the largest cut fits [`HELD`].
fn chunk(job: &Job<'_>, probes: &[Probe<'_>]) -> usize {
    let cut = |p: &Probe<'_>| {
        let values = job.graph.cut(p.layer.node).unwrap_or_default();
        values.iter().map(|v| job.graph.item_elements(v)).sum::<usize>()
    };
    let largest = probes.iter().map(cut).max().unwrap_or(0);
    (HELD / largest.max(job.graph.item_elements(job.graph.input())).max(1)).max(1)
}

/// Some images on their way through the FP32 network.
struct Walk<'g> {
    graph: &'g Graph,
    image: Tensor,
    truth: Reference,
    classes: usize,
    /// The node in front of which the values are known.
    at: usize,
    values: Vec<(String, Tensor)>,
}

impl<'g> Walk<'g> {
    fn new(graph: &'g Graph, image: Tensor, cx: &Context<'_>) -> Result<Self, MethodError> {
        let values = vec![(graph.input().to_string(), image.clone())];
        let mut whole = cx.engine.part(graph)?;
        let logits = run(&mut whole, &values, cx.batch)?.swap_remove(0);
        let classes = logits.stride().max(1);
        check(&logits.data, "FP32 model")?;
        let truth = Reference::new(&logits.data, classes);
        Ok(Self { graph, image, truth, classes, at: 0, values })
    }

    /// Adds the divergences of one layer's versions on these images.
    fn measure(&mut self, probe: &mut Probe<'_>, cx: &Context<'_>) -> Result<(), MethodError> {
        let Some(cut) = self.graph.cut(probe.layer.node) else {
            return self.measure_whole(probe, cx);
        };
        self.advance(probe.layer.node, &cut, cx)?;
        let mut part = cx.engine.part(&self.graph.versions(probe.layer, &probe.versions)?)?;
        let batch = (cx.batch / probe.versions.len()).max(1);
        let images = self.truth.images();
        for start in (0..images).step_by(batch) {
            let count = batch.min(images - start);
            let logits = part.run(&slices(&self.values, start, count).feeds())?.swap_remove(0);
            check(&logits.data, &probe.layer.name)?;
            let mut rows = logits.data.chunks(self.classes);
            for sum in &mut probe.sums {
                for i in start..start + count {
                    *sum += rows.next().map_or(0.0, |row| self.truth.divergence(i, row));
                }
            }
        }
        Ok(())
    }

    /// The same by whole forward passes, for a network that cannot be cut in front of the layer.
    fn measure_whole(&self, probe: &mut Probe<'_>, cx: &Context<'_>) -> Result<(), MethodError> {
        let image = vec![(self.graph.input().to_string(), self.image.clone())];
        for (sum, version) in probe.sums.iter_mut().zip(&probe.versions) {
            let mut graph = self.graph.clone();
            graph.set_weight(&probe.layer.weight, version)?;
            let logits = run(&mut cx.engine.part(&graph)?, &image, cx.batch)?.swap_remove(0);
            check(&logits.data, &probe.layer.name)?;
            for (i, row) in logits.data.chunks(self.classes).enumerate() {
                *sum += self.truth.divergence(i, row);
            }
        }
        Ok(())
    }

    /// Computes the values of a later cut from those that are known.
    fn advance(&mut self, to: usize, cut: &[String], cx: &Context<'_>) -> Result<(), MethodError> {
        let known = |value: &String| self.values.iter().any(|(name, _)| name == value);
        let new: Vec<String> = cut.iter().filter(|v| !known(v)).cloned().collect();
        if !new.is_empty() {
            let mut part = cx.engine.part(&self.graph.segment(self.at..to, &new)?)?;
            let nodes = &self.graph.nodes()[self.at..to];
            let read: Vec<(String, Tensor)> = self
                .values
                .iter()
                .filter(|(name, _)| nodes.iter().any(|n| n.input.contains(name)))
                .cloned()
                .collect();
            let made = run(&mut part, &read, cx.batch)?;
            self.values.extend(new.into_iter().zip(made));
        }
        self.values.retain(|(name, _)| cut.contains(name));
        self.at = to;
        Ok(())
    }
}

/// Some images of some values.
struct Slices<'a>(Vec<(&'a str, Vec<usize>, &'a [f32])>);

impl Slices<'_> {
    fn feeds(&self) -> Vec<Feed<'_>> {
        self.0.iter().map(|(name, dims, data)| (*name, dims.as_slice(), *data)).collect()
    }
}

fn slices(values: &[(String, Tensor)], start: usize, count: usize) -> Slices<'_> {
    let mut found = Vec::with_capacity(values.len());
    for (name, tensor) in values {
        let stride = tensor.stride();
        let dims: Vec<usize> =
            std::iter::once(count).chain(tensor.dims.iter().skip(1).copied()).collect();
        found.push((name.as_str(), dims, &tensor.data[start * stride..(start + count) * stride]));
    }
    Slices(found)
}

/// Runs a part on all images, batch after batch; outputs in their order.
fn run(
    part: &mut Part,
    values: &[(String, Tensor)],
    batch: usize,
) -> Result<Vec<Tensor>, MethodError> {
    let images = values.first().and_then(|(_, t)| t.dims.first().copied()).unwrap_or(0);
    let mut all: Vec<Tensor> = Vec::new();
    for start in (0..images).step_by(batch.max(1)) {
        let count = batch.max(1).min(images - start);
        let made = part.run(&slices(values, start, count).feeds())?;
        if all.is_empty() {
            all = made;
            continue;
        }
        for (whole, more) in all.iter_mut().zip(made) {
            whole.dims[0] += more.dims[0];
            whole.data.extend(more.data);
        }
    }
    Ok(all)
}

fn check(logits: &[f32], what: &str) -> Result<(), MethodError> {
    if logits.iter().all(|v| v.is_finite()) {
        return Ok(());
    }
    Err(MethodError::NotFinite { what: format!("logits of {what}") })
}
