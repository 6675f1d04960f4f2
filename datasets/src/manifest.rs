//! What a data set is: a YAML file that says how its files are read and where they come from.

use serde::{Deserialize, Serialize};

use quantbench_core::names;

use crate::archive::Sum;
use crate::{DataError, Part, shapes};

/// How the records of a data set are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Loader {
    /// One label byte, then the pixels plane by plane.
    Cifar10,
    /// A coarse and a fine label byte, then the pixels plane by plane; the fine one counts.
    Cifar100,
    /// The files of MNIST: images and labels apart, each with a header.
    Idx,
    /// A folder for each class, a JPEG or PNG file for each image.
    Folder,
    /// Computed by [`crate::shapes`], no files.
    Shapes10,
}

/// Something for each split.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub struct Parts<T> {
    /// For the training split.
    pub train: T,
    /// For the test split.
    pub test: T,
}

impl<T> Parts<T> {
    /// The one for this split.
    pub fn of(&self, part: Part) -> &T {
        match part {
            Part::Train => &self.train,
            Part::Test => &self.test,
        }
    }
}

/// An archive that holds files of the data set, with exactly one checksum.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Archive {
    /// Path below a data folder; ends in `.tar.gz`, `.tgz`, `.tar.xz`, `.gz` or `.xz`.
    pub file: String,
    /// Where it can be fetched; none for one that is not published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// SHA-256 of the archive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// MD5 of the archive, where that is what its publisher states.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub md5: Option<String>,
}

impl Archive {
    /// Its stated checksum; none only if the manifest was not checked.
    pub fn sum(&self) -> Option<Sum> {
        let sha256 = self.sha256.clone().map(Sum::Sha256);
        sha256.or_else(|| self.md5.clone().map(Sum::Md5))
    }

    /// Whether it holds a folder, in contrast to a single packed file.
    pub fn is_tar(&self) -> bool {
        [".tar.gz", ".tgz", ".tar.xz"].iter().any(|ending| self.file.ends_with(ending))
    }

    /// What the single packed file unpacks to.
    pub(crate) fn single(&self) -> Option<&str> {
        self.file.strip_suffix(".gz").or_else(|| self.file.strip_suffix(".xz"))
    }
}

/// A data set: its files, its classes, its origin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatasetManifest {
    /// Kebab-case name, by which surveys refer to it.
    pub name: String,
    /// One sentence.
    pub summary: String,
    /// How its records are read.
    pub loader: Loader,
    /// Number of classes; labels are below it.
    pub classes: usize,
    /// Names of the class folders in the order of the classes, for `folder`; none sorts them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class_names: Option<Vec<String>>,
    /// Channels, height, width; for `folder` where the model card does not crop.
    pub dims: [usize; 3],
    /// Paths below a data folder; for `idx` the images and then the labels of each split, for
    /// `folder` the folder of each split.
    #[serde(default)]
    pub files: Parts<Vec<String>>,
    /// Archives that hold these files, the one to recommend first.
    #[serde(default)]
    pub archives: Vec<Archive>,
    /// Number of images of each split, checked on loading.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub images: Option<Parts<usize>>,
    /// Order-free hash of each split, checked on loading.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hashes: Option<Parts<String>>,
    /// Paper and page that the data set comes from.
    pub source: String,
    /// Licence, or `none stated`.
    pub licence: String,
}

/// The manifests under `configs/datasets`, in alphabetical order.
const BUILTIN: [(&str, &str); 6] = [
    ("cifar10.yaml", include_str!("../../configs/datasets/cifar10.yaml")),
    ("cifar100.yaml", include_str!("../../configs/datasets/cifar100.yaml")),
    ("fashion-mnist.yaml", include_str!("../../configs/datasets/fashion-mnist.yaml")),
    ("imagenet.yaml", include_str!("../../configs/datasets/imagenet.yaml")),
    ("mnist.yaml", include_str!("../../configs/datasets/mnist.yaml")),
    ("shapes10.yaml", include_str!("../../configs/datasets/shapes10.yaml")),
];

