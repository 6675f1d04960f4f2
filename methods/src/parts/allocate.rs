//! Bit allocation: one width per layer with the smallest total loss under a budget.
//!
//! This is the multiple-choice knapsack problem. It is solved exactly by dynamic programming over
//! the states that no other state dominates (Kellerer, Pferschy and Pisinger 2004, section 11.5);
//! states that the Lagrangian bound proves hopeless are dropped early, so that deep networks stay
//! cheap. Without a budget the same recursion gives all allocations that no other one beats.

/// One width that a layer may get.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Choice {
    /// Cost in the unit of the budget.
    pub cost: u64,
    /// Loss that the choice adds; finite.
    pub loss: f64,
}

/// The budget is below the sum of every layer's cheapest choice, which is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Infeasible(pub u64);

/// A partial allocation: totals over the layers so far, and how it came about.
#[derive(Debug, Clone, Copy)]
struct State {
    cost: u64,
    loss: f64,
    choice: usize,
    previous: usize,
}

const START: State = State { cost: 0, loss: 0.0, choice: 0, previous: 0 };

/// Index of the chosen [`Choice`] of each layer: smallest total loss within the budget.
///
/// Of equal losses the cheaper allocation wins, then the one whose earlier layers' states sort
/// first; the result is a function of the input alone. Every layer needs at least one choice.
pub fn allocate(layers: &[Vec<Choice>], budget: u64) -> Result<Vec<usize>, Infeasible> {
    let cheapest = suffix_sums(layers, |c| c.cost);
    if cheapest[0] > budget {
        return Err(Infeasible(cheapest[0]));
    }
    let bound = Bound::new(layers, budget);
    let mut steps: Vec<Vec<State>> = Vec::with_capacity(layers.len());
    for (i, layer) in layers.iter().enumerate() {
        let next = extend(steps.last().map_or(&[START], Vec::as_slice), layer, |cost, loss| {
            cost + cheapest[i + 1] <= budget && bound.may_win(i + 1, cost, loss)
        });
        steps.push(next);
    }
    // Costs rise and losses fall along the front: its last state has the smallest loss.
    let last = steps.last().map_or(0, |states| states.len().saturating_sub(1));
    Ok(trace(&steps, last))
}

/// The states after one more layer that no other one dominates, cheapest first.
fn extend(front: &[State], layer: &[Choice], keep: impl Fn(u64, f64) -> bool) -> Vec<State> {
    let mut next: Vec<State> = Vec::with_capacity(front.len() * layer.len());
    for (previous, state) in front.iter().enumerate() {
        for (choice, c) in layer.iter().enumerate() {
            let (cost, loss) = (state.cost + c.cost, state.loss + c.loss);
            if keep(cost, loss) {
                next.push(State { cost, loss, choice, previous });
            }
        }
    }
    next.sort_by(|a, b| {
        (a.cost.cmp(&b.cost))
            .then(a.loss.total_cmp(&b.loss))
            .then(a.previous.cmp(&b.previous))
            .then(a.choice.cmp(&b.choice))
    });
    let mut least = f64::INFINITY;
    next.retain(|s| {
        let keep = s.loss < least;
        least = least.min(s.loss);
        keep
    });
    next
}

/// The choices that led to state `at` of the last layer.
fn trace(steps: &[Vec<State>], mut at: usize) -> Vec<usize> {
    let mut chosen = vec![0; steps.len()];
    for (i, states) in steps.iter().enumerate().rev() {
        chosen[i] = states[at].choice;
        at = states[at].previous;
    }
    chosen
}

/// The allocations that no other one beats: each dearer one has a smaller loss.
///
/// The same dynamic programming without a budget. Where layers' costs have little in common the
/// front can be as large as the number of allocations; beyond [`Front::LIMIT`] states it is then
/// thinned between layers, and [`Front::is_exact`] says so: every point is still an allocation,
/// but a better one may lie between. [`allocate`] is exact whatever the size.
#[derive(Debug, Clone)]
pub struct Front {
    steps: Vec<Vec<State>>,
    exact: bool,
}

impl Front {
    /// States that are kept after each layer.
    pub const LIMIT: usize = 8192;

    /// The front of a problem in which every layer has at least one choice.
    pub fn new(layers: &[Vec<Choice>]) -> Self {
        let (mut steps, mut exact) = (Vec::<Vec<State>>::with_capacity(layers.len()), true);
        for layer in layers {
            let front = steps.last().map_or(&[START] as &[State], Vec::as_slice);
            let mut next = extend(front, layer, |_, _| true);
            if next.len() > Self::LIMIT {
                exact = false;
                next = evenly(next.len(), Self::LIMIT).map(|i| next[i]).collect();
            }
            steps.push(next);
        }
        Self { steps, exact }
    }

    /// Whether no point is missing.
    pub fn is_exact(&self) -> bool {
        self.exact
    }

    /// Cost and loss of each point, cheapest first.
    pub fn points(&self) -> Vec<(u64, f64)> {
        let states = self.steps.last().map_or(&[START] as &[State], Vec::as_slice);
        states.iter().map(|s| (s.cost, s.loss)).collect()
    }

