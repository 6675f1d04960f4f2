//! Where the rows come from: what was run, with which code, on which machine.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use quantbench_core::Maker;

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
        let list = |value: &dyn Fn(&quantbench_core::Row) -> Option<String>| {
            let set: BTreeSet<String> =
                rows.iter().filter_map(|r| value(r)).filter(|v| !v.is_empty()).collect();
            let mut values: Vec<String> = set.into_iter().collect();
            values.sort_by(|a, b| format::natural(a, b));
            values
        };
        let finished = list(&|r| Some(r.observed.finished.clone()));
        Self {
            surveys: list(&|r| Some(r.survey.clone())),
            models: list(&|r| Some(r.cell.model.clone())),
            model_files: list(&|r| {
                Some(format!("{} ({})", r.cell.model, short(&r.ids.model_sha256)?))
            }),
            data: list(&|r| data(r)),
            datasets: list(&|r| Some(r.cell.dataset.clone())),
            methods: list(&|r| r.cell.family.map(|_| r.cell.method.clone())),
            tools: list(&|r| tool(r)),
            protocols: list(&|r| {
                let spec = r.cell.spec.as_ref()?;
                let left = protocol::image_left_in_fp32(r);
                let whose = if left { format!(" ({})", r.cell.method) } else { String::new() };
                let rules = protocol::words(spec, left);
                Some(format!("{}{whose}: {rules}", format::widths(spec.bits)))
            }),
            commits: list(&|r| Some(r.observed.commit.clone())),
            versions: list(&|r| Some(r.observed.quantbench.clone())),
            runtimes: list(&|r| Some(r.observed.runtime.clone())),
            machines: list(&|r| Some(machine(&r.observed.machine))),
            parallelism: list(&|r| {
                Some(format!(
                    "{} runtime threads, {} cells at a time",
                    r.observed.threads, r.observed.jobs
                ))
            }),
            commands: list(&|r| Some(r.observed.command.clone())),
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
fn tool(row: &quantbench_core::Row) -> Option<String> {
    let maker = row.cell.maker.as_ref()?;
    let how = match (maker, &row.observed.confinement) {
        (Maker::Artefact { sha256, .. }, _) => format!("a file, {}", short(sha256)?),
        (Maker::External { .. }, Some(means)) => format!("external, confinement {means}"),
        (Maker::External { .. }, None) => "external".to_string(),
    };
    Some(format!("{}: {} ({how})", row.cell.method, maker.tool()))
}

fn data(row: &quantbench_core::Row) -> Option<String> {
    let test = short(&row.ids.test_data)?;
    Some(format!("{} (test {test}; preprocessing {})", row.cell.dataset, row.ids.preprocessing))
}

fn machine(m: &quantbench_core::row::Machine) -> String {
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