impl DatasetManifest {
    /// Reads a manifest; `origin` names the file in errors.
    pub fn parse(text: &str, origin: &str) -> Result<Self, DataError> {
        let manifest: Self = serde_yaml::from_str(text).map_err(|error| DataError::Manifest {
            origin: origin.to_string(),
            line: error.location().map(|place| place.line()),
            message: explained(&error.to_string()),
        })?;
        manifest.check().map_err(|(key, message)| DataError::Manifest {
            origin: origin.to_string(),
            line: line_of(text, key),
            message: format!("{key}: {message}"),
        })?;
        Ok(manifest)
    }

    /// The manifests that are compiled in, in alphabetical order.
    ///
    /// # Panics
    /// If one of them does not parse: a bug that the tests catch.
    #[allow(clippy::expect_used)]
    pub fn builtin() -> Vec<DatasetManifest> {
        let parse = |(file, text)| Self::parse(text, file).expect("shipped manifests are valid");
        BUILTIN.map(parse).into_iter().collect()
    }

    /// Values of one image.
    pub fn pixels(&self) -> usize {
        self.dims.iter().product()
    }

    /// Key and complaint of the first value that cannot be.
    fn check(&self) -> Result<(), (&'static str, String)> {
        let kebab = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if self.name.is_empty() || !self.name.chars().all(kebab) {
            let found = &self.name;
            return Err(("name", format!("{found:?} is not kebab-case; expected a-z, 0-9 and -")));
        }
        // Labels of records are bytes, those of folders two bytes.
        let most = if self.loader == Loader::Folder { 65_536 } else { 256 };
        if !(2..=most).contains(&self.classes) {
            let found = self.classes;
            return Err(("classes", format!("{found} is out of range; expected 2 to {most}")));
        }
        if self.dims.iter().any(|d| !(1..=4096).contains(d)) {
            let found = self.dims;
            return Err(("dims", format!("{found:?} is out of range; expected 1 to 4096 each")));
        }
        self.check_loader()?;
        for file in self.files.train.iter().chain(&self.files.test) {
            relative(file).map_err(|message| ("files", message))?;
        }
        for archive in &self.archives {
            self.check_archive(archive).map_err(|message| ("archives", message))?;
        }
        for hash in self.hashes.iter().flat_map(|h| [&h.train, &h.test]) {
            digits(hash, 64).map_err(|message| ("hashes", message))?;
        }
        Ok(())
    }

    /// Whether an archive's path, ending and checksum can be.
    fn check_archive(&self, archive: &Archive) -> Result<(), String> {
        let file = &archive.file;
        relative(file)?;
        match (archive.is_tar(), archive.single()) {
            (true, _) => {}
            (false, None) => {
                return Err(format!(
                    "{file} has no known ending; expected .tar.gz, .tgz, .tar.xz, .gz or .xz"
                ));
            }
            (false, Some(inner)) => {
                let mut files = self.files.train.iter().chain(&self.files.test);
                if !files.any(|f| f == inner) {
                    return Err(format!("{file} unpacks to {inner}, which files do not name"));
                }
            }
        }
        match (&archive.sha256, &archive.md5) {
            (Some(sum), None) => digits(sum, 64),
            (None, Some(sum)) => digits(sum, 32),
            _ => Err(format!("{file} needs exactly one of sha256 and md5")),
        }
    }

    /// Whether files, dims and classes fit the loader.
    fn check_loader(&self) -> Result<(), (&'static str, String)> {
        for (part, files) in [("train", &self.files.train), ("test", &self.files.test)] {
            let expected = match (self.loader, files.len()) {
                (Loader::Idx, n) if n != 2 => "the images and then the labels, two files",
                (Loader::Cifar10 | Loader::Cifar100, 0) => "at least one file",
                (Loader::Folder, n) if n != 1 => "one folder, which holds those of the classes",
                (Loader::Shapes10, n) if n != 0 => "no files, the images are computed",
                _ => continue,
            };
            let message = format!("{part} names {} files; expected {expected}", files.len());
            return Err(("files", message));
        }
        self.check_class_names().map_err(|message| ("class_names", message))?;
        match self.loader {
            Loader::Folder if self.dims[0] != 3 => {
                Err(("dims", format!("{:?}; images of folders have 3 channels", self.dims)))
            }
            Loader::Folder if !self.archives.is_empty() => Err((
                "archives",
                "archives of image folders are not unpacked; expected none, unpack them yourself"
                    .to_string(),
            )),
            Loader::Idx if self.dims[0] != 1 => {
                Err(("dims", format!("{:?} has more than one channel; idx has one", self.dims)))
            }
            Loader::Shapes10 if self.dims != [3, 32, 32] => {
                Err(("dims", format!("{:?}; shapes10 makes [3, 32, 32]", self.dims)))
            }
            Loader::Shapes10 if self.classes != shapes::CLASSES.len() => {
                Err(("classes", format!("{}; shapes10 has 10", self.classes)))
            }
            _ => Ok(()),
        }
    }
}

