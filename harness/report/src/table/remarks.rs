//! What methods had to say about their results, each once.

use std::fmt::Write as _;

use crate::group::{Group, Groups};

/// A note with the groups that it was made in.
struct Remark {
    method: String,
    note: String,
    widths: Vec<String>,
    models: Vec<String>,
}

/// "method, widths: note" for each distinct note of the groups shown, in the order of the table.
///
/// The models are named where a note was not made for all of those that the method ran on at
/// these widths.
pub(super) fn remarks(groups: &Groups<'_>, shown: &dyn Fn(&Group<'_>) -> bool) -> Vec<String> {
    let published: Vec<&Group<'_>> =
        groups.groups.iter().filter(|g| shown(g) && g.published().is_some()).collect();
    let model = |g: &Group<'_>| groups.subjects[g.subject].model.clone();
    let mut single: Vec<Remark> = Vec::new();
    for group in &published {
        for note in group.published().iter().flat_map(|s| &s.notes) {
            let (method, widths) = (group.series.clone(), vec![group.widths()]);
            let same =
                |r: &&mut Remark| (&r.method, &r.note, &r.widths) == (&method, note, &widths);
            match single.iter_mut().find(same) {
                Some(remark) => push_new(&mut remark.models, model(group)),
                None => single.push(Remark {
                    method,
                    note: note.clone(),
                    widths,
                    models: vec![model(group)],
                }),
            }
        }
    }
    // Whether a note was made for every model is a question of one width; only then widths with
    // the same answer share a line.
    for remark in &mut single {
        let mut ran = Vec::new();
        for group in &published {
            if group.series == remark.method && remark.widths.contains(&group.widths()) {
                push_new(&mut ran, model(group));
            }
        }
        if ran.len() == remark.models.len() {
            remark.models.clear();
        }
    }
    let mut merged: Vec<Remark> = Vec::new();
    for remark in single {
        let same = |r: &&mut Remark| {
            (&r.method, &r.note, &r.models) == (&remark.method, &remark.note, &remark.models)
        };
        match merged.iter_mut().find(same) {
            Some(one) => one.widths.extend(remark.widths),
            None => merged.push(remark),
        }
    }
    merged.iter().map(words).collect()
}

fn push_new(list: &mut Vec<String>, value: String) {
    if !list.contains(&value) {
        list.push(value);
    }
}

fn words(remark: &Remark) -> String {
    let mut head = format!("{}, {}", remark.method, remark.widths.join(", "));
    if !remark.models.is_empty() {
        let _ = write!(head, " ({})", remark.models.join(", "));
    }
    format!("{head}: {}", remark.note)
}
