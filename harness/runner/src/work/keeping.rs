//! Checkpoints of long methods, and a look at their artefact after each epoch.

use std::cell::RefCell;

use quantbench_core::row::{Accuracy, BestEpoch};
use quantbench_graph::Artefact;
use quantbench_methods::{Keeper, Vault};

use crate::store::{Counted, Store};
use crate::work::error::WorkError;
use crate::work::shared::Ledger;

/// Accuracy of an artefact on the cell's test images.
pub type Judge<'a> = dyn FnMut(&Artefact) -> Result<Accuracy, WorkError> + 'a;

/// Where checkpoints lie, and who looks at snapshots.
pub struct Look<'a> {
    /// The run folder.
    pub store: &'a Store,
    /// Id of the artefact that is being made.
    pub artefact: &'a str,
    /// Judges snapshots; the method is told nothing.
    pub judge: &'a mut Judge<'a>,
}

/// Keeps a method's checkpoints with what was counted by then.
pub(super) struct Keeping<'l, 'a> {
    look: Look<'l>,
    vault: &'a Vault,
    ledger: &'a RefCell<Ledger>,
    /// What an interrupted run had counted.
    before: Counted,
    /// What this run had read when it went on from there.
    skipped: (u64, u64),
    best: Option<BestEpoch>,
}

impl<'l, 'a> Keeping<'l, 'a> {
    pub(super) fn new(look: Look<'l>, vault: &'a Vault, ledger: &'a RefCell<Ledger>) -> Self {
        Self { look, vault, ledger, before: Counted::default(), skipped: (0, 0), best: None }
    }

    /// Images and labels read, those of interrupted runs included and what was read only to go on
    /// left out.
    pub(super) fn read(&self) -> (u64, u64) {
        let images = self.before.images_read + self.vault.images_read() - self.skipped.0;
        (images, self.before.labels_read + self.vault.labels_read() - self.skipped.1)
    }

    /// The best of several epochs.
    pub(super) fn best(&self) -> Option<BestEpoch> {
        self.best.filter(|best| best.of > 1)
    }
}

impl Keeper for Keeping<'_, '_> {
    fn load(&mut self) -> Result<Option<Vec<u8>>, String> {
        let Some((counted, bytes)) = self.look.store.checkpoint(self.look.artefact)? else {
            return Ok(None);
        };
        // What it took to get here again is nobody's cost.
        self.ledger.borrow_mut().go_on_from(counted.cost);
        self.skipped = (self.vault.images_read(), self.vault.labels_read());
        (self.before, self.best) = (counted, counted.best);
        Ok(Some(bytes))
    }

    fn save(&mut self, bytes: &[u8]) -> Result<(), String> {
        let (images_read, labels_read) = self.read();
        let cost = self.ledger.borrow_mut().so_far();
        let counted = Counted { images_read, labels_read, cost, best: self.best };
        let kept = self.look.store.put_checkpoint(self.look.artefact, counted, bytes);
        self.ledger.borrow_mut().waive();
        kept.map_err(|error| error.to_string())
    }

    fn snapshot(&mut self, epoch: usize, artefact: &Artefact) -> Result<(), String> {
        self.ledger.borrow_mut().so_far();
        let judged = (self.look.judge)(artefact);
        self.ledger.borrow_mut().waive();
        let accuracy = judged.map_err(|error| error.to_string())?;
        let epoch = epoch as u64;
        let best = self.best.get_or_insert(BestEpoch { epoch, of: epoch, accuracy });
        best.of = epoch;
        if accuracy.correct > best.accuracy.correct {
            (best.epoch, best.accuracy) = (epoch, accuracy);
        }
        Ok(())
    }
}
