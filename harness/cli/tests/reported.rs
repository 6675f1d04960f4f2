//! Reported numbers beside the methods that they are compared with, and the page over all of them.
#![allow(clippy::unwrap_used)]

mod common;

use common::{quantbench, run, stderr, stdout, workspace};
use quantbench_core::{Card, Needs};
use quantbench_reported::{Data, Record, Reported, Training};

fn records() -> &'static [Record] {
    &Reported::builtin().unwrap().records
}

fn methods() -> impl Iterator<Item = (&'static Card, Needs)> {
    quantbench_methods::ALL.iter().map(|m| (m.card(), m.grant()))
}

/// A name without what spellings differ in.
fn squashed(name: &str) -> String {
    let name = name.to_lowercase().replace('+', "plus");
    name.chars().filter(char::is_ascii_alphanumeric).collect()
}

#[test]
fn a_method_of_ours_is_spelt_as_on_its_card() {
    let mut named = 0;
    for record in records() {
        for (card, _) in methods() {
            let name = card.name;
            // What stands in brackets tells a rerun or a variant; a variant may have its own name.
            let printed = record.printed.split(" (").next().unwrap();
            let same = squashed(printed) == squashed(name) && record.training != Training::None;
            let variant = record.method.starts_with(&format!("{name}-"));
            assert!(!same || record.method == name || variant, "{record:?}: not {name}");
            let close = squashed(&record.method) == squashed(name);
            assert!(!close || record.method == name, "{record:?}: not {name}");
            named += usize::from(record.method == name);
        }
    }
    assert!(named > 250, "{named} records are of methods that we have");
}

#[test]
fn a_method_of_ours_is_granted_what_its_paper_had() {
    for record in records() {
        let Some((_, needs)) = methods().find(|(card, _)| card.name == record.method) else {
            continue;
        };
        let expected = match needs {
            Needs::Nothing => Data::Nothing,
            Needs::Unlabelled => Data::Unlabelled,
            Needs::Labelled | Needs::WithValidation => Data::Labelled,
            // BWN and TWN: the papers train, we do not, and comparisons say so.
            Needs::UnlabelledIfAsked => {
                assert_eq!(record.training, Training::Trained, "{record:?}");
                continue;
            }
        };
        assert_eq!(record.data, Some(expected), "{record:?}");
    }
}

#[test]
fn the_committed_page_of_results_is_made_from_the_committed_rows() {
    let made = run(quantbench(&workspace()).args(["index", "results/published"]));
    assert!(made.status.success(), "{}", stderr(&made));
    let committed = std::fs::read_to_string(workspace().join("results/README.md")).unwrap();
    let page = stdout(&made);
    let other = page.lines().zip(committed.lines()).find(|(new, old)| new != old);
    assert!(
        page == committed,
        "results/README.md is not what its rows say; make it with `quantbench index \
         results/published --out results/README.md`; first line that differs: {other:?}"
    );
}
