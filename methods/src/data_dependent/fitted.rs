//! Weights fitted to the second moments of their layer's inputs: what GPTQ and OBQ share.

use ndarray::Array2;
use quantbench_core::card::{Default, Param, ParamRange};
use quantbench_core::{Grid, ImageSource, QuantTensor};
use quantbench_graph::{Artefact, Graph, WeightSite};

use crate::contract::{Context, Job, MethodError};
use crate::parts::calibrate::activation_grids;
use crate::parts::cholesky::inverse_factor;
use crate::parts::hessian::Hessian;
use crate::parts::levels::levels;
use crate::parts::patches::Patches;
use crate::parts::ranges::{MinMax, Mse, RangeEstimator, WeightStyle};
use crate::parts::weights::{
    Quantized, channels, finite, grid, interleave, widest_sites, zero_channels, zero_note,
};

/// Bytes of second moments that are held at once; more layers take more passes.
const MEMORY: usize = 512 << 20;

/// The parameter that chooses how a channel's range is found.
pub(super) const RANGES: Param = Param {
    name: "ranges",
    help: "range of each channel's grid: smallest squared error of the weights, or min-max",
    default: Default::Text("mse"),
    range: ParamRange::Choice(&["mse", "minmax"]),
};

/// The parameter for damping, in units of the mean of the diagonal.
pub(super) const DAMPING: Param = Param {
    name: "damping",
    help: "added to the diagonal of the second moments, in units of its mean",
    default: Default::Float(0.01),
    range: ParamRange::Float(0.0, 100.0),
};

/// The parameter that thins output positions out.
pub(super) const POSITIONS: Param = Param {
    name: "positions",
    help: "output positions per image, evenly spaced, from which second moments are taken; 0 \
           takes all",
    default: Default::Int(0),
    range: ParamRange::Int(0, 1_000_000),
};

/// The parameter that chooses the network whose inputs count.
pub(super) const fn inputs(default: &'static str) -> Param {
    Param {
        name: "inputs",
        help: "second moments of the inputs in the FP32 network, or in the network whose earlier \
               layers' weights are quantized already",
        default: Default::Text(default),
        range: ParamRange::Choice(&["fp32", "quantized"]),
    }
}

/// One group of a layer's output channels, to be rounded.
pub struct Problem<'a> {
    /// Weights per output channel.
    pub rows: &'a [Vec<f32>],
    /// Channel of the first row on the grid.
    pub first: usize,
    /// The grid.
    pub grid: &'a Grid,
    /// Second moments of the inputs, with 1 on the diagonal for an input that is always zero.
    pub h: Array2<f64>,
    /// Damping in units of the mean of the diagonal.
    pub damping: f64,
}

impl Problem<'_> {
    /// The upper factor of the inverse of the damped second moments. Damping that leaves them
    /// without a factor (FP32 sums of inputs of low rank) is raised tenfold until they have one.
    pub fn factor(&self) -> Option<Array2<f64>> {
        let n = self.h.nrows();
        let mean = self.h.diag().sum() / n.max(1) as f64;
        let damped = |damping: f64| {
            let mut h = self.h.clone();
            h.diag_mut().mapv_inplace(|v| v + damping * mean);
            inverse_factor(&h)
        };
        let raised = (-6..=0).map(|e| 10f64.powi(e)).filter(|&d| d > self.damping);
        std::iter::once(self.damping).chain(raised).find_map(damped)
    }

    /// Code and value of a weight of a row.
    pub fn round(&self, row: usize, w: f64) -> (i32, f64) {
        let code = self.grid.code(w as f32, self.first + row);
        (code, f64::from(self.grid.value(code, self.first + row)))
    }
}

/// Codes of each row of a problem; `None` if its second moments have no factor.
pub(super) type Solve<'a> = dyn Fn(&Problem<'_>) -> Option<Vec<Vec<i32>>> + 'a;

/// All that a method of this kind does: weights by `solve`, activation ranges by mean squared
/// error in the FP32 network, as `mse` does.
pub(super) fn fitted(
    job: &Job<'_>,
    method: &'static str,
    images: &dyn ImageSource,
    cx: &mut Context<'_>,
    solve: &Solve<'_>,
) -> Result<Artefact, MethodError> {
    let Quantized { weights, notes } = weights(job, method, images, cx, solve)?;
    let activations = activation_grids(job.graph, job.sites, images, &Mse, cx)?;
    Ok(Artefact { graph: job.graph.clone(), weights, activations, notes })
}

