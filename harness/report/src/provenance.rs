//! Where the rows come from: what was run, with which code, on which machine.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt::Write as _;

use quantbench_core::row::{Machine, Observed};
use quantbench_core::{Maker, Row};

use crate::format;
use crate::protocol;
use crate::select::Marked;

/// The distinct values of everything that describes a run, each list sorted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Provenance {
    /// Surveys.
    pub surveys: Vec<String>,
    /// Models, in natural order.
    pub models: Vec<String>,
    /// Model names with the hash of their files.
    pub model_files: Vec<String>,
    /// Data sets with the hashes of their splits and the preprocessing.
    pub data: Vec<String>,
    /// Data set names.
    pub datasets: Vec<String>,
    /// Methods.
    pub methods: Vec<String>,
    /// Methods from outside with their tools and how these were confined.
    pub tools: Vec<String>,
    /// Placement of quantizers, image, first and last layer.
    pub protocols: Vec<String>,
    /// Commits that the binaries were built from.
    pub commits: Vec<String>,
    /// Versions of quantbench.
    pub versions: Vec<String>,
    /// Versions of the runtime library.
    pub runtimes: Vec<String>,
    /// Machines in words.
    pub machines: Vec<String>,
    /// Threads of the runtime and cells at the same time.
    pub parallelism: Vec<String>,
    /// Commands that made the rows.
    pub commands: Vec<String>,
    /// End of the first and of the last cell.
    pub finished: Option<(String, String)>,
    /// Rows that count, and rows in all.
    pub rows: (usize, usize),
    /// Cells of the rows that count by the number of test images where partial.
    pub partial: usize,
}

