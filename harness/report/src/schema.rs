//! What every column of the CSV and Parquet files holds: type, unit and meaning.

use std::fmt::Write as _;

/// Type of a column; a value that does not exist is null in every type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// UTF-8 text.
    Text,
    /// 64-bit signed integer.
    Int,
    /// 64-bit floating point.
    Real,
}

impl Kind {
    /// Its name in the documentation.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Text => "text",
            Kind::Int => "integer",
            Kind::Real => "real",
        }
    }
}

/// One column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ColumnDoc {
    /// Name in the files.
    pub name: &'static str,
    /// Type.
    pub kind: Kind,
    /// Unit; empty where there is none.
    pub unit: &'static str,
    /// What it holds.
    pub about: &'static str,
}

const fn text(name: &'static str, about: &'static str) -> ColumnDoc {
    ColumnDoc { name, kind: Kind::Text, unit: "", about }
}

const fn int(name: &'static str, unit: &'static str, about: &'static str) -> ColumnDoc {
    ColumnDoc { name, kind: Kind::Int, unit, about }
}

const fn real(name: &'static str, unit: &'static str, about: &'static str) -> ColumnDoc {
    ColumnDoc { name, kind: Kind::Real, unit, about }
}

/// What was asked; first in both files.
const ASKED: [ColumnDoc; 14] = [
    text("survey", "name of the survey"),
    text("model", "name of the model"),
    text("dataset", "name of the data set"),
    text("method", "name of the method; `fp32` is the unquantized model"),
    int("method_version", "", "the method's version"),
    text("family", "family of the method; null for `fp32`"),
    text("params", "all parameters as `name=value;...`, defaults included"),
    text("asked_widths", "widths asked; for mixed precision what the budget stands for"),
    text("sites", "rule that places the activation quantizers"),
    text("image", "rule asked for the image"),
    text("first_last", "rule for first and last layer"),
    text("needs", "kind of data that the method was granted"),
    int("calibration_images", "images", "calibration images granted"),
    int("partial_test_images", "images", "of a partial run: the first so many test images"),
];

/// Columns of `report.csv` and `report.parquet` after [`ASKED`]: one line is one group.
const GROUP: [ColumnDoc; 45] = [
    text("image_in_result", "rule for the image that the result follows"),
    int("rows_done", "rows", "rows with a result"),
    int("rows_failed", "rows", "rows without one; they enter no mean"),
    text("draws", "draws of calibration images, separated by `;`"),
    text("seeds", "seeds, separated by `;`"),
    text("withheld", "why the numbers are not shown; null if they are"),
    int("test_images", "images", "test images"),
    real("acc_fp32_pct", "%", "accuracy of the FP32 model"),
    real("acc_simulated_pct", "%", "simulated accuracy, mean over draws"),
    real("acc_simulated_sd_over_draws_points", "points", "its standard deviation over draws"),
    real("acc_simulated_over_draws_t95_low_pct", "%", "lower end of the interval over draws"),
    real("acc_simulated_over_draws_t95_high_pct", "%", "upper end of the interval over draws"),
    real(
        "acc_simulated_over_test_images_wilson95_low_pct",
        "%",
        "lower end of the interval over test images",
    ),
    real(
        "acc_simulated_over_test_images_wilson95_high_pct",
        "%",
        "upper end of the interval over test images",
    ),
    real("drop_points", "points", "FP32 minus simulated accuracy, mean over draws"),
    real(
        "drop_over_test_images_paired95_low_points",
        "points",
        "lower end of the drop's interval over test images",
    ),
    real("drop_over_test_images_paired95_high_points", "points", "upper end of that interval"),
    text(
        "is_best_of_widths",
        "whether no other result of the same widths and rules is as accurate",
    ),
    int("against_best_images_lost", "images", "images that the best has right and this one wrong"),
    int("against_best_images_gained", "images", "the other way round"),
    real("against_best_mcnemar_holm_p", "", "p-value that both are equally accurate, adjusted"),
    real("against_best_cohens_g", "", "effect size: 0.05 is small, 0.15 medium, 0.25 large"),
    real(
        "acc_simulated_over_draws_bootstrap95_low_pct",
        "%",
        "lower end of a bootstrap interval of the mean, from five draws on",
    ),
    real("acc_simulated_over_draws_bootstrap95_high_pct", "%", "upper end of that interval"),
    real("acc_deployed_pct", "%", "accuracy through integer kernels, mean over draws"),
    real("acc_deployed_sd_over_draws_points", "points", "its standard deviation over draws"),
    real("acc_deployed_t95_low_pct", "%", "lower end of its interval over draws"),
    real("acc_deployed_t95_high_pct", "%", "upper end of its interval over draws"),
    real("gap_simulated_deployed_points", "points", "simulated minus deployed accuracy"),
    int("integer_layers", "layers", "fewest layers that ran as integer kernels"),
    int("layers", "layers", "Conv, FC and MatMul nodes in all"),
    text("deployed_reason", "why there is no deployed accuracy where one was wanted"),
    real("weights_mean_bits", "bits", "parameter-weighted mean weight width, mean over draws"),
    int("weights_min_bits", "bits", "narrowest layer of any draw"),
    int("weights_max_bits", "bits", "widest layer of any draw"),
    real("size_theoretical_bytes", "bytes", "codes and scales without any container"),
    real("size_packed_bytes", "bytes", "packed artefact"),
    real("size_file_bytes", "bytes", "exported ONNX file"),
    real("compression_weights_only_ratio", "ratio", "FP32 bits over bits of the weights"),
    real("bit_operations_per_image", "operations", "weight bits x activation bits x MACs"),
    int("bit_operations_fp32_per_image", "operations", "the same of the FP32 model"),
    real("method_wall_mean_s", "s", "wall time of the method, mean over draws"),
    real("method_cpu_mean_s", "s", "CPU time of the method, mean over draws"),
    real("method_peak_max_mib", "MiB", "largest peak memory above an idle worker"),
    text("notes", "what the method had to say, separated by `; `"),
];

