//! All the work of one cell, from its order to its row.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use quantbench_core::Evidence;
use quantbench_core::row::{
    Accuracy, Deployed, FP32, Gate, Observed, ResultPart, Row, SCHEMA, Status,
};
use quantbench_datasets::{Images, Part, load};
use quantbench_engine::{Optimisation, Runtime, byte_products, count_integer_layers};
use quantbench_graph::{
    Artefact, Graph, allocation, bit_operations, decode, mean_weight_bits, sizes,
};

use crate::store::predictions::digest;
use crate::store::{ArtefactFacts, Store};
use crate::work::assess::{Assessed, How, assess, export_for};
use crate::work::error::WorkError;
use crate::work::histograms::keep_histograms;
use crate::work::keeping::Look;
use crate::work::make::{Making, Progress, make};
use crate::work::order::{Order, now};
use crate::work::shared::Sharing;

/// Does the work of a cell and gives its row; whatever goes wrong becomes a failed row.
pub fn row_of(order: &Order, store: &Store, progress: &mut Progress<'_>) -> Row {
    let start = Instant::now();
    let mut observed = order.observed(quantbench_measure::machine());
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        Work { order, store, progress }.result(&mut observed).map_err(|error| error.to_string())
    }));
    let outcome = outcome.unwrap_or_else(|payload| {
        let text = payload
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| payload.downcast_ref::<&str>().map(ToString::to_string));
        Err(format!("a bug, please report it: panic: {}", text.unwrap_or_default()))
    });
    observed.cell_s = start.elapsed().as_secs_f64();
    observed.finished = now();
    match outcome {
        Ok(result) => Row {
            schema: SCHEMA,
            survey: order.survey.clone(),
            cell: order.cell.clone(),
            ids: order.ids.ids.clone(),
            status: Status::Done,
            reason: None,
            result: Some(result),
            observed,
        },
        Err(reason) => order.failed(&reason, observed),
    }
}

pub(super) struct Work<'w, 'p> {
    pub(super) order: &'w Order,
    pub(super) store: &'w Store,
    pub(super) progress: &'w mut Progress<'p>,
}

impl Work<'_, '_> {
    fn result(&mut self, observed: &mut Observed) -> Result<ResultPart, WorkError> {
        let runtime = self.runtime()?;
        observed.byte_products = Some(byte_products(runtime)?.to_string());
        let model = self.order.model.bytes(&self.order.roots())?;
        let images = self.test_images()?;
        let (fp32, seconds) = self.fp32(runtime, &model, &images)?;
        if self.order.cell.method == FP32 {
            observed.eval_simulated_s = seconds;
            return self.plain(&model, &fp32);
        }
        if let Some(foreign) = &self.order.foreign {
            return self.foreign(runtime, foreign, &model, &images, fp32.accuracy, observed);
        }
        self.quantized(runtime, &model, &images, fp32.accuracy, observed)
    }

