//! From rows and ended workers to settled cells.

use quantbench_core::row::{Gate, Row, Status};

use crate::run::RunError;
use crate::run::event::Event;
use crate::run::scheduler::{Scheduler, State};
use crate::store::{BadRow, Fault, Snapshot, StoreError};
use crate::work::cell::gate;
use crate::work::order::now;

/// What a settled cell's row says, as far as others depend on it.
#[derive(Debug, Clone)]
pub(super) enum Outcome {
    Done(Gate),
    Failed(String),
}

impl Outcome {
    pub(super) fn of(row: &Row) -> Self {
        match (&row.result, row.status) {
            (Some(result), Status::Done) => Self::Done(result.gate),
            _ => Self::Failed(row.reason.clone().unwrap_or_else(|| "no reason given".to_string())),
        }
    }
}

impl Scheduler<'_> {
    /// Settles a pending cell if somebody else has written its row since the run began.
    pub(super) fn settle_if_done_elsewhere(
        &mut self,
        index: usize,
        events: &mut dyn FnMut(Event),
    ) -> Result<bool, RunError> {
        let Some(Ok(row)) = self.store.row(self.id(index))? else { return Ok(false) };
        if row.cell != self.cell(index).cell {
            return Ok(false);
        }
        let old = row.status == Status::Failed
            && self.failed_before.get(&index) == self.store.stamp(self.id(index)).as_ref();
        if old {
            return Ok(false);
        }
        let row = self.with_current_gate(index, row)?;
        let outcome = Outcome::of(&row);
        self.times.add(&row);
        self.count_failure(index, &outcome);
        self.states.insert(index, State::Settled(outcome));
        self.summary.elsewhere += 1;
        let (done, total) = (self.settled(), self.cells.len());
        let (label, why) = (self.cell(index).label.clone(), "another process did it".to_string());
        events(Event::Skipped { label, why, done, total });
        Ok(true)
    }

    /// Settles the cells whose workers have ended.
    pub(super) fn collect_ended(&mut self, events: &mut dyn FnMut(Event)) -> Result<(), RunError> {
        for index in self.cells.clone() {
            let Some(State::Running { worker, before }) = self.states.get_mut(&index) else {
                continue;
            };
            let Ok(Some(status)) = worker.ended() else { continue };
            let obituary = worker.obituary(status);
            worker.remove_empty_log();
            let before = before.take();
            let id = self.id(index);
            let stamp = self.store.stamp(id);
            let row = self.store.row(id)?;
            if stamp == before || !matches!(row, Some(Ok(_))) {
                self.store.sweep();
                self.write_failed(index, &obituary)?;
            }
            self.settle(index, events)?;
        }
        Ok(())
    }

    /// Settles a cell of ours by the row that was just written, and gives its claim back.
    pub(super) fn settle(
        &mut self,
        index: usize,
        events: &mut dyn FnMut(Event),
    ) -> Result<(), RunError> {
        let id = self.id(index);
        let row = match self.store.row(id)? {
            Some(Ok(row)) => row,
            Some(Err(bad)) => return Err(self.unreadable(index, bad.to_string())),
            None => return Err(self.unreadable(index, "it vanished".to_string())),
        };
        self.keeper.release(id)?;
        self.times.add(&row);
        let outcome = Outcome::of(&row);
        self.count_failure(index, &outcome);
        self.states.insert(index, State::Settled(outcome.clone()));
        let (label, done, total) =
            (self.cell(index).label.clone(), self.settled(), self.cells.len());
        let left = self.left().0;
        match outcome {
            Outcome::Done(_) => {
                self.summary.done += 1;
                events(Event::Finished { label, row: Box::new(row), done, total, left });
            }
            Outcome::Failed(reason) => {
                self.stopping |= !self.options.keep_going;
                events(Event::Failed { label, reason, done, total, left });
            }
        }
        Ok(())
    }

    fn unreadable(&self, index: usize, reason: String) -> RunError {
        let path = self.store.row_path(self.id(index));
        RunError::Lost {
            label: self.cell(index).label.clone(),
            outcome: "its row was written".to_string(),
            source: StoreError::Read { path, source: std::io::Error::other(reason) },
        }
    }

    /// Writes the row of a cell that no worker wrote one for.
    pub(super) fn write_failed(&self, index: usize, reason: &str) -> Result<(), RunError> {
        let order = self.order(index, None)?;
        let mut observed = order.observed(self.machine.clone());
        observed.finished = now();
        self.store.put_row(self.id(index), &order.failed(reason, observed)).map_err(|source| {
            RunError::Lost {
                label: self.cell(index).label.clone(),
                outcome: reason.to_string(),
                source,
            }
        })
    }

    /// Settles the cells that have a row when the run begins.
    pub(super) fn look_at_rows(
        &mut self,
        rows: &Snapshot,
        events: &mut dyn FnMut(Event),
    ) -> Result<(), RunError> {
        for index in self.cells.clone() {
            let state = match rows.row(self.id(index)) {
                Some(Ok(row)) => self.state_of(index, row, rows, events)?,
                Some(Err(bad)) => self.without(bad.clone(), events)?,
                None => State::Pending { after: None },
            };
            self.states.insert(index, state);
        }
        Ok(())
    }

    /// The state of a cell whose file holds this row.
    fn state_of(
        &mut self,
        index: usize,
        row: &Row,
        rows: &Snapshot,
        events: &mut dyn FnMut(Event),
    ) -> Result<State, RunError> {
        if row.cell != self.cell(index).cell {
            let file = self.store.row_path(self.id(index));
            let reason = format!("it holds the row of another cell, {}", asked(row));
            return self.without(BadRow { file, reason, fault: Fault::Damaged }, events);
        }
        if row.status == Status::Done {
            if !rows.own_is_done(self.id(index)) {
                // Reports read the run folder alone.
                self.store.adopt(self.id(index))?;
            }
            let outcome = if self.cell(index).is_fp32() {
                Outcome::of(&self.with_current_gate(index, row.clone())?)
            } else {
                Outcome::of(row)
            };
            self.summary.before += 1;
            return Ok(State::Settled(outcome));
        }
        if self.options.retry_failed {
            if let Some(stamp) = self.store.stamp(self.id(index)) {
                self.failed_before.insert(index, stamp);
            }
            return Ok(State::Pending { after: None });
        }
        let outcome = Outcome::of(row);
        self.count_failure(index, &outcome);
        Ok(State::Settled(outcome))
    }

    /// A cell whose file is not its row is done again, unless no row can be written there.
    fn without(&self, bad: BadRow, events: &mut dyn FnMut(Event)) -> Result<State, RunError> {
        let own = bad.file.parent().is_some_and(|f| *f == self.store.dir().join("rows"));
        if own && bad.is_in_the_way() {
            return Err(RunError::InTheWay(bad));
        }
        events(Event::BadRow(bad));
        Ok(State::Pending { after: None })
    }

    /// The row with the gate that the model's card gives now, rewritten if that is another one.
    ///
    /// The accuracy on the card is in no id: it can be corrected after the FP32 cell was done.
    fn with_current_gate(&self, index: usize, mut row: Row) -> Result<Row, RunError> {
        let planned = self.cell(index);
        let Some(result) = row.result.as_mut().filter(|_| planned.is_fp32()) else {
            return Ok(row);
        };
        let card = self.catalog.model(&planned.cell.model)?;
        let current = gate(card, result.fp32, planned.cell.test_images.is_none());
        if result.gate != current {
            result.gate = current;
            self.store.put_row(self.id(index), &row)?;
        }
        Ok(row)
    }

    fn count_failure(&mut self, index: usize, outcome: &Outcome) {
        if let Outcome::Failed(reason) = outcome {
            self.summary.failed.push((self.cell(index).label.clone(), reason.clone()));
        }
    }
}

/// What a row says that it was asked, for messages.
fn asked(row: &Row) -> String {
    let cell = &row.cell;
    let spec = cell.spec.as_ref().map_or(String::new(), |s| format!(" at {}", s.bits));
    let draw = cell.draw.map_or(String::new(), |d| format!(", draw {d}"));
    format!("{} on {}{spec}{draw}", cell.method, cell.model)
}
