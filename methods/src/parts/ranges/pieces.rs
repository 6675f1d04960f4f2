//! What an estimator reads of a histogram, whatever its bins.

use super::Summary;

/// A bin with values in it, its ends moved to the extremes of the values where it is wider.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Piece {
    /// Smallest value that may lie in it.
    pub left: f64,
    /// Largest value that may lie in it; not below `left`.
    pub right: f64,
    /// Number of values.
    pub count: f64,
    /// Sum of the values.
    pub sum: f64,
    /// Sum of their squares.
    pub squares: f64,
}

impl Piece {
    /// Share of the piece between two values, its density taken as uniform.
    pub(super) fn share(&self, from: f64, to: f64) -> f64 {
        let width = self.right - self.left;
        if width > 0.0 {
            ((to.min(self.right) - from.max(self.left)) / width).max(0.0)
        } else {
            f64::from(u8::from(from <= self.left && self.left < to))
        }
    }

    /// Its values' magnitudes: one piece, or two where zero lies inside.
    fn magnitudes(self) -> impl Iterator<Item = Piece> {
        let mirror = |p: Piece| Piece { left: -p.right, right: -p.left, sum: -p.sum, ..p };
        let below = self.share(f64::NEG_INFINITY, 0.0);
        let part = |left, right, share| Piece {
            left,
            right,
            count: self.count * share,
            sum: 0.5 * (left + right) * self.count * share,
            squares: (left * left + left * right + right * right) / 3.0 * self.count * share,
        };
        let parts = if self.left >= 0.0 {
            [Some(self), None]
        } else if self.right <= 0.0 {
            [Some(mirror(self)), None]
        } else {
            let negative = mirror(part(self.left, 0.0, below));
            [Some(negative), Some(part(0.0, self.right, 1.0 - below))]
        };
        parts.into_iter().flatten()
    }
}

/// The bins that hold values, in order; none without a histogram.
pub(super) fn pieces(seen: &Summary) -> Vec<Piece> {
    let (lo, hi) = seen.extent.with_zero();
    let (lo, hi) = (f64::from(lo), f64::from(hi));
    let bins = seen.histogram.iter().flat_map(super::Histogram::bins);
    bins.filter(|(_, _, [count, ..])| *count > 0.0)
        .map(|(left, right, [count, sum, squares])| {
            let left = left.clamp(lo, hi);
            Piece { left, right: right.clamp(left, hi), count, sum, squares }
        })
        .collect()
}

/// The same for magnitudes; pieces of positive and negative values overlap.
pub(super) fn magnitudes(seen: &Summary) -> Vec<Piece> {
    pieces(seen).into_iter().flat_map(Piece::magnitudes).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn pieces_hold_every_value_that_is_not_zero(
            values in prop::collection::vec(-3f32..5.0, 1..200),
        ) {
            let seen = Summary::of(&values);
            let (lo, hi) = seen.extent.with_zero();
            for list in [pieces(&seen), magnitudes(&seen)] {
                let count: f64 = list.iter().map(|p| p.count).sum();
                prop_assert!((count - values.iter().filter(|v| **v != 0.0).count() as f64).abs() < 1e-9);
                prop_assert!(list.iter().all(|p| p.left <= p.right));
            }
            let inside = |p: &Piece| p.left >= f64::from(lo) && p.right <= f64::from(hi);
            prop_assert!(pieces(&seen).iter().all(inside));
            let sum: f64 = magnitudes(&seen).iter().map(|p| p.sum).sum();
            let want: f64 = values.iter().map(|v| f64::from(v.abs())).sum();
            // Only the bin around zero is not exact.
            prop_assert!((sum - want).abs() < 0.01 * values.len() as f64);
        }
    }
}
