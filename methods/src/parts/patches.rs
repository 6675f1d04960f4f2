//! The inputs that a layer's weights are multiplied with, as the columns of a matrix (im2col).

use quantbench_graph::onnx::NodeProto;
use quantbench_graph::{Graph, Layer, LayerKind};

/// Positions `to .. to + len` of an output row that read `from ..` of an input channel.
#[derive(Debug, Clone, Copy)]
struct Run {
    to: usize,
    from: usize,
    len: usize,
}

/// Where a layer finds the inputs of its weights: one row per weight of an output channel, in the
/// order of the weights, and one column per output position.
#[derive(Debug, Clone)]
pub struct Patches {
    /// Groups of the layer, each with rows of its own.
    pub groups: usize,
    /// Rows per group: weights of an output channel.
    pub rows: usize,
    /// Columns per image.
    pub columns: usize,
    /// Runs by place in the kernel; none for an FC, whose rows are the features.
    kernel: Vec<Vec<Run>>,
    /// Values per image and input channel; for an FC one per feature.
    plane: usize,
}

impl Patches {
    /// The patches of a layer; at most `most` evenly spaced output positions per image, all of
    /// them if that is 0. `None` where the graph does not know the shapes.
    pub fn new(graph: &Graph, layer: &Layer, most: usize) -> Option<Self> {
        let input = graph.item_dims(&layer.input);
        if layer.kind == LayerKind::Fc {
            let rows = layer.parameters() as usize / layer.channels().max(1);
            let columns = graph.item_elements(&layer.input) / rows.max(1);
            let known = rows > 0 && columns > 0;
            return known.then_some(Self { groups: 1, rows, columns, kernel: vec![], plane: 1 });
        }
        let output = graph.item_dims(&layer.output);
        let axes = layer.dims.len() - 2;
        if input.len() != axes + 1 || output.len() != axes + 1 {
            return None;
        }
        let window = Window::new(graph.nodes().get(layer.node)?, &input, &output, &layer.dims);
        let chosen = spread(output[1..].iter().product(), most);
        let kernel: Vec<Vec<Run>> = coordinates(&layer.dims[2..])
            .map(|k| window.runs(&k, &chosen, &input[1..], &output[1..]))
            .collect();
        Some(Self {
            groups: layer.groups,
            rows: layer.dims[1] * kernel.len(),
            columns: chosen.len(),
            kernel,
            plane: input[1..].iter().product(),
        })
    }

    /// Writes row `row` of a group for `count` images from `first` on: `count * columns` values.
    /// `data` is the layer's input for a whole batch of `batch` images.
    pub fn fill(
        &self,
        group: usize,
        row: usize,
        (first, count): (usize, usize),
        batch: usize,
        data: &[f32],
        out: &mut [f32],
    ) {
        let per_image = data.len() / batch.max(1);
        let images = data.chunks(per_image.max(1)).skip(first).take(count);
        for (image, out) in images.zip(out.chunks_mut(self.columns)) {
            if self.kernel.is_empty() {
                for (place, value) in out.iter_mut().zip(image.iter().skip(row).step_by(self.rows))
                {
                    *place = *value;
                }
                continue;
            }
            let inputs = self.rows / self.kernel.len();
            let channel = group * inputs + row / self.kernel.len();
            let source = &image[channel * self.plane..(channel + 1) * self.plane];
            out.fill(0.0);
            for run in &self.kernel[row % self.kernel.len()] {
                out[run.to..run.to + run.len]
                    .copy_from_slice(&source[run.from..run.from + run.len]);
            }
        }
    }
}

/// `most` of `all` positions, evenly spaced; all of them if `most` is 0 or not smaller.
fn spread(all: usize, most: usize) -> Vec<usize> {
    if most == 0 || most >= all {
        return (0..all).collect();
    }
    (0..most).map(|j| (2 * j + 1) * all / (2 * most)).collect()
}

/// All index vectors below `dims`, the last index running fastest.
fn coordinates(dims: &[usize]) -> impl Iterator<Item = Vec<usize>> {
    let dims = dims.to_vec();
    (0..dims.iter().product()).map(move |i| split(i, &dims))
}

fn split(mut index: usize, dims: &[usize]) -> Vec<usize> {
    let mut out = vec![0; dims.len()];
    for (place, &dim) in out.iter_mut().zip(dims).rev() {
        *place = index % dim.max(1);
        index /= dim.max(1);
    }
    out
}

/// How a kernel slides, per spatial axis.
struct Window {
    strides: Vec<usize>,
    dilations: Vec<usize>,
    /// Padding before the first value.
    before: Vec<usize>,
}

impl Window {
    fn new(node: &NodeProto, input: &[usize], output: &[usize], weights: &[usize]) -> Self {
        let axes = weights.len() - 2;
        let list = |name: &str, fill: usize| -> Vec<usize> {
            let found = node.attribute.iter().find(|a| a.name.as_deref() == Some(name));
            let given = found.map(|a| a.ints.iter().map(|&i| i.max(0) as usize).collect());
            given.filter(|v: &Vec<usize>| v.len() >= axes).unwrap_or_else(|| vec![fill; axes])
        };
        let (strides, dilations) = (list("strides", 1), list("dilations", 1));
        let auto = node.attribute.iter().find(|a| a.name.as_deref() == Some("auto_pad"));
        let same = |axis: usize| {
            let span = dilations[axis] * (weights[axis + 2] - 1) + 1;
            ((output[axis + 1] - 1) * strides[axis] + span).saturating_sub(input[axis + 1])
        };
        let before = match auto.and_then(|a| a.s.as_deref()) {
            Some(b"SAME_UPPER") => (0..axes).map(|a| same(a) / 2).collect(),
            Some(b"SAME_LOWER") => (0..axes).map(|a| same(a).div_ceil(2)).collect(),
            Some(b"VALID") => vec![0; axes],
            _ => list("pads", 0),
        };
        Self { strides, dilations, before }
    }

    /// Which inputs one place of the kernel reads at the chosen output positions; what lies in the
    /// padding is left out.
    fn runs(
        &self,
        place: &[usize],
        chosen: &[usize],
        input: &[usize],
        output: &[usize],
    ) -> Vec<Run> {
        let mut runs: Vec<Run> = Vec::new();
        for (to, &position) in chosen.iter().enumerate() {
            let at = split(position, output);
            let source = (0..input.len()).try_fold(0usize, |index, axis| {
                let padded = at[axis] * self.strides[axis] + place[axis] * self.dilations[axis];
                let value = padded.checked_sub(self.before[axis])?;
                (value < input[axis]).then_some(index * input[axis] + value)
            });
            let Some(from) = source else { continue };
            match runs.last_mut() {
                Some(run) if run.to + run.len == to && run.from + run.len == from => run.len += 1,
                _ => runs.push(Run { to, from, len: 1 }),
            }
        }
        runs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_spread_evenly() {
        assert_eq!(spread(5, 0), [0, 1, 2, 3, 4]);
        assert_eq!(spread(5, 9), [0, 1, 2, 3, 4]);
        assert_eq!(spread(9, 3), [1, 4, 7]);
    }
}
