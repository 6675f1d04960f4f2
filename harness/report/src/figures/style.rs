//! Colours and markers: one pair for each method, the same in every figure of a report.

use std::collections::BTreeMap;

use plotters::style::RGBColor;
use quantbench_core::Family;

use crate::group::Groups;

/// Okabe and Ito's palette without yellow, which is too light on white, and black, which is ink.
///
/// Source: M. Okabe and K. Ito, "Color universal design" (2008).
const PALETTE: [RGBColor; 6] = [
    RGBColor(0, 114, 178),   // blue
    RGBColor(213, 94, 0),    // vermillion
    RGBColor(0, 158, 115),   // bluish green
    RGBColor(204, 121, 167), // reddish purple
    RGBColor(230, 159, 0),   // orange
    RGBColor(86, 180, 233),  // sky blue
];

/// Text and axes.
pub(super) const INK: RGBColor = RGBColor(34, 34, 34);
/// Ticks and secondary text.
pub(super) const SOFT: RGBColor = RGBColor(85, 85, 85);
/// Lines of the grid.
pub(super) const GRID: RGBColor = RGBColor(228, 228, 228);
/// The Pareto front.
pub(super) const FRONT: RGBColor = RGBColor(140, 140, 140);
/// Paper.
pub(super) const PAPER: RGBColor = RGBColor(255, 255, 255);

/// Outline of a marker; the family tells which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Circle,
    Square,
    Triangle,
    Diamond,
    /// The unquantized model.
    Cross,
}

/// How a method looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Style {
    pub(super) shape: Shape,
    pub(super) colour: RGBColor,
    /// Hollow markers tell a family's methods apart once the colours are used up.
    pub(super) hollow: bool,
}

/// How each method looks.
#[derive(Debug, Clone)]
pub(super) struct Styles(BTreeMap<String, Style>);

impl Styles {
    /// Styles of all methods of a report.
    pub(super) fn of(groups: &Groups<'_>) -> Self {
        let groups = groups.groups.iter();
        Self::assign(groups.filter_map(|g| Some((g.family()?, g.label.clone()))).collect())
    }

    /// Shape by family, colour in the order of family and name; each pair of a colour and a fill
    /// is used before one comes again.
    fn assign(mut methods: Vec<(Family, String)>) -> Self {
        methods.sort();
        methods.dedup();
        let styles = methods.into_iter().enumerate().map(|(i, (family, label))| {
            let shape = match family {
                Family::DataDependent => Shape::Circle,
                Family::DataFree => Shape::Square,
                Family::MixedPrecision => Shape::Triangle,
                Family::ExtremelyLowBit => Shape::Diamond,
            };
            let colour = PALETTE[i % PALETTE.len()];
            (label, Style { shape, colour, hollow: (i / PALETTE.len()) % 2 == 1 })
        });
        Self(styles.collect())
    }

    pub(super) fn get(&self, label: &str) -> Style {
        let unknown = Style { shape: Shape::Cross, colour: INK, hollow: false };
        self.0.get(label).copied().unwrap_or(unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twelve_methods_of_one_family_look_different() {
        let names = (0..12).map(|i| (Family::DataDependent, format!("m{i}"))).collect();
        let Styles(styles) = Styles::assign(names);
        let looks: Vec<&Style> = styles.values().collect();
        for (i, a) in looks.iter().enumerate() {
            assert!(looks[..i].iter().all(|b| a != b), "{a:?} comes twice");
        }
    }

    #[test]
    fn families_differ_in_shape_alone() {
        let names = Family::ALL.map(|f| (f, f.to_string())).to_vec();
        let Styles(styles) = Styles::assign(names);
        let shapes: Vec<Shape> = styles.values().map(|s| s.shape).collect();
        for (i, a) in shapes.iter().enumerate() {
            assert!(!shapes[..i].contains(a), "{a:?} comes twice");
        }
    }
}
