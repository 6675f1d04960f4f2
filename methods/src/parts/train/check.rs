//! For tests: slopes of a curve against differences of the function that it passes off as its own.

use quantbench_engine::autodiff::ops::Curve;
use quantbench_engine::autodiff::{BLOCK, Lanes};

/// Asserts that at `x` the slopes are those of `soft`, a smooth function of parameters and number;
/// those of parameters times `rates`.
pub(crate) fn slopes_are_those_of<C: Curve>(
    curve: &C,
    p: &[f32],
    x: f32,
    rates: &[f64],
    soft: impl Fn(&[f64], f64) -> f64,
) {
    const FAR: f64 = 1e-5;
    let mut gradient = Lanes([1.0; BLOCK]);
    let mut sums = vec![Lanes::ZERO; p.len()];
    curve.slope(p, &Lanes([x; BLOCK]), &mut gradient, &mut sums);
    let p: Vec<f64> = p.iter().map(|v| f64::from(*v)).collect();
    let x = f64::from(x);
    let near = |found: f32, want: f64, what: &str| {
        let off = (f64::from(found) - want).abs();
        assert!(off <= 2e-3 * want.abs().max(1.0), "{what} at {x}: {found}, expected {want}");
    };
    let by_x = (soft(&p, x + FAR) - soft(&p, x - FAR)) / (2.0 * FAR);
    near(gradient.0[0], by_x, "the number's slope");
    for (i, sum) in sums.iter().enumerate() {
        let moved = |by: f64| {
            let mut p = p.clone();
            p[i] += by;
            soft(&p, x)
        };
        let by_p = rates[i] * (moved(FAR) - moved(-FAR)) / (2.0 * FAR);
        near(sum.0[0], by_p, &format!("parameter {i}'s slope"));
    }
}