impl DatasetManifest {
    /// Whether the names of class folders are names, each once, and as many as there are classes.
    fn check_class_names(&self) -> Result<(), String> {
        let Some(names) = &self.class_names else { return Ok(()) };
        if self.loader != Loader::Folder {
            return Err("only the folder loader reads class folders; remove the key".to_string());
        }
        if names.len() != self.classes {
            return Err(format!("{} names for {} classes", names.len(), self.classes));
        }
        for name in names {
            relative(name)?;
        }
        let mut sorted: Vec<&String> = names.iter().collect();
        sorted.sort_unstable();
        match sorted.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(format!("{:?} is named twice", pair[0])),
            None => Ok(()),
        }
    }
}

/// Refuses paths that are absolute or climb.
fn relative(file: &str) -> Result<(), String> {
    let plain = |c| matches!(c, std::path::Component::Normal(_));
    if !file.is_empty() && std::path::Path::new(file).components().all(plain) {
        return Ok(());
    }
    Err(format!("{file:?} is not a plain relative path; expected a path below a data folder"))
}

fn digits(sum: &str, count: usize) -> Result<(), String> {
    let lower = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
    if sum.len() == count && sum.chars().all(lower) {
        return Ok(());
    }
    Err(format!("{sum:?} is no checksum; expected {count} lower-case hexadecimal digits"))
}

/// The parser's message, with a near match where a key or a variant is unknown.
fn explained(message: &str) -> String {
    let message = message.split(" at line ").next().unwrap_or(message);
    let Some(at) = message.find("unknown ") else { return message.to_string() };
    let mut quoted = message[at..].split('`').skip(1).step_by(2);
    let Some(given) = quoted.next() else { return message.to_string() };
    let known: Vec<&str> = quoted.collect();
    let what = if message[at..].starts_with("unknown variant") { "value" } else { "key" };
    format!("unknown {what} {given:?}{}", names::suggestion(given, &known))
}

