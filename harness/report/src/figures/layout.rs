//! Keeps markers and labels out of each other's way.

/// A rectangle in pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rect {
    /// Left edge.
    pub x: f64,
    /// Upper edge.
    pub y: f64,
    /// Width.
    pub w: f64,
    /// Height.
    pub h: f64,
}

impl Rect {
    /// The square of half width `r` about a point.
    pub fn about((x, y): (f64, f64), r: f64) -> Self {
        Self { x: x - r, y: y - r, w: 2.0 * r, h: 2.0 * r }
    }

    /// The area that two rectangles share.
    pub fn overlap(&self, other: &Self) -> f64 {
        let w = (self.x + self.w).min(other.x + other.w) - self.x.max(other.x);
        let h = (self.y + self.h).min(other.y + other.h) - self.y.max(other.y);
        w.max(0.0) * h.max(0.0)
    }

    /// The area of this rectangle that lies outside the other.
    fn outside(&self, frame: &Self) -> f64 {
        self.w * self.h - self.overlap(frame)
    }
}

/// Moves markers sideways until no two are closer than `distance`, each cluster about its centre.
///
/// Heights are kept: the accuracy is read exactly, the size to within a marker.
pub fn dodge(points: &[(f64, f64)], distance: f64) -> Vec<(f64, f64)> {
    let mut moved = points.to_vec();
    for cluster in clusters(points, |a, b| (a.0 - b.0).hypot(a.1 - b.1) < distance) {
        if cluster.len() < 2 {
            continue;
        }
        let mut order = cluster.clone();
        order.sort_by(|&a, &b| points[a].0.total_cmp(&points[b].0).then(a.cmp(&b)));
        let centre = order.iter().map(|&i| points[i].0).sum::<f64>() / order.len() as f64;
        let left = centre - distance * (order.len() - 1) as f64 / 2.0;
        for (rank, &i) in order.iter().enumerate() {
            moved[i].0 = left + distance * rank as f64;
        }
    }
    moved
}

/// Groups of indices connected by a relation, each in ascending order.
pub fn clusters<T>(items: &[T], near: impl Fn(&T, &T) -> bool) -> Vec<Vec<usize>> {
    let mut home: Vec<usize> = (0..items.len()).collect();
    for i in 0..items.len() {
        for j in 0..i {
            let (a, b) = (home[i], home[j]);
            if a != b && near(&items[i], &items[j]) {
                home.iter_mut().filter(|h| **h == a).for_each(|h| *h = b);
            }
        }
    }
    let mut groups: Vec<Vec<usize>> = vec![Vec::new(); items.len()];
    for (i, &h) in home.iter().enumerate() {
        groups[h].push(i);
    }
    groups.retain(|g| !g.is_empty());
    groups
}

/// Finds a place for a label of the given size near a box, where it covers least.
///
/// Candidates stand around the box at growing distance; the first that covers nothing wins.
pub fn place(near: Rect, (w, h): (f64, f64), frame: &Rect, obstacles: &[Rect]) -> Rect {
    let mut best = (f64::INFINITY, Rect { x: near.x, y: near.y, w, h });
    let (cx, cy) = (near.x + near.w / 2.0, near.y + near.h / 2.0);
    for gap in [2.0, 8.0, 16.0, 26.0] {
        let (left, right) = (near.x - gap - w, near.x + near.w + gap);
        let (above, below) = (near.y - gap - h, near.y + near.h + gap);
        let (mid_x, mid_y) = (cx - w / 2.0, cy - h / 2.0);
        let around = [
            (mid_x, above),
            (mid_x, below),
            (right, mid_y),
            (left, mid_y),
            (right, above),
            (left, above),
            (right, below),
            (left, below),
        ];
        for (x, y) in around {
            let rect = Rect { x, y, w, h };
            let covered: f64 = obstacles.iter().map(|o| rect.overlap(o)).sum();
            // Leaving the frame is worse than covering something; a label far off names nothing.
            let cost = covered + 20.0 * rect.outside(frame) + gap;
            if cost < best.0 - 1e-9 {
                best = (cost, rect);
            }
        }
    }
    best.1
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn markers_on_one_spot_stand_side_by_side() {
        let moved = dodge(&[(10.0, 5.0), (10.0, 5.0), (10.0, 5.0), (90.0, 5.0)], 10.0);
        assert_eq!(moved, [(0.0, 5.0), (10.0, 5.0), (20.0, 5.0), (90.0, 5.0)]);
    }

    #[test]
    fn a_label_avoids_what_is_above() {
        let frame = Rect { x: 0.0, y: 0.0, w: 100.0, h: 100.0 };
        let marker = Rect::about((50.0, 50.0), 5.0);
        let above = Rect { x: 0.0, y: 0.0, w: 100.0, h: 45.0 };
        let label = place(marker, (20.0, 10.0), &frame, &[marker, above]);
        assert!(label.y >= 55.0);
    }

    #[test]
    fn a_label_stays_in_its_frame() {
        let frame = Rect { x: 0.0, y: 0.0, w: 100.0, h: 100.0 };
        let label = place(Rect::about((97.0, 3.0), 3.0), (20.0, 10.0), &frame, &[]);
        assert!(label.outside(&frame) < 1e-9);
    }

    proptest! {
        #[test]
        fn dodging_keeps_heights_and_parts_a_cluster(
            points in prop::collection::vec((0.0_f64..3.0, 0.0_f64..3.0), 2..8)
        ) {
            let moved = dodge(&points, 8.0);
            for i in 0..points.len() {
                prop_assert_eq!(points[i].1, moved[i].1);
                for j in 0..i {
                    prop_assert!((moved[i].0 - moved[j].0).abs() > 8.0 - 1e-9);
                }
            }
        }
    }
}
