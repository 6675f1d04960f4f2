//! Summaries that methods share: the same artefact with and without, and never for other images or
//! another graph.
#![allow(clippy::unwrap_used)] // In tests outside `#[cfg(test)]` a panic is the failure too.

mod common;

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use common::{Pictures, engine, params, spec, tiny};
use quantbench_core::ImageSource;
use quantbench_engine::Engine;
use quantbench_graph::{Graph, encode, sites};
use quantbench_methods::parts::calibrate::{First, summaries};
use quantbench_methods::parts::ranges::{Detail, Summary};
use quantbench_methods::{Ask, Context, Found, Gather, Job, MethodError, Statistics, Vault, find};

/// Graph, values and detail that were asked about, and the summaries as bytes.
type Entry = (Graph, Vec<String>, Detail, Vec<u8>);

/// Keeps what it is shown in memory, through bytes as a store would.
#[derive(Default)]
struct Memory {
    kept: RefCell<Vec<Entry>>,
    asked: Cell<usize>,
    gathered: Cell<usize>,
}

impl Statistics for Memory {
    fn summaries(&self, ask: &Ask<'_>, gather: &mut Gather<'_>) -> Result<Found, MethodError> {
        self.asked.set(self.asked.get() + 1);
        for (graph, values, detail, bytes) in &*self.kept.borrow() {
            if graph == ask.graph && values == ask.values && *detail == ask.detail {
                let mut bytes = bytes.as_slice();
                let summaries = values.iter().map(|_| Summary::read(&mut bytes).unwrap());
                return Ok(Found { summaries: summaries.collect(), kept: true });
            }
        }
        self.gathered.set(self.gathered.get() + 1);
        let summaries = gather()?;
        let mut bytes = Vec::new();
        for summary in &summaries {
            summary.write(&mut bytes);
        }
        let values = ask.values.iter().map(ToString::to_string).collect();
        self.kept.borrow_mut().push((ask.graph.clone(), values, ask.detail, bytes));
        Ok(Found { summaries, kept: false })
    }
}

/// The artefact's bytes and the images read.
fn run(
    engine: &Engine,
    graph: &Graph,
    method: &str,
    widths: &str,
    shared: Option<&Memory>,
) -> (Vec<u8>, u64) {
    let method = find(method).unwrap();
    let (spec, params) = (spec(widths), params(method, &[]));
    let (layers, found) = (graph.layers(), sites(graph, &spec).unwrap());
    let job = Job {
        graph,
        unfolded: graph,
        layers: &layers,
        sites: &found,
        spec: &spec,
        params: &params,
    };
    let vault = Vault::with_calibration(Arc::new(Pictures::new(graph, 40)));
    let never = AtomicBool::new(false);
    let mut quiet = |_: usize, _: usize, _: &str| {};
    let mut cx = Context::new(engine, method.card().name, 0, &mut quiet, &never);
    if let Some(shared) = shared {
        cx = cx.with_statistics(shared);
    }
    let artefact = method.run(&job, &vault, &mut cx).unwrap();
    (encode(&artefact), vault.images_read())
}

#[test]
fn artefacts_are_the_same_whether_summaries_were_fresh_or_kept() {
    let Some(engine) = engine() else { return };
    let graph = tiny();
    let memory = Memory::default();
    for method in ["minmax", "mse", "sensitivity"] {
        for widths in ["w8a8", "w4a4", "w2a2"] {
            let alone = run(&engine, &graph, method, widths, None);
            for _ in 0..2 {
                let together = run(&engine, &graph, method, widths, Some(&memory));
                assert_eq!(together, alone, "{method} {widths}");
            }
        }
    }
    // Extremes and histograms, of deployable and academic sites: whoever came first gathered.
    assert_eq!((memory.gathered.get(), memory.asked.get()), (4, 18));
}

#[test]
fn a_changed_graph_has_summaries_of_its_own() {
    let Some(engine) = engine() else { return };
    let graph = tiny();
    let memory = Memory::default();
    run(&engine, &graph, "mse", "w4a4", Some(&memory));
    let alone = run(&engine, &graph, "twn", "w2ta4", None);
    assert_eq!(run(&engine, &graph, "twn", "w2ta4", Some(&memory)), alone);
    assert_eq!(memory.gathered.get(), 2);
}

#[test]
fn images_that_are_not_the_whole_grant_are_never_shared() {
    let Some(engine) = engine() else { return };
    let graph = tiny();
    let memory = Memory::default();
    let never = AtomicBool::new(false);
    let mut quiet = |_: usize, _: usize, _: &str| {};
    let mut cx = Context::new(&engine, "test", 0, &mut quiet, &never).with_statistics(&memory);
    let made_up = Pictures::new(&graph, 8);
    let part = First { images: &made_up, count: 3 };
    for images in [&made_up as &dyn ImageSource, &part] {
        let seen = summaries(&graph, &["logits"], images, Detail::Extent, &mut cx).unwrap();
        assert!(seen[0].extent.finite);
    }
    assert_eq!(memory.asked.get(), 0);
}

#[test]
fn a_histogram_does_not_depend_on_threads() {
    let Some(engine) = engine() else { return };
    let graph = tiny();
    let images = Pictures::new(&graph, 40);
    let seen = |threads| {
        let engine = Engine::new(engine.runtime(), threads);
        let never = AtomicBool::new(false);
        let mut quiet = |_: usize, _: usize, _: &str| {};
        let mut cx = Context::new(&engine, "test", 0, &mut quiet, &never);
        let values = ["input", "stem_relu", "logits"];
        summaries(&graph, &values, &images, Detail::Moments, &mut cx).unwrap()
    };
    let one = seen(1);
    assert!(one.iter().all(|s| s.histogram.as_ref().is_some_and(|h| h.count() > 0.0)));
    assert_eq!(seen(2), one);
}
