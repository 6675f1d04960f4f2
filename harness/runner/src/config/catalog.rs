//! The catalogue: every model, data set and profile that a survey may name.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use quantbench_core::names::suggestion;
use quantbench_datasets::DatasetManifest;
use quantbench_hardware::Profile;
use walkdir::WalkDir;

use crate::config::error::ConfigError;
use crate::config::model::ModelCard;
use crate::config::survey::Survey;
use crate::external::External;

/// The model cards under `configs/models`, in alphabetical order.
const MODELS: [(&str, &str); 4] = [
    ("resnet-shapes10.yaml", include_str!("../../../../configs/models/resnet-shapes10.yaml")),
    ("resnet20-cifar10.yaml", include_str!("../../../../configs/models/resnet20-cifar10.yaml")),
    ("resnet32-cifar10.yaml", include_str!("../../../../configs/models/resnet32-cifar10.yaml")),
    ("resnet8-cifar10.yaml", include_str!("../../../../configs/models/resnet8-cifar10.yaml")),
];

/// The survey of `scripts/quickstart`, on embedded data and an embedded model.
pub const QUICKSTART: &str = include_str!("../../../../configs/quickstart.yaml");

/// Everything that configurations may refer to by name.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    models: BTreeMap<String, ModelCard>,
    datasets: BTreeMap<String, DatasetManifest>,
    profiles: BTreeMap<String, Profile>,
    externals: BTreeMap<String, External>,
}

impl Catalog {
    /// What is compiled in, overlaid by the `models/`, `datasets/` and `hardware/` of a folder,
    /// with the external methods in its `external/`: those need files beside their cards, so that
    /// none is compiled in.
    ///
    /// A file of the folder replaces a built-in one of the same name; two files of the folder
    /// with the same name are an error.
    pub fn load(configs: Option<&Path>) -> Result<Self, ConfigError> {
        let mut catalog = Self::builtin()?;
        let Some(folder) = configs else { return Ok(catalog) };
        overlay("model", &folder.join("models"), &mut catalog.models, |text, origin, path| {
            let card = ModelCard::parse(text, origin, path.parent())?;
            Ok((card.name.clone(), card))
        })?;
        overlay("data set", &folder.join("datasets"), &mut catalog.datasets, |text, origin, _| {
            let manifest = DatasetManifest::parse(text, origin)?;
            Ok((manifest.name.clone(), manifest))
        })?;
        overlay("profile", &folder.join("hardware"), &mut catalog.profiles, |text, origin, _| {
            let profile = Profile::parse(text, origin)?;
            Ok((profile.name.clone(), profile))
        })?;
        overlay(
            "external method",
            &folder.join("external"),
            &mut catalog.externals,
            |text, origin, path| {
                let here = path.parent().unwrap_or(Path::new("."));
                let external = External::parse(text, origin, here)?;
                Ok((external.card.name.to_string(), external))
            },
        )?;
        Ok(catalog)
    }

    fn builtin() -> Result<Self, ConfigError> {
        let mut catalog = Self::default();
        for (file, text) in MODELS {
            let card = ModelCard::parse(text, file, None)?;
            catalog.models.insert(card.name.clone(), card);
        }
        for manifest in DatasetManifest::builtin() {
            catalog.datasets.insert(manifest.name.clone(), manifest);
        }
        for profile in Profile::builtin()? {
            catalog.profiles.insert(profile.name.clone(), profile);
        }
        Ok(catalog)
    }

    /// All models by name.
    pub fn models(&self) -> impl Iterator<Item = &ModelCard> {
        self.models.values()
    }

    /// All data sets by name.
    pub fn datasets(&self) -> impl Iterator<Item = &DatasetManifest> {
        self.datasets.values()
    }

    /// All profiles by name.
    pub fn profiles(&self) -> impl Iterator<Item = &Profile> {
        self.profiles.values()
    }

    /// All external methods by name.
    pub fn externals(&self) -> impl Iterator<Item = &External> {
        self.externals.values()
    }

    /// The external method of this name.
    ///
    /// # Errors
    /// There is no method of this name at all: near matches among the built-in ones too.
    pub fn external(&self, name: &str) -> Result<&External, ConfigError> {
        self.externals.get(name).ok_or_else(|| {
            let mut add_ons = quantbench_methods::ADD_ONS.iter();
            if name.contains('+') || add_ons.any(|add_on| add_on.card().name == name) {
                let name = name.to_string();
                return ConfigError::Method(quantbench_methods::UnknownMethod { name });
            }
            let mut known = quantbench_methods::names();
            known.extend(self.externals.keys().map(String::as_str));
            known.sort_unstable();
            let suggestion = suggestion(name, &known);
            ConfigError::NoMethod { name: name.to_string(), suggestion }
        })
    }

    /// The model of this name.
    pub fn model(&self, name: &str) -> Result<&ModelCard, ConfigError> {
        find("model", name, &self.models)
    }

    /// The data set of this name.
    pub fn dataset(&self, name: &str) -> Result<&DatasetManifest, ConfigError> {
        find("data set", name, &self.datasets)
    }

    /// The profile of this name.
    pub fn profile(&self, name: &str) -> Result<&Profile, ConfigError> {
        find("profile", name, &self.profiles)
    }