    /// The choices behind a point: what [`allocate`] gives for a budget of its cost, if the front
    /// is exact.
    ///
    /// # Panics
    /// If there is no such point.
    pub fn choices(&self, point: usize) -> Vec<usize> {
        trace(&self.steps, point)
    }
}

/// At most `count` (two or more) of the positions below `len`, evenly spread, both ends among them.
pub fn evenly(len: usize, count: usize) -> impl Iterator<Item = usize> {
    let kept = len.min(count);
    (0..kept).map(move |i| i * (len - 1) / (kept - 1).max(1))
}

/// For each layer the sum of the smallest costs of it and all later layers; a zero at the end.
fn suffix_sums(layers: &[Vec<Choice>], of: impl Fn(&Choice) -> u64) -> Vec<u64> {
    let mut sums = vec![0; layers.len() + 1];
    for (i, layer) in layers.iter().enumerate().rev() {
        sums[i] = sums[i + 1] + layer.iter().map(&of).min().unwrap_or(0);
    }
    sums
}

/// The Lagrangian bound: for a price per unit of cost, no completion of a state is better than
/// its loss plus the price-adjusted minima of the remaining layers.
struct Bound {
    price: f64,
    rest: Vec<f64>,
    budget: f64,
    /// Loss of a feasible allocation, slightly widened against rounding.
    limit: f64,
}

impl Bound {
    fn new(layers: &[Vec<Choice>], budget: u64) -> Self {
        let mut limit = greedy_loss(layers, 0.0, budget);
        // The dual is concave in the price: bisect on whether the relaxed solution fits.
        let (mut low, mut high) = (0.0, 1.0);
        while greedy_loss(layers, high, budget).is_infinite() && high < 1e300 {
            high *= 4.0;
        }
        for _ in 0..100 {
            let middle = 0.5 * (low + high);
            let loss = greedy_loss(layers, middle, budget);
            limit = limit.min(loss);
            if loss.is_infinite() {
                low = middle;
            } else {
                high = middle;
            }
        }
        limit = limit.min(greedy_loss(layers, high, budget));
        let mut rest = vec![0.0; layers.len() + 1];
        for (i, layer) in layers.iter().enumerate().rev() {
            let least =
                layer.iter().map(|c| c.loss + high * c.cost as f64).fold(f64::INFINITY, f64::min);
            rest[i] = rest[i + 1] + least;
        }
        let widened = limit + 1e-9 * (limit.abs() + high * budget as f64 + 1e-300);
        Self { price: high, rest, budget: budget as f64, limit: widened }
    }

    /// Whether a state before layer `next` may still lead to the best allocation.
    fn may_win(&self, next: usize, cost: u64, loss: f64) -> bool {
        let bound = loss + self.price * (cost as f64 - self.budget) + self.rest[next];
        // Not a number (an unlimited price) proves nothing.
        bound.partial_cmp(&self.limit) != Some(std::cmp::Ordering::Greater)
    }
}

