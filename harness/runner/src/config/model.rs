//! A model card: one YAML file per FP32 model.

use std::fmt;
use std::path::{Path, PathBuf};

use quantbench_core::hash::sha256_hex;
use quantbench_datasets::{DEFAULT_MODEL, DataRoots, Interpolation, Preprocess};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::config::error::ConfigError;
use crate::config::keys::{Key, RELATIVE, Shape, words};
use crate::config::yaml::{Document, Node};

/// Where the bytes of a model are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ModelFile {
    /// Compiled into the binary.
    Embedded,
    /// A file below a data folder, or beside its card.
    File(String),
}

/// Where a model was found on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// Compiled into the binary.
    Embedded,
    /// A file.
    File(PathBuf),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Embedded => f.write_str("embedded in the program"),
            Place::File(path) => path.display().fmt(f),
        }
    }
}

/// The facts of one FP32 model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelCard {
    /// Kebab-case name by which surveys refer to it.
    pub name: String,
    /// One sentence.
    pub summary: String,
    /// Its ONNX file.
    pub file: ModelFile,
    /// SHA-256 of the file.
    pub sha256: String,
    /// Where the file can be fetched; none for one that its user exports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Name of the data set that it classifies.
    pub dataset: String,
    /// From raw pixels to what the model reads.
    pub preprocess: Preprocess,
    /// Top-1 accuracy in percent on the whole test set, if its source states one.
    pub fp32_top1: Option<f64>,
    /// How far our FP32 accuracy may be from `fp32_top1`, in points.
    pub gate_tolerance: f64,
    /// Where it was read.
    pub source: String,
    /// Licence, or `none stated`.
    pub licence: String,
    /// Folder of the card, searched for the file after the data folders.
    pub folder: Option<PathBuf>,
}

/// Why a model's bytes are not at hand.
#[derive(Debug, Error)]
pub enum ModelError {
    /// No file of this name in any folder.
    #[error(
        "model {model}: {file} is in none of the data folders ({searched}); set QUANTBENCH_DATA to \
         a folder that holds it"
    )]
    Missing {
        /// Name of the model.
        model: String,
        /// Its file.
        file: String,
        /// Folders that were searched.
        searched: String,
    },
    /// A file that cannot be read.
    #[error("model {model}: cannot read {}: {source}", path.display())]
    Read {
        /// Name of the model.
        model: String,
        /// The file.
        path: PathBuf,
        /// The reason of the operating system.
        source: std::io::Error,
    },
    /// Another file than the card describes.
    #[error(
        "model {model}: {place} has SHA-256 {found}, the card states {expected}; it is damaged or \
         of another version"
    )]
    Checksum {
        /// Name of the model.
        model: String,
        /// The file.
        place: String,
        /// SHA-256 of the file.
        found: String,
        /// SHA-256 on the card.
        expected: String,
    },
}

impl ModelError {
    /// Whether something is missing here, in contrast to being wrong: exit code 3.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Missing { .. })
    }
}

/// Keys of a card.
static KEYS: [Key; 11] = [
    Key::must("name", Shape::Name, "By which surveys refer to it."),
    Key::must("summary", Shape::Text, "One sentence for `quantbench list models`."),
    Key::must(
        "file",
        Shape::Form(RELATIVE),
        "ONNX file below a data folder or beside this card, or the word embedded.",
    ),
    Key::must("sha256", Shape::Form("^[0-9a-f]{64}$"), "SHA-256 of the file (sha256sum FILE)."),
    Key::may("url", Shape::Text, "Where it can be fetched."),
    Key::must("dataset", Shape::Text, "Name of the data set that it classifies."),
    Key::must("preprocess", Shape::Map(&PREPROCESS), "(x / divide - mean) / std, per channel."),
    Key::may("fp32_top1", Shape::Real(0.0, 100.0), "Top-1 accuracy in percent on the test set."),
    Key::may("gate_tolerance", Shape::Real(0.0, 5.0), "How far ours may be, in points."),
    Key::must("source", Shape::Text, "Where it and its accuracy were read."),
    Key::must("licence", Shape::Text, "As its publisher states it, else: none stated."),
];

/// Words of `interpolation`.
const INTERPOLATION: [(&str, Interpolation); 2] =
    [("bilinear", Interpolation::Bilinear), ("bicubic", Interpolation::Bicubic)];
const INTERPOLATION_WORDS: &[&str] = &words(&INTERPOLATION);
/// Largest side of an image in pixels.
const MAX_SIDE: u64 = 4096;
const SIDE: Shape = Shape::Whole(1, MAX_SIDE);

