//! How long the cells that are left will take.

use std::collections::BTreeMap;
use std::time::Duration;

use quantbench_core::card::Family;
use quantbench_core::row::{Cell, Row, Status};

use crate::plan::Plan;
use crate::store::Snapshot;

/// Seconds left, and what they rest on.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Estimate {
    /// Seconds of all cells left, one after the other.
    pub seconds: f64,
    /// Cells left.
    pub cells: usize,
    /// How many of them are guessed because nothing like them was observed.
    pub guessed: usize,
    /// How many of them start within the plan's time budget, one after the other.
    pub within: usize,
}

/// Observed times by what they depend on, most specific first.
#[derive(Debug, Clone, Default)]
pub struct Times {
    /// Mean seconds and count by model, method, widths and calibration images; then without the
    /// images; then by model and method alone.
    means: BTreeMap<[String; 3], (f64, u32)>,
}

impl Times {
    /// The times of all rows of a run folder.
    pub fn of(rows: &Snapshot) -> Self {
        let mut times = Self::default();
        rows.rows().for_each(|row| times.add(row));
        times
    }

    /// Learns from a row, unless its time cannot be one.
    pub fn add(&mut self, row: &Row) {
        let seconds = row.observed.cell_s;
        if row.status != Status::Done || !seconds.is_finite() || seconds < 0.0 {
            return;
        }
        for key in keys(&row.cell) {
            let (mean, n) = self.means.entry(key).or_insert((0.0, 0));
            *n += 1;
            *mean += (seconds - *mean) / f64::from(*n);
        }
    }

    /// Seconds of a cell, and whether that is a guess.
    pub fn expect(&self, cell: &Cell, test_images: Option<usize>) -> (f64, bool) {
        let known = keys(cell).into_iter().find_map(|key| self.means.get(&key));
        known.map_or_else(|| (guess(cell, test_images), true), |(mean, _)| (*mean, false))
    }
}

/// Seconds as a time, a century at most: what row files say is not to be trusted.
pub fn duration(seconds: f64) -> Duration {
    const CENTURY: f64 = 100.0 * 365.25 * 86_400.0;
    Duration::try_from_secs_f64(seconds.min(CENTURY)).unwrap_or_default()
}

fn keys(cell: &Cell) -> [[String; 3]; 3] {
    let images = cell.test_images.map_or(String::new(), |n| format!("@{n}"));
    let model = format!("{}{images}", cell.model);
    let widths = cell.spec.as_ref().map_or(String::new(), |s| s.bits.to_string());
    let exactly = format!("{widths}/{}", cell.calibration_images);
    [exactly, widths, String::new()].map(|spec| [model.clone(), cell.method.clone(), spec])
}

/// A rough guess for a small residual network on two cores: 1,500 images per second forward,
/// a second to start, and a number of passes over the calibration images by family.
fn guess(cell: &Cell, test_images: Option<usize>) -> f64 {
    const IMAGES_PER_SECOND: f64 = 1_500.0;
    let passes = match cell.family {
        None | Some(Family::DataFree) => 0.0,
        Some(Family::DataDependent | Family::ExtremelyLowBit) => 4.0,
        Some(Family::MixedPrecision) => 60.0,
    };
    let evaluated = cell.test_images.or(test_images).unwrap_or(10_000) as f64;
    let evaluations = if cell.deployed { 2.0 } else { 1.0 };
    1.0 + (evaluated * evaluations + passes * cell.calibration_images as f64) / IMAGES_PER_SECOND
}

/// The time that the cells of a plan without a row will take.
pub fn estimate(plan: &Plan, rows: &Snapshot) -> Estimate {
    let times = Times::of(rows);
    let budget = plan.time_budget.map_or(f64::INFINITY, |t| t.as_secs_f64());
    let mut out = Estimate::default();
    for cell in plan.cells.iter().filter(|c| !rows.has(c)) {
        out.within += usize::from(out.seconds < budget);
        let (seconds, guessed) = times.expect(&cell.cell, plan.test_images);
        out.seconds += seconds;
        out.cells += 1;
        out.guessed += usize::from(guessed);
    }
    out
}

#[cfg(test)]
mod tests {
    use quantbench_core::row::{Ids, Observed, SCHEMA};
    use quantbench_core::{Needs, Params, Spec};

    use super::*;

    fn cell(method: &str, widths: &str, family: Family) -> Cell {
        Cell {
            model: "m".into(),
            dataset: "d".into(),
            method: method.into(),
            method_version: 1,
            family: Some(family),
            needs: Needs::Unlabelled,
            params: Params::new(),
            spec: Some(Spec::from_widths(widths.parse().unwrap())),
            calibration_images: 1500,
            draw: Some(0),
            seed: None,
            test_images: None,
            deployed: false,
            maker: None,
        }
    }

    fn row(cell: Cell, seconds: f64) -> Row {
        Row {
            schema: SCHEMA,
            survey: "s".into(),
            cell,
            ids: Ids::default(),
            status: Status::Done,
            reason: None,
            result: None,
            observed: Observed { cell_s: seconds, ..Observed::default() },
        }
    }

    #[test]
    fn what_was_observed_comes_before_a_guess() {
        let family = Family::DataDependent;
        let mut times = Times::default();
        assert_eq!(times.expect(&cell("a", "w4a4", family), Some(1500)), (6.0, true));
        times.add(&row(cell("a", "w4a4", family), 2.0));
        times.add(&row(cell("a", "w4a4", family), 4.0));
        times.add(&row(cell("a", "w8a8", family), 9.0));
        assert_eq!(times.expect(&cell("a", "w4a4", family), None), (3.0, false));
        assert_eq!(times.expect(&cell("a", "w2a2", family), None), (5.0, false), "other widths");
        assert!(times.expect(&cell("b", "w4a4", family), None).1);
        let partial = Cell { test_images: Some(10), ..cell("a", "w4a4", family) };
        assert!(times.expect(&partial, None).1, "fewer images take another time");
        let failed = Row { status: Status::Failed, ..row(cell("b", "w4a4", family), 1.0) };
        times.add(&failed);
        assert!(times.expect(&cell("b", "w4a4", family), None).1);
    }

    #[test]
    fn times_that_cannot_be_are_not_learned_and_never_panic() {
        let mut times = Times::default();
        let one = cell("a", "w4a4", Family::DataDependent);
        for seconds in [-1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            times.add(&row(one.clone(), seconds));
            assert!(times.expect(&one, None).1, "{seconds}");
        }
        times.add(&row(one.clone(), 1e300));
        let century = duration(times.expect(&one, None).0);
        assert_eq!(century.as_secs(), 3_155_760_000);
        assert_eq!(duration(f64::INFINITY), century);
        assert_eq!(duration(1.5), Duration::from_millis(1500));
        assert_eq!(duration(-1.0), Duration::ZERO);
        duration(f64::NAN);
    }
}
