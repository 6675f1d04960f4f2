//! Where a value lies: a logarithmic axis of sizes and a possibly broken axis of accuracies.

/// Accuracies within so many points of the best are drawn in the upper, magnified part.
const NEAR_POINTS: f64 = 15.0;

/// Part of the height that the upper panel takes of a broken axis, and the gap between the two.
const UPPER_SHARE: f64 = 0.66;
const BREAK_SHARE: f64 = 0.05;

/// An interval's end further than this from its mean does not stretch the axis; it is cut there.
const STRETCH_POINTS: f64 = 3.0;

/// An accuracy with its interval in percent; without one all three are the same.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Extent {
    /// Lower end of the interval.
    pub low: f64,
    /// The accuracy.
    pub value: f64,
    /// Upper end of the interval.
    pub high: f64,
}

/// A logarithmic axis.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LogScale {
    low: f64,
    high: f64,
}

impl LogScale {
    /// An axis that holds all the (positive) values with some room on both sides.
    pub fn of(values: &[f64]) -> Self {
        let low = values.iter().copied().fold(f64::INFINITY, f64::min);
        let high = values.iter().copied().fold(0.0, f64::max);
        // At least a factor of 1.15 to each side, so that a single size is in the middle.
        let room = (high / low).powf(0.08).max(1.15);
        Self { low: low / room, high: high * room }
    }

    /// The least value on the axis.
    pub fn low(&self) -> f64 {
        self.low
    }

    /// The share of the axis left of a value.
    pub fn share(&self, value: f64) -> f64 {
        (value / self.low).ln() / (self.high / self.low).ln()
    }

    /// Round values on the axis: as few digits as give at least three of them.
    pub fn ticks(&self) -> Vec<f64> {
        const STEPS: [&[f64]; 4] = [
            &[1.0, 2.0, 5.0],
            &[1.0, 1.5, 2.0, 3.0, 5.0, 7.0],
            &[1.0, 1.2, 1.4, 1.6, 1.8, 2.0, 2.5, 3.0, 3.5, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0],
            &[],
        ];
        for steps in STEPS {
            let ticks = self.multiples(steps);
            if ticks.len() >= 3 {
                return ticks;
            }
        }
        nice_ticks(self.low, self.high, 4)
    }

    fn multiples(&self, steps: &[f64]) -> Vec<f64> {
        let decades = (self.low.log10().floor() as i32)..=(self.high.log10().ceil() as i32);
        decades
            .flat_map(|d| steps.iter().map(move |s| s * 10_f64.powi(d)))
            .filter(|v| (self.low..=self.high).contains(v))
            .collect()
    }
}

/// One linear part of the accuracy axis.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Panel {
    /// Accuracy at its lower edge in percent.
    pub low: f64,
    /// Accuracy at its upper edge in percent.
    pub high: f64,
    /// Lower edge as a share of the axis.
    pub bottom: f64,
    /// Upper edge as a share of the axis.
    pub top: f64,
}

impl Panel {
    /// The share of the axis below a value, at the panel's edge for a value beyond it.
    pub fn share(&self, value: f64) -> f64 {
        let within = (value - self.low) / (self.high - self.low);
        self.bottom + within.clamp(0.0, 1.0) * (self.top - self.bottom)
    }

    /// Round values in the panel.
    pub fn ticks(&self) -> Vec<f64> {
        nice_ticks(self.low, self.high, ((self.top - self.bottom) * 12.0).round() as usize)
    }
}

/// The accuracy axis: one panel, or two where some accuracies have collapsed.
#[derive(Debug, Clone, PartialEq)]
pub struct YScale {
    /// Panels from the upper to the lower.
    pub panels: Vec<Panel>,
}

