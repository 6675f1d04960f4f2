//! What a figure shows: one point for each group, and the Pareto front.

use super::scale::{Extent, YScale};
use crate::group::Groups;
use crate::stats::Interval;

/// One group in the figure.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// Method as tables name it; the figure's legend.
    pub method: String,
    /// Asked widths; the label beside the marker.
    pub widths: String,
    /// Mean packed size in KiB.
    pub size_kib: f64,
    /// Mean simulated accuracy in percent.
    pub acc_pct: f64,
    /// Its interval over draws in percent.
    pub over_draws_pct: Option<Interval>,
}

/// Everything that one figure shows.
#[derive(Debug, Clone, PartialEq)]
pub struct Points {
    /// Quantized groups in the order of the tables.
    pub points: Vec<Point>,
    /// FP32 accuracy in percent.
    pub fp32_pct: Option<f64>,
    /// Packed size of the FP32 model in KiB, where it is a row.
    pub fp32_kib: Option<f64>,
    /// Indices of the points on the Pareto front, from small to large.
    pub front: Vec<usize>,
}

impl Points {
    /// The points of one subject; none if no quantized group may be shown.
    pub fn of(groups: &Groups<'_>, subject: usize) -> Option<Self> {
        let mut points = Vec::new();
        let mut fp32_kib = None;
        for group in groups.main(subject) {
            let Some(s) = group.published().filter(|s| s.packed_bytes > 0.0) else { continue };
            let size_kib = s.packed_bytes / 1024.0;
            if group.is_fp32() {
                fp32_kib = Some(size_kib);
                continue;
            }
            points.push(Point {
                method: group.series.clone(),
                widths: group.widths(),
                size_kib,
                acc_pct: s.acc_simulated_pct.mean,
                over_draws_pct: s.acc_simulated_pct.interval,
            });
        }
        let fp32_pct = groups.fp32(subject).map(|(pct, _)| pct);
        let pairs: Vec<(f64, f64)> = points.iter().map(|p| (p.size_kib, p.acc_pct)).collect();
        (!points.is_empty()).then(|| Self { front: pareto(&pairs), points, fp32_pct, fp32_kib })
    }

    /// The axis of their accuracies.
    pub fn y_scale(&self) -> YScale {
        let extents = self.points.iter().map(|p| match p.over_draws_pct {
            Some(i) => Extent { low: i.low, value: p.acc_pct, high: i.high },
            None => Extent { low: p.acc_pct, value: p.acc_pct, high: p.acc_pct },
        });
        YScale::of(&extents.collect::<Vec<_>>(), self.fp32_pct)
    }

    /// All sizes in KiB, FP32 included.
    pub fn sizes(&self) -> Vec<f64> {
        self.points.iter().map(|p| p.size_kib).chain(self.fp32_kib).collect()
    }
}

/// Indices of the (size, accuracy) pairs that no other pair beats, from small to large.
///
/// A pair is beaten by one that is at most as large and more accurate, or smaller and at least
/// as accurate; of equal pairs the first stays.
pub fn pareto(pairs: &[(f64, f64)]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..pairs.len()).collect();
    order.sort_by(|&a, &b| {
        let (a_pair, b_pair) = (pairs[a], pairs[b]);
        a_pair.0.total_cmp(&b_pair.0).then(b_pair.1.total_cmp(&a_pair.1)).then(a.cmp(&b))
    });
    let mut best = f64::NEG_INFINITY;
    order.retain(|&i| {
        let better = pairs[i].1 > best;
        best = best.max(pairs[i].1);
        better
    });
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn front_of_a_few() {
        let pairs = [(4.0, 90.0), (2.0, 50.0), (4.0, 91.0), (8.0, 90.5), (2.0, 50.0), (8.0, 92.0)];
        assert_eq!(pareto(&pairs), [1, 2, 5]);
    }

    proptest! {
        #[test]
        fn front_is_exactly_what_nothing_beats(
            pairs in prop::collection::vec((0_u8..20, 0_u8..20), 1..30)
        ) {
            let pairs: Vec<(f64, f64)> =
                pairs.into_iter().map(|(x, y)| (f64::from(x), f64::from(y))).collect();
            let front = pareto(&pairs);
            for (i, p) in pairs.iter().enumerate() {
                let beaten = pairs.iter().any(|q| {
                    (q.0 <= p.0 && q.1 > p.1) || (q.0 < p.0 && q.1 >= p.1)
                });
                let shown = front.iter().any(|&f| pairs[f] == *p);
                prop_assert_eq!(shown, !beaten, "{}: {:?}", i, p);
            }
        }
    }
}
