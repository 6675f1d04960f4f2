//! Running a command: its surroundings, its time, and its end with all that it started.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use thiserror::Error;

use crate::external::Launch;
use crate::external::confine::{Allowed, enter};
use crate::run::child::{described, last_lines};

/// How often a running command is looked after.
const TICK: Duration = Duration::from_millis(10);

/// Variables that a command inherits where they are set; all others are taken away.
const INHERITED: [&str; 3] = ["PATH", "LANG", "LD_LIBRARY_PATH"];

/// Variables by which libraries learn how many threads they may use.
const THREADS: [&str; 5] = [
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "RAYON_NUM_THREADS",
];

/// A command that did not do its work.
#[derive(Debug, Error)]
pub enum ProcessError {
    /// There is no such program.
    #[error("{0}")]
    NotFound(String),
    /// It cannot be started, or its surroundings cannot be made.
    #[error("{what}: {source}")]
    Start {
        /// What was tried.
        what: String,
        /// The reason of the operating system.
        source: io::Error,
    },
    /// It cannot be confined to what it was granted.
    #[error("cannot confine the command to what it was granted: {0}")]
    Confine(String),
    /// It ended badly.
    #[error("the command {end}{words}")]
    Ended {
        /// How.
        end: String,
        /// Its last words.
        words: String,
    },
    /// It took too long.
    #[error("the command was ended after its limit of {limit_s} s (timeout_s on its card){words}")]
    Timeout {
        /// Seconds.
        limit_s: u64,
        /// Its last words.
        words: String,
    },
}

/// A command about to run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Order<'a> {
    pub(super) launch: &'a Launch,
    /// Where it works; removed by the caller.
    pub(super) folder: &'a Path,
    /// Where its output goes.
    pub(super) log: &'a Path,
    pub(super) threads: usize,
    pub(super) allowed: &'a Allowed,
}

/// Group and folder of the command that runs now: a worker runs one at a time.
static RUNNING: Mutex<Option<(u32, PathBuf)>> = Mutex::new(None);

/// Ends the command that runs now, if any, and removes its folder: this process is about to go.
pub(crate) fn abandon() {
    let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((group, folder)) = running.take() {
        end_group(group);
        let _ = std::fs::remove_dir_all(folder);
        // Whoever waits for the command stays where it is, and neither removes the folder at the
        // same time nor makes a row of the end that we gave it.
        std::mem::forget(running);
    }
}

/// The program of a command, as a path.
///
/// # Errors
/// It is not there; the message says how to get it.
pub(super) fn program(launch: &Launch) -> Result<PathBuf, String> {
    let name = launch.command.first().map_or("", String::as_str);
    let found = if name.contains('/') {
        Some(PathBuf::from(name)).filter(|path| path.is_file())
    } else {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).map(|folder| folder.join(name)).find(|path| path.is_file())
    };
    found.ok_or_else(|| {
        let place = if name.contains('/') { "" } else { " in PATH" };
        let setup = match &launch.setup {
            Some(setup) => format!("; set it up with: {setup}"),
            None => "; install it, or correct the card".to_string(),
        };
        format!("method {}: there is no program {name}{place}{setup}", launch.name)
    })
}

/// Runs a command to its end; gives the means by which it was confined.
pub(super) fn run(order: &Order<'_>) -> Result<&'static str, ProcessError> {
    // Confinement is a one-way street for a thread, so the command gets a thread of its own.
    let outcome = std::thread::scope(|scope| scope.spawn(|| confined(order)).join());
    let panicked = || ProcessError::Confine("its thread panicked".to_string());
    let (means, ended) = outcome.map_err(|_| panicked())??;
    match ended {
        Some(status) if status.success() => Ok(means),
        Some(status) => {
            Err(ProcessError::Ended { end: described(status), words: words(order.log) })
        }
        None => {
            let limit_s = order.launch.timeout_s;
            Err(ProcessError::Timeout { limit_s, words: words(order.log) })
        }
    }
}

/// The means of confinement, and how the command ended: none if its time was over.
fn confined(order: &Order<'_>) -> Result<(&'static str, Option<ExitStatus>), ProcessError> {
    let program = program(order.launch).map_err(ProcessError::NotFound)?;
    let start = |what: &str, source| ProcessError::Start { what: what.to_string(), source };
    let log = File::create(order.log)
        .map_err(|e| start(&format!("cannot write {}", order.log.display()), e))?;
    let errors = log.try_clone().map_err(|e| start("cannot share the log", e))?;
    let temporary = order.folder.join("tmp");
    std::fs::create_dir_all(&temporary).map_err(|e| start("cannot make a folder", e))?;
    let mut command = Command::new(&program);
    command
        .args(&order.launch.command[1..])
        .current_dir(order.folder)
        .env_clear()
        .envs(INHERITED.iter().filter_map(|name| Some((name, std::env::var_os(name)?))))
        .envs(THREADS.iter().map(|name| (name, order.threads.to_string())))
        .env("HOME", order.folder)
        .env("TMPDIR", &temporary)
        // Python: nothing beside the scripts, and the same order of sets in every run.
        .envs([
            ("PYTHONDONTWRITEBYTECODE", "1"),
            ("PYTHONNOUSERSITE", "1"),
            ("PYTHONHASHSEED", "0"),
        ])
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(errors);
    own_group(&mut command);
    let means = enter(order.allowed).map_err(ProcessError::Confine)?;
    let mut child =
        command.spawn().map_err(|e| start(&format!("cannot start {}", program.display()), e))?;
    let running = || RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    *running() = Some((child.id(), order.folder.to_path_buf()));
    let ended = wait(&mut child, Duration::from_secs(order.launch.timeout_s));
    // Whatever it started goes with it, also after a good end.
    end_group(child.id());
    *running() = None;
    let ended = ended.map_err(|e| start("cannot wait for the command", e))?;
    if ended.is_none() {
        let _ = child.wait();
    }
    Ok((means, ended))
}

/// How the command ended; none if it had not when its time was over.
fn wait(child: &mut Child, limit: Duration) -> io::Result<Option<ExitStatus>> {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if start.elapsed() >= limit {
            return Ok(None);
        }
        std::thread::sleep(TICK);
    }
}

fn words(log: &Path) -> String {
    let lines = last_lines(log, 3);
    if lines.is_empty() {
        String::new()
    } else {
        format!("; its last words: {}", lines.join(" | "))
    }
}

/// Puts the command into a process group of its own, and has the system end it with us.
fn own_group(command: &mut Command) {
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(command, 0);
    #[cfg(target_os = "linux")]
    #[allow(unsafe_code)]
    // SAFETY: between fork and exec only `prctl` is called, which is safe there and has no
    // precondition. A worker that crashes can end nothing itself.
    unsafe {
        std::os::unix::process::CommandExt::pre_exec(command, || {
            match libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) {
                0 => Ok(()),
                _ => Err(io::Error::last_os_error()),
            }
        });
    }
}

/// Ends all processes of a group.
fn end_group(group: u32) {
    #[cfg(unix)]
    #[allow(unsafe_code)]
    if let Ok(group) = libc::pid_t::try_from(group)
        && group > 1
    {
        // SAFETY: `killpg` has no precondition; the group is the one that the command was given,
        // and a group whose last process is gone is an error that does not matter.
        unsafe { libc::killpg(group, libc::SIGKILL) };
    }
}
