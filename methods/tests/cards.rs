//! What every method's card and file must hold. Needs no runtime.

use std::path::PathBuf;

use quantbench_core::{Needs, Params, Widths};
use quantbench_methods::{ALL, find, names};

const HEADINGS: [&str; 6] = [
    "//! # What it does",
    "//! # When to use it",
    "//! # Inputs and cost",
    "//! # Parameters",
    "//! # Differences from the paper",
    "//! # Reference",
];

#[test]
fn names_are_unique_kebab_case_and_sorted() {
    let names = names();
    assert!(names.windows(2).all(|w| w[0] < w[1]), "{names:?}");
    for name in names {
        let kebab = name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
        assert!(kebab && !name.starts_with('-') && !name.ends_with('-'), "{name}");
        assert!(find(name).is_ok_and(|m| m.card().name == name));
    }
}

#[test]
fn cards_are_complete() {
    for method in ALL {
        let card = method.card();
        for text in [card.summary, card.when, card.paper, card.cite, card.granularity] {
            assert!(text.len() > 5 && !text.contains("  "), "{}: {text:?}", card.name);
        }
        assert!(card.paper.contains("arXiv:"), "{}: {}", card.name, card.paper);
        assert!(card.version >= 1 && !card.departures.is_empty(), "{}", card.name);
        assert!(!card.summary.ends_with('.') && !card.when.ends_with('.'), "{}", card.name);
        for param in card.params {
            assert!(param.check(&param.default_value()).is_ok(), "{} {}", card.name, param.name);
            assert!(param.help.len() > 10, "{} {}", card.name, param.name);
        }
        let all = card.resolve(&Params::new()).unwrap();
        assert_eq!(all.len(), card.params.len());
    }
}

#[test]
fn files_have_the_headings_and_name_every_parameter() {
    let source = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src");
    for method in ALL {
        let card = method.card();
        let family = card.family.title().replace([' ', '-'], "_");
        let path = source.join(family).join(format!("{}.rs", card.name.replace('-', "_")));
        let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path:?}: {e}"));
        let at = HEADINGS.map(|h| text.find(h).unwrap_or_else(|| panic!("{path:?} lacks {h:?}")));
        assert!(at.is_sorted(), "{path:?}: headings out of order");
        let parameters = &text[at[3]..at[4]];
        for param in card.params {
            let named = format!("`{}`", param.name);
            assert!(parameters.contains(&named), "{path:?} does not document {named}");
        }
    }
}

#[test]
fn a_grant_that_depends_on_the_job_is_settled() {
    for method in ALL {
        let params = method.card().resolve(&Params::new()).unwrap();
        let ternary = method.card().widths.ternary;
        for label in if ternary { ["w2ta8", "w2ta32"] } else { ["w4a8", "w4a32"] } {
            let spec = quantbench_core::Spec::from_widths(label.parse::<Widths>().unwrap());
            assert_ne!(method.needs(&spec, &params), Needs::UnlabelledIfAsked);
        }
    }
}

#[test]
fn the_template_has_the_headings() {
    let template = include_str!("../template.rs.txt");
    assert!(HEADINGS.iter().all(|h| template.contains(h)));
}
