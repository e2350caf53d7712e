//! Closed forms against quadrature, finite differences and each other; files that are refused and why.

use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::error::Result;

fn parse(text: &str) -> Result<(Target, Vec<String>)> {
    Target::parse(Path::new("t.toml"), text)
}

fn sound(text: &str) -> Target {
    let (target, warnings) = parse(text).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(warnings, [""; 0]);
    target
}

const LINE: &str = "kind = \"mixture\"\nweights = [0.3, 0.7]\nmeans = [[-2.0], [1.5]]\nscales = [0.5, 0.4]\n";
const PLANE: &str = "kind = \"mixture\"\nweights = [0.25, 0.75]\nmeans = [[-2, 0], [1.5, 0.5]]\nscales = [[0.5, 1], [0.4, 2.0]]\n";
const TILTED: &str = "kind = \"gaussian\"\nmean = [1.0, -0.5]\ncovariance = [[2.0, 0.6], [0.6, 0.5]]\n";

/// The trapezoid rule, exact to rounding for smooth functions that vanish at both ends.
fn integral(f: impl Fn(f64) -> f64) -> f64 {
    let (from, steps, h) = (-20.0, 8000, 0.005);
    (0..=steps).map(|i| f(from + h * f64::from(i)) * h).sum()
}

#[test]
fn a_diffused_mixture_is_the_convolution_of_the_target() {
    let target = sound(LINE);
    let density = |x: f64, a: f64, s: f64| target.log_density(&[x], a, s).exp();
    assert!((integral(|x| density(x, 1.0, 0.0)) - 1.0).abs() < 1e-12);
    for (alpha, sigma) in [(1.0, 0.7), (0.4, 0.9), (0.05, 1.0)] {
        for x in [-1.7, 0.0, 0.3, 2.2] {
            let wanted =
                integral(|x0| density(x0, 1.0, 0.0) * log_normal(x, alpha * x0, sigma * sigma).exp());
            let got = density(x, alpha, sigma);
            assert!((got / wanted - 1.0).abs() < 1e-11, "{x}, {alpha}, {sigma}: {got}, wanted {wanted}");
        }
    }
}

#[test]
fn a_diffused_gaussian_is_the_one_with_the_added_covariance() {
    let target = sound(TILTED);
    for (alpha, sigma) in [(1.0f64, 0.0f64), (0.6, 0.8), (1.0, 5.0)] {
        // the two by two inverse, by hand
        let (a, b, d) =
            (alpha * alpha * 2.0 + sigma * sigma, alpha * alpha * 0.6, alpha * alpha * 0.5 + sigma * sigma);
        let det = a * d - b * b;
        for x in [[0.3, 0.4], [2.0, -3.0]] {
            let (u, v) = (x[0] - alpha, x[1] + 0.5 * alpha);
            let quadratic = (d * u * u - 2.0 * b * u * v + a * v * v) / det;
            let wanted = -0.5 * quadratic - 0.5 * det.ln() - std::f64::consts::TAU.ln();
            assert!((target.log_density(&x, alpha, sigma) - wanted).abs() < 1e-13 * (1.0 + wanted.abs()));
            let score = target.score(&x, alpha, sigma);
            for (got, wanted) in score.iter().zip([-(d * u - b * v) / det, -(a * v - b * u) / det]) {
                assert!((got - wanted).abs() < 1e-13 * (1.0 + wanted.abs()), "{got}, wanted {wanted}");
            }
        }
    }
}

#[test]
fn scores_are_gradients() {
    for text in [PLANE, TILTED] {
        let target = sound(text);
        for (alpha, sigma) in [(1.0, 0.0), (0.7, 0.5), (0.1, 1.0)] {
            for x in [[0.1, -0.4], [-1.9, 0.8], [3.0, 3.0]] {
                let score = target.score(&x, alpha, sigma);
                for d in 0..2 {
                    // truncation h^2 times a third derivative below 1e3, rounding 1e-14/h
                    let h = 1e-5;
                    let at = |by: f64| {
                        let mut x = x;
                        x[d] += by;
                        target.log_density(&x, alpha, sigma)
                    };
                    let wanted = (at(h) - at(-h)) / (2.0 * h);
                    assert!((score[d] - wanted).abs() < 1e-6, "{}, wanted {wanted}", score[d]);
                }
            }
        }
    }
}

