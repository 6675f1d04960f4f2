//! Which table has which columns and which groups.

use std::fmt::Write as _;

use quantbench_core::Family;

use super::cells::{self, Make};
use super::remarks::remarks;
use super::{Column, Line, Notes, Section, Table, reported, targets};
use crate::format::{count, two};
use crate::group::{Group, Groups};
use crate::protocol;
use crate::stats::{OVER_DRAWS, OVER_TEST_IMAGES};
use crate::targets::Target;
use crate::verdict::matching::Comparison;

/// Every table of a report.
#[derive(Debug, Clone, PartialEq)]
pub struct Tables {
    /// All methods in few columns.
    pub overall: Table,
    /// For each family that occurs: accuracy, then size and cost.
    pub families: Vec<(Family, Table, Table)>,
    /// Methods that ran with several numbers of calibration images, where some did.
    pub calibration: Option<Table>,
    /// Reported beside reproduced, where something is reported.
    pub reported: Option<Table>,
    /// What the choice of target changes, where costs are stored.
    pub choices: Option<Table>,
    /// Costs, a table for each target.
    pub targets: Vec<Table>,
}

const METHOD: (Column, Make) = (Column::words("method"), cells::method);
const WIDTHS: (Column, Make) = (Column::words("asked widths"), cells::widths);
const DATA: (Column, Make) = (Column::words("data"), cells::data);
const DRAWS: (Column, Make) = (Column::number("draws", "n"), cells::draws);
const FP32: (Column, Make) = (Column::number("acc_fp32", "%"), cells::fp32);
const SIMULATED: (Column, Make) =
    (Column::number("acc_simulated", "%, mean ± over draws (t 95 %)"), cells::simulated);
const OVER_IMAGES: (Column, Make) =
    (Column::number("acc_simulated", "%, over test images (Wilson 95 %)"), cells::over_images);
const DROP: (Column, Make) = (Column::number("drop", "points"), cells::drop_points);
const DROP_INTERVAL: (Column, Make) =
    (Column::number("drop", "points, over test images (paired 95 %)"), cells::drop_interval);
const AGAINST_BEST: (Column, Make) =
    (Column::number("against the best", "p, McNemar and Holm"), cells::against_best);
const DEPLOYED: (Column, Make) =
    (Column::number("acc_deployed", "%, mean ± over draws (t 95 %)"), cells::deployed);
const GAP: (Column, Make) = (Column::number("gap", "points, sim. − depl."), cells::gap);
const PACKED: (Column, Make) = (Column::number("packed size", "KiB"), cells::packed);
const MEAN_BITS: (Column, Make) = (Column::number("weight bits", "mean"), cells::mean_bits);
const MIN_MAX_BITS: (Column, Make) =
    (Column::number("weight bits", "min–max"), cells::min_max_bits);
const COMPRESSION: (Column, Make) =
    (Column::number("compression", "×, weights only"), cells::compression);
const BIT_OPERATIONS: (Column, Make) =
    (Column::number("bit operations", "G per image"), cells::bit_operations);

/// All methods side by side, in the columns that a reader compares first.
const OVERALL: &[(Column, Make)] = &[
    METHOD,
    WIDTHS,
    (Column::words("sites"), cells::protocol),
    DATA,
    DRAWS,
    SIMULATED,
    OVER_IMAGES,
    DROP,
    DEPLOYED,
    MEAN_BITS,
    PACKED,
];

/// One family: what was asked and how accurate the outcome is.
const ACCURACY: &[(Column, Make)] = &[
    METHOD,
    WIDTHS,
    (Column::words("sites"), cells::sites),
    (Column::words("image"), cells::image),
    (Column::words("first/last"), cells::first_last),
    DATA,
    DRAWS,
    FP32,
    SIMULATED,
    OVER_IMAGES,
    DROP,
    DROP_INTERVAL,
    AGAINST_BEST,
    DEPLOYED,
    GAP,
    (Column::number("integer layers", "of all"), cells::integer_layers),
];

/// One family: what the outcome weighs and what the method costs.
const COST: &[(Column, Make)] = &[
    METHOD,
    WIDTHS,
    MEAN_BITS,
    MIN_MAX_BITS,
    (Column::number("theoretical size", "KiB"), cells::theoretical),
    PACKED,
    (Column::number("ONNX file", "KiB"), cells::file),
    COMPRESSION,
    BIT_OPERATIONS,
    (Column::number("method wall time", "s"), cells::wall),
    (Column::number("method CPU time", "s"), cells::cpu),
    (Column::number("method peak memory", "MiB"), cells::peak),
    (Column::number("images read", "n, all passes"), cells::images_read),
];

/// The same question with more or fewer calibration images.
const CALIBRATION: &[(Column, Make)] = &[
    METHOD,
    WIDTHS,
    (Column::number("calibration", "images"), cells::calibration_images),
    DRAWS,
    SIMULATED,
    (Column::number("acc_simulated", "%, worst–best draw"), cells::worst_best),
    DROP,
];

/// What fits a terminal.
const TERMINAL: &[(Column, Make)] = &[
    METHOD,
    (Column::words("widths"), |g, _| g.widths().into()),
    DRAWS,
    (Column::number("simulated", "%"), cells::simulated),
    (Column::number("test images", "Wilson"), cells::over_images),
    DROP,
    (Column::number("deployed", "%"), cells::deployed_mean),
    MEAN_BITS,
    (Column::number("packed", "KiB"), cells::packed),
];

