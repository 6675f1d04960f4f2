//! Images of Gaussian noise, for methods that are granted none.

use std::sync::atomic::{AtomicU64, Ordering};

use quantbench_core::rng::Rng;
use quantbench_core::{ImageSource, SourceError, Tensor};
use quantbench_graph::LayerKind;

use crate::contract::{Job, MethodError};

/// Mean per channel and standard deviation of noise.
#[derive(Debug, Clone, PartialEq)]
pub struct Level {
    /// Mean of each channel.
    pub mean: Vec<f32>,
    /// Standard deviation, the same in all channels.
    pub std: f32,
}

impl Level {
    /// Mean 0 and standard deviation 1: what a network reads whose preprocessing centres and
    /// scales its images so.
    pub fn standard(channels: usize) -> Self {
        Self { mean: vec![0.0; channels], std: 1.0 }
    }

    /// The noise under which the first batch norm sees what it saw in training; none where the
    /// network does not begin with a conv and its batch norm.
    ///
    /// For noise of mean `m_c` and deviation `s` the conv's output `o` has the mean
    /// `b_o + sum_c m_c S_oc`, `S_oc` being the sum of a kernel, and the variance
    /// `s^2 sum w_o^2`; the folded batch norm says `beta_o` and `gamma_o^2`. The means are the
    /// least-squares solution (each channel in units of `gamma_o`), the deviation makes the
    /// variances equal in total. So a network that reads bytes from 0 to 255 gets noise of that
    /// scale without any word about its preprocessing.
    pub fn matched(job: &Job<'_>) -> Result<Option<Self>, MethodError> {
        let first = job.layers.iter().find(|l| l.is_first);
        let Some(layer) = first
            .filter(|l| l.kind == LayerKind::Conv && l.groups == 1 && l.input == job.graph.input())
        else {
            return Ok(None);
        };
        let Some(norm) = job.graph.norm_stats(&layer.output) else { return Ok(None) };
        let (outputs, channels) = (layer.dims[0], layer.dims[1]);
        let weight = job.graph.weight(&layer.weight)?;
        let bias = job.graph.bias(layer)?;
        let area = weight.len() / (outputs * channels).max(1);
        let mut normal = Normal::new(channels);
        let (mut asked, mut unit) = (0.0, 0.0);
        for (o, kernels) in weight.data.chunks(channels * area).enumerate() {
            let gamma = f64::from(norm.std[o]);
            if gamma == 0.0 {
                continue;
            }
            let sums: Vec<f64> = kernels
                .chunks(area)
                .map(|k| k.iter().map(|&w| f64::from(w)).sum::<f64>() / gamma)
                .collect();
            let shift = bias.as_ref().map_or(0.0, |b| f64::from(b.data[o]));
            normal.add(&sums, (f64::from(norm.mean[o]) - shift) / gamma);
            asked += gamma * gamma;
            unit += kernels.iter().map(|&w| f64::from(w).powi(2)).sum::<f64>();
        }
        let std = (asked / unit).sqrt();
        let mean: Vec<f32> = normal.solve().into_iter().map(|m| m as f32).collect();
        let sound = std.is_finite() && std > 0.0 && mean.iter().all(|m| m.is_finite());
        Ok(sound.then_some(Self { mean, std: std as f32 }))
    }
}

/// Normal equations of a small least-squares problem.
struct Normal {
    matrix: Vec<Vec<f64>>,
    right: Vec<f64>,
}

impl Normal {
    /// What is added to the diagonal, as a share of its mean: decides for zero where the rows
    /// say nothing.
    const RIDGE: f64 = 1e-6;

    fn new(n: usize) -> Self {
        Self { matrix: vec![vec![0.0; n]; n], right: vec![0.0; n] }
    }

