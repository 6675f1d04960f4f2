//! Asks a library file whether it is ONNX Runtime, and which, before `ort` sees it.
//!
//! `ort` panics on a library that offers no interface of the wanted version, and reports a few
//! other cases without the reason; here each is an error of its own.
#![allow(unsafe_code)]

use std::ffi::CStr;
use std::path::Path;

use crate::error::{RuntimeError, one_line};

/// A library that passed the check; while this lives, it stays loaded.
pub(crate) struct Checked {
    /// Its version, for example `1.32.0`.
    pub(crate) version: String,
    _library: libloading::Library,
}

/// Loads the file and asks for its version; [`ort::MINOR_VERSION`] is the oldest that will do.
///
/// # Errors
/// The file is missing, no file, no library, not ONNX Runtime, or too old.
pub(crate) fn check(path: &Path) -> Result<Checked, RuntimeError> {
    let path_buf = || path.to_path_buf();
    match std::fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(RuntimeError::Missing { path: path_buf() });
        }
        Err(error) => {
            let reason = one_line(&error.to_string());
            return Err(RuntimeError::NotALibrary { path: path_buf(), reason });
        }
        Ok(meta) if !meta.is_file() => return Err(RuntimeError::NotAFile { path: path_buf() }),
        Ok(_) => {}
    }
    let wrong = |reason: &str| RuntimeError::WrongLibrary {
        path: path.to_path_buf(),
        reason: reason.to_string(),
    };

    // SAFETY: loading a library runs its initialisers. The user named this file as the runtime
    // (or `scripts/fetch-runtime` put it there after checking its hash); there is no way to use
    // it without running its code.
    let library = unsafe { libloading::Library::new(path) }.map_err(|error| {
        RuntimeError::NotALibrary { path: path_buf(), reason: one_line(&error.to_string()) }
    })?;
    // SAFETY: this is the published signature of the symbol; another library's symbol of the same
    // name is beyond what can be told from outside.
    let entry = unsafe {
        library.get::<unsafe extern "system" fn() -> *const ort::sys::OrtApiBase>(b"OrtGetApiBase")
    }
    .map_err(|_| wrong("it does not export OrtGetApiBase"))?;
    // SAFETY: the function takes nothing and returns a pointer to a static structure, or null.
    let Some(base) = (unsafe { entry().as_ref() }) else {
        return Err(wrong("its OrtGetApiBase returns nothing"));
    };
    // SAFETY: both members are functions that every version of ONNX Runtime sets; the version is
    // a static C string, or null.
    let version = unsafe { (base.GetVersionString)() };
    if version.is_null() {
        return Err(wrong("it states no version"));
    }
    // SAFETY: not null, and a C string by the interface's contract.
    let version = unsafe { CStr::from_ptr(version) }.to_string_lossy().into_owned();
    // SAFETY: takes a number and returns a pointer to a static structure, or null for a version
    // that the library does not know; the pointer is not followed.
    let known = !unsafe { (base.GetApi)(ort::MINOR_VERSION) }.is_null();
    if !known || !new_enough(&version, ort::MINOR_VERSION) {
        return Err(RuntimeError::TooOld {
            path: path_buf(),
            version,
            minimum: ort::MINOR_VERSION,
        });
    }
    Ok(Checked { version, _library: library })
}