/// The line, counted from one, on which a top-level key stands.
fn line_of(text: &str, key: &str) -> Option<usize> {
    let is_key = |line: &str| line.strip_prefix(key).is_some_and(|rest| rest.starts_with(':'));
    text.lines().position(is_key).map(|at| at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "name: tiny\nsummary: A tiny one.\nloader: cifar10\nclasses: 3\n\
        dims: [3, 2, 2]\nfiles:\n  train: [a.bin]\n  test: [b.bin]\narchives:\n  - file: t.tar.gz\n    \
        md5: c32a1d4ab5d03f1284b67883e8d87530\nsource: here\nlicence: none stated\n";

    fn complaint(from: &str, to: &str) -> String {
        assert!(GOOD.contains(from), "{from}");
        DatasetManifest::parse(&GOOD.replace(from, to), "tiny.yaml").unwrap_err().to_string()
    }

    #[test]
    fn the_shipped_manifests_parse_in_order_and_match_their_file_names() {
        let names: Vec<String> = DatasetManifest::builtin().into_iter().map(|m| m.name).collect();
        let files: Vec<&str> = BUILTIN.iter().map(|(f, _)| f.trim_end_matches(".yaml")).collect();
        assert_eq!(names, files);
        assert!(names.is_sorted());
    }

    #[test]
    fn every_manifest_in_the_folder_is_listed() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../configs/datasets");
        let entries = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name());
        let mut found: Vec<String> = entries.map(|name| name.into_string().unwrap()).collect();
        found.sort();
        assert_eq!(found, BUILTIN.map(|(file, _)| file.to_string()));
    }

    #[test]
    fn a_manifest_survives_writing_and_reading() {
        for manifest in DatasetManifest::builtin() {
            let text = serde_yaml::to_string(&manifest).unwrap();
            assert_eq!(DatasetManifest::parse(&text, "again").unwrap(), manifest);
        }
    }

    #[test]
    fn an_unknown_key_is_named_with_its_line_and_a_near_match() {
        let text = complaint("classes: 3", "clases: 3");
        assert!(
            text.starts_with("data set manifest tiny.yaml, line 4: unknown key \"clases\""),
            "{text}"
        );
        assert!(text.contains("did you mean \"classes\"?"), "{text}");
        let text = complaint("loader: cifar10", "loader: cifr10");
        assert!(
            text.contains("line 3: unknown value \"cifr10\"; did you mean \"cifar10\"?"),
            "{text}"
        );
    }

    #[test]
    fn values_that_cannot_be_are_refused_with_their_line() {
        for (from, to, expected) in [
            ("name: tiny", "name: Tiny Set", "line 1: name: \"Tiny Set\" is not kebab-case"),
            ("classes: 3", "classes: 1", "line 4: classes: 1 is out of range"),
            ("[3, 2, 2]", "[3, 0, 2]", "line 5: dims: [3, 0, 2] is out of range"),
            ("train: [a.bin]", "train: []", "line 6: files: train names 0 files"),
            ("a.bin", "../a.bin", "line 6: files: \"../a.bin\" is not a plain relative path"),
            ("a.bin", "/a.bin", "line 6: files: \"/a.bin\" is not a plain relative path"),
            ("t.tar.gz", "t.zip", "line 9: archives: t.zip has no known ending"),
            ("t.tar.gz", "t.gz", "line 9: archives: t.gz unpacks to t, which files do not name"),
            ("    md5: c32a", "    md5: C32A", "line 9: archives: \"C32A"),
            ("    md5: c32a", "    sha256: c32a", "line 9: archives: \"c32a"),
            (
                "    md5: c32a1d4ab5d03f1284b67883e8d87530\n",
                "",
                "needs exactly one of sha256 and md5",
            ),
            ("loader: cifar10", "loader: idx", "expected the images and then the labels"),
            ("loader: cifar10", "loader: shapes10", "expected no files"),
            ("licence: none stated\n", "", "missing field `licence`"),
            ("classes: 3", "classes: many", "classes: invalid type"),
            (
                "classes: 3",
                "classes: 300",
                "line 4: classes: 300 is out of range; expected 2 to 256",
            ),
            ("dims:", "class_names: [a, b, c]\ndims:", "class_names: only the folder loader"),
        ] {
            let text = complaint(from, to);
            assert!(text.contains(expected), "{text}\nshould contain {expected}");
        }
    }

    #[test]
    fn manifests_of_folders_are_checked() {
        const FOLDER: &str = "name: tiny\nsummary: A tiny one.\nloader: folder\nclasses: 2\n\
            class_names: [ant, bee]\ndims: [3, 2, 2]\nfiles:\n  train: [t]\n  test: [v]\n\
            source: here\nlicence: none stated\n";
        assert!(DatasetManifest::parse(FOLDER, "tiny.yaml").is_ok());
        for (from, to, expected) in [
            ("[ant, bee]", "[ant]", "line 5: class_names: 1 names for 2 classes"),
            ("[ant, bee]", "[ant, ant]", "line 5: class_names: \"ant\" is named twice"),
            ("[ant, bee]", "[ant, ../b]", "line 5: class_names: \"../b\" is not a plain"),
            ("[3, 2, 2]", "[1, 2, 2]", "line 6: dims: [1, 2, 2]; images of folders have 3"),
            ("train: [t]", "train: [t, u]", "line 7: files: train names 2 files; expected one"),
            ("classes: 2", "classes: 70000", "line 4: classes: 70000 is out of range"),
        ] {
            let text = DatasetManifest::parse(&FOLDER.replace(from, to), "tiny.yaml");
            let text = text.unwrap_err().to_string();
            assert!(text.contains(expected), "{text}\nshould contain {expected}");
        }
    }
}
