//! Plans on a machine as described: no file, no runtime library needed.

use quantbench_core::card::{Card, Family, Params, WidthRange};
use quantbench_datasets::DataRoots;

use super::resolve::Chosen;
use super::*;

const TINY: &str = "name: tiny
dataset: cifar10
models: [resnet8-cifar10, resnet20-cifar10]
methods:
  - minmax
  - squant
  - {name: twn, params: {bn_reestimate: true}}
specs:
  - w8a8
  - {bits: w4a4, image: same}
  - w2ta8
calibration: {images: 64, draws: [0, 1]}
profiles: [x86-avx2]
";

fn here() -> Here {
    let roots = DataRoots { dirs: vec![], cache: std::env::temp_dir().join("quantbench-none") };
    Here::with(roots, Ok("1.32.0".into()), "x86-64-avx2".into())
}

fn expand(text: &str, filter: &Filter) -> Result<Plan, ConfigError> {
    let catalog = Catalog::load(None)?;
    plan_here(&Survey::parse(text, "tiny.yaml")?, &catalog, filter, &here())
}

fn complaint(from: &str, to: &str) -> String {
    assert!(TINY.contains(from), "{from}");
    expand(&TINY.replace(from, to), &Filter::default()).unwrap_err().to_string()
}

#[test]
fn the_matrix_is_expanded_with_fp32_first_and_draws_outermost() {
    let plan = expand(TINY, &Filter::default()).unwrap();
    let labels: Vec<&str> = plan.cells.iter().map(|c| c.label.as_str()).collect();
    assert_eq!(
        labels,
        [
            "resnet8-cifar10/fp32",
            "resnet20-cifar10/fp32",
            "resnet8-cifar10/minmax/w8a8/draw0",
            "resnet8-cifar10/minmax/w4a4[image=same]/draw0",
            "resnet8-cifar10/squant/w8a8",
            "resnet8-cifar10/squant/w4a4[image=same]",
            "resnet8-cifar10/twn[bn_reestimate=true]/w2ta8/draw0",
            "resnet20-cifar10/minmax/w8a8/draw0",
            "resnet20-cifar10/minmax/w4a4[image=same]/draw0",
            "resnet20-cifar10/squant/w8a8",
            "resnet20-cifar10/squant/w4a4[image=same]",
            "resnet20-cifar10/twn[bn_reestimate=true]/w2ta8/draw0",
            "resnet8-cifar10/minmax/w8a8/draw1",
            "resnet8-cifar10/minmax/w4a4[image=same]/draw1",
            "resnet8-cifar10/twn[bn_reestimate=true]/w2ta8/draw1",
            "resnet20-cifar10/minmax/w8a8/draw1",
            "resnet20-cifar10/minmax/w4a4[image=same]/draw1",
            "resnet20-cifar10/twn[bn_reestimate=true]/w2ta8/draw1",
        ]
    );
    let unfit: Vec<&str> = plan.unfit.iter().map(|(label, _)| label.as_str()).collect();
    assert_eq!(
        unfit,
        [
            "minmax/w2ta8",
            "squant/w2ta8",
            "twn[bn_reestimate=true]/w8a8",
            "twn[bn_reestimate=true]/w4a4[image=same]"
        ]
    );
    assert!(plan.unfit[2].1.contains("ternary weights only"), "{}", plan.unfit[2].1);
    assert!(plan.partial.is_none());
    assert!(
        plan.remarks[0].starts_with("simulated only: x86-avx2 cannot run w4a4"),
        "{:?}",
        plan.remarks
    );
}

#[test]
fn ids_are_known_without_the_files_and_differ_between_cells() {
    let plan = expand(TINY, &Filter::default()).unwrap();
    let ids: std::collections::BTreeSet<&str> =
        plan.cells.iter().map(|c| c.ids.as_ref().unwrap().cell.as_str()).collect();
    assert_eq!(ids.len(), plan.cells.len());
    assert_eq!(plan.missing.len(), 4, "{:?}", plan.missing);
    assert!(plan.missing[0].contains("resnet8-cifar10.onnx is in none of the data folders"));
    let free = plan.cells.iter().find(|c| c.cell.method == "squant").unwrap();
    assert_eq!((free.cell.draw, free.cell.calibration_images), (None, 0));
    assert_eq!(free.ids.as_ref().unwrap().ids.train_data, "");
}

