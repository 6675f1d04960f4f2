//! Histograms of weights and activations beside the grids of an artefact, for figures.
//!
//! They are gathered after the method and outside its meter, on the FP32 graph, so that all
//! methods of a model show the same values under their own levels.

use std::sync::Arc;

use quantbench_core::Grid;
use quantbench_core::histogram::{
    BINS, Binned, Histograms, LayerHistograms, Seen, ShownGrid, bin, is_clipped,
};
use quantbench_datasets::{Images, Part, load};
use quantbench_engine::{Engine, Runtime};
use quantbench_graph::{Artefact, Graph, Layer};

use crate::store::Store;
use crate::work::error::WorkError;
use crate::work::order::Order;

/// Calibration images that activations are looked at on: the first of the draw.
const IMAGES: usize = 256;

/// Images per forward pass.
const BATCH: usize = 64;

/// Gathers and stores the histograms of a cell's artefact, if the survey wants them and they are
/// not there yet.
///
/// # Errors
/// As the model, the data, the engine or the store say.
pub fn keep_histograms(
    order: &Order,
    store: &Store,
    runtime: &'static Runtime,
    model: &[u8],
    artefact: &Artefact,
) -> Result<(), WorkError> {
    let id = &order.ids.ids.artefact;
    if !order.histograms || store.histograms(id).is_some() {
        return Ok(());
    }
    let graph = Graph::from_bytes(model, &order.model.name)?.fold()?;
    let images = images(order)?;
    let layers = graph.layers();
    let quantized = artefact.graph.layers();
    let own = |layer: &Layer| quantized.iter().find(|q| q.name == layer.name);
    let grids: Vec<Option<&Grid>> =
        layers.iter().map(|l| artefact.grid_of(&own(l)?.input)).collect();
    let engine = Engine::new(runtime, order.threads);
    let inputs = inputs(&engine, &graph, &layers, &grids, images.as_ref())?;
    let mut out = Vec::with_capacity(layers.len());
    for (layer, input) in layers.iter().zip(inputs) {
        let grid = own(layer).and_then(|q| artefact.weights.get(&q.weight)).map(|w| &w.grid);
        let weights = graph.weight(&layer.weight)?;
        let weights = seen_weights(&weights.data, &weights.dims, grid);
        out.push(LayerHistograms { layer: layer.name.clone(), weights, input });
    }
    let images = images.map_or(0, |i| quantbench_core::ImageSource::len(&i));
    store.put_histograms(id, &Histograms { artefact: id.clone(), images, layers: out })?;
    Ok(())
}

/// The first calibration images of the cell; none if its method was granted none.
fn images(order: &Order) -> Result<Option<Images>, WorkError> {
    let granted = order.cell.calibration_images;
    if granted == 0 {
        return Ok(None);
    }
    let split = Arc::new(load(&order.dataset, Part::Train, &order.roots())?);
    let mut indices = split.draw(order.cell.draw.unwrap_or(0), granted)?;
    indices.truncate(IMAGES);
    Ok(Some(Images::new(split, indices, &order.model.preprocess)?))
}

/// Values counted into bins over a range known beforehand, and those that a grid clips.
struct Count {
    low: f32,
    high: f32,
    bins: Vec<u64>,
    clipped: u64,
    all: u64,
}

impl Count {
    fn new(low: f32, high: f32) -> Self {
        Self { low, high, bins: vec![0; BINS], clipped: 0, all: 0 }
    }

    fn add(&mut self, value: f32, clipped: bool) {
        if value.is_finite() {
            self.bins[bin(value, self.low, self.high)] += 1;
            self.all += 1;
            self.clipped += u64::from(clipped);
        }
    }

    fn seen(&self, grid: Option<&Grid>) -> Seen {
        let share = (self.all > 0).then(|| self.clipped as f64 / self.all as f64);
        Seen {
            histogram: Binned::of(self.low, self.high, &self.bins),
            grid: grid.and_then(|g| ShownGrid::of(g, share)),
        }
    }
}

