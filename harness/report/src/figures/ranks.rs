//! Critical-difference diagrams: mean ranks of methods, those that do not differ joined by a bar.

use super::canvas::{Anchor, Canvas, cut, ink, tick_text};
use super::style::{INK, SOFT};
use super::{Draft, Sources};
use crate::format::two;
use crate::ranks::Ranking;
use crate::stats::Ranks;

const TEXT: f64 = 12.0;
const LEFT: f64 = 190.0;
const WIDTH: f64 = 380.0;

/// One figure for each ranking over enough models.
pub(super) fn figures(sources: &Sources<'_>) -> Vec<Draft> {
    let drawn = |ranking: &Ranking| {
        let ranks = ranking.ranks.as_ref().ok()?;
        let caption = format!(
            "Mean ranks over {} models, 1 is the most accurate (Friedman's chi-squared {}, p = {:.3} by Iman and Davenport's F). A bar joins methods whose ranks differ by less than the critical difference (Nemenyi, 5 %){}.",
            ranking.models,
            two(ranks.chi_squared),
            ranks.p,
            ranks.critical_difference.map_or_else(
                || ", which is known for up to ten methods".to_string(),
                |cd| format!(", {}", two(cd))
            ),
        );
        Some(Draft {
            title: ranking.question.clone(),
            extra: String::new(),
            caption,
            markers: ranking.methods.len(),
            canvas: draw(ranking, ranks),
        })
    };
    sources.rankings.iter().filter_map(drawn).collect()
}

fn draw(ranking: &Ranking, ranks: &Ranks) -> Canvas {
    let count = ranking.methods.len();
    let mut order: Vec<usize> = (0..count).collect();
    order.sort_by(|a, b| ranks.mean[*a].total_cmp(&ranks.mean[*b]));
    let x = |rank: f64| LEFT + WIDTH * (rank - 1.0) / (count as f64 - 1.0);
    let bars = bars(&order, ranks);
    let (axis, line) = (56.0, 20.0);
    let below = axis + 16.0 + bars.len() as f64 * 8.0;
    let height = below + count as f64 * line + 20.0;
    let mut canvas = Canvas::new(LEFT + WIDTH + 60.0, height);
    let c = &mut canvas;
    c.text(&cut(&ranking.question, 60), (16.0, 22.0), ink(INK, 15.0, Anchor::Left, true));
    c.line(&[(x(1.0), axis), (x(count as f64), axis)], INK, 1.2);
    for rank in 1..=count {
        let at = x(rank as f64);
        c.line(&[(at, axis - 4.0), (at, axis)], INK, 1.2);
        c.text(&tick_text(rank as f64), (at, axis - 13.0), ink(SOFT, TEXT, Anchor::Centre, false));
    }
    for (i, (low, high)) in bars.iter().enumerate() {
        let y = axis + 10.0 + i as f64 * 8.0;
        c.line(&[(x(*low) - 3.0, y), (x(*high) + 3.0, y)], INK, 3.0);
    }
    for (i, method) in order.iter().enumerate() {
        let (rank, y) = (ranks.mean[*method], below + i as f64 * line + 8.0);
        c.line(&[(x(rank), axis), (x(rank), y), (LEFT - 8.0, y)], SOFT, 1.0);
        let name = format!("{} {}", cut(&ranking.methods[*method], 20), two(rank));
        c.text(&name, (LEFT - 12.0, y), ink(INK, TEXT, Anchor::Right, false));
    }
    canvas
}

/// Ends of the longest runs of ranks within the critical difference.
fn bars(order: &[usize], ranks: &Ranks) -> Vec<(f64, f64)> {
    let Some(difference) = ranks.critical_difference else { return Vec::new() };
    let sorted: Vec<f64> = order.iter().map(|i| ranks.mean[*i]).collect();
    let mut bars: Vec<(f64, f64)> = Vec::new();
    for (i, low) in sorted.iter().enumerate() {
        let within = sorted.iter().rev().find(|high| **high - low <= difference);
        let Some(high) = within.copied().filter(|high| high > low) else { continue };
        let last = bars.last().map_or(f64::NEG_INFINITY, |bar| bar.1);
        if i == 0 || high > last {
            bars.push((*low, high));
        }
    }
    bars
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_join_what_does_not_differ_and_none_lies_in_another() {
        let ranks = Ranks {
            mean: vec![3.6, 1.2, 2.0, 3.2],
            chi_squared: 9.0,
            p: 0.01,
            critical_difference: Some(1.3),
        };
        assert_eq!(bars(&[1, 2, 3, 0], &ranks), [(1.2, 2.0), (2.0, 3.2), (3.2, 3.6)]);
        let all = Ranks { critical_difference: Some(9.0), ..ranks.clone() };
        assert_eq!(bars(&[1, 2, 3, 0], &all), [(1.2, 3.6)]);
        let none = Ranks { critical_difference: None, ..ranks };
        assert!(bars(&[1, 2, 3, 0], &none).is_empty());
    }
}