#[test]
fn a_deployed_accuracy_is_wanted_where_a_profile_runs_the_spec() {
    let deployed = |text: &str| -> Vec<String> {
        let plan = expand(text, &Filter::default()).unwrap();
        plan.cells.into_iter().filter(|c| c.cell.deployed).map(|c| c.label).collect()
    };
    assert_eq!(deployed(TINY).len(), 6);
    assert!(deployed(TINY).iter().all(|l| l.contains("/w8a8")));
    assert!(deployed(&TINY.replace("profiles:", "deployed: never\nprofiles:")).is_empty());
    let academic = TINY.replace("- w8a8", "- {bits: w8a8, sites: academic}");
    assert!(deployed(&academic).is_empty());
}

#[test]
fn without_a_runtime_the_plan_works_and_says_so() {
    let survey = Survey::parse(TINY, "tiny.yaml").unwrap();
    let catalog = Catalog::load(None).unwrap();
    let bare = Here::with(here().roots, Err("no ONNX Runtime library".into()), here().isa);
    let plan = plan_here(&survey, &catalog, &Filter::default(), &bare).unwrap();
    assert!(plan.cells.iter().all(|c| c.ids.is_none()));
    assert_eq!(plan.missing.iter().filter(|m| m.contains("no ONNX Runtime")).count(), 1);
}

#[test]
fn names_that_are_not_known_are_refused_with_line_and_near_match() {
    for (from, to, expected) in [
        (
            "- squant",
            "- squnt",
            "tiny.yaml:6: methods[1]: there is no method \"squnt\"; did you mean \"squant\"?",
        ),
        (
            "resnet8-cifar10",
            "resnet9-cifar10",
            "tiny.yaml:3: models[0]: unknown model \"resnet9-cifar10\"; did you mean",
        ),
        (
            "dataset: cifar10",
            "dataset: cifr10",
            "tiny.yaml:2: dataset: unknown data set \"cifr10\"; did you mean \"cifar10\"?",
        ),
        (
            "dataset: cifar10",
            "dataset: shapes10",
            "tiny.yaml:3: models[0]: model resnet8-cifar10 is for data set cifar10, the survey's is shapes10",
        ),
        (
            "x86-avx2",
            "x86-avx3",
            "tiny.yaml:13: profiles[0]: unknown profile \"x86-avx3\"; did you mean \"x86-avx2\"?",
        ),
        (
            "bn_reestimate",
            "bn_restimate",
            "tiny.yaml:7: methods[2].params: method twn has no parameter \"bn_restimate\"; did you mean \"bn_reestimate\"?",
        ),
        (
            "bn_reestimate: true",
            "bn_reestimate: 3",
            "tiny.yaml:7: methods[2].params: parameter bn_reestimate: 3 does not fit; expected true or false",
        ),
        (
            "bn_reestimate: true}",
            "bn_reestimate: true}, specs: [w8a8]",
            "tiny.yaml:7: methods[2].specs[0]: twn gives ternary weights only",
        ),
        (
            "images: 64",
            "images: 60000",
            "tiny.yaml:12: calibration.images: 60000 does not fit; the training split of cifar10 has 50000 images",
        ),
        (
            "- squant",
            "- {name: minmax, params: {}}",
            "tiny.yaml:6: methods[1].name: is the same method with the same parameters as methods[0]; name it once",
        ),
    ] {
        let text = complaint(from, to);
        assert!(text.starts_with(expected), "{text}\nshould start with {expected}");
    }
    let nothing =
        "name: a\ndataset: cifar10\nmodels: [resnet8-cifar10]\nmethods: [twn]\nspecs: [w8a8]\n";
    let text = expand(nothing, &Filter::default()).unwrap_err().to_string();
    assert!(
        text.starts_with("tiny.yaml:5: no method can do any of the specs (twn/w8a8: "),
        "{text}"
    );
}

