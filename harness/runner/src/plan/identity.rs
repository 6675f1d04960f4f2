//! The ids of a cell, from everything that can change its result.

use quantbench_core::card::Params;
use quantbench_core::hash::id_of;
use quantbench_core::row::{Cell, FP32, Ids};
use quantbench_core::{Needs, Spec};
use quantbench_datasets::Preprocess;
use serde::{Deserialize, Serialize};

/// Raised whenever our own code between artefact and accuracy changes what it computes.
pub const EVALUATOR: u32 = 1;

/// Everything that enters an id besides the cell itself.
#[derive(Debug, Clone, Copy)]
pub struct Sources<'a> {
    /// SHA-256 of the FP32 model file.
    pub model_sha256: &'a str,
    /// Preprocessing with its numbers, not only its name.
    pub preprocess: &'a Preprocess,
    /// Order-free hash of the training split.
    pub train: &'a str,
    /// Order-free hash of the test split.
    pub test: &'a str,
    /// Version of the runtime library.
    pub runtime: &'a str,
    /// Class of the instruction set.
    pub isa: &'a str,
    /// Images per forward pass of the evaluation.
    pub batch: usize,
}

/// Which kernels an evaluation runs through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Float kernels around quantize/dequantize pairs, graph optimisation off.
    Simulated,
    /// Whatever the runtime makes of the graph, integer kernels included.
    Deployed,
}

/// The ids of one cell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CellIds {
    /// Names the row's file.
    pub cell: String,
    /// The ids that the row itself holds.
    pub ids: Ids,
    /// Id of the deployed evaluation.
    pub eval_deployed: String,
    /// Id of the FP32 model's evaluation on the same images.
    pub eval_fp32: String,
}

#[derive(Serialize)]
struct ArtefactKey<'a> {
    kind: &'static str,
    method: &'a str,
    version: u32,
    params: &'a Params,
    model: &'a str,
    spec: Option<&'a Spec>,
    calibration: Option<CalibrationKey<'a>>,
    seed: Option<u64>,
    /// Only of what comes from outside, so that the ids of our own methods stay.
    #[serde(skip_serializing_if = "Option::is_none")]
    maker: Option<&'a str>,
}

#[derive(Serialize)]
struct CalibrationKey<'a> {
    data: &'a str,
    preprocess: &'a Preprocess,
    images: usize,
    draw: Option<u64>,
}

#[derive(Serialize)]
struct EvalKey<'a> {
    kind: &'static str,
    artefact: &'a str,
    evaluator: u32,
    runtime: &'a str,
    isa: &'a str,
    data: &'a str,
    preprocess: &'a Preprocess,
    images: Option<usize>,
    batch: usize,
    mode: Mode,
}

#[derive(Serialize)]
struct CellKey<'a> {
    kind: &'static str,
    cell: &'a Cell,
    artefact: &'a str,
    eval: &'a str,
}

/// Computes the ids of a cell.
pub fn ids(cell: &Cell, sources: &Sources<'_>) -> CellIds {
    let artefact = artefact_id(cell, sources);
    let eval = eval_id(cell, sources, &artefact, Mode::Simulated);
    let plain = Cell {
        method: FP32.to_string(),
        method_version: 1,
        needs: Needs::Nothing,
        params: Params::new(),
        spec: None,
        calibration_images: 0,
        draw: None,
        seed: None,
        maker: None,
        ..cell.clone()
    };
    let eval_fp32 = eval_id(&plain, sources, &artefact_id(&plain, sources), Mode::Simulated);
    let key = CellKey { kind: "cell", cell, artefact: &artefact, eval: &eval };
    let granted = cell.needs != Needs::Nothing;
    CellIds {
        cell: id_of(&key),
        eval_deployed: eval_id(cell, sources, &artefact, Mode::Deployed),
        eval_fp32,
        ids: Ids {
            artefact,
            eval,
            model_sha256: sources.model_sha256.to_string(),
            test_data: sources.test.to_string(),
            train_data: if granted { sources.train.to_string() } else { String::new() },
            preprocessing: sources.preprocess.id(),
        },
    }
}

