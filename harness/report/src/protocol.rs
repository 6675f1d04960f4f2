//! Under which rules a result came about, where that differs from what was asked.

use std::fmt::Write as _;

use quantbench_core::{ImageRule, Row, Spec};

/// Whether the method left the image in FP32 although the spec asks for a width.
///
/// Seen from the width of the first layer's input; a row without a result says nothing.
pub(crate) fn image_left_in_fp32(row: &Row) -> bool {
    let asked = row.cell.spec.as_ref().is_some_and(|spec| spec.image_bits().is_quantized());
    let first = row.result.as_ref().and_then(|r| r.allocation.first());
    asked && first.is_some_and(|layer| !layer.activations.is_quantized())
}

/// The rule for the image that the result follows.
pub(crate) fn image(spec: &Spec, left_in_fp32: bool) -> ImageRule {
    if left_in_fp32 { ImageRule::Fp32 } else { spec.image }
}

/// Sites, image, first and last layer, and rules for single layers in words.
pub(crate) fn words(spec: &Spec, left_in_fp32: bool) -> String {
    let asked = if left_in_fp32 { format!(" ({} was asked)", spec.image) } else { String::new() };
    let mut words = format!(
        "{} sites, image {}{asked}, first and last layer {}",
        spec.sites,
        image(spec, left_in_fp32),
        spec.first_last
    );
    for (what, own, label) in [
        ("kept in FP32", !spec.exclude.is_empty(), spec.exclude_label()),
        ("own widths", !spec.layer_bits.is_empty(), spec.layer_bits_label()),
    ] {
        if own {
            let _ = write!(words, ", {what}: {label}");
        }
    }
    words
}
