//! A worker process, seen from the run.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use crate::work::order::{Order, Step};

/// How long a worker may take to end what it started.
const GRACE: Duration = Duration::from_secs(3);

/// What a worker's reader thread sends.
#[derive(Debug)]
pub enum Message {
    /// It told how far it is.
    Step(usize, Step),
    /// It closed its output: it has ended, or is about to.
    Closed(usize),
}

/// A running worker.
#[derive(Debug)]
pub struct Worker {
    child: Child,
    /// Kept open: the worker ends at once when it closes.
    stdin: Option<ChildStdin>,
    log: PathBuf,
}

impl Worker {
    /// Starts a worker on an order; `index` comes back in its messages.
    pub fn start(
        program: &[OsString],
        order: &Order,
        log: &Path,
        index: usize,
        messages: Sender<Message>,
    ) -> io::Result<Self> {
        let (name, arguments) = program.split_first().ok_or(io::ErrorKind::InvalidInput)?;
        let mut command = Command::new(name);
        command
            .args(arguments)
            .env("RAYON_NUM_THREADS", order.threads.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(log)?);
        #[cfg(unix)]
        // Ctrl-C in a terminal goes to us alone; we end the workers ourselves.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child = command.spawn()?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let mut worker = Self { child, stdin, log: log.to_path_buf() };
        if let Some(stdout) = stdout {
            std::thread::spawn(move || {
                for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                    if let Ok(step) = serde_json::from_str(&line) {
                        let _ = messages.send(Message::Step(index, step));
                    }
                }
                let _ = messages.send(Message::Closed(index));
            });
        }
        worker.tell(order)?;
        Ok(worker)
    }

    fn tell(&mut self, order: &Order) -> io::Result<()> {
        let mut line = serde_json::to_vec(order)?;
        line.push(b'\n');
        match self.stdin.as_mut().map(|stdin| stdin.write_all(&line).and_then(|()| stdin.flush())) {
            // A worker that dies before it reads is judged by how it ended.
            Some(Err(error)) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
            _ => Ok(()),
        }
    }

    /// How the worker ended, if it has.
    pub fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// Waits until the worker has ended, but not longer than `limit`.
    pub fn await_end(&mut self, limit: Duration) {
        let start = Instant::now();
        while matches!(self.ended(), Ok(None)) && start.elapsed() < limit {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Ends the worker now.
    ///
    /// It first sees its standard input close, which lets it end a command that it runs.
    pub fn kill(&mut self) {
        self.stdin = None;
        self.await_end(GRACE);
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// How the worker ended without leaving a row, in words, with the end of its diagnostics.
    pub fn obituary(&self, status: ExitStatus) -> String {
        let lines = last_lines(&self.log, 3);
        let end = described(status);
        if lines.is_empty() {
            return format!("the worker {end} and left no row; it wrote no diagnostics");
        }
        format!("the worker {end} and left no row; its last words: {}", lines.join(" | "))
    }

    /// Removes the worker's log if there is nothing in it.
    pub fn remove_empty_log(&self) {
        if std::fs::metadata(&self.log).is_ok_and(|m| m.len() == 0) {
            let _ = std::fs::remove_file(&self.log);
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            self.kill();
        }
    }
}

pub(crate) fn described(status: ExitStatus) -> String {
    #[cfg(unix)]
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
        let name = match signal {
            libc::SIGABRT => " (SIGABRT)",
            libc::SIGBUS => " (SIGBUS)",
            libc::SIGFPE => " (SIGFPE)",
            libc::SIGILL => " (SIGILL: an instruction that this processor does not have)",
            libc::SIGKILL => " (SIGKILL: by somebody, or by the system for lack of memory)",
            libc::SIGSEGV => " (SIGSEGV)",
            libc::SIGTERM => " (SIGTERM)",
            libc::SIGXCPU => " (SIGXCPU: over its limit of processor time)",
            libc::SIGXFSZ => " (SIGXFSZ: over its limit of file size)",
            _ => "",
        };
        return format!("was killed by signal {signal}{name}");
    }
    match status.code() {
        Some(code) => format!("ended with code {code}"),
        None => "ended".to_string(),
    }
}

/// The last lines of a file that hold something, from its last 4 KiB.
pub(crate) fn last_lines(path: &Path, n: usize) -> Vec<String> {
    const TAIL: u64 = 4096;
    let read = || -> io::Result<String> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
        let mut bytes = Vec::new();
        file.take(TAIL).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    let text = read().unwrap_or_default();
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
    lines[lines.len().saturating_sub(n)..].iter().map(ToString::to_string).collect()
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    #[test]
    fn signals_and_codes_are_named() {
        assert_eq!(described(ExitStatus::from_raw(11)), "was killed by signal 11 (SIGSEGV)");
        assert_eq!(described(ExitStatus::from_raw(3 << 8)), "ended with code 3");
    }

    #[test]
    fn the_last_words_come_from_the_end_of_a_long_log() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let lines: Vec<String> = (0..5_000).map(|i| format!("line {i}\n")).collect();
        std::fs::write(&path, lines.join("\n")).unwrap();
        assert_eq!(last_lines(&path, 2), ["line 4998", "line 4999"]);
        assert_eq!(last_lines(&folder.path().join("none"), 2), Vec::<String>::new());
    }
}
