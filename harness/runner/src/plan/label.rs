//! How people read a cell in one line.

use quantbench_core::card::Params;
use quantbench_core::row::Cell;
use quantbench_core::{Card, Param, Spec};

/// `model/method/spec/draw`; parameters and rules appear where they differ from the defaults, the
/// number of calibration images where the plan has several.
pub(crate) fn of(cell: &Cell, several_calibrations: bool, card: Option<&Card>) -> String {
    let mut parts = vec![cell.model.clone(), method(&cell.method, &cell.params, card)];
    parts.extend(cell.spec.as_ref().map(spec));
    if several_calibrations && cell.draw.is_some() {
        parts.push(format!("images{}", cell.calibration_images));
    }
    parts.extend(cell.draw.map(|d| format!("draw{d}")));
    parts.extend(cell.seed.map(|s| format!("seed{s}")));
    parts.join("/")
}

/// A method with the parameters that differ from its defaults.
pub(crate) fn method(name: &str, params: &Params, card: Option<&Card>) -> String {
    let default = |key: &str| {
        card.and_then(|c| c.params.iter().find(|p| p.name == key)).map(Param::default_value)
    };
    let own: Vec<String> = params
        .iter()
        .filter(|(key, value)| default(key).as_ref() != Some(value))
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    if own.is_empty() { name.to_string() } else { format!("{name}[{}]", own.join(",")) }
}

/// A spec with the rules that differ from what its label stands for.
pub(crate) fn spec(spec: &Spec) -> String {
    let standard = Spec::from_widths(spec.bits);
    let own: Vec<String> = [
        (spec.sites != standard.sites).then(|| format!("sites={}", spec.sites)),
        (spec.image != standard.image).then(|| format!("image={}", spec.image)),
        (spec.first_last != standard.first_last).then(|| format!("first_last={}", spec.first_last)),
        (!spec.exclude.is_empty()).then(|| format!("exclude={}", spec.exclude_label())),
        (!spec.layer_bits.is_empty()).then(|| format!("layer_bits={}", spec.layer_bits_label())),
    ]
    .into_iter()
    .flatten()
    .collect();
    let label = spec.bits.to_string();
    if own.is_empty() { label } else { format!("{label}[{}]", own.join(",")) }
}
