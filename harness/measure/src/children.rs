//! What the processes that this one started have used.

use crate::sys;

/// CPU time and memory of the children that have ended and were waited for, with their own.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Children {
    cpu_s: f64,
    peak_kib: u64,
}

/// The use of all children so far.
pub fn children() -> Children {
    let (cpu_s, peak_kib) = sys::children();
    Children { cpu_s, peak_kib }
}

impl Children {
    /// CPU seconds since an earlier look, and MiB of the largest child ever.
    ///
    /// The system keeps the peak of the largest process among all children and not of their sum;
    /// it is that of the last child if this process started only one.
    pub fn since(&self, earlier: &Children) -> (f64, f64) {
        ((self.cpu_s - earlier.cpu_s).max(0.0), self.peak_kib as f64 / 1024.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_childs_work_is_counted_once_it_has_ended() {
        let before = children();
        let script = "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done";
        assert!(std::process::Command::new("sh").args(["-c", script]).status().unwrap().success());
        let (cpu_s, peak_mib) = children().since(&before);
        assert!(cpu_s > 0.0, "{cpu_s}");
        assert!(peak_mib > 0.1, "{peak_mib}");
    }
}
