//! Artefacts from outside in a plan: who makes them, and where they are on this machine.

use std::path::{Path, PathBuf};

use quantbench_core::Maker;
use quantbench_core::card::{Card, WidthRange};
use quantbench_core::hash::sha256_hex;
use quantbench_core::row::FP32;
use quantbench_datasets::DataRoots;

use crate::config::survey::{ArtefactEntry, MethodEntry};
use crate::config::{Catalog, ConfigError, Survey};
use crate::external::card::forever;
use crate::external::{External, Foreign};

/// Where an artefact from outside comes from.
#[derive(Debug, Clone)]
pub(crate) struct Outside {
    pub(crate) maker: Maker,
    pub(crate) foreign: Foreign,
    /// What is missing on this machine, in words.
    pub(crate) missing: Option<String>,
}

/// An external method.
pub(super) fn command(external: &External) -> Result<Outside, String> {
    let (maker, foreign) = (external.maker()?, Foreign::Command(external.launch()));
    Ok(Outside { maker, foreign, missing: None })
}

/// A file that another tool made; one that is not here makes the plan incomplete and not wrong.
pub(super) fn file(
    survey: &Survey,
    entry: &MethodEntry,
    artefact: &ArtefactEntry,
    models: &[String],
    (catalog, roots): (&Catalog, &DataRoots),
) -> Result<(&'static Card, Outside), ConfigError> {
    let name = &entry.name;
    let taken = quantbench_methods::find(&name.value).is_ok()
        || catalog.externals().any(|e| e.card.name == name.value)
        || name.value == FP32;
    if taken {
        let problem = format_args!("{:?} is a method; name the file otherwise", name.value);
        return Err(survey.fail(name, problem));
    }
    if let [_, _, ..] = models {
        let problem = format_args!(
            "a file belongs to one model; name it with models: [NAME] (known: {})",
            models.join(", ")
        );
        return Err(survey.fail(&artefact.file, problem));
    }
    let file = &artefact.file.value;
    let beside: PathBuf = Path::new(&survey.origin).parent().unwrap_or(Path::new("")).join(file);
    let found = Some(beside).filter(|path| path.is_file()).or_else(|| roots.find(file));
    let (sha256, missing) = if let Some(path) = &found {
        let bytes = std::fs::read(path)
            .map_err(|source| ConfigError::Read { path: path.clone(), source })?;
        (sha256_hex(&bytes), None)
    } else {
        let searched = roots.described();
        let text = format!(
            "artefact {}: {file} is neither beside the survey nor in one of the data folders \
             ({searched}); put it there or correct the path",
            name.value
        );
        (String::new(), Some(text))
    };
    let maker =
        Maker::Artefact { tool: artefact.tool.clone(), sha256, note: artefact.note.clone() };
    let path = found.map(|path| std::path::absolute(&path).unwrap_or(path)).unwrap_or_default();
    let outside = Outside { maker, foreign: Foreign::File(path), missing };
    Ok((card(entry, artefact), outside))
}

/// The little that is known of a file before it is read.
fn card(entry: &MethodEntry, artefact: &ArtefactEntry) -> &'static Card {
    let ternary = entry.specs.iter().flatten().any(|spec| spec.value.bits.ternary);
    Box::leak(Box::new(Card {
        name: forever(entry.name.value.clone()),
        version: 1,
        family: artefact.family,
        summary: "A file that another tool made.",
        when: "To compare with what was made elsewhere.",
        paper: "none",
        cite: "none",
        widths: WidthRange { weights: (1, 32), ternary, activations: (1, 8) },
        granularity: "as the file has it",
        stochastic: false,
        params: &[],
        departures: &[],
    }))
}
