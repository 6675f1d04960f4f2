//! Moments of weighted sums: a layer without batch norm, and a pool that averages.
//!
//! How far a sum spreads depends on how its terms depend on each other, and batch norm does not say:
//! it pools a channel's positions and images into one variance. Channels are taken as independent,
//! for weights of both signs cancel what channels share. Positions of one channel see overlapping
//! patches of one image and do not cancel in a mean of them; what is assumed of them is chosen.

use quantbench_graph::{Layer, LayerKind};

use super::{Moments, Walk};

/// How the positions of one channel in one image are taken to depend on each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Positions {
    /// Independent, so that variances add up: a mean of `n` spreads `1 / sqrt(n)` as wide as one.
    Independent,
    /// All moving together, each in the direction of its weight, so that standard deviations add
    /// up: a mean spreads as wide as one. By the inequality of Cauchy and Schwarz no dependence
    /// of the positions gives more.
    Aligned,
}

impl Positions {
    /// Variance of a weighted sum of positions of one channel, for a variance of 1 at each.
    fn variance(self, weights: impl Iterator<Item = f64>) -> f64 {
        match self {
            Self::Independent => weights.map(|w| w.powi(2)).sum(),
            Self::Aligned => weights.map(f64::abs).sum::<f64>().powi(2),
        }
    }
}