    /// Adds the equation `row . x = value`.
    fn add(&mut self, row: &[f64], value: f64) {
        for (i, a) in row.iter().enumerate() {
            for (j, b) in row.iter().enumerate() {
                self.matrix[i][j] += a * b;
            }
            self.right[i] += a * value;
        }
    }

    /// The solution by elimination; the matrix is positive definite with its ridge.
    fn solve(mut self) -> Vec<f64> {
        let n = self.right.len();
        let ridge = Self::RIDGE * (0..n).map(|i| self.matrix[i][i]).sum::<f64>() / n.max(1) as f64;
        for i in 0..n {
            self.matrix[i][i] += ridge.max(f64::MIN_POSITIVE);
        }
        for i in 0..n {
            for k in i + 1..n {
                let factor = self.matrix[k][i] / self.matrix[i][i];
                let pivot = self.matrix[i].clone();
                self.matrix[k].iter_mut().zip(&pivot).for_each(|(a, p)| *a -= factor * p);
                self.right[k] -= factor * self.right[i];
            }
        }
        for i in (0..n).rev() {
            let known: f64 = (i + 1..n).map(|k| self.matrix[i][k] * self.right[k]).sum();
            self.right[i] = (self.right[i] - known) / self.matrix[i][i];
        }
        self.right
    }
}

/// Images of independent pixels, made when they are read: the same for the same seed at any
/// batch size.
///
/// A pixel is a sum of twelve uniform numbers (Irwin-Hall), which is normal to about 1 % of its
/// density within two deviations and never beyond six; no function of a mathematics library is
/// involved, so that the bits are the same everywhere.
pub struct Noise {
    dims: Vec<usize>,
    count: usize,
    level: Level,
    seed: String,
    made: AtomicU64,
}

impl Noise {
    /// `count` images of `dims` (channels first); `rng` seeds them.
    pub fn new(dims: Vec<usize>, count: usize, level: Level, rng: &mut Rng) -> Self {
        let seed = rng.below(u64::MAX).to_string();
        Self { dims, count, level, seed, made: AtomicU64::new(0) }
    }

    /// How many different images were made so far.
    pub fn made(&self) -> u64 {
        self.made.load(Ordering::Relaxed)
    }
}

impl ImageSource for Noise {
    fn len(&self) -> usize {
        self.count
    }

    fn dims(&self) -> &[usize] {
        &self.dims
    }

