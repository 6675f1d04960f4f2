//! Signals: Ctrl-C asks the run to stop; a file-size limit is an error, not a death.
#![allow(unsafe_code)] // Two calls of signal(2), which the standard library does not offer.

use std::sync::atomic::{AtomicBool, Ordering};

/// Set by the first Ctrl-C or termination request.
pub static INTERRUPTED: AtomicBool = AtomicBool::new(false);

#[cfg(unix)]
extern "C" fn note(_signal: libc::c_int) {
    // A second request must not wait: the default action is restored.
    if INTERRUPTED.swap(true, Ordering::SeqCst) {
        // SAFETY: _exit is async-signal-safe.
        unsafe { libc::_exit(130) };
    }
}

/// Turns Ctrl-C and termination into [`INTERRUPTED`].
pub fn catch_interrupts() {
    #[cfg(unix)]
    // SAFETY: the handler only touches an atomic and calls _exit, both async-signal-safe.
    unsafe {
        let handler = note as extern "C" fn(libc::c_int) as libc::sighandler_t;
        libc::signal(libc::SIGINT, handler);
        libc::signal(libc::SIGTERM, handler);
    }
}

/// Makes a write beyond RLIMIT_FSIZE return an error, as a full disk does.
pub fn survive_full_files() {
    #[cfg(unix)]
    // SAFETY: ignoring a signal has no preconditions.
    unsafe {
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
    }
}
