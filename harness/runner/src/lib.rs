//! From a survey file to rows: configuration, plan, worker processes, the run folder, resume.
//!
//! Takes YAML (surveys and model cards) and gives rows, artefacts and predictions in a run folder.
//!
//! *Invariant*: only plans reach a run; a method gets its data through the vault alone; a row is
//! written whole or not at all; the `result` part of a row is a function of its ids.

pub mod config;
pub mod costs;
pub mod external;
pub mod measured;
pub mod plan;
pub mod run;
pub mod store;
pub mod work;

pub use config::schema::{Kind as SchemaKind, schema_text};
pub use config::{Catalog, ConfigError, ModelCard, ModelError, Survey, snippet};
pub use costs::{Costed, CostingError, cost_artefacts};
pub use external::External;
pub use measured::{MeasureRequest, MeasuredPair, Measuring, measure_artefacts, measure_one};
pub use plan::estimate::{Estimate, estimate};
pub use plan::{Filter, Plan, PlannedCell, plan};
pub use run::worker::worker_main;
pub use run::{Event, RunError, RunOptions, Summary, run};
pub use store::{BadRow, Snapshot, Store, StoreError, missing, write_atomic, write_atomic_of};
pub use work::WorkError;
pub use work::inspect::{InspectOptions, Inspected, LayerFinding, Remedy, Signal, inspect};
pub use work::make::Progress;
pub use work::note::Note;
pub use work::single::{
    EvaluateRequest, Evaluated, QuantizeRequest, Quantized, evaluate_file, quantize_one,
};
