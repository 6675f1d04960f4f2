//! Grids of activations without an image: from moments that batch norms know.

use std::collections::BTreeMap;

use quantbench_core::{Bits, Grid};
use quantbench_graph::{Graph, SiteKind};

use super::calibrate::share;
use super::moments::{Moments, Positions, propagate};
use crate::contract::{Job, MethodError};

/// Grids of all sites but the image, which stays in FP32 with a note: `range` says which range
/// the values of a site get, `z` how many standard deviations above its mean a channel's largest
/// value is expected, `positions` how the positions of a channel depend on each other.
///
/// # Errors
/// No moments reach a site: `method` cannot do this model.
pub fn known_grids(
    job: &Job<'_>,
    graph: &Graph,
    method: &'static str,
    (z, positions): (f64, Positions),
    notes: &mut Vec<String>,
    range: impl Fn(&Moments, Bits) -> (f32, f32),
) -> Result<BTreeMap<String, Grid>, MethodError> {
    let mut grids = BTreeMap::new();
    if job.sites.activations.is_empty() {
        return Ok(grids);
    }
    let known = propagate(graph, &graph.layers(), z, positions);
    for site in job.sites.activations.iter().filter(|s| s.shares.is_none()) {
        if site.kind == SiteKind::Image {
            notes.push(format!(
                "image {:?} left in FP32: a data-free method knows no range for it",
                site.value
            ));
            continue;
        }
        let moments = known.get(&site.value).ok_or_else(|| MethodError::Unfit {
            method,
            reason: format!(
                "no batch-norm statistics reach activation {:?}; give a model that still has its \
                 batch norms, or quantize weights only (a32)",
                site.value
            ),
        })?;
        let (lo, hi) = range(moments, site.bits);
        grids.insert(site.value.clone(), Grid::activation(lo, hi, site.bits));
    }
    share(job.sites, &mut grids);
    Ok(grids)
}
