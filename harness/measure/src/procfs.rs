//! What the Linux kernel tells in `/proc` and `/sys`; nothing on other systems.

use std::fs;

/// Resident memory of this process now and at its highest, in KiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Resident {
    /// `VmRSS`.
    pub(crate) now_kib: u64,
    /// `VmHWM`, since the start of the process or the last [`reset_peak`].
    pub(crate) peak_kib: u64,
}

/// Reads the resident memory of this process; `None` where there is no `/proc`.
pub(crate) fn resident() -> Option<Resident> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    Some(Resident { now_kib: kib(&status, "VmRSS:")?, peak_kib: kib(&status, "VmHWM:")? })
}

/// Sets the peak of this process back to what it holds now; whether that worked.
pub(crate) fn reset_peak() -> bool {
    fs::write("/proc/self/clear_refs", "5").is_ok()
}

/// Whether the kernel lists this flag for the first CPU.
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
pub(crate) fn has_cpu_flag(flag: &str) -> bool {
    cpuinfo(&fs::read_to_string("/proc/cpuinfo").unwrap_or_default(), "flags")
        .is_some_and(|flags| flags.split_whitespace().any(|f| f == flag))
}

/// Name of the CPU as the kernel gives it.
pub(crate) fn cpu_name() -> Option<String> {
    name_in(&fs::read_to_string("/proc/cpuinfo").ok()?)
}

/// Mean number of runnable processes over the last minute; none where the system does not tell.
pub fn load() -> Option<f64> {
    fs::read_to_string("/proc/loadavg").ok()?.split_whitespace().next()?.parse().ok()
}

/// Frequency governor of the first CPU; virtual machines often have none.
pub(crate) fn governor() -> Option<String> {
    let text = fs::read_to_string("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor").ok()?;
    Some(text.trim().to_string()).filter(|t| !t.is_empty())
}

/// `model name`, or implementer and part where the kernel knows numbers only (most of AArch64).
fn name_in(text: &str) -> Option<String> {
    cpuinfo(text, "model name").map(str::to_string).or_else(|| {
        let implementer = cpuinfo(text, "CPU implementer")?;
        let part = cpuinfo(text, "CPU part")?;
        Some(format!("Arm implementer {implementer} part {part}"))
    })
}

/// First value of a key in the text of `/proc/cpuinfo`.
fn cpuinfo<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(k, _)| k.trim() == key)
        .map(|(_, value)| value.trim())
        .filter(|value| !value.is_empty())
}

/// A value of `/proc/self/status` in KiB.
fn kib(status: &str, key: &str) -> Option<u64> {
    status
        .lines()
        .find_map(|line| line.strip_prefix(key))
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(|number| number.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_lines_are_read_by_their_key() {
        let status = "VmPeak:\t 99 kB\nVmHWM:\t    1688 kB\nVmRSS:\t    1600 kB\n";
        assert_eq!(kib(status, "VmHWM:"), Some(1688));
        assert_eq!(kib(status, "VmRSS:"), Some(1600));
        assert_eq!(kib(status, "VmSwap:"), None);
    }

    #[test]
    fn cpu_names_of_both_architectures() {
        let x86 = "processor\t: 0\nmodel name\t: AMD EPYC 9B45\nflags\t\t: fpu avx2\n";
        assert_eq!(name_in(x86).as_deref(), Some("AMD EPYC 9B45"));
        let arm = "processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd40\n";
        assert_eq!(name_in(arm).as_deref(), Some("Arm implementer 0x41 part 0xd40"));
        assert_eq!(name_in(""), None);
    }
}