#[test]
fn a_mixture_of_one_is_a_gaussian() {
    let one = sound("kind = \"mixture\"\nweights = [1]\nmeans = [[1.0, -0.5]]\nscales = [[0.3, 2.0]]");
    let same = sound("kind = \"gaussian\"\nmean = [1.0, -0.5]\ncovariance = [[0.09, 0], [0, 4.0]]");
    let flat = sound("kind = \"mixture\"\nweights = [1]\nmeans = [[1.0, -0.5]]\nscales = [2.0]");
    let flat_rows = sound("kind = \"mixture\"\nweights = [1]\nmeans = [[1.0, -0.5]]\nscales = [[2.0, 2.0]]");
    for (a, b) in [(&one, &same), (&flat, &flat_rows)] {
        let ((mean, variance), (other, other_variance)) = (a.moments(), b.moments());
        assert_eq!(mean, other);
        assert!((variance - other_variance).abs() < 1e-15 * variance * 4.0);
        for (alpha, sigma) in [(1.0, 0.0), (0.7, 0.5)] {
            let x = [0.2, 0.9];
            assert!((a.log_density(&x, alpha, sigma) - b.log_density(&x, alpha, sigma)).abs() < 1e-13);
            for (s, r) in a.score(&x, alpha, sigma).iter().zip(b.score(&x, alpha, sigma)) {
                assert!((s - r).abs() < 1e-12 * (1.0 + r.abs()));
            }
        }
    }
}

#[test]
fn moments_are_those_of_the_density() {
    let target = sound(LINE);
    let (mean, variance) = target.moments();
    let moment = |p: i32| integral(|x| x.powi(p) * target.log_density(&[x], 1.0, 0.0).exp());
    assert!((mean[0] - moment(1)).abs() < 1e-12);
    assert!((variance - (moment(2) - moment(1).powi(2))).abs() < 1e-11);

    let (mean, variance) = sound(PLANE).moments();
    assert_eq!(mean, [0.25 * -2.0 + 0.75 * 1.5, 0.375]);
    let first = 0.25 * 0.25 + 0.75 * 0.16 + 0.25 * 0.75 * 3.5 * 3.5;
    let second = 0.25 + 0.75 * 4.0 + 0.25 * 0.75 * 0.25;
    assert!((variance - (first + second) / 2.0).abs() < 1e-14);
    let (mean, variance) = sound(TILTED).moments();
    assert_eq!(mean, [1.0, -0.5]);
    assert!((variance - 1.25).abs() < 1e-15);
}

#[test]
fn far_away_nothing_overflows() {
    for text in [LINE, PLANE, TILTED] {
        let target = sound(text);
        let x = vec![1e6; target.dim()];
        assert!(target.log_density(&x, 1.0, 0.0) < -1e11);
        // the score is finite and points back
        let outwards: f64 = target.score(&x, 1.0, 0.0).iter().sum();
        assert!(outwards.is_finite() && outwards < -1e5);
        let short = vec![0.0; target.dim() + 1];
        assert!(target.log_density(&short, 1.0, 0.0).is_nan());
        assert!(target.score(&short, 1.0, 0.0).iter().all(|s| s.is_nan()));
    }
}

#[test]
fn weights_are_normalised_with_a_warning() {
    let (target, warnings) = parse(&LINE.replace("[0.3, 0.7]", "[3, 1]")).unwrap();
    let Target::Mixture(m) = &target else { panic!("a mixture") };
    assert_eq!(m.weights, [0.75, 0.25]);
    assert_eq!(warnings, ["t.toml: weights: their sum is 4, and they were divided by it"]);
    let (_, warnings) = parse(&format!("{LINE}sigma = 1\n")).unwrap();
    assert_eq!(warnings, ["t.toml: the key sigma is not known, and ignored"]);
    // off by less than a millionth: normalised, and nothing said
    let Target::Mixture(m) = sound(&LINE.replace("0.7]", "0.7000005]")) else { panic!("a mixture") };
    assert!((m.weights.iter().sum::<f64>() - 1.0).abs() < 1e-15);
}

#[test]
fn the_shipped_mixture_is_read() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("weights/gmm40.toml");
    let (target, warnings) = Target::open(&path).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(warnings, [""; 0]);
    let Target::Mixture(m) = target else { panic!("a mixture") };
    assert_eq!((m.components(), m.dim), (40, 2));
    assert!(matches!(m.scales, Scales::Isotropic(_)));
}