    /// The runtime, if it is the one of the plan.
    fn runtime(&self) -> Result<&'static Runtime, WorkError> {
        let runtime = Runtime::load()?;
        let isa = quantbench_measure::isa_class();
        if runtime.version() == self.order.runtime && isa == self.order.isa {
            return Ok(runtime);
        }
        Err(WorkError::Elsewhere {
            planned_runtime: self.order.runtime.clone(),
            planned_isa: self.order.isa.clone(),
            runtime: runtime.version().to_string(),
            isa,
        })
    }

    fn test_images(&mut self) -> Result<Images, WorkError> {
        (self.progress)(0, 1, "reading test images");
        let split = Arc::new(load(&self.order.dataset, Part::Test, &self.order.roots())?);
        self.same_data(Part::Test, &self.order.ids.ids.test_data, &split.hash)?;
        self.store.put_labels(&split.hash, split.labels())?;
        let chosen = match self.order.cell.test_images {
            Some(n) => split.first(n),
            None => (0..split.len()).collect(),
        };
        Ok(Images::new(split, chosen, &self.order.model.preprocess)?)
    }

    pub(super) fn same_data(
        &self,
        part: Part,
        planned: &str,
        found: &str,
    ) -> Result<(), WorkError> {
        if planned == found {
            return Ok(());
        }
        Err(WorkError::OtherData {
            dataset: self.order.dataset.name.clone(),
            part,
            planned: planned.to_string(),
            found: found.to_string(),
        })
    }

    /// The FP32 model's predictions: stored ones, else made now and stored.
    ///
    /// The FP32 cell itself makes them even if they are stored, and tells how long that took.
    fn fp32(
        &mut self,
        runtime: &Runtime,
        model: &[u8],
        images: &Images,
    ) -> Result<(Assessed, Option<f64>), WorkError> {
        let id = &self.order.ids.eval_fp32;
        let labels = quantbench_core::LabelledSource::labels(images);
        let own = self.order.cell.method == FP32;
        if let Some(predictions) =
            self.store.predictions(id).filter(|p| p.len() == labels.len() && !own)
        {
            let correct = predictions.iter().zip(labels).filter(|(p, l)| p == l).count() as u64;
            let accuracy = Accuracy { correct, images: labels.len() as u64 };
            return Ok((Assessed { predictions, accuracy, seconds: 0.0 }, None));
        }
        let how = self.how(Optimisation::Off);
        let done = assess(runtime, model, &self.order.model.name, images, how, self.progress)?;
        self.store.put_predictions(id, &done.predictions)?;
        let seconds = done.seconds;
        Ok((done, Some(seconds)))
    }

    pub(super) fn how(&self, optimisation: Optimisation) -> How {
        How { optimisation, threads: self.order.threads, batch: self.order.batch }
    }

    /// The result of the FP32 cell.
    fn plain(&self, model: &[u8], fp32: &Assessed) -> Result<ResultPart, WorkError> {
        let graph = Graph::from_bytes(model, &self.order.model.name)?.fold()?;
        let notes = graph.notes().to_vec();
        let artefact = Artefact::new(graph, BTreeMap::new(), BTreeMap::new(), Vec::new());
        let (bit_operations, bit_operations_fp32) = bit_operations(&artefact);
        let allocation = allocation(&artefact);
        Ok(ResultPart {
            fp32: fp32.accuracy,
            acc_simulated: fp32.accuracy,
            acc_deployed: None,
            deployed_reason: None,
            gate: gate(&self.order.model, fp32.accuracy, self.order.cell.test_images.is_none()),
            sizes: sizes(&artefact, model.len() as u64, model.len() as u64),
            bit_operations,
            bit_operations_fp32,
            mean_weight_bits: mean_weight_bits(&allocation),
            allocation,
            images_read: 0,
            labels_read: 0,
            synthetic_images: 0,
            best_epoch: None,
            artefact_sha256: self.order.model.sha256.clone(),
            predictions: digest(&fp32.predictions),
            notes,
            evidence: Evidence::default(),
        })
    }

    /// The result of a quantized cell.
    fn quantized(
        &mut self,
        runtime: &'static Runtime,
        model: &[u8],
        images: &Images,
        fp32: Accuracy,
        observed: &mut Observed,
    ) -> Result<ResultPart, WorkError> {
        let (packed, facts) = self.artefact(runtime, model, images)?;
        observed.method = facts.cost_for(observed);
        observed.shared_cpu_s = observed.method.map_or(0.0, |_| facts.shared_cpu_s);
        // Always from the packed bytes, so that a stored artefact and a fresh one are the same.
        let artefact = decode(&packed, &self.order.label)?;
        keep_histograms(self.order, self.store, runtime, model, &artefact)?;
        let exported = export_for(runtime, &artefact)?;
        let how = self.how(Optimisation::Off);
        let label = &self.order.label;
        let simulated = assess(runtime, &exported.onnx, label, images, how, self.progress)?;
        self.store.put_predictions(&self.order.ids.ids.eval, &simulated.predictions)?;
        observed.eval_simulated_s = Some(simulated.seconds);
        let (deployed, reason) = self.deployed(runtime, &exported.onnx, images, observed)?;
        let (bit_operations, bit_operations_fp32) = bit_operations(&artefact);
        let allocation = allocation(&artefact);
        let mut notes = artefact.notes.clone();
        notes.extend(exported.note);
        Ok(ResultPart {
            fp32,
            acc_simulated: simulated.accuracy,
            acc_deployed: deployed,
            deployed_reason: reason,
            gate: self.order.gate.unwrap_or(Gate::NotChecked),
            sizes: sizes(&artefact, model.len() as u64, exported.onnx.len() as u64),
            bit_operations,
            bit_operations_fp32,
            mean_weight_bits: mean_weight_bits(&allocation),
            allocation,
            images_read: facts.images_read,
            labels_read: facts.labels_read,
            synthetic_images: facts.synthetic_images,
            // It may have been judged on other images, by the cell that made the artefact.
            best_epoch: facts.best_epoch.filter(|b| b.accuracy.images == simulated.accuracy.images),
            artefact_sha256: facts.sha256,
            predictions: digest(&simulated.predictions),
            notes,
            evidence: facts.evidence,
        })
    }

    /// The packed artefact: the stored one, else made now and stored.
    fn artefact(
        &mut self,
        runtime: &'static Runtime,
        model: &[u8],
        images: &Images,
    ) -> Result<(Vec<u8>, ArtefactFacts), WorkError> {
        let order = self.order;
        let id = &order.ids.ids.artefact;
        if let Some(stored) = self.store.artefact(id) {
            return Ok(stored);
        }
        let spec = order.cell.spec.as_ref().ok_or_else(|| {
            WorkError::Unfit(format!(
                "method {} needs widths, the order has none",
                order.cell.method
            ))
        })?;
        let request = Making {
            model,
            origin: &order.model.name,
            dataset: &order.dataset,
            preprocess: &order.model.preprocess,
            method: &order.cell.method,
            params: &order.cell.params,
            spec,
            images: order.cell.calibration_images,
            draw: order.cell.draw.unwrap_or(0),
            seed: order.cell.seed.unwrap_or(0),
            threads: order.threads,
            sharing: Some(Sharing {
                store: self.store,
                runtime: &order.runtime,
                isa: &order.isa,
                jobs: order.jobs,
            }),
        };
        let never = AtomicBool::new(false);
        let how = self.how(Optimisation::Off);
        let mut judge = |artefact: &Artefact| {
            let exported = export_for(runtime, artefact)?;
            let quiet = &mut |_: usize, _: usize, _: &str| {};
            Ok(assess(runtime, &exported.onnx, &order.label, images, how, quiet)?.accuracy)
        };
        let look = Look { store: self.store, artefact: id, judge: &mut judge };
        let made = make(&request, runtime, &order.roots(), self.progress, &never, Some(look))?;
        if !made.train.is_empty() {
            self.same_data(Part::Train, &order.ids.ids.train_data, &made.train)?;
        }
        let facts = ArtefactFacts {
            sha256: quantbench_core::hash::sha256_hex(&made.bytes),
            images_read: made.images_read,
            labels_read: made.labels_read,
            synthetic_images: made.synthetic_images,
            best_epoch: made.best,
            notes: Vec::new(),
            evidence: made.evidence,
            cost: made.cost,
            shared_cpu_s: made.shared_cpu_s,
            reported: None,
            confinement: None,
            threads: order.threads,
            jobs: order.jobs,
            machine: quantbench_measure::machine(),
        };
        self.store.put_artefact(id, &made.bytes, &facts)?;
        self.store.drop_checkpoint(id);
        Ok((made.bytes, facts))
    }

    /// Accuracy through integer kernels, or why there is none.
    pub(super) fn deployed(
        &mut self,
        runtime: &Runtime,
        onnx: &[u8],
        images: &Images,
        observed: &mut Observed,
    ) -> Result<(Option<Deployed>, Option<String>), WorkError> {
        if !self.order.cell.deployed {
            return Ok((None, None));
        }
        let (integer_layers, layers) = count_integer_layers(runtime, onnx, self.order.threads)?;
        if integer_layers == 0 {
            let reason = format!(
                "ONNX Runtime {} runs none of the {layers} layers with integer kernels here",
                runtime.version()
            );
            return Ok((None, Some(reason)));
        }
        let how = self.how(Optimisation::All);
        let label = &self.order.label;
        let done = assess(runtime, onnx, label, images, how, self.progress)?;
        self.store.put_predictions(&self.order.ids.eval_deployed, &done.predictions)?;
        observed.eval_deployed_s = Some(done.seconds);
        let predictions = digest(&done.predictions);
        let accuracy = done.accuracy;
        Ok((Some(Deployed { accuracy, integer_layers, layers, predictions }), None))
    }
}