    /// Adds a model, or replaces the one of the same name.
    pub fn insert_model(&mut self, card: ModelCard) {
        self.models.insert(card.name.clone(), card);
    }
}

impl Survey {
    /// The embedded quickstart.
    pub fn quickstart() -> Result<Self, ConfigError> {
        Self::parse(QUICKSTART, "quickstart.yaml")
    }
}

fn find<'c, T>(
    kind: &'static str,
    name: &str,
    all: &'c BTreeMap<String, T>,
) -> Result<&'c T, ConfigError> {
    all.get(name).ok_or_else(|| {
        let known: Vec<&str> = all.keys().map(String::as_str).collect();
        let suggestion = suggestion(name, &known);
        ConfigError::Unknown { kind, name: name.to_string(), suggestion }
    })
}

/// Reads every YAML file below `folder`, in the order of their paths.
fn overlay<T>(
    kind: &'static str,
    folder: &Path,
    all: &mut BTreeMap<String, T>,
    parse: impl Fn(&str, &str, &Path) -> Result<(String, T), ConfigError>,
) -> Result<(), ConfigError> {
    if !folder.is_dir() {
        return Ok(());
    }
    let mut seen: BTreeMap<String, PathBuf> = BTreeMap::new();
    for entry in WalkDir::new(folder).sort_by_file_name() {
        let entry = entry.map_err(|error| ConfigError::Read {
            path: error.path().unwrap_or(folder).to_path_buf(),
            source: error.into(),
        })?;
        let path = entry.path();
        let yaml = path.extension().is_some_and(|e| e == "yaml" || e == "yml");
        if !yaml || !entry.file_type().is_file() {
            continue;
        }
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { path: path.to_path_buf(), source })?;
        let (name, value) = parse(&text, &path.display().to_string(), path)?;
        if let Some(first) = seen.insert(name.clone(), path.to_path_buf()) {
            return Err(ConfigError::Duplicate { kind, name, first, second: path.to_path_buf() });
        }
        all.insert(name, value);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIGS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../configs");

    #[test]
    fn the_shipped_folder_and_the_compiled_catalogue_agree() {
        let builtin = Catalog::load(None).unwrap();
        let folder = Catalog::load(Some(Path::new(CONFIGS))).unwrap();
        let names = |c: &Catalog| c.models().map(|m| m.name.clone()).collect::<Vec<_>>();
        assert_eq!(names(&builtin), names(&folder));
        for model in builtin.models() {
            let same = ModelCard { folder: None, ..folder.model(&model.name).unwrap().clone() };
            assert_eq!(*model, same);
            assert!(builtin.dataset(&model.dataset).is_ok(), "{}", model.name);
        }
        assert!(builtin.profiles().count() > 0);
        let externals: Vec<&str> = folder.externals().map(|e| e.card.name).collect();
        assert_eq!(externals, ["nncf", "ort-entropy", "ort-minmax", "ort-percentile"]);
        for external in folder.externals() {
            external.maker().unwrap();
        }
    }

    #[test]
    fn unknown_names_get_near_matches() {
        let catalog = Catalog::load(None).unwrap();
        let text = catalog.model("resnet20").unwrap_err().to_string();
        assert!(
            text.starts_with("unknown model \"resnet20\"; did you mean \"resnet20-cifar10\"?"),
            "{text}"
        );
        let text = catalog.dataset("cifr10").unwrap_err().to_string();
        assert!(
            text.starts_with("unknown data set \"cifr10\"; did you mean \"cifar10\"?"),
            "{text}"
        );
        let text = catalog.profile("x86-avx").unwrap_err().to_string();
        assert!(text.contains("did you mean \"x86-avx2\"?"), "{text}");
    }

    #[test]
    fn a_folder_overlays_and_refuses_the_same_name_twice() {
        let folder = tempfile::tempdir().unwrap();
        let models = folder.path().join("models");
        std::fs::create_dir(&models).unwrap();
        let text = MODELS[0].1.replace("summary:", "summary: Mine. #");
        std::fs::write(models.join("a.yaml"), &text).unwrap();
        let catalog = Catalog::load(Some(folder.path())).unwrap();
        assert_eq!(catalog.model("resnet-shapes10").unwrap().summary, "Mine.");
        std::fs::write(models.join("b.yaml"), &text).unwrap();
        let message = Catalog::load(Some(folder.path())).unwrap_err().to_string();
        assert!(message.contains("a.yaml and in"), "{message}");
        assert!(message.contains("b.yaml; rename one"), "{message}");
    }

    #[test]
    fn the_embedded_model_has_the_checksum_of_its_card() {
        let catalog = Catalog::load(None).unwrap();
        let roots = quantbench_datasets::DataRoots { dirs: vec![], cache: "/nowhere".into() };
        let bytes = catalog.model("resnet-shapes10").unwrap().bytes(&roots).unwrap();
        assert!(!bytes.is_empty());
    }

    #[test]
    fn the_shipped_surveys_parse() {
        Survey::quickstart().unwrap();
        for entry in std::fs::read_dir(Path::new(CONFIGS).join("surveys")).unwrap() {
            let path = entry.unwrap().path();
            let survey = Survey::load(&path).unwrap();
            assert_eq!(path.file_stem().unwrap().to_str().unwrap(), survey.name);
        }
    }
}
