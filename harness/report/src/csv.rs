//! `report.csv` (one line for each group) and `rows.csv` (one for each row).
//!
//! Every column that has a unit ends in it.

use quantbench_core::Row;
use quantbench_core::row::{Accuracy, Gate, ResultPart};

use crate::findings::Findings;
use crate::format;
use crate::group::Group;
use crate::protocol;
use crate::select::Marked;
use crate::stats::{Interval, wilson};
use crate::{File, ReportError};

/// Name and value of one field.
type Named = (&'static str, String);

/// Makes both files.
#[expect(clippy::unnecessary_wraps, reason = "the signature of every entry of OUTPUTS")]
pub(crate) fn files(findings: &Findings<'_>) -> Result<Vec<File>, ReportError> {
    let groups: Vec<_> = findings.groups.groups.iter().map(group).collect();
    let rows: Vec<_> = findings.rows.iter().map(row).collect();
    Ok(vec![
        ("report.csv".to_string(), render(&groups).into_bytes()),
        ("rows.csv".to_string(), render(&rows).into_bytes()),
    ])
}

/// Lines by RFC 4180, with `\n` ends; the first line's names are the header of all.
fn render(lines: &[Vec<Named>]) -> String {
    let mut text = String::new();
    if let Some(first) = lines.first() {
        let names: Vec<String> = first.iter().map(|(name, _)| (*name).to_string()).collect();
        text += &(names.join(",") + "\n");
    }
    for line in lines {
        let fields: Vec<String> = line.iter().map(|(_, value)| quote(value)).collect();
        text += &(fields.join(",") + "\n");
    }
    text
}

fn quote(field: &str) -> String {
    if field.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field.to_string()
    }
}

/// A value, or the empty field where there is none.
fn opt<T: ToString>(value: Option<T>) -> String {
    value.map(|v| v.to_string()).unwrap_or_default()
}

/// A derived number with six decimals, which is below one image in a million.
fn num(value: Option<f64>) -> String {
    value.map(|v| format!("{v:.6}")).unwrap_or_default()
}

fn low(interval: Option<Interval>) -> String {
    num(interval.map(|i| i.low))
}

fn high(interval: Option<Interval>) -> String {
    num(interval.map(|i| i.high))
}

/// What was asked, common to rows and groups.
fn asked(row: &Row) -> Vec<Named> {
    let c = &row.cell;
    let params: Vec<String> = c.params.iter().map(|(k, v)| format!("{k}={v}")).collect();
    vec![
        ("survey", row.survey.clone()),
        ("model", c.model.clone()),
        ("dataset", c.dataset.clone()),
        ("method", c.method.clone()),
        ("method_version", c.method_version.to_string()),
        ("family", opt(c.family)),
        ("params", params.join(";")),
        ("asked_widths", opt(c.spec.as_ref().map(|s| format::widths(s.bits)))),
        ("sites", opt(c.spec.as_ref().map(|s| s.sites))),
        ("image", opt(c.spec.as_ref().map(|s| s.image))),
        ("first_last", opt(c.spec.as_ref().map(|s| s.first_last))),
        ("needs", c.needs.to_string()),
        ("calibration_images", c.calibration_images.to_string()),
        ("partial_test_images", opt(c.test_images)),
    ]
}

