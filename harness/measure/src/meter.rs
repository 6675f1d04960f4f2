//! Cost of a piece of work: wall time, CPU time, peak memory.

use std::time::Instant;

use quantbench_core::row::MethodCost;

use crate::{procfs, sys};

/// Measures from [`Meter::start`] to [`Meter::stop`].
///
/// CPU time and memory are those of the whole process: a number is that of the work alone only if
/// nothing else runs in the process, which is why a timed cell has a worker of its own.
/// For the same reason two meters must not overlap: the second one's start resets the peak.
///
/// # Memory
/// Linux: the kernel's peak is reset at the start (`/proc/self/clear_refs`), so `peak_mib` is the
/// highest resident memory during the work above the resident memory at its start, exact to a few
/// pages per core.
/// Where the reset is refused (some containers), and on macOS, which offers none, the peak since
/// the start of the process stands in: `peak_mib` is then exact if the work goes above all that
/// came before it, and else 0, which reads "not more than before".
#[derive(Debug)]
pub struct Meter {
    wall: Instant,
    cpu_s: f64,
    memory: Memory,
}

/// What is known about memory at the start, in KiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Memory {
    /// The peak counts from here.
    Reset { resident: u64 },
    /// The peak counts from the start of the process and was `peak`; `resident` is held now, or
    /// the peak again where the system does not tell.
    Kept { resident: u64, peak: u64 },
}

impl Meter {
    /// Begins a measurement.
    pub fn start() -> Self {
        let reset = procfs::reset_peak();
        let memory = match procfs::resident() {
            Some(now) if reset => Memory::Reset { resident: now.now_kib },
            Some(now) => Memory::Kept { resident: now.now_kib, peak: now.peak_kib },
            None => Memory::Kept { resident: sys::peak_kib(), peak: sys::peak_kib() },
        };
        Self { wall: Instant::now(), cpu_s: sys::cpu_seconds(), memory }
    }

    /// Ends it: wall and CPU seconds, and MiB of peak memory above the start.
    pub fn stop(mut self) -> MethodCost {
        self.lap()
    }

    /// Ends one stretch of the work and begins the next. Times are those of the stretch; memory is
    /// the stretch's peak above what was held at the start of the whole.
    pub fn lap(&mut self) -> MethodCost {
        let (wall, cpu_s) = (Instant::now(), sys::cpu_seconds());
        let peak = procfs::resident().map_or_else(sys::peak_kib, |now| now.peak_kib);
        let cost = MethodCost {
            wall_s: wall.duration_since(self.wall).as_secs_f64(),
            cpu_s: (cpu_s - self.cpu_s).max(0.0),
            peak_mib: self.memory.above_start(peak) as f64 / 1024.0,
        };
        self.memory = match self.memory {
            Memory::Reset { resident } if procfs::reset_peak() => Memory::Reset { resident },
            Memory::Reset { resident } | Memory::Kept { resident, .. } => {
                Memory::Kept { resident, peak }
            }
        };
        (self.wall, self.cpu_s) = (wall, cpu_s);
        cost
    }
}

impl Memory {
    /// KiB of the peak above what was held at the start.
    fn above_start(self, peak_now: u64) -> u64 {
        match self {
            Memory::Kept { peak, .. } if peak_now <= peak => 0,
            Memory::Reset { resident } | Memory::Kept { resident, .. } => {
                peak_now.saturating_sub(resident)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// These tests measure the whole process, so they run one at a time.
    static ALONE: Mutex<()> = Mutex::new(());

    fn touch(mib: usize) -> Vec<u8> {
        let mut memory = vec![0u8; mib << 20];
        for page in memory.chunks_mut(4096) {
            page[0] = 1;
        }
        std::hint::black_box(memory)
    }

    #[test]
    fn memory_that_is_touched_is_seen_even_when_freed_before_the_end() {
        let _alone = ALONE.lock().unwrap();
        let meter = Meter::start();
        drop(touch(64));
        let cost = meter.stop();
        assert!(cost.peak_mib >= 60.0, "{cost:?}");
        assert!(cost.peak_mib < 96.0, "{cost:?}");
    }

    #[test]
    fn an_earlier_peak_does_not_count() {
        if !procfs::reset_peak() {
            println!("skipped: this system does not reset the peak of a process");
            return;
        }
        let _alone = ALONE.lock().unwrap();
        drop(touch(64));
        let cost = Meter::start().stop();
        assert!(cost.peak_mib < 30.0, "{cost:?}");
    }

    #[test]
    fn laps_have_their_own_peak_above_the_common_start() {
        if !procfs::reset_peak() {
            println!("skipped: this system does not reset the peak of a process");
            return;
        }
        let _alone = ALONE.lock().unwrap();
        let mut meter = Meter::start();
        let held = touch(32);
        drop(touch(64));
        let first = meter.lap();
        let second = meter.lap();
        drop(held);
        assert!((90.0..130.0).contains(&first.peak_mib), "{first:?}");
        assert!((30.0..60.0).contains(&second.peak_mib), "{second:?}");
        assert!(second.wall_s < first.wall_s, "{first:?}, {second:?}");
    }

    #[test]
    fn cpu_time_counts_all_threads() {
        let _alone = ALONE.lock().unwrap();
        let meter = Meter::start();
        let spin = || {
            let start = sys::cpu_seconds();
            let mut x = 1u64;
            while sys::cpu_seconds() - start < 0.05 {
                x = std::hint::black_box(x.wrapping_mul(3));
            }
        };
        std::thread::spawn(spin).join().unwrap();
        let cost = meter.stop();
        assert!(cost.cpu_s >= 0.05, "{cost:?}");
        assert!(cost.wall_s > 0.0, "{cost:?}");
    }

    #[test]
    fn without_a_reset_only_a_new_peak_counts() {
        let start = Memory::Kept { resident: 100, peak: 300 };
        assert_eq!(start.above_start(300), 0);
        assert_eq!(start.above_start(400), 300);
        assert_eq!(Memory::Reset { resident: 100 }.above_start(300), 200);
    }
}
