//! Several methods over several models: ranks, their test and the critical difference.

use statrs::distribution::{ContinuousCDF, FisherSnedecor};

/// Fewest models from which on ranks are compared.
pub const ENOUGH_MODELS: usize = 6;

/// Critical values of the two-sided Nemenyi test at 5 % for 2 to 10 methods: J. Demšar,
/// "Statistical comparisons of classifiers over multiple data sets", JMLR 7, 2006, table 5(a).
const NEMENYI: [f64; 9] = [1.960, 2.343, 2.569, 2.728, 2.850, 2.949, 3.031, 3.102, 3.164];

/// Ranks of methods over models.
#[derive(Debug, Clone, PartialEq)]
pub struct Ranks {
    /// Mean rank of each method; 1 is the most accurate.
    pub mean: Vec<f64>,
    /// Friedman's statistic, corrected for ties.
    pub chi_squared: f64,
    /// p-value that all methods are alike, by Iman and Davenport's F.
    pub p: f64,
    /// Mean ranks further apart than this differ at 5 % (Nemenyi); none beyond ten methods.
    pub critical_difference: Option<f64>,
}

/// Why ranks are not compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoRanks {
    /// Fewer than two methods on common models.
    Methods(usize),
    /// Fewer models than [`ENOUGH_MODELS`].
    Models(usize),
}

impl std::fmt::Display for NoRanks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Methods(n) => write!(f, "{n} methods ran on the same models; 2 are needed"),
            Self::Models(n) => write!(
                f,
                "the methods share {n} models; from {ENOUGH_MODELS} on their ranks say more than chance"
            ),
        }
    }
}

/// Ranks methods by accuracy; `accuracies[model][method]`, equal ones share their mean rank.
///
/// # Errors
/// [`NoRanks`]: too few models or methods.
pub fn friedman(accuracies: &[Vec<f64>]) -> Result<Ranks, NoRanks> {
    let (n, k) = (accuracies.len(), accuracies.first().map_or(0, Vec::len));
    if k < 2 {
        return Err(NoRanks::Methods(k));
    }
    if n < ENOUGH_MODELS {
        return Err(NoRanks::Models(n));
    }
    let ranks: Vec<Vec<f64>> = accuracies.iter().map(|row| ranked(row)).collect();
    let mean: Vec<f64> =
        (0..k).map(|m| ranks.iter().map(|r| r[m]).sum::<f64>() / n as f64).collect();
    let (count, methods) = (n as f64, k as f64);
    let middle = f64::midpoint(methods, 1.0);
    let between: f64 = mean.iter().map(|r| (r - middle).powi(2)).sum();
    let within: f64 = ranks.iter().flatten().map(|r| (r - middle).powi(2)).sum();
    let chi_squared =
        if within > 0.0 { count * count * (methods - 1.0) * between / within } else { 0.0 };
    // R. L. Iman, J. M. Davenport, Commun. Stat. A9, 1980.
    let rest = count * (methods - 1.0) - chi_squared;
    let p = if rest <= 0.0 {
        0.0
    } else {
        let f = (count - 1.0) * chi_squared / rest;
        let distribution = FisherSnedecor::new(methods - 1.0, (methods - 1.0) * (count - 1.0)).ok();
        distribution.map_or(1.0, |d| 1.0 - d.cdf(f))
    };
    let critical_difference =
        NEMENYI.get(k - 2).map(|q| q * (methods * (methods + 1.0) / (6.0 * count)).sqrt());
    Ok(Ranks { mean, chi_squared, p, critical_difference })
}

/// Ranks from 1 for the largest; equal values share the mean of theirs.
fn ranked(values: &[f64]) -> Vec<f64> {
    let rank = |v: &f64| {
        let above = values.iter().filter(|other| other.total_cmp(v).is_gt()).count();
        let equal = values.iter().filter(|other| other.total_cmp(v).is_eq()).count();
        above as f64 + f64::midpoint(equal as f64, 1.0)
    };
    values.iter().map(rank).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_statistic_is_that_of_scipy() {
        let models = vec![
            vec![90.0, 88.0, 85.0],
            vec![91.0, 89.0, 89.0],
            vec![70.0, 71.0, 65.0],
            vec![80.0, 79.0, 78.0],
            vec![60.0, 58.0, 59.0],
            vec![95.0, 94.0, 90.0],
        ];
        let ranks = friedman(&models).unwrap();
        // scipy.stats.friedmanchisquare of the three columns.
        assert!((ranks.chi_squared - 7.913_043_478_260_865).abs() < 1e-9, "{}", ranks.chi_squared);
        let want = [7.0 / 6.0, 12.5 / 6.0, 16.5 / 6.0];
        assert!(ranks.mean.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-12));
        // Demšar: 2.343 sqrt(3 * 4 / (6 * 6)).
        assert!((ranks.critical_difference.unwrap() - 1.352_73).abs() < 1e-4);
        // scipy.stats.f.sf(5 * chi / (12 - chi), 2, 10)
        assert!((ranks.p - 0.004_582_409_1).abs() < 1e-9, "{}", ranks.p);
    }

    #[test]
    fn too_little_is_not_ranked() {
        let few = vec![vec![1.0, 2.0]; 5];
        assert_eq!(friedman(&few), Err(NoRanks::Models(5)));
        assert_eq!(friedman(&[]), Err(NoRanks::Methods(0)));
        let alike = friedman(&vec![vec![1.0, 1.0]; 6]).unwrap();
        assert_eq!((alike.mean, alike.chi_squared), (vec![1.5, 1.5], 0.0));
    }
}
