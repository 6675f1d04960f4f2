//! Every survey that ships can be read.
#![allow(clippy::unwrap_used)] // In tests outside `#[cfg(test)]` a panic is the failure too.

use std::path::Path;

use quantbench_runner::Survey;

#[test]
fn every_shipped_survey_can_be_read_and_is_named_like_its_file() {
    let configs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs");
    let mut found = vec![configs.join("quickstart.yaml")];
    for entry in std::fs::read_dir(configs.join("surveys")).unwrap() {
        found.push(entry.unwrap().path());
    }
    assert!(found.len() > 3, "{found:?}");
    for path in found {
        let survey = Survey::load(&path).unwrap();
        assert_eq!(path.file_stem().unwrap().to_str(), Some(survey.name.as_str()));
    }
}
