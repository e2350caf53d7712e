//! Eigenvalues and eigenvectors of a symmetric positive definite matrix, by one-sided Jacobi.
//!
//! With the Cholesky factor C = L L^T, the rows of X = L^T are turned in pairs until they are orthogonal to each
//! other. X^T X = C never changes, so at the end each row is an eigenvector times the square root of its
//! eigenvalue. Rows are contiguous, nothing else need be stored, and small eigenvalues come out with small
//! relative errors (Demmel and Veselic 1992). A sweep takes about 5 n^3 operations, and there are six to ten.

/// An eigendecomposition: C is the sum over k of `values[k] v_k v_k^T`.
#[derive(Clone, Debug, PartialEq)]
pub struct Eigen {
    /// The eigenvalues, largest first; all above zero.
    pub values: Vec<f64>,
    /// The eigenvectors, `[n, n]`: row k is v_k, of unit length and orthogonal to the others.
    pub vectors: Vec<f64>,
}

/// Why there is no decomposition.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum NoEigen {
    /// The slice is not n times n long, or a number in it is not finite.
    NotAMatrix,
    /// The matrix is not positive definite: what is left of this diagonal entry, once the rows before it are
    /// taken into account, is not above rounding error.
    NotPositive {
        /// The row.
        row: usize,
        /// What is left of its diagonal entry.
        left: f64,
    },
    /// The rows were not orthogonal after sixty sweeps.
    Unfinished,
}

const SWEEPS: usize = 60;

/// The eigenvalues and eigenvectors of `matrix`, row-major n by n; only its lower triangle is read.
pub fn positive_definite(matrix: &[f64], n: usize) -> Result<Eigen, NoEigen> {
    if n.checked_mul(n) != Some(matrix.len()) || matrix.iter().any(|v| !v.is_finite()) {
        return Err(NoEigen::NotAMatrix);
    }
    if n == 0 {
        let (values, vectors) = (Vec::new(), Vec::new());
        return Ok(Eigen { values, vectors });
    }
    let mut rows = transpose(&cholesky(matrix, n)?, n);
    orthogonalise(&mut rows, n)?;

    let mut pairs: Vec<(f64, &mut [f64])> =
        rows.chunks_exact_mut(n).map(|row| (dot(row, row), row)).collect();
    pairs.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut eigen = Eigen { values: Vec::with_capacity(n), vectors: Vec::with_capacity(n * n) };
    for (value, row) in pairs {
        let length = value.sqrt();
        eigen.values.push(value);
        eigen.vectors.extend(row.iter().map(|v| v / length));
    }
    Ok(eigen)
}

/// The lower triangle L with L L^T = C.
fn cholesky(matrix: &[f64], n: usize) -> Result<Vec<f64>, NoEigen> {
    let mut l = vec![0.0; n * n];
    for i in 0..n {
        let (above, below) = l.split_at_mut(i * n);
        let row = &mut below[..n];
        for (j, other) in above.chunks_exact(n).enumerate() {
            row[j] = (matrix[i * n + j] - dot(&row[..j], &other[..j])) / other[j];
        }
        let diagonal = matrix[i * n + i];
        let left = diagonal - dot(&row[..i], &row[..i]);
        if left.is_nan() || left <= n as f64 * f64::EPSILON * diagonal.abs() {
            return Err(NoEigen::NotPositive { row: i, left });
        }
        row[i] = left.sqrt();
    }
    Ok(l)
}

fn transpose(matrix: &[f64], n: usize) -> Vec<f64> {
    let column = |j: usize| matrix.iter().skip(j).step_by(n).copied();
    (0..n).flat_map(column).collect()
}

/// Turns the rows in pairs until every pair is orthogonal to within rounding.
fn orthogonalise(rows: &mut [f64], n: usize) -> Result<(), NoEigen> {
    let enough = 2.0 * f64::EPSILON * (n as f64).sqrt();
    for _ in 0..SWEEPS {
        let mut done = true;
        for p in 0..n {
            let (head, tail) = rows.split_at_mut((p + 1) * n);
            let first = &mut head[p * n..];
            for second in tail.chunks_exact_mut(n) {
                let (a, b, c) = (dot(first, first), dot(second, second), dot(first, second));
                if c.abs() <= enough * (a * b).sqrt() {
                    continue;
                }
                done = false;
                // the smaller of the two turns that make the pair orthogonal
                let zeta = (b - a) / (2.0 * c);
                let tan = zeta.signum() / (zeta.abs() + zeta.hypot(1.0));
                let cos = 1.0 / tan.hypot(1.0);
                let sin = cos * tan;
                for (x, y) in first.iter_mut().zip(second.iter_mut()) {
                    (*x, *y) = (cos * *x - sin * *y, sin * *x + cos * *y);
                }
            }
        }
        if done {
            return Ok(());
        }
    }
    Err(NoEigen::Unfinished)
}