    fn batch(&self, start: usize, n: usize) -> Result<Tensor, SourceError> {
        let end = start.saturating_add(n).min(self.count);
        let plane: usize = self.dims.iter().skip(1).product();
        let mut data = Vec::new();
        for i in start..end {
            let mut rng = Rng::from_parts(&["noise", &self.seed, &i.to_string()]);
            for mean in &self.level.mean {
                data.extend((0..plane).map(|_| {
                    let normal = (0..12).map(|_| rng.unit_f32()).sum::<f32>() - 6.0;
                    mean + self.level.std * normal
                }));
            }
        }
        self.made.fetch_max(end as u64, Ordering::Relaxed);
        let dims = std::iter::once(end.saturating_sub(start)).chain(self.dims.iter().copied());
        Ok(Tensor::new(dims.collect(), data))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{prop, prop_assert, proptest};
    use quantbench_core::{Params, Spec};
    use quantbench_graph::testing::{Builder, tiny_resnet};
    use quantbench_graph::{Graph, Sites};

    fn noise(count: usize, level: Level) -> Noise {
        Noise::new(vec![level.mean.len(), 16, 16], count, level, &mut Rng::from_parts(&["test"]))
    }

    #[test]
    fn noise_has_its_level_and_does_not_depend_on_the_batch() {
        let source = noise(24, Level { mean: vec![3.0, -1.0], std: 2.0 });
        assert_eq!(source.made(), 0);
        let all = source.batch(0, 24).unwrap();
        assert_eq!((all.dims.as_slice(), source.made()), (&[24, 2, 16, 16][..], 24));
        for (c, want) in [3.0f64, -1.0].into_iter().enumerate() {
            let planes = all.data.chunks(256).skip(c).step_by(2).flatten();
            let values: Vec<f64> = planes.map(|&v| f64::from(v)).collect();
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            let var = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / values.len() as f64;
            // 6144 values: the mean is off by at most 0.1, four of its deviations.
            assert!((mean - want).abs() < 0.1 && (var.sqrt() - 2.0).abs() < 0.08, "{mean} {var}");
        }
        let mut parts = source.batch(0, 7).unwrap().data;
        parts.extend(source.batch(7, 100).unwrap().data);
        assert_eq!(parts, all.data);
        let other =
            Noise::new(vec![2, 16, 16], 24, source.level.clone(), &mut Rng::from_parts(&["o"]));
        assert_ne!(other.batch(0, 1).unwrap().data, all.data[..512]);
    }

    /// The level of a graph whose first conv belongs to a batch norm.
    fn matched(graph: &Graph) -> Option<Level> {
        let layers = graph.layers();
        let (sites, spec) = (Sites::default(), Spec::from_widths("w4a4".parse().unwrap()));
        let params = Params::new();
        let job = Job {
            graph,
            unfolded: graph,
            layers: &layers,
            sites: &sites,
            spec: &spec,
            params: &params,
        };
        Level::matched(&job).unwrap()
    }

    proptest! {
        #[test]
        fn the_level_of_the_training_images_is_read_off_the_first_batch_norm(
            mean in prop::collection::vec(-100f32..200.0, 3), std in 0.5f32..90.0, seed in 0u64..99,
        ) {
            // A batch norm that was trained on white noise of this level.
            let mut b = Builder::new(seed);
            let w = b.random(&[16, 3, 3, 3], 0.3, 0.05);
            let kernel = |k: &[f32]| (k.chunks(9).map(|k| k.iter().sum::<f32>()).collect::<Vec<_>>(),
                k.iter().map(|v| v * v).sum::<f32>());
            let (means, vars): (Vec<f32>, Vec<f32>) = w.data.chunks(27).map(kernel).map(|(s, e)| {
                (s.iter().zip(&mean).map(|(s, m)| s * m).sum::<f32>(), e * std * std)
            }).unzip();
            let tensor = |v: Vec<f32>| Tensor::new(vec![v.len()], v);
            let (gamma, beta) = (b.random(&[16], 0.2, 1.0), b.random(&[16], 0.5, 0.0));
            b.weight("w", &w).weight("gamma", &gamma).weight("beta", &beta);
            b.weight("mean", &tensor(means)).weight("var", &tensor(vars));
            b.node("Conv", &["input", "w"], "c", vec![]);
            b.node("BatchNormalization", &["c", "gamma", "beta", "mean", "var"], "out", vec![]);
            let bytes = b.finish(&[3, 8, 8], "out");
            let graph = Graph::from_bytes(&bytes, "first").unwrap().fold().unwrap();
            let level = matched(&graph).unwrap();
            prop_assert!((level.std - std).abs() < 0.01 * std, "{level:?} {std}");
            for (found, want) in level.mean.iter().zip(&mean) {
                prop_assert!((found - want).abs() < 0.02 * (want.abs() + std), "{level:?} {mean:?}");
            }
        }
    }

    #[test]
    fn a_network_without_a_first_batch_norm_has_no_level() {
        let tiny = Graph::from_bytes(&tiny_resnet(7), "tiny").unwrap().fold().unwrap();
        assert!(matched(&tiny).is_some());
        let mut b = Builder::new(1);
        let w = b.random(&[4, 3, 1, 1], 0.5, 0.0);
        b.weight("w", &w).node("Conv", &["input", "w"], "out", vec![]);
        let bare = Graph::from_bytes(&b.finish(&[3, 8, 8], "out"), "bare").unwrap().fold().unwrap();
        assert_eq!(matched(&bare), None);
    }
}
