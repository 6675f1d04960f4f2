//! What can be wrong with a data set, one variant per cause.

use std::path::PathBuf;

use thiserror::Error;

/// A data set could not be described, found, read or drawn from.
#[derive(Debug, Error)]
pub enum DataError {
    /// A manifest that cannot be understood.
    #[error("data set manifest {origin}{}: {message}", at(*.line))]
    Manifest {
        /// File or name that the text came from.
        origin: String,
        /// Line, counted from one, where it is known.
        line: Option<usize>,
        /// What is wrong and what was expected.
        message: String,
    },
    /// A file is nowhere below the data folders, nor is an archive that holds it.
    #[error(
        "data set {dataset}: {file} not found, nor an archive that holds it; looked in {looked}; \
         {advice}"
    )]
    Missing {
        /// Name of the data set.
        dataset: String,
        /// File, relative to a data folder.
        file: String,
        /// Folders that were searched.
        looked: String,
        /// What to fetch and where to put it.
        advice: String,
    },
    /// The path exists but is a directory or a device.
    #[error("{} is not a regular file; expected {expected}", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
        /// What should be there.
        expected: String,
    },
    /// The operating system refused.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The path.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A file whose size or header does not fit the layout.
    #[error("{}: {found}; expected {expected}; fetch it again if the download was cut", path.display())]
    Layout {
        /// The file.
        path: PathBuf,
        /// What it holds.
        found: String,
        /// What the manifest asks for.
        expected: String,
    },
    /// An archive that is not the one that the manifest names.
    #[error(
        "archive {}: {kind} is {found}, the manifest states {expected}; the download is \
         incomplete or of another version: fetch it again", path.display()
    )]
    Checksum {
        /// The archive.
        path: PathBuf,
        /// `SHA-256` or `MD5`.
        kind: &'static str,
        /// Checksum of the file.
        found: String,
        /// Checksum in the manifest.
        expected: String,
    },
    /// An archive that cannot be unpacked.
    #[error("archive {}: {reason}; fetch it again", path.display())]
    Archive {
        /// The archive.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// An archive with an entry that would be written outside the target folder.
    #[error(
        "archive {}: entry {entry:?} leads outside the target folder; nothing of this archive was \
         kept, do not trust it", path.display()
    )]
    Escape {
        /// The archive.
        path: PathBuf,
        /// The entry's path.
        entry: String,
    },
    /// A split without a single image.
    #[error(
        "data set {dataset}: the {part} split holds no images ({files}); expected at least one"
    )]
    Empty {
        /// Name of the data set.
        dataset: String,
        /// The split.
        part: Part,
        /// Files that were read.
        files: String,
    },
    /// A split with another number of images than its manifest states.
    #[error(
        "data set {dataset}: the {part} split holds {found} images, the manifest states {expected}"
    )]
    Count {
        /// Name of the data set.
        dataset: String,
        /// The split.
        part: Part,
        /// Images found.
        found: usize,
        /// Images in the manifest.
        expected: usize,
    },
    /// More images than any data set has.
    #[error(
        "data set {dataset}: the {part} split holds {found} images; expected fewer than 2^32: its \
         files or the dims in its manifest are wrong"
    )]
    TooMany {
        /// Name of the data set.
        dataset: String,
        /// The split.
        part: Part,
        /// Images found.
        found: usize,
    },
    /// A label that is no class.
    #[error(
        "data set {dataset}: record {record} of the {part} split has label {label}; expected 0 to \
         {} for {classes} classes", classes - 1
    )]
    Label {
        /// Name of the data set.
        dataset: String,
        /// The split.
        part: Part,
        /// Index of the record in file order.
        record: usize,
        /// The label.
        label: u16,
        /// Number of classes.
        classes: usize,
    },
    /// Content that differs from the manifest.
    #[error(
        "data set {dataset}: the order-free hash of the {part} split is {found}, the manifest \
         states {expected}; the files are damaged or of another version"
    )]
    Content {
        /// Name of the data set.
        dataset: String,
        /// The split.
        part: Part,
        /// Hash of the records.
        found: String,
        /// Hash in the manifest.
        expected: String,
    },
    /// An image file that cannot be decoded.
    #[error(
        "{}: {reason}; expected a whole JPEG or PNG: fetch it again or remove it", path.display()
    )]
    Image {
        /// The file.
        path: PathBuf,
        /// What is wrong with its content.
        reason: String,
    },
    /// An image that preprocessing does not bring to the size that the model reads.
    #[error(
        "{what}: {found:?} cannot become {expected:?} by preprocessing {preprocess}; state resize \
         and center_crop on the model card, or the right dims in the manifest"
    )]
    Size {
        /// The image.
        what: String,
        /// Name and version of the preprocessing.
        preprocess: String,
        /// Channels, height and width of the file.
        found: [usize; 3],
        /// Channels, height and width that the model reads.
        expected: [usize; 3],
    },
    /// A folder of images that is not as a folder of classes should be.
    #[error("{}: {found}; {advice}", path.display())]
    Folder {
        /// The file or folder.
        path: PathBuf,
        /// What is there.
        found: String,
        /// What was expected, and what to do.
        advice: String,
    },
    /// Files that changed after their canonical order was taken down.
    #[error(
        "{what}: the content is not what it was when its order was taken down; the order in the \
         cache has been dropped: run again"
    )]
    Changed {
        /// The file or files.
        what: String,
    },
    /// More images were asked for than there are.
    #[error("cannot draw {asked} images: the split holds {available}; ask for at most that many")]
    Draw {
        /// Images asked for.
        asked: usize,
        /// Images in the split.
        available: usize,
    },
    /// A preprocessing that does not fit the images.
    #[error("preprocessing {id}: {reason}")]
    Preprocess {
        /// Its name and version.
        id: String,
        /// What is wrong and what was expected.
        reason: String,
    },
}

use crate::Part;

/// The line as an error message writes it.
fn at(line: Option<usize>) -> String {
    line.map(|l| format!(", line {l}")).unwrap_or_default()
}

impl DataError {
    /// An error of the operating system with what was tried.
    pub(crate) fn io(
        action: &'static str,
        path: &std::path::Path,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { action, path, source }
    }

    /// Whether something is missing here, in contrast to being wrong: exit code 3.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Missing { .. })
    }
}
