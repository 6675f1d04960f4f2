//! Groups and rows as lines of named, typed values: what `csv` and `parquet` write.
//!
//! Every column that has a unit ends in it; `schema` says what each is.

mod cost;
mod reported;

use std::borrow::Cow;

use quantbench_core::Row;
use quantbench_core::row::{Accuracy, Gate, ResultPart};

use crate::format;
use crate::group::Group;
use crate::protocol;
use crate::select::{Marked, is_done};
use crate::stats::{Interval, wilson};

pub(crate) use cost::costs;
pub(crate) use reported::reported;

/// One value of a line.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value<'a> {
    /// There is none.
    None,
    /// Words, never empty.
    Text(Cow<'a, str>),
    /// A count.
    Int(i64),
    /// A measured or derived number.
    Real(f64),
}

/// Name and value of one field.
pub(crate) type Named<'a> = (&'static str, Value<'a>);

/// Words; empty ones are none.
fn text<'a>(value: impl Into<Cow<'a, str>>) -> Value<'a> {
    let value = value.into();
    if value.is_empty() { Value::None } else { Value::Text(value) }
}

/// Words, where there are any.
fn words(value: Option<&str>) -> Value<'_> {
    text(value.unwrap_or_default())
}

/// A value in words, where there is one.
fn opt<T: ToString>(value: Option<T>) -> Value<'static> {
    value.map_or(Value::None, |v| text(v.to_string()))
}

/// A count, where there is one.
fn int<T: TryInto<i64>>(value: Option<T>) -> Value<'static> {
    value.map_or(Value::None, |v| Value::Int(v.try_into().unwrap_or(i64::MAX)))
}

/// A number, where there is one.
fn num(value: Option<f64>) -> Value<'static> {
    value.map_or(Value::None, Value::Real)
}

fn low(interval: Option<Interval>) -> Value<'static> {
    num(interval.map(|i| i.low))
}

fn high(interval: Option<Interval>) -> Value<'static> {
    num(interval.map(|i| i.high))
}

/// What was asked, common to rows and groups.
fn asked(row: &Row) -> Vec<Named<'_>> {
    let c = &row.cell;
    let params: Vec<String> = c.params.iter().map(|(k, v)| format!("{k}={v}")).collect();
    vec![
        ("survey", text(&row.survey)),
        ("model", text(&c.model)),
        ("dataset", text(&c.dataset)),
        ("method", text(&c.method)),
        ("method_version", int(Some(c.method_version))),
        ("family", opt(c.family)),
        ("params", text(params.join(";"))),
        ("asked_widths", opt(c.spec.as_ref().map(|s| format::widths(s.bits)))),
        ("sites", opt(c.spec.as_ref().map(|s| s.sites))),
        ("image", opt(c.spec.as_ref().map(|s| s.image))),
        ("first_last", opt(c.spec.as_ref().map(|s| s.first_last))),
        ("needs", text(c.needs.to_string())),
        ("calibration_images", int(Some(c.calibration_images))),
        ("partial_test_images", int(c.test_images)),
    ]
}

