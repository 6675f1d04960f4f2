//! The numbers of one group, derived from the raw counts of its rows.

use quantbench_core::Row;
use quantbench_core::row::{Gate, ResultPart};

use crate::stats::{Interval, Mean, bootstrap_mean, over_draws, wilson};

/// Why a group has no interval over draws.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoSpread {
    /// One draw or seed of several that there could be.
    SingleDraw,
    /// Deterministic and without images: there is nothing to draw.
    NothingToDraw,
}

impl NoSpread {
    /// The reason as a footnote.
    pub fn footnote(self) -> &'static str {
        match self {
            NoSpread::SingleDraw => "No interval over draws: a single draw was run.",
            NoSpread::NothingToDraw => {
                "No interval over draws: the method is deterministic and was granted no images, so there is nothing to draw."
            }
        }
    }
}

/// Numbers through integer kernels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DeployedSummary {
    /// Mean accuracy in percent.
    pub acc_pct: Mean,
    /// Mean of simulated minus deployed accuracy over the same rows, in points.
    pub gap_points: f64,
    /// Fewest layers that ran as integer kernels.
    pub integer_layers: u64,
    /// Conv, FC and MatMul nodes in all.
    pub layers: u64,
}

/// Cost of the method, over the rows that ran it (others found its artefact in the store).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CostSummary {
    /// Mean wall seconds.
    pub wall_s: f64,
    /// Mean CPU seconds over all threads.
    pub cpu_s: f64,
    /// Largest peak memory above the idle worker in MiB.
    pub peak_mib: f64,
    /// Most cells that ran at the same time as one of these.
    pub jobs: usize,
}

/// The numbers of one group.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// Test images.
    pub test_images: u64,
    /// FP32 accuracy on the same images in percent.
    pub acc_fp32_pct: f64,
    /// Simulated accuracy in percent, with its interval over draws.
    pub acc_simulated_pct: Mean,
    /// Bootstrap interval of the mean simulated accuracy over draws, in percent.
    pub bootstrap_pct: Option<Interval>,
    /// Interval of the mean simulated accuracy over test images, in percent.
    pub over_test_images_pct: Interval,
    /// Mean drop against FP32 in points.
    pub drop_points: f64,
    /// Why there is no interval over draws.
    pub no_spread: Option<NoSpread>,
    /// Deployed accuracy, where at least one row has it.
    pub deployed: Option<DeployedSummary>,
    /// Why there is none, where one was wanted.
    pub deployed_reason: Option<String>,
    /// Parameter-weighted mean weight width in bits.
    pub weights_mean_bits: f64,
    /// Narrowest layer's weights in bits.
    pub weights_min_bits: Option<u8>,
    /// Widest layer's weights in bits.
    pub weights_max_bits: Option<u8>,
    /// Mean theoretical size in bytes.
    pub theoretical_bytes: f64,
    /// Mean packed size in bytes.
    pub packed_bytes: f64,
    /// Mean size of the ONNX file in bytes.
    pub file_bytes: f64,
    /// Mean compression of the weights alone.
    pub compression_weights_only: f64,
    /// Mean bit operations per image.
    pub bit_operations: f64,
    /// Bit operations per image of the FP32 model.
    pub bit_operations_fp32: u64,
    /// Cost of the method.
    pub cost: Option<CostSummary>,
    /// Mean number of calibration images read, each counted once per pass.
    pub images_read: f64,
    /// Whether the FP32 gate was checked in every row.
    pub gate_checked: bool,
    /// What the method had to say, each once.
    pub notes: Vec<String>,
}

