//! The ten figures as predicates over integer coordinates, and their placement in the image.

/// Names of the classes; the index is the label.
pub const CLASSES: [&str; 10] = [
    "disc",
    "ring",
    "square",
    "frame",
    "triangle",
    "cross",
    "crescent",
    "dome",
    "bars",
    "hourglass",
];

/// Whether the point lies in the figure of the class.
///
/// Every figure lies within the circle of radius 1024 about the origin.
fn inside(class: u8, u: i32, v: i32) -> bool {
    let square = |half: i32| u.abs() <= half && v.abs() <= half;
    let disc = |cu: i32, cv: i32, r: i32| (u - cu) * (u - cu) + (v - cv) * (v - cv) <= r * r;
    match class {
        0 => disc(0, 0, 880),
        1 => disc(0, 0, 960) && !disc(0, 0, 540),
        2 => square(720),
        3 => square(740) && !square(400),
        // Equilateral: base at v = -500, the other two sides at 60 degrees (7/4 for sqrt(3)).
        4 => v >= -500 && 4 * v + 7 * u.abs() <= 4000,
        5 => (u.abs() <= 260 && v.abs() <= 940) || (v.abs() <= 260 && u.abs() <= 940),
        6 => disc(0, 0, 980) && !disc(480, 0, 760),
        7 => disc(0, -360, 980) && v >= -360,
        8 => square(800) && (u.abs() <= 190 || u.abs() >= 430),
        _ => v.abs() <= 800 && 5 * u.abs() <= 4 * v.abs() + 500,
    }
}

/// Sine of `turn`/1024 of a full turn, in 1/4096, by Bhaskara's rational approximation.
fn sine(turn: i32) -> i32 {
    let turn = turn.rem_euclid(1024);
    let half = turn % 512;
    let arch = half * (512 - half);
    let value = 16 * arch * 4 / ((5 * 512 * 512 - 4 * arch) / 1024);
    if turn < 512 { value } else { -value }
}

/// A figure at its place: centre and radius in quarter pixels, rotation in 1/1024 turns.
pub(super) struct Placed {
    class: u8,
    centre: (i32, i32),
    radius: i32,
    /// Cosine and sine over the radius, so that a product with a quarter-pixel offset is in
    /// 1/1024 of the radius after a shift by 8.
    axis: (i32, i32),
}

impl Placed {
    pub(super) fn new(class: u8, centre: (i32, i32), radius: i32, turn: i32) -> Self {
        let over = |value: i32| value * 64 / radius;
        let axis = (over(sine(turn + 256)), over(sine(turn)));
        Self { class, centre, radius, axis }
    }

    /// How many of the pixel's four sub-pixels the figure covers.
    pub(super) fn coverage(&self, x: i32, y: i32) -> i32 {
        let (dx, dy) = (4 * x + 2 - self.centre.0, 4 * y + 2 - self.centre.1);
        if dx.abs().max(dy.abs()) > self.radius + 2 {
            return 0;
        }
        let mut covered = 0;
        for (sx, sy) in [(-1, -1), (1, -1), (-1, 1), (1, 1)] {
            let (px, py) = (dx + sx, dy + sy);
            let u = (px * self.axis.0 + py * self.axis.1) >> 8;
            let v = (py * self.axis.0 - px * self.axis.1) >> 8;
            covered += i32::from(inside(self.class, u, v));
        }
        covered
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sine_is_within_a_third_of_a_percent() {
        for turn in -1024..2048 {
            let exact = (f64::from(turn) * std::f64::consts::TAU / 1024.0).sin();
            let ours = f64::from(sine(turn)) / 4096.0;
            assert!((exact - ours).abs() < 0.0033, "{turn}: {ours} for {exact}");
        }
    }

    #[test]
    fn figures_stay_in_their_circle_and_differ() {
        let grid = || (-1100..=1100).step_by(20);
        let mut masks = Vec::new();
        for class in 0..CLASSES.len() as u8 {
            let mut mask = Vec::new();
            for v in grid() {
                for u in grid() {
                    let covered = inside(class, u, v);
                    assert!(!covered || u * u + v * v <= 1200 * 1200, "{class} at {u},{v}");
                    mask.push(covered);
                }
            }
            assert!(mask.iter().filter(|m| **m).count() > 1000, "class {class} is too thin");
            masks.push(mask);
        }
        masks.sort();
        masks.dedup();
        assert_eq!(masks.len(), CLASSES.len());
    }
}