/// Loss of the allocation that is best at a price; infinite if it exceeds the budget.
fn greedy_loss(layers: &[Vec<Choice>], price: f64, budget: u64) -> f64 {
    let (mut cost, mut loss) = (0u64, 0.0);
    for layer in layers {
        let priced = |c: &Choice| c.loss + price * c.cost as f64;
        let best =
            layer.iter().min_by(|a, b| priced(a).total_cmp(&priced(b)).then(a.cost.cmp(&b.cost)));
        if let Some(best) = best {
            cost += best.cost;
            loss += best.loss;
        }
    }
    if cost <= budget { loss } else { f64::INFINITY }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn totals(layers: &[Vec<Choice>], chosen: &[usize]) -> (u64, f64) {
        layers.iter().zip(chosen).fold((0, 0.0), |(cost, loss), (layer, &c)| {
            (cost + layer[c].cost, loss + layer[c].loss)
        })
    }

    fn brute(layers: &[Vec<Choice>], budget: u64) -> Option<(f64, u64)> {
        let mut best: Option<(f64, u64)> = None;
        let count: usize = layers.iter().map(Vec::len).product();
        for mut code in 0..count {
            let chosen: Vec<usize> = layers
                .iter()
                .map(|layer| {
                    let c = code % layer.len();
                    code /= layer.len();
                    c
                })
                .collect();
            let (cost, loss) = totals(layers, &chosen);
            if cost <= budget && best.is_none_or(|b| (loss, cost) < b) {
                best = Some((loss, cost));
            }
        }
        best
    }

    /// Every allocation that no other one beats, as cost and loss.
    fn brute_front(layers: &[Vec<Choice>]) -> Vec<(u64, f64)> {
        let top: u64 = layers.iter().flatten().map(|c| c.cost).sum();
        let mut front: Vec<(u64, f64)> = Vec::new();
        for (loss, cost) in (0..=top).filter_map(|budget| brute(layers, budget)) {
            if front.last() != Some(&(cost, loss)) {
                front.push((cost, loss));
            }
        }
        front
    }

    fn choice() -> impl Strategy<Value = Choice> {
        (0u64..40, 0u32..64).prop_map(|(cost, loss)| Choice { cost, loss: f64::from(loss) / 16.0 })
    }

    fn problem() -> impl Strategy<Value = Vec<Vec<Choice>>> {
        prop::collection::vec(prop::collection::vec(choice(), 1..5), 1..6)
    }

    proptest! {
        #[test]
        fn equals_brute_force(layers in problem(), budget in 0u64..160) {
            // Losses are multiples of 1/16: sums are exact, so ties are true ties.
            match (allocate(&layers, budget), brute(&layers, budget)) {
                (Ok(chosen), Some((loss, cost))) => {
                    prop_assert_eq!(totals(&layers, &chosen), (cost, loss));
                    prop_assert_eq!(allocate(&layers, budget).unwrap(), chosen);
                }
                (Err(Infeasible(smallest)), None) => {
                    prop_assert!(smallest > budget);
                    prop_assert!(allocate(&layers, smallest).is_ok());
                }
                (found, want) => prop_assert!(false, "{found:?} against {want:?}"),
            }
        }
    }

    proptest! {
        #[test]
        fn the_front_is_that_of_an_exhaustive_search(
            layers in prop::collection::vec(prop::collection::vec(choice(), 1..4), 0..5),
        ) {
            let front = Front::new(&layers);
            let points = front.points();
            prop_assert!(front.is_exact());
            prop_assert_eq!(&points, &brute_front(&layers));
            for (i, &(cost, loss)) in points.iter().enumerate() {
                let chosen = front.choices(i);
                prop_assert_eq!(totals(&layers, &chosen), (cost, loss));
                // The choice under a budget is a point of the front, ties included.
                prop_assert_eq!(allocate(&layers, cost), Ok(chosen));
            }
        }

        #[test]
        fn real_losses_give_the_same_choice_with_and_without_a_budget(
            layers in prop::collection::vec(
                prop::collection::vec((1u64..2000, 0.0f64..9.0), 1..6), 1..9,
            ),
            share in 0.0f64..1.0,
        ) {
            let row = |row: Vec<(u64, f64)>| {
                row.into_iter().map(|(cost, loss)| Choice { cost, loss }).collect()
            };
            let layers: Vec<Vec<Choice>> = layers.into_iter().map(row).collect();
            let front = Front::new(&layers);
            let points = front.points();
            prop_assert!(points.windows(2).all(|w| w[0].0 < w[1].0 && w[0].1 > w[1].1));
            let (low, high) = (points[0].0, points[points.len() - 1].0);
            let budget = low + ((high - low) as f64 * share) as u64;
            let at = points.partition_point(|p| p.0 <= budget) - 1;
            if front.is_exact() {
                prop_assert_eq!(allocate(&layers, budget), Ok(front.choices(at)));
            }
        }
    }

    #[test]
    fn a_front_that_is_too_large_says_so_and_holds_allocations_only() {
        // Every set of layers has a cost of its own, and a loss that falls as the cost rises.
        let choice = |cost: u64| Choice { cost, loss: -(cost as f64) };
        let layers: Vec<Vec<Choice>> = (0..15).map(|i| vec![choice(0), choice(1 << i)]).collect();
        let front = Front::new(&layers);
        assert!(!front.is_exact());
        let points = front.points();
        assert!(points.len() <= Front::LIMIT && points.len() > Front::LIMIT / 2);
        for at in [0, 17, points.len() - 1] {
            assert_eq!(totals(&layers, &front.choices(at)), points[at]);
        }
    }

    #[test]
    fn evenly_spread_positions_hold_both_ends() {
        assert_eq!(evenly(10, 4).collect::<Vec<_>>(), [0, 3, 6, 9]);
        assert_eq!(evenly(3, 64).collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(evenly(1, 64).collect::<Vec<_>>(), [0]);
        assert_eq!(evenly(0, 64).count(), 0);
    }

    #[test]
    fn a_deep_network_with_odd_sizes_is_quick() {
        let layers: Vec<Vec<Choice>> = (0..120u64)
            .map(|i| {
                [2u64, 3, 4, 6, 8]
                    .map(|b| Choice {
                        cost: b * (10_007 + i * i * 977 % 50_021),
                        loss: (1.0 + (i * 7919 % 101) as f64) * 4f64.powi(-(b as i32)),
                    })
                    .to_vec()
            })
            .collect();
        let budget: u64 = layers.iter().map(|l| l[2].cost).sum();
        let chosen = allocate(&layers, budget).unwrap();
        let (cost, loss) = totals(&layers, &chosen);
        let uniform = totals(&layers, &vec![2; layers.len()]).1;
        assert!(cost <= budget && loss < uniform);
    }

    #[test]
    fn no_layers_need_no_budget() {
        assert_eq!(allocate(&[], 0), Ok(vec![]));
        assert_eq!(Front::new(&[]).points(), [(0, 0.0)]);
    }
}
