//! Modelled costs of what a run folder holds: one artefact, many targets.

use std::collections::BTreeSet;

use quantbench_core::cost_row::CostObserved;
use quantbench_core::row::{FP32, Row, Status};
use quantbench_graph::{decode, read_qdq};
use quantbench_hardware::{Profile, Workload};
use thiserror::Error;

use crate::store::{Store, StoreError};
use crate::work::order::now;

/// What became of the artefacts of a run folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Costed {
    /// Cost rows that were written.
    pub written: usize,
    /// Cost rows that were there already.
    pub kept: usize,
    /// Artefacts whose rows are here and whose bytes are not, as in published folders.
    pub without_artefact: usize,
}

/// Why costs could not be stored.
#[derive(Debug, Error)]
pub enum CostingError {
    /// The run folder.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An artefact that cannot be read or has no cost.
    #[error("artefact {id} of {label}: {reason}; remove it and run its survey again")]
    Artefact {
        /// Its id.
        id: String,
        /// Method and model.
        label: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// Stores the modelled cost of every artefact of a run folder on every profile that has a model;
/// what is stored already is left as it is. The FP32 network has none: its speed is the reference
/// of measured costs.
///
/// # Errors
/// [`CostingError`].
pub fn cost_artefacts(
    store: &Store,
    profiles: &[&Profile],
    command: &str,
    commit: &str,
) -> Result<Costed, CostingError> {
    let profiles: Vec<&Profile> = profiles.iter().filter(|p| p.cost.is_some()).copied().collect();
    let observed = CostObserved {
        commit: commit.to_string(),
        finished: now(),
        command: command.to_string(),
        ..CostObserved::default()
    };
    let mut costed = Costed::default();
    let mut seen = BTreeSet::new();
    for row in &store.rows()?.0 {
        let id = &row.ids.artefact;
        let counts = row.status == Status::Done && row.cell.method != FP32;
        if !counts || profiles.is_empty() || !seen.insert(id.clone()) {
            continue;
        }
        let missing: Vec<&&Profile> =
            profiles.iter().filter(|p| !store.has_cost(&p.cost_id(id))).collect();
        costed.kept += profiles.len() - missing.len();
        if missing.is_empty() {
            continue;
        }
        let Some(workload) = workload(store, row)? else {
            costed.without_artefact += 1;
            continue;
        };
        for profile in missing {
            store.put_cost(&profile.cost_row(id, &row.cell.model, &workload, observed.clone()))?;
            costed.written += 1;
        }
    }
    Ok(costed)
}

/// What the artefact of a row asks of a target; none if its bytes are not here.
fn workload(store: &Store, row: &Row) -> Result<Option<Workload>, CostingError> {
    let id = &row.ids.artefact;
    let artefact = if let Some((bytes, _)) = store.artefact(id) {
        decode(&bytes, id).map_err(|error| error.to_string())
    } else if let Some((bytes, _)) = store.foreign(id) {
        read_qdq(&bytes, id).map_err(|error| error.to_string())
    } else {
        return Ok(None);
    };
    let workload = artefact.and_then(|a| Workload::of(&a).map_err(|error| error.to_string()));
    workload.map(Some).map_err(|reason| CostingError::Artefact {
        id: id.clone(),
        label: format!("{} on {}", row.cell.method, row.cell.model),
        reason,
    })
}
