//! SQuant's progressive flips: rounding errors of a kernel, then of a channel, are made to cancel.
//!
//! Guo et al. 2022, arXiv:2202.07471, section 3.3 and algorithms 1 to 3. The error of an element is
//! `e = code - x` with `x` the weight in units of the scale; a *flip* moves a code to its other
//! neighbour, which changes the error by one in the direction of zero and past it.

/// One output channel: codes, their errors, and the codes that the grid has.
pub struct Channel<'a> {
    /// Codes; nearest levels when they come in.
    pub codes: &'a mut [i32],
    /// `code - x` for each element.
    pub errors: &'a mut [f64],
    /// Smallest and largest code.
    pub range: (i32, i32),
}

/// A flip that the channel step may do: the element, and how large its error is.
struct Candidate {
    element: usize,
    error: f64,
}

impl Channel<'_> {
    /// Both steps: kernels of `area` elements each (skipped at an area of 1), then the channel.
    ///
    /// Afterwards the channel's errors sum to at most one half in magnitude wherever the ends of
    /// the grid leave enough elements to flip, and every element's error is below one.
    pub fn balance(&mut self, area: usize) {
        let candidates =
            if area > 1 { self.kernels(area) } else { (0..self.codes.len()).collect() };
        let sum: f64 = self.errors.iter().sum();
        let order = self.flippable(&candidates, sum);
        let count = (sum.abs().round_ties_even() as usize).min(order.len());
        for candidate in &order[..count] {
            self.flip(candidate.element);
        }
    }

    /// The kernel step; gives the one element of each kernel that the channel step may flip.
    ///
    /// If a kernel was over-corrected that is the last flipped element, to be flipped back, else
    /// the next one in order.
    pub fn kernels(&mut self, area: usize) -> Vec<usize> {
        let mut kept = Vec::with_capacity(self.codes.len() / area + 1);
        for start in (0..self.codes.len()).step_by(area) {
            let elements: Vec<usize> = (start..(start + area).min(self.codes.len())).collect();
            let sum: f64 = elements.iter().map(|&i| self.errors[i]).sum();
            let order = self.flippable(&elements, sum);
            let wanted = sum.abs().round_ties_even() as usize;
            let count = wanted.min(order.len());
            for candidate in &order[..count] {
                self.flip(candidate.element);
            }
            let over = count == wanted && wanted > 0 && wanted as f64 >= sum.abs();
            let next = if over { order.get(count - 1) } else { order.get(count) };
            kept.extend(next.map(|c| c.element));
        }
        kept
    }

    /// Elements whose error has the sign of `sum` and whose other neighbour is on the grid: the
    /// largest errors first, of equal ones the first element.
    fn flippable(&self, elements: &[usize], sum: f64) -> Vec<Candidate> {
        let mut order: Vec<Candidate> = elements
            .iter()
            .filter(|&&i| self.errors[i] * sum > 0.0)
            .filter(|&&i| {
                let code = self.codes[i] - self.errors[i].signum() as i32;
                code >= self.range.0 && code <= self.range.1
            })
            .map(|&element| Candidate { element, error: self.errors[element].abs() })
            .collect();
        order.sort_by(|a, b| b.error.total_cmp(&a.error).then(a.element.cmp(&b.element)));
        order
    }

    /// Moves a code one level against the sign of its error.
    fn flip(&mut self, element: usize) {
        let step = self.errors[element].signum();
        self.codes[element] -= step as i32;
        self.errors[element] -= step;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Nearest codes of `x` on a grid so wide that its ends never matter.
    fn nearest(x: &[f64]) -> (Vec<i32>, Vec<f64>) {
        let codes: Vec<i32> = x.iter().map(|v| v.round_ties_even() as i32).collect();
        let errors = codes.iter().zip(x).map(|(&q, v)| f64::from(q) - v).collect();
        (codes, errors)
    }

    const WIDE: (i32, i32) = (-1000, 1000);

    proptest! {
        #[test]
        fn kernels_then_the_channel_cancel(
            x in prop::collection::vec(-20f64..20.0, 9..200), area in prop::sample::select(vec![1usize, 4, 9]),
        ) {
            let (mut codes, mut errors) = nearest(&x);
            let mut channel = Channel { codes: &mut codes, errors: &mut errors, range: WIDE };
            if area > 1 {
                channel.kernels(area);
                for kernel in channel.errors.chunks(area) {
                    prop_assert!(kernel.iter().sum::<f64>().abs() <= 0.5 + 1e-9);
                }
            }
            let (mut codes, mut errors) = nearest(&x);
            Channel { codes: &mut codes, errors: &mut errors, range: WIDE }.balance(area);
            prop_assert!(errors.iter().sum::<f64>().abs() <= 0.5 + 1e-9);
            for ((e, &q), x) in errors.iter().zip(&codes).zip(&x) {
                prop_assert!(e.abs() < 1.0);
                prop_assert!((f64::from(q) - x - e).abs() < 1e-9);
            }
            if area > 1 {
                for kernel in errors.chunks(area) {
                    prop_assert!(kernel.iter().sum::<f64>().abs() <= 1.0 + 1e-9);
                }
            }
        }

        #[test]
        fn flips_stay_on_the_grid(x in prop::collection::vec(-0.5f64..3.5, 1..100)) {
            let codes: Vec<i32> = x.iter().map(|v| v.round_ties_even().clamp(0.0, 3.0) as i32).collect();
            let mut errors: Vec<f64> = codes.iter().zip(&x).map(|(&q, v)| f64::from(q) - v).collect();
            let mut codes = codes;
            let before: f64 = errors.iter().sum();
            Channel { codes: &mut codes, errors: &mut errors, range: (0, 3) }.balance(9);
            prop_assert!(codes.iter().all(|q| (0..=3).contains(q)));
            prop_assert!(errors.iter().all(|e| e.abs() < 1.0));
            prop_assert!(errors.iter().sum::<f64>().abs() <= before.abs().max(0.5) + 1e-9);
        }
    }

    #[test]
    fn a_worked_kernel() {
        // Errors 0.4, 0.3, 0.3, 0.2 sum to 1.2: one flip, of the largest, leaves 0.2.
        let (mut codes, mut errors) = nearest(&[0.6, 1.7, 2.7, 3.8]);
        let mut channel = Channel { codes: &mut codes, errors: &mut errors, range: WIDE };
        let candidates = channel.kernels(4);
        assert_eq!(channel.codes, [0, 2, 3, 4]);
        assert_eq!(candidates, [1]);
    }

    #[test]
    fn an_over_corrected_kernel_offers_its_last_flip() {
        // Errors 0.4 and 0.3 sum to 0.7: one flip leaves -0.3.
        let (mut codes, mut errors) = nearest(&[0.6, 1.7]);
        let mut channel = Channel { codes: &mut codes, errors: &mut errors, range: WIDE };
        assert_eq!(channel.kernels(2), [0]);
        assert_eq!(channel.codes, [0, 2]);
    }
}
