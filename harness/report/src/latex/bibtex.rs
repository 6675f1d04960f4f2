//! BibTeX entries of the methods that the rows used, from their cards.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::escape::escape;
use crate::findings::Findings;

/// One entry for each paper, by key; a method whose card is not known has none and says so.
pub(super) fn entries(findings: &Findings<'_>) -> String {
    let mut text = String::new();
    let mut entries: BTreeMap<&str, String> = BTreeMap::new();
    let mut unknown = Vec::new();
    for method in methods(findings) {
        match findings.cards.iter().find(|card| card.name == method) {
            Some(card) => {
                entries.entry(card.cite).or_insert_with(|| entry(card.cite, card.paper));
            }
            None => unknown.push(method),
        }
    }
    for method in unknown {
        let _ = writeln!(text, "% {method}: made outside of this program, its card names no paper");
    }
    text + &entries.into_values().collect::<Vec<_>>().join("\n")
}

/// Methods of the rows without what add-ons append to their names, in order.
fn methods<'f>(findings: &'f Findings<'_>) -> Vec<&'f str> {
    let names = findings.groups.groups.iter().filter(|g| !g.is_fp32());
    let mut all: Vec<&str> = names.filter_map(|g| g.asked.cell.method.split('+').next()).collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// A card's paper as an entry: authors, title, venue with its year, arXiv number; of several
/// papers the first.
fn entry(key: &str, paper: &str) -> String {
    let first = paper.split("; ").next().unwrap_or(paper);
    let mut parts: Vec<&str> = first.split(", ").collect();
    let authors = parts.remove(0).replace(" et al.", " and others");
    let eprint = parts.iter().position(|p| p.starts_with("arXiv:"));
    let eprint = eprint.map(|at| parts.split_off(at)[0].trim_start_matches("arXiv:"));
    let year_of = |part: &str| {
        let digits = part.split_whitespace().last()?;
        (digits.len() == 4 && digits.chars().all(|c| c.is_ascii_digit()))
            .then(|| digits.to_string())
    };
    let dated = parts.iter().rposition(|part| year_of(part).is_some());
    let (mut venue, mut year) = (Vec::new(), None);
    if let Some(at) = dated {
        let last = parts.remove(at);
        year = year_of(last);
        let name = last.trim_end_matches(|c: char| c.is_ascii_digit()).trim();
        // A journal and its volume stand before a year that stands alone.
        if name.is_empty() && parts.len() > at.saturating_sub(1) && at > 1 {
            let journal = parts.remove(at - 1);
            if journal.ends_with(|c: char| c.is_ascii_digit()) {
                venue.push(journal);
            } else {
                parts.insert(at - 1, journal);
            }
        } else if !name.is_empty() {
            venue.push(name);
        }
    }
    let mut text = format!("@misc{{{key},\n  author = {{{}}},\n", escape(&authors));
    let _ = writeln!(text, "  title = {{{{{}}}}},", escape(&parts.join(", ")));
    if let [venue] = venue.as_slice() {
        let _ = writeln!(text, "  howpublished = {{{}}},", escape(venue));
    }
    if let Some(year) = year {
        let _ = writeln!(text, "  year = {{{year}}},");
    }
    if let Some(eprint) = eprint {
        let _ = writeln!(text, "  note = {{arXiv:{}}},", escape(eprint));
    }
    text + "}\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_paper_is_taken_apart() {
        let lsq = entry(
            "esser2020lsq",
            "S. Esser et al., Learned step size quantization, ICLR 2020, arXiv:1902.08153",
        );
        assert_eq!(
            lsq,
            "@misc{esser2020lsq,\n  author = {S. Esser and others},\n  title = {{Learned step size \
             quantization}},\n  howpublished = {ICLR},\n  year = {2020},\n  note = \
             {arXiv:1902.08153},\n}\n"
        );
        let lapq = entry(
            "n",
            "Y. Nahshan et al., Loss aware post-training quantization, Machine Learning 110, 2021, \
             arXiv:1911.07190",
        );
        assert!(lapq.contains("title = {{Loss aware post-training quantization}}"), "{lapq}");
        assert!(lapq.contains("howpublished = {Machine Learning 110}") && lapq.contains("{2021}"));
        let white =
            entry("k", "R. Krishnamoorthi, Quantizing: a whitepaper, 2018, arXiv:1806.08342");
        assert!(white.contains("title = {{Quantizing: a whitepaper}}"), "{white}");
        assert!(!white.contains("howpublished"), "{white}");
    }
}
