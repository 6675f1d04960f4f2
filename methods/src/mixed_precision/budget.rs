//! What the free layers may cost together, and the widths that make the best of it.

use quantbench_core::Bits;
use quantbench_core::evidence;
use quantbench_graph::{Layer, WeightSite};

use super::{WIDTHS, widths};
use crate::contract::{Job, MethodError};
use crate::parts::allocate::{Choice, Front, Infeasible, allocate, evenly};

/// Points of a front that are kept as evidence.
const STORED: usize = 64;

/// What the free layers may cost together.
pub(super) struct Budget {
    /// Cost of one bit of each free layer.
    each: Vec<u64>,
    /// What may be spent.
    total: u64,
    unit: &'static str,
    /// The mean width that was asked, if the budget is not the spec's.
    mean_bits: Option<f64>,
}

/// Widths with what there is to say about them.
pub(super) struct Chosen {
    /// Width of each free layer.
    pub(super) widths: Vec<Bits>,
    /// About the budget.
    pub(super) note: String,
    /// What else could have been had.
    pub(super) front: evidence::Front,
}

impl Budget {
    /// What the uniform widths cost, or what `mean_bits` asks. Refused where a free layer shares
    /// its weights with another: one of the two widths would not be what was chosen and counted.
    pub(super) fn new(
        job: &Job<'_>,
        free: &[&WeightSite],
        method: &'static str,
    ) -> Result<Self, MethodError> {
        let layer = |site: &WeightSite| &job.layers[site.layer];
        for site in free {
            let twin = |other: &&WeightSite| {
                other.layer != site.layer && layer(other).weight == layer(site).weight
            };
            if let Some(other) = job.sites.weights.iter().find(twin) {
                let reason = shared(layer(site), layer(other));
                return Err(MethodError::Unfit { method, reason });
            }
        }
        let operations = job.choice("budget") == "bit-operations";
        let unit = if operations { "bit operations per image" } else { "bits of weights" };
        let one = |site: &&WeightSite| {
            let layer = layer(site);
            if operations {
                layer.macs * u64::from(job.sites.input_bits(job.graph, layer).get())
            } else {
                layer.parameters()
            }
        };
        let each: Vec<u64> = free.iter().map(one).collect();
        let mean_bits = Some(job.float("mean_bits")).filter(|mean| *mean > 0.0);
        let total = match mean_bits {
            Some(mean) => (mean * each.iter().sum::<u64>() as f64) as u64,
            None => each.iter().zip(free).map(|(e, site)| e * u64::from(site.bits.get())).sum(),
        };
        Ok(Self { each, total, unit, mean_bits })
    }

    /// Cost of the same width everywhere.
    fn uniform(&self, bits: u8) -> u64 {
        self.each.iter().sum::<u64>() * u64::from(bits)
    }

    /// The widths where the budget leaves no choice: the smallest everywhere if it allows no
    /// more, the largest everywhere if it allows that. Nothing has to be measured then.
    pub(super) fn without_choice(&self) -> Option<(Vec<Bits>, String)> {
        if self.each.is_empty() {
            let note = "the rules leave no layer free: nothing to choose".to_string();
            return Some((Vec::new(), note));
        }
        let (small, large) = (WIDTHS[0], WIDTHS[WIDTHS.len() - 1]);
        let (bits, word) = if self.total == self.uniform(small) {
            (small, "smallest")
        } else if self.total >= self.uniform(large) {
            (large, "largest")
        } else {
            return None;
        };
        let note = format!(
            "budget of {} {} leaves nothing to choose: every free layer gets the {word} width, \
             {bits} bits",
            self.total, self.unit
        );
        Some((vec![Bits::new(bits).ok()?; self.each.len()], note))
    }

    /// Refuses a budget below the smallest widths, in the unit in which it was asked.
    pub(super) fn is_feasible(&self) -> Result<(), MethodError> {
        let smallest = self.uniform(WIDTHS[0]);
        if self.total >= smallest { Ok(()) } else { Err(self.infeasible(smallest)) }
    }

