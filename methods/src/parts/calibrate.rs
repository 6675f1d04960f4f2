//! Grids of activations from images: one streaming observer per site.

use std::collections::BTreeMap;

use quantbench_core::source::{ImageSource, SourceError};
use quantbench_core::{Grid, Tensor};
use quantbench_graph::{Graph, Sites};

use super::ranges::{Observer, RangeEstimator};
use crate::contract::{Context, MethodError};

/// The first images of a source.
pub struct First<'a> {
    /// All images.
    pub images: &'a dyn ImageSource,
    /// How many of them at most.
    pub count: usize,
}

impl ImageSource for First<'_> {
    fn len(&self) -> usize {
        self.images.len().min(self.count)
    }

    fn dims(&self) -> &[usize] {
        self.images.dims()
    }

    fn batch(&self, start: usize, n: usize) -> Result<Tensor, SourceError> {
        self.images.batch(start, n.min(self.len().saturating_sub(start)))
    }
}

/// Grids of all activation sites by value name, from the values that `graph` gives on the images.
///
/// `graph` is the job's, or the same with other weights. A site that shares another's grid gets
/// that grid. Every pass of the estimator runs the graph once; memory does not grow with the
/// number of images.
pub fn activation_grids(
    graph: &Graph,
    sites: &Sites,
    images: &dyn ImageSource,
    ranges: &dyn RangeEstimator,
    cx: &mut Context<'_>,
) -> Result<BTreeMap<String, Grid>, MethodError> {
    let own: Vec<usize> =
        (0..sites.activations.len()).filter(|&i| sites.activations[i].shares.is_none()).collect();
    let values: Vec<&str> = own.iter().map(|&i| sites.activations[i].value.as_str()).collect();
    let mut observers: Vec<Box<dyn Observer>> = own.iter().map(|_| ranges.observer()).collect();
    let passes = if own.is_empty() { 0 } else { ranges.passes() };
    for pass in 0..passes {
        cx.step(pass, passes, "activation ranges")?;
        let batch = cx.batch;
        cx.engine.taps(graph, &values, images, batch, &mut |i, _dims, data| {
            observers[i].observe(pass, data);
        })?;
        if let Some(i) = observers.iter().position(|o| !o.is_finite()) {
            return Err(MethodError::NotFinite { what: format!("activation {:?}", values[i]) });
        }
    }
    let mut grids: BTreeMap<String, Grid> = BTreeMap::new();
    for (&i, observer) in own.iter().zip(&observers) {
        let site = &sites.activations[i];
        grids.insert(site.value.clone(), observer.grid(site.bits));
    }
    share(sites, &mut grids);
    Ok(grids)
}

/// Gives every site that shares another's grid that grid.
pub fn share(sites: &Sites, grids: &mut BTreeMap<String, Grid>) {
    for site in &sites.activations {
        let root = site.shares.and_then(|i| grids.get(&sites.activations[i].value)).cloned();
        if let Some(root) = root {
            grids.insert(site.value.clone(), root);
        }
    }
}