/// Keys of `preprocess`.
static PREPROCESS: [Key; 8] = [
    Key::must("name", Shape::Name, "Name of these numbers."),
    Key::must("version", Shape::Whole(1, u32::MAX as u64), "Raised when a number changes."),
    Key::may("resize", SIDE, "Pixels of the shorter side after scaling."),
    Key::may("interpolation", Shape::Word(INTERPOLATION_WORDS), "How scaling makes pixels."),
    Key::may("center_crop", SIDE, "Side of the square that is cut from the middle."),
    Key::may("divide", Shape::Real(1e-6, 1e6), "Applied first (default: 1)."),
    Key::may("mean", Shape::List(&Shape::Real(-1e6, 1e6), 0, None), "Per channel (default: 0)."),
    Key::may("std", Shape::List(&Shape::Above(0.0, 1e6), 0, None), "Per channel (default: 1)."),
];

impl ModelCard {
    /// Reads a card; `origin` is the file's name for messages, `folder` where it lies.
    pub fn parse(text: &str, origin: &str, folder: Option<&Path>) -> Result<Self, ConfigError> {
        let document = Document::parse(text, origin)?;
        let fields = document.root().keyed(&KEYS)?;
        let file = fields.need("file")?;
        let sha256 = fields.need("sha256")?;
        let digits = sha256.text()?;
        let hexadecimal = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
        if digits.len() != 64 || !digits.chars().all(hexadecimal) {
            return Err(sha256.fail("expected 64 lower-case hexadecimal digits (sha256sum FILE)"));
        }
        Ok(Self {
            name: fields.need("name")?.name()?,
            summary: fields.need("summary")?.text()?,
            file: match file.text()?.as_str() {
                "embedded" => ModelFile::Embedded,
                path => ModelFile::File(relative(file, path)?),
            },
            sha256: digits,
            url: fields.get("url").map(Node::text).transpose()?,
            dataset: fields.need("dataset")?.text()?,
            preprocess: preprocess(fields.need("preprocess")?)?,
            fp32_top1: fields.get("fp32_top1").map(|n| n.real(0.0, 100.0)).transpose()?,
            gate_tolerance: fields.get("gate_tolerance").map_or(Ok(0.02), |n| n.real(0.0, 5.0))?,
            source: fields.need("source")?.text()?,
            licence: fields.need("licence")?.text()?,
            folder: folder.map(Path::to_path_buf),
        })
    }

    /// Path of its file below a data folder; none for the embedded one.
    pub fn file_name(&self) -> Option<&str> {
        match &self.file {
            ModelFile::Embedded => None,
            ModelFile::File(file) => Some(file),
        }
    }

    /// The keys of a card, for the schema.
    pub(crate) fn keys() -> &'static [Key] {
        &KEYS
    }

    /// Where the model is on this machine; its content is not looked at.
    pub fn locate(&self, roots: &DataRoots) -> Result<Place, ModelError> {
        let ModelFile::File(file) = &self.file else { return Ok(Place::Embedded) };
        let beside = self.folder.as_ref().map(|f| f.join(file)).filter(|p| p.exists());
        roots.find(file).or(beside).map(Place::File).ok_or_else(|| ModelError::Missing {
            model: self.name.clone(),
            file: file.clone(),
            searched: roots.described(),
        })
    }

    /// The bytes of the model, checked against the card.
    pub fn bytes(&self, roots: &DataRoots) -> Result<Vec<u8>, ModelError> {
        let place = self.locate(roots)?;
        let bytes = match &place {
            Place::Embedded => DEFAULT_MODEL.to_vec(),
            Place::File(path) => std::fs::read(path).map_err(|source| ModelError::Read {
                model: self.name.clone(),
                path: path.clone(),
                source,
            })?,
        };
        let found = sha256_hex(&bytes);
        if found == self.sha256 {
            return Ok(bytes);
        }
        Err(ModelError::Checksum {
            model: self.name.clone(),
            place: place.to_string(),
            found,
            expected: self.sha256.clone(),
        })
    }
}

/// Refuses paths that are absolute or climb.
fn relative(node: &Node<'_>, path: &str) -> Result<String, ConfigError> {
    let plain = |c| matches!(c, std::path::Component::Normal(_));
    if Path::new(path).components().all(plain) {
        return Ok(path.to_string());
    }
    Err(node.fail(format_args!("{path:?} does not fit; expected a path below a data folder")))
}

