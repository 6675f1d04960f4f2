//! The result of a cell whose artefact comes from outside.

use std::collections::BTreeMap;

use quantbench_core::Maker;
use quantbench_core::row::{Accuracy, Gate, Observed, ResultPart};
use quantbench_datasets::{Images, Part};
use quantbench_engine::{Optimisation, Runtime};
use quantbench_graph::{
    Artefact, Graph, allocation, bit_operations, mean_weight_bits, read_qdq, sizes,
};

use crate::external::Foreign;
use crate::external::check::check;
use crate::external::make::{Outside, obtain};
use crate::store::predictions::digest;
use crate::work::assess::assess;
use crate::work::cell::Work;
use crate::work::error::WorkError;

impl Work<'_, '_> {
    /// Evaluates the file itself; sizes, bit operations and widths are read from it.
    pub(super) fn foreign(
        &mut self,
        runtime: &'static Runtime,
        foreign: &Foreign,
        model: &[u8],
        images: &Images,
        fp32: Accuracy,
        observed: &mut Observed,
    ) -> Result<ResultPart, WorkError> {
        let order = self.order;
        let id = &order.ids.ids.artefact;
        let spec = order.cell.spec.as_ref().ok_or_else(|| {
            WorkError::Unfit(format!("{} needs widths, the order has none", order.cell.method))
        })?;
        let graph = Graph::from_bytes(model, &order.model.name)?;
        let folded = graph.fold()?;
        let commanded = matches!(foreign, Foreign::Command(_));
        let stored = self.store.foreign(id).filter(|_| commanded);
        let fresh = stored.is_none();
        let Outside { onnx, facts, train } = match stored {
            Some((onnx, facts)) => Outside { onnx, facts, train: String::new() },
            None => obtain(foreign, order, model, &graph, self.progress)?,
        };
        if !train.is_empty() {
            self.same_data(Part::Train, &order.ids.ids.train_data, &train)?;
        }
        let artefact =
            read_qdq(&onnx, "artefact.onnx").map_err(|e| WorkError::WrongFile(e.to_string()))?;
        check(&graph, &folded, &artefact, spec, order.cell.family)?;
        let how = self.how(Optimisation::Off);
        let simulated = assess(runtime, &onnx, &order.label, images, how, self.progress)?;
        // Only what was found to be a model of the right kind is kept and used again.
        if fresh && commanded {
            self.store.put_foreign(id, &onnx, &facts)?;
        }
        self.store.put_predictions(&order.ids.ids.eval, &simulated.predictions)?;
        observed.eval_simulated_s = Some(simulated.seconds);
        if commanded {
            observed.method = facts.cost_for(observed);
            observed.method_reported = facts.reported.filter(|_| observed.method.is_some());
            observed.confinement.clone_from(&facts.confinement);
        }
        let (deployed, reason) = self.deployed(runtime, &onnx, images, observed)?;
        let plain = Artefact::new(folded, BTreeMap::new(), BTreeMap::new(), Vec::new());
        let allocation = allocation(&artefact);
        Ok(ResultPart {
            fp32,
            acc_simulated: simulated.accuracy,
            acc_deployed: deployed,
            deployed_reason: reason,
            gate: order.gate.unwrap_or(Gate::NotChecked),
            sizes: sizes(&artefact, model.len() as u64, onnx.len() as u64),
            bit_operations: bit_operations(&artefact).0,
            bit_operations_fp32: bit_operations(&plain).1,
            mean_weight_bits: mean_weight_bits(&allocation),
            allocation,
            images_read: facts.images_read,
            labels_read: facts.labels_read,
            synthetic_images: facts.synthetic_images,
            best_epoch: None,
            artefact_sha256: facts.sha256,
            predictions: digest(&simulated.predictions),
            notes: notes(order.cell.maker.as_ref(), facts.notes),
            evidence: facts.evidence,
        })
    }
}

/// What a command said, or what the survey says about a file.
fn notes(maker: Option<&Maker>, mut notes: Vec<String>) -> Vec<String> {
    if let Some(Maker::Artefact { tool, note, .. }) = maker {
        notes.push(format!(
            "a file made by {tool}; its cost and the data it saw are not known here"
        ));
        notes.extend(note.clone());
    }
    notes
}
