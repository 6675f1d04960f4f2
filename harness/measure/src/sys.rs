//! The few questions that only the C library answers.
#![allow(unsafe_code)]

/// CPU seconds of this process so far, user and system, over all its threads, ended ones
/// included; 0 if the system does not tell.
pub(crate) fn cpu_seconds() -> f64 {
    usage(libc::RUSAGE_SELF).map_or(0.0, |u| seconds(u.ru_utime) + seconds(u.ru_stime))
}

/// Highest resident memory of this process since its start in KiB; it cannot be reset.
pub(crate) fn peak_kib() -> u64 {
    usage(libc::RUSAGE_SELF).map_or(0, |u| resident_kib(&u))
}

/// CPU seconds of all children that were waited for, and the highest resident memory of one of
/// them in KiB.
pub(crate) fn children() -> (f64, u64) {
    usage(libc::RUSAGE_CHILDREN)
        .map_or((0.0, 0), |u| (seconds(u.ru_utime) + seconds(u.ru_stime), resident_kib(&u)))
}

fn resident_kib(usage: &libc::rusage) -> u64 {
    // macOS counts in bytes, Linux in KiB.
    let unit = if cfg!(target_os = "macos") { 1024 } else { 1 };
    u64::try_from(usage.ru_maxrss).unwrap_or(0) / unit
}

/// Physical memory of the machine in MiB; 0 if the system does not tell.
pub(crate) fn memory_mib() -> u64 {
    let ask = |what| {
        // SAFETY: `sysconf` takes no pointer and has no precondition; -1 means "not known".
        u64::try_from(unsafe { libc::sysconf(what) }).unwrap_or(0)
    };
    ask(libc::_SC_PHYS_PAGES).saturating_mul(ask(libc::_SC_PAGESIZE)) >> 20
}

/// Name of the CPU on macOS.
#[cfg(target_os = "macos")]
pub(crate) fn cpu_name() -> Option<String> {
    let mut buffer = [0u8; 256];
    let mut length = buffer.len();
    // SAFETY: the name is a C string, `buffer` has `length` writable bytes, and the system writes
    // at most that many; the last two arguments say that nothing is set.
    let failed = unsafe {
        libc::sysctlbyname(
            c"machdep.cpu.brand_string".as_ptr(),
            buffer.as_mut_ptr().cast(),
            &raw mut length,
            std::ptr::null_mut(),
            0,
        )
    };
    let text = std::ffi::CStr::from_bytes_until_nul(&buffer).ok()?.to_str().ok()?;
    Some(text.to_string()).filter(|t| failed == 0 && !t.is_empty())
}

/// Name of the CPU from the C library: none outside macOS.
#[cfg(not(target_os = "macos"))]
pub(crate) fn cpu_name() -> Option<String> {
    None
}

/// Whose use: `RUSAGE_SELF` or `RUSAGE_CHILDREN`.
fn usage(whose: libc::c_int) -> Option<libc::rusage> {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::uninit();
    // SAFETY: `usage` points to writable memory of the right type.
    let failed = unsafe { libc::getrusage(whose, usage.as_mut_ptr()) };
    // SAFETY: on success `getrusage` has filled in the whole structure.
    (failed == 0).then(|| unsafe { usage.assume_init() })
}

fn seconds(time: libc::timeval) -> f64 {
    time.tv_sec as f64 + time.tv_usec as f64 * 1e-6
}