fn group(group: &Group<'_>) -> Vec<Named> {
    let s = group.published();
    let acc = s.map(|s| s.acc_simulated_pct);
    let dep = s.and_then(|s| s.deployed);
    let cost = s.and_then(|s| s.cost);
    let ids = |value: fn(&Row) -> Option<u64>| {
        let mut all: Vec<u64> = group.done.iter().filter_map(|r| value(r)).collect();
        all.sort_unstable();
        all.dedup();
        all.iter().map(u64::to_string).collect::<Vec<_>>().join(";")
    };
    let over_draws = acc.and_then(|m| m.interval);
    let over_images = s.map(|s| s.over_test_images_pct);
    let spec = group.spec().filter(|_| !group.done.is_empty());
    let image = spec.map(|s| protocol::image(s, group.image_left_in_fp32()));
    let withheld = group.withheld.map(|_| "FP32 gate failed");
    let mut line = asked(group.asked);
    line.extend([
        ("image_in_result", opt(image)),
        ("rows_done", group.done.len().to_string()),
        ("rows_failed", group.failed.len().to_string()),
        ("draws", ids(|r| r.cell.draw)),
        ("seeds", ids(|r| r.cell.seed)),
        ("withheld", opt(withheld)),
        ("test_images", opt(s.map(|s| s.test_images))),
        ("acc_fp32_pct", num(s.map(|s| s.acc_fp32_pct))),
        ("acc_simulated_pct", num(acc.map(|m| m.mean))),
        ("acc_simulated_sd_over_draws_points", num(acc.and_then(|m| m.sd))),
        ("acc_simulated_over_draws_t95_low_pct", low(over_draws)),
        ("acc_simulated_over_draws_t95_high_pct", high(over_draws)),
        ("acc_simulated_over_test_images_wilson95_low_pct", low(over_images)),
        ("acc_simulated_over_test_images_wilson95_high_pct", high(over_images)),
        ("drop_points", num(s.map(|s| s.drop_points))),
        ("acc_deployed_pct", num(dep.map(|d| d.acc_pct.mean))),
        ("acc_deployed_sd_over_draws_points", num(dep.and_then(|d| d.acc_pct.sd))),
        ("acc_deployed_t95_low_pct", low(dep.and_then(|d| d.acc_pct.interval))),
        ("acc_deployed_t95_high_pct", high(dep.and_then(|d| d.acc_pct.interval))),
        ("gap_simulated_deployed_points", num(dep.map(|d| d.gap_points))),
        ("integer_layers", opt(dep.map(|d| d.integer_layers))),
        ("layers", opt(dep.map(|d| d.layers))),
        ("deployed_reason", opt(s.and_then(|s| s.deployed_reason.clone()))),
        ("weights_mean_bits", num(s.map(|s| s.weights_mean_bits))),
        ("weights_min_bits", opt(s.and_then(|s| s.weights_min_bits))),
        ("weights_max_bits", opt(s.and_then(|s| s.weights_max_bits))),
        ("size_theoretical_bytes", num(s.map(|s| s.theoretical_bytes))),
        ("size_packed_bytes", num(s.map(|s| s.packed_bytes))),
        ("size_file_bytes", num(s.map(|s| s.file_bytes))),
        ("compression_weights_only_ratio", num(s.map(|s| s.compression_weights_only))),
        ("bit_operations_per_image", num(s.map(|s| s.bit_operations))),
        ("bit_operations_fp32_per_image", opt(s.map(|s| s.bit_operations_fp32))),
        ("method_wall_mean_s", num(cost.map(|c| c.wall_s))),
        ("method_cpu_mean_s", num(cost.map(|c| c.cpu_s))),
        ("method_peak_max_mib", num(cost.map(|c| c.peak_mib))),
        ("notes", s.map(|s| s.notes.join("; ")).unwrap_or_default()),
    ]);
    line
}

fn row(marked: &Marked<'_>) -> Vec<Named> {
    let row = marked.row;
    let mut line = vec![
        ("schema", row.schema.to_string()),
        ("left_out", opt(marked.left_out)),
        ("status", if crate::select::is_done(row) { "done" } else { "failed" }.into()),
        ("reason", opt(row.reason.clone())),
    ];
    line.extend(asked(row));
    let spec = row.cell.spec.as_ref().filter(|_| row.result.is_some());
    let image = spec.map(|s| protocol::image(s, protocol::image_left_in_fp32(row)));
    line.extend([
        ("image_in_result", opt(image)),
        ("draw", opt(row.cell.draw)),
        ("seed", opt(row.cell.seed)),
    ]);
    line.extend(result(row.result.as_ref()));
    line.extend(observed(row));
    line.extend([
        ("id_artefact", row.ids.artefact.clone()),
        ("id_eval", row.ids.eval.clone()),
        ("model_sha256", row.ids.model_sha256.clone()),
        ("test_data_sha256", row.ids.test_data.clone()),
        ("train_data_sha256", row.ids.train_data.clone()),
        ("preprocessing", row.ids.preprocessing.clone()),
    ]);
    line
}

