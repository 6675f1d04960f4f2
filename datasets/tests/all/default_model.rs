//! The embedded model is the one that its README describes.

use quantbench_datasets::DEFAULT_MODEL;

use crate::tiny::sha256;

#[test]
fn the_model_is_small_and_its_readme_states_its_hash() {
    assert!(DEFAULT_MODEL.len() < 1_000_000, "{} bytes", DEFAULT_MODEL.len());
    let readme = include_str!("../../assets/README.md");
    let found = sha256(DEFAULT_MODEL);
    assert!(readme.contains(&found), "assets/README.md does not state {found}");
}
