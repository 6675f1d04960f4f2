//! A survey file as typed: what is compared with what, before names are resolved.

pub(crate) mod keys;
mod paper;
mod parts;

use std::path::Path;

use quantbench_core::card::{Family, Params};
use quantbench_core::{Paper, Spec};

use crate::config::error::ConfigError;
use crate::config::keys::Key;
use crate::config::spec::spec;
use crate::config::yaml::{Document, Node};
use keys::{DEPLOYED, EVALUATION, KEYS, MAX_BATCH, MAX_NUMBER};
use parts::{calibration, method};

/// A value and where it was typed, for errors that only show when names are resolved.
#[derive(Debug, Clone, PartialEq)]
pub struct At<T> {
    /// The value.
    pub value: T,
    /// Path of keys, for example `methods[2]`.
    pub key: String,
    /// Line, counted from one.
    pub line: Option<usize>,
}

/// A method with its own parameters and specs.
#[derive(Debug, Clone, PartialEq)]
pub struct MethodEntry {
    /// Name in the list of methods.
    pub name: At<String>,
    /// Parameters that differ from the defaults.
    pub params: At<Params>,
    /// Specs of this method alone; none means the survey's.
    pub specs: Option<Vec<At<Spec>>>,
    /// Those of the survey's models that it runs on; none means all.
    pub models: Option<Vec<At<String>>>,
    /// Seeds of this method alone; none means the survey's.
    pub seeds: Option<Vec<u64>>,
    /// Its calibration, the survey's where it states none of its own.
    pub calibration: Calibration,
    /// The file of another tool that stands in place of a method.
    pub artefact: Option<ArtefactEntry>,
}

/// A Q/DQ file that another tool made, as a row of the same tables.
#[derive(Debug, Clone, PartialEq)]
pub struct ArtefactEntry {
    /// The file: beside the survey, or below a data folder.
    pub file: At<String>,
    /// Tool and version.
    pub tool: String,
    /// What else a reader should know: calibration, options.
    pub note: Option<String>,
    /// Family in whose tables it stands.
    pub family: Family,
}

/// Which images calibrate.
#[derive(Debug, Clone, PartialEq)]
pub struct Calibration {
    /// Images granted to a method that asks for some, one axis of the matrix.
    pub images: Vec<At<usize>>,
    /// Seeded choices of these images, another axis.
    pub draws: Vec<u64>,
}

/// When the accuracy through integer kernels is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeployedRule {
    /// For artefacts that can run in integers: 8 bits with deployable sites.
    #[default]
    Auto,
    /// Never.
    Never,
}

/// A survey as typed, defaults filled in, names not yet resolved.
#[derive(Debug, Clone, PartialEq)]
pub struct Survey {
    /// Kebab-case name, also that of the run folder.
    pub name: String,
    /// One sentence, for reports.
    pub summary: Option<String>,
    /// Name of the data set.
    pub dataset: At<String>,
    /// Names of the models.
    pub models: Vec<At<String>>,
    /// The methods.
    pub methods: Vec<MethodEntry>,
    /// Specs of every method without its own.
    pub specs: Vec<At<Spec>>,
    /// Calibration images.
    pub calibration: Calibration,
    /// Seeds of methods that use randomness.
    pub seeds: Vec<u64>,
    /// Targets that every spec is checked against, and whose cost is modelled.
    pub profiles: Vec<At<String>>,
    /// When a deployed accuracy is wanted.
    pub deployed: DeployedRule,
    /// Images per forward pass of the evaluation.
    pub batch: usize,
    /// Whether histograms of weights and activations are stored for the report's figures.
    pub histograms: bool,
    /// Tables and figures that its report shows.
    pub paper: Paper,
    /// File it came from.
    pub origin: String,
}

