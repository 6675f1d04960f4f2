//! Factors of symmetric positive definite matrices in FP64, in blocks.

use ndarray::linalg::general_mat_mul;
use ndarray::{Array2, ArrayView2, s};
use rayon::prelude::*;

/// Rows of a block.
const BLOCK: usize = 64;

/// The upper factor `U` of an inverse: `U^T U = H^-1`. `None` if `H` is not positive definite.
///
/// `H = R R^T` with `R` upper (the factor of `H` with rows and columns in reverse), so that
/// `U = R^-1`: the inverse itself is never formed.
pub fn inverse_factor(h: &Array2<f64>) -> Option<Array2<f64>> {
    let mut l = h.slice(s![..;-1, ..;-1]).to_owned();
    lower_factor(&mut l)?;
    Some(invert_lower(&l).slice(s![..;-1, ..;-1]).to_owned())
}

/// Replaces a matrix by its lower factor `L`, `L L^T = A`; what is above the diagonal is left
/// undefined. `None` if it is not positive definite.
fn lower_factor(a: &mut Array2<f64>) -> Option<()> {
    let n = a.nrows();
    for k in (0..n).step_by(BLOCK) {
        let end = (k + BLOCK).min(n);
        diagonal_block(a, k, end)?;
        let (head, mut tail) = a.view_mut().split_at(ndarray::Axis(0), end);
        let corner = head.slice(s![k..end, k..end]);
        // Rows below: solve against the corner, one row at a time.
        let rows: Vec<_> = tail.rows_mut().into_iter().collect();
        rows.into_par_iter().for_each(|mut row| {
            for j in 0..end - k {
                let mut sum = row[k + j];
                for i in 0..j {
                    sum -= row[k + i] * corner[[j, i]];
                }
                row[k + j] = sum / corner[[j, j]];
            }
        });
        let panel = tail.slice(s![.., k..end]).to_owned();
        let blocks: Vec<_> = tail.axis_chunks_iter_mut(ndarray::Axis(0), BLOCK).collect();
        blocks.into_par_iter().enumerate().for_each(|(b, mut block)| {
            let (first, last) = (b * BLOCK, (b * BLOCK + block.nrows()).min(panel.nrows()));
            let own = panel.slice(s![first..last, ..]);
            let others = panel.slice(s![..last, ..]);
            let mut target = block.slice_mut(s![.., end..end + last]);
            general_mat_mul(-1.0, &own, &others.t(), 1.0, &mut target);
        });
    }
    Some(())
}

/// Factors the block of rows and columns `k..end`.
fn diagonal_block(a: &mut Array2<f64>, k: usize, end: usize) -> Option<()> {
    for j in k..end {
        for i in j..end {
            let mut sum = a[[i, j]];
            for p in k..j {
                sum -= a[[i, p]] * a[[j, p]];
            }
            if i > j {
                a[[i, j]] = sum / a[[j, j]];
            } else if sum > 0.0 && sum.is_finite() {
                a[[j, j]] = sum.sqrt();
            } else {
                return None;
            }
        }
    }
    Some(())
}

/// The inverse of a lower triangular matrix.
fn invert_lower(l: &Array2<f64>) -> Array2<f64> {
    let n = l.nrows();
    let mut out = Array2::<f64>::zeros((n, n));
    for k in (0..n).step_by(BLOCK) {
        let end = (k + BLOCK).min(n);
        let (done, mut block) = out.view_mut().split_at(ndarray::Axis(0), k);
        let mut block = block.slice_mut(s![..end - k, ..]);
        if k > 0 {
            let left: ArrayView2<f64> = l.slice(s![k..end, ..k]);
            let mut target = block.slice_mut(s![.., ..k]);
            general_mat_mul(-1.0, &left, &done.slice(s![.., ..k]), 0.0, &mut target);
        }
        for i in 0..end - k {
            block[[i, k + i]] = 1.0;
            let (above, mut row) = block.view_mut().split_at(ndarray::Axis(0), i);
            let mut row = row.row_mut(0);
            for j in 0..i {
                row.scaled_add(-l[[k + i, k + j]], &above.row(j));
            }
            row.mapv_inplace(|v| v / l[[k + i, k + i]]);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A matrix of full rank with correlated rows.
    pub(crate) fn positive(n: usize, seed: u64) -> Array2<f64> {
        let x = Array2::from_shape_fn((n, 2 * n), |(i, j)| {
            let k = (i * 131 + j * 71 + i * j * 17) as u64 + seed * 7919;
            ((k * k + 31 * k) % 1009) as f64 / 500.0 - 0.8
        });
        x.dot(&x.t()) / n as f64 + Array2::<f64>::eye(n) * 0.01
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn the_factor_is_that_of_the_inverse(n in 1usize..200, seed in 0u64..50) {
            let h = positive(n, seed);
            let u = inverse_factor(&h).unwrap();
            for i in 0..n {
                for j in 0..i {
                    prop_assert_eq!(u[[i, j]], 0.0);
                }
            }
            let one = u.t().dot(&u).dot(&h);
            let worst = (one - Array2::<f64>::eye(n)).iter().fold(0f64, |m, d| m.max(d.abs()));
            prop_assert!(worst < 1e-7, "{worst}");
        }
    }

    #[test]
    fn what_is_not_positive_definite_is_refused() {
        for n in [1, 3, 100] {
            assert!(inverse_factor(&Array2::zeros((n, n))).is_none());
            let mut h = Array2::<f64>::eye(n);
            h[[n - 1, n - 1]] = -1.0;
            assert!(inverse_factor(&h).is_none());
            h[[n - 1, n - 1]] = f64::NAN;
            assert!(inverse_factor(&h).is_none());
        }
    }
}