impl Walk<'_> {
    /// A conv or FC without batch norm: weighted sums of independent channels.
    pub(super) fn layer(&self, layer: &Layer) -> Option<Moments> {
        let input = self.known.get(&layer.input)?;
        let weight = self.graph.weight(&layer.weight).ok()?;
        let rows = crate::parts::weights::channels(&weight, layer.axis);
        let bias = self.graph.bias(layer).ok()?;
        let bias = bias.map_or_else(|| vec![0.0; rows.len()], |bias| bias.data);
        // Values of a row per channel: a kernel's area, or the positions that a Flatten laid out.
        let (area, entries) = match layer.kind {
            LayerKind::Conv => (layer.dims[2..].iter().product::<usize>().max(1), 1),
            LayerKind::Fc => (input.positions, input.positions),
        };
        let inputs = rows.first()?.len() / area * entries;
        if inputs * layer.groups != input.channels() {
            return None;
        }
        let per_group = rows.len() / layer.groups;
        let (mut mean, mut var) = (Vec::new(), Vec::new());
        for (o, row) in rows.iter().enumerate() {
            let first = o / per_group * inputs;
            let (mut m, mut v) = (f64::from(*bias.get(o).or(bias.first())?), 0.0);
            for (i, kernel) in row.chunks(area).enumerate() {
                let at = first + i * entries;
                let weights = kernel.iter().map(|&w| f64::from(w));
                m += input.mean[at] * weights.clone().sum::<f64>();
                v += input.var[at] * self.positions.variance(weights);
            }
            mean.push(m);
            var.push(v);
        }
        Some(Moments::normal(mean, var, self.z))
    }

    /// The mean of `area` positions of each channel.
    pub(super) fn averaged(&self, input: &Moments, area: f64) -> Moments {
        let mut out = input.clone();
        if self.positions == Positions::Independent {
            out.var.iter_mut().for_each(|v| *v /= area.max(1.0));
            out.positive.iter_mut().for_each(|p| *p = 1.0 - (1.0 - *p).powf(area.max(1.0)));
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::super::propagate;
    use super::*;
    use proptest::prelude::*;
    use quantbench_core::Tensor;
    use quantbench_graph::Graph;
    use quantbench_graph::testing::{Builder, int, ints};

    const Z: f64 = 6.0;

    /// Batch norm, ReLU, a 3x3 conv of `groups` without batch norm beside a shortcut, their sum, a
    /// pool and a classifier.
    fn net(seed: u64, groups: usize, scale: f32) -> Graph {
        let mut b = Builder::new(seed);
        let stem = b.conv_bn("input", "stem", (3, 4), 1, 1);
        b.node("Relu", &[&stem], "relu", vec![]);
        let w = b.random(&[4, 4 / groups, 3, 3], scale, 0.0);
        let pads = ints("pads", &[1, 1, 1, 1]);
        let group = int("group", groups as i64);
        b.weight("w", &w).node("Conv", &["relu", "w"], "branch", vec![pads, group]);
        b.node("Add", &["branch", "relu"], "sum", vec![]);
        b.node("Relu", &["sum"], "out", vec![]);
        b.node("GlobalAveragePool", &["out"], "pooled", vec![]);
        b.node("Flatten", &["pooled"], "features", vec![int("axis", 1)]);
        let w = b.random(&[6, 4], scale, 0.0);
        b.weight("fc.w", &w).node("Gemm", &["features", "fc.w"], "logits", vec![int("transB", 1)]);
        Graph::from_bytes(&b.finish(&[3, 8, 8], "logits"), "net").unwrap().fold().unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn the_bound_is_never_below_the_estimate(
            seed in 0u64..1000, groups in prop::sample::select(vec![1usize, 2, 4]),
            scale in 0.05f32..3.0,
        ) {
            let graph = net(seed, groups, scale);
            let layers = graph.layers();
            let estimate = propagate(&graph, &layers, Z, Positions::Independent);
            let bound = propagate(&graph, &layers, Z, Positions::Aligned);
            prop_assert!(bound.contains_key("logits") && bound.keys().eq(estimate.keys()));
            for (value, bound) in &bound {
                let estimate = &estimate[value];
                for (b, e) in bound.var.iter().zip(&estimate.var) {
                    prop_assert!(b + 1e-5 * (1.0 + b) >= *e, "{value}: {b} below {e}");
                }
                prop_assert!(bound.largest() >= estimate.largest() * (1.0 - 1e-9), "{value}");
            }
            // What a batch norm knows is no matter of assumption.
            let stem = &layers[0].output;
            prop_assert_eq!(&bound[stem], &estimate[stem]);
            prop_assert_eq!(&bound["relu"], &estimate["relu"]);
        }

        #[test]
        fn no_dependence_spreads_positions_further(
            weights in prop::collection::vec(-2f64..2.0, 6),
            samples in prop::collection::vec(prop::collection::vec(-3f64..3.0, 6), 2..40),
        ) {
            let deviation = |values: &[f64]| {
                let n = values.len() as f64;
                let mean = values.iter().sum::<f64>() / n;
                (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n).sqrt()
            };
            // Positions scaled to the same deviation, however they depend on each other.
            let unit: Vec<f64> = (0..6)
                .map(|i| deviation(&samples.iter().map(|s| s[i]).collect::<Vec<_>>()).max(1e-9))
                .collect();
            let sums = samples.iter().map(|s| {
                s.iter().zip(&weights).zip(&unit).map(|((x, w), u)| w * x / u).sum()
            });
            let found = deviation(&sums.collect::<Vec<f64>>());
            let bound = Positions::Aligned.variance(weights.iter().copied()).sqrt();
            prop_assert!(found <= bound * (1.0 + 1e-9) + 1e-9, "{found} above {bound}");
        }
    }

    #[test]
    fn positions_align_in_kernels_pools_and_flattened_images() {
        let mut b = Builder::new(3);
        let stem = b.conv_bn("input", "stem", (3, 2), 1, 1);
        b.weight("w", &Tensor::new(vec![1, 2, 1, 2], vec![2.0, -3.0, 1.0, 1.0]));
        b.node("Conv", &[&stem, "w"], "branch", vec![]);
        b.node("GlobalAveragePool", &["branch"], "pooled", vec![]);
        b.weight("wide", &Tensor::new(vec![1, 2, 8, 8], vec![0.5; 128]));
        b.node("Conv", &[&stem, "wide"], "whole", vec![]);
        b.node("Flatten", &[&stem], "flat", vec![int("axis", 1)]);
        b.weight("fc.w", &Tensor::new(vec![1, 128], vec![0.5; 128]));
        b.node("Gemm", &["flat", "fc.w"], "fc", vec![int("transB", 1)]);
        b.node("Flatten", &["whole"], "whole_flat", vec![int("axis", 1)]);
        b.node("Flatten", &["pooled"], "pooled_flat", vec![int("axis", 1)]);
        b.node("Add", &["whole_flat", "fc"], "sum", vec![]);
        b.node("Add", &["sum", "pooled_flat"], "out", vec![]);
        let bytes = b.finish(&[3, 8, 8], "out");
        let graph = Graph::from_bytes(&bytes, "aligned").unwrap().fold().unwrap();
        let layers = graph.layers();
        let close = |found: f64, want: f64| (found - want).abs() < 1e-9 * (1.0 + want);
        let run = |positions| propagate(&graph, &layers, Z, positions);

        let known = run(Positions::Aligned);
        let stem = known[&layers[0].output].clone();
        let (a, b) = (stem.var[0], stem.var[1]);
        assert!(close(known["branch"].var[0], 25.0 * a + 4.0 * b));
        assert_eq!(known["pooled"], known["branch"]);
        assert!(close(known["fc"].var[0], 32.0 * 32.0 * (a + b)));
        // A conv over the whole image and an FC over the flattened image are the same sum.
        assert_eq!(
            (&known["fc"].mean, &known["fc"].var),
            (&known["whole"].mean, &known["whole"].var)
        );

        let known = run(Positions::Independent);
        assert!(close(known["branch"].var[0], 13.0 * a + 2.0 * b));
        assert!(close(known["pooled"].var[0], known["branch"].var[0] / 56.0));
        assert!(close(known["fc"].var[0], 16.0 * (a + b)));
        assert_eq!(
            (&known["fc"].mean, &known["fc"].var),
            (&known["whole"].mean, &known["whole"].var)
        );
    }
}
