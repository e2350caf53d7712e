//! Rotations as unit quaternions (w, x, y, z), in f64: docs/maths.md (14.1).

/// A rotation; q and -q are the same one.
pub type Quaternion = [f64; 4];
/// A tangent vector at a rotation R, in its own axes: it stands for R hat(v).
pub type Tangent = [f64; 3];

/// Does nothing.
pub const IDENTITY: Quaternion = [1.0, 0.0, 0.0, 0.0];

/// Length of a tangent vector, which is the angle it turns by.
pub fn length(v: Tangent) -> f64 {
    v.iter().map(|v| v * v).sum::<f64>().sqrt()
}

/// First `b`, then `a`: the matrices multiply in the same order.
pub fn compose(a: Quaternion, b: Quaternion) -> Quaternion {
    let ([aw, ax, ay, az], [bw, bx, by, bz]) = (a, b);
    [
        aw * bw - ax * bx - ay * by - az * bz,
        aw * bx + ax * bw + ay * bz - az * by,
        aw * by - ax * bz + ay * bw + az * bx,
        aw * bz + ax * by - ay * bx + az * bw,
    ]
}

/// The way back.
pub fn inverse([w, x, y, z]: Quaternion) -> Quaternion {
    [w, -x, -y, -z]
}

/// Of length 1; the identity where the length is 0.
pub fn normalised(q: Quaternion) -> Quaternion {
    let size = q.iter().map(|q| q * q).sum::<f64>().sqrt();
    if size > 0.0 { q.map(|q| q / size) } else { IDENTITY }
}

/// The rotation by |v| about v.
pub fn exp(v: Tangent) -> Quaternion {
    let angle = length(v);
    // sin(angle/2)/angle
    let factor = if angle < 1.0e-4 { 0.5 - angle * angle / 48.0 } else { (0.5 * angle).sin() / angle };
    [(0.5 * angle).cos(), factor * v[0], factor * v[1], factor * v[2]]
}

/// The shortest tangent vector that `exp` takes to `q`; its length is at most pi.
pub fn log(q: Quaternion) -> Tangent {
    let q = if q[0] < 0.0 { q.map(|q| -q) } else { q };
    let sine = length([q[1], q[2], q[3]]);
    let factor = if sine < 1.0e-8 { 2.0 / q[0] } else { 2.0 * sine.atan2(q[0]) / sine };
    [factor * q[1], factor * q[2], factor * q[3]]
}

/// From `from` along `step`, in the axes of `from`.
pub fn retract(from: Quaternion, step: Tangent) -> Quaternion {
    normalised(compose(from, exp(step)))
}

/// The tangent vector at `from` that leads to `to`.
pub fn between(from: Quaternion, to: Quaternion) -> Tangent {
    log(compose(inverse(from), to))
}

/// The angle of the rotation that takes one to the other, in [0, pi].
pub fn angle(from: Quaternion, to: Quaternion) -> f64 {
    length(between(from, to))
}

/// The vector `v` turned.
pub fn rotate(q: Quaternion, v: [f64; 3]) -> [f64; 3] {
    let [_, x, y, z] = compose(compose(q, [0.0, v[0], v[1], v[2]]), inverse(q));
    [x, y, z]
}

/// Uniform over all rotations, from four standard normals.
pub fn uniform(normals: [f64; 4]) -> Quaternion {
    normalised(normals)
}

#[cfg(test)]
mod tests {
    use std::f64::consts::{PI, TAU};

    use super::*;
    use crate::prims::philox::oracle::{Stream, normal};

    type Matrix = [[f64; 3]; 3];

    fn normals(slot: u32) -> [f64; 8] {
        let stream = Stream { seed: 11, slot, step: 0, tag: 0 };
        std::array::from_fn(|k| normal(stream, k, 8))
    }

    fn hat([x, y, z]: Tangent) -> Matrix {
        [[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]]
    }

    fn vee(m: Matrix) -> Tangent {
        [m[2][1], m[0][2], m[1][0]]
    }

    fn product(a: Matrix, b: Matrix) -> Matrix {
        std::array::from_fn(|i| std::array::from_fn(|j| (0..3).map(|k| a[i][k] * b[k][j]).sum()))
    }

