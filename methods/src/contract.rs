//! The contract of a method.

use std::sync::atomic::{AtomicBool, Ordering};

use quantbench_core::card::{ParamValue, Params};
use quantbench_core::rng::Rng;
use quantbench_core::source::SourceError;
use quantbench_core::{Card, CostModel, Evidence, Needs, Spec};
use quantbench_engine::autodiff::optim::{OptimError, ScheduleError};
use quantbench_engine::autodiff::{AugmentError, BatchError, NetworkError};
use quantbench_engine::{Engine, EngineError};
use quantbench_graph::{Artefact, ExportError, Graph, GraphError, Layer, Sites};
use thiserror::Error;

use crate::grant::{Grant, Vault};
use crate::keeper::Keeper;
use crate::statistics::Statistics;

/// What a method is asked to do.
pub struct Job<'a> {
    /// The FP32 model with constants and batch norm folded.
    pub graph: &'a Graph,
    /// The same model with its batch norms, for methods that train it.
    pub unfolded: &'a Graph,
    /// Its layers, in order.
    pub layers: &'a [Layer],
    /// Where the spec puts quantizers and how wide they are.
    pub sites: &'a Sites,
    /// What was asked.
    pub spec: &'a Spec,
    /// All parameters of the card, defaults filled in by [`Card::resolve`].
    pub params: &'a Params,
}

impl Job<'_> {
    /// A real-valued parameter; the card guarantees that it is there.
    pub fn float(&self, name: &str) -> f64 {
        match self.params.get(name) {
            Some(ParamValue::Float(v)) => *v,
            Some(ParamValue::Int(v)) => *v as f64,
            _ => f64::NAN,
        }
    }

    /// A whole-number parameter.
    pub fn int(&self, name: &str) -> i64 {
        match self.params.get(name) {
            Some(ParamValue::Int(v)) => *v,
            _ => 0,
        }
    }

    /// A switch.
    pub fn switch(&self, name: &str) -> bool {
        matches!(self.params.get(name), Some(ParamValue::Bool(true)))
    }

    /// A choice among names.
    pub fn choice(&self, name: &str) -> &str {
        match self.params.get(name) {
            Some(ParamValue::Text(v)) => v,
            _ => "",
        }
    }
}

/// Where progress goes: steps done, steps in all, what is being done.
pub type Progress<'a> = dyn FnMut(usize, usize, &str) + 'a;

/// What a method may use besides its job and its data.
pub struct Context<'a> {
    /// Runs graphs.
    pub engine: &'a Engine,
    /// Seeded by (seed, method name).
    pub rng: Rng,
    /// Images per forward pass.
    pub batch: usize,
    /// What the method records for reports; no part of the artefact.
    pub evidence: Evidence,
    /// Images that the method made itself, each counted once; the method counts.
    pub synthetic_images: u64,
    /// The FP32 network that the artefact's layers stand for, set by a method that rescales or
    /// shifts channels before it quantizes; none for the job's graph. Add-ons compare with it.
    pub reference: Option<Graph>,
    progress: &'a mut Progress<'a>,
    cancelled: &'a AtomicBool,
    cost: Option<&'a dyn CostModel>,
    statistics: Option<&'a dyn Statistics>,
    keeper: Option<&'a mut dyn Keeper>,
}

impl<'a> Context<'a> {
    /// A context; `seed` and the method's name seed its randomness, without its add-ons, so that
    /// these change the artefact of the same draw.
    pub fn new(
        engine: &'a Engine,
        method: &str,
        seed: u64,
        progress: &'a mut Progress<'a>,
        cancelled: &'a AtomicBool,
    ) -> Self {
        let method = method.split(crate::add_on::PLUS).next().unwrap_or(method);
        let rng = Rng::from_parts(&["method", method, &seed.to_string()]);
        Self {
            engine,
            rng,
            batch: 128,
            evidence: Evidence::default(),
            synthetic_images: 0,
            reference: None,
            progress,
            cancelled,
            cost: None,
            statistics: None,
            keeper: None,
        }
    }

    /// The same context with a target's cost, for a method whose card asks for one.
    #[must_use]
    pub fn with_cost(mut self, cost: &'a dyn CostModel) -> Self {
        self.cost = Some(cost);
        self
    }

    /// The target's cost, where the card asks for one.
    pub fn cost(&self) -> Option<&dyn CostModel> {
        self.cost
    }

    /// The same context with summaries of activations that are shared with other methods.
    #[must_use]
    pub fn with_statistics(mut self, statistics: &'a dyn Statistics) -> Self {
        self.statistics = Some(statistics);
        self
    }

    /// Summaries that are shared with other methods, where whoever runs this one keeps some.
    pub fn statistics(&self) -> Option<&'a dyn Statistics> {
        self.statistics
    }

    /// The same context with somebody who keeps checkpoints and looks at snapshots.
    #[must_use]
    pub fn with_keeper(mut self, keeper: &'a mut dyn Keeper) -> Self {
        self.keeper = Some(keeper);
        self
    }

    /// Whether anybody keeps checkpoints and looks at snapshots.
    pub fn is_kept(&self) -> bool {
        self.keeper.is_some()
    }

    /// What the same job kept last before it was interrupted, if anything.
    pub fn checkpoint(&mut self) -> Result<Option<Vec<u8>>, MethodError> {
        let loaded = self.keeper.as_mut().map_or(Ok(None), |keeper| keeper.load());
        loaded.map_err(MethodError::Kept)
    }

    /// Keeps bytes from which the same job can go on, in place of those before.
    pub fn keep(&mut self, bytes: &[u8]) -> Result<(), MethodError> {
        let kept = self.keeper.as_mut().map_or(Ok(()), |keeper| keeper.save(bytes));
        kept.map_err(MethodError::Kept)
    }

    /// Shows the artefact after so many epochs; the method learns nothing from that.
    pub fn snapshot(&mut self, epoch: usize, artefact: &Artefact) -> Result<(), MethodError> {
        let seen = self.keeper.as_mut().map_or(Ok(()), |keeper| keeper.snapshot(epoch, artefact));
        seen.map_err(MethodError::Kept)
    }

    /// Reports progress and returns an error if the run was cancelled: call it between steps.
    pub fn step(&mut self, done: usize, all: usize, what: &str) -> Result<(), MethodError> {
        (self.progress)(done, all, what);
        if self.cancelled.load(Ordering::Relaxed) { Err(MethodError::Cancelled) } else { Ok(()) }
    }
}