#[test]
fn filters_keep_a_part_and_mark_it() {
    let only = |text: &str| Filter { only: vec![text.into()], ..Filter::default() };
    let plan = expand(TINY, &only("resnet20-cifar10/squant")).unwrap();
    let labels: Vec<&str> = plan.cells.iter().map(|c| c.label.as_str()).collect();
    assert_eq!(
        labels,
        [
            "resnet20-cifar10/fp32",
            "resnet20-cifar10/squant/w8a8",
            "resnet20-cifar10/squant/w4a4[image=same]"
        ]
    );
    assert_eq!(plan.selected.as_deref(), Some("only cells with \"resnet20-cifar10/squant\""));
    assert_eq!(plan.partial, None, "its rows are whole");
    let text = expand(TINY, &only("w3a3")).unwrap_err().to_string();
    assert!(
        text.starts_with("--only: no cell's label contains \"w3a3\"; labels are like resnet20-"),
        "{text}"
    );

    let images = |n| Filter { images: Some(n), ..Filter::default() };
    let plan = expand(TINY, &images(100)).unwrap();
    assert!(plan.cells.iter().all(|c| c.cell.test_images == Some(100)));
    assert_eq!(plan.partial.as_deref(), Some("the first 100 test images"));
    assert!(expand(TINY, &images(10_000)).unwrap().partial.is_none());
    let text = expand(TINY, &images(10_001)).unwrap_err().to_string();
    assert_eq!(
        text,
        "--images: 10001 does not fit; data set cifar10 has 10000 test images, leave the option out for all"
    );
    assert!(expand(TINY, &images(0)).is_err());
}

/// Labels of the cells that remain, without the FP32 ones.
fn labels(text: &str, only: &[&str]) -> Vec<String> {
    let only = only.iter().map(ToString::to_string).collect();
    let plan = expand(text, &Filter { only, ..Filter::default() }).unwrap();
    assert!(plan.survey_cells.len() >= plan.cells.len());
    plan.cells.into_iter().filter(|c| !c.is_fp32()).map(|c| c.label).collect()
}

#[test]
fn patterns_are_alternatives_within_and_conditions_between_options() {
    let on8 = |rest: &str| format!("resnet8-cifar10/{rest}");
    assert_eq!(
        labels(TINY, &["method=minmax,squant", "bits=w8a8", "draw=0", "model=resnet8-cifar10"]),
        [on8("minmax/w8a8/draw0"), on8("squant/w8a8")],
        "squant has no draw: it belongs to each"
    );
    assert_eq!(labels(TINY, &["bits=w4a4"]), labels(TINY, &["bits=w4a4[image=same]"]));
    assert_eq!(
        labels(TINY, &["method=twn[bn_reestimate=true]", "resnet8", "draw=1"]),
        [on8("twn[bn_reestimate=true]/w2ta8/draw1")]
    );
    assert!(labels(TINY, &["method=fp32"]).is_empty());
    let complaint = |only: &[&str]| {
        let only = only.iter().map(ToString::to_string).collect();
        expand(TINY, &Filter { only, ..Filter::default() }).unwrap_err().to_string()
    };
    for (only, expected) in [
        (
            &["method=minmx"][..],
            "--only: no cell of this survey has method \"minmx\"; did you mean \"minmax\"?",
        ),
        (&["draw=2"], "--only: no cell of this survey has draw \"2\"; known: 0, 1"),
        (&["calibration=8"], "--only: no cell of this survey has calibration \"8\"; known: 64"),
        (
            &["method=minmax", "method=squant"],
            "--only: no cell matches all of method=minmax method=squant; alternatives of one key",
        ),
        (&["method=twn", "bits=w8a8"], "--only: no cell matches all of"),
    ] {
        let text = complaint(only);
        assert!(text.starts_with(expected), "{text}\nshould start with {expected}");
    }
}

