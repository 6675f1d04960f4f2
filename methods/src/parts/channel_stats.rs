//! Mean and standard deviation per channel, streamed over batches.

use quantbench_core::ImageSource;
use quantbench_graph::{Graph, Layer};
use rayon::prelude::*;

use crate::contract::{Context, MethodError};

/// Statistics of the outputs of `layers` when `graph` runs on the images, in their order.
///
/// One pass over the part of the graph that leads to these layers.
pub fn of_outputs(
    graph: &Graph,
    layers: &[&Layer],
    images: &dyn ImageSource,
    cx: &Context<'_>,
) -> Result<Vec<ChannelStats>, MethodError> {
    let mut stats: Vec<ChannelStats> =
        layers.iter().map(|l| ChannelStats::new(l.channels())).collect();
    if layers.is_empty() {
        return Ok(stats);
    }
    let outputs: Vec<&str> = layers.iter().map(|l| l.output.as_str()).collect();
    cx.engine.taps(graph, &outputs, images, cx.batch, &mut |i, dims, data| {
        stats[i].add(dims, data);
    })?;
    match stats.iter().zip(&outputs).find(|(s, _)| !s.is_finite()) {
        Some((_, value)) => Err(MethodError::NotFinite { what: format!("activation {value:?}") }),
        None => Ok(stats),
    }
}

/// Running sums per channel.
///
/// Channels are spread over threads and each is summed in the order of the images, so results do
/// not depend on the number of threads.
pub struct ChannelStats {
    count: f64,
    sums: Vec<(f64, f64)>,
}

impl ChannelStats {
    /// Sums of nothing for so many channels.
    pub fn new(channels: usize) -> Self {
        Self { count: 0.0, sums: vec![(0.0, 0.0); channels] }
    }

    /// Adds a batch `[n, channels, ...]`.
    ///
    /// # Panics
    /// If the batch has another number of channels: a bug of the caller.
    pub fn add(&mut self, dims: &[usize], data: &[f32]) {
        let channels = self.sums.len();
        assert_eq!(dims.get(1), Some(&channels), "channels of the batch and of the statistics");
        let plane: usize = dims[2..].iter().product();
        self.count += (dims[0] * plane) as f64;
        self.sums.par_iter_mut().enumerate().for_each(|(c, total)| {
            for image in 0..dims[0] {
                let start = (image * channels + c) * plane;
                let (sum, squares) = sums(&data[start..start + plane]);
                total.0 += sum;
                total.1 += squares;
            }
        });
    }

    /// Mean of a channel.
    pub fn mean(&self, channel: usize) -> f64 {
        self.sums[channel].0 / self.count.max(1.0)
    }

    /// Standard deviation (of the population) of a channel.
    pub fn deviation(&self, channel: usize) -> f64 {
        let mean = self.mean(channel);
        (self.sums[channel].1 / self.count.max(1.0) - mean * mean).max(0.0).sqrt()
    }

    /// Whether every value so far was a finite number.
    pub fn is_finite(&self) -> bool {
        self.sums.iter().all(|(sum, squares)| sum.is_finite() && squares.is_finite())
    }
}

/// Sum and sum of squares in a fixed order.
fn sums(values: &[f32]) -> (f64, f64) {
    const LANES: usize = 8;
    let (mut sum, mut squares) = ([0.0f64; LANES], [0.0f64; LANES]);
    let blocks = values.chunks_exact(LANES);
    for (i, &v) in blocks.remainder().iter().enumerate() {
        sum[i] += f64::from(v);
        squares[i] += f64::from(v) * f64::from(v);
    }
    for block in blocks {
        for i in 0..LANES {
            let v = f64::from(block[i]);
            sum[i] += v;
            squares[i] += v * v;
        }
    }
    (sum.iter().sum(), squares.iter().sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mean_and_deviation_per_channel() {
        let mut stats = ChannelStats::new(2);
        // Two images, two channels, planes of three.
        let data = [1., 2., 3., 10., 10., 10., 5., 6., 7., 10., 10., 10.];
        stats.add(&[2, 2, 3], &data.map(|v: f64| v as f32));
        assert_eq!((stats.mean(0), stats.mean(1), stats.deviation(1)), (4.0, 10.0, 0.0));
        assert!((stats.deviation(0) - (14.0f64 / 3.0).sqrt()).abs() < 1e-12);
        stats.add(&[1, 2, 1], &[f32::NAN, 0.0]);
        assert!(!stats.is_finite());
    }
}
