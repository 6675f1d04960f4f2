//! Where the grids of a network in training sit.

use std::collections::BTreeMap;

use quantbench_core::{Bits, Tensor};
use quantbench_engine::autodiff::{Network, Sites, Tape, Value, Var};
use quantbench_graph::SiteKind;

use super::grids::{Grids, Parameter, Trained, ValueGrid, ValueStart, WeightGrid, WeightStart};
use super::plain::{Reaching, Still};
use crate::contract::{Job, MethodError};
use crate::parts::weights::widest_sites;

/// A grid with the names of its parameters.
pub(super) struct Slot<G: ?Sized> {
    pub(super) names: Vec<String>,
    pub(super) first: Vec<Parameter>,
    pub(super) grid: Box<G>,
}

impl<G: Trained + ?Sized> Slot<G> {
    fn new(what: &str, name: &str, grid: Box<G>) -> Self {
        let first = grid.parameters();
        let names = (0..first.len()).map(|i| format!("grid of {what} {name}, {i}")).collect();
        Self { names, first, grid }
    }

    /// The grid with its parameters on the tape, or as they began where it does not have them.
    fn apply(
        &mut self,
        tape: &mut Tape,
        value: Var,
        vars: Option<&BTreeMap<String, Var>>,
    ) -> Option<Var> {
        let mut own = Vec::with_capacity(self.names.len());
        for (name, first) in self.names.iter().zip(&self.first) {
            own.push(match vars {
                Some(vars) => *vars.get(name)?,
                None => tape.constant(Value::Flat(first.value.clone())),
            });
        }
        self.grid.apply(tape, value, &own)
    }

    /// The values of its parameters.
    pub(super) fn own(&self, parameters: &BTreeMap<String, Tensor>) -> Vec<Tensor> {
        let all = self.names.iter().zip(&self.first);
        all.map(|(n, first)| parameters.get(n).unwrap_or(&first.value).clone()).collect()
    }
}

/// All grids of a network.
pub(super) struct Placed<'a> {
    /// Name of the method, for messages.
    pub(super) method: &'static str,
    /// How they begin.
    grids: &'a dyn Grids,
    /// The value that is the image.
    image: Option<String>,
    /// Each value that has a grid, with the value whose grid that is, and its width.
    roots: BTreeMap<String, (String, Bits)>,
    /// By weight.
    pub(super) weights: BTreeMap<String, Slot<dyn WeightGrid>>,
    /// By value.
    pub(super) values: BTreeMap<String, Slot<dyn ValueGrid>>,
}

impl<'a> Placed<'a> {
    /// Grids of weights; those of values begin with a first batch.
    pub(super) fn new(
        job: &Job<'_>,
        network: &Network,
        grids: &'a dyn Grids,
        method: &'static str,
    ) -> Result<Self, MethodError> {
        let layers = job.unfolded.layers();
        let mut weights = BTreeMap::new();
        for site in widest_sites(job) {
            let Some(layer) = layers.get(site.layer) else { continue };
            let Some(tensor) = network.parameters().get(&layer.weight) else { continue };
            if tensor.data.iter().any(|w| !w.is_finite()) {
                return Err(MethodError::NotFinite { what: format!("weight {:?}", layer.weight) });
            }
            let start = WeightStart { weights: tensor, axis: layer.axis, bits: site.bits };
            let grid: Box<dyn WeightGrid> = if site.bits.get() > grids.widest().0 {
                Box::new(Reaching::new(&start))
            } else {
                grids.weight(&start)?
            };
            let slot = Slot::new("weight", &layer.weight, grid);
            weights.entry(layer.weight.clone()).or_insert(slot);
        }
        let sites = &job.sites.activations;
        let root = |site: &quantbench_graph::Site| {
            let owner = site.shares.map_or(site, |i| &sites[i]);
            (site.value.clone(), (owner.value.clone(), owner.bits))
        };
        let image = sites.iter().find(|s| s.kind == SiteKind::Image);
        let image = image.map(|s| s.value.clone());
        let roots = sites.iter().map(root).collect();
        Ok(Self { method, grids, image, roots, weights, values: BTreeMap::new() })
    }

