//! Means and variances of every value, known without an image.
//!
//! A folded conv's output has the mean `beta` and the standard deviation `|gamma|` of its batch
//! norm (Nagel et al. 2019, arXiv:1906.04721, section 4.2). From there: a ReLU or clip by the
//! moments of a clipped normal variable; an Add by adding means and variances as if its two inputs
//! were independent; a conv or FC without batch norm by propagating its input's moments through the
//! weights, as if channels were independent, and a pool by averaging; [`Positions`] says what is
//! assumed of the positions of a channel. Values that no rule reaches are left out.

mod pad;
mod sums;

use std::collections::BTreeMap;

use quantbench_graph::onnx::NodeProto;
use quantbench_graph::{Graph, Layer};

use super::normal::clipped;
pub use sums::Positions;

/// What is known of a value, per channel.
#[derive(Debug, Clone, PartialEq)]
pub struct Moments {
    /// Mean.
    pub mean: Vec<f64>,
    /// Variance.
    pub var: Vec<f64>,
    /// Probability of a value above zero.
    pub positive: Vec<f64>,
    /// Largest magnitude that is expected: `|mean| + z * standard deviation` before any clip.
    pub peak: Vec<f64>,
    /// Whether values below zero occur.
    pub signed: bool,
    /// Neighbouring entries that are positions of one channel: more than one where a Flatten laid
    /// out an image.
    pub positions: usize,
}

impl Moments {
    /// Signed normal values.
    fn normal(mean: Vec<f64>, var: Vec<f64>, z: f64) -> Self {
        let peak = mean.iter().zip(&var).map(|(m, v)| m.abs() + z * v.max(0.0).sqrt()).collect();
        let positive = mean.iter().zip(&var).map(|(&m, &v)| clipped(m, v, None, None).positive);
        Self { positive: positive.collect(), peak, mean, var, signed: true, positions: 1 }
    }

    /// The same values after a clip, with an upper end per channel.
    fn clip(&self, lo: Option<f64>, hi: impl Fn(usize) -> Option<f64>, z: f64) -> Self {
        let mut out = self.clone();
        for c in 0..self.mean.len() {
            let hi = hi(c);
            let k = clipped(self.mean[c], self.var[c], lo, hi);
            (out.mean[c], out.var[c], out.positive[c]) = (k.mean, k.var, k.positive);
            let top = self.mean[c] + z * self.var[c].max(0.0).sqrt();
            let top = if lo == Some(0.0) { top.max(0.0) } else { self.peak[c] };
            out.peak[c] = top.min(hi.unwrap_or(f64::INFINITY));
        }
        out.signed = lo.is_none_or(|lo| lo < 0.0) && self.signed;
        out
    }

    /// Standard deviation of the whole tensor; of its positive values if it is not signed.
    pub fn deviation(&self) -> f64 {
        let weight = |c: usize| if self.signed { 1.0 } else { self.positive[c] };
        let (mut mass, mut m1, mut m2) = (0.0, 0.0, 0.0);
        for c in 0..self.mean.len() {
            mass += weight(c);
            m1 += self.mean[c];
            m2 += self.var[c] + self.mean[c] * self.mean[c];
        }
        if mass > 0.0 { (m2 / mass - (m1 / mass).powi(2)).max(0.0).sqrt() } else { 0.0 }
    }

    /// Largest magnitude expected in any channel.
    pub fn largest(&self) -> f64 {
        self.peak.iter().copied().fold(0.0, f64::max)
    }

    fn channels(&self) -> usize {
        self.mean.len()
    }
}

