//! Two networks on the same test images: intervals, tests and effect sizes.
//!
//! Both see the same images, so only those on which exactly one of them is right say anything
//! about their difference.

use statrs::distribution::{Binomial, Discrete, DiscreteCDF};

use super::Interval;

/// How often exactly one of two networks is right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Discordant {
    /// Images that the first has right and the second wrong.
    pub first: u64,
    /// The other way round.
    pub second: u64,
    /// All images.
    pub images: u64,
}

impl Discordant {
    /// Counts from predicted classes and labels; none if their numbers differ.
    pub fn of(first: &[u16], second: &[u16], labels: &[u16]) -> Option<Self> {
        if first.len() != labels.len() || second.len() != labels.len() {
            return None;
        }
        let mut counts = Self { images: labels.len() as u64, ..Self::default() };
        for ((a, b), label) in first.iter().zip(second).zip(labels) {
            match (a == label, b == label) {
                (true, false) => counts.first += 1,
                (false, true) => counts.second += 1,
                _ => {}
            }
        }
        Some(counts)
    }

    /// Accuracy of the first minus that of the second, from -1 to 1.
    pub fn difference(&self) -> f64 {
        (self.first as f64 - self.second as f64) / (self.images as f64).max(1.0)
    }

    /// 95 % interval of the difference: adjusted Wald for paired proportions.
    ///
    /// D. G. Bonett and R. M. Price, "Adjusted Wald confidence interval for a difference of
    /// binomial proportions based on paired data", J. Educ. Behav. Stat. 37, 2012: one image is
    /// added to each discordant count.
    pub fn interval(&self) -> Interval {
        let n = self.images as f64 + 2.0;
        let (a, b) = ((self.first as f64 + 1.0) / n, (self.second as f64 + 1.0) / n);
        let half = 1.959_963_984_540_054 * ((a + b - (a - b).powi(2)) / n).sqrt();
        Interval { low: (a - b - half).max(-1.0), high: (a - b + half).min(1.0) }
    }

    /// Two-sided p-value that both are equally accurate: McNemar's exact test with mid-p.
    ///
    /// M. W. Fagerland, S. Lydersen, P. Laake, "The McNemar test for binary matched-pairs data:
    /// mid-p and asymptotic are better than exact conditional", BMC Med. Res. Methodol. 13, 2013.
    pub fn mcnemar_mid_p(&self) -> f64 {
        let (least, all) = (self.first.min(self.second), self.first + self.second);
        let Some(binomial) = Binomial::new(0.5, all).ok().filter(|_| all > 0) else { return 1.0 };
        (2.0 * binomial.cdf(least) - binomial.pmf(least)).clamp(0.0, 1.0)
    }

    /// Cohen's g: how far the share of the more frequent kind of discordant images is from one
    /// half, 0 to 0.5 (J. Cohen, "Statistical power analysis", 2nd ed., chapter 5: 0.05 is small,
    /// 0.15 medium, 0.25 large). None without discordant images.
    pub fn cohens_g(&self) -> Option<f64> {
        let all = self.first + self.second;
        (all > 0).then(|| self.first.max(self.second) as f64 / all as f64 - 0.5)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn counts_are_of_images_that_one_has_right() {
        let labels = [0, 1, 2, 3];
        let counts = Discordant::of(&[0, 1, 0, 0], &[0, 0, 2, 1], &labels).unwrap();
        assert_eq!(counts, Discordant { first: 1, second: 1, images: 4 });
        assert_eq!(Discordant::of(&[0], &[0, 1], &labels), None);
    }

    #[test]
    fn p_values_are_those_of_scipy() {
        // 2 * scipy.stats.binom.cdf(k, n, 0.5) - scipy.stats.binom.pmf(k, n, 0.5)
        for (first, second, p) in
            [(10, 2, 0.022_460_937_5), (150, 100, 0.001_548_188_600_119_6), (5, 5, 1.0)]
        {
            let counts = Discordant { first, second, images: 10_000 };
            assert!((counts.mcnemar_mid_p() - p).abs() < 1e-9, "{}", counts.mcnemar_mid_p());
        }
        assert_eq!(Discordant::default().mcnemar_mid_p(), 1.0);
    }

    #[test]
    fn the_interval_is_that_of_its_formula() {
        // The formula in double precision: n = 10002, 151/n and 101/n.
        let interval = Discordant { first: 150, second: 100, images: 10_000 }.interval();
        assert!((interval.low - 0.001_889_819).abs() < 1e-9, "{interval:?}");
        assert!((interval.high - 0.008_108_182).abs() < 1e-9, "{interval:?}");
        let g = Discordant { first: 150, second: 100, images: 10_000 }.cohens_g().unwrap();
        assert!((g - 0.1).abs() < 1e-12);
    }

    proptest! {
        #[test]
        fn turning_the_pair_around_turns_the_interval_around(a in 0_u64..500, b in 0_u64..500) {
            let one = Discordant { first: a, second: b, images: 1000 };
            let other = Discordant { first: b, second: a, images: 1000 };
            prop_assert!((one.interval().low + other.interval().high).abs() < 1e-12);
            prop_assert_eq!(one.mcnemar_mid_p(), other.mcnemar_mid_p());
            let (p, interval) = (one.mcnemar_mid_p(), one.interval());
            prop_assert!((0.0..=1.0).contains(&p));
            prop_assert!(interval.low <= interval.high);
        }
    }
}
