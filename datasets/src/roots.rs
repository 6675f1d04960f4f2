//! Where data and models lie on this machine.

use std::path::{Path, PathBuf};

/// Folders to search and the folder for unpacked archives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataRoots {
    /// Folders of the user, searched in this order; each with its `data/` and `models/`.
    pub dirs: Vec<PathBuf>,
    /// Our own folder, searched last; archives are unpacked below it.
    pub cache: PathBuf,
}

impl DataRoots {
    /// Folders from the environment.
    ///
    /// `QUANTBENCH_DATA` is a list like `PATH`; the cache is `QUANTBENCH_CACHE`, else
    /// `$XDG_CACHE_HOME/quantbench`, else `~/.cache/quantbench`, else below the system's
    /// temporary folder.
    pub fn from_env() -> Self {
        Self::from_lookup(|name| std::env::var_os(name).filter(|value| !value.is_empty()))
    }

    fn from_lookup(var: impl Fn(&str) -> Option<std::ffi::OsString>) -> Self {
        let dirs = var("QUANTBENCH_DATA")
            .map(|list| {
                std::env::split_paths(&list).filter(|p| !p.as_os_str().is_empty()).collect()
            })
            .unwrap_or_default();
        let home = || var("HOME").map(|home| Path::new(&home).join(".cache"));
        let shared = || var("XDG_CACHE_HOME").map(PathBuf::from).or_else(home);
        let ours = || shared().unwrap_or_else(std::env::temp_dir).join("quantbench");
        let cache = var("QUANTBENCH_CACHE").map_or_else(ours, PathBuf::from);
        Self { dirs, cache }
    }

    /// Every folder that is searched, in order: each root, its `data/`, its `models/`.
    pub fn search_path(&self) -> Vec<PathBuf> {
        let roots = self.dirs.iter().chain(std::iter::once(&self.cache));
        roots.flat_map(|root| [root.clone(), root.join("data"), root.join("models")]).collect()
    }

    /// The first regular file of this name, else the first thing of this name at all (so that a
    /// directory in its place can be reported), else none.
    pub fn find(&self, file: &str) -> Option<PathBuf> {
        let paths: Vec<PathBuf> = self.search_path().iter().map(|dir| dir.join(file)).collect();
        let regular = paths.iter().find(|path| path.is_file());
        regular.or_else(|| paths.iter().find(|path| path.exists())).cloned()
    }

    /// The first directory of this name, else the first thing of this name at all, else none.
    pub fn find_folder(&self, name: &str) -> Option<PathBuf> {
        let paths: Vec<PathBuf> = self.search_path().iter().map(|dir| dir.join(name)).collect();
        let folder = paths.iter().find(|path| path.is_dir());
        folder.or_else(|| paths.iter().find(|path| path.exists())).cloned()
    }

    /// The user's folders for an error message.
    pub fn described(&self) -> String {
        let dirs: Vec<String> = self.dirs.iter().map(|d| d.display().to_string()).collect();
        let given = match dirs.as_slice() {
            [] => "no folder of yours (QUANTBENCH_DATA is not set)".to_string(),
            _ => format!("QUANTBENCH_DATA={}", dirs.join(":")),
        };
        format!("{given} and the cache {}, each with data/ and models/", self.cache.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roots(pairs: &[(&str, &str)]) -> DataRoots {
        DataRoots::from_lookup(|name| {
            pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into())
        })
    }

    #[test]
    fn the_cache_follows_the_most_specific_variable() {
        let all = [("QUANTBENCH_CACHE", "/q"), ("XDG_CACHE_HOME", "/x"), ("HOME", "/h")];
        assert_eq!(roots(&all).cache, Path::new("/q"));
        assert_eq!(roots(&all[1..]).cache, Path::new("/x/quantbench"));
        assert_eq!(roots(&all[2..]).cache, Path::new("/h/.cache/quantbench"));
        assert_eq!(roots(&[]).cache, std::env::temp_dir().join("quantbench"));
    }

    #[test]
    fn files_are_found_in_order_and_before_directories() {
        let temp = tempfile::tempdir().unwrap();
        let (one, two) = (temp.path().join("one"), temp.path().join("two"));
        std::fs::create_dir_all(one.join("x.bin")).unwrap();
        std::fs::create_dir_all(two.join("data")).unwrap();
        std::fs::write(two.join("data/x.bin"), b"x").unwrap();
        let list = std::env::join_paths([&one, &two]).unwrap();
        let found = roots(&[("QUANTBENCH_DATA", list.to_str().unwrap()), ("HOME", "/nowhere")]);
        assert_eq!(found.dirs, [one.clone(), two.clone()]);
        assert_eq!(found.find("x.bin"), Some(two.join("data/x.bin")));
        std::fs::remove_file(two.join("data/x.bin")).unwrap();
        assert_eq!(found.find("x.bin"), Some(one.join("x.bin")));
        assert_eq!(found.find("y.bin"), None);
    }
}