    fn infeasible(&self, smallest: u64) -> MethodError {
        match self.mean_bits {
            Some(asked) => {
                let (smallest, unit) = (f64::from(WIDTHS[0]), "mean bits");
                MethodError::Infeasible { asked, smallest, unit }
            }
            None => MethodError::Infeasible {
                asked: self.total as f64,
                smallest: smallest as f64,
                unit: self.unit,
            },
        }
    }

    /// The widths with the smallest total loss: a point of the front of all allocations.
    pub(super) fn choose(&self, losses: &[Vec<f64>]) -> Result<Chosen, MethodError> {
        let row = |(each, losses): (&u64, &Vec<f64>)| {
            let choice =
                |(bits, &loss): (Bits, &f64)| Choice { cost: each * u64::from(bits.get()), loss };
            widths().zip(losses).map(choice).collect()
        };
        let layers: Vec<Vec<Choice>> = self.each.iter().zip(losses).map(row).collect();
        let chosen = allocate(&layers, self.total)
            .map_err(|Infeasible(smallest)| self.infeasible(smallest))?;
        let spent = layers
            .iter()
            .zip(&chosen)
            .fold((0, 0.0), |(cost, loss), (row, &c)| (cost + row[c].cost, loss + row[c].loss));
        let front = Front::new(&layers);
        let points = around(front.points(), spent);
        let size = points.len();
        let (points, at) = thinned(&points, spent);
        let word = if front.is_exact() { "" } else { "at least " };
        let note = format!(
            "budget of {} {}, {} used; {word}{size} allocations that no other beats",
            self.total, self.unit, spent.0
        );
        let unit = self.unit.to_string();
        let front = evidence::Front { unit, budget: self.total, points, chosen: at };
        let widths = chosen.iter().filter_map(|&c| Bits::new(WIDTHS[c]).ok()).collect();
        Ok(Chosen { widths, note, front })
    }
}

fn shared(one: &Layer, other: &Layer) -> String {
    format!(
        "layers {:?} and {:?} share the weights {:?}, so that their widths cannot be chosen one \
         by one; give each layer its own weights or take another method",
        one.name, other.name, one.weight
    )
}

/// A front with the chosen point on it: an exact one holds it already, of another the points go
/// that the chosen one beats.
fn around(mut points: Vec<(u64, f64)>, chosen: (u64, f64)) -> Vec<(u64, f64)> {
    points.retain(|p| p.0 < chosen.0 || p.1 < chosen.1);
    let at = points.partition_point(|p| p.0 < chosen.0);
    points.insert(at, chosen);
    points
}

/// At most [`STORED`] points of a front, evenly spread, both ends and the chosen one among them,
/// and the position of the latter.
fn thinned(points: &[(u64, f64)], chosen: (u64, f64)) -> (Vec<(u64, f64)>, usize) {
    let kept = evenly(points.len(), STORED - 1).map(|i| points[i]).collect();
    let kept = around(kept, chosen);
    let at = kept.iter().position(|p| *p == chosen).unwrap_or(0);
    (kept, at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn front(n: u64) -> Vec<(u64, f64)> {
        (0..n).map(|i| (10 + i, 1.0 / (1 + i) as f64)).collect()
    }

    #[test]
    fn a_stored_front_holds_its_ends_and_the_chosen_point() {
        for n in [1, 2, 63, 64, 65, 1000] {
            let all = front(n);
            for chosen in [all[0], all[all.len() / 3], all[all.len() - 1]] {
                let (kept, at) = thinned(&around(all.clone(), chosen), chosen);
                assert!(kept.len() <= STORED && kept[at] == chosen);
                assert_eq!((kept.first(), kept.last()), (all.first(), all.last()));
                assert!(kept.windows(2).all(|w| w[0].0 < w[1].0 && w[0].1 > w[1].1));
            }
        }
    }

    #[test]
    fn a_chosen_point_beside_a_thinned_front_takes_out_what_it_beats() {
        let points = vec![(10, 1.0), (20, 0.5), (30, 0.25), (40, 0.1)];
        let want = [(10, 1.0), (19, 0.2), (40, 0.1)];
        assert_eq!(around(points, (19, 0.2)), want);
    }
}
