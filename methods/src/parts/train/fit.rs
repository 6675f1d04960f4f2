//! Ranges that a grid begins with: those with the smallest squared error on what was seen.

/// At most so many numbers are looked at, evenly spread.
const LOOK: usize = 1 << 14;

/// Candidates between nothing and all of what was seen.
const CANDIDATES: u8 = 50;

fn looked_at(seen: &[f32]) -> Vec<f32> {
    seen.iter().step_by(seen.len().div_ceil(LOOK).max(1)).copied().collect()
}

fn shares() -> impl Iterator<Item = f32> + Clone {
    (1..=CANDIDATES).map(|k| f32::from(k) / f32::from(CANDIDATES))
}

/// Squared error of numbers on the levels `low + i (high - low) / steps`.
fn error(numbers: &[f32], low: f32, high: f32, steps: f32) -> f64 {
    let step = (high - low) / steps;
    let one = |v: &f32| {
        let code = ((v - low) / step).clamp(0.0, steps).round_ties_even();
        f64::from(low + step * code - v).powi(2)
    };
    numbers.iter().map(one).sum()
}

/// The smallest error and its candidate; of equal ones the first.
fn best<T: Copy>(candidates: impl Iterator<Item = (f64, T)>) -> Option<T> {
    let mut found: Option<(f64, T)> = None;
    for candidate in candidates {
        if found.is_none_or(|f| candidate.0 < f.0) {
            found = Some(candidate);
        }
    }
    found.map(|f| f.1)
}

/// The end of levels `-end, .., end` in so many steps; 1 if all numbers seen were zero.
pub(crate) fn best_end(seen: &[f32], steps: i32) -> f32 {
    let numbers = looked_at(seen);
    let most = numbers.iter().fold(0f32, |m, v| m.max(v.abs()));
    let ends = shares().map(|s| s * most).filter(|end| *end > 0.0);
    best(ends.map(|end| (error(&numbers, -end, end, steps as f32), end))).unwrap_or(1.0)
}

/// Ends of levels `low, .., high` in so many steps, chosen together; 0 and 1 if all numbers seen
/// were zero. The low end is zero where nothing negative was seen.
pub(crate) fn best_range(seen: &[f32], steps: i32) -> (f32, f32) {
    let numbers = looked_at(seen);
    let (least, most) = numbers.iter().fold((0f32, 0f32), |(l, m), v| (l.min(*v), m.max(*v)));
    let lows: Vec<f32> =
        if least < 0.0 { shares().map(|s| s * least).collect() } else { vec![0.0] };
    let highs = shares().map(|s| s * most);
    let pairs = lows.iter().flat_map(|low| highs.clone().map(move |high| (*low, high)));
    let pairs = pairs.filter(|(low, high)| high > low);
    best(pairs.map(|(low, high)| (error(&numbers, low, high, steps as f32), (low, high))))
        .unwrap_or((0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_on_a_grid_find_it() {
        let seen: Vec<f32> = (0..400).map(|i| (i % 4) as f32 * 0.5).collect();
        assert_eq!(best_range(&seen, 3), (0.0, 1.5));
        let signed: Vec<f32> = seen.iter().map(|v| v - 0.75).collect();
        assert!((best_end(&signed, 3) - 0.75).abs() < 1e-6);
        let moved: Vec<f32> = seen.iter().map(|v| v - 0.6).collect();
        let (low, high) = best_range(&moved, 3);
        assert!((low + 0.6).abs() < 1e-6 && (high - 0.9).abs() < 1e-6, "{low} {high}");
    }

    #[test]
    fn few_far_away_are_given_up() {
        let mut seen: Vec<f32> = (0..1000).map(|i| (i % 100) as f32 / 100.0).collect();
        seen.push(8.0);
        assert!(best_range(&seen, 3).1 < 2.0);
        assert_eq!(best_range(&[0.0; 8], 3), (0.0, 1.0));
        assert_eq!(best_end(&[], 3), 1.0);
    }
}