/// Moments by value name, for every value that a rule reaches; `z` says how many standard
/// deviations above the mean the largest value is expected, `positions` how the positions of a
/// channel depend on each other.
pub fn propagate(
    graph: &Graph,
    layers: &[Layer],
    z: f64,
    positions: Positions,
) -> BTreeMap<String, Moments> {
    let at: BTreeMap<usize, &Layer> = layers.iter().map(|l| (l.node, l)).collect();
    let mut known: BTreeMap<String, Moments> = BTreeMap::new();
    for (index, node) in graph.nodes().iter().enumerate() {
        let walk = Walk { graph, known: &known, z, positions };
        // A layer may span two nodes (MatMul and the Add of its bias).
        let found = node.output.iter().map(|value| {
            let stats = graph.norm_stats(value).map(|s| {
                let mean = s.mean.iter().map(|&m| f64::from(m)).collect();
                let var = s.std.iter().map(|&d| f64::from(d).powi(2)).collect();
                Moments::normal(mean, var, z)
            });
            let found = stats.or_else(|| match at.get(&index) {
                Some(layer) => walk.layer(layer),
                None => walk.node(node),
            });
            (value.clone(), found)
        });
        let found: Vec<_> = found.collect();
        known.extend(found.into_iter().filter_map(|(value, m)| Some((value, m?))));
    }
    known
}

struct Walk<'a> {
    graph: &'a Graph,
    known: &'a BTreeMap<String, Moments>,
    z: f64,
    positions: Positions,
}

impl Walk<'_> {
    fn input(&self, node: &NodeProto, i: usize) -> Option<&Moments> {
        self.known.get(node.input.get(i)?)
    }

    fn node(&self, node: &NodeProto) -> Option<Moments> {
        match node.op_type.as_deref().unwrap_or("") {
            "Relu" => Some(self.input(node, 0)?.clip(Some(0.0), |_| None, self.z)),
            "Clip" => {
                let (lo, hi) = (self.end(node, 1, "min"), self.end(node, 2, "max"));
                Some(self.input(node, 0)?.clip(lo, |_| hi, self.z))
            }
            "Min" => self.cap(node),
            "Add" => self.add(node),
            "Concat" => self.concat(node),
            "BatchNormalization" => {
                let read = |i: usize| self.graph.weight(node.input.get(i)?).ok();
                let (gamma, beta) = (read(1)?, read(2)?);
                let mean = beta.data.iter().map(|&b| f64::from(b)).collect();
                let var = gamma.data.iter().map(|&g| f64::from(g).powi(2)).collect();
                Some(Moments::normal(mean, var, self.z))
            }
            "AveragePool" => {
                let kernel = ints(node, "kernel_shape")?;
                Some(self.averaged(self.input(node, 0)?, kernel.iter().product::<i64>() as f64))
            }
            "GlobalAveragePool" | "ReduceMean" => {
                let input = self.input(node, 0)?;
                let (before, after) = (self.size(node.input.first()?), self.size(&node.output[0]));
                (after == input.channels())
                    .then(|| self.averaged(input, (before / after.max(1)).max(1) as f64))
            }
            "Pad" => self.pad(node),
            "Dropout" | "Identity" | "Slice" | "MaxPool" | "GlobalMaxPool" => {
                let dims = self.graph.item_dims(node.output.first()?);
                let input = self.input(node, 0)?;
                (dims.first() == Some(&input.channels())).then(|| input.clone())
            }
            "Flatten" | "Reshape" | "Squeeze" | "Unsqueeze" => self.flatten(node),
            _ => None,
        }
    }

    fn add(&self, node: &NodeProto) -> Option<Moments> {
        let (a, b) = (node.input.first()?, node.input.get(1)?);
        match (self.known.get(a), self.known.get(b)) {
            (Some(a), Some(b)) => {
                if a.channels() != b.channels() {
                    return None;
                }
                let sum = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(p, q)| p + q).collect();
                let mut out = Moments::normal(sum(&a.mean, &b.mean), sum(&a.var, &b.var), self.z);
                out.signed = a.signed || b.signed;
                out.positions = if a.positions == b.positions { a.positions } else { 1 };
                Some(out)
            }
            (Some(x), None) | (None, Some(x)) => {
                let constant = if self.known.contains_key(a) { b } else { a };
                let constant = self.graph.weight(constant).ok()?.data;
                let at = |c: usize| match constant.len() {
                    1 => Some(f64::from(constant[0])),
                    n if n == x.channels() => Some(f64::from(constant[c])),
                    _ => None,
                };
                let mean = (0..x.channels()).map(|c| Some(x.mean[c] + at(c)?));
                let mean = mean.collect::<Option<_>>()?;
                let out = Moments::normal(mean, x.var.clone(), self.z);
                Some(Moments { positions: x.positions, ..out })
            }
            (None, None) => None,
        }
    }

    /// A cap per channel or one for all. After a Relu both clip the same normal variable at once:
    /// what a Relu leaves is not normal any more.
    fn cap(&self, node: &NodeProto) -> Option<Moments> {
        let caps = self.graph.weight(node.input.get(1)?).ok()?.data;
        let relu = self.graph.producer(node.input.first()?).map(|i| &self.graph.nodes()[i]);
        let (lo, input) = match relu.filter(|n| n.op_type.as_deref() == Some("Relu")) {
            Some(relu) => (Some(0.0), self.input(relu, 0)?),
            None => (None, self.input(node, 0)?),
        };
        let fits = caps.len() == 1 || caps.len() == input.channels();
        let hi = |c: usize| caps.get(if caps.len() == 1 { 0 } else { c }).map(|&v| f64::from(v));
        fits.then(|| input.clip(lo, hi, self.z))
    }

    fn concat(&self, node: &NodeProto) -> Option<Moments> {
        let axis = node.attribute.iter().find(|a| a.name.as_deref() == Some("axis"))?.i?;
        let rank = self.graph.item_dims(node.output.first()?).len() as i64 + 1;
        if axis.rem_euclid(rank.max(1)) != 1 {
            return None;
        }
        let mut out = self.input(node, 0)?.clone();
        for i in 1..node.input.len() {
            let next = self.input(node, i)?;
            out.mean.extend(&next.mean);
            out.var.extend(&next.var);
            out.positive.extend(&next.positive);
            out.peak.extend(&next.peak);
            out.signed |= next.signed;
            out.positions = if out.positions == next.positions { out.positions } else { 1 };
        }
        Some(out)
    }

    /// Channels stay if their number does; a flattened image repeats each channel.
    fn flatten(&self, node: &NodeProto) -> Option<Moments> {
        let input = self.input(node, 0)?;
        let dims = self.graph.item_dims(node.output.first()?);
        let features = *dims.first()?;
        if features == input.channels() {
            return Some(input.clone());
        }
        if dims.len() != 1 || features % input.channels() != 0 {
            return None;
        }
        let times = features / input.channels();
        let repeat =
            |v: &[f64]| v.iter().flat_map(|&x| std::iter::repeat_n(x, times)).collect::<Vec<_>>();
        Some(Moments {
            mean: repeat(&input.mean),
            var: repeat(&input.var),
            positive: repeat(&input.positive),
            peak: repeat(&input.peak),
            signed: input.signed,
            positions: times,
        })
    }

    /// An end of a Clip: an operand since opset 11, an attribute before.
    fn end(&self, node: &NodeProto, operand: usize, attribute: &str) -> Option<f64> {
        let given = node.input.get(operand).filter(|n| !n.is_empty());
        let value = match given {
            Some(name) => self.graph.weight(name).ok()?.data.first().copied(),
            None => node.attribute.iter().find(|a| a.name.as_deref() == Some(attribute))?.f,
        };
        value.map(f64::from)
    }

    fn size(&self, value: &str) -> usize {
        self.graph.item_dims(value).iter().product()
    }
}

