//! How a group is called: its method, with what tells it from other groups of that method.

use std::collections::{BTreeMap, BTreeSet};

use quantbench_core::Spec;
use quantbench_core::row::Cell;

use crate::format;
use crate::group::Group;

/// The value of a rule in a cell; none for the unquantized model.
type Rule = fn(&Cell) -> Option<String>;

/// The rule that stands last and is left out of [`Group::series`].
const CALIBRATION: &str = "calibration";

/// What may vary among groups of one method, one set of parameters and the same widths.
const RULES: [(&str, Rule); 6] = [
    ("sites", |c| c.spec.as_ref().map(|s| s.sites.to_string())),
    ("image", |c| c.spec.as_ref().map(|s| s.image.to_string())),
    ("first_last", |c| c.spec.as_ref().map(|s| s.first_last.to_string())),
    ("exclude", |c| c.spec.as_ref().map(Spec::exclude_label)),
    ("layer_bits", |c| c.spec.as_ref().map(Spec::layer_bits_label)),
    (CALIBRATION, |c| Some(c.calibration_images.to_string())),
];

/// Names each group.
///
/// A parameter is named where the method has several values of it. A rule of the protocol or the
/// number of calibration images is named where groups of one subject differ in nothing else
/// but these; the sites that follow from the widths are not. Either then stands in every label
/// of the method, so that a label means one thing in all tables and figures.
pub(crate) fn set(groups: &mut [Group<'_>]) {
    let mut params: BTreeMap<&str, BTreeMap<&str, BTreeSet<String>>> = BTreeMap::new();
    let mut versions: BTreeMap<&str, BTreeSet<u32>> = BTreeMap::new();
    for cell in groups.iter().map(|g| &g.asked.cell) {
        versions.entry(&cell.method).or_default().insert(cell.method_version);
        for (name, value) in &cell.params {
            let values = params.entry(&cell.method).or_default().entry(name).or_default();
            values.insert(value.to_string());
        }
    }
    let rules = varying_rules(groups);
    for group in groups {
        let cell = &group.asked.cell;
        let method = cell.method.as_str();
        let mut parts = Vec::new();
        let mut calibration = None;
        if versions.get(method).is_some_and(|v| v.len() > 1) {
            parts.push(format!("v{}", cell.method_version));
        }
        let several = |name: &str| {
            let values = params.get(method).and_then(|params| params.get(name));
            values.is_some_and(|values| values.len() > 1)
        };
        for (name, value) in cell.params.iter().filter(|(name, _)| several(name)) {
            parts.push(format!("{name}={value}"));
        }
        for (name, value) in RULES {
            if rules.contains(&(method, name)) {
                let part = value(cell).map(|value| format!("{name}={value}"));
                if name == CALIBRATION { calibration = part } else { parts.extend(part) }
            }
        }
        let called = |parts: &[String]| match (group.is_fp32(), parts.is_empty()) {
            (true, _) => "FP32".to_string(),
            (false, true) => cell.method.clone(),
            (false, false) => format!("{} ({})", cell.method, parts.join(", ")),
        };
        let series = called(&parts);
        parts.extend(calibration);
        group.label = called(&parts);
        group.series = series;
    }
}

/// Method and name of each rule in which groups differ that are otherwise asked the same.
fn varying_rules<'a>(groups: &[Group<'a>]) -> BTreeSet<(&'a str, &'static str)> {
    let mut alike: BTreeMap<String, Vec<&'a Cell>> = BTreeMap::new();
    for group in groups {
        let c = &group.asked.cell;
        let bits = c.spec.as_ref().map(|s| format::widths(s.bits));
        let key = format!("{:?}", (group.subject, &c.method, c.method_version, &c.params, bits));
        alike.entry(key).or_default().push(c);
    }
    let mut rules = BTreeSet::new();
    for cells in alike.values() {
        for (name, value) in RULES {
            let values: BTreeSet<_> = cells.iter().map(|c| value(c)).collect();
            if values.len() > 1 {
                rules.insert((cells[0].method.as_str(), name));
            }
        }
    }
    rules
}
