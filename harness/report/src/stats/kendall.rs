//! Kendall's rank correlation.

/// Kendall's tau-b of pairs: 1 where both orders agree, -1 where one is the other reversed.
///
/// Ties count for neither side (M. G. Kendall, "The treatment of ties in ranking problems",
/// Biometrika 33, 1945). None for fewer than two pairs, or where one side is all ties.
pub fn tau_b(pairs: &[(f64, f64)]) -> Option<f64> {
    let (mut concordant, mut discordant, mut first, mut second) = (0_u64, 0_u64, 0_u64, 0_u64);
    for (i, a) in pairs.iter().enumerate() {
        for b in &pairs[i + 1..] {
            let (x, y) = (a.0.total_cmp(&b.0), a.1.total_cmp(&b.1));
            match (x.is_eq(), y.is_eq()) {
                (true, true) => {}
                (true, false) => second += 1,
                (false, true) => first += 1,
                _ if x == y => concordant += 1,
                _ => discordant += 1,
            }
        }
    }
    let both = (concordant + discordant) as f64;
    let scale = ((both + first as f64) * (both + second as f64)).sqrt();
    (scale > 0.0).then(|| (concordant as f64 - discordant as f64) / scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tau_is_that_of_scipy() {
        // scipy.stats.kendalltau([12, 2, 1, 12, 2], [1, 4, 7, 1, 0]).statistic
        let pairs = [(12.0, 1.0), (2.0, 4.0), (1.0, 7.0), (12.0, 1.0), (2.0, 0.0)];
        let tau = tau_b(&pairs).unwrap();
        assert!((tau + 0.471_404_520_791_031_73).abs() < 1e-12, "{tau}");
        assert_eq!(tau_b(&[(1.0, 5.0), (2.0, 6.0), (3.0, 9.0)]), Some(1.0));
        assert_eq!(tau_b(&[(1.0, 5.0), (1.0, 6.0)]), None);
        assert_eq!(tau_b(&[(1.0, 5.0)]), None);
    }
}
