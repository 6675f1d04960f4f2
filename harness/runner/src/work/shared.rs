//! What the cells of a run share: summaries of activations, gathered by whichever cell comes first.
//!
//! Every method is charged what it would have cost alone. Time spent on reading and writing kept
//! summaries is charged to nobody; a cell that uses kept ones is charged for gathering them what
//! was observed when they were gathered: the same values, the same detail, the same machine with
//! as many threads and jobs. All of that is in the id, so a cost that is not comparable is not
//! found, and the cell gathers again.

use std::cell::RefCell;

use quantbench_core::hash::{id_of, sha256_hex};
use quantbench_core::row::{Machine, MethodCost};
use quantbench_datasets::Preprocess;
use quantbench_graph::Graph;
use quantbench_measure::Meter;
use quantbench_methods::parts::ranges::Detail;
use quantbench_methods::{Ask, Found, Gather, MethodError, Statistics};
use serde::Serialize;

use crate::store::Store;
use crate::store::statistics::Kept;
use crate::work::make::Making;

/// Raised whenever our own code gathers something else from the same images.
const GATHERER: u32 = 2;

/// Where a cell's statistics are kept, and what else distinguishes them.
#[derive(Debug, Clone, Copy)]
pub struct Sharing<'a> {
    /// The run folder.
    pub store: &'a Store,
    /// Version of the runtime library.
    pub runtime: &'a str,
    /// Class of the instruction set.
    pub isa: &'a str,
    /// Cells that run at the same time.
    pub jobs: usize,
}

/// What a cell's statistics are of.
#[derive(Clone, Copy)]
pub(crate) struct Ground<'a> {
    /// The cell's work: preprocessing, images, draw, threads.
    pub(crate) making: &'a Making<'a>,
    /// Hash of the training split.
    pub(crate) train: &'a str,
    /// The job's graph; summaries of others are not kept.
    pub(crate) graph: &'a Graph,
}

/// Everything that can change summaries or what gathering them costs.
#[derive(Serialize)]
struct Key<'a> {
    kind: &'static str,
    gatherer: u32,
    graph: &'a str,
    values: &'a [&'a str],
    detail: &'static str,
    data: &'a str,
    preprocess: &'a Preprocess,
    images: usize,
    draw: u64,
    batch: usize,
    runtime: &'a str,
    isa: &'a str,
    machine: &'a Machine,
    threads: usize,
    jobs: usize,
}

/// The word of a detail in a [`Key`].
fn word(detail: Detail) -> &'static str {
    match detail {
        Detail::Extent => "extent",
        Detail::Counts => "counts",
        Detail::Moments => "moments",
    }
}

/// The cost of a method as it adds up.
pub(crate) struct Ledger {
    meter: Meter,
    /// What this cell spent, work on kept statistics aside.
    own: MethodCost,
    /// What other cells spent on statistics that this one used.
    shared: MethodCost,
}

impl Ledger {
    /// Begins to count.
    pub(crate) fn start() -> Self {
        let (own, shared) = (MethodCost::default(), MethodCost::default());
        Self { meter: Meter::start(), own, shared }
    }

    /// Charges what was spent since the last call, and tells it.
    fn charge(&mut self) -> MethodCost {
        let lap = self.meter.lap();
        self.own = both(self.own, lap);
        lap
    }

    /// Charges nobody with what was spent since the last call.
    pub(crate) fn waive(&mut self) {
        self.meter.lap();
    }

    /// Begins with what an interrupted run had spent, in place of what was spent here so far.
    pub(crate) fn go_on_from(&mut self, cost: MethodCost) {
        self.waive();
        self.own = cost;
    }

    /// What this cell spent so far.
    pub(crate) fn so_far(&mut self) -> MethodCost {
        self.charge();
        self.own
    }

    /// Charges what another cell spent.
    fn share(&mut self, cost: MethodCost) {
        self.shared = both(self.shared, cost);
    }

    /// The whole cost, and the CPU seconds of it that another cell spent.
    pub(crate) fn close(mut self) -> (MethodCost, f64) {
        self.charge();
        (both(self.own, self.shared), self.shared.cpu_s)
    }
}