/// Whether `version` is 1.x with x of at least `minimum`.
fn new_enough(version: &str, minimum: u32) -> bool {
    let mut parts = version.split('.').map(|p| p.parse::<u32>().ok());
    parts.next() == Some(Some(1)) && parts.next().flatten().is_some_and(|minor| minor >= minimum)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn refused(path: &Path) -> RuntimeError {
        match check(path) {
            Ok(checked) => panic!("{} was accepted as {}", path.display(), checked.version),
            Err(error) => error,
        }
    }

    /// Compiles a library from C; `None`, with the reason printed, where there is no compiler.
    fn compiled(folder: &Path, name: &str, source: &str) -> Option<PathBuf> {
        let (code, library) = (folder.join(format!("{name}.c")), folder.join(format!("{name}.so")));
        std::fs::write(&code, source).unwrap();
        let done = std::process::Command::new("cc")
            .args(["-shared", "-fPIC", "-o"])
            .args([&library, &code])
            .status();
        match done {
            Ok(status) if status.success() => Some(library),
            other => {
                println!("skipped: cc cannot build a library here ({other:?})");
                None
            }
        }
    }

    /// C source of a library whose `OrtGetApiBase` states a version and knows no interface.
    fn shim(version: &str) -> String {
        format!(
            "static const void *api(unsigned v) {{ return (void *)0; }}
             static const char *version(void) {{ return {version}; }}
             static const struct {{ const void *(*a)(unsigned); const char *(*v)(void); }}
                 base = {{ api, version }};
             const void *OrtGetApiBase(void) {{ return &base; }}"
        )
    }

    #[test]
    fn missing_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("libonnxruntime.so");
        assert_eq!(refused(&path), RuntimeError::Missing { path: path.clone() });
        let message = refused(&path).to_string();
        assert!(message.contains("does not exist; run scripts/fetch-runtime"), "{message}");
    }

    #[test]
    fn a_directory() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_path_buf();
        assert_eq!(refused(&path), RuntimeError::NotAFile { path: path.clone() });
        assert!(refused(&path).to_string().contains("is not a file, expected the library file"));
    }

    #[test]
    fn a_file_that_is_not_a_library() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("libonnxruntime.so");
        for content in [&b""[..], b"not a library at all", &[0x7f, b'E', b'L', b'F', 2, 1, 1, 0]] {
            std::fs::write(&path, content).unwrap();
            let error = refused(&path);
            let RuntimeError::NotALibrary { reason, .. } = &error else { panic!("{error}") };
            assert!(!reason.is_empty() && !reason.contains('\n'), "{reason}");
        }
    }

    #[test]
    fn a_library_that_is_not_onnx_runtime() {
        let folder = tempfile::tempdir().unwrap();
        let Some(path) = compiled(folder.path(), "other", "int answer(void) { return 42; }") else {
            return;
        };
        let error = refused(&path);
        assert!(matches!(error, RuntimeError::WrongLibrary { .. }), "{error}");
        assert!(error.to_string().contains("does not export OrtGetApiBase"), "{error}");
    }

    #[test]
    fn the_c_library_is_not_onnx_runtime() {
        let paths = ["/lib/x86_64-linux-gnu/libm.so.6", "/lib/aarch64-linux-gnu/libm.so.6"];
        match paths.iter().map(Path::new).find(|p| p.is_file()) {
            Some(path) => {
                let error = refused(path);
                assert!(matches!(error, RuntimeError::WrongLibrary { .. }), "{error}");
            }
            None => println!("skipped: no libm where Debian keeps it"),
        }
    }

    #[test]
    fn libraries_that_state_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let null = "const void *OrtGetApiBase(void) { return (void *)0; }";
        for (name, source) in [("null", null.to_string()), ("silent", shim("(const char *)0"))] {
            let Some(path) = compiled(folder.path(), name, &source) else { return };
            let error = refused(&path);
            assert!(matches!(error, RuntimeError::WrongLibrary { .. }), "{name}: {error}");
        }
    }

    #[test]
    fn a_library_that_is_too_old() {
        let folder = tempfile::tempdir().unwrap();
        // The last one is new by its own word, but knows no interface of ours.
        for (name, version) in [("old", "1.10.0"), ("odd", "banana"), ("liar", "1.99.0")] {
            let Some(path) = compiled(folder.path(), name, &shim(&format!("\"{version}\""))) else {
                return;
            };
            let minimum = ort::MINOR_VERSION;
            let expected =
                RuntimeError::TooOld { path: path.clone(), version: version.into(), minimum };
            assert_eq!(refused(&path), expected);
            let message = refused(&path).to_string();
            let words = format!("is ONNX Runtime {version}, expected 1.23 or newer");
            assert!(message.contains(&words), "{message}");
        }
    }

    #[test]
    fn versions_compare_by_number() {
        for (version, fits) in [
            ("1.23.0", true),
            ("1.100.0", true),
            ("1.22.9", false),
            ("1.9.0", false),
            ("2.30.0", false),
            ("1", false),
            ("", false),
        ] {
            assert_eq!(new_enough(version, 23), fits, "{version}");
        }
    }
}
