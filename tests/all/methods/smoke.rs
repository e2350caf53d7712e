use feynkac::kernels::device::Device;
use feynkac::{Method, Model, Options, Rule, Schedule, Target, sample};
on_every_device! { anneals }
fn anneals(device: &Device) {
    for (method, beta, rule) in [
        (Method::Plain, 1.0, Rule::Trap),
        (Method::FkcAnneal, 1.5, Rule::Trap),
        (Method::FkcAnneal, 0.5, Rule::Exact),
        (Method::FkcAnneal, 1.5, Rule::Exact),
        (Method::FkcAnneal, 1.5, Rule::Left),
        (Method::FkcGuidance, 2.0, Rule::Trap),
    ] {
        let q = |s: &str| Model::Analytic(Target::parse("t".as_ref(), s).unwrap().0);
        let q1 = "kind='mixture'\nweights=[0.4,0.6]\nmeans=[[-1.0],[1.2]]\nscales=[0.7071067811865476,0.7745966692414834]";
        let q2 = "kind='mixture'\nweights=[0.7,0.3]\nmeans=[[0.2],[1.8]]\nscales=[0.9486832980505138,0.8366600265340756]";
        let mut o = Options::new(method, Schedule::Ve { sigma_min: 0.01, sigma_max: 50.0 });
        o.beta = beta;
        o.particles = 10_000;
        o.rule = rule;
        let models = if method == Method::FkcGuidance { vec![q(q2), q(q1)] } else { vec![q(q1)] };
        let out = sample(device, &models, &o, None).unwrap();
        let w: Vec<f64> = out.log_w.iter().map(|w| f64::from(*w).exp()).collect();
        let s: f64 = w.iter().sum();
        let m: f64 = out.x.iter().zip(&w).map(|(x, w)| f64::from(*x) * w).sum::<f64>() / s;
        let v: f64 = out.x.iter().zip(&w).map(|(x, w)| (f64::from(*x) - m).powi(2) * w).sum::<f64>() / s;
        println!(
            "{method:?} {beta} {rule:?}: mean {m:.3} var {v:.3} logZ {:.3} ess {:.0} resampled {} roots {} {:?} {:?}",
            out.log_z[0],
            out.ess[0].last().unwrap(),
            out.resampled_at[0].len(),
            out.distinct_roots[0],
            out.timings,
            out.counters
        );
    }
}
