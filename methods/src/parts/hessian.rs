//! The second moments of a layer's inputs: `H = 2 X X^T / columns` of its patches, per group.
//!
//! For a squared error of the layer's output this is the Hessian of every output channel (Frantar
//! and Alistarh 2022, arXiv:2208.11580, section 4).

use ndarray::linalg::general_mat_mul;
use ndarray::{Array2, ArrayView2, s};
use rayon::prelude::*;

use super::patches::Patches;

/// Rows of a tile of `H`: large enough for the matrix kernel, small enough to share the work.
const TILE: usize = 128;

/// Columns of a block that is summed in FP32 before it enters the FP64 sum.
const BLOCK: usize = 8192;

/// Values of the buffer of patches.
const BUFFER: usize = 1 << 22;

/// Part of the upper triangle of `H`.
struct Tile {
    rows: std::ops::Range<usize>,
    columns: std::ops::Range<usize>,
    sums: Vec<f64>,
}

/// Running sums over batches.
///
/// Each tile is summed in the order of the images by one thread, so that results do not depend on
/// the number of threads.
pub struct Hessian {
    patches: Patches,
    /// Tiles per group.
    tiles: Vec<Vec<Tile>>,
    columns: f64,
}

impl Hessian {
    /// Sums of nothing.
    pub fn new(patches: Patches) -> Self {
        let n = patches.rows;
        let size = n.div_ceil(n.div_ceil(TILE).max(1)).max(1);
        let starts: Vec<usize> = (0..n).step_by(size).collect();
        let tiles = || -> Vec<Tile> {
            let pairs = starts.iter().flat_map(|&i| starts.iter().map(move |&j| (i, j)));
            pairs
                .filter(|(i, j)| i <= j)
                .map(|(i, j)| {
                    let (rows, columns) = (i..(i + size).min(n), j..(j + size).min(n));
                    let sums = vec![0.0; rows.len() * columns.len()];
                    Tile { rows, columns, sums }
                })
                .collect()
        };
        let tiles = (0..patches.groups).map(|_| tiles()).collect();
        Self { patches, tiles, columns: 0.0 }
    }

    /// Bytes that the sums of a layer will take.
    pub fn bytes(patches: &Patches) -> usize {
        patches.groups * patches.rows * patches.rows * size_of::<f64>()
    }

    /// Adds the layer's input for a batch of images.
    pub fn add(&mut self, batch: usize, data: &[f32]) {
        let Self { patches, tiles, columns } = self;
        let (n, per_image) = (patches.rows, patches.columns);
        let images = (BUFFER / n.max(1)).min(BLOCK).div_euclid(per_image.max(1)).max(1);
        for first in (0..batch).step_by(images) {
            let count = images.min(batch - first);
            let width = count * per_image;
            let fill = |group: usize, row: usize, out: &mut [f32]| {
                patches.fill(group, row, (first, count), batch, data, out);
            };
            if let [tiles] = &mut tiles[..] {
                let mut rows = vec![0f32; n * width];
                rows.par_chunks_mut(width).enumerate().for_each(|(row, out)| fill(0, row, out));
                tiles.par_iter_mut().for_each(|tile| tile.add(&rows, n, width));
            } else {
                tiles.par_iter_mut().enumerate().for_each(|(group, tiles)| {
                    let mut rows = vec![0f32; n * width];
                    for (row, out) in rows.chunks_mut(width).enumerate() {
                        fill(group, row, out);
                    }
                    for tile in tiles {
                        tile.add(&rows, n, width);
                    }
                });
            }
            *columns += width as f64;
        }
    }

    /// `H` of a group, row-major.
    pub fn matrix(&self, group: usize) -> Array2<f64> {
        let n = self.patches.rows;
        let factor = 2.0 / self.columns.max(1.0);
        let mut out = Array2::zeros((n, n));
        for tile in &self.tiles[group] {
            let width = tile.columns.len();
            for (k, &sum) in tile.sums.iter().enumerate() {
                let (i, j) = (tile.rows.start + k / width, tile.columns.start + k % width);
                // A tile on the diagonal holds both halves, whose last bits may differ.
                if i <= j {
                    out[[i, j]] = sum * factor;
                    out[[j, i]] = sum * factor;
                }
            }
        }
        out
    }

    /// Whether every input so far was finite.
    pub fn is_finite(&self) -> bool {
        self.tiles.iter().flatten().flat_map(|t| &t.sums).all(|v| v.is_finite())
    }

    /// Number of groups.
    pub fn groups(&self) -> usize {
        self.patches.groups
    }
}