/// One piece of work after the other: times add up, of peaks the higher one counts.
fn both(a: MethodCost, b: MethodCost) -> MethodCost {
    MethodCost {
        wall_s: a.wall_s + b.wall_s,
        cpu_s: a.cpu_s + b.cpu_s,
        peak_mib: a.peak_mib.max(b.peak_mib),
    }
}

/// The statistics of a run folder, as one cell sees them.
pub(crate) struct Shared<'a> {
    sharing: Sharing<'a>,
    ground: Ground<'a>,
    machine: Machine,
    ledger: &'a RefCell<Ledger>,
}

impl<'a> Shared<'a> {
    pub(crate) fn new(
        sharing: Sharing<'a>,
        ground: Ground<'a>,
        ledger: &'a RefCell<Ledger>,
    ) -> Self {
        Self { sharing, ground, machine: quantbench_measure::machine(), ledger }
    }

    fn id(&self, ask: &Ask<'_>) -> String {
        let Ground { making, train, graph } = self.ground;
        id_of(&Key {
            kind: "statistics",
            gatherer: GATHERER,
            graph: &sha256_hex(&graph.to_bytes()),
            values: ask.values,
            detail: word(ask.detail),
            data: train,
            preprocess: making.preprocess,
            images: ask.images,
            draw: making.draw,
            batch: ask.batch,
            runtime: self.sharing.runtime,
            isa: self.sharing.isa,
            machine: &self.machine,
            threads: making.threads,
            jobs: self.sharing.jobs.max(1),
        })
    }

    /// What is kept under an id, if it is what was asked for.
    fn kept(&self, id: &str, ask: &Ask<'_>) -> Option<Kept> {
        self.sharing.store.statistics(id).filter(|kept| {
            kept.summaries.len() == ask.values.len()
                && kept.summaries.iter().all(|s| s.detail() == ask.detail)
        })
    }
}

impl Statistics for Shared<'_> {
    fn summaries(&self, ask: &Ask<'_>, gather: &mut Gather<'_>) -> Result<Found, MethodError> {
        self.ledger.borrow_mut().charge();
        // A method that changed the graph is alone with it.
        let known = (ask.graph == self.ground.graph).then(|| self.id(ask));
        let kept = known.as_deref().and_then(|id| self.kept(id, ask));
        self.ledger.borrow_mut().waive();
        if let Some(Kept { cost, summaries }) = kept {
            self.ledger.borrow_mut().share(cost);
            return Ok(Found { summaries, kept: true });
        }
        let summaries = gather()?;
        let cost = self.ledger.borrow_mut().charge();
        if let Some(id) = known {
            let kept = Kept { cost, summaries: summaries.clone() };
            // Nothing is lost but time if they cannot be kept: the next cell gathers them again.
            let _ = self.sharing.store.put_statistics(&id, &kept);
            self.ledger.borrow_mut().waive();
        }
        Ok(Found { summaries, kept: false })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn times_add_up_and_the_higher_peak_counts() {
        let a = MethodCost { wall_s: 1.0, cpu_s: 2.0, peak_mib: 30.0 };
        let b = MethodCost { wall_s: 0.5, cpu_s: 0.25, peak_mib: 40.0 };
        assert_eq!(both(a, b), MethodCost { wall_s: 1.5, cpu_s: 2.25, peak_mib: 40.0 });
    }

    #[test]
    fn a_method_is_charged_for_its_own_work_and_for_what_was_shared_only() {
        let nap = Duration::from_millis(300);
        let mut ledger = Ledger::start();
        std::thread::sleep(nap);
        let lap = ledger.charge();
        // Reading what was kept: nobody's cost.
        std::thread::sleep(nap);
        ledger.waive();
        ledger.share(MethodCost { wall_s: 10.0, cpu_s: 20.0, peak_mib: 1e6 });
        let (cost, shared) = ledger.close();
        assert_eq!((shared, cost.peak_mib), (20.0, 1e6));
        assert!(lap.wall_s >= 0.3, "{lap:?}");
        // The second nap is not in it.
        assert!((10.3..10.6).contains(&cost.wall_s), "{cost:?}");
        assert!(cost.cpu_s >= 20.0, "{cost:?}");
    }
}
