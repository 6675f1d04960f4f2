//! A split in canonical order, and the choices made from it.

use std::ops::Range;
use std::path::{Path, PathBuf};

use quantbench_core::hash;
use quantbench_core::rng::{self, Rng};
use rayon::prelude::*;

use crate::index::{Covers, Index, cache};
use crate::loader::check_count;
use crate::loader::folder::Folder;
use crate::records::Records;
use crate::{DataError, DatasetManifest, Part, Raster, decode};

/// Training records held back for rewards and early stopping.
pub const VALIDATION: usize = 5_000;

/// Records that are read and hashed at a time while an index is made.
const AT_A_TIME: usize = 4_096;

/// Where the pixels of a split come from.
pub(crate) enum Body {
    /// Records of equal size.
    Records(Records),
    /// A file for each image.
    Folder(Folder),
}

/// The images of a split with labels, ordered by the SHA-256 of their raw records.
///
/// File order differs between archives of the same data; the canonical order does not.
/// Pixels stay in their files until they are asked for, and each record that is read is compared
/// with its id.
pub struct Split {
    body: Body,
    index: Index,
    /// The kept index, which is removed if the files turn out to be others.
    kept: PathBuf,
    /// SHA-256 over the sorted SHA-256 digests of the records: the identity of the split.
    pub hash: String,
    /// Channels, height, width; of a folder's images before the preprocessing of a model.
    pub dims: [usize; 3],
    /// Number of classes.
    pub classes: usize,
}

impl Split {
    /// Takes the canonical order from the cache, else makes it, and compares it with the manifest.
    pub(crate) fn new(
        manifest: &DatasetManifest,
        part: Part,
        body: Body,
        cache_folder: &Path,
    ) -> Result<Self, DataError> {
        let count = body.len();
        if count == 0 {
            let (dataset, files) = (manifest.name.clone(), body.origin());
            return Err(DataError::Empty { dataset, part, files });
        }
        check_count(manifest, part, count)?;
        if u32::try_from(count).is_err() {
            return Err(DataError::TooMany { dataset: manifest.name.clone(), part, found: count });
        }
        let (place, key) = body.stamp(manifest, part)?;
        let name = format!("{}-{part}-{}.index", manifest.name, &hash::hex(&place)[..16]);
        let kept = cache_folder.join("index").join(name);
        let covers = body.covers();
        let believed = cache::load(&kept, &key, covers).filter(|i| i.order.len() == count);
        let index = if let Some(index) = believed {
            index
        } else {
            let index = body.index(manifest, part)?;
            // Files that changed meanwhile are hashed again the next time, and so is everything
            // if the cache cannot be written: slower, not wrong.
            if body.stamp(manifest, part)?.1 == key {
                let _ = cache::store(&kept, &key, &index);
            }
            index
        };
        let stated = manifest.hashes.as_ref().map(|h| h.of(part));
        if let Some(expected) = stated.filter(|h| **h != index.hash) {
            let (expected, found) = (expected.clone(), index.hash);
            return Err(DataError::Content {
                dataset: manifest.name.clone(),
                part,
                found,
                expected,
            });
        }
        let (hash, dims, classes) = (index.hash.clone(), manifest.dims, manifest.classes);
        Ok(Self { body, index, kept, hash, dims, classes })
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.index.order.len()
    }

    /// Whether there are none; never true for a loaded split.
    pub fn is_empty(&self) -> bool {
        self.index.order.is_empty()
    }

    /// Class of each image in canonical order.
    pub fn labels(&self) -> &[u16] {
        &self.index.labels
    }

    /// SHA-256 of each image's raw record in canonical order: the images' ids.
    pub fn ids(&self) -> &[[u8; 32]] {
        &self.index.ids
    }

    /// The `i`-th image in canonical order, read and decoded.
    ///
    /// # Panics
    /// If `i` is not below [`Split::len`].
    pub fn image(&self, i: usize) -> Result<Raster, DataError> {
        match &self.body {
            Body::Records(_) => {
                let [channels, height, width] = self.dims;
                let data = self.pixels(&[i])?.unwrap_or_default();
                Ok(Raster { channels, height, width, data })
            }
            Body::Folder(folder) => {
                let path = folder.path(self.index.order[i] as usize);
                let bytes = std::fs::read(&path).map_err(DataError::io("read", &path))?;
                if hash::sha256(&bytes) != self.index.ids[i] {
                    return Err(self.changed(path.display().to_string()));
                }
                decode::rgb(&bytes).map_err(|reason| DataError::Image { path, reason })
            }
        }
    }