fn ints(node: &NodeProto, name: &str) -> Option<Vec<i64>> {
    node.attribute.iter().find(|a| a.name.as_deref() == Some(name)).map(|a| a.ints.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use quantbench_core::Tensor;
    use quantbench_graph::testing::{Builder, int, ints};

    const Z: f64 = 4.0;

    /// Batch norm, ReLU, then a 1x1 conv without batch norm, a padded shortcut and a residual sum.
    fn residual() -> Graph {
        let mut b = Builder::new(3);
        let stem = b.conv_bn("input", "stem", (3, 2), 1, 1);
        b.node("Relu", &[&stem], "relu", vec![]);
        b.weight("w", &Tensor::new(vec![4, 2, 1, 1], vec![1., 2., -1., 0., 0., 3., 1., 1.]));
        b.weight("bias", &Tensor::new(vec![4], vec![0.5, 0., 0., -1.]));
        b.node("Conv", &["relu", "w", "bias"], "branch", vec![ints("kernel_shape", &[1, 1])]);
        b.ints("pads", &[0, 1, 0, 0, 0, 1, 0, 0]);
        b.node("Pad", &["relu", "pads"], "shortcut", vec![]);
        b.node("Add", &["branch", "shortcut"], "sum", vec![]);
        b.node("Relu", &["sum"], "out", vec![]);
        b.node("GlobalAveragePool", &["out"], "pooled", vec![]);
        b.node("Flatten", &["pooled"], "features", vec![int("axis", 1)]);
        b.node("Sigmoid", &["features"], "unknown", vec![]);
        let bytes = b.finish(&[3, 8, 8], "unknown");
        Graph::from_bytes(&bytes, "residual").unwrap().fold().unwrap()
    }

    #[test]
    fn rules_follow_the_graph() {
        let graph = residual();
        let layers = graph.layers();
        let known = propagate(&graph, &layers, Z, Positions::Independent);
        let norm = graph.norm_stats(&layers[0].output).unwrap();
        let stem = &known[&layers[0].output];
        assert_eq!(stem.mean[0], f64::from(norm.mean[0]));
        assert!((stem.var[1] - f64::from(norm.std[1]).powi(2)).abs() < 1e-12 && stem.signed);

        let relu = &known["relu"];
        let want = clipped(stem.mean[0], stem.var[0], Some(0.0), None);
        assert_eq!(
            (relu.mean[0], relu.var[0], relu.positive[0]),
            (want.mean, want.var, want.positive)
        );
        assert!(!relu.signed && relu.peak[0] == stem.mean[0] + Z * stem.var[0].sqrt());

        let branch = &known["branch"];
        assert!((branch.mean[0] - (relu.mean[0] + 2.0 * relu.mean[1] + 0.5)).abs() < 1e-12);
        assert!((branch.var[0] - (relu.var[0] + 4.0 * relu.var[1])).abs() < 1e-12);

        let shortcut = &known["shortcut"];
        assert_eq!(shortcut.mean, [0.0, relu.mean[0], relu.mean[1], 0.0]);
        let sum = &known["sum"];
        assert_eq!(sum.mean[1], branch.mean[1] + relu.mean[0]);
        assert_eq!(sum.var[1], branch.var[1] + relu.var[0]);
        assert!(sum.signed && !known["out"].signed);

        assert_eq!(known["features"].mean, known["out"].mean);
        assert!((known["features"].var[0] - known["out"].var[0] / 64.0).abs() < 1e-12);
        assert!(!known.contains_key("unknown"));
    }

    #[test]
    fn caps_per_channel_clip_what_a_relu_rectifies() {
        let mut b = Builder::new(5);
        let stem = b.conv_bn("input", "stem", (3, 2), 1, 1);
        b.node("Relu", &[&stem], "relu", vec![]);
        b.weight("caps", &Tensor::new(vec![2, 1, 1], vec![0.5, 2.0]));
        b.node("Min", &["relu", "caps"], "out", vec![]);
        let bytes = b.finish(&[3, 8, 8], "out");
        let graph = Graph::from_bytes(&bytes, "caps").unwrap().fold().unwrap();
        let known = propagate(&graph, &graph.layers(), Z, Positions::Independent);
        let (stem, out) = (&known[&graph.layers()[0].output], &known["out"]);
        for (c, cap) in [0.5, 2.0].into_iter().enumerate() {
            let want = clipped(stem.mean[c], stem.var[c], Some(0.0), Some(cap));
            assert_eq!((out.mean[c], out.var[c]), (want.mean, want.var));
            assert!(out.peak[c] <= cap && !out.signed);
        }
    }

    #[test]
    fn the_deviation_is_that_of_the_mixture() {
        // Two channels at -1 and 1 without spread: deviation 1 if signed; of the positive values 0.
        let mut moments = Moments {
            mean: vec![-1.0, 1.0],
            var: vec![0.0, 0.0],
            positive: vec![0.0, 1.0],
            peak: vec![1.0, 1.0],
            signed: true,
            positions: 1,
        };
        assert_eq!(moments.deviation(), 1.0);
        (moments.mean[0], moments.signed) = (0.0, false);
        assert_eq!((moments.deviation(), moments.largest()), (0.0, 1.0));
    }
}