    /// Columns are where the axes go.
    fn matrix(q: Quaternion) -> Matrix {
        let columns = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]].map(|axis| rotate(q, axis));
        std::array::from_fn(|i| std::array::from_fn(|j| columns[j][i]))
    }

    fn apart(a: Matrix, b: Matrix) -> f64 {
        a.iter().flatten().zip(b.iter().flatten()).map(|(a, b)| (a - b).abs()).sum()
    }

    /// Rodrigues: I + sin(th)/th hat + (1 - cos(th))/th^2 hat^2.
    fn rodrigues(v: Tangent) -> Matrix {
        let (th, hat) = (length(v), hat(v));
        let square = product(hat, hat);
        let entry = |i: usize, j: usize| {
            f64::from(u8::from(i == j))
                + th.sin() / th * hat[i][j]
                + 2.0 * ((0.5 * th).sin() / th).powi(2) * square[i][j]
        };
        std::array::from_fn(|i| std::array::from_fn(|j| entry(i, j)))
    }

    /// A tangent vector in the direction of the normals, this long.
    fn along(slot: u32, size: f64) -> Tangent {
        let [x, y, z, ..] = normals(slot);
        let unit = length([x, y, z]);
        [x, y, z].map(|v| v * size / unit)
    }

    const ANGLES: [f64; 11] =
        [1.0e-12, 1.0e-8, 9.9e-5, 1.1e-4, 1.0e-2, 0.5, 1.5, 3.0, 3.13, PI - 1.0e-6, PI - 1.0e-9];

    #[test]
    fn exp_is_the_matrix_exponential() {
        for (slot, th) in ANGLES.into_iter().enumerate() {
            let v = along(slot as u32, th);
            assert!(apart(matrix(exp(v)), rodrigues(v)) < 1.0e-14, "angle {th}");
        }
    }

    #[test]
    fn log_undoes_exp_at_both_ends() {
        for (slot, th) in ANGLES.into_iter().enumerate() {
            let v = along(slot as u32, th);
            for q in [exp(v), exp(v).map(|q| -q)] {
                let off = log(q).iter().zip(v).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
                assert!(off < 1.0e-14 * th.max(1.0e-2), "angle {th}: off by {off:e}");
            }
            // The same from the matrix: the antisymmetric part is 2 sin(th) of the axis.
            let m = matrix(exp(v));
            let turned: Matrix = std::array::from_fn(|i| std::array::from_fn(|j| m[i][j] - m[j][i]));
            let off = vee(turned).into_iter().zip(v).map(|(a, b)| (a - 2.0 * th.sin() / th * b).abs());
            assert!(off.sum::<f64>() < 1.0e-14, "angle {th}");
        }
        // Longer than pi comes back the short way round.
        let long = log(exp(along(0, 4.0)));
        assert!((length(long) - (TAU - 4.0)).abs() < 1.0e-14);
    }

    #[test]
    fn exp_undoes_log() {
        for slot in 0..200 {
            let [a, b, c, d, ..] = normals(slot);
            let q = uniform([a, b, c, d]);
            let back = exp(log(q));
            assert!(apart(matrix(back), matrix(q)) < 1.0e-14);
            assert!((length(log(q)) - angle(IDENTITY, q)).abs() < 1.0e-14);
        }
    }

    #[test]
    fn composition_is_of_matrices() {
        for slot in 0..50 {
            let [a, b, c, d, e, f, g, h] = normals(slot);
            let (p, q) = (uniform([a, b, c, d]), uniform([e, f, g, h]));
            assert!(apart(matrix(compose(p, q)), product(matrix(p), matrix(q))) < 1.0e-14);
            assert!(apart(matrix(compose(p, inverse(p))), matrix(IDENTITY)) < 1.0e-14);
            // Body axes: R' = R Exp(step), and `between` finds the step.
            let step = along(slot, 2.0);
            let moved = retract(p, step);
            assert!(apart(matrix(moved), product(matrix(p), rodrigues(step))) < 1.0e-14);
            let found = between(p, moved);
            assert!(found.iter().zip(step).all(|(a, b)| (a - b).abs() < 1.0e-14));
        }
    }

    /// Of uniform rotations the trace has mean 0 and variance 1, and the angle has density (1 - cos w)/pi.
    #[test]
    fn normalised_normals_are_uniform() {
        let n = 40_000;
        let mut sums = [0.0; 3];
        for slot in 0..n {
            let [a, b, c, d, ..] = normals(slot);
            let q = uniform([a, b, c, d]);
            let m = matrix(q);
            let trace = m[0][0] + m[1][1] + m[2][2];
            let w = angle(IDENTITY, q);
            sums = [sums[0] + trace, sums[1] + trace * trace, sums[2] + w];
        }
        let mean = sums.map(|s| s / f64::from(n));
        // Standard errors: trace 1, its square sqrt(E tr^4 - 1) = sqrt(2), angle 0.645; five of each.
        let error = 5.0 / f64::from(n).sqrt();
        assert!(mean[0].abs() < error && (mean[1] - 1.0).abs() < 1.42 * error, "{mean:?}");
        let wanted = 0.5 * PI + 2.0 / PI;
        assert!((mean[2] - wanted).abs() < 0.65 * error, "{mean:?}");
    }
}