/// Columns of `rows.csv` and `rows.parquet` before [`ASKED`].
const ROW_FIRST: [ColumnDoc; 4] = [
    int("schema", "", "version of the row's layout"),
    text("left_out", "why the row does not count; null if it does"),
    text("status", "`done` or `failed`"),
    text("reason", "why it failed"),
];

/// Columns of `rows.csv` and `rows.parquet` after [`ASKED`]: one line is one cell.
const ROW: [ColumnDoc; 57] = [
    text("image_in_result", "rule for the image that the result follows"),
    int("draw", "", "which draw of calibration images"),
    int("seed", "", "seed of the method's own randomness"),
    text("gate", "FP32 gate: `passed`, `failed` or `not checked`"),
    int("test_images", "images", "test images"),
    real("acc_fp32_pct", "%", "accuracy of the FP32 model"),
    int("correct_simulated_images", "images", "correct predictions under simulation"),
    real("acc_simulated_pct", "%", "simulated accuracy"),
    real(
        "acc_simulated_over_test_images_wilson95_low_pct",
        "%",
        "lower end of its interval over test images",
    ),
    real(
        "acc_simulated_over_test_images_wilson95_high_pct",
        "%",
        "upper end of its interval over test images",
    ),
    int("correct_deployed_images", "images", "correct predictions through integer kernels"),
    real("acc_deployed_pct", "%", "accuracy through integer kernels"),
    int("integer_layers", "layers", "layers that ran as integer kernels"),
    int("layers", "layers", "Conv, FC and MatMul nodes in all"),
    text("deployed_reason", "why there is no deployed accuracy where one was wanted"),
    real("weights_mean_bits", "bits", "parameter-weighted mean weight width"),
    text("allocation", "widths of every layer as `layer=W4A8;...`"),
    int("size_theoretical_bits", "bits", "codes and scales without any container"),
    int("size_packed_bytes", "bytes", "packed artefact"),
    int("size_file_bytes", "bytes", "exported ONNX file"),
    int("size_fp32_file_bytes", "bytes", "FP32 ONNX file"),
    real("compression_weights_only_ratio", "ratio", "FP32 bits over bits of the weights"),
    int("bit_operations_per_image", "operations", "weight bits x activation bits x MACs"),
    int("bit_operations_fp32_per_image", "operations", "the same of the FP32 model"),
    int("images_read", "images", "calibration images read, each counted once per pass"),
    int("labels_read", "labels", "labels read"),
    int("synthetic_images", "images", "images that the method made itself"),
    int("best_epoch", "epochs", "epoch with the best accuracy on the test images, of several"),
    real(
        "acc_simulated_best_epoch_pct",
        "%",
        "simulated accuracy then; the result is the last epoch",
    ),
    text("artefact_sha256", "SHA-256 of the packed artefact"),
    text("predictions_sha256", "SHA-256 of the predicted classes under simulation"),
    text("notes", "what the method had to say, separated by `; `"),
    real("method_wall_s", "s", "wall time of the method"),
    real("method_cpu_s", "s", "CPU time of the method over all threads"),
    real("method_peak_mib", "MiB", "peak memory above an idle worker"),
    real("eval_simulated_s", "s", "wall time of the simulated evaluation"),
    real("eval_deployed_s", "s", "wall time of the deployed evaluation"),
    real("cell_s", "s", "wall time of the whole cell"),
    int("threads", "threads", "threads of the runtime"),
    int("jobs", "cells", "cells that ran at the same time"),
    text("platform", "architecture and operating system"),
    text("cpu", "name of the CPU"),
    int("cores", "cores", "logical cores"),
    int("memory_mib", "MiB", "memory of the machine"),
    text("isa", "instruction-set features that matter to the kernels"),
    text("governor", "frequency governor"),
    text("runtime", "runtime library and version"),
    text("quantbench", "version of quantbench"),
    text("commit", "commit that the binary was built from"),
    text("finished", "end of the cell, RFC 3339"),
    text("command", "command line that made the row"),
    text("id_artefact", "id of the artefact"),
    text("id_eval", "id of the evaluation"),
    text("model_sha256", "SHA-256 of the FP32 model file"),
    text("test_data_sha256", "hash of the test split"),
    text("train_data_sha256", "hash of the training split; null if no images were granted"),
    text("preprocessing", "preprocessing, named and versioned"),
];