impl Tile {
    /// Adds the products of rows of an `n x width` matrix.
    fn add(&mut self, rows: &[f32], n: usize, width: usize) {
        // The shapes are those that the buffer was made with.
        let Ok(all) = ArrayView2::from_shape((n, width), rows) else { return };
        let mut product = Array2::<f32>::zeros((self.rows.len(), self.columns.len()));
        let left = all.slice(s![self.rows.clone(), ..]);
        let right = all.slice(s![self.columns.clone(), ..]);
        general_mat_mul(1.0, &left, &right.t(), 0.0, &mut product);
        for (sum, &value) in self.sums.iter_mut().zip(&product) {
            *sum += f64::from(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use quantbench_core::Tensor;
    use quantbench_graph::testing::{Builder, int, ints};
    use quantbench_graph::{Graph, Layer};

    /// A conv with everything a conv can have.
    fn conv(
        channels: usize,
        outputs: usize,
        groups: usize,
        stride: i64,
        dilation: i64,
        pads: [i64; 4],
        auto: bool,
    ) -> Graph {
        let mut b = Builder::new(3);
        let w = b.random(&[outputs, channels / groups, 3, 2], 1.0, 0.0);
        b.weight("w", &w);
        let mut attributes = vec![
            ints("kernel_shape", &[3, 2]),
            ints("strides", &[stride, stride]),
            ints("dilations", &[dilation, dilation]),
            int("group", groups as i64),
        ];
        if auto {
            let mut same = int("auto_pad", 0);
            (same.i, same.s, same.r#type) = (None, Some(b"SAME_UPPER".to_vec()), Some(3));
            attributes.push(same);
        } else {
            attributes.push(ints("pads", &pads));
        }
        b.node("Conv", &["input", "w"], "out", attributes);
        let bytes = b.finish(&[channels as i64, 9, 8], "out");
        Graph::from_bytes(&bytes, "conv").unwrap()
    }

    /// The sums by the definition of a convolution, one product at a time.
    fn plain(
        graph: &Graph,
        layer: &Layer,
        group: usize,
        batch: usize,
        data: &[f32],
        (stride, dilation, top, left): (i64, i64, i64, i64),
    ) -> Array2<f64> {
        let input = graph.item_dims("input");
        let out = graph.item_dims("out");
        let (c, kh, kw) = (layer.dims[1], layer.dims[2], layer.dims[3]);
        let n = c * kh * kw;
        let value = |image: usize, row: usize, y: usize, x: usize| -> f64 {
            let (channel, k) = (group * c + row / (kh * kw), row % (kh * kw));
            let iy = y as i64 * stride + (k / kw) as i64 * dilation - top;
            let ix = x as i64 * stride + (k % kw) as i64 * dilation - left;
            if iy < 0 || ix < 0 || iy >= input[1] as i64 || ix >= input[2] as i64 {
                return 0.0;
            }
            let at = ((image * input[0] + channel) * input[1] + iy as usize) * input[2];
            f64::from(data[at + ix as usize])
        };
        let mut h = Array2::zeros((n, n));
        for image in 0..batch {
            for y in 0..out[1] {
                for x in 0..out[2] {
                    for i in 0..n {
                        for j in 0..n {
                            h[[i, j]] += value(image, i, y, x) * value(image, j, y, x);
                        }
                    }
                }
            }
        }
        h * (2.0 / (batch * out[1] * out[2]) as f64)
    }

    fn numbers(n: usize, seed: u64) -> Vec<f32> {
        (0..n as u64).map(|i| ((i * 7919 + seed * 104_729) % 2003) as f32 / 1000.0 - 1.0).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]
        #[test]
        fn sums_are_those_of_the_convolution(
            groups in prop::sample::select(vec![1usize, 2, 4]), stride in 1i64..3, dilation in 1i64..3,
            top in 0i64..2, left in 0i64..3, seed in 0u64..100,
        ) {
            let graph = conv(4, 4, groups, stride, dilation, [top, left, 1, 0], false);
            let layer = &graph.layers()[0];
            let data = numbers(3 * 4 * 72, seed);
            let mut hessian = Hessian::new(Patches::new(&graph, layer, 0).unwrap());
            hessian.add(2, &data[..2 * 4 * 72]);
            hessian.add(1, &data[2 * 4 * 72..]);
            for group in 0..groups {
                let want = plain(&graph, layer, group, 3, &data, (stride, dilation, top, left));
                let found = hessian.matrix(group);
                let worst = (&found - &want).iter().fold(0f64, |m, d| m.max(d.abs()));
                prop_assert!(worst < 1e-5, "{worst}");
            }
        }
    }

    #[test]
    fn same_padding_puts_the_odd_value_behind() {
        let graph = conv(2, 2, 1, 2, 1, [0; 4], true);
        // Height 9, kernel 3, stride 2: 5 outputs, padding 1 + 1. Width 8, kernel 2: none.
        let data = numbers(2 * 72, 1);
        let mut hessian = Hessian::new(Patches::new(&graph, &graph.layers()[0], 0).unwrap());
        hessian.add(1, &data);
        let want = plain(&graph, &graph.layers()[0], 0, 1, &data, (2, 1, 1, 0));
        assert!((hessian.matrix(0) - want).iter().all(|d| d.abs() < 1e-5));
    }

    #[test]
    fn an_fc_has_a_column_per_image_and_more_tiles_than_one() {
        let mut b = Builder::new(1);
        b.weight("w", &Tensor::new(vec![300, 2], vec![0.5; 600]));
        b.node("Gemm", &["input", "w"], "out", vec![]);
        let graph = Graph::from_bytes(&b.finish(&[300], "out"), "fc").unwrap();
        let data = numbers(4 * 300, 5);
        let mut hessian = Hessian::new(Patches::new(&graph, &graph.layers()[0], 0).unwrap());
        hessian.add(4, &data);
        let found = hessian.matrix(0);
        for (i, j) in [(0, 0), (7, 299), (299, 7), (150, 151)] {
            let want: f64 =
                (0..4).map(|k| f64::from(data[k * 300 + i]) * f64::from(data[k * 300 + j])).sum();
            assert!((found[[i, j]] - want / 2.0).abs() < 1e-5);
        }
        assert!(hessian.is_finite());
        hessian.add(1, &[f32::NAN; 300]);
        assert!(!hessian.is_finite());
    }
}