impl YScale {
    /// An axis that holds all the values and the reference (in percent), and the intervals where
    /// those do not stretch it much.
    ///
    /// Differences of tenths of a point near FP32 and models that fell to chance cannot both be
    /// read off one linear axis, hence the break.
    pub fn of(values: &[Extent], reference: Option<f64>) -> Self {
        let line = reference.map(|value| Extent { low: value, value, high: value });
        let all: Vec<Extent> = values.iter().copied().chain(line).collect();
        let best = all.iter().map(|v| v.value).fold(f64::NEG_INFINITY, f64::max);
        let near = |v: &&Extent| best - v.value <= NEAR_POINTS;
        let (close, mut far): (Vec<Extent>, Vec<Extent>) = all.iter().partition(near);
        let (low, high) = padded(&close, 0.12);
        let upper = Panel { low, high, bottom: 1.0 - UPPER_SHARE, top: 1.0 };
        // The room below the upper panel's values may hold some of the others already.
        let below = |v: &Extent| v.value < upper.low;
        // A panel for the reference alone would magnify nothing.
        if !values.iter().any(below) || !values.iter().any(|v| near(&v)) {
            let (low, high) = padded(&all, 0.12);
            return Self { panels: vec![Panel { low, high, bottom: 0.0, top: 1.0 }] };
        }
        far.retain(below);
        let (low, high) = padded(&far, 0.25);
        let high = high.min(upper.low);
        let lower = Panel { low, high, bottom: 0.0, top: 1.0 - UPPER_SHARE - BREAK_SHARE };
        Self { panels: vec![upper, lower] }
    }

    /// Whether the axis has two parts.
    pub fn is_broken(&self) -> bool {
        self.panels.len() > 1
    }

    /// The panel that a value lies in.
    pub fn panel(&self, value: f64) -> &Panel {
        let upper = &self.panels[0];
        if value < upper.low { self.panels.last().unwrap_or(upper) } else { upper }
    }

    /// The share of the axis below a value.
    pub fn share(&self, value: f64) -> f64 {
        self.panel(value).share(value)
    }

    /// Both ends of a value's interval as shares of the axis, cut at the edges of its panel.
    pub fn bar(&self, value: f64, low: f64, high: f64) -> (f64, f64) {
        let panel = self.panel(value);
        (panel.share(low), panel.share(high))
    }

    /// The parts of [low, high] in each panel that it touches, as shares of the axis.
    pub fn segments(&self, low: f64, high: f64) -> Vec<(f64, f64)> {
        let touched = self.panels.iter().filter(|p| low < p.high && high > p.low);
        touched.map(|p| (p.share(low), p.share(high))).collect()
    }
}

/// Range of accuracies with room, never below 0 or (much) above 100.
fn padded(values: &[Extent], share: f64) -> (f64, f64) {
    let lows = values.iter().map(|v| v.low.max(v.value - STRETCH_POINTS));
    let highs = values.iter().map(|v| v.high.min(v.value + STRETCH_POINTS));
    let (low, high) = (lows.fold(f64::INFINITY, f64::min), highs.fold(0.0, f64::max));
    let room = ((high - low) * share).max(0.4);
    ((low - room).max(0.0), (high + room).min(101.0))
}

