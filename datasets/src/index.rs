//! The canonical order of a split, with the ids and the hash that follow from it.
//!
//! Hashing every record is the dear part of loading, so the outcome is kept in the cache
//! ([`cache`]) for as long as the files stay the same ([`stamp`]).

pub(crate) mod cache;
pub(crate) mod stamp;

use quantbench_core::hash::hex;
use rayon::prelude::*;
use sha2::{Digest, Sha256};

/// What a split's hash is taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Covers {
    /// The sorted ids: the records hold their labels.
    Ids,
    /// The sorted ids, each followed by its label: image files do not know their class.
    IdsAndLabels,
}

/// Everything about a split but its pixels, in canonical order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Index {
    /// Place of each image in file order.
    pub order: Vec<u32>,
    /// Class of each image.
    pub labels: Vec<u16>,
    /// SHA-256 of each image's raw record.
    pub ids: Vec<[u8; 32]>,
    /// The identity of the split.
    pub hash: String,
}

impl Index {
    /// Orders digests and labels that come in file order.
    pub(crate) fn new(digests: &[[u8; 32]], labels: &[u16], covers: Covers) -> Self {
        let mut order: Vec<u32> = (0..digests.len() as u32).collect();
        // Equal records keep the order of the files.
        order.par_sort_unstable_by_key(|at| (digests[*at as usize], *at));
        let labels: Vec<u16> = order.iter().map(|at| labels[*at as usize]).collect();
        let ids: Vec<[u8; 32]> = order.iter().map(|at| digests[*at as usize]).collect();
        let hash = hash(&ids, &labels, covers);
        Self { order, labels, ids, hash }
    }
}

fn hash(ids: &[[u8; 32]], labels: &[u16], covers: Covers) -> String {
    let mut all = Sha256::new();
    match covers {
        Covers::Ids => ids.iter().for_each(|id| all.update(id)),
        Covers::IdsAndLabels => {
            // Equal images of different classes must not depend on the order of the files.
            let mut pairs: Vec<_> = ids.iter().zip(labels).collect();
            pairs.sort_unstable();
            for (id, label) in pairs {
                all.update(id);
                all.update(label.to_le_bytes());
            }
        }
    }
    hex(&all.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_of_ids_is_that_of_the_records_set() {
        let digests = [[3; 32], [1; 32], [2; 32]];
        let index = Index::new(&digests, &[0, 1, 2], Covers::Ids);
        assert_eq!(index.hash, quantbench_core::hash::order_free(digests.to_vec()));
        assert_eq!((index.order, index.labels), (vec![1, 2, 0], vec![1, 2, 0]));
    }

    #[test]
    fn labels_count_where_records_do_not_hold_them() {
        let hash = |labels: &[u16], covers| Index::new(&[[1; 32], [2; 32]], labels, covers).hash;
        assert_eq!(hash(&[0, 1], Covers::Ids), hash(&[1, 0], Covers::Ids));
        assert_ne!(hash(&[0, 1], Covers::IdsAndLabels), hash(&[1, 0], Covers::IdsAndLabels));
        // Twins of two classes: whichever file comes first.
        let twins =
            |labels: &[u16]| Index::new(&[[1; 32], [1; 32]], labels, Covers::IdsAndLabels).hash;
        assert_eq!(twins(&[0, 1]), twins(&[1, 0]));
    }
}
