//! Runs made up by hand, and the whole of a judgement.

use super::*;

fn finished<'a>(log_w: &'a [f64], roots: Option<&'a [u32]>, resampled_at: &'a [usize]) -> Finished<'a> {
    Finished {
        log_w,
        roots,
        genealogy: None,
        resampled_at,
        independent: true,
        weighed: true,
        least_ess: log_w.len() as f64,
        heaviest: None,
        left_out: false,
    }
}

#[test]
fn equal_weights_and_no_resampling() {
    let log_w = vec![-3.0; 100];
    let trust = assess(&finished(&log_w, None, &[]), 2, |c, i| if c == 0 { i as f64 } else { 5.0 });
    assert_eq!((trust.verdict, trust.lag), (Verdict::Reliable, Some(0)));
    assert!((trust.mean[0] - 49.5).abs() < 1.0e-9 && (trust.mean[1] - 5.0).abs() < 1.0e-12);
    // The variance of 0 .. 99 with divisor 99, over 100.
    let se = trust.mean_se.unwrap();
    assert!((se[0] - (10_100.0_f64 / 12.0 / 100.0).sqrt()).abs() < 1.0e-9 && se[1] < 1.0e-9);
    assert!(trust.log_z_se.unwrap() < 1.0e-6);
    assert_eq!((trust.weights_tail, trust.families_tail), (None, None));
}

#[test]
fn schemes_that_spread_their_draws_get_the_larger_error() {
    let log_w: Vec<f64> = (0..400).map(|i| (i % 7) as f64 * 0.1).collect();
    let roots: Vec<u32> = (0..400).map(|i| (i / 3) as u32).collect();
    let at = |_: usize, i: usize| (i % 11) as f64;
    let of = finished(&log_w, Some(&roots), &[1, 5]);
    let drawn = assess(&of, 1, at).log_z_se.unwrap();
    let spread = assess(&Finished { independent: false, ..of }, 1, at).log_z_se.unwrap();
    assert!(spread > drawn, "{spread} and {drawn}");
}

/// After a long run one root is left, which says nothing; the lag does.
#[test]
fn a_lag_where_the_start_is_forgotten() {
    let (slots, steps) = (64_usize, 9);
    // After every step each particle has two children or none, of its neighbourhood.
    let row: Vec<u32> = (0..slots as u32).map(|i| i / 2).collect();
    let parents = row.repeat(steps);
    let all = Genealogy { parents, groups: 1, slots };
    let log_w = vec![0.0; slots];
    let resampled_at: Vec<usize> = (0..steps - 1).collect();
    let roots = all.ancestors(0, 0, steps - 1);
    assert!(roots.iter().all(|&r| r == 0));
    let at = |_: usize, i: usize| i as f64;
    let blind = assess(&finished(&log_w, Some(&roots), &resampled_at), 1, at);
    assert_eq!((blind.verdict, blind.lag), (Verdict::Broken, Some(8)));
    assert!(blind.mean_se.unwrap()[0] < 1.0e-9, "one family has no spread");
    let seeing = Finished { genealogy: Some((&all, 0)), ..finished(&log_w, None, &resampled_at) };
    let trust = assess(&seeing, 1, at);
    assert_eq!(trust.effective_roots, Some(1.0));
    // Four resamplings back there are four families of 16, at means 7.5, 23.5, ...: less than the eight pairs of lag
    // one? The largest is reported.
    let expected = |back: usize| {
        let since = all.ancestors(0, steps - 1 - back, steps - 1);
        let weights = vec![1.0 / slots as f64; slots];
        let cloud = Cloud { weights: &weights, roots: &since, correction: correction(slots, back) };
        cloud.mean(|i| i as f64).1.sqrt()
    };
    let wanted = [4, 2, 1].map(expected).into_iter().fold(0.0, f64::max);
    assert!((trust.mean_se.unwrap()[0] - wanted).abs() < 1.0e-12);
    assert_eq!(trust.lag, Some(4));
}

#[test]
fn one_particle_and_unknown_roots() {
    let one = assess(&finished(&[0.5], None, &[]), 1, |_, _| 3.0);
    assert_eq!((one.mean[0], one.mean_se, one.log_z_se, one.verdict), (3.0, None, None, Verdict::Doubtful));
    let log_w = vec![0.0; 500];
    let lost = assess(&finished(&log_w, None, &[3]), 1, |_, i| i as f64);
    assert_eq!((lost.mean_se, lost.log_z_se, lost.verdict), (None, None, Verdict::Doubtful));
}

#[test]
fn groups_together() {
    let means: [&[f64]; 3] = [&[1.0], &[2.0], &[4.0]];
    let log_z: Vec<f64> = [1.0_f64, 1.0, 2.0].iter().map(|z| z.ln()).collect();
    let all = over_groups(&log_z, &means).unwrap();
    // Mean Z 4/3 with a standard error of a third; weights 1/4, 1/4, 1/2.
    assert!((all.log_z - (4.0_f64 / 3.0).ln()).abs() < 1.0e-12);
    assert!((all.log_z_se - 0.25).abs() < 1.0e-12);
    assert!((all.mean[0] - 2.75).abs() < 1.0e-12);
    let variance = 1.5 * ((0.25 * 1.75_f64).powi(2) + (0.25 * 0.75_f64).powi(2) + (0.5 * 1.25_f64).powi(2));
    assert!((all.mean_se[0] - variance.sqrt()).abs() < 1.0e-12);
    assert_eq!(over_groups(&log_z[..1], &means[..1]), None);
    let plain = over_groups(&[f64::NAN; 3], &means).unwrap();
    assert!(plain.log_z.is_nan() && (plain.mean[0] - 7.0 / 3.0).abs() < 1.0e-12);
}