fn artefact_id(cell: &Cell, sources: &Sources<'_>) -> String {
    let granted = cell.needs != Needs::Nothing;
    id_of(&ArtefactKey {
        kind: "artefact",
        method: &cell.method,
        version: cell.method_version,
        params: &cell.params,
        model: sources.model_sha256,
        spec: cell.spec.as_ref(),
        calibration: granted.then_some(CalibrationKey {
            data: sources.train,
            preprocess: sources.preprocess,
            images: cell.calibration_images,
            draw: cell.draw,
        }),
        seed: cell.seed,
        maker: cell.maker.as_ref().map(quantbench_core::Maker::identity),
    })
}

fn eval_id(cell: &Cell, sources: &Sources<'_>, artefact: &str, mode: Mode) -> String {
    id_of(&EvalKey {
        kind: "eval",
        artefact,
        evaluator: EVALUATOR,
        runtime: sources.runtime,
        isa: sources.isa,
        data: sources.test,
        preprocess: sources.preprocess,
        images: cell.test_images,
        batch: sources.batch,
        mode,
    })
}

#[cfg(test)]
mod tests {
    use quantbench_core::Maker;

    use super::*;

    fn preprocess() -> Preprocess {
        Preprocess::default()
    }

    fn cell() -> Cell {
        Cell {
            model: "m".into(),
            dataset: "d".into(),
            method: "minmax".into(),
            method_version: 1,
            family: None,
            needs: Needs::Unlabelled,
            params: Params::new(),
            spec: Some(Spec::from_widths("w4a4".parse().unwrap())),
            calibration_images: 64,
            draw: Some(0),
            seed: None,
            test_images: None,
            deployed: false,
            maker: None,
        }
    }

    fn made(identity: &str) -> Maker {
        Maker::External { tool: "t".into(), identity: identity.into() }
    }