/// The line of a group.
pub(crate) fn group<'a>(group: &'a Group<'_>) -> Vec<Named<'a>> {
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
    let against = group.paired.against_best;
    let best = group.paired.is_best.then_some(true);
    let bootstrap = s.and_then(|s| s.bootstrap_pct);
    let withheld = group.withheld.map(|_| "FP32 gate failed");
    let mut line = asked(group.asked);
    line.extend([
        ("image_in_result", opt(image)),
        ("rows_done", int(Some(group.done.len()))),
        ("rows_failed", int(Some(group.failed.len()))),
        ("draws", text(ids(|r| r.cell.draw))),
        ("seeds", text(ids(|r| r.cell.seed))),
        ("withheld", opt(withheld)),
        ("test_images", int(s.map(|s| s.test_images))),
        ("acc_fp32_pct", num(s.map(|s| s.acc_fp32_pct))),
        ("acc_simulated_pct", num(acc.map(|m| m.mean))),
        ("acc_simulated_sd_over_draws_points", num(acc.and_then(|m| m.sd))),
        ("acc_simulated_over_draws_t95_low_pct", low(over_draws)),
        ("acc_simulated_over_draws_t95_high_pct", high(over_draws)),
        ("acc_simulated_over_test_images_wilson95_low_pct", low(over_images)),
        ("acc_simulated_over_test_images_wilson95_high_pct", high(over_images)),
        ("drop_points", num(s.map(|s| s.drop_points))),
        ("drop_over_test_images_paired95_low_points", low(group.paired.drop_points)),
        ("drop_over_test_images_paired95_high_points", high(group.paired.drop_points)),
        ("is_best_of_widths", opt(against.map(|_| false).or(best))),
        ("against_best_images_lost", int(against.map(|a| a.counts.first))),
        ("against_best_images_gained", int(against.map(|a| a.counts.second))),
        ("against_best_mcnemar_holm_p", num(against.map(|a| a.p))),
        ("against_best_cohens_g", num(against.and_then(|a| a.counts.cohens_g()))),
        ("acc_simulated_over_draws_bootstrap95_low_pct", low(bootstrap)),
        ("acc_simulated_over_draws_bootstrap95_high_pct", high(bootstrap)),
        ("acc_deployed_pct", num(dep.map(|d| d.acc_pct.mean))),
        ("acc_deployed_sd_over_draws_points", num(dep.and_then(|d| d.acc_pct.sd))),
        ("acc_deployed_t95_low_pct", low(dep.and_then(|d| d.acc_pct.interval))),
        ("acc_deployed_t95_high_pct", high(dep.and_then(|d| d.acc_pct.interval))),
        ("gap_simulated_deployed_points", num(dep.map(|d| d.gap_points))),
        ("integer_layers", int(dep.map(|d| d.integer_layers))),
        ("layers", int(dep.map(|d| d.layers))),
        ("deployed_reason", words(s.and_then(|s| s.deployed_reason.as_deref()))),
        ("weights_mean_bits", num(s.map(|s| s.weights_mean_bits))),
        ("weights_min_bits", int(s.and_then(|s| s.weights_min_bits))),
        ("weights_max_bits", int(s.and_then(|s| s.weights_max_bits))),
        ("size_theoretical_bytes", num(s.map(|s| s.theoretical_bytes))),
        ("size_packed_bytes", num(s.map(|s| s.packed_bytes))),
        ("size_file_bytes", num(s.map(|s| s.file_bytes))),
        ("compression_weights_only_ratio", num(s.map(|s| s.compression_weights_only))),
        ("bit_operations_per_image", num(s.map(|s| s.bit_operations))),
        ("bit_operations_fp32_per_image", int(s.map(|s| s.bit_operations_fp32))),
        ("method_wall_mean_s", num(cost.map(|c| c.wall_s))),
        ("method_cpu_mean_s", num(cost.map(|c| c.cpu_s))),
        ("method_peak_max_mib", num(cost.map(|c| c.peak_mib))),
        ("notes", text(s.map(|s| s.notes.join("; ")).unwrap_or_default())),
    ]);
    line
}

/// The line of a row.
pub(crate) fn row<'a>(marked: &Marked<'a>) -> Vec<Named<'a>> {
    let row = marked.row;
    let mut line = vec![
        ("schema", int(Some(row.schema))),
        ("left_out", opt(marked.left_out)),
        ("status", text(if is_done(row) { "done" } else { "failed" })),
        ("reason", words(row.reason.as_deref())),
    ];
    line.extend(asked(row));
    let spec = row.cell.spec.as_ref().filter(|_| row.result.is_some());
    let image = spec.map(|s| protocol::image(s, protocol::image_left_in_fp32(row)));
    line.extend([
        ("image_in_result", opt(image)),
        ("draw", int(row.cell.draw)),
        ("seed", int(row.cell.seed)),
    ]);
    line.extend(result(row.result.as_ref()));
    line.extend(observed(row));
    line.extend([
        ("id_artefact", text(&row.ids.artefact)),
        ("id_eval", text(&row.ids.eval)),
        ("model_sha256", text(&row.ids.model_sha256)),
        ("test_data_sha256", text(&row.ids.test_data)),
        ("train_data_sha256", text(&row.ids.train_data)),
        ("preprocessing", text(&row.ids.preprocessing)),
    ]);
    line
}

