//! Libraries whose CPUID instructions are known.

/// One library.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Known {
    /// Name of its file.
    name: String,
    /// Offsets of its CPUID instructions in the file, ascending.
    pub(super) sites: Vec<u64>,
}

const ALL: &str = include_str!("known.txt");

/// `cpuid` and `ud2`.
const CPUID: [u8; 2] = [0x0f, 0xa2];
const ILLEGAL: [u8; 2] = [0x0f, 0x0b];

impl Known {
    /// The library with this hash.
    pub(super) fn of(sha256: &str) -> Option<Self> {
        let line = lines().find(|line| line.starts_with(sha256))?;
        let mut words = line.split_whitespace().skip(1);
        let name = words.next()?.to_string();
        let mut sites: Vec<u64> =
            words.map(|word| u64::from_str_radix(word, 16)).collect::<Result<_, _>>().ok()?;
        sites.sort_unstable();
        (!sites.is_empty()).then_some(Self { name, sites })
    }

    /// The names of all, for messages.
    pub(super) fn names() -> String {
        let names = lines().filter_map(|line| line.split_whitespace().nth(1));
        names.collect::<Vec<_>>().join(", ")
    }

    /// Makes every CPUID instruction an illegal one; the offset of one that is not there otherwise.
    pub(super) fn patch(&self, bytes: &mut [u8]) -> Result<(), u64> {
        for site in &self.sites {
            let at = *site as usize;
            match bytes.get_mut(at..at + 2) {
                Some(pair) if *pair == CPUID => pair.copy_from_slice(&ILLEGAL),
                _ => return Err(*site),
            }
        }
        Ok(())
    }
}

fn lines() -> impl Iterator<Item = &'static str> {
    ALL.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_a_library_with_sites() {
        for line in lines() {
            let hash = line.split_whitespace().next().unwrap();
            assert_eq!(hash.len(), 64, "{hash}");
            let known = Known::of(hash).unwrap();
            assert!(known.sites.len() > 10 && known.sites.is_sorted(), "{}", known.name);
        }
        assert!(Known::of(&"0".repeat(64)).is_none());
    }

    #[test]
    fn a_patch_changes_the_known_places_alone() {
        let known = Known { name: "x".to_string(), sites: vec![1, 4] };
        let mut bytes = [9, 0x0f, 0xa2, 7, 0x0f, 0xa2, 0x0f, 0xa2];
        known.patch(&mut bytes).unwrap();
        assert_eq!(bytes, [9, 0x0f, 0x0b, 7, 0x0f, 0x0b, 0x0f, 0xa2]);
        assert_eq!(known.patch(&mut bytes), Err(1));
        assert_eq!(known.patch(&mut [0; 3]), Err(1));
    }
}
