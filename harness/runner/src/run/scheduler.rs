//! Which cell runs when, and what becomes of it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use quantbench_core::row::{Gate, Machine};

use crate::config::Catalog;
use crate::plan::estimate::{Times, duration};
use crate::plan::here::Here;
use crate::plan::{Plan, PlannedCell};
use crate::run::child::{Message, Worker};
use crate::run::event::{Event, Summary};
use crate::run::keeper::Keeper;
use crate::run::settle::Outcome;
use crate::run::{RunError, RunOptions};
use crate::store::claims::{Asked, RENEW};
use crate::store::{Snapshot, Store};
use crate::work::order::Order;

/// How often workers and interrupts are looked after.
const TICK: Duration = Duration::from_millis(100);

/// How often a cell that somebody else holds is asked for again.
const POLL: Duration = Duration::from_millis(500);

/// Where a cell stands.
pub(super) enum State {
    /// Without a row; not to be asked for before this time.
    Pending { after: Option<Instant> },
    /// A worker is on it; the stamp of the row that was there before.
    Running { worker: Box<Worker>, before: Option<String> },
    /// It has a row.
    Settled(Outcome),
    /// It is not to be run any more.
    Left,
}

/// What may be done with a pending cell now.
enum Next {
    /// Start it; the state of its FP32 gate.
    Start(Option<Gate>),
    /// Write a failed row with this reason.
    Refuse(String),
    /// Its FP32 cell has no row yet.
    Wait,
}

/// One run of a plan.
pub(crate) struct Scheduler<'r> {
    pub(super) plan: &'r Plan,
    pub(super) catalog: &'r Catalog,
    pub(super) options: &'r RunOptions,
    pub(super) store: Store,
    here: &'r Here,
    pub(super) machine: Machine,
    /// Indices into the plan's cells, in the order in which they run.
    pub(super) cells: Vec<usize>,
    /// Before the claims, so that workers are gone when these are given back.
    pub(super) states: BTreeMap<usize, State>,
    pub(super) keeper: Keeper,
    /// Stamps of failed rows that are done again: another stamp is somebody's new attempt.
    pub(super) failed_before: BTreeMap<usize, String>,
    pub(super) times: Times,
    pub(super) summary: Summary,
    sender: Sender<Message>,
    receiver: Receiver<Message>,
    begun: Instant,
    pub(super) stopping: bool,
    told_waiting: bool,
}

impl<'r> Scheduler<'r> {
    pub(crate) fn new(
        plan: &'r Plan,
        catalog: &'r Catalog,
        options: &'r RunOptions,
        store: Store,
        rows: &Snapshot,
        here: &'r Here,
    ) -> Self {
        let cells = shard(plan, options.shard);
        let folder = store.dir().join("claims");
        let keeper = Keeper::new(store.claims(), &folder, RENEW);
        let (sender, receiver) = channel();
        let times = Times::of(rows);
        let summary = Summary { total: cells.len(), ..Summary::default() };
        Self {
            plan,
            catalog,
            options,
            store,
            here,
            machine: quantbench_measure::machine(),
            cells,
            states: BTreeMap::new(),
            keeper,
            failed_before: BTreeMap::new(),
            times,
            summary,
            sender,
            receiver,
            begun: Instant::now(),
            stopping: false,
            told_waiting: false,
        }
    }

    /// Runs until nothing is left to do or the run is to stop.
    pub(crate) fn run(
        mut self,
        rows: Snapshot,
        events: &mut dyn FnMut(Event),
        interrupted: &AtomicBool,
    ) -> Result<Summary, RunError> {
        let outcome = self.work(rows, events, interrupted);
        self.end();
        outcome.map(|()| self.summary)
    }

    fn work(
        &mut self,
        rows: Snapshot,
        events: &mut dyn FnMut(Event),
        interrupted: &AtomicBool,
    ) -> Result<(), RunError> {
        self.look_at_rows(&rows, events)?;
        drop(rows);
        let done = self.settled();
        let (left, guessed) = self.left();
        events(Event::Begin { total: self.cells.len(), done, left, guessed });
        loop {
            if interrupted.load(Ordering::SeqCst) {
                self.summary.interrupted = true;
                return Ok(());
            }
            self.drop_lost();
            self.start_what_can(events)?;
            if !self.any(|s| matches!(s, State::Running { .. } | State::Pending { .. })) {
                return Ok(());
            }
            self.listen(events);
            self.collect_ended(events)?;
        }
    }