/// Smallest and largest finite value.
fn extent((low, high): (f32, f32), values: &[f32]) -> (f32, f32) {
    let finite = values.iter().copied().filter(|v| v.is_finite());
    finite.fold((low, high), |(low, high), v| (low.min(v), high.max(v)))
}

const NOTHING: (f32, f32) = (f32::INFINITY, f32::NEG_INFINITY);

/// The weights of a layer, and the share that each channel's own grid clips.
fn seen_weights(values: &[f32], dims: &[usize], grid: Option<&Grid>) -> Seen {
    // A method may have changed the shape of a layer; its grid then says nothing about these.
    let grid = grid.filter(|g| g.check(dims).is_ok());
    let (low, high) = extent(NOTHING, values);
    let mut count = Count::new(low, high);
    let (_, channels, inner) = grid.map_or((1, 1, values.len()), |g| g.layout(dims));
    for (i, row) in values.chunks(inner.max(1)).enumerate() {
        for &value in row {
            count.add(value, grid.is_some_and(|g| is_clipped(g, value, i % channels)));
        }
    }
    count.seen(grid)
}

/// The inputs of all layers: their range in a first pass, bins and clipped values in a second.
fn inputs(
    engine: &Engine,
    graph: &Graph,
    layers: &[Layer],
    grids: &[Option<&Grid>],
    images: Option<&Images>,
) -> Result<Vec<Seen>, WorkError> {
    let Some(images) = images else {
        let bare = |grid: Option<&Grid>| Seen {
            histogram: None,
            grid: grid.and_then(|g| ShownGrid::of(g, None)),
        };
        return Ok(grids.iter().copied().map(bare).collect());
    };
    let values: Vec<&str> = layers.iter().map(|l| l.input.as_str()).collect();
    let mut ranges = vec![NOTHING; values.len()];
    engine.taps(graph, &values, images, BATCH, &mut |i, _, data| {
        ranges[i] = extent(ranges[i], data);
    })?;
    let mut counts: Vec<Count> = ranges.iter().map(|r| Count::new(r.0, r.1)).collect();
    engine.taps(graph, &values, images, BATCH, &mut |i, _, data| {
        for &value in data {
            counts[i].add(value, grids[i].is_some_and(|g| is_clipped(g, value, 0)));
        }
    })?;
    Ok(counts.iter().zip(grids).map(|(count, grid)| count.seen(*grid)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use quantbench_core::Bits;
    use quantbench_core::grid::SignedRange;

    #[test]
    fn weights_are_clipped_by_the_grid_of_their_own_channel() {
        // Two channels with ends -8 and 7 at scales 1 and 0.5.
        let four = Bits::new(4).unwrap();
        let grid = Grid::symmetric(vec![1.0, 0.5], 0, four, SignedRange::Full);
        let seen = seen_weights(&[7.4, -8.6, 3.0, 3.9], &[2, 2], Some(&grid));
        let shown = seen.grid.unwrap();
        assert_eq!(shown.clipped, Some(0.5), "-8.6 and 3.9 lie beyond half a step");
        assert_eq!(shown.channels, 2);
        let binned = seen.histogram.unwrap();
        assert_eq!((binned.low, binned.high), (-8.6, 7.4));
        assert_eq!(binned.heights.iter().filter(|h| **h > 0).count(), 4);
    }

    #[test]
    fn a_grid_for_another_shape_is_not_shown() {
        let grid = Grid::ternary(vec![1.0; 3], 0);
        assert_eq!(seen_weights(&[1.0, 2.0], &[2, 1], Some(&grid)).grid, None);
    }

    #[test]
    fn what_is_not_finite_is_not_counted() {
        let seen = seen_weights(&[f32::NAN, 1.0, f32::INFINITY], &[3, 1], None);
        assert_eq!(seen.histogram.map(|b| (b.low, b.high)), Some((1.0, 1.0)));
        assert_eq!(seen_weights(&[], &[0], None), Seen::default());
    }
}