/// Makes every table.
pub fn tables(groups: &Groups<'_>, on: &[Target<'_>], comparisons: &[Comparison<'_>]) -> Tables {
    let overall = table("All methods".to_string(), OVERALL, groups, &|g| !g.aside);
    let families = groups
        .families()
        .into_iter()
        .map(|family| {
            let title = |what: &str| format!("{}: {what}", capital(family.title()));
            let one = |g: &Group<'_>| g.family() == Some(family) && !g.aside;
            let accuracy = table(title("accuracy"), ACCURACY, groups, &one);
            (
                family,
                Table { remarks: remarks(groups, &one), ..accuracy },
                table(title("size and cost"), COST, groups, &one),
            )
        })
        .collect();
    // A question is asked anew where one of its groups stands aside.
    let question = |g: &Group<'_>| (g.subject, g.series.clone(), g.spec().cloned());
    let anew: Vec<_> = groups.groups.iter().filter(|g| g.aside).map(question).collect();
    let title = "Accuracy against calibration images".to_string();
    let several = |g: &Group<'_>| anew.contains(&question(g));
    let calibration = (!anew.is_empty()).then(|| table(title, CALIBRATION, groups, &several));
    let choices = targets::choices(groups, on);
    let reported = reported::table(groups, comparisons);
    let targets = targets::of_targets(groups, on);
    Tables { overall, families, calibration, reported, choices, targets }
}

/// The narrow table of all methods for a terminal.
pub fn terminal(groups: &Groups<'_>) -> Table {
    let mut table = table("All methods".to_string(), TERMINAL, groups, &|g| !g.aside);
    let aside = groups.groups.iter().filter(|g| g.aside).count();
    if let Some(images) = groups.main_calibration() {
        let word = if aside == 1 { "line" } else { "lines" };
        let _ = write!(
            table.caption,
            "; shown with {} calibration images, {aside} {word} with other numbers are in the report",
            count(images as u64)
        );
    }
    table
}

/// The rules of all groups in words, those first that most follow.
fn rules(shown: &[&Group<'_>]) -> String {
    let mut all: Vec<(String, Vec<String>)> = Vec::new();
    for group in shown {
        let Some(spec) = group.spec() else { continue };
        let rules = protocol::words(spec, group.image_left_in_fp32());
        let who = if group.image_left_in_fp32() {
            format!("{} {}", group.asked.cell.method, group.widths())
        } else {
            group.widths()
        };
        match all.iter_mut().find(|(r, _)| *r == rules) {
            Some((_, names)) if names.contains(&who) => {}
            Some((_, names)) => names.push(who),
            None => all.push((rules, vec![who])),
        }
    }
    match all.as_slice() {
        [] => String::new(),
        [(one, _)] => format!("Rules: {one}"),
        several => {
            let part =
                |(rules, names): &(String, Vec<String>)| format!("{} {rules}", names.join(", "));
            format!("Rules: {}", several.iter().map(part).collect::<Vec<_>>().join("; "))
        }
    }
}

fn table(
    title: String,
    columns: &[(Column, Make)],
    groups: &Groups<'_>,
    shown: &dyn Fn(&Group<'_>) -> bool,
) -> Table {
    let mut notes = Notes::default();
    let mut sections = Vec::new();
    for subject in 0..groups.subjects.len() {
        let mut before = None;
        let mut lines = Vec::new();
        for group in groups.on(subject).filter(|g| shown(g)) {
            lines.push(Line {
                fields: columns.iter().map(|(_, make)| make(group, &mut notes)).collect(),
                reference: group.is_fp32(),
                new_widths: before.replace(group.widths()).is_some_and(|w| w != group.widths()),
            });
        }
        if !lines.is_empty() {
            sections.push(Section {
                model: groups.subjects[subject].model.clone(),
                heading: heading(groups, subject),
                lines,
            });
        }
    }
    let columns = columns.iter().map(|(column, _)| *column).collect();
    let all: Vec<&Group<'_>> = groups.groups.iter().filter(|g| shown(g)).collect();
    let caption = rules(&all);
    Table { title, caption, columns, sections, notes: notes.into_texts(), remarks: Vec::new() }
}

pub(super) fn heading(groups: &Groups<'_>, subject: usize) -> String {
    let name = groups.subject_name(subject);
    match groups.fp32(subject) {
        Some((pct, images)) => {
            format!("{name}: {} test images, FP32 {} %", count(images), two(pct))
        }
        None => name,
    }
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |c| c.to_uppercase().collect::<String>() + chars.as_str())
}

/// The two intervals in words, to stand once above the tables.
pub(crate) fn intervals() -> String {
    format!(
        "Two intervals are kept apart: {OVER_DRAWS}, written ±, is how far the mean moves with other calibration images or seeds; {OVER_TEST_IMAGES} is how far it would move with other test images, where the drop is paired: both networks see the same images. Against the best: whether a result differs from the best of the same widths and rules on these images, tested on the first draw of each (McNemar, mid-p) and adjusted for all of these tests (Holm); below 0.05 it does. A dash stands where a value was not asked for or does not exist."
    )
}