/// Weights of all sites, a few layers per pass over the images.
fn weights(
    job: &Job<'_>,
    method: &'static str,
    images: &dyn ImageSource,
    cx: &mut Context<'_>,
    solve: &Solve<'_>,
) -> Result<Quantized, MethodError> {
    let sequential = job.choice("inputs") == "quantized";
    let mut graph = job.graph.clone();
    let mut out = Quantized::default();
    let sites = widest_sites(job);
    let mut done = 0;
    for pass in passes(job, method, &sites, sequential)? {
        cx.step(done, sites.len(), "second moments")?;
        let moments = second_moments(job, &graph, pass.iter().map(|(s, p)| (*s, p)), images, cx)?;
        for ((site, _), moments) in pass.iter().zip(moments) {
            cx.step(done, sites.len(), "weights")?;
            done += 1;
            let layer = &job.layers[site.layer];
            let found = layer_codes(job, site, &moments, solve, &mut out.notes)?;
            if sequential {
                graph.set_weight(&layer.weight, &found.dequantize())?;
            }
            out.weights.insert(layer.weight.clone(), found);
        }
    }
    Ok(out)
}

type Pass<'j> = Vec<(&'j WeightSite, Patches)>;

/// Which layers share a pass: those of a level if each level is to see the earlier ones quantized,
/// else all; in either case no more than fit the memory.
fn passes<'j>(
    job: &Job<'_>,
    method: &'static str,
    sites: &[&'j WeightSite],
    sequential: bool,
) -> Result<Vec<Pass<'j>>, MethodError> {
    let positions = usize::try_from(job.int("positions")).unwrap_or(0);
    let all: Vec<usize> = (0..job.layers.len()).collect();
    let levels = if sequential { levels(job.graph, job.layers) } else { vec![all] };
    let mut out: Vec<Pass<'_>> = Vec::new();
    for level in levels {
        let (mut pass, mut bytes): (Pass<'_>, usize) = (Vec::new(), 0);
        for site in sites.iter().filter(|s| level.contains(&s.layer)) {
            let layer = &job.layers[site.layer];
            let patches = Patches::new(job.graph, layer, positions);
            let patches = patches.ok_or_else(|| MethodError::Unfit {
                method,
                reason: format!(
                    "the shapes around layer {:?} are not known; export the model with fixed \
                     height and width",
                    layer.name
                ),
            })?;
            let more = Hessian::bytes(&patches);
            if bytes + more > MEMORY && !pass.is_empty() {
                out.push(std::mem::take(&mut pass));
                bytes = 0;
            }
            bytes += more;
            pass.push((*site, patches));
        }
        out.extend((!pass.is_empty()).then_some(pass));
    }
    Ok(out)
}

/// Second moments of the inputs of some layers when `graph` runs on the images.
fn second_moments<'p>(
    job: &Job<'_>,
    graph: &Graph,
    pass: impl Iterator<Item = (&'p WeightSite, &'p Patches)>,
    images: &dyn ImageSource,
    cx: &Context<'_>,
) -> Result<Vec<Hessian>, MethodError> {
    let (mut values, mut sums) = (Vec::new(), Vec::new());
    for (site, patches) in pass {
        values.push(job.layers[site.layer].input.as_str());
        sums.push(Hessian::new(patches.clone()));
    }
    cx.engine.taps(graph, &values, images, cx.batch, &mut |i, dims, data| {
        sums[i].add(dims.first().copied().unwrap_or(0), data);
    })?;
    match sums.iter().zip(&values).find(|(s, _)| !s.is_finite()) {
        Some((_, value)) => Err(MethodError::NotFinite { what: format!("activation {value:?}") }),
        None => Ok(sums),
    }
}

