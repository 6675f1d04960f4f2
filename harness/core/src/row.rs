//! A row: the outcome of one cell with its provenance.
//!
//! The `result` part is a pure function of the cell's identity and is compared bit for bit after
//! a resume; the `observed` part (times, memory, machine, date) never is.

use serde::{Deserialize, Serialize};

use crate::account::Sizes;
use crate::bits::Bits;
use crate::card::{Family, Needs, Params};
use crate::evidence::Evidence;
use crate::maker::Maker;
use crate::spec::Spec;

/// Version of the row's layout; raised when a field changes its meaning.
pub const SCHEMA: u32 = 1;

/// The name under which the unquantized model is a row of every table.
pub const FP32: &str = "fp32";

/// What was asked: one cell of the survey's matrix.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cell {
    /// Model name.
    pub model: String,
    /// Data set name.
    pub dataset: String,
    /// Method name, or [`FP32`].
    pub method: String,
    /// The method's version.
    pub method_version: u32,
    /// The method's family; none for [`FP32`].
    pub family: Option<Family>,
    /// What data the method was granted.
    pub needs: Needs,
    /// All parameters, defaults included.
    pub params: Params,
    /// Widths and rules; none for [`FP32`].
    pub spec: Option<Spec>,
    /// Calibration images granted; zero for a method that is granted none.
    pub calibration_images: usize,
    /// Which draw of calibration images; none for a method that is granted none.
    pub draw: Option<u64>,
    /// Seed of the method's own randomness; none for a deterministic method.
    pub seed: Option<u64>,
    /// Evaluate the first `n` test images in canonical order only: a partial run, never published.
    pub test_images: Option<usize>,
    /// Whether a deployed accuracy is wanted.
    pub deployed: bool,
    /// Who made the artefact, where no method of this program did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maker: Option<Maker>,
}

/// How a cell ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// With a result.
    Done,
    /// Without one, for the row's reason.
    Failed,
}

/// Correct predictions out of the images seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Accuracy {
    /// Images whose predicted class is their label.
    pub correct: u64,
    /// Images evaluated.
    pub images: u64,
}

impl Accuracy {
    /// Top-1 accuracy in percent.
    pub fn percent(&self) -> f64 {
        100.0 * self.correct as f64 / (self.images as f64).max(1.0)
    }
}

/// Whether the FP32 model reached its card's accuracy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Gate {
    /// Within the tolerance.
    Passed,
    /// Outside: nothing quantized from it may be published.
    Failed,
    /// The model's card states no accuracy, or the run is partial.
    NotChecked,
}

/// Width of one layer's weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LayerBits {
    /// Name of the layer's node.
    pub layer: String,
    /// Weight width.
    pub weights: Bits,
    /// Width of its input.
    pub activations: Bits,
    /// Number of weights.
    pub parameters: u64,
}

/// What `acc_deployed` ran as.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deployed {
    /// Accuracy through integer kernels.
    pub accuracy: Accuracy,
    /// Conv, FC and MatMul nodes that the runtime executed with integer kernels.
    pub integer_layers: u64,
    /// Conv, FC and MatMul nodes in all.
    pub layers: u64,
    /// SHA-256 of the predicted classes.
    pub predictions: String,
}

/// The reproducible part of a row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResultPart {
    /// The unquantized model on the same images.
    pub fp32: Accuracy,
    /// Accuracy with quantization simulated in float.
    pub acc_simulated: Accuracy,
    /// Accuracy through integer kernels, where the target has them.
    pub acc_deployed: Option<Deployed>,
    /// Why there is no deployed accuracy, where one was wanted.
    pub deployed_reason: Option<String>,
    /// State of the FP32 gate.
    pub gate: Gate,
    /// Sizes.
    pub sizes: Sizes,
    /// Sum of weight bits x activation bits x MACs per image.
    pub bit_operations: u64,
    /// The same of the FP32 model (32 x 32 x MACs).
    pub bit_operations_fp32: u64,
    /// Parameter-weighted mean weight width.
    pub mean_weight_bits: f64,
    /// Width of every layer.
    pub allocation: Vec<LayerBits>,
    /// Calibration images that the method read (each counted once per pass).
    pub images_read: u64,
    /// Labels that the method read.
    pub labels_read: u64,
    /// Images that the method made itself.
    pub synthetic_images: u64,
    /// The best epoch of a method that trains for several, beside the last, which is the result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub best_epoch: Option<BestEpoch>,
    /// SHA-256 of the packed artefact.
    pub artefact_sha256: String,
    /// SHA-256 of the predicted classes under simulation.
    pub predictions: String,
    /// What the method has to say: guards that acted, channels that were all zero.
    pub notes: Vec<String>,
    /// The measurements behind the method's decisions, where it recorded some.
    #[serde(default, skip_serializing_if = "Evidence::is_empty")]
    pub evidence: Evidence,
}

