//! An index in a file of the cache folder: believed only if every byte of it makes sense.
//!
//! Layout, little-endian: magic, key, number of images, order (`u32` each), labels (`u16` each),
//! ids (32 bytes each), SHA-256 of all of that.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use quantbench_core::hash::sha256;

use super::{Covers, Index, hash};

/// Raised with every change of the layout or of its meaning.
const MAGIC: &[u8; 16] = b"quantbench-idx 1";
/// Bytes in front of the first list.
const HEAD: usize = 16 + 32 + 8;
/// Bytes of one image in all lists.
const EACH: usize = 4 + 2 + 32;

/// The kept index of these files; none if there is none, or a damaged or outdated one.
pub(crate) fn load(path: &Path, key: &[u8; 32], covers: Covers) -> Option<Index> {
    let bytes = fs::read(path).ok()?;
    let (body, sum) = bytes.split_at_checked(bytes.len().checked_sub(32)?)?;
    let (head, lists) = body.split_at_checked(HEAD)?;
    let count = u64::from_le_bytes(head[48..56].try_into().ok()?) as usize;
    let whole = head[..16] == *MAGIC
        && head[16..48] == *key
        && Some(lists.len()) == count.checked_mul(EACH)
        && sha256(body) == *sum;
    if !whole {
        return None;
    }
    let (order, rest) = lists.split_at(4 * count);
    let (labels, ids) = rest.split_at(2 * count);
    let order: Vec<u32> =
        order.as_chunks().0.iter().map(|bytes| u32::from_le_bytes(*bytes)).collect();
    let labels: Vec<u16> =
        labels.as_chunks().0.iter().map(|bytes| u16::from_le_bytes(*bytes)).collect();
    let ids: Vec<[u8; 32]> = ids.as_chunks().0.to_vec();
    // A sum over wrong lists would be right as well.
    if !ids.is_sorted() || !is_permutation(&order) {
        return None;
    }
    let hash = hash(&ids, &labels, covers);
    Some(Index { order, labels, ids, hash })
}

fn is_permutation(order: &[u32]) -> bool {
    let mut seen = vec![false; order.len()];
    order
        .iter()
        .all(|at| seen.get_mut(*at as usize).is_some_and(|seen| !std::mem::replace(seen, true)))
}

/// Keeps an index, whole or not at all; several processes may do so at once.
pub(crate) fn store(path: &Path, key: &[u8; 32], index: &Index) -> io::Result<()> {
    static TURN: AtomicU32 = AtomicU32::new(0);
    let count = index.order.len();
    let mut bytes = Vec::with_capacity(HEAD + count * EACH + 32);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(key);
    bytes.extend_from_slice(&(count as u64).to_le_bytes());
    index.order.iter().for_each(|at| bytes.extend_from_slice(&at.to_le_bytes()));
    index.labels.iter().for_each(|label| bytes.extend_from_slice(&label.to_le_bytes()));
    index.ids.iter().for_each(|id| bytes.extend_from_slice(id));
    let sum = sha256(&bytes);
    bytes.extend_from_slice(&sum);
    let folder = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    fs::create_dir_all(folder)?;
    let turn = TURN.fetch_add(1, Ordering::Relaxed);
    let working = folder.join(format!(".writing-{}-{turn}", std::process::id()));
    let done = fs::write(&working, &bytes).and_then(|()| fs::rename(&working, path));
    if done.is_err() {
        let _ = fs::remove_file(&working);
    }
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Index {
        let digests: Vec<[u8; 32]> = (0..50_u8).map(|i| sha256(&[i])).collect();
        let labels: Vec<u16> = (0..50).map(|i| i * 1000).collect();
        Index::new(&digests, &labels, Covers::Ids)
    }

    #[test]
    fn what_is_kept_is_found_again_and_only_by_its_key() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("deep/one.index");
        assert_eq!(load(&path, &[7; 32], Covers::Ids), None);
        store(&path, &[7; 32], &sample()).unwrap();
        assert_eq!(load(&path, &[7; 32], Covers::Ids), Some(sample()));
        assert_eq!(load(&path, &[8; 32], Covers::Ids), None);
        let names: Vec<_> = fs::read_dir(path.parent().unwrap()).unwrap().collect();
        assert_eq!(names.len(), 1, "no working file is left");
    }

    #[test]
    fn no_damage_is_believed() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("one.index");
        store(&path, &[7; 32], &sample()).unwrap();
        let good = fs::read(&path).unwrap();
        for at in (0..good.len()).step_by(13) {
            let mut bad = good.clone();
            bad[at] ^= 0x10;
            fs::write(&path, &bad).unwrap();
            assert_eq!(load(&path, &[7; 32], Covers::Ids), None, "byte {at}");
        }
        for length in [0, 10, 31, 32, 60, 88, good.len() - 1] {
            fs::write(&path, &good[..length]).unwrap();
            assert_eq!(load(&path, &[7; 32], Covers::Ids), None, "{length} bytes");
        }
        // A right sum over an order that names an image twice.
        let mut body = good[..good.len() - 32].to_vec();
        body.copy_within(HEAD..HEAD + 4, HEAD + 4);
        let sum = sha256(&body);
        fs::write(&path, [body, sum.to_vec()].concat()).unwrap();
        assert_eq!(load(&path, &[7; 32], Covers::Ids), None);
    }
}