#[test]
fn faults_are_named_by_key_and_index() {
    for (from, to, wanted) in [
        ("\"mixture\"", "\"blob\"", "kind: found \"blob\", wanted \"mixture\" or \"gaussian\""),
        ("kind = \"mixture\"", "", "kind: found no such key"),
        ("weights", "wights", "weights: found no such key, wanted a list of K numbers above zero"),
        ("0.7]", "-0.7]", "weights[1]: found -0.7, wanted a number in 1e-9 to 1e9"),
        ("0.7]", "\"b\"]", "weights[1]: found \"b\", wanted a number in"),
        ("0.7]", "nan]", "weights[1]: found nan, wanted a number in"),
        ("[0.3, 0.7]", "[]", "weights: found a list of 0"),
        ("[0.3, 0.7]", "1", "weights: found 1, wanted a list"),
        ("0.7]", "0.6, 0.1]", "means: found a list of 2, wanted one of 3, as there are weights"),
        ("[1.5]]", "[1.5, 2]]", "means[1]: found a list of 2, wanted a list of 1 numbers"),
        ("[1.5]]", "1.5]", "means[1]: found 1.5, wanted a list of 1 numbers"),
        ("[1.5]]", "[inf]]", "means[1][0]: found inf, wanted a number in -1e9 to 1e9"),
        ("[[-2.0],", "[[],", "means[0]: found a list of 0, wanted a list of D numbers"),
        ("[0.5, 0.4]", "[0.5]", "scales: found a list of 1, wanted one of 2"),
        ("0.4]", "0]", "scales[1]: found 0, wanted a number in 1e-9"),
        ("0.4]", "[0.4]]", "scales[1]: found a list of 1, wanted a number"),
        ("[0.5, 0.4]", "[[0.5], [0]]", "scales[1][0]: found 0, wanted"),
        ("0.7]\n", "0.7\n", "line 3, column "),
        ("kind", "weights = [1]\nkind = 1\nkind", "line 3, column 1: found duplicate key"),
    ] {
        let error = parse(&LINE.replacen(from, to, 1)).expect_err(to);
        assert_eq!(error.exit_code(), 2);
        let message = error.to_string();
        assert!(message.starts_with(&format!("t.toml: {wanted}")), "{to}: {message}");
    }
    for (from, to, wanted) in [
        ("mean =", "mu =", "mean: found no such key"),
        ("[1.0, -0.5]", "[1.0, -0.5, 0]", "covariance: found a list of 2, wanted one of 3, as long as mean"),
        ("[0.6, 0.5]", "[0.6]", "covariance[1]: found a list of 1, wanted a list of 2"),
        ("[0.6, 0.5]", "[0.5, 0.5]", "covariance[1][0]: found 0.5, wanted 0.6, the same as covariance[0][1]"),
        ("0.5]]", "0.1]]", "covariance[1][1]: found 0.1, of which -0.07"),
        ("[[2.0", "[[-2.0", "covariance[0][0]: found -2, of which -2 is left"),
    ] {
        let message = parse(&TILTED.replacen(from, to, 1)).expect_err(to).to_string();
        assert!(message.starts_with(&format!("t.toml: {wanted}")), "{to}: {message}");
    }
    // a column counts characters, not bytes
    let message = parse("a = \"é\" b").unwrap_err().to_string();
    assert!(message.starts_with("t.toml: line 1, column 9: found"), "{message}");
    assert!(
        parse("a = 1\nb = 2\nc = = 1")
            .unwrap_err()
            .to_string()
            .starts_with("t.toml: line 3, column 5: found")
    );
}

proptest! {
    #[test]
    fn any_text_is_an_answer_not_a_panic(
        which in 0usize..3, at in 0usize..200, cut in 0usize..6, put in "[-0-9.,\\[\\]\"=a-z \n]{0,4}",
    ) {
        let mut text = [LINE, PLANE, TILTED][which].to_string();
        let at = at.min(text.len());
        let end = (at + cut).min(text.len());
        text.replace_range(at..end, &put);
        match parse(&text) {
            Ok((target, _)) => {
                let x = vec![0.1; target.dim()];
                prop_assert!(!target.log_density(&x, 1.0, 0.5).is_nan(), "{}", text);
                prop_assert!(target.moments().1 > 0.0);
            }
            Err(e) => prop_assert!(e.to_string().starts_with("t.toml: "), "{}", e),
        }
    }
}