/// Multiples of 1, 2 or 5 times a power of ten in [low, high], about `wanted` of them.
pub fn nice_ticks(low: f64, high: f64, wanted: usize) -> Vec<f64> {
    let raw = (high - low) / wanted.max(1) as f64;
    if !(raw.is_finite() && raw > 0.0) {
        return vec![low];
    }
    let decade = 10_f64.powf(raw.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|s| s * decade).find(|s| *s >= raw);
    let step = step.unwrap_or(10.0 * decade);
    let first = (low / step).ceil() as i64;
    let last = (high / step + 1e-9).floor() as i64;
    (first..=last).map(|i| i as f64 * step).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bare(values: &[f64]) -> Vec<Extent> {
        values.iter().map(|&value| Extent { low: value, value, high: value }).collect()
    }

    #[test]
    fn an_interval_stretches_the_axis_a_little() {
        let wide = |low| YScale::of(&[Extent { low, value: 80.0, high: 81.0 }], None).panels[0].low;
        assert!(wide(78.0) < 78.0);
        assert!(wide(10.0) > 70.0, "one bar takes the whole axis");
    }

    #[test]
    fn axis_breaks_only_where_accuracies_collapse() {
        assert!(!YScale::of(&bare(&[91.7, 89.5, 80.1]), Some(92.0)).is_broken());
        assert!(!YScale::of(&bare(&[10.0, 11.0]), Some(92.0)).is_broken());
        let broken = YScale::of(&bare(&[91.7, 89.5, 10.0]), Some(92.0));
        assert!(broken.is_broken());
        assert!(broken.share(10.0) < broken.panels[1].top);
        assert!(broken.share(89.5) > broken.panels[0].bottom);
        assert_eq!(broken.segments(5.0, 95.0).len(), 2);
    }

    #[test]
    fn values_in_the_room_below_the_upper_panel_need_no_panel_of_their_own() {
        for (values, reference) in [
            (&[77.0, 76.0][..], Some(91.73)),
            (&[90.0, 75.0, 74.9], None),
            (&[90.0, 75.0, 73.3], None),
        ] {
            let scale = YScale::of(&bare(values), reference);
            assert!(!scale.is_broken(), "{values:?}: {:?}", scale.panels);
            assert!(values.iter().all(|v| scale.panels[0].low < *v && *v < scale.panels[0].high));
        }
        let broken = YScale::of(&bare(&[90.0, 75.0, 74.9, 70.0]), None);
        assert!(broken.is_broken());
        assert!(broken.panels[1].high < 74.9, "74.9 has a place in the upper panel");
    }

    #[test]
    fn a_bar_does_not_cross_the_break() {
        let scale = YScale::of(&bare(&[92.6, 77.8, 75.5, 10.0]), None);
        let [upper, lower] = scale.panels.as_slice() else { panic!("{scale:?}") };
        assert_eq!(lower.high, upper.low, "the panels share no edge");
        let (bottom, top) = scale.bar(75.5, 70.0, 80.0);
        assert!(lower.bottom < bottom && bottom < top);
        assert_eq!(top, lower.top);
        assert_eq!(scale.bar(77.8, 70.0, 80.0).0, upper.bottom);
    }

    #[test]
    fn ticks_are_round() {
        assert_eq!(nice_ticks(79.0, 93.0, 5), [80.0, 85.0, 90.0]);
        assert_eq!(LogScale { low: 70.0, high: 1100.0 }.ticks(), [100.0, 200.0, 500.0, 1000.0]);
        assert!(LogScale::of(&[273.4]).ticks().len() >= 2);
    }

    proptest! {
        #[test]
        fn order_is_kept_and_every_value_is_on_the_axis(
            values in prop::collection::vec(0.0_f64..=100.0, 1..20),
            reference in prop::option::of(0.0_f64..=100.0)
        ) {
            let scale = YScale::of(&bare(&values), reference);
            prop_assert!(scale.panels.iter().all(|p| p.low < p.high), "{:?}", scale.panels);
            prop_assert!(scale.panels.is_sorted_by(|a, b| a.low >= b.high), "{:?}", scale.panels);
            let mut sorted = values.clone();
            sorted.sort_by(f64::total_cmp);
            let shares: Vec<f64> = sorted.iter().map(|v| scale.share(*v)).collect();
            prop_assert!(shares.iter().all(|s| (0.0..=1.0).contains(s)));
            prop_assert!(shares.is_sorted());
        }

        #[test]
        fn sizes_are_inside_the_axis(values in prop::collection::vec(0.1_f64..1e6, 1..20)) {
            let scale = LogScale::of(&values);
            prop_assert!(values.iter().all(|v| (0.0..=1.0).contains(&scale.share(*v))));
            prop_assert!(scale.ticks().iter().all(|v| (-1e-9..=1.0 + 1e-9).contains(&scale.share(*v))));
        }
    }
}