/// Columns of `costs.csv` and `costs.parquet` after [`ASKED`]: one line is one group on one target.
const COST: [ColumnDoc; 16] = [
    text("profile", "name of the target's profile"),
    text("cost_kind", "`measured`, `emulated` or `modelled`"),
    text("cost_by", "the model, or the runtime and its kernels"),
    text("cannot_run", "why the target runs none of the artefacts; null if it does"),
    real("acc_simulated_pct", "%", "simulated accuracy, mean over draws"),
    real("drop_points", "points", "FP32 minus simulated accuracy, mean over draws"),
    real("time_s", "s", "time per image, mean over draws"),
    real("time_median95_low_s", "s", "lower end of the interval of a measured median"),
    real("time_median95_high_s", "s", "upper end of the interval of a measured median"),
    real("energy_j", "J", "energy per image, mean over draws; null where none is stated"),
    real("speed_up_ratio", "ratio", "time of what `speed_up_over` names over time"),
    text("speed_up_over", "`fp32`, or the widest operands of the target"),
    real("speed_up_ceiling_ratio", "ratio", "speed-up that peak and bandwidth allow"),
    int("layers_memory_bound", "layers", "layers that wait for memory"),
    int("layers_with_bound", "layers", "layers of which it is known what they wait for"),
    real("size_packed_bytes", "bytes", "packed artefact"),
];

/// Columns of `reported.csv` and `reported.parquet` after [`ASKED`]: one line is one quantized
/// group.
const REPORTED: [ColumnDoc; 13] = [
    text("verdict", "`reproduced`, `within noise`, `short`, `better` or `not comparable`"),
    text("not_comparable_reason", "why it is not comparable; null if it is"),
    text("sources_conflict", "whether the sources contradict each other"),
    int("reported_records", "records", "reported numbers that were compared, or the nearest one"),
    real("reported_fp32_pct", "%", "FP32 accuracy beside the first of them"),
    real("reported_acc_pct", "%", "accuracy of the first of them"),
    real("reported_drop_low_points", "points", "smallest of their drops"),
    real("reported_drop_high_points", "points", "largest of their drops"),
    real(
        "reported_one_run_half_points",
        "points",
        "half the 95 % interval of one run over test images",
    ),
    real("drop_points", "points", "our drop, mean over draws"),
    real("drop_over_draws_t95_low_points", "points", "lower end of its interval over draws"),
    real("drop_over_draws_t95_high_points", "points", "upper end of its interval over draws"),
    text("reported_sources", "where the numbers were read"),
];

/// Columns of `reported.csv` and `reported.parquet`, in their order.
pub fn reported_columns() -> Vec<ColumnDoc> {
    [&ASKED[..], &REPORTED].concat()
}

/// Columns of `costs.csv` and `costs.parquet`, in their order.
pub fn cost_columns() -> Vec<ColumnDoc> {
    [&ASKED[..], &COST].concat()
}

/// Columns of `report.csv` and `report.parquet`, in their order.
pub fn group_columns() -> Vec<ColumnDoc> {
    [&ASKED[..], &GROUP].concat()
}

/// Columns of `rows.csv` and `rows.parquet`, in their order.
pub fn row_columns() -> Vec<ColumnDoc> {
    [&ROW_FIRST[..], &ASKED, &ROW].concat()
}

/// All lists as Markdown, as this room's README has them.
pub fn markdown() -> String {
    let mut text = String::new();
    let files = [("report", group_columns()), ("rows", row_columns()), ("costs", cost_columns())];
    for (file, columns) in files {
        let _ = write!(text, "### `{file}.csv`, `{file}.parquet`\n\n");
        text += "| column | type | unit | what it holds |\n| --- | --- | --- | --- |\n";
        for c in columns {
            let (name, kind) = (c.name, c.kind.name());
            let _ = writeln!(text, "| `{name}` | {kind} | {} | {} |", c.unit, c.about);
        }
        text.push('\n');
    }
    text
}
