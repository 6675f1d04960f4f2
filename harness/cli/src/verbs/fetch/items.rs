//! What was asked for, what of it is here, and which files would bring the rest.

use anyhow::anyhow;
use quantbench_core::names::suggestion;
use quantbench_datasets::{DataRoots, DatasetManifest, Loader, Part, Sum, present};
use quantbench_runner::{Catalog, ModelCard};

use crate::exit::{Failure, OrExit};

/// A data set or a model.
#[derive(Debug, Clone, Copy)]
pub enum Wanted<'c> {
    /// With its manifest.
    Dataset(&'c DatasetManifest),
    /// With its card.
    Model(&'c ModelCard),
}

/// A file that is to be put into the data folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Path below the data folder.
    pub file: String,
    /// Where it is published.
    pub url: Option<String>,
    /// Its checksum, in words if none is known.
    pub sum: Checked,
}

/// A checksum, or that there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Checked {
    /// The stated one.
    By(Sum),
    /// Folders and the like.
    Nothing,
}

impl std::fmt::Display for Checked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Checked::By(sum) => sum.fmt(f),
            Checked::Nothing => f.write_str("no stated checksum"),
        }
    }
}

/// Whether it is here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Yes, and where.
    Here(String),
    /// No; these files would bring it.
    Absent(Vec<Item>),
    /// Something else is in its place.
    Wrong(String),
}

/// Resolves names; all of the catalogue if that is asked for.
pub fn wanted<'c>(
    names: &[String],
    all: bool,
    catalog: &'c Catalog,
) -> Result<Vec<Wanted<'c>>, Failure> {
    let everything: Vec<Wanted<'c>> = catalog
        .datasets()
        .map(Wanted::Dataset)
        .chain(catalog.models().map(Wanted::Model))
        .collect();
    if all {
        return Ok(everything);
    }
    if names.is_empty() {
        return Err(anyhow!("nothing to fetch: name data sets or models, or add --all")).or_usage();
    }
    let known: Vec<&str> = everything.iter().map(Wanted::name).collect();
    let mut chosen = Vec::new();
    for name in names {
        let before = chosen.len();
        chosen.extend(everything.iter().filter(|one| one.name() == name));
        if chosen.len() == before {
            let near = suggestion(name, &known);
            return Err(anyhow!("{name:?} is neither a data set nor a model{near}")).or_usage();
        }
    }
    Ok(chosen)
}

impl<'c> Wanted<'c> {
    /// Its name.
    pub fn name(&self) -> &'c str {
        match *self {
            Wanted::Dataset(manifest) => &manifest.name,
            Wanted::Model(card) => &card.name,
        }
    }

    /// Kind and name.
    pub fn title(&self) -> String {
        match self {
            Wanted::Dataset(manifest) => format!("data set {}", manifest.name),
            Wanted::Model(card) => format!("model {}", card.name),
        }
    }

    /// Where it comes from.
    pub fn source(&self) -> &'c str {
        match *self {
            Wanted::Dataset(manifest) => &manifest.source,
            Wanted::Model(card) => &card.source,
        }
    }

    /// Looks for it on this machine.
    pub fn state(&self, roots: &DataRoots) -> State {
        match self {
            Wanted::Dataset(manifest) => dataset(manifest, roots),
            Wanted::Model(card) => model(card, roots),
        }
    }
}

fn dataset(manifest: &DatasetManifest, roots: &DataRoots) -> State {
    let parts = [Part::Train, Part::Test].map(|part| present(manifest, part, roots));
    if let Some(error) = parts.iter().find_map(|p| p.as_ref().err().filter(|e| !e.is_missing())) {
        return State::Wrong(error.to_string());
    }
    if parts.iter().all(Result::is_ok) {
        let computed = manifest.loader == Loader::Shapes10;
        return State::Here(if computed { "computed, needs no file" } else { "found" }.to_string());
    }
    // One archive that holds a folder is enough; single packed files are needed all.
    let published: Vec<_> = manifest.archives.iter().filter(|a| a.url.is_some()).collect();
    let whole = published.iter().find(|archive| archive.is_tar());
    let needed = whole.map_or(published.clone(), |archive| vec![*archive]);
    let items: Vec<Item> = needed
        .into_iter()
        .filter(|archive| roots.find(&archive.file).is_none())
        .map(|archive| Item {
            file: archive.file.clone(),
            url: archive.url.clone(),
            sum: archive.sum().map_or(Checked::Nothing, Checked::By),
        })
        .collect();
    if !items.is_empty() {
        return State::Absent(items);
    }
    let unpublished = manifest.archives.first();
    let files = manifest.files.train.iter().chain(&manifest.files.test).cloned();
    State::Absent(vec![Item {
        file: unpublished
            .map_or_else(|| files.collect::<Vec<_>>().join(" and "), |a| a.file.clone()),
        url: None,
        sum: unpublished
            .and_then(quantbench_datasets::Archive::sum)
            .map_or(Checked::Nothing, Checked::By),
    }])
}

fn model(card: &ModelCard, roots: &DataRoots) -> State {
    match card.bytes(roots).and_then(|_| card.locate(roots)) {
        Ok(place) => State::Here(place.to_string()),
        Err(error) if error.is_missing() => State::Absent(vec![Item {
            file: card.file_name().unwrap_or_default().to_string(),
            url: card.url.clone(),
            sum: Checked::By(Sum::Sha256(card.sha256.clone())),
        }]),
        Err(error) => State::Wrong(error.to_string()),
    }
}
