use super::super::settings;
use super::*;
use crate::registry::Method;
use crate::weights::tests::Folder;

const MIXTURE: &str =
    "kind = 'mixture'\nweights = [0.3, 0.7]\nmeans = [[-2.0, 0.0], [1.5, 0.5]]\nscales = [0.5, 0.4]";

/// A folder with a 2-D mixture, a 1-D Gaussian, and what is asked for.
fn job(name: &str, text: &str) -> Result<Job> {
    let folder = Folder::new(name);
    std::fs::write(folder.0.join("m.toml"), MIXTURE).unwrap();
    let gaussian = "kind = 'gaussian'\nmean = [0.0]\ncovariance = [[2.0]]";
    std::fs::write(folder.0.join("g.toml"), gaussian).unwrap();
    let (mut settings, _) = settings::parse(Path::new("run.toml"), text)?;
    for path in &mut settings.model {
        *path = folder.0.join(&path);
    }
    Job::new(&settings)
}

#[test]
fn defaults_are_those_of_the_paper() {
    let job =
        job("prepare-defaults", "model = 'm.toml'\nmethod = 'fkc-anneal'\nbeta = 2\nsigma-max = 9").unwrap();
    let schedule = Schedule::Ve { sigma_min: 0.01, sigma_max: 9.0 };
    assert_eq!(job.options, Options { beta: 2.0, ..Options::new(Method::FkcAnneal, schedule) });
    assert_eq!(job.device, Request::Auto);
    assert_eq!(job.models[0].dim(), 2);
    assert_eq!(job.config["schedule"], "ve:sigma_min=0.01,sigma_max=9");
    assert_eq!(job.config["device"], "auto");
    assert!(job.recipe().get("device").is_none() && job.recipe()["beta"] == 2.0);
}

#[test]
fn resampling_is_never_by_default_where_it_cannot_help() {
    for (more, wanted) in [
        ("method = 'plain'", Policy::Never),
        ("method = 'fkc-anneal'\nsde = 'ode'", Policy::Never),
        ("method = 'fkc-anneal'\nno-weights = true", Policy::Never),
        ("method = 'fkc-anneal'", Policy::Ess(0.5)),
        ("method = 'fkc-anneal'\nscheme = 'clock'", Policy::Every),
        ("method = 'fkc-anneal'\nscheme = 'clock'\nresample = 'interval:3'", Policy::Interval(3)),
        ("method = 'fkc-anneal'\nresample = 'every'", Policy::Every),
    ] {
        let job = job("prepare-policy", &format!("model = 'm.toml'\n{more}")).unwrap();
        assert_eq!(job.options.resample, wanted, "{more}");
    }
}

#[test]
fn the_effective_settings_give_the_same_run_again() {
    let text = "model = ['m.toml', 'm.toml']\nmethod = 'fkc-guidance'\nbeta = 1.5\nsde = 'zeta:0.25'\n\
        schedule = 'vp-cosine'\nt-min = 0.01\ngrid = 'edm-rho:rho=5'\nrule = 'left'\nresample = 'window:0.1:0.5'\n\
        groups = 3\nlangevin = '2:0.5'\ntemper = 0.5\nquantile = 0.9\ncentre = true\nclamp = 3\nfinal = 'resample'\nseed = 12\nunfused = true\ndevice = 'cpu:1'";
    let first = job("prepare-again", text).unwrap();
    let file = toml::to_string(&first.config).unwrap();
    let folder = Folder::new("prepare-again-2");
    let path = folder.0.join("m.toml");
    std::fs::write(&path, MIXTURE).unwrap();
    let (mut settings, _) = settings::parse(Path::new("run.toml"), &file).unwrap();
    assert_eq!(settings.model.len(), 2);
    settings.model = vec![path.clone(), path];
    assert_eq!(Job::new(&settings).unwrap().options, first.options);
}

