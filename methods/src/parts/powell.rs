//! Powell's method: a minimum of a function of several numbers without its gradient, by searches
//! along one direction after the other (Powell 1964; the update of directions and its conditions
//! as in Press et al., Numerical Recipes, section 10.7).

/// A function of several numbers that is minimised.
pub trait Function {
    /// Why it has no value somewhere.
    type Error;

    /// Its value.
    fn at(&mut self, point: &[f64]) -> Result<f64, Self::Error>;
}

/// How far and how long is searched.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Search {
    /// Smallest and largest value of each number.
    pub bounds: (f64, f64),
    /// First step along a direction.
    pub step: f64,
    /// Width of the interval in which a minimum along a direction has to be known.
    pub tolerance: f64,
    /// Values per direction at most.
    pub values: usize,
    /// Rounds over all directions at most.
    pub passes: usize,
    /// The search ends after a pass that gains less than this share of the value.
    pub gain: f64,
}

/// A place and the value there.
#[derive(Debug, Clone, PartialEq)]
pub struct Place {
    /// Where.
    pub point: Vec<f64>,
    /// The value.
    pub value: f64,
}

/// Minimises from a place on; never gives one with a larger value. `step` is called after each
/// direction with the number of directions done and in all.
pub fn minimise<F: Function>(
    function: &mut F,
    start: Place,
    search: &Search,
    step: &mut dyn FnMut(usize, usize) -> Result<(), F::Error>,
) -> Result<Place, F::Error> {
    let n = start.point.len();
    let axis = |i: usize| (0..n).map(|j| f64::from(u8::from(i == j))).collect::<Vec<f64>>();
    let mut directions: Vec<Vec<f64>> = (0..n).map(axis).collect();
    let mut at = start;
    for pass in 0..search.passes {
        let before = at.clone();
        let mut steepest = (0, 0.0);
        for (i, direction) in directions.iter().enumerate() {
            let value = at.value;
            at = along(function, at, direction, search)?;
            if value - at.value > steepest.1 {
                steepest = (i, value - at.value);
            }
            step(pass * n + i + 1, search.passes * n)?;
        }
        let gained = before.value - at.value;
        if gained <= search.gain * before.value.abs() || pass + 1 == search.passes {
            break;
        }
        let moved: Vec<f64> = at.point.iter().zip(&before.point).map(|(a, b)| a - b).collect();
        let beyond: Vec<f64> = at.point.iter().zip(&moved).map(|(a, m)| a + m).collect();
        let (low, high) = search.bounds;
        if beyond.iter().any(|v| *v < low || *v > high) {
            continue;
        }
        let further = function.at(&beyond)?;
        let (f0, f1, largest) = (before.value, at.value, steepest.1);
        let worth = 2.0 * (f0 - 2.0 * f1 + further) * (f0 - f1 - largest).powi(2)
            < largest * (f0 - further).powi(2);
        if further < f0 && worth {
            at = along(function, at, &moved, search)?;
            directions.remove(steepest.0);
            directions.push(moved);
        }
    }
    Ok(at)
}

/// The shorter part of a length that is divided by the golden section.
const GOLDEN: f64 = 0.381_966_011_250_105;

/// A value along a direction.
#[derive(Debug, Clone, Copy)]
struct Point {
    t: f64,
    value: f64,
}

/// A minimum along a direction: an interval around it is found by steps that grow, and narrowed by
/// parabolas through its ends and the best value, or by the golden section where these do not help.
fn along<F: Function>(
    function: &mut F,
    from: Place,
    direction: &[f64],
    search: &Search,
) -> Result<Place, F::Error> {
    let (low, high) = limits(&from.point, direction, search.bounds);
    let place = |t: f64| from.point.iter().zip(direction).map(|(x, d)| x + t * d).collect();
    let mut value = |t: f64| {
        let point: Vec<f64> = place(t);
        Ok(Point { t, value: function.at(&point)? })
    };
    let zero = Point { t: 0.0, value: from.value };
    let mut three = bracket(zero, (low, high), search, &mut value)?;
    let used = three.used;
    for _ in used..search.values {
        let width = three.high.t - three.low.t;
        if width <= search.tolerance {
            break;
        }
        let t = three.next(0.25 * search.tolerance);
        three.take(value(t)?);
    }
    let best = three.best;
    Ok(if best.value < from.value {
        Place { point: place(best.t), value: best.value }
    } else {
        from
    })
}

/// The interval of a direction within bounds.
fn limits(point: &[f64], direction: &[f64], (low, high): (f64, f64)) -> (f64, f64) {
    let mut range = (f64::NEG_INFINITY, f64::INFINITY);
    for (x, d) in point.iter().zip(direction).filter(|(_, d)| **d != 0.0) {
        let ends = ((low - x) / d, (high - x) / d);
        range.0 = range.0.max(ends.0.min(ends.1));
        range.1 = range.1.min(ends.0.max(ends.1));
    }
    (range.0.min(0.0), range.1.max(0.0))
}

/// The ends of an interval and the best point that is known in it.
struct Three {
    low: Point,
    best: Point,
    high: Point,
    used: usize,
}

