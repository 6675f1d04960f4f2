//! The loaded ONNX Runtime library.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

use crate::cap;
use crate::error::{RuntimeError, one_line};
use crate::library;

/// ONNX Runtime, loaded once per process.
///
/// Version 1.23 is the oldest that will do; `scripts/runtime.lock` pins the one that published
/// results were made with.
#[derive(Debug)]
pub struct Runtime {
    version: String,
    path: PathBuf,
    environment: ort::environment::Environment,
}

impl Runtime {
    /// Finds the library without loading it: the file that `ORT_DYLIB_PATH` names, else the newest
    /// `libonnxruntime` in `.runtime/` of the current folder or the nearest of its ancestors, else
    /// of the executable's.
    ///
    /// # Errors
    /// None is there; the message lists where it was looked for.
    pub fn locate() -> Result<PathBuf, RuntimeError> {
        let mut folders: Vec<PathBuf> = std::env::current_dir().into_iter().collect();
        folders
            .extend(std::env::current_exe().ok().and_then(|exe| Some(exe.parent()?.to_path_buf())));
        crate::locate::locate(std::env::var_os("ORT_DYLIB_PATH").as_deref(), &folders)
    }

    /// Loads the library that [`Runtime::locate`] finds, on the first call; later calls give the
    /// same one. A failed call may be repeated once its reason is gone.
    ///
    /// # Errors
    /// There is none, or it is not ONNX Runtime, too old, or does not start. Never a panic.
    pub fn load() -> Result<&'static Runtime, RuntimeError> {
        static LOADED: OnceLock<Runtime> = OnceLock::new();
        static LOADING: Mutex<()> = Mutex::new(());

        if let Some(runtime) = LOADED.get() {
            return Ok(runtime);
        }
        let _one_at_a_time = LOADING.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(runtime) = LOADED.get() {
            return Ok(runtime);
        }
        let runtime = Self::start(&Self::locate()?)?;
        Ok(LOADED.get_or_init(|| runtime))
    }

    /// The version of the library at `path`, which is loaded for the question but not started.
    ///
    /// # Errors
    /// It is missing, no file, no library, not ONNX Runtime, or too old.
    pub fn check(path: &Path) -> Result<String, RuntimeError> {
        library::check(path).map(|checked| checked.version)
    }

    /// Version of the library, for example `1.32.0`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The library file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The environment of `ort`, for a benchmark that drives `ort` itself beside this room.
    #[doc(hidden)]
    pub fn environment(&self) -> &ort::environment::Environment {
        &self.environment
    }

    fn start(path: &Path) -> Result<Runtime, RuntimeError> {
        // `ort` reads a relative path from the executable's folder; ours is from the current one.
        let mut path = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
        if cap::asked()? {
            path = cap::capped(&path)?;
        }
        let checked = library::check(&path)?;
        let failed =
            |reason: String| RuntimeError::Start { path: path.clone(), reason: one_line(&reason) };
        let environment = ort::init_from(&path)
            .map_err(|error| failed(format!("{error:?}")))?
            .with_name("quantbench")
            .with_telemetry(false)
            .build()
            .map_err(|error| failed(error.to_string()))?;
        Ok(Runtime { version: checked.version, path, environment })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loading_twice_gives_the_same_library() {
        let Some(runtime) = crate::testing::runtime() else { return };
        let again = Runtime::load().unwrap();
        assert!(std::ptr::eq(runtime, again));
        assert!(runtime.path().is_absolute());
        assert_eq!(Runtime::check(runtime.path()).unwrap(), runtime.version());
        assert!(runtime.version().starts_with("1."), "{}", runtime.version());
    }
}
