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

/// Text on a dark bar or cell; unlike paper, the same on a dark page.
pub(super) const ON_DARK: RGBColor = RGBColor(254, 254, 254);
/// Text on a light bar or cell; unlike ink, the same on a dark page.
pub(super) const ON_LIGHT: RGBColor = RGBColor(33, 33, 33);
/// Bars of a histogram.
pub(super) const BAR: RGBColor = RGBColor(170, 186, 200);

/// Stops of a sequential scale from light to dark, readable without colour vision: its lightness
/// falls evenly.
///
/// Source: "Blues" of C. Brewer's colorbrewer2.org, five classes.
const HEAT: [RGBColor; 5] = [
    RGBColor(222, 235, 247),
    RGBColor(158, 202, 225),
    RGBColor(107, 174, 214),
    RGBColor(49, 130, 189),
    RGBColor(8, 69, 148),
];

/// The colour of a share from 0 (light) to 1 (dark).
pub(super) fn heat(share: f64) -> RGBColor {
    let at = share.clamp(0.0, 1.0) * (HEAT.len() - 1) as f64;
    let low = (at.floor() as usize).min(HEAT.len() - 2);
    let (a, b, t) = (HEAT[low], HEAT[low + 1], at - low as f64);
    let mix = |a: u8, b: u8| (f64::from(a) + t * (f64::from(b) - f64::from(a))).round() as u8;
    RGBColor(mix(a.0, b.0), mix(a.1, b.1), mix(a.2, b.2))
}

/// A colour for the nth of a few things that are no methods.
pub(super) fn hue(n: usize) -> RGBColor {
    PALETTE[n % PALETTE.len()]
}

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

/// How the FP32 model looks.
pub(super) const FP32: Style = Style { shape: Shape::Cross, colour: SOFT, hollow: false };

/// How each method looks.
#[derive(Debug, Clone)]
pub(super) struct Styles(BTreeMap<String, Style>);

impl Styles {
    /// Styles of all methods of a report.
    pub(super) fn of(groups: &Groups<'_>) -> Self {
        let groups = groups.groups.iter();
        Self::assign(groups.filter_map(|g| Some((g.family()?, g.series.clone()))).collect())
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
