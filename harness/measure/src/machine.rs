//! The machine that a number was observed on.

use quantbench_core::row::Machine;

/// Describes this machine as far as the system tells.
///
/// `cores` counts the logical cores that this process may use: the affinity mask and, on Linux,
/// the CPU quota of the control group are respected.
/// `memory_mib` is the machine's physical memory and 0 if unknown; an unknown CPU is named
/// `unknown`; `governor` is none on macOS and on most virtual machines.
pub fn machine() -> Machine {
    Machine {
        platform: format!("{} {}", std::env::consts::ARCH, std::env::consts::OS),
        cpu: crate::procfs::cpu_name()
            .or_else(crate::sys::cpu_name)
            .unwrap_or_else(|| "unknown".to_string()),
        cores: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        memory_mib: crate::sys::memory_mib(),
        isa: crate::isa::isa_features(),
        governor: crate::procfs::governor(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_cores_memory_and_a_name() {
        let machine = machine();
        assert!(machine.cores >= 1);
        assert!(machine.memory_mib > 64, "{machine:?}");
        assert!(machine.platform.contains(std::env::consts::ARCH), "{machine:?}");
        assert!(!machine.cpu.is_empty());
    }
}