fn result(r: Option<&ResultPart>) -> Vec<Named> {
    let sim = r.map(|r| r.acc_simulated);
    let dep = r.and_then(|r| r.acc_deployed.as_ref());
    let over_images = sim.map(|a| wilson(a.correct as f64, a.images as f64).scaled(100.0));
    let sizes = r.map(|r| r.sizes);
    let gate = r.map(|r| match r.gate {
        Gate::Passed => "passed",
        Gate::Failed => "failed",
        Gate::NotChecked => "not checked",
    });
    let allocation = r.map(|r| {
        let layers = r.allocation.iter();
        layers
            .map(|l| format!("{}=W{}A{}", l.layer, l.weights, l.activations))
            .collect::<Vec<_>>()
            .join(";")
    });
    vec![
        ("gate", opt(gate)),
        ("test_images", opt(sim.map(|a| a.images))),
        ("acc_fp32_pct", num(r.map(|r| r.fp32.percent()))),
        ("correct_simulated_images", opt(sim.map(|a| a.correct))),
        ("acc_simulated_pct", num(sim.as_ref().map(Accuracy::percent))),
        ("acc_simulated_over_test_images_wilson95_low_pct", low(over_images)),
        ("acc_simulated_over_test_images_wilson95_high_pct", high(over_images)),
        ("correct_deployed_images", opt(dep.map(|d| d.accuracy.correct))),
        ("acc_deployed_pct", num(dep.map(|d| d.accuracy.percent()))),
        ("integer_layers", opt(dep.map(|d| d.integer_layers))),
        ("layers", opt(dep.map(|d| d.layers))),
        ("deployed_reason", opt(r.and_then(|r| r.deployed_reason.clone()))),
        ("weights_mean_bits", num(r.map(|r| r.mean_weight_bits))),
        ("allocation", opt(allocation)),
        ("size_theoretical_bits", opt(sizes.map(|s| s.theoretical_bits))),
        ("size_packed_bytes", opt(sizes.map(|s| s.packed_bytes))),
        ("size_file_bytes", opt(sizes.map(|s| s.file_bytes))),
        ("size_fp32_file_bytes", opt(sizes.map(|s| s.fp32_file_bytes))),
        ("compression_weights_only_ratio", num(sizes.map(|s| s.compression_weights_only()))),
        ("bit_operations_per_image", opt(r.map(|r| r.bit_operations))),
        ("bit_operations_fp32_per_image", opt(r.map(|r| r.bit_operations_fp32))),
        ("images_read", opt(r.map(|r| r.images_read))),
        ("labels_read", opt(r.map(|r| r.labels_read))),
        ("synthetic_images", opt(r.map(|r| r.synthetic_images))),
        ("artefact_sha256", opt(r.map(|r| r.artefact_sha256.clone()))),
        ("predictions_sha256", opt(r.map(|r| r.predictions.clone()))),
        ("notes", r.map(|r| r.notes.join("; ")).unwrap_or_default()),
    ]
}

fn observed(row: &Row) -> Vec<Named> {
    let o = &row.observed;
    vec![
        ("method_wall_s", num(o.method.map(|m| m.wall_s))),
        ("method_cpu_s", num(o.method.map(|m| m.cpu_s))),
        ("method_peak_mib", num(o.method.map(|m| m.peak_mib))),
        ("eval_simulated_s", num(o.eval_simulated_s)),
        ("eval_deployed_s", num(o.eval_deployed_s)),
        ("cell_s", num(Some(o.cell_s))),
        ("threads", o.threads.to_string()),
        ("jobs", o.jobs.to_string()),
        ("platform", o.machine.platform.clone()),
        ("cpu", o.machine.cpu.clone()),
        ("cores", o.machine.cores.to_string()),
        ("memory_mib", o.machine.memory_mib.to_string()),
        ("isa", o.machine.isa.join(" ")),
        ("governor", opt(o.machine.governor.clone())),
        ("runtime", o.runtime.clone()),
        ("quantbench", o.quantbench.clone()),
        ("commit", o.commit.clone()),
        ("finished", o.finished.clone()),
        ("command", o.command.clone()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_quoted_where_they_must_be() {
        assert_eq!(quote("plain"), "plain");
        assert_eq!(quote("a,\"b\"\n"), "\"a,\"\"b\"\"\n\"");
    }
}
