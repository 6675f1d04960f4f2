//! Reported against reproduced: drop against drop.
//!
//! [`judge`] is the verdict on numbers that may be compared; [`matching`] says which may, and why
//! others may not.

pub mod matching;

use crate::stats::Interval;

/// A mean drop within so many points of the reported ones is reproduced.
const NEAR_POINTS: f64 = 0.3;

/// What rounding to one decimal, as papers print, may hide, in points.
const ROUNDING_POINTS: f64 = 0.05;

/// The outcome of a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Our mean drop is where the sources say.
    Reproduced,
    /// It is not, but the two intervals overlap, or there is one run only.
    WithinNoise,
    /// We lose more than the sources.
    Short,
    /// We lose less.
    Better,
}

impl Verdict {
    /// As tables name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Reproduced => "reproduced",
            Self::WithinNoise => "within noise",
            Self::Short => "short",
            Self::Better => "better",
        }
    }
}

/// Our drop in points.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Own {
    /// Mean over draws and seeds.
    pub mean: f64,
    /// Its 95 % interval over draws and seeds; none for one run.
    pub interval: Option<Interval>,
}

/// The reported drops in points.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Range {
    /// Smallest of the sources.
    pub low: f64,
    /// Largest.
    pub high: f64,
    /// Half the 95 % interval of one run over test images, in points: see [`one_run`].
    pub sampling: f64,
}

impl Range {
    /// The range widened by rounding and by the sampling error of one run.
    pub fn widened(&self) -> Interval {
        let room = ROUNDING_POINTS + self.sampling;
        Interval { low: self.low - room, high: self.high + room }
    }

    /// How far a drop is from the range; nothing within it.
    pub fn distance(&self, drop: f64) -> f64 {
        (self.low - drop).max(drop - self.high).max(0.0)
    }
}

/// Half the 95 % interval of an accuracy (in percent) over so many test images, in points: 1.96
/// standard errors of a proportion. Papers print one run and no predictions, so that a paired
/// interval, which would be narrower, cannot be had.
pub fn one_run(top1_pct: f64, images: u64) -> f64 {
    let p = (top1_pct / 100.0).clamp(0.0, 1.0);
    196.0 * (p * (1.0 - p) / images.max(1) as f64).sqrt()
}

/// The verdict: *reproduced* where our mean lies in the widened range and no further than 0.3
/// points from the sources; else *within noise* where our interval meets the widened range; else
/// *short* (a larger drop) or *better*. One run is at most *within noise*, because it says nothing
/// about other draws.
pub fn judge(own: &Own, reported: &Range) -> Verdict {
    let widened = reported.widened();
    let interval = own.interval.unwrap_or(Interval { low: own.mean, high: own.mean });
    let inside = own.mean >= widened.low && own.mean <= widened.high;
    if inside && reported.distance(own.mean) <= NEAR_POINTS && own.interval.is_some() {
        Verdict::Reproduced
    } else if interval.low <= widened.high && interval.high >= widened.low {
        Verdict::WithinNoise
    } else if own.mean > widened.high {
        Verdict::Short
    } else {
        Verdict::Better
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn own(mean: f64, half: f64) -> Own {
        Own { mean, interval: Some(Interval { low: mean - half, high: mean + half }) }
    }

    #[test]
    fn the_four_verdicts_and_their_edges() {
        let reported = Range { low: 1.0, high: 1.4, sampling: 0.5 };
        let at = |mean, half| judge(&own(mean, half), &reported);
        assert_eq!(at(1.2, 0.1), Verdict::Reproduced);
        assert_eq!(at(1.69, 0.1), Verdict::Reproduced);
        // In the widened range, but further than 0.3 points from the sources.
        assert_eq!(at(1.75, 0.1), Verdict::WithinNoise);
        assert_eq!(at(2.2, 0.3), Verdict::WithinNoise);
        assert_eq!(at(2.2, 0.2), Verdict::Short);
        assert_eq!(at(0.2, 0.2), Verdict::Better);
        assert_eq!(judge(&Own { mean: 1.2, interval: None }, &reported), Verdict::WithinNoise);
        assert_eq!(judge(&Own { mean: 9.0, interval: None }, &reported), Verdict::Short);
    }

    #[test]
    fn the_sampling_error_is_that_of_a_proportion() {
        // R: 1.96 * sqrt(0.9 * 0.1 / 10000) * 100
        assert!((one_run(90.0, 10_000) - 0.588).abs() < 1e-9);
        assert_eq!(one_run(100.0, 10_000), 0.0);
    }

    proptest! {
        #[test]
        fn what_is_reproduced_overlaps_and_a_wide_interval_never_convicts(
            mean in -2.0_f64..20.0, half in 0.0_f64..5.0, low in -1.0_f64..10.0,
            width in 0.0_f64..3.0, sampling in 0.0_f64..1.0,
        ) {
            let reported = Range { low, high: low + width, sampling };
            let widened = reported.widened();
            let verdict = judge(&own(mean, half), &reported);
            let overlap = mean - half <= widened.high && mean + half >= widened.low;
            prop_assert_eq!(overlap, matches!(verdict, Verdict::Reproduced | Verdict::WithinNoise));
            if verdict == Verdict::Reproduced {
                prop_assert!(reported.distance(mean) <= 0.3);
            }
            let one = judge(&Own { mean, interval: None }, &reported);
            prop_assert_ne!(one, Verdict::Reproduced);
            // A larger drop never turns short into better.
            let later = judge(&own(mean + 30.0, half), &reported);
            prop_assert_eq!(later, Verdict::Short);
        }
    }
}
