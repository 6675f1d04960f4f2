//! The keys of a survey file.

use quantbench_core::card::{Card, Family, ParamRange};
use quantbench_core::{FirstLast, ImageRule, Param, ParamValue, SitesRule};
use serde_json::{Map, Value, json};

use crate::config::keys::{Key, Shape, words};
use crate::config::survey::DeployedRule;
use crate::config::survey::paper::REPORT;

/// Words of `sites`.
pub(in crate::config) const SITES: [(&str, SitesRule); 2] =
    [("academic", SitesRule::Academic), ("deployable", SitesRule::Deployable)];
/// Words of `image`.
pub(in crate::config) const IMAGE: [(&str, ImageRule); 3] =
    [("fp32", ImageRule::Fp32), ("8bit", ImageRule::EightBit), ("same", ImageRule::Same)];
/// Words of `first_last`.
pub(in crate::config) const FIRST_LAST: [(&str, FirstLast); 3] =
    [("fp32", FirstLast::Fp32), ("8bit", FirstLast::EightBit), ("same", FirstLast::Same)];
/// Words of `family`, in surveys and on the cards of external methods.
pub(crate) const FAMILIES: [(&str, Family); 4] = [
    ("data-dependent", Family::DataDependent),
    ("data-free", Family::DataFree),
    ("mixed-precision", Family::MixedPrecision),
    ("extremely-low-bit", Family::ExtremelyLowBit),
];
/// Words of `deployed`.
pub(super) const DEPLOYED: [(&str, DeployedRule); 2] =
    [("auto", DeployedRule::Auto), ("never", DeployedRule::Never)];

/// Most images that one forward pass of the evaluation may hold.
pub(super) const MAX_BATCH: u64 = 4096;
/// Largest draw, seed and number of images.
pub(super) const MAX_NUMBER: u64 = u32::MAX as u64;

/// Keys of the file.
pub(super) static KEYS: [Key; 13] = [
    Key::must("name", Shape::Name, "Also the name of the run folder, results/runs/NAME."),
    Key::may("summary", Shape::Text, "One sentence for the report."),
    Key::must("dataset", Shape::Text, "Name from `quantbench list datasets`."),
    Key::must("models", NAMES, "Names from `quantbench list models`."),
    Key::must("methods", METHODS, "What is compared: names, or mappings with their own settings."),
    Key::may("specs", SPECS, "What is asked of every method without specs of its own."),
    Key::may("calibration", Shape::Map(&CALIBRATION), "Images from the training split."),
    Key::may("seeds", NUMBERS, "Seeds of methods that use randomness of their own (default: [0])."),
    Key::may(
        "profiles",
        NAMES,
        "Targets that every spec is checked against, and whose cost is modelled.",
    ),
    Key::may("deployed", DEPLOYED_WORD, "Whether 8-bit specs also run through integer kernels."),
    Key::may("evaluation", Shape::Map(&EVALUATION), "How accuracies are computed."),
    Key::may(
        "histograms",
        Shape::Switch,
        "Whether histograms are kept for figures (default: false).",
    ),
    Key::may("report", Shape::Map(&REPORT), "Tables and figures in the words of a paper."),
];

/// Keys of a method's mapping.
pub(super) static METHOD: [Key; 6] = [
    Key::must("name", Shape::Made(method_name), "Name from `quantbench list methods`."),
    Key::may("params", PARAMS, "Parameters that differ from their defaults."),
    Key::may("specs", SPECS, "Its own specs in place of the survey's."),
    Key::may("models", NAMES, "Those of the survey's models that it runs on (default: all)."),
    Key::may("seeds", NUMBERS, "Its own seeds in place of the survey's."),
    Key::may(
        "calibration",
        Shape::Map(&CALIBRATION),
        "Its own calibration; keys that are left out are the survey's.",
    ),
];

/// Keys of the mapping of a file that another tool made.
pub(super) static ARTEFACT: [Key; 7] = [
    Key::must("artefact", Shape::Text, "The Q/DQ file: beside the survey, or in a data folder."),
    Key::must("name", Shape::Name, "How tables call it; no name of a method."),
    Key::must("specs", SPECS, "What it claims to be; a file with more bits is refused."),
    Key::must("tool", Shape::Text, "The tool that made it, with its version."),
    Key::may("note", Shape::Text, "What else a reader should know, such as its calibration."),
    Key::may("models", NAMES, "The one model that it was made from, where the survey has several."),
    Key::may("family", Shape::Word(FAMILY_WORDS), "Its table (default: data-dependent)."),
];