#[test]
fn what_cannot_run_is_refused_by_name() {
    for (text, message) in [
        ("model = 'm.toml'", "--method: found none, wanted one of plain, fkc-anneal, fkc-guidance"),
        ("method = 'plain'", "number of models (--model) of plain: found 0, wanted 1"),
        (
            "method = 'fkc-guidance'\nmodel = 'm.toml'",
            "number of models (--model) of fkc-guidance: found 1, wanted 2 to 8, or one class-conditional network",
        ),
        ("method = 'fkc-guidance'\nmodel = ['m.toml', 'g.toml']", "dimension of the model "),
        (
            "method = 'fkc-compose'\nmodel = ['m.toml', 'm.toml']\nexponent = [2.0]",
            "number of exponents: found 1, wanted 2, one a model",
        ),
        (
            "method = 'fkc-compose'\nmodel = ['m.toml', 'm.toml']\nexponent = [1.0, -1.0]",
            "exponents: found [1.0, -1.0], wanted a total exponent above 0",
        ),
        (
            "method = 'fkc-compose'\nmodel = 'm.toml'\nexponent = [nan]",
            "exponents: found NaN, wanted finite numbers",
        ),
        (
            "method = 'fkc-compose'\nmodel = 'm.toml'\nbeta = 2",
            "--beta: found fkc-compose, wanted one --exponent",
        ),
        (
            "method = 'fkc-anneal'\nmodel = 'm.toml'\nexponent = [2.0]",
            "--exponent: found fkc-anneal, wanted fkc-",
        ),
        (
            "method = 'fkc-product'\nmodel = ['m.toml', 'm.toml']\nclass = [1, 2]",
            "number of classes (--class): found 2, wanted 1 beside several models",
        ),
        ("method = 'plain'\nmodel = 'm.toml'\nclass = 1", "class: found "),
        ("method = 'plain'\nmodel = 'm.toml'\nparticles = 0", "particles: found 0, wanted 1 to "),
        ("method = 'plain'\nmodel = 'm.toml'\nsteps = 0", "steps: found 0, wanted 1 to "),
        ("method = 'plain'\nmodel = 'm.toml'\nbeta = nan", "beta: found NaN, wanted a finite number"),
        ("method = 'fkc-anneal'\nmodel = 'm.toml'\nbeta = -1", "beta: found -1, wanted a total exponent"),
        ("method = 'fkc-anneal'\nmodel = 'm.toml'\nresample = 'ess:2'", "resample ess: found 2, wanted"),
        ("method = 'fkc-anneal'\nmodel = 'm.toml'\ntemper = 0", "temper: found 0, wanted a number in (0, 1]"),
        (
            "method = 'fkc-anneal'\nmodel = 'm.toml'\npartial = 1.5",
            "partial: found 1.5, wanted a number in (0, 1]",
        ),
        (
            "method = 'fkc-anneal'\nmodel = 'm.toml'\npartial = 0.5\ntemper = 0.5",
            "partial: found 0.5 beside temper 0.5, wanted one of the two",
        ),
        (
            "method = 'fkc-anneal'\nmodel = 'm.toml'\npartial = 0.5\nscheme = 'multinomial'",
            "partial: found 0.5 with Multinomial, wanted systematic or stratified",
        ),
        (
            "method = 'fkc-anneal'\nmodel = 'm.toml'\nquantile = 1",
            "quantile: found 1, wanted a number above 0 and below 1",
        ),
        (
            "method = 'fkc-anneal'\nmodel = 'm.toml'\nclamp = 0",
            "clamp: found 0, wanted a finite number above 0",
        ),
        (
            "method = 'fkc-anneal'\nmodel = 'm.toml'\nscheme = 'birth-death'\ntemper = 0.5",
            "temper: found 0.5, wanted 1 with birth and death",
        ),
        (
            "method = 'fkc-anneal'\nmodel = 'm.toml'\nlangevin = '1:2'",
            "langevin size: found 2, wanted a number above 0 and below 2",
        ),
        (
            "method = 'plain'\nmodel = 'm.toml'\nschedule = 'edm'\nsigma-min = 1",
            "--sigma-min: found 1 with the edm schedule, wanted the ve schedule",
        ),
        (
            "method = 'plain'\nmodel = 'm.toml'\nsigma-max = 0.001",
            "sigma_max of the ve schedule: found 0.001",
        ),
        (
            "method = 'plain'\nmodel = 'm.toml'\nt-max = 2",
            "t_max of the ve schedule: found 2, wanted at most 1",
        ),
    ] {
        let error = job("prepare-refused", text).err().expect(text);
        assert!(error.to_string().starts_with(message), "{text}: {error}");
        assert_eq!(error.exit_code(), 2, "{text}");
    }
    assert_eq!(job("prepare-missing", "model = 'none'\nmethod = 'plain'").err().unwrap().exit_code(), 2);
}

#[test]
fn a_network_brings_its_schedule_and_range() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("weights/digits8-mlp");
    let run = |text: &str| {
        let (mut settings, _) = settings::parse(Path::new("run.toml"), text).unwrap();
        settings.model = vec![folder.clone()];
        Job::new(&settings)
    };
    let own = run("method = 'plain'").unwrap().options;
    assert_eq!((own.schedule, own.t_max, own.t_min), (Schedule::Edm, 20.0, 0.02));
    // On another schedule: no further than the network was trained, in noise over signal.
    let flow = run("method = 'plain'\nschedule = 'rectified-flow'").unwrap().options;
    assert!((flow.t_max - 20.0 / 21.0).abs() < 1e-12 && (flow.t_min - 0.02 / 1.02).abs() < 1e-12, "{flow:?}");
    // One class-conditional network is both models of a guidance.
    let guided = run("method = 'fkc-guidance'\nclass = 3\nbeta = 2").unwrap();
    let classes = guided.models.iter().map(|model| match model {
        Model::Network(network) => network.class,
        _ => panic!("a network"),
    });
    assert_eq!(classes.collect::<Vec<_>>(), [None, Some(3)]);
    let error = run("method = 'plain'\nclass = 10").err().unwrap();
    assert_eq!(error.to_string(), "class: found 10, wanted 0 to 9");
}