impl Survey {
    /// Reads a survey file.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { path: path.to_path_buf(), source })?;
        Self::parse(&text, &path.display().to_string())
    }

    /// Reads a survey; `origin` is the file's name for messages.
    pub fn parse(text: &str, origin: &str) -> Result<Self, ConfigError> {
        let document = Document::parse(text, origin)?;
        let fields = document.root().keyed(&KEYS)?;
        let standard = Calibration {
            images: vec![At {
                value: 1024,
                key: "calibration.images".to_string(),
                line: document.root().line(),
            }],
            draws: vec![0],
        };
        let calibration = calibration(fields.get("calibration"), &standard)?;
        let methods: Vec<MethodEntry> = fields
            .need("methods")?
            .filled_list()?
            .iter()
            .map(|node| method(node, &calibration))
            .collect::<Result<_, _>>()?;
        let specs = match fields.get("specs") {
            Some(node) => specs(node)?,
            None if methods.iter().all(|m| m.specs.is_some()) => Vec::new(),
            None => {
                fields.need("specs")?;
                Vec::new()
            }
        };
        let evaluation = fields.get("evaluation").map(|n| n.keyed(&EVALUATION)).transpose()?;
        let batch = match evaluation.as_ref().and_then(|e| e.get("batch")) {
            Some(node) => node.whole(1, MAX_BATCH)? as usize,
            None => 128,
        };
        let survey = Self {
            name: fields.need("name")?.name()?,
            summary: fields.get("summary").map(Node::text).transpose()?,
            dataset: named(fields.need("dataset")?)?,
            models: names(fields.need("models")?)?,
            methods,
            specs,
            calibration,
            seeds: fields.get("seeds").map_or(Ok(vec![0]), numbers)?,
            profiles: fields.get("profiles").map_or(Ok(Vec::new()), names)?,
            deployed: fields
                .get("deployed")
                .map_or(Ok(DeployedRule::Auto), |node| node.choice(&DEPLOYED))?,
            batch,
            histograms: fields.get("histograms").map_or(Ok(false), Node::flag)?,
            paper: fields.get("report").map_or(Ok(Paper::default()), paper::paper)?,
            origin: origin.to_string(),
        };
        if let Some(node) = fields.get("report") {
            survey.check_paper(node)?;
        }
        Ok(survey)
    }

    /// The keys of a survey file, for the schema.
    pub(crate) fn keys() -> &'static [Key] {
        &KEYS
    }

    /// An error about something that was typed at `place`.
    pub(crate) fn fail<T>(&self, place: &At<T>, problem: impl std::fmt::Display) -> ConfigError {
        ConfigError::Key {
            origin: self.origin.clone(),
            line: place.line,
            message: format!("{}: {problem}", place.key),
        }
    }
}

fn placed<T>(node: &Node<'_>, value: T) -> At<T> {
    At { value, key: node.path(), line: node.line() }
}

fn named(node: &Node<'_>) -> Result<At<String>, ConfigError> {
    Ok(placed(node, node.text()?))
}

/// A list of names without duplicates.
pub(super) fn names(node: &Node<'_>) -> Result<Vec<At<String>>, ConfigError> {
    unique(&node.filled_list()?, Node::text)
}

/// A list of whole numbers without duplicates.
fn numbers(node: &Node<'_>) -> Result<Vec<u64>, ConfigError> {
    let placed = unique(&node.filled_list()?, |n| n.whole(0, MAX_NUMBER))?;
    Ok(placed.into_iter().map(|at| at.value).collect())
}

/// A list of specs without duplicates.
fn specs(node: &Node<'_>) -> Result<Vec<At<Spec>>, ConfigError> {
    unique(&node.filled_list()?, spec)
}