/// Why a method gave no artefact.
#[derive(Debug, Error)]
pub enum MethodError {
    /// The spec or the model does not suit the method.
    #[error("{method} cannot do this: {reason}")]
    Unfit {
        /// Name of the method.
        method: &'static str,
        /// What does not fit and what would.
        reason: String,
    },
    /// The budget is below what the smallest widths cost.
    #[error(
        "budget of {asked} {unit} is infeasible; the smallest feasible one is {smallest} {unit}"
    )]
    Infeasible {
        /// Asked, in the unit.
        asked: f64,
        /// Smallest that can be met, in the unit.
        smallest: f64,
        /// What is counted.
        unit: &'static str,
    },
    /// The method needs images and was granted none.
    #[error(
        "{0} needs calibration images and was granted none; set calibration.images in the survey"
    )]
    NoImages(&'static str),
    /// Images could not be read.
    #[error("calibration images: {0}")]
    Source(#[from] SourceError),
    /// A graph could not be run.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A graph could not be read or changed.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// A network with its quantizers could not be written, to be run.
    #[error(transparent)]
    Export(#[from] ExportError),
    /// A network could not be trained.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// Parameters could not be moved.
    #[error(transparent)]
    Optim(#[from] OptimError),
    /// Batches could not be made.
    #[error(transparent)]
    Batches(#[from] BatchError),
    /// Images could not be changed for training.
    #[error(transparent)]
    Augment(#[from] AugmentError),
    /// A learning rate could not be had.
    #[error(transparent)]
    Schedule(#[from] ScheduleError),
    /// A value that is not a number came up.
    #[error("{what} gave a value that is not finite; check the model's weights and the images")]
    NotFinite {
        /// Where.
        what: String,
    },
    /// A training ended in a network that answers everything alike.
    #[error(
        "training collapsed: the network that it left puts all of {images} training images into class {class} (loss of the last step {loss:.3}); try a lower rate, more epochs or wider grids"
    )]
    Collapsed {
        /// Images that were looked at.
        images: usize,
        /// The one class.
        class: usize,
        /// Loss of the last step.
        loss: f32,
    },
    /// A checkpoint could not be kept or used, or a snapshot not be looked at.
    #[error("{0}")]
    Kept(String),
    /// The run was cancelled.
    #[error("cancelled")]
    Cancelled,
}

/// What an author writes: one file, one line in [`crate::ALL`].
pub trait Recipe: Send + Sync {
    /// The data that the method is granted; `needs` of the card follows from it.
    type Data: Grant;

    /// The static facts.
    fn card(&self) -> &'static Card;

    /// Whether this job needs images, for a recipe whose grant is [`crate::UnlabelledIfAsked`].
    fn asks_for_images(&self, _spec: &Spec, _params: &Params) -> bool {
        false
    }

    /// Does the work. Pure: same job, data and seed give the same artefact bytes.
    fn quantize(
        &self,
        job: &Job<'_>,
        data: Self::Data,
        cx: &mut Context<'_>,
    ) -> Result<Artefact, MethodError>;
}

/// The object-safe form of [`Recipe`], which the runner sees.
pub trait Method: Send + Sync {
    /// The static facts.
    fn card(&self) -> &'static Card;

    /// What the type grants, whatever the spec.
    fn grant(&self) -> Needs;

    /// What this job is granted: [`Needs::UnlabelledIfAsked`] is settled here.
    fn needs(&self, spec: &Spec, params: &Params) -> Needs;

    /// Takes exactly the granted data out of the vault and runs the recipe.
    fn run(
        &self,
        job: &Job<'_>,
        vault: &Vault,
        cx: &mut Context<'_>,
    ) -> Result<Artefact, MethodError>;
}

impl<R: Recipe> Method for R {
    fn card(&self) -> &'static Card {
        Recipe::card(self)
    }

    fn grant(&self) -> Needs {
        R::Data::NEEDS
    }

    fn needs(&self, spec: &Spec, params: &Params) -> Needs {
        match R::Data::NEEDS {
            Needs::UnlabelledIfAsked if self.asks_for_images(spec, params) => Needs::Unlabelled,
            Needs::UnlabelledIfAsked => Needs::Nothing,
            needs => needs,
        }
    }

    fn run(
        &self,
        job: &Job<'_>,
        vault: &Vault,
        cx: &mut Context<'_>,
    ) -> Result<Artefact, MethodError> {
        let card = Recipe::card(self);
        card.fits_spec(job.spec)
            .map_err(|reason| MethodError::Unfit { method: card.name, reason })?;
        let asked = self.needs(job.spec, job.params) != Needs::Nothing;
        let data = R::Data::take(vault, asked, card.name)?;
        self.quantize(job, data, cx)
    }
}