/// Keys of a spec's mapping.
pub(in crate::config) static SPEC: [Key; 6] = [
    Key::must("bits", WIDTHS, "Widths of weights and activations, for example w4a4."),
    Key::may("sites", Shape::Word(SITES_WORDS), "Where activations are quantized."),
    Key::may("image", Shape::Word(IMAGE_WORDS), "Width of the network's input."),
    Key::may("first_last", Shape::Word(FIRST_LAST_WORDS), "Width of the first and last layer."),
    Key::may("exclude", NAMES, "Layers that stay in FP32, by name or pattern."),
    Key::may("layer_bits", LAYER_BITS, "Widths of single layers, by name or pattern."),
];

/// Keys of `calibration`.
pub(super) static CALIBRATION: [Key; 2] = [
    Key::may(
        "images",
        Shape::Either(&[Shape::Whole(1, MAX_NUMBER), Shape::Set(&Shape::Whole(1, MAX_NUMBER))]),
        "Images granted to a method that asks for some; a list is an axis of the matrix.",
    ),
    Key::may("draws", NUMBERS, "Seeded choices of these images, each a run of its own."),
];

/// Keys of `evaluation`.
pub(super) static EVALUATION: [Key; 1] =
    [Key::may("batch", Shape::Whole(1, MAX_BATCH), "Images per forward pass (default: 128).")];

const SITES_WORDS: &[&str] = &words(&SITES);
const IMAGE_WORDS: &[&str] = &words(&IMAGE);
const FIRST_LAST_WORDS: &[&str] = &words(&FIRST_LAST);
const FAMILY_WORDS: &[&str] = &words(&FAMILIES);
const DEPLOYED_WORDS: &[&str] = &words(&DEPLOYED);
const NAMES: Shape = Shape::Set(&Shape::Text);
const NUMBERS: Shape = Shape::Set(&Shape::Whole(0, MAX_NUMBER));
const DEPLOYED_WORD: Shape = Shape::Word(DEPLOYED_WORDS);
/// Case does not matter; w32a32 quantizes nothing.
const WIDTHS: Shape = Shape::Form("^(?:[wW](?:[1-8]|2[tT])[aA](?:[1-8]|32)|[wW]32[aA][1-8])$");
const LAYER_BITS: Shape = Shape::Made(layer_bits);
const SPECS: Shape = Shape::Set(&Shape::Either(&[WIDTHS, Shape::Map(&SPEC)]));
const PARAMS: Shape = Shape::Made(any_params);
const METHODS: Shape = Shape::Made(methods);

/// A known name, which editors offer, or that of an external method, which a schema cannot know.
fn method_name() -> Value {
    let known: Vec<&str> = quantbench_methods::ALL.iter().map(|m| m.card().name).collect();
    json!({"anyOf": [{"enum": known}, Shape::Text.schema()]})
}

/// Layers with widths; their names are those of a model, which a schema cannot know.
fn layer_bits() -> Value {
    json!({"type": "object", "additionalProperties": WIDTHS.schema()})
}

fn any_params() -> Value {
    json!({"type": "object", "additionalProperties": {"type": ["boolean", "number", "string"]}})
}

/// A list of names or mappings, whose parameters are those of the method that they name.
fn methods() -> Value {
    let mut entry = Shape::Map(&METHOD).schema();
    let known = quantbench_methods::ALL.iter().map(|method| {
        let card = method.card();
        json!({
            "if": {"properties": {"name": {"const": card.name}}, "required": ["name"]},
            "then": {"properties": {"params": params(card)}}
        })
    });
    entry["allOf"] = known.collect();
    json!({
        "type": "array", "minItems": 1, "uniqueItems": true,
        "items": {"anyOf": [method_name(), entry, Shape::Map(&ARTEFACT).schema()]}
    })
}

fn params(card: &Card) -> Value {
    let mut properties = Map::new();
    for param in card.params {
        properties.insert(param.name.to_string(), one_param(param));
    }
    json!({"type": "object", "properties": properties, "additionalProperties": false})
}

fn one_param(param: &Param) -> Value {
    let mut schema = match param.range {
        ParamRange::Switch => json!({"type": "boolean"}),
        ParamRange::Int(low, high) => json!({"type": "integer", "minimum": low, "maximum": high}),
        ParamRange::Float(low, high) => json!({"type": "number", "minimum": low, "maximum": high}),
        ParamRange::Choice(names) => json!({"enum": names}),
    };
    schema["description"] = json!(param.help);
    schema["default"] = match param.default_value() {
        ParamValue::Bool(v) => json!(v),
        ParamValue::Int(v) => json!(v),
        ParamValue::Float(v) => json!(v),
        ParamValue::Text(v) => json!(v),
    };
    schema
}