/// The codes of a layer, group by group.
fn layer_codes(
    job: &Job<'_>,
    site: &WeightSite,
    moments: &Hessian,
    solve: &Solve<'_>,
    notes: &mut Vec<String>,
) -> Result<QuantTensor, MethodError> {
    let layer = &job.layers[site.layer];
    let style = WeightStyle::from_name(job.choice("weights"));
    let ranges: &dyn RangeEstimator = if job.choice("ranges") == "minmax" { &MinMax } else { &Mse };
    let tensor = finite(job, &layer.weight)?;
    let rows = channels(&tensor, layer.axis);
    notes.extend(zero_note(&layer.name, zero_channels(&rows)));
    let (scale, zero) = rows.iter().map(|row| ranges.weights(row, style, site.bits)).unzip();
    let grid = grid(scale, zero, layer.axis, style, site.bits);
    let per_group = rows.len().div_ceil(moments.groups().max(1)).max(1);
    let (mut codes, mut dead) = (Vec::with_capacity(rows.len()), 0);
    for (group, rows) in rows.chunks(per_group).enumerate() {
        let mut h = moments.matrix(group);
        for v in h.diag_mut().iter_mut().filter(|v| **v == 0.0) {
            *v = 1.0;
            dead += 1;
        }
        let damping = job.float("damping");
        let problem = Problem { rows, first: group * per_group, grid: &grid, h, damping };
        let what = || format!("second moments of the inputs of layer {:?}", layer.name);
        codes.extend(solve(&problem).ok_or_else(|| MethodError::NotFinite { what: what() })?);
    }
    if dead > 0 {
        notes.push(format!("{}: {dead} inputs that are always zero, rounded alone", layer.name));
    }
    let codes = interleave(&codes, &tensor.dims, layer.axis);
    Ok(QuantTensor { dims: tensor.dims.clone(), grid, codes })
}

/// Helpers of the tests of both methods.
#[cfg(test)]
pub(super) mod testing {
    use super::*;
    use quantbench_core::Bits;

    /// Weights and correlated second moments from integers.
    pub fn rows(rows: usize, n: usize, seed: u64) -> Vec<Vec<f32>> {
        let value = |r: usize, j: usize| {
            let k = (r * 977 + j * 131) as u64 + seed * 7919;
            ((k * k + 17 * k) % 2003) as f32 / 1000.0 - 1.0
        };
        (0..rows).map(|r| (0..n).map(|j| value(r, j)).collect()).collect()
    }

    /// Second moments of `columns` inputs that share a part, as neighbours in an image do.
    pub fn moments(n: usize, columns: usize, seed: u64) -> Array2<f64> {
        let x = Array2::from_shape_fn((n, columns), |(i, c)| {
            let k = (i * 7841 + c * 104_729) as u64 + seed * 31;
            let own = ((k * k + 29 * k) % 1009) as f64 / 500.0 - 1.0;
            let shared = ((c * c * 53 + 7 * c) % 997) as f64 / 500.0;
            own + shared
        });
        x.dot(&x.t()) * (2.0 / columns as f64)
    }

    /// Second moments of inputs without correlation.
    pub fn diagonal(n: usize) -> Array2<f64> {
        Array2::from_shape_fn((n, n), |(i, j)| if i == j { 1.0 + (i % 7) as f64 } else { 0.0 })
    }

    /// A grid for these rows.
    pub fn grid_of(rows: &[Vec<f32>], bits: u8, ranges: &dyn RangeEstimator) -> Grid {
        let bits = Bits::new(bits).unwrap();
        let style = WeightStyle::Symmetric;
        let (scale, zero) = rows.iter().map(|row| ranges.weights(row, style, bits)).unzip();
        grid(scale, zero, 0, style, bits)
    }

    /// Squared error of the layer's output, `(w - q)^T H (w - q)`, over all rows.
    pub fn loss(problem: &Problem<'_>, codes: &[Vec<i32>]) -> f64 {
        let one = |(r, (row, codes)): (usize, (&Vec<f32>, &Vec<i32>))| {
            let value = |&c: &i32| f64::from(problem.grid.value(c, problem.first + r));
            let e: ndarray::Array1<f64> =
                row.iter().zip(codes).map(|(&w, c)| f64::from(w) - value(c)).collect();
            e.dot(&problem.h.dot(&e))
        };
        problem.rows.iter().zip(codes).enumerate().map(one).sum()
    }

    /// Rounding to nearest.
    pub fn nearest(problem: &Problem<'_>) -> Vec<Vec<i32>> {
        let row = |(r, row): (usize, &Vec<f32>)| {
            row.iter().map(|&w| problem.round(r, f64::from(w)).0).collect()
        };
        problem.rows.iter().enumerate().map(row).collect()
    }
}
