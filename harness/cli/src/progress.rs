//! Progress of a run on standard error: one line that is rewritten on a terminal, plain lines of
//! the finished cells elsewhere, and of long work every few minutes.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use quantbench_runner::Event;

use crate::out;

/// Shows events.
pub struct Progress {
    live: bool,
    width: usize,
    last: Option<Instant>,
    pace: Option<Pace>,
}

/// Between two plain lines about the same cell.
const PLAIN: Duration = Duration::from_mins(5);

/// How fast the work at hand goes.
struct Pace {
    label: String,
    steps: usize,
    /// The first step that was seen, and when.
    from: (usize, Instant),
    /// When a plain line was last printed.
    told: Instant,
}

impl Pace {
    fn new(label: &str, step: usize, steps: usize) -> Self {
        let now = Instant::now();
        Self { label: label.to_string(), steps, from: (step, now), told: now }
    }

    /// Steps per second and the time left, once there is something to tell.
    fn words(&self, step: usize) -> String {
        let (first, since) = (self.from.0, self.from.1.elapsed().as_secs_f64());
        if step <= first || since < 1.0 {
            return String::new();
        }
        let rate = (step - first) as f64 / since;
        let left = Duration::try_from_secs_f64(self.steps.saturating_sub(step) as f64 / rate)
            .unwrap_or_default();
        format!(" ({rate:.0}/s, {} left)", words(left))
    }
}

impl Progress {
    /// For standard error as it is.
    pub fn new() -> Self {
        Self { live: std::io::stderr().is_terminal(), width: 0, last: None, pace: None }
    }

    /// Shows one event.
    pub fn show(&mut self, event: Event) {
        match event {
            Event::Begin { total, done, left, guessed } => {
                let guess = if guessed > 0 { " at a rough guess" } else { "" };
                self.line(&format!(
                    "{total} cells, {done} done, about {} left{guess}",
                    words(left)
                ));
            }
            Event::BadRow(row) => {
                self.line(&format!(
                    "warning: {}: {}; the cell is done again",
                    row.file.display(),
                    row.reason
                ));
            }
            Event::Started { label, done, total } => {
                self.passing(&format!("[{done}/{total}] {label}"), true);
            }
            Event::Progress { label, step, steps, what } => {
                self.work(&label, step, steps, &what);
            }
            Event::Finished { label, row, done, total, left } => {
                let result = row.result.as_ref().map_or(String::new(), |r| {
                    let deployed = r.acc_deployed.as_ref().map_or(String::new(), |d| {
                        format!(", deployed {:.2}", d.accuracy.percent())
                    });
                    format!("{:.2} %{deployed}", r.acc_simulated.percent())
                });
                let took = row.observed.cell_s;
                self.line(&format!(
                    "[{done}/{total}] {label}  {result}  ({took:.1} s; {} left)",
                    words(left)
                ));
            }
            Event::Failed { label, reason, done, total, .. } => {
                self.line(&format!("[{done}/{total}] {label}  failed: {reason}"));
            }
            Event::Skipped { label, why, done, total } => {
                self.line(&format!("[{done}/{total}] {label}  {why}"));
            }
            Event::Waiting { cells, by } => {
                self.passing(&format!("waiting for {cells} cells of other processes ({by})"), true);
            }
        }
    }

    /// How far the work of a cell is.
    fn work(&mut self, label: &str, step: usize, steps: usize, what: &str) {
        let same = |p: &&mut Pace| p.label == label && p.steps == steps && p.from.0 <= step;
        let mut plain = false;
        let pace = if let Some(pace) = self.pace.as_mut().filter(same) {
            plain = !self.live && pace.told.elapsed() >= PLAIN;
            if plain {
                pace.told = Instant::now();
            }
            pace.words(step)
        } else {
            self.pace = Some(Pace::new(label, step, steps));
            String::new()
        };
        let text = format!("{step}/{steps}{pace} {what}: {label}");
        if plain { self.line(&text) } else { self.passing(&text, false) }
    }

    /// A line that stays.
    fn line(&mut self, text: &str) {
        self.clear();
        out::say(text);
    }

    /// A line that the next one replaces; only on a terminal, at most ten times a second.
    fn passing(&mut self, text: &str, now: bool) {
        let recent = self.last.is_some_and(|t| t.elapsed() < Duration::from_millis(100));
        if !self.live || (recent && !now) {
            return;
        }
        self.clear();
        let text: String = text.chars().take(100).collect();
        let mut err = std::io::stderr();
        let _ = write!(err, "{text}").and_then(|()| err.flush());
        self.width = text.chars().count();
        self.last = Some(Instant::now());
    }

    /// Leaves no passing line behind.
    pub fn end(&mut self) {
        self.clear();
    }

    fn clear(&mut self) {
        if self.width > 0 {
            let _ = write!(std::io::stderr(), "\r{:width$}\r", "", width = self.width);
            self.width = 0;
        }
    }
}

fn words(time: Duration) -> String {
    humantime::format_duration(Duration::from_secs(time.as_secs())).to_string()
}