/// Whether the FP32 accuracy is that of the card; only the whole test set tells.
pub(crate) fn gate(model: &crate::config::ModelCard, accuracy: Accuracy, whole: bool) -> Gate {
    match model.fp32_top1 {
        Some(expected) if whole => {
            let distance = (accuracy.percent() - expected).abs();
            if distance <= model.gate_tolerance + 1e-9 { Gate::Passed } else { Gate::Failed }
        }
        _ => Gate::NotChecked,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Catalog;

    #[test]
    fn the_gate_opens_within_its_tolerance_on_the_whole_test_set_only() {
        let catalog = Catalog::load(None).unwrap();
        let card = catalog.model("resnet20-cifar10").unwrap().clone();
        let at = |correct| Accuracy { correct, images: 10_000 };
        assert_eq!(gate(&card, at(9_173), true), Gate::Passed);
        assert_eq!(gate(&card, at(9_175), true), Gate::Passed);
        assert_eq!(gate(&card, at(9_171), true), Gate::Passed);
        assert_eq!(gate(&card, at(9_176), true), Gate::Failed);
        assert_eq!(gate(&card, at(9_170), true), Gate::Failed);
        assert_eq!(gate(&card, at(9_173), false), Gate::NotChecked);
        let silent = crate::config::ModelCard { fp32_top1: None, ..card };
        assert_eq!(gate(&silent, at(1), true), Gate::NotChecked);
    }
}
