//! A CPU with fewer instructions than this one: ONNX Runtime on kernels of AVX2.
//!
//! ONNX Runtime has no switch for its instruction set; it asks the CPU. Under
//! `QUANTBENCH_ISA=avx2` a private copy of the library is loaded whose CPUID instructions are
//! illegal ones, and a handler answers them with the bits of wider instructions masked. It acts at
//! the recorded addresses of that copy alone; every other fault keeps its default. The user's own
//! library is never changed, and one whose CPUID instructions are not known is refused.
//!
//! *Invariant*: nothing here runs unless the variable is set, and the process that sets it is capped
//! to its end.

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod handler;
mod known;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use quantbench_core::hash::sha256_hex;

use crate::error::RuntimeError;
use known::Known;

/// The variable that asks for it.
pub const ISA_VARIABLE: &str = "QUANTBENCH_ISA";

/// The only instruction set that can be asked for.
pub const AVX2: &str = "avx2";

/// Whether this process is to run on AVX2.
///
/// # Errors
/// [`RuntimeError::Cap`]: the variable asks for something else.
pub fn asked() -> Result<bool, RuntimeError> {
    match std::env::var(ISA_VARIABLE) {
        Err(_) => Ok(false),
        Ok(value) if value.is_empty() => Ok(false),
        Ok(value) if value == AVX2 => Ok(true),
        Ok(value) => Err(RuntimeError::Cap {
            reason: format!(
                "{ISA_VARIABLE}={value}: {value:?} cannot be asked for; expected {AVX2:?}, or no \
                 such variable for the CPU as it is"
            ),
        }),
    }
}

/// The copy of a library to load in its place, made if need be, with the handler in place.
///
/// # Errors
/// [`RuntimeError::Cap`]: not on this system, a library that is not known, or a copy that cannot be
/// written.
pub(crate) fn capped(path: &Path) -> Result<PathBuf, RuntimeError> {
    let fail = |reason: String| RuntimeError::Cap { reason };
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        return Err(fail(format!("{ISA_VARIABLE}: only possible on x86-64 Linux")));
    }
    let unreadable = |error: std::io::Error| fail(format!("{}: {error}", path.display()));
    let mut bytes = std::fs::read(path).map_err(unreadable)?;
    let Some(known) = Known::of(&sha256_hex(&bytes)) else {
        return Err(fail(format!(
            "{}: its CPUID instructions are not known, so it cannot be capped; known: {}; take \
             that one (scripts/fetch-runtime), or add a line with scripts/find-cpuid-sites",
            path.display(),
            Known::names()
        )));
    };
    known.patch(&mut bytes).map_err(|at| {
        fail(format!("{}: no CPUID instruction at {at:#x} of the file", path.display()))
    })?;
    let copy = cache_folder().and_then(|folder| keep(&bytes, &folder)).map_err(fail)?;
    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    handler::install(&copy, &known.sites).map_err(fail)?;
    Ok(copy)
}

/// Writes the patched bytes once, named by their hash; a file that holds them already is used.
fn keep(bytes: &[u8], folder: &Path) -> Result<PathBuf, String> {
    let file = folder.join(format!("{}.so", &sha256_hex(bytes)[..32]));
    if holds(&file, bytes) {
        return Ok(file);
    }
    let failed = |error: std::io::Error| format!("cannot write {}: {error}", file.display());
    std::fs::create_dir_all(folder).map_err(failed)?;
    let part = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
    std::fs::write(part.path(), bytes).map_err(failed)?;
    put(part, &file, bytes).map_err(failed)?;
    Ok(file)
}

fn holds(file: &Path, bytes: &[u8]) -> bool {
    std::fs::read(file).is_ok_and(|there| there == bytes)
}

/// Gives the copy its name, unless another process was first: a copy that is mapped somewhere must
/// keep its name there, because the handler knows it by that. One that is damaged is replaced.
fn put(part: tempfile::NamedTempFile, file: &Path, bytes: &[u8]) -> std::io::Result<()> {
    match part.persist_noclobber(file) {
        Err(_) if holds(file, bytes) => Ok(()),
        Err(error) => error.file.persist(file).map(drop).map_err(|error| error.error),
        Ok(_) => Ok(()),
    }
}

fn cache_folder() -> Result<PathBuf, String> {
    let variable = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let cache = variable("XDG_CACHE_HOME").or_else(|| Some(variable("HOME")?.join(".cache")));
    let cache = cache.ok_or("neither XDG_CACHE_HOME nor HOME says where a copy could be kept")?;
    Ok(cache.join("quantbench").join("capped"))
}