fn result(r: Option<&ResultPart>) -> Vec<Named<'_>> {
    let sim = r.map(|r| r.acc_simulated);
    let dep = r.and_then(|r| r.acc_deployed.as_ref());
    let over_images = sim.map(|a| wilson(a.correct as f64, a.images as f64).scaled(100.0));
    let sizes = r.map(|r| r.sizes);
    let best = r.and_then(|r| r.best_epoch);
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
        ("gate", words(gate)),
        ("test_images", int(sim.map(|a| a.images))),
        ("acc_fp32_pct", num(r.map(|r| r.fp32.percent()))),
        ("correct_simulated_images", int(sim.map(|a| a.correct))),
        ("acc_simulated_pct", num(sim.as_ref().map(Accuracy::percent))),
        ("acc_simulated_over_test_images_wilson95_low_pct", low(over_images)),
        ("acc_simulated_over_test_images_wilson95_high_pct", high(over_images)),
        ("correct_deployed_images", int(dep.map(|d| d.accuracy.correct))),
        ("acc_deployed_pct", num(dep.map(|d| d.accuracy.percent()))),
        ("integer_layers", int(dep.map(|d| d.integer_layers))),
        ("layers", int(dep.map(|d| d.layers))),
        ("deployed_reason", words(r.and_then(|r| r.deployed_reason.as_deref()))),
        ("weights_mean_bits", num(r.map(|r| r.mean_weight_bits))),
        ("allocation", opt(allocation)),
        ("size_theoretical_bits", int(sizes.map(|s| s.theoretical_bits))),
        ("size_packed_bytes", int(sizes.map(|s| s.packed_bytes))),
        ("size_file_bytes", int(sizes.map(|s| s.file_bytes))),
        ("size_fp32_file_bytes", int(sizes.map(|s| s.fp32_file_bytes))),
        ("compression_weights_only_ratio", num(sizes.map(|s| s.compression_weights_only()))),
        ("bit_operations_per_image", int(r.map(|r| r.bit_operations))),
        ("bit_operations_fp32_per_image", int(r.map(|r| r.bit_operations_fp32))),
        ("images_read", int(r.map(|r| r.images_read))),
        ("labels_read", int(r.map(|r| r.labels_read))),
        ("synthetic_images", int(r.map(|r| r.synthetic_images))),
        ("best_epoch", int(best.map(|b| b.epoch))),
        ("acc_simulated_best_epoch_pct", num(best.map(|b| b.accuracy.percent()))),
        ("artefact_sha256", words(r.map(|r| r.artefact_sha256.as_str()))),
        ("predictions_sha256", words(r.map(|r| r.predictions.as_str()))),
        ("notes", text(r.map(|r| r.notes.join("; ")).unwrap_or_default())),
    ]
}

fn observed(row: &Row) -> Vec<Named<'_>> {
    let o = &row.observed;
    vec![
        ("method_wall_s", num(o.method.map(|m| m.wall_s))),
        ("method_cpu_s", num(o.method.map(|m| m.cpu_s))),
        ("method_peak_mib", num(o.method.map(|m| m.peak_mib))),
        ("eval_simulated_s", num(o.eval_simulated_s)),
        ("eval_deployed_s", num(o.eval_deployed_s)),
        ("cell_s", num(Some(o.cell_s))),
        ("threads", int(Some(o.threads))),
        ("jobs", int(Some(o.jobs))),
        ("platform", text(&o.machine.platform)),
        ("cpu", text(&o.machine.cpu)),
        ("cores", int(Some(o.machine.cores))),
        ("memory_mib", int(Some(o.machine.memory_mib))),
        ("isa", text(o.machine.isa.join(" "))),
        ("governor", words(o.machine.governor.as_deref())),
        ("runtime", text(&o.runtime)),
        ("quantbench", text(&o.quantbench)),
        ("commit", text(&o.commit)),
        ("finished", text(&o.finished)),
        ("command", text(&o.command)),
    ]
}
