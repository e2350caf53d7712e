//! The layers of pairs of atoms, each with its way back and along: docs/maths.md (9.5). Pairs (i, j), i < j, in the order
//! (0, 1), (0, 2), ...; a state is `[1, atoms, space]`.

use super::Extent;

/// The atoms of every pair.
pub fn pairs(atoms: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..atoms).flat_map(move |i| (i + 1..atoms).map(move |j| (i, j)))
}

/// x_i - x_j of every pair.
fn gaps(x: &[f64], state: Extent) -> Vec<Vec<f64>> {
    let atom = |i: usize| &x[i * state.width..(i + 1) * state.width];
    let gap = |(i, j)| atom(i).iter().zip(atom(j)).map(|(x, y)| x - y).collect();
    pairs(state.height).map(gap).collect()
}

fn dot(x: &[f64], y: &[f64]) -> f64 {
    x.iter().zip(y).map(|(x, y)| x * y).sum()
}

/// g_i = sum over j > i of a_ij - sum over j < i of a_ji, of vectors a of pairs.
fn scatter(vectors: &[Vec<f64>], state: Extent) -> Vec<f64> {
    let mut out = vec![0.0; state.numbers()];
    for ((i, j), vector) in pairs(state.height).zip(vectors) {
        for (k, v) in vector.iter().enumerate() {
            out[i * state.width + k] += v;
            out[j * state.width + k] -= v;
        }
    }
    out
}

fn scaled(vector: &[f64], by: f64) -> Vec<f64> {
    vector.iter().map(|v| v * by).collect()
}

/// exp(-s_k (u - c_k)^2), u = ln(1 + |x_i - x_j|^2), and its slope by u: `[count, pairs]` each.
fn bumps(u: &[f64], centres: &[f64], sharpness: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let each = centres.iter().zip(sharpness).flat_map(|(c, s)| u.iter().map(move |u| (u - c, *s)));
    each.map(|(y, s)| ((-s * y * y).exp(), -2.0 * s * y * (-s * y * y).exp())).unzip()
}

/// u of every pair, and the factor f of its slope, f (x_i - x_j) by x_i.
fn logs(gaps: &[Vec<f64>]) -> (Vec<f64>, Vec<f64>) {
    gaps.iter().map(|g| (dot(g, g).ln_1p(), 2.0 / (1.0 + dot(g, g)))).unzip()
}

/// What `Op::PairRadial` writes.
pub(super) fn radial(x: &[f64], state: Extent, centres: &[f64], sharpness: &[f64]) -> Vec<f64> {
    bumps(&logs(&gaps(x, state)).0, centres, sharpness).0
}

/// dx = scatter of (sum over k of g_k df_k/du) du/dx.
pub(super) fn radial_back(
    x: &[f64],
    state: Extent,
    centres: &[f64],
    sharpness: &[f64],
    slope: &[f64],
) -> Vec<f64> {
    let gaps = gaps(x, state);
    let (u, factors) = logs(&gaps);
    let (_, slopes) = bumps(&u, centres, sharpness);
    let of_u = |p: usize| -> f64 { (p..slope.len()).step_by(u.len()).map(|at| slope[at] * slopes[at]).sum() };
    let vectors: Vec<_> = (0..u.len()).map(|p| scaled(&gaps[p], of_u(p) * factors[p])).collect();
    scatter(&vectors, state)
}

/// The tangent of what [`radial`] writes.
pub(super) fn radial_along(
    x: &[f64],
    state: Extent,
    centres: &[f64],
    sharpness: &[f64],
    moved: &[f64],
) -> Vec<f64> {
    let (gaps, ways) = (gaps(x, state), self::gaps(moved, state));
    let (u, factors) = logs(&gaps);
    let (_, slopes) = bumps(&u, centres, sharpness);
    let along = |p: usize| factors[p] * dot(&gaps[p], &ways[p]);
    slopes.iter().enumerate().map(|(at, slope)| slope * along(at % u.len())).collect()
}

/// y_p + v_i + v_j in every channel.
pub(super) fn add(y: &[f64], v: &[f64], atoms: usize) -> Vec<f64> {
    let channels = y.chunks(y.len() * atoms / v.len()).zip(v.chunks(atoms));
    let one = |(y, v): (&[f64], &[f64])| -> Vec<f64> {
        pairs(atoms).zip(y).map(|((i, j), y)| y + v[i] + v[j]).collect()
    };
    channels.flat_map(one).collect()
}

