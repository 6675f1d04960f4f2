//! Levels that are sums of a small basis (Zhang et al. 2018, LQ-Nets).

use ndarray::Array2;

use crate::parts::cholesky::inverse_factor;

/// Weight of the old basis in the normal equations, per number counted.
const RIDGE: f64 = 1e-4;

/// A basis with its levels in order.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Basis {
    numbers: Vec<f32>,
    /// What a bit that is not set stands for: -1 with signs, 0 without.
    clear: f32,
}

impl Basis {
    /// Sums with signs of `unit 2^i`.
    pub(crate) fn signed(unit: f32, bits: u8) -> Self {
        Self { numbers: powers(unit, bits), clear: -1.0 }
    }

    /// Sums without signs of `unit 2^i`.
    pub(crate) fn unsigned(unit: f32, bits: u8) -> Self {
        Self { numbers: powers(unit, bits), clear: 0.0 }
    }

    /// The basis.
    pub(crate) fn numbers(&self) -> &[f32] {
        &self.numbers
    }

    /// Puts another basis in place.
    pub(crate) fn set(&mut self, numbers: &[f32]) {
        self.numbers.copy_from_slice(numbers);
    }

    /// The factor of each number in a sum.
    fn factors(&self, code: usize) -> impl Iterator<Item = f32> {
        (0..self.numbers.len()).map(move |i| if code >> i & 1 == 1 { 1.0 } else { self.clear })
    }

    fn sum(&self, code: usize) -> f32 {
        self.factors(code).zip(&self.numbers).map(|(f, v)| f * v).sum()
    }

    /// Codes by their sums, ascending.
    fn order(&self) -> Vec<usize> {
        let mut codes: Vec<usize> = (0..1 << self.numbers.len()).collect();
        codes.sort_by(|a, b| self.sum(*a).total_cmp(&self.sum(*b)).then(a.cmp(b)));
        codes
    }

    /// The sums, ascending. Equal ones are kept a little apart, so that each is a level.
    pub(crate) fn levels(&self) -> Vec<f32> {
        let mut levels: Vec<f32> = self.order().into_iter().map(|code| self.sum(code)).collect();
        for i in 1..levels.len() {
            levels[i] = levels[i].max(levels[i - 1].next_up());
        }
        levels
    }

    /// The middles between levels.
    pub(crate) fn thresholds(&self) -> Vec<f32> {
        self.levels().windows(2).map(|pair| f32::midpoint(pair[0], pair[1])).collect()
    }

    /// How many numbers lie on each level, and their sums.
    pub(crate) fn tally(&self, numbers: &[f32]) -> Vec<(f64, f64)> {
        let thresholds = self.thresholds();
        let mut found = vec![(0f64, 0f64); thresholds.len() + 1];
        for x in numbers {
            let level = &mut found[thresholds.iter().filter(|t| x >= *t).count()];
            *level = (level.0 + 1.0, level.1 + f64::from(*x));
        }
        found
    }

    /// Moves the basis by a share towards the one with the smallest squared error for numbers that
    /// stay on their levels (equation 9); it stays where that cannot be found.
    pub(crate) fn follow(&mut self, tally: &[(f64, f64)], share: f32) {
        let n = self.numbers.len();
        let (mut normal, mut right) = (Array2::<f64>::zeros((n, n)), vec![0f64; n]);
        let mut count = 0.0;
        for (code, (numbers, sum)) in self.order().into_iter().zip(tally) {
            let factors: Vec<f64> = self.factors(code).map(f64::from).collect();
            count += numbers;
            for i in 0..n {
                right[i] += factors[i] * sum;
                for j in 0..n {
                    normal[[i, j]] += numbers * factors[i] * factors[j];
                }
            }
        }
        let ridge = RIDGE * count.max(1.0);
        for i in 0..n {
            normal[[i, i]] += ridge;
            right[i] += ridge * f64::from(self.numbers[i]);
        }
        let Some(upper) = inverse_factor(&normal) else { return };
        // The inverse is the transposed factor times the factor.
        let half: Vec<f64> =
            (0..n).map(|i| (0..n).map(|j| upper[[i, j]] * right[j]).sum()).collect();
        for j in 0..n {
            let best: f64 = (0..n).map(|i| upper[[i, j]] * half[i]).sum();
            self.numbers[j] += share * (best as f32 - self.numbers[j]);
        }
    }
}

fn powers(unit: f32, bits: u8) -> Vec<f32> {
    (0..bits).map(|i| unit * f32::from(1u8 << i)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn error(basis: &Basis, numbers: &[f32]) -> f64 {
        let (levels, thresholds) = (basis.levels(), basis.thresholds());
        let of = |x: &f32| levels[thresholds.iter().filter(|t| x >= *t).count()] - x;
        numbers.iter().map(|x| f64::from(of(x)).powi(2)).sum()
    }

    proptest! {
        #[test]
        fn alternating_does_not_raise_the_error(
            numbers in prop::collection::vec(-2f32..2.0, 30..60), bits in 1u8..4, signed: bool,
        ) {
            let mut basis = if signed { Basis::signed(0.3, bits) } else { Basis::unsigned(0.3, bits) };
            let mut before = error(&basis, &numbers);
            for _ in 0..10 {
                basis.follow(&basis.tally(&numbers), 1.0);
                let after = error(&basis, &numbers);
                prop_assert!(after <= before * (1.0 + 1e-4) + 1e-6, "{after} {before}");
                before = after;
            }
        }
    }

    #[test]
    fn a_basis_that_fits_is_found() {
        let mut basis = Basis::signed(0.3, 2);
        let numbers = [-1.5f32, -0.5, 0.5, 1.5].repeat(20);
        (0..60).for_each(|_| basis.follow(&basis.tally(&numbers), 1.0));
        let levels = basis.levels();
        for (level, want) in levels.iter().zip([-1.5, -0.5, 0.5, 1.5]) {
            assert!((level - want).abs() < 1e-2, "{levels:?}");
        }
    }
}