/// Cell ids by what was asked.
fn named_ids(text: &str) -> std::collections::BTreeMap<String, String> {
    let plan = expand(text, &Filter::default()).unwrap();
    let id = |c: PlannedCell| (serde_json::to_string(&c.cell).unwrap(), c.ids.unwrap().cell);
    plan.cells.into_iter().map(id).collect()
}

#[test]
fn the_number_of_calibration_images_is_an_axis_of_methods_that_are_granted_some() {
    let text = TINY.replace("images: 64", "images: [8, 64]");
    let found = labels(&text, &["model=resnet8-cifar10", "draw=1"]);
    assert_eq!(
        found,
        [
            "resnet8-cifar10/squant/w8a8",
            "resnet8-cifar10/squant/w4a4[image=same]",
            "resnet8-cifar10/minmax/w8a8/images8/draw1",
            "resnet8-cifar10/minmax/w8a8/images64/draw1",
            "resnet8-cifar10/minmax/w4a4[image=same]/images8/draw1",
            "resnet8-cifar10/minmax/w4a4[image=same]/images64/draw1",
            "resnet8-cifar10/twn[bn_reestimate=true]/w2ta8/images8/draw1",
            "resnet8-cifar10/twn[bn_reestimate=true]/w2ta8/images64/draw1",
        ]
    );
    assert_eq!(labels(&text, &["calibration=8", "method=minmax"]).len(), 8);
    let (one, two) = (named_ids(TINY), named_ids(&text));
    assert_eq!(two.len(), one.len() + 12);
    assert!(one.iter().all(|(cell, id)| two.get(cell) == Some(id)), "known ids stay");
    assert_eq!(named_ids(&TINY.replace("images: 64", "images: [64]")), one);
}

#[test]
fn an_entry_has_its_own_calibration_and_models_and_shared_cells_run_once() {
    let curve = "{name: minmax, specs: [w8a8], models: [resnet20-cifar10], \
                 calibration: {images: [8, 64], draws: [0, 2]}}";
    let text = TINY.replace("- squant", &format!("- {curve}"));
    assert_eq!(
        labels(&text, &["method=minmax", "bits=w8a8"]),
        [
            "resnet8-cifar10/minmax/w8a8/images64/draw0",
            "resnet20-cifar10/minmax/w8a8/images64/draw0",
            "resnet20-cifar10/minmax/w8a8/images8/draw0",
            "resnet8-cifar10/minmax/w8a8/images64/draw1",
            "resnet20-cifar10/minmax/w8a8/images64/draw1",
            "resnet20-cifar10/minmax/w8a8/images8/draw2",
            "resnet20-cifar10/minmax/w8a8/images64/draw2",
        ]
    );
    let plan = expand(&text, &Filter::default()).unwrap();
    let merged = "methods: 1 cells that several entries ask for run once";
    assert!(plan.remarks.iter().any(|r| r == merged), "{:?}", plan.remarks);
    let (one, two) = (named_ids(&TINY.replace("  - squant\n", "")), named_ids(&text));
    assert!(one.iter().all(|(cell, id)| two.get(cell) == Some(id)), "known ids stay");
    for (from, to, expected) in [
        (
            "[resnet20-cifar10]",
            "[resnet32-cifar10]",
            "tiny.yaml:6: methods[1].models[0]: \"resnet32-cifar10\" is not among the models of the \
             survey; did you mean \"resnet20-cifar10\"?",
        ),
        (
            "[8, 64]",
            "[8, 60000]",
            "tiny.yaml:6: methods[1].calibration.images[1]: 60000 does not fit; the training split",
        ),
    ] {
        let text = text.replace(from, to);
        let message = expand(&text, &Filter::default()).unwrap_err().to_string();
        assert!(message.starts_with(expected), "{message}");
    }
}

/// The card of a method with randomness of its own.
static DICE: Card = Card {
    name: "dice",
    version: 1,
    family: Family::DataFree,
    summary: "throws dice",
    when: "never",
    paper: "none",
    cite: "none",
    widths: WidthRange { weights: (2, 8), ternary: false, activations: (2, 8) },
    granularity: "none",
    stochastic: true,
    params: &[],
    departures: &[],
};