    fn with(preprocess: &Preprocess) -> Sources<'_> {
        Sources {
            model_sha256: "aa",
            preprocess,
            train: "train",
            test: "test",
            runtime: "1.32.0",
            isa: "x86-64-avx2",
            batch: 128,
        }
    }

    #[test]
    fn the_ids_of_published_rows_are_those_of_today() {
        let rows =
            concat!(env!("CARGO_MANIFEST_DIR"), "/../../results/published/cifar10-first/rows");
        let catalog = crate::Catalog::load(None).unwrap();
        let mut checked = 0;
        for entry in std::fs::read_dir(rows).unwrap() {
            let path = entry.unwrap().path();
            let text = std::fs::read_to_string(&path).unwrap();
            let row: quantbench_core::Row = serde_json::from_str(&text).unwrap();
            let Ids { artefact, eval, .. } = &row.ids;
            let key = CellKey { kind: "cell", cell: &row.cell, artefact, eval };
            assert_eq!(path.file_stem().unwrap().to_str(), Some(id_of(&key).as_str()));
            let model = catalog.model(&row.cell.model).unwrap();
            let sources = Sources {
                model_sha256: &row.ids.model_sha256,
                train: &row.ids.train_data,
                ..with(&model.preprocess)
            };
            assert_eq!(artefact_id(&row.cell, &sources), *artefact, "{}", path.display());
            checked += 1;
        }
        assert!(checked > 50);
    }

    #[test]
    fn rules_for_single_layers_are_part_of_the_ids() {
        let p = preprocess();
        let own = |change: &dyn Fn(&mut Spec)| {
            let mut cell = cell();
            cell.spec.iter_mut().for_each(change);
            ids(&cell, &with(&p)).ids.artefact
        };
        let found = [
            own(&|_| {}),
            own(&|s| _ = s.exclude.insert("a".into())),
            own(&|s| _ = s.layer_bits.insert("a".into(), s.bits)),
        ];
        assert!(found[0] != found[1] && found[1] != found[2] && found[0] != found[2]);
    }

    #[test]
    fn an_artefact_does_not_depend_on_where_it_is_evaluated() {
        let p = preprocess();
        let base = ids(&cell(), &with(&p));
        let elsewhere =
            Sources { runtime: "1.33.0", isa: "aarch64-neon", test: "other", ..with(&p) };
        let there = ids(&cell(), &elsewhere);
        assert_eq!(base.ids.artefact, there.ids.artefact);
        assert_ne!(base.ids.eval, there.ids.eval);
        assert_ne!(base.cell, there.cell);
        assert_ne!(base.eval_fp32, there.eval_fp32);
        let partial = ids(&Cell { test_images: Some(9), ..cell() }, &with(&p));
        assert_eq!(base.ids.artefact, partial.ids.artefact);
        assert_ne!(base.ids.eval, partial.ids.eval);
    }

    #[test]
    fn everything_that_changes_the_artefact_changes_its_id() {
        let p = preprocess();
        let base = ids(&cell(), &with(&p)).ids.artefact;
        let changed = Preprocess { divide: 255.0, ..preprocess() };
        let others = [
            ids(&Cell { draw: Some(1), ..cell() }, &with(&p)),
            ids(&Cell { calibration_images: 65, ..cell() }, &with(&p)),
            ids(&Cell { seed: Some(1), ..cell() }, &with(&p)),
            ids(&Cell { maker: Some(made("a")), ..cell() }, &with(&p)),
            ids(&Cell { maker: Some(made("b")), ..cell() }, &with(&p)),
            ids(&Cell { method_version: 2, ..cell() }, &with(&p)),
            ids(&Cell { method: "mse".into(), ..cell() }, &with(&p)),
            ids(&cell(), &Sources { model_sha256: "bb", ..with(&p) }),
            ids(&cell(), &Sources { train: "other", ..with(&p) }),
            ids(&cell(), &with(&changed)),
        ];
        for other in &others {
            assert_ne!(base, other.ids.artefact);
        }
        assert_ne!(others[3].ids.artefact, others[4].ids.artefact);
        // A method that is granted nothing does not depend on the training data.
        let free = Cell { needs: Needs::Nothing, calibration_images: 0, draw: None, ..cell() };
        let other = Sources { train: "other", ..with(&p) };
        assert_eq!(ids(&free, &with(&p)).ids, ids(&free, &other).ids);
        assert_eq!(ids(&free, &with(&p)).ids.train_data, "");
    }

    /// Rows of earlier versions are found by their ids: what a cell or a spec says in addition must
    /// not change those of cells that do not use it.
    #[test]
    fn the_ids_of_known_cells_stay() {
        let p = preprocess();
        let known = ids(&cell(), &with(&p));
        let found = [&known.ids.artefact, &known.ids.eval, &known.cell];
        assert_eq!(
            found,
            [
                "6c28f1a54d4571987b37cfd161c83010",
                "3043d469d6acd44d097033e69710f591",
                "5ffe93b40444d3c2517f7d4edbf36079"
            ]
        );
    }

    #[test]
    fn the_fp32_evaluation_is_shared_by_all_cells_of_a_model() {
        let p = preprocess();
        let plain = Cell {
            method: FP32.into(),
            needs: Needs::Nothing,
            spec: None,
            calibration_images: 0,
            draw: None,
            ..cell()
        };
        let fp32 = ids(&plain, &with(&p));
        assert_eq!(fp32.ids.eval, fp32.eval_fp32);
        assert_eq!(fp32.ids.eval, ids(&cell(), &with(&p)).eval_fp32);
        let mse = Cell { method: "mse".into(), draw: Some(2), ..cell() };
        assert_eq!(fp32.ids.eval, ids(&mse, &with(&p)).eval_fp32);
    }
}