/// Preprocessing, checked by its own room; the number of channels is only known with the data.
fn preprocess(node: &Node<'_>) -> Result<Preprocess, ConfigError> {
    let fields = node.keyed(&PREPROCESS)?;
    let reals = |key: &str, low: f64| -> Result<Vec<f32>, ConfigError> {
        let Some(node) = fields.get(key) else { return Ok(Vec::new()) };
        node.list()?.iter().map(|n| Ok(n.real(low, 1e6)? as f32)).collect()
    };
    let side = |key: &str| -> Result<Option<usize>, ConfigError> {
        fields.get(key).map(|n| Ok(n.whole(1, MAX_SIDE)? as usize)).transpose()
    };
    let (mean, std) = (reals("mean", -1e6)?, reals("std", f64::MIN_POSITIVE)?);
    let preprocess = Preprocess {
        name: fields.need("name")?.name()?,
        version: fields.need("version")?.whole(1, u64::from(u32::MAX))? as u32,
        resize: side("resize")?,
        interpolation: fields.get("interpolation").map(|n| n.choice(&INTERPOLATION)).transpose()?,
        center_crop: side("center_crop")?,
        divide: fields.get("divide").map_or(Ok(1.0), |n| n.real(1e-6, 1e6))? as f32,
        mean,
        std,
    };
    let channels = preprocess.mean.len().max(preprocess.std.len());
    preprocess.tables(channels).map_err(|error| node.fail(error))?;
    Ok(preprocess)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "name: tiny\nsummary: A tiny one.\nfile: tiny.onnx\nsha256: 26bc49e82cbd58a65aaba3c982b8f578b606efb3c9a97cb182c71c70b4e9c668\ndataset: shapes10\npreprocess: {name: unit, version: 1, divide: 255, mean: [0.5], std: [0.25]}\nfp32_top1: 90.5\nsource: here\nlicence: none stated\n";

    fn complaint(from: &str, to: &str) -> String {
        assert!(GOOD.contains(from), "{from}");
        ModelCard::parse(&GOOD.replace(from, to), "tiny.yaml", None).unwrap_err().to_string()
    }

    #[test]
    fn a_card_parses_with_its_defaults() {
        let card = ModelCard::parse(GOOD, "tiny.yaml", None).unwrap();
        assert_eq!(card.gate_tolerance, 0.02);
        assert_eq!(card.preprocess.id(), "unit@1");
        assert_eq!(card.file, ModelFile::File("tiny.onnx".into()));
    }

    #[test]
    fn a_card_may_scale_and_crop() {
        let keys = "resize: 256, interpolation: bicubic, center_crop: 224";
        let text = GOOD.replace("divide: 255", keys);
        let p = ModelCard::parse(&text, "tiny.yaml", None).unwrap().preprocess;
        assert_eq!((p.resize, p.center_crop), (Some(256), Some(224)));
        assert_eq!(p.interpolation, Some(Interpolation::Bicubic));
    }

    #[test]
    fn mistakes_are_named_with_line_and_way_out() {
        for (from, to, expected) in [
            (
                "fp32_top1: 90.5",
                "fp32_top: 90.5",
                "tiny.yaml:7: unknown key \"fp32_top\"; did you mean \"fp32_top1\"?",
            ),
            (
                "90.5",
                "905",
                "tiny.yaml:7: fp32_top1: 905 does not fit; expected a number from 0 to 100",
            ),
            ("26bc", "26b", "tiny.yaml:4: sha256: expected 64 lower-case hexadecimal digits"),
            (
                "file: tiny.onnx",
                "file: ../tiny.onnx",
                "tiny.yaml:3: file: \"../tiny.onnx\" does not fit",
            ),
            (
                "divide: 255",
                "resize: 32, center_crop: 40",
                "tiny.yaml:6: preprocess: preprocessing unit@1: center_crop is 40; expected at most",
            ),
            (
                "divide: 255",
                "resize: 32, interpolation: nearest",
                "tiny.yaml:6: preprocess.interpolation: unknown value \"nearest\"; known: bilinear",
            ),
            ("std: [0.25]", "std: [0]", "tiny.yaml:6: preprocess.std[0]: 0 does not fit"),
            (
                "std: [0.25]",
                "std: [1, 1]",
                "tiny.yaml:6: preprocess: preprocessing unit@1: mean has 1 values; expected 2",
            ),
            ("name: tiny\n", "", "tiny.yaml:1: key \"name\" is missing; add it"),
        ] {
            let text = complaint(from, to);
            assert!(text.starts_with(expected), "{text}\nshould start with {expected}");
        }
    }

    #[test]
    fn a_missing_and_a_changed_file_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let roots = DataRoots { dirs: vec![folder.path().into()], cache: folder.path().join("c") };
        let card = ModelCard::parse(GOOD, "tiny.yaml", None).unwrap();
        let missing = card.bytes(&roots).unwrap_err();
        assert!(missing.is_missing());
        assert!(missing.to_string().contains("set QUANTBENCH_DATA"), "{missing}");
        std::fs::create_dir(folder.path().join("models")).unwrap();
        std::fs::write(folder.path().join("models/tiny.onnx"), b"x").unwrap();
        let changed = card.bytes(&roots).unwrap_err();
        assert!(!changed.is_missing());
        assert!(changed.to_string().contains("the card states 26bc49e8"), "{changed}");
        let beside = ModelCard { folder: Some(folder.path().join("models")), ..card };
        let none = DataRoots { dirs: vec![], cache: folder.path().join("c") };
        let place = beside.locate(&none).unwrap().to_string();
        assert!(place.ends_with("models/tiny.onnx"), "{place}");
    }
}