fn unique<'a, T: PartialEq>(
    nodes: &[Node<'a>],
    read: impl Fn(&Node<'a>) -> Result<T, ConfigError>,
) -> Result<Vec<At<T>>, ConfigError> {
    let mut out: Vec<At<T>> = Vec::with_capacity(nodes.len());
    for node in nodes {
        let value = read(node)?;
        if let Some(first) = out.iter().find(|at| at.value == value) {
            return Err(node.fail(format_args!("is the same as {}; name it once", first.key)));
        }
        out.push(placed(node, value));
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use quantbench_core::{ImageRule, SitesRule};

    use super::*;

    const GOOD: &str = "name: tiny\ndataset: shapes10\nmodels: [resnet-shapes10]\nmethods:\n  - minmax\n  - {name: twn, params: {bn_reestimate: true}, specs: [w2ta8]}\nspecs:\n  - w8a8\n  - {bits: w4a4, image: same}\ncalibration: {images: 64, draws: [0, 1]}\n";

    fn complaint(from: &str, to: &str) -> String {
        assert!(GOOD.contains(from), "{from}");
        Survey::parse(&GOOD.replace(from, to), "tiny.yaml").unwrap_err().to_string()
    }

    #[test]
    fn defaults_are_filled_in() {
        let survey = Survey::parse(GOOD, "tiny.yaml").unwrap();
        assert_eq!((survey.batch, survey.seeds.clone()), (128, vec![0]));
        assert_eq!(survey.deployed, DeployedRule::Auto);
        assert_eq!(images(&survey.calibration), [64]);
        assert_eq!(survey.specs[1].value.image, ImageRule::Same);
        assert_eq!(survey.specs[1].value.sites, SitesRule::Academic);
        assert_eq!(survey.methods[1].specs.as_ref().unwrap()[0].line, Some(6));
        let short = "name: a\ndataset: d\nmodels: [m]\nmethods: [minmax]\nspecs: [w8a8]\n";
        let survey = Survey::parse(short, "a").unwrap();
        assert_eq!((images(&survey.calibration), survey.calibration.draws), (vec![1024], vec![0]));
    }

    fn images(calibration: &Calibration) -> Vec<usize> {
        calibration.images.iter().map(|at| at.value).collect()
    }

    #[test]
    fn a_method_has_the_calibration_of_the_survey_but_for_what_is_its_own() {
        let text = GOOD
            .replace("- minmax", "- {name: minmax, models: [a], calibration: {images: [8, 32]}}")
            .replace("specs: [w2ta8]", "calibration: {draws: [3]}");
        let survey = Survey::parse(&text, "tiny.yaml").unwrap();
        let of = |i: usize| {
            let its = &survey.methods[i].calibration;
            (images(its), its.draws.clone())
        };
        assert_eq!(of(0), (vec![8, 32], vec![0, 1]));
        assert_eq!(of(1), (vec![64], vec![3]));
        assert_eq!(survey.methods[0].models.as_ref().unwrap()[0].value, "a");
        assert_eq!(survey.methods[1].models, None);
    }

    #[test]
    fn rules_for_single_layers_are_read() {
        let own = "exclude: [b, \"*/a\"], layer_bits: {/fc/Gemm: w8a4, conv1: w2ta32}";
        let survey = Survey::parse(&GOOD.replace("image: same", own), "tiny.yaml").unwrap();
        let spec = &survey.specs[1].value;
        assert_eq!(spec.exclude_label(), "*/a+b");
        assert_eq!(spec.layer_bits_label(), "/fc/Gemm:w8a4+conv1:w2ta32");
    }

    #[test]
    fn every_mistake_has_its_line_and_a_way_out() {
        for (from, to, expected) in [
            (
                "dataset:",
                "dataet:",
                "tiny.yaml:2: unknown key \"dataet\"; did you mean \"dataset\"?",
            ),
            (
                "draws: [0, 1]",
                "draw: 0",
                "tiny.yaml:10: calibration: unknown key \"draw\"; did you mean \"draws\"?",
            ),
            (
                "images: 64",
                "images: 0",
                "tiny.yaml:10: calibration.images: 0 does not fit; expected a whole number from 1 to",
            ),
            (
                "images: 64",
                "images: many",
                "tiny.yaml:10: calibration.images: \"many\" does not fit",
            ),
            (
                "[0, 1]",
                "[0, 0]",
                "tiny.yaml:10: calibration.draws[1]: is the same as calibration.draws[0]",
            ),
            ("[0, 1]", "[-1]", "tiny.yaml:10: calibration.draws[0]: -1 does not fit"),
            (
                "- w8a8",
                "- w9a8",
                "tiny.yaml:8: specs[0]: 9 bits are not supported; expected 1 to 8, or 32 for FP32",
            ),
            ("- w8a8", "- 8", "tiny.yaml:8: specs[0]: 8 does not fit; expected a mapping"),
            ("- w8a8", "- w32a32", "tiny.yaml:8: specs[0]: w32a32 quantizes nothing"),
            (
                "images: 64",
                "images: [8, 32, 8]",
                "tiny.yaml:10: calibration.images[2]: is the same as calibration.images[0]",
            ),
            (
                "images: 64",
                "images: [8, 0]",
                "tiny.yaml:10: calibration.images[1]: 0 does not fit; expected a whole number from",
            ),
            (
                "images: 64",
                "images: []",
                "tiny.yaml:10: calibration.images: an empty list does not fit",
            ),
            (
                "specs: [w2ta8]",
                "calibration: {image: 8}",
                "tiny.yaml:6: methods[1].calibration: unknown key \"image\"; did you mean \"images\"?",
            ),
            ("specs: [w2ta8]", "models: []", "tiny.yaml:6: methods[1].models: an empty list does"),
            (
                "- w8a8",
                "- {bits: w4a4, image: same}",
                "tiny.yaml:9: specs[1]: is the same as specs[0]",
            ),
            (
                "image: same",
                "image: sam",
                "tiny.yaml:9: specs[1].image: unknown value \"sam\"; did you mean \"same\"?",
            ),
            (
                "image: same",
                "exclude: conv1",
                "tiny.yaml:9: specs[1].exclude: \"conv1\" does not fit; expected a list",
            ),
            (
                "image: same",
                "exclude: [a, a]",
                "tiny.yaml:9: specs[1].exclude[1]: is the same as specs[1].exclude[0]",
            ),
            (
                "image: same",
                "layer_bits: {fc: w9a8}",
                "tiny.yaml:9: specs[1].layer_bits.fc: 9 bits are not supported",
            ),
            (
                "image: same",
                "layer_bits: {fc: w32a32}",
                "tiny.yaml:9: specs[1].layer_bits.fc: w32a32 quantizes nothing; name the layer",
            ),
            (
                "image: same",
                "imag: same",
                "tiny.yaml:9: specs[1]: unknown key \"imag\"; did you mean \"image\"?",
            ),
            (
                "name: tiny",
                "name: Tiny One",
                "tiny.yaml:1: name: \"Tiny One\" does not fit; expected a name of",
            ),
            ("[resnet-shapes10]", "[a, b, a]", "tiny.yaml:3: models[2]: is the same as models[0]"),
            ("[resnet-shapes10]", "[]", "tiny.yaml:3: models: an empty list does not fit"),
            (
                "[resnet-shapes10]",
                "resnet-shapes10",
                "tiny.yaml:3: models: \"resnet-shapes10\" does not fit; expected a list",
            ),
            (
                "bn_reestimate: true",
                "bn_reestimate: [1]",
                "tiny.yaml:6: methods[1].params.bn_reestimate: expected true",
            ),
            (
                "name: tiny",
                "name: tiny\nhistograms: 1",
                "tiny.yaml:2: histograms: 1 does not fit; expected true or false",
            ),
            ("models: [resnet-shapes10]\n", "", "tiny.yaml:1: key \"models\" is missing; add it"),
            (
                "name: tiny",
                "name: tiny\ndeployed: always",
                "tiny.yaml:2: deployed: unknown value \"always\"; known: auto, never",
            ),
            (
                "name: tiny",
                "name: tiny\nevaluation: {batch: 0}",
                "tiny.yaml:2: evaluation.batch: 0 does not fit",
            ),
        ] {
            let text = complaint(from, to);
            assert!(text.starts_with(expected), "{text}\nshould start with {expected}");
        }
        let text = Survey::parse("", "empty.yaml").unwrap_err().to_string();
        assert_eq!(
            text,
            "empty.yaml:1: an empty value does not fit; expected a mapping of keys to values"
        );
        let text = Survey::load(Path::new("/nowhere/x.yaml")).unwrap_err().to_string();
        assert!(text.starts_with("cannot read /nowhere/x.yaml: No such file"), "{text}");
    }
}