    /// Ends workers, removes what they left half-written and counts what is left to do; claims
    /// are given back when the run is dropped.
    fn end(&mut self) {
        for index in self.cells.clone() {
            if let Some(State::Running { worker, .. }) = self.states.get_mut(&index) {
                worker.kill();
                worker.remove_empty_log();
            }
        }
        self.store.sweep();
        self.summary.left = self.cells.len() - self.settled();
    }

    pub(super) fn cell(&self, index: usize) -> &'r PlannedCell {
        &self.plan.cells[index]
    }

    /// Name of a cell's row; `run_here` refuses plans without ids.
    pub(super) fn id(&self, index: usize) -> &'r str {
        self.cell(index).ids.as_ref().map_or("", |ids| ids.cell.as_str())
    }

    fn out_of_time(&self) -> bool {
        self.plan.time_budget.is_some_and(|budget| self.begun.elapsed() >= budget)
    }

    fn any(&self, test: impl Fn(&State) -> bool) -> bool {
        self.states.values().any(test)
    }

    pub(super) fn settled(&self) -> usize {
        self.states.values().filter(|s| matches!(s, State::Settled(_))).count()
    }

    /// Expected time for what has no row, and how many of those cells are guessed.
    pub(super) fn left(&self) -> (Duration, usize) {
        let (mut seconds, mut guessed) = (0.0, 0);
        for (index, state) in &self.states {
            if matches!(state, State::Pending { .. } | State::Running { .. }) {
                let cell = &self.cell(*index).cell;
                let (one, guess) = self.times.expect(cell, self.plan.test_images);
                seconds += one;
                guessed += usize::from(guess);
            }
        }
        (duration(seconds / self.options.jobs.max(1) as f64), guessed)
    }

    /// Starts cells until all jobs are busy or none can start now.
    fn start_what_can(&mut self, events: &mut dyn FnMut(Event)) -> Result<(), RunError> {
        self.stopping |= self.out_of_time();
        let mut holder = None;
        let mut running =
            self.states.values().filter(|s| matches!(s, State::Running { .. })).count();
        for index in self.cells.clone() {
            let Some(State::Pending { after }) = self.states.get(&index) else { continue };
            if self.stopping {
                self.summary.out_of_time |= self.out_of_time();
                self.states.insert(index, State::Left);
                continue;
            }
            if running >= self.options.jobs.max(1) {
                break;
            }
            if after.is_some_and(|time| Instant::now() < time) {
                continue;
            }
            let next = self.next(index);
            if matches!(next, Next::Wait) {
                continue;
            }
            // Most cells of a run that somebody shares are already done: no claim for those.
            if self.settle_if_done_elsewhere(index, events)? {
                continue;
            }
            match self.keeper.take(self.id(index))? {
                Asked::Held { by } => {
                    holder = Some(by);
                    let after = Some(Instant::now() + POLL);
                    self.states.insert(index, State::Pending { after });
                }
                Asked::Taken => {
                    self.start(index, next, events)?;
                    running += usize::from(matches!(self.states[&index], State::Running { .. }));
                }
            }
        }
        self.tell_waiting(holder, events);
        Ok(())
    }

    fn tell_waiting(&mut self, holder: Option<String>, events: &mut dyn FnMut(Event)) {
        if self.any(|s| matches!(s, State::Running { .. })) {
            self.told_waiting = false;
        } else if let (Some(by), false) = (holder, self.told_waiting) {
            self.told_waiting = true;
            let cells = self.states.values().filter(|s| matches!(s, State::Pending { .. })).count();
            events(Event::Waiting { cells, by });
        }
    }

    /// What may be done with a pending cell, judging by its model's FP32 cell.
    fn next(&self, index: usize) -> Next {
        let cell = self.cell(index);
        if cell.is_fp32() {
            return Next::Start(None);
        }
        let plain = self
            .cells
            .iter()
            .find(|i| self.cell(**i).is_fp32() && self.cell(**i).cell.model == cell.cell.model);
        match plain.and_then(|i| self.states.get(i)) {
            Some(State::Settled(Outcome::Done(Gate::Failed))) => Next::Refuse(format!(
                "FP32 gate: {} does not reach the accuracy on its card; see the FP32 row",
                cell.cell.model
            )),
            Some(State::Settled(Outcome::Done(gate))) => Next::Start(Some(*gate)),
            Some(State::Settled(Outcome::Failed(reason))) => {
                Next::Refuse(format!("FP32 gate: the FP32 cell failed: {reason}"))
            }
            Some(_) => Next::Wait,
            // A plan always holds the FP32 cell; without one there is no gate to check.
            None => Next::Start(Some(Gate::NotChecked)),
        }
    }

    /// Starts a cell that was just claimed, or writes its failed row.
    fn start(
        &mut self,
        index: usize,
        next: Next,
        events: &mut dyn FnMut(Event),
    ) -> Result<(), RunError> {
        // The other process may have finished between our look and our claim.
        if self.settle_if_done_elsewhere(index, events)? {
            return Ok(self.keeper.release(self.id(index))?);
        }
        let gate = match next {
            Next::Start(gate) => gate,
            Next::Wait => return Ok(()),
            Next::Refuse(reason) => {
                self.write_failed(index, &reason)?;
                return self.settle(index, events);
            }
        };
        let order = self.order(index, gate)?;
        let before = self.store.stamp(self.id(index));
        let (label, done) = (self.cell(index).label.clone(), self.settled());
        events(Event::Started { label, done, total: self.cells.len() });
        let log = self.store.log_path(self.id(index));
        let worker = Worker::start(&self.options.worker, &order, &log, index, self.sender.clone())
            .map_err(|source| RunError::Spawn {
                program: self
                    .options
                    .worker
                    .iter()
                    .map(|a| a.to_string_lossy())
                    .collect::<Vec<_>>()
                    .join(" "),
                source,
            })?;
        self.states.insert(index, State::Running { worker: Box::new(worker), before });
        Ok(())
    }

    pub(super) fn order(&self, index: usize, gate: Option<Gate>) -> Result<Order, RunError> {
        let planned = self.cell(index);
        let cell = planned.cell.clone();
        let ids =
            planned.ids.clone().ok_or_else(|| RunError::Missing(self.plan.missing.clone()))?;
        let histograms = self.plan.wants_histograms(&cell);
        Ok(Order {
            histograms,
            survey: self.plan.survey.clone(),
            label: planned.label.clone(),
            model: self.catalog.model(&cell.model)?.clone(),
            dataset: self.catalog.dataset(&cell.dataset)?.clone(),
            cell,
            ids,
            foreign: planned.foreign.clone(),
            dirs: self.here.roots.dirs.clone(),
            cache: self.here.roots.cache.clone(),
            store: self.store.dir().to_path_buf(),
            runtime: self.here.runtime.clone().unwrap_or_default(),
            isa: self.here.isa.clone(),
            batch: self.plan.batch,
            threads: self.options.threads.max(1),
            jobs: self.options.jobs.max(1),
            gate,
            command: self.options.command.clone(),
            commit: self.options.commit.clone(),
        })
    }

    /// Waits for a message or a tick, and passes progress on.
    fn listen(&mut self, events: &mut dyn FnMut(Event)) {
        let mut message = self.receiver.recv_timeout(TICK).ok();
        while let Some(received) = message {
            match received {
                Message::Step(index, step) => events(Event::Progress {
                    label: self.cell(index).label.clone(),
                    step: step.done,
                    steps: step.all,
                    what: step.what,
                }),
                // It most likely ends now, sooner than a tick; one that hangs is looked after at
                // every tick like any other.
                Message::Closed(index) => {
                    if let Some(State::Running { worker, .. }) = self.states.get_mut(&index) {
                        worker.await_end(TICK);
                    }
                }
            }
            message = self.receiver.try_recv().ok();
        }
    }

    /// Ends workers on cells that somebody took over because we seemed dead.
    fn drop_lost(&mut self) {
        for id in self.keeper.lost() {
            let Some(index) = self.cells.iter().copied().find(|i| self.id(*i) == id) else {
                continue;
            };
            if let Some(State::Running { worker, .. }) = self.states.get_mut(&index) {
                worker.kill();
                self.store.sweep();
                self.states.insert(index, State::Pending { after: Some(Instant::now() + POLL) });
            }
        }
    }
}

/// The cells of a shard: its part of the quantized ones, and the FP32 cells of their models.
fn shard(plan: &Plan, shard: Option<(usize, usize)>) -> Vec<usize> {
    let Some((part, parts)) = shard.filter(|(_, n)| *n > 0) else {
        return (0..plan.cells.len()).collect();
    };
    let quantized: Vec<usize> = (0..plan.cells.len())
        .filter(|i| !plan.cells[*i].is_fp32())
        .enumerate()
        .filter(|(n, _)| n % parts == part)
        .map(|(_, i)| i)
        .collect();
    let needs = |model: &str| quantized.iter().any(|i| plan.cells[*i].cell.model == model);
    let plain = (0..plan.cells.len())
        .filter(|i| plan.cells[*i].is_fp32() && needs(&plan.cells[*i].cell.model));
    plain.chain(quantized.iter().copied()).collect()
}