/// The sum over the pairs of each atom in every channel: what [`add`] is backwards for the atoms.
pub(super) fn sum(y: &[f64], atoms: usize) -> Vec<f64> {
    let one = |y: &[f64]| {
        let mut out = vec![0.0; atoms];
        for ((i, j), y) in pairs(atoms).zip(y) {
            out[i] += y;
            out[j] += y;
        }
        out
    };
    y.chunks(atoms * (atoms - 1) / 2).flat_map(one).collect()
}

/// v_i + v_j in every channel: what [`sum`] is backwards.
pub(super) fn sum_back(slope: &[f64], atoms: usize) -> Vec<f64> {
    slope.chunks(atoms).flat_map(|v| pairs(atoms).map(|(i, j)| v[i] + v[j])).collect()
}

/// sum over j of w_p (x_i - x_j).
pub(super) fn shift(x: &[f64], w: &[f64], state: Extent) -> Vec<f64> {
    let vectors: Vec<_> = gaps(x, state).iter().zip(w).map(|(gap, w)| scaled(gap, *w)).collect();
    scatter(&vectors, state)
}

/// The slopes by x, which is [`shift`] of the slope as it is symmetric in x, and by w: <g_i - g_j, x_i - x_j>.
pub(super) fn shift_back(x: &[f64], w: &[f64], state: Extent, slope: &[f64]) -> Vec<Vec<f64>> {
    let by_w = gaps(x, state).iter().zip(gaps(slope, state)).map(|(x, g)| dot(x, &g)).collect();
    vec![shift(slope, w, state), by_w]
}

/// The tangent of what [`shift`] writes.
pub(super) fn shift_along(read: &[&[f64]], moved: &[&[f64]], state: Extent) -> Vec<f64> {
    let (one, two) = (shift(moved[0], read[1], state), shift(read[0], moved[1], state));
    one.iter().zip(two).map(|(a, b)| a + b).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three atoms on a line, at 0, 1 and 3: pairs at distances 1, 3 and 2.
    const LINE: Extent = Extent { channels: 1, height: 3, width: 1 };
    const X: [f64; 3] = [0.0, 1.0, 3.0];

    #[test]
    fn pairs_stand_in_their_order() {
        let all: Vec<_> = pairs(4).collect();
        assert_eq!(all, [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]);
        assert_eq!(gaps(&X, LINE), [[-1.0], [-3.0], [-2.0]]);
    }

    #[test]
    fn sums_and_moves_of_three_atoms_by_hand() {
        let y = [1.0, 2.0, 4.0, -1.0, -2.0, -4.0];
        assert_eq!(sum(&y, 3), [3.0, 5.0, 6.0, -3.0, -5.0, -6.0]);
        assert_eq!(sum_back(&[1.0, 10.0, 100.0], 3), [11.0, 101.0, 110.0]);
        assert_eq!(add(&[1.0, 2.0, 4.0], &[1.0, 10.0, 100.0], 3), [12.0, 103.0, 114.0]);
        // w (x_i - x_j): -1, -6, -8
        assert_eq!(shift(&X, &[1.0, 2.0, 4.0], LINE), [-7.0, -7.0, 14.0]);
        let [by_x, by_w] = &shift_back(&X, &[1.0, 2.0, 4.0], LINE, &[1.0, 0.0, 0.0])[..] else { panic!() };
        assert_eq!((by_x, by_w), (&vec![3.0, -1.0, -2.0], &vec![-1.0, -3.0, 0.0]));
    }

    #[test]
    fn bumps_of_distances_by_hand() {
        // u = ln 2, ln 10, ln 5; about ln 5 with sharpness 2
        let five = 5f64.ln();
        let got = radial(&X, LINE, &[five, 0.0], &[2.0, 0.0]);
        let ln = |r: f64| (-2.0 * r.ln().powi(2)).exp();
        for (got, wanted) in got.iter().zip([ln(2.5), ln(2.0), 1.0, 1.0, 1.0, 1.0]) {
            assert!((got - wanted).abs() < 1e-15, "{got}, {wanted}");
        }
        // d/dx_0 of the first: -4 (u - c) f 2 gap / (1 + gap^2), gap -1
        let back = radial_back(&X, LINE, &[five], &[2.0], &[1.0, 0.0, 0.0]);
        let slope = 4.0 * (0.4f64).ln() * ln(2.5);
        assert!((back[0] - slope).abs() < 1e-15 && (back[1] + slope).abs() < 1e-15 && back[2] == 0.0);
        let along = radial_along(&X, LINE, &[five], &[2.0], &[1.0, 0.0, 0.0]);
        assert!((along[0] - slope).abs() < 1e-15 && along[2] == 0.0);
    }
}
