//! Who holds a claim or a half-written file: a process of a machine.

use std::fs;
use std::sync::OnceLock;

use quantbench_core::hash::sha256_hex;
use serde::{Deserialize, Serialize};

/// A process, told apart from a later one that got the same number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Owner {
    /// Name of the machine, with the identity of its boot and of the container's processes.
    pub host: String,
    /// Number of the process.
    pub pid: u32,
    /// Start of the process in clock ticks since boot, where the system tells.
    pub start: Option<u64>,
}

impl Owner {
    /// This process.
    pub fn me() -> &'static Self {
        static ME: OnceLock<Owner> = OnceLock::new();
        ME.get_or_init(|| {
            let pid = std::process::id();
            Owner { host: host(), pid, start: state_and_start(pid).map(|(_, start)| start) }
        })
    }

    /// Whether the process runs; `None` if that cannot be told from here.
    pub fn is_alive(&self) -> Option<bool> {
        let me = Self::me();
        if self.host != me.host || self.start.is_none() || me.start.is_none() {
            return None;
        }
        // A killed process whose parent has not yet looked stays in the table as a zombie (Z).
        Some(match state_and_start(self.pid) {
            Some((state, start)) => Some(start) == self.start && !matches!(state, 'Z' | 'X'),
            None => false,
        })
    }

    /// Sixteen digits that stand for the machine in file names.
    pub fn host_digest(&self) -> String {
        sha256_hex(self.host.as_bytes())[..16].to_string()
    }

    /// For messages.
    pub fn described(&self) -> String {
        let name = self.host.split('/').next().unwrap_or_default();
        format!("process {} on {name}", self.pid)
    }
}

fn host() -> String {
    let read = |path: &str| fs::read_to_string(path).map(|t| t.trim().to_string()).ok();
    let name = read("/proc/sys/kernel/hostname").or_else(|| std::env::var("HOSTNAME").ok());
    let boot = read("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let space = fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    format!("{}/{boot}/{}", name.unwrap_or_else(|| "unknown".into()), space.display())
}

/// State letter and start time of a process from `/proc/<pid>/stat`, fields 3 and 22.
fn state_and_start(pid: u32) -> Option<(char, u64)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may itself hold spaces and parentheses.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?.chars().next()?;
    Some((state, fields.nth(18)?.parse().ok()?))
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;

    #[test]
    fn living_dead_zombie_recycled_and_foreign_processes() {
        let me = Owner::me();
        assert_eq!(me.is_alive(), Some(true));
        assert_eq!(Owner { start: Some(1), ..me.clone() }.is_alive(), Some(false));
        assert_eq!(Owner { host: "other".into(), ..me.clone() }.is_alive(), None);
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let start = state_and_start(child.id()).map(|(_, s)| s);
        let owner = Owner { host: me.host.clone(), pid: child.id(), start };
        assert_eq!(owner.is_alive(), Some(true));
        child.kill().unwrap();
        // Until `wait` the killed child is a zombie.
        while owner.is_alive() == Some(true) {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        child.wait().unwrap();
        assert_eq!(owner.is_alive(), Some(false));
    }
}