impl Summary {
    /// The numbers of the rows of one group; none if no row has a result.
    pub fn of(rows: &[&Row]) -> Option<Self> {
        let results: Vec<&ResultPart> = rows.iter().filter_map(|r| r.result.as_ref()).collect();
        let first = results.first()?;
        let mean = |value: &dyn Fn(&ResultPart) -> f64| {
            results.iter().map(|r| value(r)).sum::<f64>() / results.len() as f64
        };
        let accuracies: Vec<f64> = results.iter().map(|r| r.acc_simulated.percent()).collect();
        let acc_simulated_pct = over_draws(&accuracies)?;
        let test_images = first.acc_simulated.images;
        let correct = mean(&|r| r.acc_simulated.correct as f64);
        let widths = || results.iter().flat_map(|r| &r.allocation).map(|l| l.weights.get());
        let mut notes: Vec<String> = results.iter().flat_map(|r| r.notes.clone()).collect();
        notes.sort();
        notes.dedup();
        Some(Self {
            test_images,
            acc_fp32_pct: mean(&|r| r.fp32.percent()),
            acc_simulated_pct,
            bootstrap_pct: bootstrap_mean(&accuracies),
            over_test_images_pct: wilson(correct, test_images as f64).scaled(100.0),
            drop_points: mean(&|r| r.fp32.percent() - r.acc_simulated.percent()),
            no_spread: no_spread(rows, &acc_simulated_pct),
            deployed: deployed(&results),
            deployed_reason: results.iter().find_map(|r| r.deployed_reason.clone()),
            weights_mean_bits: mean(&|r| r.mean_weight_bits),
            weights_min_bits: widths().min(),
            weights_max_bits: widths().max(),
            theoretical_bytes: mean(&|r| r.sizes.theoretical_bits as f64 / 8.0),
            packed_bytes: mean(&|r| r.sizes.packed_bytes as f64),
            file_bytes: mean(&|r| r.sizes.file_bytes as f64),
            compression_weights_only: mean(&|r| r.sizes.compression_weights_only()),
            bit_operations: mean(&|r| r.bit_operations as f64),
            bit_operations_fp32: first.bit_operations_fp32,
            cost: cost(rows),
            images_read: mean(&|r| r.images_read as f64),
            gate_checked: results.iter().all(|r| r.gate != Gate::NotChecked),
            notes,
        })
    }
}

fn no_spread(rows: &[&Row], accuracy: &Mean) -> Option<NoSpread> {
    if accuracy.interval.is_some() {
        return None;
    }
    let drawn = rows.iter().any(|r| r.cell.draw.is_some() || r.cell.seed.is_some());
    Some(if drawn { NoSpread::SingleDraw } else { NoSpread::NothingToDraw })
}

fn deployed(results: &[&ResultPart]) -> Option<DeployedSummary> {
    let both: Vec<_> =
        results.iter().filter_map(|r| Some((r.acc_simulated, r.acc_deployed.as_ref()?))).collect();
    let accuracies: Vec<f64> = both.iter().map(|(_, d)| d.accuracy.percent()).collect();
    let gaps: Vec<f64> = both.iter().map(|(s, d)| s.percent() - d.accuracy.percent()).collect();
    Some(DeployedSummary {
        acc_pct: over_draws(&accuracies)?,
        gap_points: over_draws(&gaps)?.mean,
        integer_layers: both.iter().map(|(_, d)| d.integer_layers).min()?,
        layers: both.iter().map(|(_, d)| d.layers).max()?,
    })
}

fn cost(rows: &[&Row]) -> Option<CostSummary> {
    let ran: Vec<_> =
        rows.iter().filter_map(|r| Some((r.observed.method?, r.observed.jobs))).collect();
    let n = ran.len() as f64;
    Some(CostSummary {
        jobs: ran.iter().map(|(_, jobs)| *jobs).max()?,
        wall_s: ran.iter().map(|(c, _)| c.wall_s).sum::<f64>() / n,
        cpu_s: ran.iter().map(|(c, _)| c.cpu_s).sum::<f64>() / n,
        peak_mib: ran.iter().map(|(c, _)| c.peak_mib).fold(0.0, f64::max),
    })
}