    /// Pixels of the images at `chosen`, one after the other, plane by plane; none where images
    /// are files of their own, which are decoded when they are needed.
    pub(crate) fn pixels(&self, chosen: &[usize]) -> Result<Option<Vec<u8>>, DataError> {
        let Body::Records(records) = &self.body else { return Ok(None) };
        let wanted: Vec<u32> = chosen.iter().map(|i| self.index.order[*i]).collect();
        let mut bytes = records.read(&wanted)?;
        let same = bytes
            .par_chunks_exact(records.size)
            .zip(chosen)
            .all(|(record, i)| hash::sha256(record) == self.index.ids[*i]);
        if !same {
            return Err(self.changed(records.origin.clone()));
        }
        let pixels = records.size - records.label_bytes;
        for at in 0..chosen.len() {
            let from = at * records.size + records.label_bytes;
            bytes.copy_within(from..from + pixels, at * pixels);
        }
        bytes.truncate(chosen.len() * pixels);
        Ok(Some(bytes))
    }

    /// The `i`-th image as an error message names it.
    pub(crate) fn name_of(&self, i: usize) -> String {
        match &self.body {
            Body::Records(records) => {
                format!("record {} of {}", self.index.order[i], records.origin)
            }
            Body::Folder(folder) => folder.path(self.index.order[i] as usize).display().to_string(),
        }
    }

    /// The error of files that are not those that were indexed; the index is not used again.
    fn changed(&self, what: String) -> DataError {
        let _ = std::fs::remove_file(&self.kept);
        DataError::Changed { what }
    }

    /// Draw `d` of `n` images: indices in canonical order, nested in `n`, the same for all
    /// methods and models.
    pub fn draw(&self, d: u64, n: usize) -> Result<Vec<usize>, DataError> {
        if n > self.len() {
            return Err(DataError::Draw { asked: n, available: self.len() });
        }
        let mut stream = Rng::from_parts(&["draw", &self.hash, &d.to_string()]);
        Ok(rng::draw(&mut stream, self.len(), n))
    }

    /// The first `n` images in canonical order, or all if there are fewer: a partial evaluation.
    pub fn first(&self, n: usize) -> Vec<usize> {
        (0..n.min(self.len())).collect()
    }

    /// The last [`VALIDATION`] images in canonical order, or all if there are fewer.
    pub fn validation(&self) -> Range<usize> {
        self.len().saturating_sub(VALIDATION)..self.len()
    }
}

impl Body {
    fn len(&self) -> usize {
        match self {
            Body::Records(records) => records.count,
            Body::Folder(folder) => folder.len(),
        }
    }

    fn origin(&self) -> String {
        match self {
            Body::Records(records) => records.origin.clone(),
            Body::Folder(folder) => folder.root.display().to_string(),
        }
    }

    fn covers(&self) -> Covers {
        match self {
            Body::Records(_) => Covers::Ids,
            Body::Folder(_) => Covers::IdsAndLabels,
        }
    }

    /// Place and key of the kept index.
    fn stamp(
        &self,
        manifest: &DatasetManifest,
        part: Part,
    ) -> Result<([u8; 32], [u8; 32]), DataError> {
        let about = format!(
            "{:?} {part} {} {:?} {:?}",
            manifest.loader, manifest.classes, manifest.dims, manifest.class_names
        );
        let mut stamp = crate::index::stamp::Stamp::new(about.as_bytes());
        match self {
            Body::Records(records) => {
                for path in records.paths() {
                    stamp.place(path);
                    let facts = path.metadata().map_err(DataError::io("read", path))?;
                    stamp.file(path, &facts);
                }
            }
            Body::Folder(folder) => folder.stamp(&mut stamp)?,
        }
        Ok(stamp.finish())
    }

    /// Reads and hashes everything.
    fn index(&self, manifest: &DatasetManifest, part: Part) -> Result<Index, DataError> {
        let (digests, labels) = match self {
            Body::Records(records) => digests(records, manifest, part)?,
            Body::Folder(folder) => (folder.digests()?, folder.labels.clone()),
        };
        Ok(Index::new(&digests, &labels, self.covers()))
    }
}

/// Digest and label of every record in file order; never more than a few records in memory.
fn digests(
    records: &Records,
    manifest: &DatasetManifest,
    part: Part,
) -> Result<(Vec<[u8; 32]>, Vec<u16>), DataError> {
    let mut digests = Vec::with_capacity(records.count);
    let mut labels = Vec::with_capacity(records.count);
    let all: Vec<u32> = (0..records.count as u32).collect();
    for wanted in all.chunks(AT_A_TIME) {
        let bytes = records.read(wanted)?;
        digests.par_extend(bytes.par_chunks_exact(records.size).map(hash::sha256));
        labels.extend(
            bytes.chunks_exact(records.size).map(|r| u16::from(r[records.label_bytes - 1])),
        );
    }
    let classes = manifest.classes;
    if let Some(record) = labels.iter().position(|label| usize::from(*label) >= classes) {
        let (dataset, label) = (manifest.name.clone(), labels[record]);
        return Err(DataError::Label { dataset, part, record, label, classes });
    }
    Ok((digests, labels))
}
