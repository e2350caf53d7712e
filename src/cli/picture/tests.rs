use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;

/// Uniform numbers in [0, 1).
fn noise(count: usize) -> Vec<f32> {
    let mut draws = StdRng::seed_from_u64(7);
    (0..count).map(|_| draws.random()).collect()
}

fn share_of(canvas: &Canvas, wanted: impl Fn([u8; 3]) -> bool) -> f64 {
    let pixels = canvas.pixels();
    pixels.pixels().filter(|pixel| wanted(pixel.0)).count() as f64 / (pixels.width() * pixels.height()) as f64
}

#[test]
fn particles_are_chosen_as_often_as_their_weights_say() {
    let x = [0.0; 8];
    let log = |w: [f64; 8]| w.map(|w| w.ln() as f32);
    let choose = |log_w: &[f32], groups, count| Samples { x: &x, dim: 1, log_w, groups }.choose(count);
    assert_eq!(choose(&[0.0; 8], 1, 8), [0, 1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(choose(&[0.0; 8], 1, 4), [0, 2, 4, 6]);
    assert_eq!(choose(&log([2.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0]), 1, 4), [0, 0, 2, 5]);
    // Groups count the same, whatever their weights.
    let two = log([1e-3, 0.0, 0.0, 0.0, 1e3, 1e3, 0.0, 0.0]);
    assert_eq!(choose(&two, 2, 4), [0, 0, 4, 5]);
    // Nothing weighs anything, or is no number: all alike.
    assert_eq!(choose(&[f32::NAN, f32::NEG_INFINITY, f32::NAN, f32::NAN], 1, 4), [0, 1, 2, 3]);
    assert_eq!(choose(&[-300.0, -1e30, f32::MIN, -300.0], 1, 2), [0, 3]);
}

#[test]
fn ticks_are_round_and_inside() {
    let labels = |bounds| ticks(bounds).into_iter().map(|tick| tick.1).collect::<Vec<_>>();
    assert_eq!(labels([-1.1, 1.1]), ["-1.0", "-0.5", "0.0", "0.5", "1.0"]);
    assert_eq!(labels([-43.0, 47.0]), ["-40", "-20", "0", "20", "40"]);
    assert_eq!(labels([0.0, 1e7]), ["0", "2.0e6", "4.0e6", "6.0e6", "8.0e6", "1.0e7"]);
    assert!(labels([1.0, 1.0]).is_empty());
}

#[test]
fn a_scatter_shows_its_points_and_its_frame() {
    let n = 30_000;
    let x: Vec<f32> = noise(2 * n).iter().map(|u| 4.0 * u - 1.0).collect();
    let canvas = draw(Samples { x: &x, dim: 2, log_w: &vec![0.0; n], groups: 1 }).unwrap();
    assert_eq!((canvas.width, canvas.height), (900, 860));
    let dots = canvas.shapes.iter().filter(|shape| matches!(shape, Shape::Dot { .. })).count();
    assert!((19_000..=POINTS).contains(&dots), "{dots}");
    assert!(share_of(&canvas, |p| p[2] > p[0].saturating_add(20)) > 0.1, "blue dots");
    assert!(share_of(&canvas, |p| p == WHITE) > 0.2, "white margins");
    assert!(canvas.svg().unwrap().matches("<circle").count() == dots);
    // One point, or points that are no numbers, still give a frame.
    for x in [[1.0f32, 2.0], [f32::NAN, f32::INFINITY]] {
        let canvas = draw(Samples { x: &x, dim: 2, log_w: &[0.0], groups: 1 }).unwrap();
        assert!(share_of(&canvas, |p| p == INK) > 0.005);
    }
}

#[test]
fn a_histogram_follows_the_weights() {
    let n = 5000;
    let x = noise(n);
    let right_only: Vec<f32> = x.iter().map(|x| if *x > 0.5 { 0.0 } else { -40.0 }).collect();
    let canvas = draw(Samples { x: &x, dim: 1, log_w: &right_only, groups: 1 }).unwrap();
    assert_eq!((canvas.width, canvas.height), (900, 580));
    let numbers = canvas.shapes.iter().filter_map(|shape| match shape {
        Shape::Number { text, anchor: Anchor::Below, .. } => text.parse::<f64>().ok(),
        _ => None,
    });
    assert!(numbers.fold(1.0, f64::min) >= 0.4, "only the right half is shown");
    assert!(share_of(&canvas, |p| p == BLUE) > 0.3);
}

#[test]
fn images_fill_a_grid_and_are_white_on_black() {
    for (n, side, size) in
        [(100, 8, (420, 420)), (5, 8, (264, 56)), (64, 28, (1380, 1380)), (10, 4, (228, 60))]
    {
        let dim = side * side;
        // A bright square in the middle of every image.
        let bright = |k: usize| {
            (side / 4..3 * side / 4).contains(&(k % side)) && (side / 4..3 * side / 4).contains(&(k / side))
        };
        let x: Vec<f32> = (0..n * dim).map(|i| if bright(i % dim) { 1.0 } else { -1.0 }).collect();
        let canvas = draw(Samples { x: &x, dim, log_w: &vec![0.0; n], groups: 1 }).unwrap();
        assert_eq!((canvas.width, canvas.height), size, "{n} of {side}");
        let pixels = canvas.pixels();
        let (tile, middle) = (6 * side as u32, 4 + 3 * side as u32);
        assert_eq!(pixels.get_pixel(4, 4).0, [0; 3]);
        assert_eq!(pixels.get_pixel(middle, middle).0, WHITE);
        assert_eq!(pixels.get_pixel(4 + tile, 4).0, [56; 3], "the gap");
    }
}

#[test]
fn other_dimensions_have_no_picture() {
    for dim in [3, 9, 17] {
        let why = draw(Samples { x: &vec![0.0; dim], dim, log_w: &[0.0], groups: 1 }).unwrap_err();
        assert!(why.starts_with(&format!("no picture: {dim} dimensions")), "{why}");
    }
}