/// Steps from zero, each twice as long as the one before, until a value is worse than the best one.
/// Where no further value may be asked for, the best one is also an end.
fn bracket<E>(
    zero: Point,
    (low, high): (f64, f64),
    search: &Search,
    value: &mut impl FnMut(f64) -> Result<Point, E>,
) -> Result<Three, E> {
    let (mut used, mut best) = (0, zero);
    // What bounds the minimum on either side.
    let mut ends: [Option<Point>; 2] = [None, None];
    for (side, sign) in [(0, 1.0), (1, -1.0)] {
        let limit = if side == 0 { high } else { low };
        let (mut step, mut behind) = (search.step, best);
        while ends[side].is_none() && used < search.values {
            let t = (best.t + sign * step).clamp(low, high);
            if (t - best.t).abs() < 0.5 * search.tolerance {
                ends[side] = Some(best);
                break;
            }
            let next = value(t)?;
            used += 1;
            if next.value < best.value {
                (behind, best) = (best, next);
                step *= 2.0;
                if next.t == limit {
                    ends[side] = Some(next);
                }
            } else {
                ends[side] = Some(next);
            }
        }
        if behind.t != best.t {
            // The way back is known to be worse.
            ends[1 - side] = Some(behind);
            break;
        }
    }
    let [a, b] = ends.map(|end| end.unwrap_or(best));
    let (low, high) = if a.t < b.t { (a, b) } else { (b, a) };
    Ok(Three { low, best, high, used })
}

impl Three {
    /// Where to look next: the minimum of the parabola through the three, if it lies inside and not
    /// at the best point, else the golden section of the wider side.
    fn next(&self, least: f64) -> f64 {
        let Three { low: a, best: b, high: c, .. } = self;
        let (left, right) = (b.t - a.t, c.t - b.t);
        let r = left * (b.value - c.value);
        let q = right * (b.value - a.value);
        let divisor = 2.0 * (r + q);
        let parabola = b.t - (right * q - left * r) / divisor;
        let inside = parabola > a.t + least && parabola < c.t - least;
        if divisor.abs() > 0.0 && inside && (parabola - b.t).abs() > least {
            return parabola;
        }
        if left > right { b.t - GOLDEN * left } else { b.t + GOLDEN * right }
    }

    fn take(&mut self, new: Point) {
        if new.value < self.best.value {
            if new.t < self.best.t {
                self.high = self.best;
            } else {
                self.low = self.best;
            }
            self.best = new;
        } else if new.t < self.best.t {
            self.low = new;
        } else {
            self.high = new;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::convert::Infallible;

    struct Counted<F>(F, usize, (f64, f64));

    impl<F: Fn(&[f64]) -> f64> Function for Counted<F> {
        type Error = Infallible;

        fn at(&mut self, point: &[f64]) -> Result<f64, Infallible> {
            self.1 += 1;
            let (low, high) = (self.2.0 - 1e-12, self.2.1 + 1e-12);
            assert!(point.iter().all(|x| (low..=high).contains(x)), "{point:?}");
            Ok((self.0)(point))
        }
    }

    fn search(passes: usize) -> Search {
        let bounds = (-2.0, 2.0);
        Search { bounds, step: 0.1, tolerance: 1e-4, values: 40, passes, gain: 1e-12 }
    }

    fn go(f: impl Fn(&[f64]) -> f64, start: &[f64], search: &Search) -> (Place, usize) {
        let start = Place { point: start.to_vec(), value: f(start) };
        let mut counted = Counted(f, 0, search.bounds);
        let found = minimise(&mut counted, start, search, &mut |_, _| Ok(())).unwrap();
        (found, counted.1)
    }

    proptest! {
        #[test]
        fn a_quadratic_is_minimised_within_bounds(
            a in -1.5f64..1.5, b in -1.5f64..1.5, skew in -0.9f64..0.9, x in -2f64..2.0,
        ) {
            let f = |p: &[f64]| {
                let (u, v) = (p[0] - a, p[1] - b);
                u * u + v * v + 2.0 * skew * u * v + 1.0
            };
            let (found, _) = go(f, &[x, -x], &search(30));
            prop_assert!((found.value - 1.0).abs() < 1e-4, "{found:?}");
            prop_assert_eq!(found.value, f(&found.point));
        }

        #[test]
        fn nothing_gets_worse_and_no_more_values_are_asked_for_than_allowed(
            numbers in prop::collection::vec(-3f64..3.0, 3), values in 1usize..12,
        ) {
            let f = |p: &[f64]| p.iter().map(|x| (7.0 * x).sin() + x * x).sum::<f64>();
            let start: Vec<f64> = numbers.iter().map(|x| x.clamp(-2.0, 2.0)).collect();
            let search = Search { values, ..search(2) };
            let (found, asked) = go(f, &start, &search);
            prop_assert!(found.value <= f(&start));
            // Two passes over three directions, one extrapolation with a search of its own.
            prop_assert!(asked <= 7 * values + 1, "{asked}");
        }
    }

    #[test]
    fn a_minimum_beyond_the_bounds_is_found_at_them() {
        let (found, _) = go(|p| (p[0] - 5.0).powi(2), &[0.3], &search(3));
        assert!((found.point[0] - 2.0).abs() < 1e-3, "{found:?}");
        let (found, _) = go(|p| (p[0] + 5.0).powi(2), &[0.3], &search(3));
        assert!((found.point[0] + 2.0).abs() < 1e-3, "{found:?}");
    }

    #[test]
    fn a_narrow_valley_needs_the_direction_along_it() {
        let f = |p: &[f64]| (p[0] + p[1] - 1.0).powi(2) + 0.01 * (p[0] - p[1]).powi(2);
        let (found, _) = go(f, &[-1.0, 1.0], &search(8));
        assert!(found.value < 1e-4, "{found:?}");
    }

    #[test]
    fn a_function_that_is_flat_stays_where_it_is() {
        let (found, asked) = go(|_| 3.0, &[0.5, 0.5], &search(5));
        assert_eq!(found.point, [0.5, 0.5]);
        assert!(asked <= 80, "{asked}");
    }
}
