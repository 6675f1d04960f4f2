//! Grids of activations from images: what was seen of each site, and an estimator that reads it.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use quantbench_core::source::{ImageSource, SourceError};
use quantbench_core::{Grid, Tensor};
use quantbench_graph::{Graph, Site, Sites};

use super::ranges::{Detail, Guess, RangeEstimator, Seen, Summary};
use crate::contract::{Context, MethodError};
use crate::statistics::Ask;

/// Images per forward pass at most, while extremes and counts inside a network are looked at: what
/// was tapped is then still near the processor when it is read. These do not depend on it.
const TAPPED: usize = 8;

/// Images per forward pass at most where sums of values are kept as well, whose last bits depend
/// on it.
const SUMMED: usize = 32;

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
/// that grid.
pub fn activation_grids(
    graph: &Graph,
    sites: &Sites,
    images: &dyn ImageSource,
    ranges: &dyn RangeEstimator,
    cx: &mut Context<'_>,
) -> Result<BTreeMap<String, Grid>, MethodError> {
    let own: Vec<&Site> = sites.activations.iter().filter(|s| s.shares.is_none()).collect();
    let values: Vec<&str> = own.iter().map(|site| site.value.as_str()).collect();
    let seen = summaries(graph, &values, images, ranges.detail(), cx)?;
    let mut grids: BTreeMap<String, Grid> = own
        .iter()
        .zip(&seen)
        .map(|(site, seen)| (site.value.clone(), ranges.activation(seen, site.bits)))
        .collect();
    share(sites, &mut grids);
    Ok(grids)
}

/// What is seen of each of `values` when `graph` runs on the images, in their order.
///
/// Memory does not grow with the number of images, and sums do not depend on the number of
/// threads. An activation that is not finite is an error that names it.
/// One pass over the images, unless [`Context::statistics`] has kept what it would give.
pub fn summaries(
    graph: &Graph,
    values: &[&str],
    images: &dyn ImageSource,
    detail: Detail,
    cx: &mut Context<'_>,
) -> Result<Vec<Summary>, MethodError> {
    if values.is_empty() {
        return Ok(Vec::new());
    }
    let Some((shared, granted)) = cx.statistics().zip(images.granted()) else {
        return gather(graph, values, images, detail, cx);
    };
    let ask = Ask { graph, values, detail, images: images.len(), batch: batch(detail, cx) };
    let found = shared.summaries(&ask, &mut || gather(graph, values, images, detail, cx))?;
    if found.kept {
        granted.count_pass();
    }
    Ok(found.summaries)
}

/// Images per forward pass.
fn batch(detail: Detail, cx: &Context<'_>) -> usize {
    cx.batch.min(if detail == Detail::Moments { SUMMED } else { TAPPED })
}

/// One pass over the images.
fn gather(
    graph: &Graph,
    values: &[&str],
    images: &dyn ImageSource,
    detail: Detail,
    cx: &mut Context<'_>,
) -> Result<Vec<Summary>, MethodError> {
    cx.step(0, 1, "activation ranges")?;
    let mut seen = vec![Summary::empty(detail); values.len()];
    let guesses: Vec<Mutex<Guess>> = seen.iter().map(|s| Mutex::new(s.guess())).collect();
    let guess = |i: usize| guesses[i].lock().unwrap_or_else(PoisonError::into_inner);
    let look = |i: usize, data: &[f32]| {
        // Not locked while looking.
        let now = *guess(i);
        Seen::of(data, now)
    };
    cx.engine.taps_in_turn(
        graph,
        values,
        images,
        batch(detail, cx),
        &look,
        &mut |i, data, look| {
            seen[i].take(data, look);
            *guess(i) = seen[i].guess();
        },
    )?;
    match seen.iter().position(|s| !s.extent.finite) {
        Some(i) => Err(MethodError::NotFinite { what: format!("activation {:?}", values[i]) }),
        None => Ok(seen),
    }
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
