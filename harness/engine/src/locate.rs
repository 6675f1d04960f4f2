//! Where the runtime library lies.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use crate::error::RuntimeError;

/// The folder that `scripts/fetch-runtime` fills.
const FOLDER: &str = ".runtime";

/// Finds the library: the variable's value if it is set, else the newest library in `.runtime/`
/// of the first of the folders or their ancestors, nearest first, that has one.
pub(crate) fn locate(
    variable: Option<&OsStr>,
    folders: &[PathBuf],
) -> Result<PathBuf, RuntimeError> {
    if let Some(path) = variable.filter(|v| !v.is_empty()).map(PathBuf::from) {
        if !path.exists() {
            return Err(RuntimeError::Missing { path });
        }
        return if path.is_file() { Ok(path) } else { Err(RuntimeError::NotAFile { path }) };
    }
    let mut looked: Vec<PathBuf> = Vec::new();
    for folder in folders.iter().flat_map(|f| f.ancestors()).map(|f| f.join(FOLDER)) {
        if looked.contains(&folder) {
            continue;
        }
        if let Some(library) = newest_in(&folder) {
            return Ok(library);
        }
        looked.push(folder);
    }
    Err(RuntimeError::NotFound { looked })
}

/// The library with the highest version in its name.
fn newest_in(folder: &Path) -> Option<PathBuf> {
    std::fs::read_dir(folder)
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.is_file())
        .filter_map(|path| Some((version_in(path.file_name()?.to_str()?)?, path)))
        .max()
        .map(|(_, path)| path)
}

/// The version in `libonnxruntime.so.1.32.0`, `libonnxruntime.1.32.0.dylib` or `onnxruntime.dll`
/// (none: it sorts before all others); `None` for any other file, such as its provider libraries.
fn version_in(name: &str) -> Option<Vec<u32>> {
    let mut rest =
        name.strip_prefix("lib").unwrap_or(name).strip_prefix("onnxruntime.")?.split('.');
    let is_library = rest.clone().any(|part| matches!(part, "so" | "dylib" | "dll"));
    is_library.then(|| rest.by_ref().filter_map(|part| part.parse().ok()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with the given empty files, as paths below it.
    fn tree(files: &[&str]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for file in files {
            let path = root.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        root
    }

    #[test]
    fn the_newest_library_wins_by_number() {
        let root = tree(&[
            ".runtime/libonnxruntime.so.1.9.0",
            ".runtime/libonnxruntime.so.1.32.0",
            ".runtime/libonnxruntime.so.1.31.1",
            ".runtime/libonnxruntime_providers_shared.so",
            ".runtime/wheel",
        ]);
        let found = locate(None, &[root.path().to_path_buf()]).unwrap();
        assert_eq!(found, root.path().join(".runtime/libonnxruntime.so.1.32.0"));
    }

    #[test]
    fn the_nearest_ancestor_wins_over_a_newer_one_above() {
        let root = tree(&[
            ".runtime/libonnxruntime.1.32.0.dylib",
            "a/.runtime/libonnxruntime.1.31.0.dylib",
            "a/b/file",
        ]);
        let found = locate(None, &[root.path().join("a/b")]).unwrap();
        assert_eq!(found, root.path().join("a/.runtime/libonnxruntime.1.31.0.dylib"));
    }

    #[test]
    fn the_variable_wins_and_an_empty_one_does_not_count() {
        let root = tree(&[".runtime/libonnxruntime.so.1.32.0", "mine.so"]);
        let folders = [root.path().to_path_buf()];
        let mine = root.path().join("mine.so");
        assert_eq!(locate(Some(mine.as_os_str()), &folders).unwrap(), mine);
        let found = locate(Some(OsStr::new("")), &folders).unwrap();
        assert!(found.ends_with("libonnxruntime.so.1.32.0"));
    }

    #[test]
    fn a_variable_that_names_nothing_is_an_error_even_if_a_library_lies_near() {
        let root = tree(&[".runtime/libonnxruntime.so.1.32.0"]);
        let folders = [root.path().to_path_buf()];
        let gone = root.path().join("gone.so");
        let error = locate(Some(gone.as_os_str()), &folders).unwrap_err();
        assert!(error.to_string().contains("ORT_DYLIB_PATH names"), "{error}");
        let error = locate(Some(root.path().as_os_str()), &folders).unwrap_err();
        assert_eq!(error, RuntimeError::NotAFile { path: root.path().to_path_buf() });
    }

    #[test]
    fn without_one_the_error_lists_each_folder_once_and_says_what_to_do() {
        let root = tree(&["a/b/file", ".runtime/libonnxruntime_providers_shared.so"]);
        let folders = [root.path().join("a/b"), root.path().join("a")];
        let error = locate(None, &folders).unwrap_err();
        let RuntimeError::NotFound { looked } = &error else { panic!("{error}") };
        assert_eq!(looked[0], root.path().join("a/b/.runtime"));
        assert_eq!(looked.iter().filter(|p| **p == root.path().join("a/.runtime")).count(), 1);
        let message = error.to_string();
        assert!(message.contains("scripts/fetch-runtime"), "{message}");
        assert!(message.contains("ORT_DYLIB_PATH"), "{message}");
    }
}
