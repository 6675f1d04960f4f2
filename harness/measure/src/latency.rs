//! How long pieces of work take on this machine, one against the other.

use std::time::Instant;

/// How often work is repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repeats {
    /// Rounds before anything is measured.
    pub warm_up: usize,
    /// Measured rounds.
    pub rounds: usize,
}

/// Wall seconds of each of several pieces of work, round by round in turn, so that whatever else
/// the machine does meets all of them alike.
///
/// # Errors
/// That of the first piece that fails.
pub fn interleaved<E>(
    work: &mut [&mut dyn FnMut() -> Result<(), E>],
    how: Repeats,
) -> Result<Vec<Vec<f64>>, E> {
    let mut seconds = vec![Vec::with_capacity(how.rounds); work.len()];
    for round in 0..how.warm_up + how.rounds {
        for (one, seconds) in work.iter_mut().zip(&mut seconds) {
            let start = Instant::now();
            one()?;
            if round >= how.warm_up {
                seconds.push(start.elapsed().as_secs_f64());
            }
        }
    }
    Ok(seconds)
}

/// Median of measured seconds with its 95 % interval, and how many lie far off.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Timed {
    /// Measurements.
    pub count: usize,
    /// Median.
    pub median: f64,
    /// Lower end of its interval.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Measurements further than three median absolute deviations from the median.
    pub outliers: usize,
}

impl Timed {
    /// Summary of at least one measurement; none without.
    ///
    /// The interval has order statistics as ends: those of ranks `n/2 -+ 0.98 sqrt(n)`, the normal
    /// approximation of the binomial (W. J. Conover, "Practical nonparametric statistics", 3rd ed.,
    /// section 3.2). No measurement is left out.
    pub fn of(seconds: &[f64]) -> Option<Self> {
        let mut sorted = seconds.to_vec();
        sorted.sort_by(f64::total_cmp);
        let n = sorted.len();
        if n == 0 {
            return None;
        }
        let median = median(&sorted);
        let (half, reach) = (n as f64 / 2.0, 0.98 * (n as f64).sqrt());
        let at = |rank: f64| sorted[(rank.max(0.0) as usize).min(n - 1)];
        let mut far: Vec<f64> = sorted.iter().map(|s| (s - median).abs()).collect();
        far.sort_by(f64::total_cmp);
        let limit = 3.0 * self::median(&far);
        Some(Self {
            count: n,
            median,
            low: at((half - reach).floor()),
            high: at((half + reach).ceil()),
            outliers: far.iter().filter(|distance| **distance > limit).count(),
        })
    }
}

/// Median of sorted numbers.
fn median(sorted: &[f64]) -> f64 {
    let n = sorted.len();
    f64::midpoint(sorted[(n - 1) / 2], sorted[n / 2])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_take_turns_and_warm_up_does_not_count() {
        let order = std::cell::RefCell::new(String::new());
        let mut a = || -> Result<(), ()> {
            order.borrow_mut().push('a');
            Ok(())
        };
        let mut b = || -> Result<(), ()> {
            order.borrow_mut().push('b');
            Ok(())
        };
        let how = Repeats { warm_up: 1, rounds: 2 };
        let seconds = interleaved(&mut [&mut a, &mut b], how).unwrap();
        assert_eq!(seconds.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2]);
        assert_eq!(order.into_inner(), "ababab");
        let mut fails = || Err("no");
        assert_eq!(interleaved(&mut [&mut fails], how), Err("no"));
    }

    #[test]
    fn the_interval_holds_the_median_and_far_ones_are_counted() {
        let mut seconds: Vec<f64> = (1..=99).map(f64::from).collect();
        seconds.push(1e6);
        let timed = Timed::of(&seconds).unwrap();
        assert_eq!((timed.median, timed.count, timed.outliers), (50.5, 100, 1));
        // Ranks 40 and 60 of a hundred: 50 -+ 9.8.
        assert_eq!((timed.low, timed.high), (41.0, 61.0));
        assert_eq!(Timed::of(&[]), None);
        let one = Timed::of(&[2.0]).unwrap();
        assert_eq!((one.low, one.median, one.high, one.outliers), (2.0, 2.0, 2.0, 0));
    }
}
