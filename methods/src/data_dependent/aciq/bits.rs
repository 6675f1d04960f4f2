//! Bits per output channel: levels in proportion to the spread to the power 2/3 (Banner et al.
//! 2019, arXiv:1810.05723, section 4, equation 11).

/// Widths above this are not spread, as in the official code.
pub(super) const LARGEST: u8 = 4;

/// The most bits of a channel.
const MOST: f64 = 8.0;

/// Rounds of the search for the target whose rounded widths have the right mean.
const ROUNDS: usize = 10;

/// Whole bits from 0 to 8 per channel whose mean is as near to `mean_bits` as ten rounds of the
/// paper's correction bring it; of equal ones the first. Channels without spread get no bits.
pub(super) fn allocate(deviations: &[f64], mean_bits: u8) -> Vec<u8> {
    let uniform = vec![mean_bits; deviations.len()];
    let powers: Vec<f64> = deviations.iter().map(|d| d.powf(2.0 / 3.0)).collect();
    let total: f64 = powers.iter().sum();
    if !(total > 0.0 && total.is_finite()) {
        return uniform;
    }
    let (count, goal) = (deviations.len() as f64, f64::from(mean_bits));
    let mut target = goal;
    let mut found = (uniform, f64::INFINITY);
    for _ in 0..ROUNDS {
        let width = |p: &f64| (target + (count * p / total).log2()).round_ties_even();
        let widths: Vec<u8> = powers.iter().map(|p| width(p).clamp(0.0, MOST) as u8).collect();
        let off = goal - mean(&widths);
        if off.abs() < found.1 {
            found = (widths, off.abs());
        }
        if off.abs() <= 0.01 {
            break;
        }
        target += off / 2.0;
    }
    found.0
}

fn mean(widths: &[u8]) -> f64 {
    widths.iter().map(|&w| f64::from(w)).sum::<f64>() / (widths.len() as f64).max(1.0)
}

/// What there is to say where not all channels have the width that was asked.
pub(super) fn note(layer: &str, widths: &[u8], asked: u8) -> Option<String> {
    if widths.iter().all(|&w| w == asked) {
        return None;
    }
    let (least, most) = (widths.iter().min()?, widths.iter().max()?);
    Some(format!(
        "{layer}: {least} to {most} bits per channel, {:.2} on average; stored and counted at {}",
        mean(widths),
        most.max(&1)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn eight_times_the_spread_is_two_bits_more() {
        assert_eq!(allocate(&[1.0; 5], 4), [4; 5]);
        assert_eq!(allocate(&[1.0, 8.0], 3), [2, 4]);
        assert_eq!(allocate(&[0.0; 3], 2), [2; 3]);
        // A dead channel gets nothing, and the others what it leaves.
        let widths = allocate(&[0.0, 1.0, 1.0, 1.0], 3);
        assert_eq!(widths, [0, 4, 4, 4]);
    }

    #[test]
    fn the_note_names_mean_and_width() {
        let note = note("conv", &[2, 4, 3], 3).unwrap();
        assert!(note.contains("2 to 4 bits per channel, 3.00 on average"), "{note}");
        assert!(note.contains("counted at 4"), "{note}");
        assert_eq!(super::note("conv", &[3, 3], 3), None);
    }

    proptest! {
        #[test]
        fn the_mean_is_kept_and_more_spread_gets_no_fewer_bits(
            deviations in prop::collection::vec(0.01f64..1.0, 16..100), mean_bits in 2u8..=4,
        ) {
            let widths = allocate(&deviations, mean_bits);
            // A few channels of the same spread change their width together.
            let near = 0.2 + 2.0 / deviations.len() as f64;
            prop_assert!((mean(&widths) - f64::from(mean_bits)).abs() < near, "{widths:?}");
            for (a, x) in deviations.iter().zip(&widths) {
                for (b, y) in deviations.iter().zip(&widths) {
                    prop_assert!(a > b || x <= y);
                }
            }
        }
    }
}