/// The inner product of as many numbers each, in eight strands so that it runs at the speed of the machine.
pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    debug_assert_eq!(a.len(), b.len(), "as many numbers");
    let (a8, a_rest) = a.as_chunks::<8>();
    let (b8, b_rest) = b.as_chunks::<8>();
    let mut strands = [0.0; 8];
    for (a, b) in a8.iter().zip(b8) {
        for ((s, a), b) in strands.iter_mut().zip(a).zip(b) {
            *s += a * b;
        }
    }
    let rest: f64 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    strands.iter().sum::<f64>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    /// The matrix of a decomposition.
    fn rebuilt(e: &Eigen, n: usize) -> Vec<f64> {
        let mut c = vec![0.0; n * n];
        for (value, v) in e.values.iter().zip(e.vectors.chunks_exact(n)) {
            for i in 0..n {
                for j in 0..n {
                    c[i * n + j] += value * v[i] * v[j];
                }
            }
        }
        c
    }

    fn check(matrix: &[f64], n: usize) -> Eigen {
        let e = positive_definite(matrix, n).expect("positive definite");
        let norm = e.values[0];
        // a backward stable method: n rounding errors of the norm, ten sweeps
        let slack = 20.0 * n as f64 * f64::EPSILON;
        for (got, wanted) in rebuilt(&e, n).iter().zip(matrix) {
            assert!((got - wanted).abs() <= slack * norm, "{n}: {got}, wanted {wanted}");
        }
        for (i, v) in e.vectors.chunks_exact(n).enumerate() {
            for (j, w) in e.vectors.chunks_exact(n).enumerate() {
                let wanted = if i == j { 1.0 } else { 0.0 };
                assert!((dot(v, w) - wanted).abs() <= slack, "{n}: rows {i}, {j}");
            }
        }
        assert!(e.values.windows(2).all(|p| p[0] >= p[1]));
        e
    }

    #[test]
    fn small_matrices_have_the_values_of_the_book() {
        let e = check(&[2.0, 1.0, 1.0, 2.0], 2);
        assert!((e.values[0] - 3.0).abs() < 1e-15 && (e.values[1] - 1.0).abs() < 1e-15, "{e:?}");
        assert!((e.vectors[0].abs() - 0.5f64.sqrt()).abs() < 1e-15);
        assert!(e.vectors[0] * e.vectors[1] > 0.0 && e.vectors[2] * e.vectors[3] < 0.0);
        assert_eq!(check(&[4.0], 1).values, [4.0]);
        assert_eq!(check(&[1.0, 0.0, 0.0, 0.0, 9.0, 0.0, 0.0, 0.0, 4.0], 3).values, [9.0, 4.0, 1.0]);
        // second differences: 2 - 2 cos(k pi/(n+1))
        let n = 10usize;
        let c: Vec<f64> = (0..n * n)
            .map(|at| match (at / n).abs_diff(at % n) {
                0 => 2.0,
                1 => -1.0,
                _ => 0.0,
            })
            .collect();
        for (k, value) in check(&c, n).values.iter().rev().enumerate() {
            let angle = std::f64::consts::PI * (k + 1) as f64 / (n + 1) as f64;
            assert!((value - (2.0 - 2.0 * angle.cos())).abs() < 1e-14, "{k}: {value}");
        }
    }

    #[test]
    fn random_matrices_are_rebuilt() {
        let mut rng = StdRng::seed_from_u64(7);
        for n in [2, 3, 7, 8, 9, 31, 64, 101] {
            let a: Vec<f64> = (0..n * n).map(|_| rng.random_range(-1.0..1.0)).collect();
            let mut c = vec![0.0; n * n];
            for i in 0..n {
                for j in 0..=i {
                    let v =
                        dot(&a[i * n..(i + 1) * n], &a[j * n..(j + 1) * n]) + if i == j { 0.01 } else { 0.0 };
                    (c[i * n + j], c[j * n + i]) = (v, v);
                }
            }
            check(&c, n);
        }
        // equal eigenvalues
        let n = 40;
        let identity: Vec<f64> = (0..n * n).map(|at| if at / n == at % n { 2.5 } else { 0.0 }).collect();
        assert!(check(&identity, n).values.iter().all(|v| (v - 2.5).abs() < 1e-14));
    }

    #[test]
    fn small_eigenvalues_keep_their_digits() {
        // a graded matrix: scales of 1e0, 1e-4, 1e-8 on a well conditioned core
        let core = [1.0, 0.3, 0.2, 0.3, 1.0, 0.1, 0.2, 0.1, 1.0];
        let scale = [1.0, 1e-4, 1e-8];
        let c: Vec<f64> = (0..9).map(|at| core[at] * scale[at / 3] * scale[at % 3]).collect();
        let e = check(&c, 3);
        let determinant = 1.0 + 2.0 * 0.3 * 0.2 * 0.1 - 0.09 - 0.04 - 0.01;
        let product: f64 = e.values.iter().product();
        assert!((product / (determinant * 1e-24) - 1.0).abs() < 1e-13, "{product:e}");
        // the last one is the Schur complement, 1e-16 of it
        let schur = determinant / (1.0 - 0.09) * 1e-16;
        assert!((e.values[2] / schur - 1.0).abs() < 1e-7, "{:e}, {schur:e}", e.values[2]);
    }

    #[test]
    fn what_is_no_covariance_is_refused() {
        let not = |m: &[f64], n| positive_definite(m, n).expect_err("refused");
        assert_eq!(not(&[1.0, 2.0, 2.0, 1.0], 2), NoEigen::NotPositive { row: 1, left: -3.0 });
        assert_eq!(not(&[0.0], 1), NoEigen::NotPositive { row: 0, left: 0.0 });
        assert_eq!(not(&[-1.0], 1), NoEigen::NotPositive { row: 0, left: -1.0 });
        assert!(matches!(not(&[1.0, 1.0, 1.0, 1.0], 2), NoEigen::NotPositive { row: 1, .. }));
        assert_eq!(not(&[1.0, 0.0, 1.0], 2), NoEigen::NotAMatrix);
        assert_eq!(not(&[f64::NAN], 1), NoEigen::NotAMatrix);
        assert_eq!(not(&[], usize::MAX), NoEigen::NotAMatrix);
        assert!(positive_definite(&[], 0).is_ok());
        // the ends of the range of numbers
        assert!(positive_definite(&[1e308, 1e308, 1e308, 1e308], 2).is_err());
        assert!(positive_definite(&[1e-300, 0.0, 0.0, 1e300], 2).is_ok());
    }
}