impl Provenance {
    /// Collects from the rows that count.
    pub fn of(marked: &[Marked<'_>]) -> Self {
        let rows: Vec<_> = marked.iter().filter(|m| m.left_out.is_none()).map(|m| m.row).collect();
        let sorted = |set: BTreeSet<Cow<'_, str>>| {
            let values = set.into_iter().filter(|v| !v.is_empty()).map(Cow::into_owned);
            let mut values: Vec<String> = values.collect();
            values.sort_by(|a, b| format::natural(a, b));
            values
        };
        let list = |value: fn(&Row) -> Option<Cow<'_, str>>| {
            sorted(rows.iter().filter_map(|r| value(r)).collect())
        };
        // Of what takes time to put in words, each once.
        let mut machines: Vec<&Machine> = Vec::new();
        for row in &rows {
            if !machines.contains(&&row.observed.machine) {
                machines.push(&row.observed.machine);
            }
        }
        let finished = list(|r| Some((&r.observed.finished).into()));
        Self {
            surveys: list(|r| Some((&r.survey).into())),
            models: list(|r| Some((&r.cell.model).into())),
            model_files: list(|r| {
                Some(format!("{} ({})", r.cell.model, short(&r.ids.model_sha256)?).into())
            }),
            data: list(|r| data(r).map(Cow::from)),
            datasets: list(|r| Some((&r.cell.dataset).into())),
            methods: list(|r| r.cell.family.map(|_| (&r.cell.method).into())),
            tools: list(|r| tool(r).map(Cow::from)),
            protocols: list(|r| {
                let spec = r.cell.spec.as_ref()?;
                let left = protocol::image_left_in_fp32(r);
                let whose = if left { format!(" ({})", r.cell.method) } else { String::new() };
                let rules = protocol::words(spec, left);
                Some(format!("{}{whose}: {rules}", format::widths(spec.bits)).into())
            }),
            commits: list(|r| Some((&r.observed.commit).into())),
            versions: list(|r| Some((&r.observed.quantbench).into())),
            runtimes: list(|r| Some((&r.observed.runtime).into())),
            machines: sorted(machines.into_iter().map(|m| machine(m).into()).collect()),
            parallelism: list(|r| {
                let Observed { threads, jobs, .. } = &r.observed;
                Some(format!("{threads} runtime threads, {jobs} cells at a time").into())
            }),
            commands: list(|r| Some((&r.observed.command).into())),
            finished: finished.iter().min().cloned().zip(finished.iter().max().cloned()),
            rows: (rows.len(), marked.len()),
            partial: rows.iter().filter(|r| r.cell.test_images.is_some()).count(),
        }
    }

    /// What of it makes numbers of one table hard to compare.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        let mut mixed = |what: &str, values: &[String]| {
            if values.len() > 1 {
                warnings.push(format!(
                    "The rows come from {} {what}: {}.",
                    values.len(),
                    values.join("; ")
                ));
            }
        };
        mixed("commits", &self.commits);
        mixed("versions of the runtime", &self.runtimes);
        mixed("machines", &self.machines);
        if self.commits.iter().any(|c| c.ends_with("+dirty")) {
            warnings.push(
                "Some rows come from a changed source tree (commit ends in +dirty).".to_string(),
            );
        }
        if self.partial > 0 {
            warnings.push(format!(
                "{} of {} rows are partial: they saw the first test images only and are not fit for publication.",
                self.partial, self.rows.0
            ));
        }
        warnings
    }

    /// Name and value of each line of the section "what was run", empty ones left out.
    pub fn facts(&self) -> Vec<(&'static str, Vec<String>)> {
        let finished = self.finished.iter().map(|(first, last)| {
            if first == last { first.clone() } else { format!("{first} to {last}") }
        });
        let counted = match self.rows {
            (used, all) if used == all => format!("{all}"),
            (used, all) => format!("{used} of {all} count; rows.csv says why the others do not"),
        };
        let mut facts = vec![
            ("Survey", self.surveys.clone()),
            ("Models", self.model_files.clone()),
            ("Data", self.data.clone()),
            ("Methods", vec![self.methods.join(", ")]),
            ("Other tools", self.tools.clone()),
            ("Protocol", self.protocols.clone()),
            ("Commit", self.commits.clone()),
            ("quantbench", self.versions.clone()),
            ("Runtime", self.runtimes.clone()),
            ("Machine", self.machines.clone()),
            ("Parallelism", self.parallelism.clone()),
            ("Finished", finished.collect()),
            ("Rows", vec![counted]),
        ];
        if self.model_files.is_empty() {
            facts[1].1.clone_from(&self.models);
        }
        facts.retain(|(_, values)| values.iter().any(|v| !v.is_empty()));
        facts
    }
}

/// The first 12 digits of a hash.
fn short(hash: &str) -> Option<String> {
    (!hash.is_empty()).then(|| format!("sha256 {}", hash.chars().take(12).collect::<String>()))
}

/// Who made a row's artefact, where no method of this program did.
fn tool(row: &Row) -> Option<String> {
    let maker = row.cell.maker.as_ref()?;
    let how = match (maker, &row.observed.confinement) {
        (Maker::Artefact { sha256, .. }, _) => format!("a file, {}", short(sha256)?),
        (Maker::External { .. }, Some(means)) => format!("external, confinement {means}"),
        (Maker::External { .. }, None) => "external".to_string(),
    };
    Some(format!("{}: {} ({how})", row.cell.method, maker.tool()))
}

fn data(row: &Row) -> Option<String> {
    let test = short(&row.ids.test_data)?;
    Some(format!("{} (test {test}; preprocessing {})", row.cell.dataset, row.ids.preprocessing))
}

fn machine(m: &Machine) -> String {
    if m.cpu.is_empty() && m.platform.is_empty() {
        return String::new();
    }
    let mut text = format!(
        "{}, {} cores, {} MiB memory, {}",
        m.cpu,
        m.cores,
        format::count(m.memory_mib),
        m.platform
    );
    if !m.isa.is_empty() {
        let _ = write!(text, ", {}", m.isa.join(" "));
    }
    if let Some(governor) = &m.governor {
        let _ = write!(text, ", governor {governor}");
    }
    text
}