#[test]
fn a_stochastic_method_gets_a_cell_for_every_seed_of_every_draw() {
    let text = TINY.replace("profiles:", "seeds: [3, 5]\nprofiles:");
    let survey = Survey::parse(&text, "tiny.yaml").unwrap();
    let catalog = Catalog::load(None).unwrap();
    let mut resolved = resolve(&survey, &catalog, &here().roots).unwrap();
    resolved.models.truncate(1);
    resolved.chosen.truncate(1);
    let (params, spec) = (Params::new(), resolved.chosen[0].spec.clone());
    let models = vec!["resnet8-cifar10".to_string()];
    let dice = |needs| Chosen {
        card: &DICE,
        params: params.clone(),
        needs,
        spec: spec.clone(),
        models: models.clone(),
        images: vec![64],
        draws: vec![0, 1],
        seeds: survey.seeds.clone(),
        outside: None,
    };
    resolved.chosen.extend([dice(Needs::Nothing), dice(Needs::Unlabelled)]);
    let found: Vec<_> = matrix(&survey, &resolved, None)
        .cells
        .into_iter()
        .map(|(_, c)| (c.method, c.draw, c.seed))
        .collect();
    let row = |method: &str, draw, seed| (method.to_string(), draw, seed);
    let expected = [
        row("fp32", None, None),
        row("minmax", Some(0), None),
        row("dice", None, Some(3)),
        row("dice", None, Some(5)),
        row("dice", Some(0), Some(3)),
        row("dice", Some(0), Some(5)),
        row("minmax", Some(1), None),
        row("dice", Some(1), Some(3)),
        row("dice", Some(1), Some(5)),
    ];
    assert_eq!(found, expected);
    assert!(remarks(&survey, &resolved).iter().all(|r| !r.starts_with("seeds:")));
}

#[test]
fn a_method_may_have_seeds_of_its_own() {
    let text = TINY.replace(
        "methods:",
        "methods:\n  - {name: lsq, seeds: [4, 5], specs: [w4a4], params: {epochs: 1}}\n  \
         - {name: lsq, seeds: [5, 6], specs: [w4a4], params: {epochs: 1}}\n  \
         - {name: pact, specs: [w4a4]}",
    );
    assert!(text.contains("seeds: [4, 5]"));
    let plan = expand(&text, &Filter::default()).unwrap();
    let seeds = |name: &str| {
        let cells = plan.cells.iter().filter(|c| c.cell.method == name);
        let first = cells.filter(|c| c.cell.draw == Some(0));
        let mut seeds: Vec<_> = first.filter_map(|c| c.cell.seed).collect();
        seeds.sort_unstable();
        seeds.dedup();
        seeds
    };
    assert_eq!(seeds("lsq"), [4, 5, 6]);
    assert_eq!(seeds("pact"), [0]);
}

#[test]
fn seeds_that_nothing_uses_are_remarked() {
    let plan = expand(&TINY.replace("profiles:", "seeds: [0, 1]\nprofiles:"), &Filter::default());
    assert!(plan.unwrap().remarks[0].starts_with("seeds: no method of this survey"));
}

#[test]
fn histograms_are_of_the_first_draw_alone_and_of_nothing_unasked() {
    let wanted = |text: &str| {
        let plan = expand(text, &Filter::default()).unwrap();
        let cells = plan.cells.iter().filter(|c| plan.wants_histograms(&c.cell));
        cells.map(|c| c.label.clone()).collect::<Vec<_>>()
    };
    assert!(wanted(TINY).is_empty());
    let asked = wanted(&format!("{TINY}histograms: true\n"));
    // Two models with two methods at two specs and one at one.
    assert_eq!(asked.len(), 10, "{asked:?}");
    assert!(asked.iter().all(|label| !label.ends_with("draw1") && !label.ends_with("fp32")));
}
