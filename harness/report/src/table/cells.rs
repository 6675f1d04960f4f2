//! One function for each column: a group to a field.

use quantbench_core::Maker;

use super::{Field, Notes};
use crate::format::{self, NONE, grouped, short, two};
use crate::group::Group;
use crate::protocol;
use crate::stats::Mean;
use crate::summary::{NoSpread, Summary};

/// Makes one field of one group.
pub(super) type Make = fn(&Group<'_>, &mut Notes) -> Field;

/// A field from the numbers, a dash where they are missing.
fn of(group: &Group<'_>, text: impl Fn(&Summary) -> Option<String>) -> Field {
    group.published().and_then(text).unwrap_or_else(|| NONE.to_string()).into()
}

/// Methods whose artefacts another program makes.
const EXTERNAL: [&str; 2] = ["artefact", "external"];

pub(super) fn method(group: &Group<'_>, notes: &mut Notes) -> Field {
    let mut field = Field::from(group.series.clone());
    if EXTERNAL.contains(&group.asked.cell.method.as_str()) {
        field.marks.push(notes.mark(
            "External: the artefact comes from another program; cost and data are as it reports them.",
        ));
    }
    if group.asked.cell.test_images.is_some() {
        field.marks.push(notes.mark(
            "Partial run: only the first test images were evaluated; not fit for publication.",
        ));
    }
    if group.published().is_some_and(|s| !s.gate_checked) && group.asked.cell.test_images.is_none()
    {
        field.marks.push(
            notes.mark("The FP32 gate was not checked: the model's card states no accuracy."),
        );
    }
    field
}

pub(super) fn widths(group: &Group<'_>, notes: &mut Notes) -> Field {
    let mut field = Field::from(group.widths());
    if group.family() == Some(quantbench_core::Family::MixedPrecision) {
        let kind = match group.asked.cell.params.get("budget") {
            Some(kind) => format!("{kind} budget"),
            None => "budget".to_string(),
        };
        field.marks.push(notes.mark(&format!(
            "The widths asked for stand for a {kind}: what the model would cost at these widths throughout. The widths reached are in the weight bits."
        )));
    }
    field
}

pub(super) fn sites(group: &Group<'_>, _: &mut Notes) -> Field {
    group.spec().map_or_else(|| NONE.into(), |s| s.sites.to_string().into())
}

/// The rule that the results follow, which a method may have no means to choose.
pub(super) fn image(group: &Group<'_>, notes: &mut Notes) -> Field {
    let Some(spec) = group.spec() else { return NONE.into() };
    let left = group.image_left_in_fp32();
    let mut field = Field::from(protocol::image(spec, left).to_string());
    if left {
        let asked = spec.image;
        field
            .marks
            .push(notes.mark(&format!("The method leaves the image in FP32 ({asked} was asked).")));
    }
    field
}

pub(super) fn first_last(group: &Group<'_>, _: &mut Notes) -> Field {
    group.spec().map_or_else(|| NONE.into(), |s| s.first_last.to_string().into())
}

/// The protocol as one footnote: sites, image, first and last layer.
pub(super) fn protocol(group: &Group<'_>, notes: &mut Notes) -> Field {
    let Some(spec) = group.spec() else { return NONE.into() };
    let rules = protocol::words(spec, group.image_left_in_fp32());
    let mark = notes.mark(&format!("Protocol: {rules}."));
    Field { text: spec.sites.to_string(), marks: vec![mark] }
}

pub(super) fn data(group: &Group<'_>, _: &mut Notes) -> Field {
    if group.is_fp32() {
        return NONE.into();
    }
    let cell = &group.asked.cell;
    if matches!(cell.maker, Some(Maker::Artefact { .. })) {
        return "made elsewhere".into();
    }
    format::data(cell.needs, cell.calibration_images).into()
}

/// Rows with a result; failed ones are named beside them.
pub(super) fn draws(group: &Group<'_>, notes: &mut Notes) -> Field {
    let (done, failed) = (group.done.len(), group.failed.len());
    if group.is_fp32() && failed == 0 {
        return NONE.into();
    }
    let mut field = Field::from(done.to_string());
    if failed > 0 {
        field.text = format!("{done} of {}", done + failed);
        field.marks.push(
            notes.mark("Some cells failed and enter no mean; see the failures for the reasons."),
        );
    }
    field
}

pub(super) fn fp32(group: &Group<'_>, _: &mut Notes) -> Field {
    of(group, |s| Some(two(s.acc_fp32_pct)))
}

/// Mean and half width of the interval over draws, or a dash with the reason.
pub(super) fn simulated(group: &Group<'_>, notes: &mut Notes) -> Field {
    let Some(s) = group.published() else { return state(group, notes) };
    if group.is_fp32() {
        return two(s.acc_simulated_pct.mean).into();
    }
    spread(&s.acc_simulated_pct, s.no_spread, notes)
}

/// Mean ± half width; without an interval a dash, with the reason where there is one.
fn spread(accuracy: &Mean, no_spread: Option<NoSpread>, notes: &mut Notes) -> Field {
    let mean = two(accuracy.mean);
    match accuracy.interval {
        Some(interval) => format!("{mean} ± {}", two(interval.half_width())).into(),
        None => Field {
            text: format!("{mean} {NONE}"),
            marks: no_spread.map(|why| notes.mark(why.footnote())).into_iter().collect(),
        },
    }
}

/// What stands where the accuracy is missing.
fn state(group: &Group<'_>, notes: &mut Notes) -> Field {
    if group.withheld.is_some() {
        let mark = notes.mark(
            "FP32 gate failed: the FP32 model missed the accuracy of its card, so that no number derived from it is shown.",
        );
        return Field { text: "withheld".to_string(), marks: vec![mark] };
    }
    "failed".into()
}

pub(super) fn over_images(group: &Group<'_>, _: &mut Notes) -> Field {
    of(group, |s| {
        let i = s.over_test_images_pct;
        Some(format!("{}–{}", two(i.low), two(i.high)))
    })
}

pub(super) fn drop_points(group: &Group<'_>, _: &mut Notes) -> Field {
    if group.is_fp32() {
        return NONE.into();
    }
    of(group, |s| Some(two(s.drop_points)))
}

/// The interval of the drop over test images, or a dash with the reason.
pub(super) fn drop_interval(group: &Group<'_>, notes: &mut Notes) -> Field {
    if group.is_fp32() || group.published().is_none() {
        return NONE.into();
    }
    match (&group.paired.drop_points, group.paired.missing) {
        (Some(i), _) => format!("{} to {}", two(i.low), two(i.high)).into(),
        (None, Some(why)) => {
            let mark = notes.mark(&format!("No paired interval: {why}."));
            Field { text: NONE.to_string(), marks: vec![mark] }
        }
        (None, None) => NONE.into(),
    }
}

/// Whether it differs from the best of the same widths.
pub(super) fn against_best(group: &Group<'_>, _: &mut Notes) -> Field {
    match group.paired.against_best {
        Some(against) if against.p < 0.001 => "<0.001".into(),
        Some(against) => format!("{:.3}", against.p).into(),
        None if group.paired.is_best => "best".into(),
        None => NONE.into(),
    }
}

/// Mean deployed accuracy and half width of its interval over draws, or a dash with the reason.
pub(super) fn deployed(group: &Group<'_>, notes: &mut Notes) -> Field {
    let deployed = group.published().and_then(|s| Some((s.deployed.as_ref()?, s.no_spread)));
    let field = match deployed {
        // Where the simulated accuracy has an interval and this one has none, the mark for
        // "some of the draws only" says why.
        Some((d, no_spread)) => spread(&d.acc_pct, no_spread, notes),
        None => NONE.into(),
    };
    deployed_marks(field, group, notes)
}

/// Mean deployed accuracy alone, for a narrow table.
pub(super) fn deployed_mean(group: &Group<'_>, notes: &mut Notes) -> Field {
    let field = of(group, |s| s.deployed.map(|d| two(d.acc_pct.mean)));
    deployed_marks(field, group, notes)
}

fn deployed_marks(mut field: Field, group: &Group<'_>, notes: &mut Notes) -> Field {
    if let Some(s) = group.published() {
        match (&s.deployed, &s.deployed_reason) {
            (Some(d), _) if d.acc_pct.n < s.acc_simulated_pct.n => {
                field.marks.push(notes.mark("Deployed accuracy of some of the draws only."));
            }
            (None, Some(why)) => {
                field.marks.push(notes.mark(&format!("No deployed accuracy: {why}")));
            }
            _ => {}
        }
    }
    field
}

pub(super) fn gap(group: &Group<'_>, _: &mut Notes) -> Field {
    of(group, |s| s.deployed.map(|d| two(d.gap_points)))
}

pub(super) fn integer_layers(group: &Group<'_>, _: &mut Notes) -> Field {
    of(group, |s| s.deployed.map(|d| format!("{}/{}", d.integer_layers, d.layers)))
}

pub(super) fn mean_bits(group: &Group<'_>, _: &mut Notes) -> Field {
    of(group, |s| Some(two(s.weights_mean_bits)))
}

pub(super) fn min_max_bits(group: &Group<'_>, _: &mut Notes) -> Field {
    of(group, |s| match (s.weights_min_bits?, s.weights_max_bits?) {
        (low, high) if low == high => Some(low.to_string()),
        (low, high) => Some(format!("{low}–{high}")),
    })
}

pub(super) fn theoretical(group: &Group<'_>, _: &mut Notes) -> Field {
    of(group, |s| Some(short(s.theoretical_bytes / 1024.0)))
}

pub(super) fn packed(group: &Group<'_>, _: &mut Notes) -> Field {
    of(group, |s| Some(short(s.packed_bytes / 1024.0)))
}

pub(super) fn file(group: &Group<'_>, _: &mut Notes) -> Field {
    of(group, |s| Some(short(s.file_bytes / 1024.0)))
}

pub(super) fn compression(group: &Group<'_>, _: &mut Notes) -> Field {
    of(group, |s| Some(two(s.compression_weights_only)))
}

pub(super) fn bit_operations(group: &Group<'_>, _: &mut Notes) -> Field {
    of(group, |s| Some(short(s.bit_operations / 1e9)))
}

/// A field from the cost of the method, with a note if cells shared the machine.
fn of_cost(
    group: &Group<'_>,
    notes: &mut Notes,
    text: fn(&crate::summary::CostSummary) -> String,
) -> Field {
    let cost = group.published().and_then(|s| s.cost.as_ref()).filter(|_| !group.is_fp32());
    let Some(cost) = cost else { return NONE.into() };
    let mut field = Field::from(text(cost));
    if cost.jobs > 1 {
        field.marks.push(notes.mark(&format!(
            "Up to {} cells ran at once: wall seconds are an upper bound.",
            grouped(cost.jobs as i64)
        )));
    }
    field
}

pub(super) fn wall(group: &Group<'_>, notes: &mut Notes) -> Field {
    of_cost(group, notes, |c| short(c.wall_s))
}

pub(super) fn cpu(group: &Group<'_>, _: &mut Notes) -> Field {
    of_cost(group, &mut Notes::default(), |c| short(c.cpu_s)).text.into()
}

pub(super) fn peak(group: &Group<'_>, _: &mut Notes) -> Field {
    of_cost(group, &mut Notes::default(), |c| short(c.peak_mib)).text.into()
}

pub(super) fn images_read(group: &Group<'_>, _: &mut Notes) -> Field {
    of(group, |s| (!group.is_fp32()).then(|| short(s.images_read)))
}

pub(super) fn calibration_images(group: &Group<'_>, _: &mut Notes) -> Field {
    format::count(group.asked.cell.calibration_images as u64).into()
}

/// The lowest and the highest accuracy of a draw.
pub(super) fn worst_best(group: &Group<'_>, _: &mut Notes) -> Field {
    let all = group.accuracies_pct();
    let low = all.iter().copied().fold(f64::INFINITY, f64::min);
    let high = all.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if all.len() < 2 { NONE.into() } else { format!("{}–{}", two(low), two(high)).into() }
}