/// The best of several epochs, judged on the test images; the method was told nothing. Papers that
/// report it choose on the test set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BestEpoch {
    /// Passes over the training images until then.
    pub epoch: u64,
    /// Passes in all.
    pub of: u64,
    /// Accuracy with quantization simulated in float.
    pub accuracy: Accuracy,
}

/// Cost of a method: from FP32 graph and raw images in memory to artefact in memory.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub struct MethodCost {
    /// Wall time in seconds.
    pub wall_s: f64,
    /// CPU time in seconds over all threads.
    pub cpu_s: f64,
    /// Peak memory above the idle worker in MiB.
    pub peak_mib: f64,
}

/// The machine that a number was observed on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub struct Machine {
    /// Architecture and operating system.
    pub platform: String,
    /// Name of the CPU.
    pub cpu: String,
    /// Logical cores that this process may use.
    pub cores: usize,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// Instruction-set features that matter to the kernels.
    pub isa: Vec<String>,
    /// Frequency governor, where the system tells.
    pub governor: Option<String>,
}

/// The part of a row that is observed and never compared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub struct Observed {
    /// Cost of the method: of this cell, or of the one that made the stored artefact if that was
    /// on this machine with as many threads and jobs; else none.
    ///
    /// Of an external method: the whole command, start and imports included; the peak is that of
    /// its largest process.
    pub method: Option<MethodCost>,
    /// CPU seconds of `method` that this cell was charged for statistics which another cell
    /// gathered: what it would have spent itself, alone.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub shared_cpu_s: f64,
    /// What an external command itself says that its work cost, without start and imports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method_reported: Option<MethodCost>,
    /// How an external command was kept from what it was not granted: `landlock` or `none`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confinement: Option<String>,
    /// Wall seconds of the simulated evaluation.
    pub eval_simulated_s: Option<f64>,
    /// Wall seconds of the deployed evaluation.
    pub eval_deployed_s: Option<f64>,
    /// Wall seconds of the whole cell.
    pub cell_s: f64,
    /// Threads of the runtime.
    pub threads: usize,
    /// Cells that ran at the same time, this one included.
    pub jobs: usize,
    /// The machine.
    pub machine: Machine,
    /// Version of the runtime library.
    pub runtime: String,
    /// How its 8-bit kernels added byte products, by a probe in the same process: `exact` or
    /// `saturating`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub byte_products: Option<String>,
    /// Version of quantbench.
    pub quantbench: String,
    /// Commit that the binary was built from, with `+dirty` if the tree was changed.
    pub commit: String,
    /// End of the cell, RFC 3339.
    pub finished: String,
    /// Command line that made the row.
    pub command: String,
}

/// Whether a number need not be written.
#[allow(clippy::trivially_copy_pass_by_ref)] // As serde calls it.
fn is_zero(number: &f64) -> bool {
    *number == 0.0
}

/// The three ids and the data behind them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub struct Ids {
    /// hash(method, version, parameters, model, spec, draw, seed, calibration data).
    pub artefact: String,
    /// hash(artefact, evaluator and runtime version, ISA class, data, preprocessing).
    pub eval: String,
    /// SHA-256 of the FP32 model file.
    pub model_sha256: String,
    /// Order-free hash of the test split.
    pub test_data: String,
    /// Order-free hash of the training split; empty for a method that is granted no images.
    pub train_data: String,
    /// Preprocessing, named and versioned.
    pub preprocessing: String,
}

/// The outcome of one cell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// Layout version, [`SCHEMA`].
    pub schema: u32,
    /// Name of the survey.
    pub survey: String,
    /// What was asked.
    pub cell: Cell,
    /// Identity.
    pub ids: Ids,
    /// How it ended.
    pub status: Status,
    /// Why it failed.
    pub reason: Option<String>,
    /// The reproducible part.
    pub result: Option<ResultPart>,
    /// The observed part.
    pub observed: Observed,
}

impl Row {
    /// Drop of the simulated accuracy against the FP32 model in points.
    pub fn drop_simulated(&self) -> Option<f64> {
        self.result.as_ref().map(|r| r.fp32.percent() - r.acc_simulated.percent())
    }
}