    /// The grids in order: those of weights, then those of values.
    pub(super) fn all_mut(&mut self) -> impl Iterator<Item = &mut dyn Trained> {
        let weights = self.weights.values_mut().map(|s| &mut *s.grid as &mut dyn Trained);
        weights.chain(self.values.values_mut().map(|s| &mut *s.grid as &mut dyn Trained))
    }

    /// The grids with what they are of.
    pub(super) fn named_mut(&mut self) -> impl Iterator<Item = (String, &mut dyn Trained)> {
        let weights = self.weights.iter_mut();
        let weights =
            weights.map(|(n, s)| (format!("weight {n}"), &mut *s.grid as &mut dyn Trained));
        let values = self.values.iter_mut();
        weights.chain(values.map(|(n, s)| (format!("value {n}"), &mut *s.grid as &mut dyn Trained)))
    }

    /// What each grid remembers, in the same order.
    pub(super) fn states(&self) -> Vec<Vec<f32>> {
        let weights = self.weights.values().map(|s| s.grid.state());
        weights.chain(self.values.values().map(|s| s.grid.state())).collect()
    }

    /// Names and parameters of all grids, in the same order.
    pub(super) fn parameters(&self) -> impl Iterator<Item = (&str, &Parameter)> {
        fn of<G: ?Sized>(slot: &Slot<G>) -> impl Iterator<Item = (&str, &Parameter)> {
            slot.names.iter().map(String::as_str).zip(&slot.first)
        }
        self.weights.values().flat_map(of).chain(self.values.values().flat_map(of))
    }

    /// Begins the grid of a value.
    fn start(
        &self,
        name: &str,
        tape: &Tape,
        value: Var,
        bits: Bits,
    ) -> Result<Slot<dyn ValueGrid>, MethodError> {
        let map = tape.map(value);
        let seen = map.to_tensor().data;
        let start = ValueStart {
            least: seen.iter().fold(0f32, |m, v| m.min(*v)),
            most: seen.iter().fold(0f32, |m, v| m.max(*v)),
            per_image: seen.len() / map.shape().images.max(1),
            seen: &seen,
            bits,
        };
        let is_image = self.image.as_deref() == Some(name);
        let grid: Box<dyn ValueGrid> = if is_image || bits.get() > self.grids.widest().1 {
            Box::new(Still::new(&start))
        } else {
            self.grids.value(&start)?
        };
        Ok(Slot::new("value", name, grid))
    }
}

/// The grids in one run of the network.
pub(super) struct Running<'a, 'g> {
    placed: &'a mut Placed<'g>,
    /// Parameters on the tape; none for the first run, in which grids of values begin.
    vars: Option<&'a BTreeMap<String, Var>>,
    /// What went wrong.
    pub(super) fault: Option<MethodError>,
}

impl<'a, 'g> Running<'a, 'g> {
    pub(super) fn new(placed: &'a mut Placed<'g>, vars: Option<&'a BTreeMap<String, Var>>) -> Self {
        Self { placed, vars, fault: None }
    }

    fn unfit(&mut self, what: &str, name: &str) {
        let reason = format!("{what} {name:?} does not fit its grid");
        self.fault.get_or_insert(MethodError::Unfit { method: self.placed.method, reason });
    }
}

impl Sites for Running<'_, '_> {
    fn weight(&mut self, tape: &mut Tape, name: &str, value: Var) -> Var {
        let Some(slot) = self.placed.weights.get_mut(name) else { return value };
        slot.apply(tape, value, self.vars).unwrap_or_else(|| {
            self.unfit("weight", name);
            value
        })
    }

    fn value(&mut self, tape: &mut Tape, name: &str, value: Var) -> Var {
        let Some((root, bits)) = self.placed.roots.get(name).cloned() else { return value };
        // Each grid begins with what the grids before it leave.
        if self.vars.is_none() && root == name {
            match self.placed.start(&root, tape, value, bits) {
                Ok(slot) => {
                    self.placed.values.insert(root.clone(), slot);
                }
                Err(error) => {
                    self.fault.get_or_insert(error);
                }
            }
        }
        let Some(slot) = self.placed.values.get_mut(&root) else { return value };
        slot.apply(tape, value, self.vars).unwrap_or_else(|| {
            self.unfit("value", name);
            value
        })
    }
}
